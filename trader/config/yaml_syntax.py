"""What the YAML parser could not read, in plain words, and where the mistake stands.

Law: the parser says where it gave up, often a line or more after the slip; the place told is where
the thing at fault begins. Each message names the remedy.
"""

import re

import yaml

Found = tuple[yaml.Mark | None, str]
BRACKETS = {"sequence": "[", "mapping": "{"}
CLOSING = {"[": "]", "{": "}"}
READABLE = ("holds more than one document", "holds a tab")  # YAML, but not ours


def explained(error: yaml.MarkedYAMLError) -> Found:
    """(mark of the mistake, message with the remedy) of a document that is not YAML."""
    mark, message = _found(error)
    return mark, message if message.startswith(READABLE) else f"is not valid YAML: {message}"


def _found(error: yaml.MarkedYAMLError) -> Found:
    context, problem = error.context or "", error.problem or ""
    if "another document" in problem:
        return _late(error, "holds more than one document; keep one and remove the '---' lines")
    if context == "while scanning a directive":
        return _early(error, "begins with %, which has a meaning in YAML; put the text in quotes")
    if context == "while scanning a simple key":
        return _early(error, "is a word without a colon; write it as `key: value`")
    if "quoted scalar" in context and "end of stream" in problem:
        return _early(error, "opens a quote that is never closed; close it on the same line")
    if "quoted scalar" in context:
        return _late(
            error, "holds a backslash in double quotes; write '…' in place of \"…\", or double it"
        )
    if context.startswith("while parsing a flow "):
        return _in_brackets(error, context, problem)
    if context == "while parsing a block mapping":
        return _late(error, _after_mapping(problem))
    return _late(error, _plain(context, problem))


def _early(error: yaml.MarkedYAMLError, message: str) -> Found:
    return error.context_mark or error.problem_mark, message


def _late(error: yaml.MarkedYAMLError, message: str) -> Found:
    return error.problem_mark or error.context_mark, message


def _in_brackets(error: yaml.MarkedYAMLError, context: str, problem: str) -> Found:
    """A comma or the closing bracket is missing: on the line it began, or lines further down."""
    bracket = BRACKETS.get(context.rpartition(" ")[2])
    if bracket is None:  # "a flow node": the text ends where a value should stand
        return _late(error, "ends inside brackets; close them")
    begun, seen = error.context_mark, error.problem_mark
    if begun is not None and seen is not None and seen.line != begun.line:
        lacks = f"a comma or the closing {CLOSING[bracket]}"
        return begun, f"opens {bracket} and lacks {lacks} before line {seen.line + 1}"
    if re.search(r"got '[]}]'", problem):
        return _late(error, f"closes {bracket} with the other bracket; use {CLOSING[bracket]}")
    return _late(
        error, f"needs a comma before this, or {CLOSING[bracket]}: elements are parted by commas"
    )


def _after_mapping(problem: str) -> str:
    if "'-'" in problem:
        return "is a list element among keys; indent it under its key"
    if "'<scalar>'" in problem:
        return (
            "stands after a quoted text that has ended; double a quote inside quotes, or use "
            "the other kind"
        )
    return "is indented unlike the keys above; keys of one section stand in one column"


def _plain(context: str, problem: str) -> str:
    if problem == "mapping values are not allowed here":
        return (
            "holds a colon where a value is read already: put the key on a line of its own in "
            "the column of its section, or the text in quotes"
        )
    if "'\\t'" in problem:
        return "holds a tab where YAML needs spaces"
    sign = re.fullmatch(r"found character '(.)' that cannot start any token", problem)
    if sign:
        return f"begins with {sign[1]}, which has a meaning in YAML; put the text in quotes"
    if "duplicate anchor" in context:
        return "names an anchor (&) a second time; give it another name"
    if "undefined alias" in problem:
        return "begins with *, which makes it an undefined alias; put the text in quotes"
    if "anchor" in context or "alias" in context:
        return "begins with & or *, which have a meaning in YAML; put the text in quotes"
    if "node content" in problem:
        return "is a closing bracket that nothing opened, or a comma; remove it or use quotes"
    told = ", ".join(part for part in (context, problem) if part)
    return f"{told}; put a text with special signs in quotes"
