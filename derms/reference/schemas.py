"""A JSON schema in the words of a table. Pure."""

from collections.abc import Mapping
from typing import Any

_BOUNDS = {"minimum": ">=", "maximum": "<=", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}


def table(schema: Mapping[str, Any], schemas: Mapping[str, Any], *, linked: bool) -> list[str]:
    """The fields of an object, a row each.

    Args:
        schema: Of an object.
        schemas: All by name, for what it refers to.
        linked: Whether each of them has a heading on the page that can be linked to.
    """
    required, fields = schema.get("required", []), schema.get("properties", {})
    if not fields:
        return ["No fields."]
    told = any("description" in shape for shape in fields.values())
    rows = [_row(["field", "required", "type and range", "what"], told), _row(["---"] * 4, told)]
    for name, shape in fields.items():
        must = "yes" if name in required else ""
        what = cell(shape.get("description", ""))
        rows.append(_row([f"`{name}`", must, words(shape, schemas, linked=linked), what], told))
    return rows


def _row(cells: list[str], told: bool) -> str:
    """A row; without its last cell where no field has anything to say there."""
    return f"| {' | '.join(cells if told else cells[:-1])} |"


def words(schema: Mapping[str, Any], schemas: Mapping[str, Any], *, linked: bool) -> str:
    """What a value may be."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        target = schemas[name]
        if "enum" in target:
            return _enum(target)
        return f"[{name}](#{name.lower()})" if linked else f"`{name.lstrip('_')}`"
    if "anyOf" in schema:
        return " or ".join(words(one, schemas, linked=linked) for one in schema["anyOf"])
    if "enum" in schema:
        return _enum(schema)
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {words(schema.get('items', {}), schemas, linked=linked)}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object, each value: {words(schema['additionalProperties'], schemas, linked=linked)}"
    return cell(str(kind) + _rules(schema))


def cell(text: str) -> str:
    """Text that stays in its cell and means itself."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")


def _enum(schema: Mapping[str, Any]) -> str:
    return " ".join(f"`{value}`" for value in schema["enum"])


def _rules(schema: Mapping[str, Any]) -> str:
    told = [f"{sign} {_number(schema[key])}" for key, sign in _BOUNDS.items() if key in schema]
    told += [f"{schema[key]} {what}" for key, what in (("minLength", "characters or more"),) if key in schema]
    told += [f"at most {schema['maxLength']} characters"] if "maxLength" in schema else []
    told += [str(schema["format"])] if "format" in schema else []
    told += [f"default {schema['default']}"] if schema.get("default") not in (None, {}, []) else []
    return f", {', '.join(told)}" if told else ""


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"
