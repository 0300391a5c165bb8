"""The feeders a TOML file declares, and what becomes of those that are there already. Reads one file; otherwise pure.

::

    [[feeder]]
    id = "main"
    import_limit_kw = 250

    [[feeder]]
    id = "garage"
    parent = "main"
    import_limit_kw = 60
    mode = "advise"

What the file says of a feeder counts; what it does not say stays as it is stored, or is the default of one that is
new. A feeder that stands in the store and not in the file stays.
"""

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from derms.errors import ConfigError
from derms.model import Feeder, FeederMode, Policy

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LARGEST_KW = 1e9
_LONGEST_NAME = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One feeder of the file."""

    feeder_id: str
    said: Mapping[str, Any]
    """What the file says of it: fields of `Feeder`."""


class _Wrong(ValueError):
    """The rule that a value broke."""


def _identifier(value: object) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise _Wrong("it must be a letter or digit, then up to 63 letters, digits, '.', '_' or '-'")
    return value


def _parent(value: object) -> str | None:
    return None if value == "" else _identifier(value)


def _name(value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_NAME or not value.isprintable():
        raise _Wrong(f"it must be text of at most {_LONGEST_NAME} printable characters")
    return value


def _power(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST_KW <= value <= _LARGEST_KW:
        raise _Wrong("it must be a number of kW between -1e9 and 1e9")
    return float(value)


def _magnitude(value: object) -> float:
    if (power := _power(value)) < 0.0:
        raise _Wrong("it must be a number of kW, 0 or more")
    return power


def _limit(value: object) -> float | None:
    return None if value == math.inf else _magnitude(value)


def _one_of(kind: type[StrEnum]) -> Callable[[object], StrEnum]:
    def read(value: object) -> StrEnum:
        if not isinstance(value, str) or value not in list(kind):
            raise _Wrong(f"it must be one of {', '.join(kind)}")
        return kind(value)

    return read


_KEYS: Mapping[str, tuple[str, Callable[[object], object]]] = MappingProxyType(
    {
        "id": ("feeder_id", _identifier),
        "name": ("name", _name),
        "parent": ("parent_id", _parent),
        "import_limit_kw": ("import_limit_kw", _limit),
        "export_limit_kw": ("export_limit_kw", _limit),
        "margin_kw": ("margin_kw", _magnitude),
        "assumed_unmetered_kw": ("assumed_unmetered_kw", _power),
        "mode": ("mode", _one_of(FeederMode)),
        "policy": ("policy", _one_of(Policy)),
    }
)
"""A key of the file -> the field of `Feeder`, and what reads it."""


def read_feeders(path: Path) -> tuple[Declared, ...]:
    """Read the file, and check all that can be checked without the store.

    Raises:
        ConfigError: It cannot be read, or says what cannot be meant.
    """
    try:
        with path.open("rb") as file:
            tree = tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("the feeders file is not TOML", why=f"{path}: {error}", next_step="correct it") from error
    except OSError as error:
        raise ConfigError(
            f"the feeders file {path} cannot be read",
            why=error.strerror or str(error),
            next_step="correct feeders_file, or the file's permissions",
        ) from error
    _refuse_unknown(tree, ["feeder"], f"{path}")
    tables = tree.get("feeder", [])
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(
            f"{path} declares no feeder", why="each stands under [[feeder]]", next_step="write at least one, with an id"
        )
    declared = tuple(_declared(table, f"{path}, feeder {number}") for number, table in enumerate(tables, start=1))
    ids = [one.feeder_id for one in declared]
    if twice := sorted({one for one in ids if ids.count(one) > 1}):
        raise ConfigError(
            f"{path} declares {', '.join(twice)} more than once",
            why="each feeder may stand there once",
            next_step="join what is said of it in one place",
        )
    _refuse_circles({one.feeder_id: one.said.get("parent_id") for one in declared})
    return declared


def merged(declared: Sequence[Declared], stored: Iterable[Feeder]) -> list[Feeder]:
    """All feeders as they stand once the file is heard, parents first, by id among equals.

    Args:
        declared: What the file says.
        stored: What is in the registry.

    Raises:
        ConfigError: A parent that is nowhere, parents in a circle, a margin above its limit, or a policy where it has
            no effect.
    """
    feeders = {feeder.feeder_id: feeder for feeder in stored}
    for one in declared:
        feeders[one.feeder_id] = replace(feeders.get(one.feeder_id, Feeder(feeder_id=one.feeder_id)), **one.said)
    for feeder in feeders.values():
        if feeder.parent_id is not None and feeder.parent_id not in feeders:
            raise ConfigError(
                f"the parent of feeder {feeder.feeder_id} is {feeder.parent_id}",
                why=f"there is no such feeder; there are {', '.join(sorted(feeders))}",
                next_step="declare it, or name one of them",
            )
    _refuse_circles({feeder_id: feeder.parent_id for feeder_id, feeder in feeders.items()})
    for one in declared:
        _check(feeders[one.feeder_id], one)
    return parents_first(feeders.values())


def parents_first(feeders: Iterable[Feeder]) -> list[Feeder]:
    """Feeders of a forest, each after its parent, by id among those of one depth."""
    by_id = {feeder.feeder_id: feeder for feeder in feeders}

    def depth(feeder_id: str) -> int:
        steps, parent = 0, by_id[feeder_id].parent_id
        while parent is not None:
            steps, parent = steps + 1, by_id[parent].parent_id
        return steps

    return [by_id[one] for one in sorted(by_id, key=lambda one: (depth(one), one))]


def _declared(table: Mapping[str, object], where: str) -> Declared:
    named = f"{where} ({table['id']})" if isinstance(table.get("id"), str) else where
    _refuse_unknown(table, _KEYS, named)
    said: dict[str, Any] = {}
    for key, value in table.items():
        field, read = _KEYS[key]
        try:
            said[field] = read(value)
        except _Wrong as error:
            raise ConfigError(
                f"{named}: {key} is {repr(value)[:80]}", why=str(error), next_step=f"correct {key}"
            ) from error
    if "feeder_id" not in said:
        raise ConfigError(f"{where} has no id", why="a feeder is known by its id", next_step='add id = "..."')
    return Declared(feeder_id=said.pop("feeder_id"), said=MappingProxyType(said))


def _refuse_unknown(table: Mapping[str, object], known: Iterable[str], where: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
            raise ConfigError(
                f"{where}: {key} is set",
                why="there is no such key",
                next_step=f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}",
            )


def _refuse_circles(parents: Mapping[str, str | None]) -> None:
    for start in sorted(parents):
        way, at = [start], parents[start]
        while at is not None and at in parents and at not in way:
            way.append(at)
            at = parents[at]
        if at in way:
            circle = [*way[way.index(at) :], at]
            raise ConfigError(
                f"the feeders {' -> '.join(circle)} are each other's parents",
                why="following the parents must end at a feeder that has none",
                next_step="take one of these parents away",
            )


def _check(feeder: Feeder, declared: Declared) -> None:
    limits = [limit for limit in (feeder.import_limit_kw, feeder.export_limit_kw) if limit]
    if limits and feeder.margin_kw >= min(limits):
        raise ConfigError(
            f"margin_kw of feeder {feeder.feeder_id} is {feeder.margin_kw:g}",
            why=f"it must leave something of its limit, which is {min(limits):g}",
            next_step="lower margin_kw",
        )
    if "policy" in declared.said and feeder.parent_id is not None:
        raise ConfigError(
            f"feeder {feeder.feeder_id} says a policy and has the parent {feeder.parent_id}",
            why="a whole tree is under the policy of its root",
            next_step="say it there, and take it away here",
        )
