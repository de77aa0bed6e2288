"""The schema as JSON Schema (draft 2020-12), for editors and for anything that is not Python.

Law: it accepts what the loader accepts once a plain YAML reader has read it. Such a reader turns
`1e5` into text and the symbol `NO` into false, so numbers may be text that reads as a number, and
free text may be any scalar. Rules that look at several keys are the loader's alone.
"""

from typing import Any

from trader.config.scalars import NUMBER_PATTERN
from trader.config.schema import Config

DRAFT = "https://json-schema.org/draft/2020-12/schema"
NAMED = ("properties", "$defs")  # mappings whose keys are names, not keywords
NUMERIC = ("number", "integer")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a config file."""
    schema = _rewritten(Config.model_json_schema())
    return {"$schema": DRAFT, "title": "trader config", **schema}


def _rewritten(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_rewritten(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in NAMED:
            result[keyword] = {name: _rewritten(item) for name, item in value.items()}
        elif keyword == "default":
            result[keyword] = _written(value)
        elif keyword not in ("title", "discriminator"):
            result[keyword] = _rewritten(value)
    return _loosened(result)


def _loosened(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type")
    if kind == "null":
        return {"const": "none"}
    if kind in NUMERIC:
        return {**schema, "type": [kind, "string"], "pattern": NUMBER_PATTERN}
    if kind == "string" and not {"enum", "const"} & schema.keys():
        return {**schema, "type": ["string", "number", "boolean"]}
    return schema


def _written(default: Any) -> Any:
    """A default as it would stand in a file: `none` for None."""
    if isinstance(default, dict):
        return {key: _written(value) for key, value in default.items()}
    return "none" if default is None else default
