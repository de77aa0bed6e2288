"""What pydantic found wrong, in words: the rule, the value that was there, the remedy.

Law: a message never names a Python type; it says what to write instead, and for an unknown key or
word the nearest valid one.
"""

import contextlib
import difflib
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from trader.config.outline import child_of, entries, section_at, takes_none
from trader.config.registry import installed
from trader.config.rules import contradictions, is_secret_key
from trader.config.schema import Config
from trader.config.sections.model import BUILT_IN, ENTRY_POINTS
from trader.errors import ConfigError

Keys = tuple[str | int, ...]
SHOWN_LENGTH = 60
COMPARISONS = {
    "greater_than": ("gt", "must be greater than"),
    "greater_than_equal": ("ge", "must not be less than"),
    "less_than": ("lt", "must be less than"),
    "less_than_equal": ("le", "must not be greater than"),
}
STRUCTURE = {
    "model_type": "must be a mapping of keys",
    "dict_type": "must be a mapping of keys",
    "union_tag_not_found": "must be a mapping of keys",
    "tuple_type": "must be a list, such as [A, B]",
}
PLAIN = {  # of sections that packages bring; our own scalars say it themselves
    "missing": "is required and missing",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text",
}
CHOICES = {"literal_error": "expected", "union_tag_invalid": "expected_tags"}
NUMBER_WORD = "number"
QUOTE = "'"


def schema_problems(raw: dict[str, Any], error: ValidationError) -> list[tuple[Keys, str]]:
    """(keys, message) of everything wrong with `raw`, cross-field rules included.

    A rule is judged as soon as every section it reads is right, whatever else is wrong.
    """
    details = [one for one in error.errors(include_url=False) if not _is_echo(one)]
    if details[0]["type"] == "contradictions":
        problems: list[tuple[Keys, str]] = []
        broken_rules = details[0]["ctx"]["found"]
    else:
        problems = [_problem(detail, raw) for detail in details]
        broken_rules = _rules_of_sound_sections(raw, {detail["loc"][:1] for detail in details})
    for key, message in broken_rules:
        keys = tuple(int(part) if part.isdigit() else part for part in key.split("."))
        value = value_at(keys, raw)
        problems.append((keys, message if value is None else message + _got(keys, value)))
    return problems


def _rules_of_sound_sections(raw: dict[str, Any], broken: set[Keys]) -> list[tuple[str, str]]:
    sound: dict[str, Any] = {}
    for name, info in Config.model_fields.items():
        if (name,) not in broken:
            adapter: TypeAdapter[Any] = TypeAdapter(info.rebuild_annotation())
            sound[name] = adapter.validate_python(raw[name]) if name in raw else info.get_default()
    return contradictions(Config.model_construct(**sound), sound)


def _is_echo(detail: ErrorDetails) -> bool:
    """Pydantic also calls a list too short when its elements are wrong."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _problem(detail: ErrorDetails, raw: object) -> tuple[Keys, str]:
    path = detail["loc"]
    if path[0] == "model":  # pydantic names the type between `model` and its key, if built in
        if path[1:2] == (value_at(("model", "type"), raw),):
            path = ("model", *path[2:])
        is_of_type = detail["type"].startswith("union_tag") or detail["type"] == "value_error"
        if path == ("model",) and is_of_type and isinstance(detail["input"], dict):
            path = ("model", "type")
    return path, _message(detail, path, raw)


def _message(detail: ErrorDetails, path: Keys, raw: object) -> str:
    kind, value = detail["type"], value_at(path, raw)
    section = section_at(path[:-1], raw) or _of_package(path, raw)
    info = section.model_fields.get(str(path[-1])) if section else None
    if kind == "extra_forbidden":
        owner = ".".join(map(str, path[:-1])) or "the config"
        return f"unknown key in {owner}{_got(path, value)}{_nearest_key(path, raw)}"
    if value is None:
        purpose = (info.description or "") if info else f"one of {', '.join(BUILT_IN)}"
        none = " (write none for no limit)" if info and takes_none(info.annotation) else ""
        return f"is required and missing{': ' if purpose else ''}{purpose}{none}"
    if value == "" and kind in STRUCTURE:
        return "is empty; write its values, or take the line out"
    rule = own_words(detail)
    if NUMBER_WORD in rule and info and takes_none(info.annotation):
        rule += ", or none"
    return f"{rule}{_got(path, value)}{_nearest_word(value, detail)}"


def _got(path: Keys, value: object) -> str:
    """What was written there, unless it may be a secret."""
    return "" if is_secret_key(str(path[-1])) else f"; got {shown(value)}"


def _of_package(path: Keys, raw: object) -> type[BaseModel] | None:
    """The section of a model whose type an installed package adds."""
    kind = value_at(("model", "type"), raw)
    if path[:-1] != ("model",) or not isinstance(kind, str) or kind in BUILT_IN:
        return None
    with contextlib.suppress(ConfigError):  # told at model.type
        found = installed(ENTRY_POINTS, kind)
        return None if found is None else found.section
    return None


def own_words(detail: ErrorDetails) -> str:
    """The rule that was broken."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in STRUCTURE:
        return STRUCTURE[kind]
    if kind in PLAIN:
        return PLAIN[kind]
    if kind in COMPARISONS:
        name, words = COMPARISONS[kind]
        return f"{words} {context[name]:g}"
    if kind in CHOICES:
        return f"must be {context[CHOICES[kind]].replace(QUOTE, '')}"
    match kind:
        case "value_error":
            return str(context["error"])
        case "too_short":
            return "must hold at least one element"
        case "string_too_long":
            return f"must be at most {context['max_length']} characters long"
    return detail["msg"]


def _nearest_word(value: object, detail: ErrorDetails) -> str:
    if detail["type"] not in CHOICES:
        return ""
    words = re.findall(r"'([^']*)'", detail["ctx"][CHOICES[detail["type"]]])
    return _did_you_mean(str(value), words)


def _nearest_key(path: Keys, raw: object) -> str:
    """The nearest key of this section or, failing that, the same word in another section."""
    name = str(path[-1])
    section = section_at(path[:-1], raw)
    hint = _did_you_mean(name, section.model_fields if section else ())
    if hint:
        return hint
    elsewhere = {entry.key.rpartition(".")[2]: entry.key for entry in entries()}
    near = difflib.get_close_matches(name.lower(), elsewhere, n=1, cutoff=0.85)
    return f"; did you mean {elsewhere[near[0]]}?" if near else ""


def _did_you_mean(written: str, words: Iterable[str]) -> str:
    near = difflib.get_close_matches(written.lower(), list(words), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def value_at(path: Keys, raw: object) -> object:
    """What was written at `path`; None where nothing was. A name stands for its mapping."""
    for key in path:
        if isinstance(raw, str):
            return raw
        raw = child_of(raw, key)
    return raw


def shown(value: object) -> str:
    """A written value in a message, cut to a readable length."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value == "":
        return "nothing"
    text = repr(str(value))
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 1] + "…"
