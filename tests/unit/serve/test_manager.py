"""What the service manager is told of a daemon, on a clock that is moved."""

import asyncio
import socket

from derms.api.schemas.health import ControllerRole, PartHealth, PartState, ReadyOut
from derms.runtime import running
from derms.serve.manager import Manager, line
from derms.supervisor import Supervisor
from tests.fakes_contract import LoopClock, run_virtually
from tests.systemd import told


def found(role: ControllerRole = ControllerRole.ACTIVE, **states: PartState) -> ReadyOut:
    parts = {name: PartHealth(state=state, age_s=0.0, detail="") for name, state in states.items()}
    ready = all(state is PartState.OK for state in states.values())
    return ReadyOut(ready=ready, parts=parts, role=role)


class Health:
    """Says what it is told to."""

    def __init__(self) -> None:
        self.out = found(mqtt=PartState.DOWN, loop=PartState.STARTING)

    def ready(self) -> ReadyOut:
        return self.out


def test_a_loop_that_ticks_no_more_is_dead_however_alive_the_rest_is(service_manager: socket.socket) -> None:
    async def main() -> None:
        clock, health, ticks = LoopClock(), Health(), []
        environment = {"NOTIFY_SOCKET": service_manager.getsockname(), "WATCHDOG_USEC": "30000000"}
        supervisor = Supervisor(environment, clock=clock, turn_s=5.0)
        manager = Manager(supervisor, health, ticked=lambda: ticks.append(1))  # type: ignore[arg-type]  # only asked `ready`

        async def ticking(seconds: int) -> list[str]:
            for _ in range(seconds // 5):
                await asyncio.sleep(5.0)
                manager.ticked()
            return told(service_manager)

        async with running({"manager": manager.run}):
            assert await ticking(20) == [
                "STATUS=Commands; not ready: mqtt is down, loop is starting", *["EXTEND_TIMEOUT_USEC=60000000"] * 4
            ]  # fmt: skip
            await asyncio.sleep(60.0)
            assert told(service_manager) == [], "it does not tick, so its start is not put off either"
            health.out = found(mqtt=PartState.OK, loop=PartState.OK)
            assert (await ticking(60))[:3] == ["READY=1\nWATCHDOG=1", "STATUS=Commands; ready", "WATCHDOG=1"]
            health.out = found(ControllerRole.STANDBY, mqtt=PartState.OK, loop=PartState.DOWN)
            await asyncio.sleep(120.0)
            assert told(service_manager) == ["STATUS=Stands by; not ready: loop is down"]
            assert await ticking(5) == ["WATCHDOG=1"]
        assert len(ticks) == 4 + 12 + 1, "whoever else wants to hear of ticks does"

    run_virtually(main())


def test_a_line_names_what_is_wrong() -> None:
    assert line(found(db=PartState.OK)) == "Commands; ready"
    assert line(found(ControllerRole.STANDBY, db=PartState.DOWN)) == "Stands by; not ready: db is down"
