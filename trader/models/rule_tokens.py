"""Splits the text of a rule into tokens, and words every complaint about a rule.

Law: a token carries the column it begins at (from 0), so that each error can point at its place.
Nothing here knows what names exist or what an operator does.
"""

import re
from typing import NamedTuple, NoReturn

from trader.errors import ConfigError

MAX_LENGTH = 4_000  # characters
MAX_TOKENS = 600
WINDOW = 96  # characters of a long rule shown around the caret

KEYWORDS = frozenset({"and", "or", "not", "true", "false"})
_TOKEN = re.compile(
    r"""
    (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<symbol><=|>=|==|!=|[-+*/<>(),])
    """,
    re.VERBOSE | re.ASCII,
)
_BLANK = re.compile(r"[ \t\r\n]*")
_HINTS = {
    "=": "write == to compare",
    "&": "write 'and'",
    "|": "write 'or'",
    "!": "write 'not', or != to compare",
    "^": "there is no power; multiply instead",
    "%": "there is no remainder or percent; write 0.05 for 5 %",
    "[": "a rule sees the current bar only; make a lagged feature under `features`",
    ".": "a name has no dots",
    '"': "a rule has no text, only numbers and names",
    "'": "a rule has no text, only numbers and names",
}


class Token(NamedTuple):
    """One word of a rule. `kind`: number, name, keyword, symbol or end."""

    kind: str
    text: str
    at: int


class RuleText(NamedTuple):
    """A rule as the config has it: the dotted key (`model.buy`) and the text."""

    key: str
    text: str

    def fail(self, at: int, message: str) -> NoReturn:
        """Raise `ConfigError` that shows the rule with a caret under column `at`."""
        start = max(0, at - WINDOW // 2) if len(self.text) > WINDOW else 0
        shown = self.text[start : start + WINDOW]
        shown = "".join(char if char.isprintable() else " " for char in shown)
        lead, tail = "…" if start else "", "…" if start + WINDOW < len(self.text) else ""
        caret = " " * (len(lead) + at - start) + "^"
        raise ConfigError(
            f"column {at + 1}: {message}\n    {lead}{shown}{tail}\n    {caret}",
            key=self.key,
        )


def tokens(rule: RuleText) -> list[Token]:
    """Every token of the rule and one of kind `end`; `ConfigError` at what is no token."""
    text = rule.text
    if len(text) > MAX_LENGTH:
        rule.fail(MAX_LENGTH, f"is longer than {MAX_LENGTH} characters; make features of its parts")
    found: list[Token] = []
    at = _BLANK.match(text, 0).end()  # type: ignore[union-attr]
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            _fail_at(rule, at)
        kind, word = str(match.lastgroup), match.group()
        if kind == "number" and text[match.end() : match.end() + 1].isidentifier():
            rule.fail(match.end(), f"a number ends before {text[match.end()]!r}; write a plain one")
        if kind == "name" and word.lower() in KEYWORDS:
            kind, word = "keyword", word.lower()
        found.append(Token(kind, word, at))
        if len(found) > MAX_TOKENS:
            rule.fail(at, f"has more than {MAX_TOKENS} words; make features of its parts")
        at = _BLANK.match(text, match.end()).end()  # type: ignore[union-attr]
    found.append(Token("end", "", len(text)))
    return found


def _fail_at(rule: RuleText, at: int) -> NoReturn:
    char = rule.text[at]
    hint = _HINTS.get(char, "a rule has names, numbers, and/or/not, < <= > >= == !=, + - * / ( )")
    rule.fail(at, f"{char!r} is not part of the rule language: {hint}")
