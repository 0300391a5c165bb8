"""The daemon and its service manager: when it is ready, and that its control loop ticks."""

import asyncio
from collections.abc import Callable

from derms.api.schemas.health import ControllerRole, PartState, ReadyOut
from derms.supervisor import Supervisor
from derms.view.health import LiveHealth

_LOOK_S = 0.5


class Manager:
    """Tells of a daemon whose parts are there; ready is what `/api/ready` says.

    Args:
        supervisor: Who is told.
        health: What is told.
        ticked: Told of every tick as well.
    """

    def __init__(self, supervisor: Supervisor, health: LiveHealth, *, ticked: Callable[[], None]) -> None:
        self._supervisor = supervisor
        self._health = health
        self._ticked = ticked

    def ticked(self) -> None:
        """The control loop has ticked: the one sign of life there is."""
        self._ticked()
        self._supervisor.starting()
        self._supervisor.alive()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            found = self._health.ready()
            if found.ready:
                self._supervisor.ready()
            self._supervisor.status(line(found))
            await asyncio.sleep(_LOOK_S)


def line(found: ReadyOut) -> str:
    """How it does, in a line."""
    role = "Commands" if found.role is ControllerRole.ACTIVE else "Stands by"
    wrong = [f"{name} is {part.state.value}" for name, part in found.parts.items() if part.state is not PartState.OK]
    return f"{role}; not ready: {', '.join(wrong)}" if wrong else f"{role}; ready"
