"""The reference tables of docs/config.md, made from the schema.

`python -m trader.config.reference docs/config.md` rewrites them in place; a test compares.
"""

import sys
from pathlib import Path
from typing import Any

from trader.config.json_schema import json_schema
from trader.config.outline import Entry, SectionType, entries, words_of
from trader.config.schema import Config

BEGIN = "<!-- made by `python -m trader.config.reference docs/config.md`: begin -->"
END = "<!-- made by `python -m trader.config.reference docs/config.md`: end -->"
TABLE_HEAD = ("| key | value | default | meaning |", "|---|---|---|---|")
BOUNDS = {
    "exclusiveMinimum": "> {}",
    "minimum": "≥ {}",
    "maximum": "≤ {}",
    "maxLength": "at most {} characters",
}
KINDS = {
    "number": "number",
    "integer": "integer",
    "boolean": "switch",
    "string": "text",
    "array": "list",
    "object": "mapping",
}


def reference() -> str:
    """One Markdown table a section, in the order of the file. What stands there already is named,
    not described again: a key that an earlier type of the same section has with equal meaning,
    and a section whose keys are those of another."""
    tables: dict[tuple[str, SectionType], list[str]] = {}
    again: dict[tuple[str, SectionType], list[str]] = {}
    described: dict[tuple[str, str], SectionType] = {}
    first: dict[SectionType, str] = {}
    schema = json_schema()
    for entry in entries():
        parent, _, name = entry.key.rpartition(".")
        group = (parent, entry.section)
        if first.setdefault(entry.section, parent) != parent:
            tables[group] = [f"### `{parent}`", "", f"The keys of `{first[entry.section]}`."]
            continue
        rows = tables.setdefault(group, [*_heading(parent, entry.section), *TABLE_HEAD])
        row = _row(name, entry, _property(schema, entry.section, name))
        if described.setdefault((parent, row), entry.section) is not entry.section:
            names = again.setdefault(group, [])
            names += [f"`{name}`"] if f"`{name}`" not in names else []
        elif row not in rows and not (name == "type" and _variant(entry.section)):
            rows.append(row)
    for group, names in again.items():
        if tables[group][-len(TABLE_HEAD) :] == [*TABLE_HEAD]:
            del tables[group][-len(TABLE_HEAD) - 1 :]
        tables[group] += ["", f"Also, as above: {', '.join(names)}."]
    return "\n\n".join("\n".join(rows) for rows in tables.values()) + "\n"


def rewrite(page: str, tables: str) -> str:
    """`page` with `tables` between its two marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{tables}\n{END}{after}"


def _heading(parent: str, section: SectionType) -> list[str]:
    """The heading, and where it is one of several types, or of a list, what it is."""
    if not parent:
        return ["### Top level", ""]
    variant = _variant(section)
    if not variant and not parent.endswith(("[]", ".NAME")):
        return [f"### `{parent}`", ""]  # the row of its key says what it is
    return [f"### `{parent}`{variant}", "", (section.__doc__ or "").strip(), ""]


def _variant(section: SectionType) -> str:
    kind = section.model_fields.get("type")
    chosen = words_of(kind.annotation) if kind is not None else []
    return f" of type `{chosen[0]}`" if len(chosen) == 1 else ""


def _property(schema: dict[str, Any], section: SectionType, name: str) -> dict[str, Any]:
    owner = schema if section is Config else schema["$defs"][section.__name__]
    found: dict[str, Any] = owner["properties"][name]
    return found


def _row(name: str, entry: Entry, schema: dict[str, Any]) -> str:
    default = _shown(schema["default"]) if "default" in schema else "required"
    cells = (f"`{name}`", _value(schema), default, entry.info.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _value(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return ", ".join(_value(part) for part in schema["anyOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if "format" in schema:
        return "ISO time"
    kind = schema.get("type", "object")
    word = KINDS[kind if isinstance(kind, str) else kind[0]]
    bounds = [text.format(schema[key]) for key, text in BOUNDS.items() if key in schema]
    return " ".join([word, ", ".join(bounds)]).strip()


def _shown(default: Any) -> str:
    if isinstance(default, dict) and default:
        return "see below"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`"


def main(path: Path) -> None:
    """Rewrites the tables in the page at `path`."""
    page = path.read_text(encoding="utf-8")
    path.write_text(rewrite(page, reference()), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
