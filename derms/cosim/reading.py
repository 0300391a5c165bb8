"""A line as typed values: every name, type and range that can be judged without a session. Pure."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from derms.columns import Params
from derms.contract.fields import MAX_TEXT
from derms.cosim.lines import as_object
from derms.cosim.said import (
    DeviceSaid,
    EventSaid,
    NodeSaid,
    Opening,
    OverrideSaid,
    OverrideWord,
    ProgramSaid,
    TickSaid,
)
from derms.cosim.wrong import Code, WrongLine, near, shown
from derms.model import DeviceKind, DeviceStatus, FeederMode, Policy, ProgramKind

_ALSO = {"min_power_kw": "p_min_kw", "power_step_kw": "p_step_kw"}
"""Other names of a device's fields."""
_OPENING = ("nodes", "devices", "policy", "parameters")
_TICK = ("now", "nodes", "devices", "events", "programs", "gone")
_MAY_BE_NOTHING = ("deadband",)
_NOISE = 1e-6
_LEAST_STEP_KW = 0.001
"""Steps finer than a watt are no steps, and would be counted one by one."""
_FRACTIONS = ("soc", "target_soc", "min_soc_reserve")
_CHOICES = {
    "type": DeviceKind,
    "status": DeviceStatus,
    "mode": FeederMode,
    "policy": Policy,
    "override": OverrideWord,
    "kind": ProgramKind,
}


def as_opening(tree: dict[str, Any]) -> Opening:
    """Read the first line.

    Raises:
        WrongLine: It is none.
    """
    if "now" in tree:
        raise WrongLine(
            Code.MISSING_FIELD,
            "the line has a `now`, and no session is open",
            why="the first line names nodes, devices, policy and parameters, and has no `now`",
            next_step='write {"nodes": {...}, "devices": {...}} first',
        )
    _check_names(tree, _OPENING, "the first line")
    nodes = {key: _typed(said, NodeSaid, f"node {key}") for key, said in _objects(tree, "nodes")}
    if not nodes:
        raise WrongLine(
            Code.MISSING_FIELD,
            "the first line has no nodes",
            why="devices hang on nodes, and limits are a node's",
            next_step='write "nodes": {"feeder": {"import_limit_kw": 50}}',
        )
    parameters = dict(as_object(_or(tree, "parameters", {}), "parameters"))
    lockstep = parameters.pop("lockstep", None)
    if lockstep is not None and not isinstance(lockstep, bool):
        raise _bad("parameters: lockstep", lockstep, "it must be true, false, or null to go by the length of a step")
    return Opening(
        nodes=nodes,
        devices=_devices(tree),
        policy=_policy(_or(tree, "policy", Policy.DEFICIT.value)),
        parameters=_parameters(parameters),
        lockstep=lockstep,
    )


def as_tick(tree: dict[str, Any]) -> TickSaid:
    """Read any later line.

    Raises:
        WrongLine: It is none.
    """
    _check_names(tree, _TICK, "the line", only_first=_OPENING)
    now = tree.get("now")
    if now is None:
        raise WrongLine(
            Code.MISSING_FIELD,
            "the line has no `now`",
            why="every line after the first is a tick, and a tick is at an instant",
            next_step='write "now": seconds, or an RFC 3339 text',
        )
    if isinstance(now, bool) or not isinstance(now, int | float | str):
        raise _bad("now", now, "it must be a number of seconds or an RFC 3339 text")
    gone = _or(tree, "gone", [])
    if not isinstance(gone, list) or not all(isinstance(name, str) for name in gone):
        raise _bad("gone", gone, "it must be a list of device ids")
    return TickSaid(
        now=now,
        nodes={key: _typed(said, NodeSaid, f"node {key}") for key, said in _objects(tree, "nodes")},
        devices=_devices(tree),
        events=[_event(said, where) for where, said in _listed(tree, "events")],
        programs=[_program(said, where) for where, said in _listed(tree, "programs")],
        gone=gone,
    )


def _or(tree: Mapping[str, Any], name: str, default: Any) -> Any:
    """A field; absent and null are the same."""
    said = tree.get(name)
    return default if said is None else said


