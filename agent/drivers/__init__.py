"""The kinds of driver, opened by the `driver` table of the agent's configuration.

A kind's libraries are loaded when it is opened: an agent with another kind needs none of them.
"""

import random
from collections.abc import Mapping
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
        case SunspecOptions() | ModbusOptions() | CommandOptions():
            raise ConfigError(f"{name}: kind = {table['kind']!r} is not built yet", next_step="choose another")
        case _:
            assert_never(options)
