"""The filter language: `type:ev soc<0.3 origin:pi garage`. Pure.

::

    word              the id or the site holds it
    "two words"       the same
    key:value         is it;  key:a,b is one of them
    key<number        also <= > >= = !=;  units and % are understood: soc<30%, actual>2.5kW, age>2m
    -term, !term      not

All terms must hold.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from derms.errors import UsageError
from derms.tui.fleet import STATES, Flags, Fleet, Floats
from derms.wording.values import parse_duration

_TERM = re.compile(r'([-!]?)((?:[^\s"]|"[^"]*"?)+)')
_COMPARED = re.compile(r"([a-z_]+)(<=|>=|!=|<|>|=)(.*)", re.DOTALL)
_NAMED = re.compile(r"([a-z_]+):(.*)", re.DOTALL)
_NUMBER = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(%|kw|w|mw)?")
_SCALES = {None: 1.0, "": 1.0, "%": 0.01, "w": 0.001, "kw": 1.0, "mw": 1000.0}

NUMBERS = {
    "soc": "soc", "priority": "priority", "prio": "priority", "actual": "actual", "kw": "actual",
    "setpoint": "setpoint", "set": "setpoint", "error": "error", "err": "error", "max": "max",
    "lease": "lease", "age": "age",
}  # fmt: skip
"""What can be compared with a number -> what it means."""
WORDS = {"type": "type", "origin": "origin", "is": "state", "state": "state", "feeder": "feeder", "site": "site",
         "id": "id"}  # fmt: skip
"""What can be named -> what it means."""
_SAME = {
    "type": {"bat": "battery", "car": "ev", "solar": "pv"},
    "origin": {"pi": "physical", "real": "physical", "sim": "simulated"},
    "state": {"hold": "held", "block": "blocked", "good": "ok"},
}
_TYPES = ("pv", "battery", "ev", "load", "meter")
_ORIGINS = ("simulated", "physical")

Below = Callable[[str], Collection[str]]
"""The feeders at and below one."""


@dataclass(frozen=True, slots=True)
class Term:
    """One condition."""

    key: str
    """Empty: a text."""
    operator: str
    """`:` for what is named, else a comparison."""
    values: tuple[str, ...] = ()
    number: float = 0.0
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """What was asked for; no term: everything."""

    terms: tuple[Term, ...] = ()

    @property
    def columns(self) -> frozenset[str]:
        """Whose changes change the answer."""
        follow = {"lease": "until", "age": "heard"}
        return frozenset(follow.get(term.key, term.key) for term in self.terms if term.key not in ("", "id"))

    @property
    def by_clock(self) -> bool:
        """Whether the answer changes by itself as time goes by."""
        return any(term.key in ("lease", "age") for term in self.terms)


def parse(text: str) -> Query:
    """Read a filter.

    Raises:
        UsageError: It cannot be meant.
    """
    return Query(tuple(_term(word, bool(minus)) for minus, word in _TERM.findall(text)))


def begun(text: str) -> tuple[Query, str]:
    """Read a filter that is being written: the terms that can be meant, and what is wrong with the first other one."""
    terms: list[Term] = []
    problem = ""
    for minus, word in _TERM.findall(text):
        try:
            terms.append(_term(word, bool(minus)))
        except UsageError as error:
            problem = problem or error.what
    return Query(tuple(terms)), problem


def keep(query: Query, fleet: Fleet, *, now_s: float, below: Below) -> Flags:
    """Which devices are meant, shape (n,).

    Args:
        query: What was asked for.
        fleet: The devices.
        now_s: The controller's clock [epoch s].
        below: Tells which feeders hang on one.
    """
    kept: Flags = np.ones(len(fleet), dtype=np.bool_)
    for term in query.terms:
        holds = _holds(term, fleet, now_s, below)
        kept &= ~holds if term.negated else holds
    return kept


def _term(word: str, negated: bool) -> Term:
    lower = word.lower()
    if (named := _NAMED.fullmatch(lower)) is not None:
        return _named(named[1], named[2].replace('"', ""), negated)
    if (compared := _COMPARED.fullmatch(lower)) is not None:
        return _compared(compared[1], compared[2], compared[3].replace('"', ""), negated)
    return Term("", ":", (lower.replace('"', ""),), negated=negated)


def _named(name: str, value: str, negated: bool) -> Term:
    if name in NUMBERS and name not in WORDS:
        return _compared(name, "=", value, negated)
    key = _known(name, WORDS)
    values = tuple(each for each in value.split(",") if each)
    if not values:
        raise UsageError(f"{name}: what?", why="a value follows", next_step=f"write it like {name}:{_example(key)}")
    values = tuple(_SAME.get(key, {}).get(each, each) for each in values)
    closed = {"type": _TYPES, "origin": _ORIGINS, "state": (*STATES, "late", "override")}.get(key)
    if closed is not None:
        values = tuple(_whole(each, closed, name) for each in values)
    return Term(key, ":", values, negated=negated)


def _compared(name: str, operator: str, value: str, negated: bool) -> Term:
    if name in WORDS and operator in ("=", "!="):
        return _named(name, value, negated != (operator == "!="))
    key = _known(name, NUMBERS)
    if key in ("lease", "age"):
        if not value:
            raise UsageError(f"{name}{operator} what?", why="a duration follows", next_step=f"like {name}{operator}30s")
        number = 0.0 if value in ("0", "0s") else parse_duration(value)
    elif (found := _NUMBER.fullmatch(value)) is None:
        raise UsageError(
            f"{name}{operator}{value} is unfinished" if not value else f"{value!r} is no number",
            why="a number follows", next_step=f"like {name}{operator}{0.3 if key == 'soc' else 5}",
        )  # fmt: skip
    else:
        number = float(found[1]) * _SCALES[found[2]]
    return Term(key, operator, number=number, negated=negated)


def _known(name: str, known: Mapping[str, str]) -> str:
    if name in known:
        return known[name]
    every = sorted({*WORDS, *NUMBERS})
    raise UsageError(f"there is no {name!r}", why=f"there are {', '.join(every)}", next_step="name one of them")


def _whole(value: str, closed: tuple[str, ...], name: str) -> str:
    """The one that begins so; while somebody types it is not whole yet."""
    if value in closed:
        return value
    begun = [each for each in closed if each.startswith(value)]
    if not begun:
        raise UsageError(f"{name}:{value} is none", why=f"there are {', '.join(closed)}", next_step="name one of them")
    return begun[0]


def _example(key: str) -> str:
    return {"type": "ev", "origin": "pi", "state": "stale", "feeder": "feeder-1", "site": "garage"}.get(key, "ev-007")


def _holds(term: Term, fleet: Fleet, now_s: float, below: Below) -> Flags:
    if term.key == "" or term.key == "id":
        texts = fleet.texts() if term.key == "" else [device_id.lower() for device_id in fleet.ids]
        found = [any(part in text for part in term.values) for text in texts]
        return np.array(found, dtype=np.bool_)
    if term.operator == ":":
        return _named_holds(term, fleet, below)
    match term.key:
        case "lease":
            values = fleet.column("until") - now_s
        case "age":
            values = now_s - fleet.column("heard")
        case _:
            values = fleet.column(term.key)
    return _compare(values, term.operator, term.number)


def _named_holds(term: Term, fleet: Fleet, below: Below) -> Flags:
    if term.key == "state":
        wanted: set[str] = set()
        for value in term.values:
            wanted |= {"late": {"stale", "lost"}, "override": {"held", "blocked"}}.get(value, {value})
        return np.isin(fleet.column("state"), [STATES.index(each) for each in wanted])
    words = fleet.words(term.key)
    if term.key == "feeder":
        all_below = {name.lower() for value in term.values for name in _feeders(value, words, below)}
        codes = [code for code, word in enumerate(words) if word.lower() in all_below]
    elif term.key == "site":
        codes = [code for code, word in enumerate(words) if any(value in word.lower() for value in term.values)]
    else:
        codes = [code for code, word in enumerate(words) if word in term.values]
    return np.isin(fleet.column(term.key), codes)


def _feeders(value: str, words: Collection[str], below: Below) -> set[str]:
    named = {word for word in words if word.lower() == value} | {value}
    return {*named, *(each for one in named for each in below(one))}


def _compare(values: Floats, operator: str, number: float) -> Flags:
    with np.errstate(invalid="ignore"):
        match operator:
            case "<":
                return values < number
            case "<=":
                return values <= number
            case ">":
                return values > number
            case ">=":
                return values >= number
            case "=":
                return np.isclose(values, number, rtol=0.0, atol=0.0005)
            case _:
                return np.isfinite(values) & ~np.isclose(values, number, rtol=0.0, atol=0.0005)
