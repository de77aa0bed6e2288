"""The reference of docs/config.md, made from the schema: each section as it stands in a file.

`python -m trader.config.reference docs/config.md` rewrites it in place; a test compares.
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

from pydantic.fields import FieldInfo

from trader.config.json_schema import json_schema
from trader.config.outline import SectionType, element, entries, sections_in, words_of
from trader.config.schema import Config

BEGIN = "<!-- made by `python -m trader.config.reference docs/config.md`: begin -->"
END = "<!-- made by `python -m trader.config.reference docs/config.md`: end -->"
REQUIRED = "…"
KINDS = {"number": "number", "integer": "number", "boolean": "true, false"}
TIME, STEP = "time", "  "
MOST = 8


class Line(NamedTuple):
    """A key as it stands in a file, and what is said of it."""

    written: str
    comment: str


def reference() -> str:
    """A heading and a YAML block for the plain keys of the top, and for each section."""
    return _Reference().page()


class _Reference:
    """Writes each section once: where its keys are those of another, it names that one."""

    def __init__(self) -> None:
        self.schema = json_schema()
        self.homes: dict[SectionType, str] = {}  # of the places it has, the one nearest the top
        for entry in entries():
            place = entry.key.rpartition(".")[0]
            home = self.homes.setdefault(entry.section, place)
            if place.count(".") < home.count("."):
                self.homes[entry.section] = place

    def page(self) -> str:
        """All blocks."""
        parts: dict[str, list[Line]] = {"Top level": []}
        for name, info in Config.model_fields.items():
            has_section = sections_in(element(info.annotation)[0])
            part = f"`{name}`" if has_section else "Top level"
            parts.setdefault(part, []).extend(self.key(Config, name, ""))
        return "\n\n".join(f"### {part}\n\n{block(lines)}" for part, lines in parts.items()) + "\n"

    def key(self, owner: SectionType, name: str, parent: str, is_again: bool = False) -> list[Line]:
        """The line of a key of `owner`, and the lines of the section it holds."""
        info = owner.model_fields[name]
        inner, steps = element(info.annotation)
        kinds, path = sections_in(inner), f"{parent}{name}"
        schema = self.property(owner, name)
        line = described(name, info, schema, bool(kinds))
        if is_again and not kinds:
            line = Line(line.written, meaning(info))
        if not kinds:
            return [line]
        home = self.homes[kinds[0]]
        if home != f"{path}{steps}":
            return [Line(line.written, f"{line.comment}; the keys of {home}")]
        members = self.variants(kinds) if len(kinds) > 1 else self.members(kinds[0], f"{path}.")
        return [line, *stepped(members, steps)]

    def members(self, owner: SectionType, parent: str) -> list[Line]:
        """All keys of a section; what several in a row may hold is said at the first."""
        lines: list[Line] = []
        before: set[str] = set()
        for name in owner.model_fields:
            schema = self.property(owner, name)
            allowed = {*values(schema), shown(schema.get("default", REQUIRED))}
            is_again = allowed == before and REQUIRED not in allowed
            lines += self.key(owner, name, parent, is_again)
            before = allowed
        return lines

    def variants(self, kinds: list[SectionType]) -> list[Line]:
        """The keys of a section of several types: those of the same types stand together."""
        names = {kind: words_of(kind.model_fields["type"].annotation)[0] for kind in kinds}
        owners: dict[tuple[str, str], list[SectionType]] = {}
        for kind in kinds:
            for name, info in kind.model_fields.items():
                if name != "type":
                    owners.setdefault((name, info.description or ""), []).append(kind)
        groups: dict[tuple[str, ...], list[Line]] = {}
        for (name, _), of in owners.items():
            group = groups.setdefault(tuple(names[kind] for kind in of), [])
            group += self.key(of[0], name, "model.")
        lines = [Line(f"type: {REQUIRED}", ", ".join(names.values()))]
        for types, members in groups.items():
            others = [name for name in names.values() if name not in types]
            short = f"all but {', '.join(others)}" if len(others) < len(types) else ", ".join(types)
            lines += [Line(f"# {short if others else 'all'}:", ""), *members]
        return lines

    def property(self, owner: SectionType, name: str) -> dict[str, Any]:
        """What the JSON Schema says of a key."""
        section = self.schema if owner is Config else self.schema["$defs"][owner.__name__]
        found: dict[str, Any] = section["properties"][name]
        return found


def rewrite(page: str, blocks: str) -> str:
    """`page` with `blocks` between its two marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{blocks}\n{END}{after}"


def described(name: str, info: FieldInfo, schema: dict[str, Any], is_section: bool) -> Line:
    """One key: the default, or `…` where it must be written; what else may stand there; why."""
    default = shown(schema["default"]) if "default" in schema else REQUIRED
    allowed = [word for word in values(schema) if word != default]
    if is_section:
        before = {"none": "default none; ", REQUIRED: "required; "}.get(default, "")
        return Line(f"{name}:", before + meaning(info))
    is_kind = set(allowed) <= {*KINDS.values(), TIME} or default == REQUIRED
    is_told = 0 < len(allowed) <= MOST  # more are on the page of their section
    choice = f"{'' if is_kind else 'or '}{', '.join(allowed)}: " if is_told else ""
    is_named = default == name  # a column that is called what it is
    return Line(f"{name}: {default}", "" if is_named else choice + meaning(info))


def values(schema: dict[str, Any]) -> list[str]:
    """The words and kinds that may be written, less what the default shows by itself."""
    if "anyOf" in schema:
        return [word for part in schema["anyOf"] for word in values(part)]
    if "const" in schema:
        return [str(schema["const"])]
    if "enum" in schema:
        return [word if word.isidentifier() else f"'{word}'" for word in schema["enum"]]
    if "format" in schema:
        return [TIME]
    kind = schema.get("type", "object")
    word = KINDS.get(kind if isinstance(kind, str) else kind[0], "")
    is_seen = isinstance(schema.get("default"), int | float)
    return [word] if word and not is_seen else []


def meaning(info: FieldInfo) -> str:
    """The description as it goes on after a colon."""
    text = (info.description or "").removesuffix(".")
    return text[0].lower() + text[1:] if text[1:2].islower() or text[:2] == "A " else text


def shown(default: Any) -> str:
    """A default as it stands in a file."""
    return str(default).lower() if isinstance(default, bool) else str(default)


def stepped(lines: list[Line], steps: str) -> list[Line]:
    """The members of a section one step in: of a list's element, or under a name of the user's."""
    head = [] if steps in ("", "[]") else [Line(f"{STEP}NAME:", "")]
    inside = STEP * (len(head) + 1)
    found = [Line(f"{inside}{line.written}", line.comment) for line in lines]
    if steps == "[]":
        found = [Line(f"{STEP}{line.written}", line.comment) for line in found]
        found[0] = Line(f"{STEP}- {lines[0].written}", lines[0].comment)
    return [*head, *found]


def block(lines: list[Line]) -> str:
    """Fenced YAML, the comments under each other."""
    width = max(len(line.written) for line in lines)
    rows = [
        f"{line.written:{width}}  # {line.comment}" if line.comment else line.written
        for line in lines
    ]
    return "\n".join(["```yaml", *rows, "```"])


def main(path: Path) -> None:
    """Rewrites the blocks in the page at `path`."""
    page = path.read_text(encoding="utf-8")
    path.write_text(rewrite(page, reference()), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
