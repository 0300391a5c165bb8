"""What can be done to the controller: each asks, says what follows, and does it only when that was meant."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from derms.model import Role
from derms.tui.actions import alarms, devices, events, feeders
from derms.tui.desk import Desk


@dataclass(frozen=True, slots=True)
class Action:
    """One of them."""

    what: str
    """In the words of whoever is told that they may not."""
    run: Callable[..., Awaitable[None]]
    needs: Role = Role.OPERATOR


ACTIONS = {
    "new_event": Action("a new event", events.new_event),
    "amend_event": Action("amending an event", events.amend_event),
    "cancel_event": Action("cancelling an event", events.cancel_event),
    "switch_program": Action("switching a program", events.switch_program),
    "acknowledge": Action("acknowledging", alarms.acknowledge),
    "shelve": Action("shelving", alarms.shelve),
    "unshelve": Action("unshelving", alarms.unshelve),
    "set_limit": Action("setting a limit", feeders.set_limit),
    "set_mode": Action("setting the mode", feeders.set_mode),
    "simulate": Action("the simulation", feeders.simulate),
    "hold_device": Action("holding a device", devices.hold),
    "block_device": Action("blocking a device", devices.block),
    "release_device": Action("releasing a device", devices.release),
}
"""By the name in a command's `do('...')`."""

__all__ = ["ACTIONS", "Action", "Desk"]
