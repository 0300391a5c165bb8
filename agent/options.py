"""Tables of a configuration, checked. Pure: a tree of JSON or TOML or YAML in, a typed value out.

A mistake is a `ConfigError` that names the key with its value, the rule and the next step. Secrets are in no message.
"""

import dataclasses
import difflib
import json
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import msgspec

from derms.errors import ConfigError

T = TypeVar("T")
_SHOWN = 60
"""Characters of a wrong value that a message shows."""


def checked(tree: Mapping[str, Any], kind: type[T], *, name: str, hidden: Collection[str] = ()) -> T:
    """Make a value of a table.

    Args:
        tree: What was written.
        kind: A msgspec struct or a dataclass; it says which keys there are, and what they may be.
        name: What messages call the table.
        hidden: Keys whose values no message may show.

    Raises:
        ConfigError: A key is unknown, missing, of a wrong type or out of range.
    """
    _check_keys(tree, _keys(kind), name)
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        where, rule = _split(str(error))
        key = where.partition(".")[0].partition("[")[0]
        # a path that msgspec abbreviates (`[...]`) still names the key it begins with
        shown = f" = {_shown(tree[key])}" if key in tree and key not in hidden else ""
        raise ConfigError(
            f"{name}: {where or 'the table'}{shown} is wrong",
            why=rule,
            next_step=f"correct {where or 'it'} and start again",
        ) from error


def unknown_key(key: str, known: Collection[str], name: str) -> ConfigError:
    """What to raise for a key that nobody reads, with the nearest one that somebody does."""
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    return ConfigError(f"{name}: unknown key {key[:_SHOWN]!r}", why="every key must have a reader", next_step=hint)


def _check_keys(tree: Mapping[str, Any], known: Collection[str], name: str) -> None:
    for key in tree:
        if key not in known:
            raise unknown_key(str(key), known, name)


def _keys(kind: type[Any]) -> list[str]:
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    fields = [field.encode_name for field in msgspec.structs.fields(kind)]
    tag = kind.__struct_config__.tag_field
    return fields if tag is None else [tag, *fields]


def _shown(value: object) -> str:
    return json.dumps(value, default=str)[:_SHOWN]


def _split(message: str) -> tuple[str, str]:
    """Take msgspec's message apart: the key that it says or names, and the rule."""
    rule, _, where = message.partition(" - at `$.")
    where = where.rstrip("`")
    if "missing required field" in rule:
        missing = rule.split("`")[1]
        return f"{where}.{missing}" if where else missing, "it is required"
    return where, rule
