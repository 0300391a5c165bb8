"""The kinds of driver, opened by the `driver` table of the agent's configuration.

A kind's libraries are loaded when it is opened: an agent with another kind needs none of them.
"""

import contextlib
import random
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, assert_never

from agent.driver import Capabilities, Driver, Immediate
from agent.drivers.options import (
    CommandOptions,
    ModbusOptions,
    SimulatedOptions,
    SunspecOptions,
    driver_options,
)
from agent.drivers.simulated import simulated_model
from derms.errors import ConfigError
from derms.model import DeviceKind
from derms.ports import Clock


def open_driver(
    table: Mapping[str, Any],
    capabilities: Capabilities,
    *,
    clock: Clock,
    rng: random.Random,
    directory: Path = Path(),
    name: str = "driver",
) -> Driver:
    """Make the driver that the table describes. It asks the device nothing yet.

    Args:
        table: `kind`, and that kind's options.
        capabilities: What the device can do, by configuration.
        clock: For simulated devices, and for what a driver remembers.
        rng: For simulated devices.
        directory: What relative paths in the table are relative to.
        name: What messages call the table.

    Raises:
        ConfigError: The table is wrong, a file it names is, or a library is missing.
    """
    options = driver_options(table, name=name)
    match options:
        case SimulatedOptions():
            return Immediate(simulated_model(capabilities, clock=clock, rng=rng), clock=clock)
        case SunspecOptions():
            _check_kind(capabilities, (DeviceKind.PV, DeviceKind.BATTERY), "sunspec", name)
            with _needed("sunspec", name):
                from agent.drivers.bus import ModbusBus
                from agent.drivers.sunspec.driver import SunspecDriver
            return SunspecDriver(
                ModbusBus(options), capabilities, clock=clock, base=options.base_address, reversion=options.reversion
            )
        case CommandOptions():
            from agent.drivers.command import CommandDriver

            return CommandDriver(options, capabilities, clock=clock, directory=directory)
        case ModbusOptions():
            with _needed("modbus", name):
                from agent.drivers.bus import ModbusBus
                from agent.drivers.modbus.driver import ModbusDriver
                from agent.drivers.modbus.map import load_map
            return ModbusDriver(ModbusBus(options), load_map(directory / options.map), capabilities, clock=clock)
        case _:
            assert_never(options)


@contextlib.contextmanager
def _needed(kind: str, name: str) -> Iterator[None]:
    """Import what a kind needs.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{name}: the kind {kind} needs the Python package {error.name}, which is not installed",
            why="it comes with the extra `drivers`",
            next_step="install it: pip install 'derms[drivers]'",
        ) from error


def _check_kind(capabilities: Capabilities, fit: Collection[DeviceKind], kind: str, name: str) -> None:
    if capabilities.kind not in fit:
        raise ConfigError(
            f"{name}: the kind {kind} drives no {capabilities.kind.value}",
            why=f"it drives {' and '.join(fit)}",
            next_step="choose the kind modbus or command, or correct device_type",
        )
