"""What each kind of driver may be told, in the `driver` table of the agent's configuration. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from agent.drivers.units import Sign, Unit
from agent.options import checked
from derms.errors import ConfigError

_Path = Annotated[str, Meta(min_length=1, max_length=4096)]
_Host = Annotated[str, Meta(min_length=1, max_length=253)]
_Port = Annotated[int, Meta(ge=1, le=65_535)]
_Unit = Annotated[int, Meta(ge=0, le=255)]
_Word = Annotated[str, Meta(min_length=1, max_length=4096)]


class SimulatedOptions(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="simulated"):
    """A device where there is none."""


class BusOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where a Modbus device is: `host` for TCP, or `serial_port` for RTU."""

    host: _Host | None = None
    port: _Port = 502
    serial_port: _Path | None = None
    """Such as `/dev/ttyUSB0`."""
    baud: Annotated[int, Meta(ge=300, le=4_000_000)] = 9600
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1
    unit: _Unit = 1
    """The device's address on the bus; behind a TCP gateway too."""
    timeout_s: Annotated[float, Meta(ge=0.05, le=30)] = 1.0
    """For connecting, and for each answer [s]."""


class SunspecOptions(BusOptions, frozen=True, kw_only=True, tag_field="kind", tag="sunspec"):
    """A SunSpec inverter or battery."""

    base_address: Annotated[int, Meta(ge=0, le=65_533)] | None = None
    """Where its map begins; None: 40000, 0 and 50000 are tried."""
    reversion: bool = True
    """Let the device's own timer end what it was told. False for one that does not have it, or has it wrong."""


class ModbusOptions(BusOptions, frozen=True, kw_only=True, tag_field="kind", tag="modbus"):
    """Any Modbus device, by a register map."""

    map: _Path
    """The YAML file, relative to the configuration's directory."""


class CommandOptions(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="command"):
    """Two executables."""

    read: Annotated[list[_Word], Meta(min_length=1, max_length=64)]
    """Program and arguments; prints one JSON object. A path is relative to the configuration's directory."""
    apply: Annotated[list[_Word], Meta(min_length=1, max_length=64)] | None = None
    """Program and arguments; gets the power and the seconds as two more. None: the device takes no orders."""
    timeout_s: Annotated[float, Meta(ge=0.1, le=60)] = 5.0
    """For each run [s]; then the program and its children are killed."""
    refresh_s: Annotated[float, Meta(ge=1, le=3600)] = 30.0
    """`apply` runs when something changed, and at least this often [s]."""
    unit: Unit = "kW"
    """Of the powers that are printed and given."""
    sign: Sign = "load"
    """What is positive in them: `load` drawn power, `generation` generated power."""
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    """What it gets besides `PATH`, `LANG` and `HOME`."""


DriverOptions = SimulatedOptions | SunspecOptions | ModbusOptions | CommandOptions

_KINDS: dict[str, type[DriverOptions]] = {
    "simulated": SimulatedOptions,
    "sunspec": SunspecOptions,
    "modbus": ModbusOptions,
    "command": CommandOptions,
}


def driver_options(table: Mapping[str, Any], *, name: str) -> DriverOptions:
    """Check a `driver` table.

    Args:
        table: What was written.
        name: What messages call it.

    Raises:
        ConfigError: It says something that cannot be.
    """
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ConfigError(
            f"{name}: kind = {str(kind)[:60]!r} is wrong" if "kind" in table else f"{name}: there is no kind",
            why=f"it is one of {', '.join(_KINDS)}",
            next_step="choose one; docs/drivers.md tells what each is for",
        )
    options = checked(table, _KINDS[kind], name=name)
    if isinstance(options, BusOptions):
        _check_bus(options, table, name)
    return options


def _check_bus(options: BusOptions, table: Mapping[str, Any], name: str) -> None:
    if (options.host is None) == (options.serial_port is None):
        raise ConfigError(
            f"{name}: {'neither host nor' if options.host is None else 'both host and'} serial_port",
            why="a Modbus device is reached by TCP or on a serial line",
            next_step="give host (and port) for TCP, or serial_port (and baud, parity, stop_bits) for RTU",
        )
    other = ("serial_port", "baud", "parity", "stop_bits") if options.host is not None else ("port",)
    misplaced = next((key for key in other if key in table), None)
    if misplaced is not None:
        raise ConfigError(
            f"{name}: {misplaced} = {table[misplaced]!r} has no meaning here",
            why=f"the device is reached {'by TCP' if options.host is not None else 'on a serial line'}",
            next_step="take it out",
        )
