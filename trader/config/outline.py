"""The schema seen as a list of dotted keys, for messages, the reference page and `config schema`.

Law: nothing here knows a key by name; everything is read off the models. In a key, `[]` stands
for an index of a list and `NAME` for a name the user chooses.
"""

import typing
from collections.abc import Iterator
from types import NoneType
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trader.config.schema import Config

SectionType = type[BaseModel]
CONTAINERS = {tuple: "[]", dict: "NAME"}


class Entry(NamedTuple):
    """One key of the schema: where it stands, the section it is in, and its field."""

    key: str
    section: SectionType
    info: FieldInfo


def entries(section: SectionType = Config, prefix: str = "") -> Iterator[Entry]:
    """Every key of the schema in the order of the file, sections before their members."""
    for name, info in section.model_fields.items():
        key = f"{prefix}{name}"
        yield Entry(key, section, info)
        inner, steps = element(info.annotation)
        for child in sections_in(inner):
            yield from entries(child, f"{key}{steps}.")


def element(annotation: Any) -> tuple[Any, str]:
    """What a list or mapping of the user's own keys holds, and the step into it: `[]`, `.NAME`."""
    origin = typing.get_origin(annotation)
    if origin in CONTAINERS:
        step = CONTAINERS[origin]
        inner, more = element(typing.get_args(annotation)[0 if origin is tuple else 1])
        return inner, f"{step if step == '[]' else '.' + step}{more}"
    return annotation, ""


def sections_in(annotation: Any) -> list[SectionType]:
    """The section types an annotation allows, unions and metadata looked through."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in CONTAINERS:
        return []
    return [found for part in typing.get_args(annotation) for found in sections_in(part)]


def words_of(annotation: Any) -> list[str]:
    """The fixed words a field accepts, of all its literals."""
    if typing.get_origin(annotation) is typing.Literal:
        return list(typing.get_args(annotation))
    return [word for part in typing.get_args(annotation) for word in words_of(part)]


def takes_none(annotation: Any) -> bool:
    """Whether `none` may be written."""
    return NoneType in typing.get_args(annotation)


def section_at(keys: tuple[str | int, ...], raw: Any) -> SectionType | None:
    """The section type that the mapping at `keys` of `raw` has to be; None where it is none.

    Of the sections a `type` chooses between, the one chosen; None while the choice is wrong.
    """
    annotation: Any = Config
    for key in keys:
        section = _chosen(sections_in(annotation), raw)
        if section is not None:
            info = section.model_fields.get(str(key))
            annotation = info.annotation if info is not None else None
        elif typing.get_origin(annotation) in CONTAINERS:
            annotation = typing.get_args(annotation)[-1 if isinstance(key, str) else 0]
        else:
            return None
        raw = child_of(raw, key)
    return _chosen(sections_in(annotation), raw)


def child_of(raw: Any, key: str | int) -> Any:
    """The member of a raw mapping or list; None where there is none."""
    if isinstance(raw, dict):
        return raw.get(key)
    if isinstance(raw, list) and isinstance(key, int) and key < len(raw):
        return raw[key]
    return None


def _chosen(options: list[SectionType], raw: Any) -> SectionType | None:
    if len(options) > 1:
        tag = raw.get("type") if isinstance(raw, dict) else None
        options = [one for one in options if words_of(one.model_fields["type"].annotation) == [tag]]
    return options[0] if options else None