def _objects(tree: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    found = as_object(_or(tree, name, {}), name)
    for key in found:
        check_id(key, name)
    return list(found.items())


def check_id(key: str, where: str) -> None:
    """An id that a log line and a terminal can take.

    Raises:
        WrongLine: It is none.
    """
    if not key or len(key) > MAX_TEXT or not key.isprintable():
        raise _bad(f"an id in {where}", key, f"an id is a text of 1 to {MAX_TEXT} printable characters")


def _devices(tree: Mapping[str, Any]) -> dict[str, DeviceSaid]:
    found = {}
    for key, said in _objects(tree, "devices"):
        where = f"device {key}"
        known = as_object(said, where)
        if not known.keys().isdisjoint(_ALSO):
            known = _renamed(known, where)
        device = _typed(known, DeviceSaid, where)
        if isinstance(device.override, OverrideSaid):
            _check_override(device.override, where)
        if isinstance(device.p_step_kw, float) and 0.0 < device.p_step_kw < _LEAST_STEP_KW:
            raise _bad(f"{where}: p_step_kw", device.p_step_kw, f"it is 0 for any power, or {_LEAST_STEP_KW} and more")
        found[key] = device
    return found


def _renamed(said: dict[str, Any], where: str) -> dict[str, Any]:
    for other, name in _ALSO.items():
        if other in said and name in said:
            raise _bad(f"{where}: {other}", said[other], f"{name} is said too, and is the same")
    return {_ALSO.get(name, name): value for name, value in said.items()}


def _check_override(override: OverrideSaid, where: str) -> None:
    if (override.kind is OverrideWord.HOLD) != (override.p_kw is not None):
        raise _bad(f"{where}: override.p_kw", override.p_kw, "a hold has a power, the others have none")


def _event(said: Any, where: str) -> EventSaid:
    event = _typed(said, EventSaid, where)
    check_id(event.id, where)
    if event.import_limit_kw is None and event.export_limit_kw is None and event.shed_kw is None:
        raise WrongLine(
            Code.MISSING_FIELD,
            f"event {event.id} asks for nothing",
            why="it has import_limit_kw, export_limit_kw or shed_kw",
            next_step="say at least one",
        )
    return event


def _program(said: Any, where: str) -> ProgramSaid:
    program = _typed(said, ProgramSaid, where)
    check_id(program.id, where)
    return program


def _listed(tree: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    found = _or(tree, name, [])
    if not isinstance(found, list):
        raise _bad(name, found, "it must be a list")
    return [(f"{name}[{place}]", said) for place, said in enumerate(found)]


def _policy(said: Any) -> Policy:
    try:
        return Policy(said)
    except ValueError as error:
        raise _bad("policy", said, f"it is one of {', '.join(Policy)}") from error


def _parameters(said: Mapping[str, Any]) -> dict[str, float]:
    known = [item.name for item in fields(Params)]
    for name, value in said.items():
        if name not in known:
            raise WrongLine(
                Code.UNKNOWN_FIELD,
                f"parameters: there is no {shown(name)}",
                why="a parameter is one of the engine's constants, or lockstep",
                next_step=near(name, [*known, "lockstep"]),
            )
        if value is None:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or value < 0.0 or (value == 0.0 and name not in _MAY_BE_NOTHING):
            raise _bad(f"parameters: {name}", value, "it must be a number above 0")
    return {name: float(value) for name, value in said.items() if value is not None}


T = TypeVar("T", bound=Struct)


def _typed(said: Any, kind: type[T], where: str) -> T:
    """One object as a struct.

    Raises:
        WrongLine: It has a field that is not known, or one with a bad value.
    """
    tree = as_object(said, where)
    _check_names(tree, kind.__struct_fields__, where)
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        rounded = {name: _rounded(name, value) for name, value in tree.items()}
        if rounded != tree:
            return _typed(rounded, kind, where)
        raise _explained(error, tree, where) from error


def _rounded(name: str, value: Any) -> Any:
    """A number that floating point has carried past a bound, taken back: what is left of 5 kWh is never below 0."""
    if isinstance(value, float) and -_NOISE <= value < 0.0:
        return 0.0
    if isinstance(value, float) and name in _FRACTIONS and 1.0 < value <= 1.0 + _NOISE:
        return 1.0
    return value


def _check_names(tree: Mapping[str, Any], known: tuple[str, ...], where: str, only_first: tuple[str, ...] = ()) -> None:
    for name in tree:
        if name not in known:
            early = name in only_first
            raise WrongLine(
                Code.UNKNOWN_FIELD,
                f"{where}: there is no field {shown(name)}",
                why="it belongs into the first line" if early else "a field that is not known may be a slip",
                next_step="start another session to change it" if early else near(name, known),
            )


def _explained(error: msgspec.ValidationError, tree: Mapping[str, Any], where: str) -> WrongLine:
    """What msgspec found, with the value and the way out."""
    rule, _, path = str(error).partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    if rule.startswith("Object missing required field"):
        return WrongLine(
            Code.MISSING_FIELD,
            f"{where}: {rule[0].lower()}{rule[1:]}",
            why="it cannot be meant without",
            next_step="say it",
        )
    if rule.startswith("Object contains unknown field"):
        name = rule.split("`")[1]
        return WrongLine(
            Code.UNKNOWN_FIELD,
            f"{where}: {path} has no field {name!r}",
            why="a field that is not known may be a slip",
            next_step=near(name, OverrideSaid.__struct_fields__),
        )
    top = path.split(".")[0].split("[")[0]
    value = tree.get(top)
    choices = _CHOICES.get(top)
    if choices is not None and rule.startswith("Invalid enum value"):
        rule = f"it is one of {', '.join(choices)}"
    if top in _FRACTIONS and isinstance(value, int | float) and 1 < value <= 100:
        return _bad(f"{where}: {path}", value, f"it is a fraction; {value:g} % is {value / 100:g}")
    if top == "metered_kw" or top.endswith("_kw"):
        rule = rule.replace("Expected `float | null`, got", "it must be a number of kW or null, not")
    return _bad(f"{where}: {path}", value, rule[0].lower() + rule[1:])


def _bad(where: str, value: object, why: str) -> WrongLine:
    return WrongLine(
        Code.BAD_VALUE, f"{where} is {shown(value)}", why=why, next_step="correct it and say the line again"
    )
