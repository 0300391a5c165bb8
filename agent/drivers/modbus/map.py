"""A register map: which register of a device means what, read from a small YAML file. The only door to PyYAML.

Only plain data is taken: no tags, no anchors, no key twice. What cannot be meant is refused with its place.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta

from agent.drivers.modbus.registers import RegisterType, WordOrder, range_of, words_of
from agent.drivers.units import Sign, Unit
from agent.files import read_by_hand
from agent.options import checked
from derms.errors import ConfigError

_MAX_DEPTH = 8
_ADDRESSES = 65_536

_Address = Annotated[int, Meta(ge=0, le=_ADDRESSES - 1)]
_Scale = Annotated[float, Meta(ge=-1e9, le=1e9)]
_Seconds = Annotated[float, Meta(ge=0.5, le=3600)]


class Register(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a number stands."""

    address: _Address
    """As it stands in the request, from 0: a manual's 40001 is often 0, its 30001 too."""
    table: Literal["holding", "input"] = "holding"
    type: RegisterType = "uint16"
    word_order: WordOrder = "big"
    scale: _Scale = 1.0
    """The number is what is in the register times this."""
    absent: tuple[float, ...] = ()
    """What the register holds when the device does not know (before scaling)."""


class PowerRegister(Register, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a power stands."""

    unit: Unit
    sign: Sign
    """What is positive: `load` drawn power, `generation` generated power."""


class SocRegister(Register, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a state of charge stands."""

    unit: Literal["%", "fraction"] = "%"


class CapacityRegister(Register, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a store's capacity stands."""

    unit: Literal["kWh", "Wh"] = "kWh"


class StatusRegister(Register, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the device says how it is; a number in no list is `ok`."""

    fault: tuple[int, ...] = ()
    unavailable: tuple[int, ...] = ()
    local: tuple[int, ...] = ()


class Setting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number that is written as it stands here."""

    address: _Address
    value: float
    """Raw: it is not scaled."""
    type: RegisterType = "uint16"
    word_order: WordOrder = "big"
    single: bool = False
    """With function 6 instead of 16."""


class Setpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The register that is told the power."""

    address: _Address
    type: RegisterType = "int16"
    word_order: WordOrder = "big"
    scale: _Scale = 1.0
    unit: Literal["W", "kW", "%"]
    """`%`: of the rating in the agent's configuration."""
    sign: Sign
    minimum: float
    """In `unit` and `sign`; 0 lies between it and `maximum`. What is asked beyond is cut off there."""
    maximum: float
    single: bool = False
    readable: bool = True
    """It can be read back; then it is written only when it differs, and seen to have been taken."""
    rewrite_s: _Seconds = 60.0
    """One that cannot be read back is written at least this often [s]."""


class Watchdog(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A register that must be written now and then, or the device falls to a default of its own."""

    address: _Address
    type: RegisterType = "uint16"
    word_order: WordOrder = "big"
    write: int | Literal["seconds", "counter"]
    """`seconds`: what is left of the lease; `counter`: another number each time; or always this number."""
    every_s: _Seconds = 5.0
    """For `seconds` it is written when the end moves, as well."""
    maximum_s: Annotated[float, Meta(ge=1, le=4e9)] = 65_535.0
    """The longest time it takes [s]."""
    single: bool = False


class RegisterMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is read and written."""

    power: PowerRegister
    soc: SocRegister | None = None
    capacity: CapacityRegister | None = None
    available: PowerRegister | None = None
    """What it can do now."""
    status: StatusRegister | None = None
    before: tuple[Setting, ...] = ()
    """Written before the setpoint whenever that is: enabling remote control, choosing a mode."""
    setpoint: Setpoint | None = None
    default: tuple[Setting, ...] | None = None
    """Written instead when the device is on its default control."""
    watchdog: Watchdog | None = None
    """Written while a lease lives, and not otherwise."""


def load_map(path: Path) -> RegisterMap:
    """Read and check a register map.

    Raises:
        ConfigError: It cannot be read, is no YAML, or says something that cannot be.
    """
    step = "give the path of a YAML file, relative to the configuration's directory"
    raw = read_by_hand(path, what="the register map", next_step=step)
    return parse_map(raw, name=str(path))


def parse_map(raw: bytes, *, name: str) -> RegisterMap:
    """Check a map's bytes.

    Raises:
        ConfigError: See `load_map`.
    """
    try:
        tree = yaml.load(raw, Loader=_Plain)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise ConfigError(
            f"{name}{place}: not a map",
            why=(getattr(error, "problem", None) or str(error))[:160],
            next_step="correct it",
        ) from error
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{name} holds no map", why="it begins with keys such as `power:`", next_step="see docs/drivers.md"
        )
    found = checked(tree, RegisterMap, name=name)
    _check(found, name)
    return found


class _Plain(yaml.SafeLoader):
    """YAML without what nobody needs in a map and a reader can stumble over."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it untyped
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.constructor.ConstructorError(None, None, "anchors and aliases are not taken", event.start_mark)
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise yaml.constructor.ConstructorError(None, None, f"nested deeper than {_MAX_DEPTH}", event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {getattr(key, 'value', key)!r} stands twice, or is no word", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _check(found: RegisterMap, name: str) -> None:
    """The rules that no single field's type can tell."""
    for key in ("power", "soc", "capacity", "available", "status", "setpoint"):
        register = getattr(found, key)
        if register is not None and register.scale == 0:
            raise _wrong(name, f"{key}.scale = 0", "a scale is not 0", "write the manual's factor, such as 0.1")
    everything = [found.power, found.soc, found.capacity, found.available, found.status, found.setpoint, found.watchdog]
    for register in [*everything, *found.before, *(found.default or ())]:
        if register is not None and register.address + words_of(register.type) > _ADDRESSES:
            raise _wrong(
                name, f"address = {register.address}", f"a {register.type} does not fit behind it", "correct it"
            )
    for setting in (*found.before, *(found.default or ())):
        low, high = range_of(setting.type)
        if not low <= setting.value <= high or (setting.type != "float32" and setting.value % 1):
            raise _wrong(name, f"value = {setting.value:g}", f"it does not fit {setting.type}", "correct value or type")
    if found.setpoint is not None:
        _check_setpoint(found.setpoint, name)
    elif found.watchdog is not None or found.before or found.default is not None:
        raise _wrong(name, "no setpoint", "before, default and watchdog go with one", "add setpoint, or take them out")


def _check_setpoint(setpoint: Setpoint, name: str) -> None:
    if not setpoint.minimum <= 0 <= setpoint.maximum or setpoint.minimum == setpoint.maximum:
        raise _wrong(
            name,
            f"setpoint: minimum = {setpoint.minimum:g}, maximum = {setpoint.maximum:g}",
            "0 lies between them, so that cutting off at a bound never takes more than was granted",
            "correct them",
        )
    low, high = range_of(setpoint.type)
    for bound in (setpoint.minimum, setpoint.maximum):
        if not low <= bound / setpoint.scale <= high:
            raise _wrong(
                name,
                f"setpoint: {bound:g} {setpoint.unit} is {bound / setpoint.scale:g} in the register",
                f"a {setpoint.type} holds {low:g}..{high:g}",
                "correct type, scale or the bound",
            )


def _wrong(name: str, what: str, why: str, next_step: str) -> ConfigError:
    return ConfigError(f"{name}: {what}", why=why, next_step=next_step)
