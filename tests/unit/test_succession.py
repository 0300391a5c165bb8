"""What others have said, and what they left: taken in before anything is commanded, and answered afterwards."""

import asyncio
from collections.abc import Iterator

import msgspec
import pytest

from derms.contract import Topics
from derms.control.dispatch import Outbox
from derms.metrics import Metrics
from derms.model import DeviceKind, Dialect, Setpoint
from derms.ports import Duty
from derms.succession import Hearsay, Succession
from tests.brokers import until
from tests.fakes_api import FakeClock
from tests.live import LiveController, live_controller
from tests.plant import Bus


class Office:
    """An authority whose duty is set by hand."""

    def __init__(self, duty: Duty) -> None:
        self.given, self.epoch = duty, 7
        self.heard: list[int] = []

    def duty(self, root: str) -> Duty:
        return self.given

    def outranked(self, root: str, epoch: int) -> None:
        if epoch > self.epoch:
            self.heard.append(epoch)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def live(clock: FakeClock) -> Iterator[LiveController]:
    with live_controller(clock, Metrics(version="test")) as live:
        live.register("ev-1", DeviceKind.EV)
        live.hear("ev-1")
        yield live


def _hearsay(live: LiveController, office: Office) -> Hearsay:
    live.loop._authority = office
    return Hearsay(fleet=live.fleet, loop=live.loop, authority=office, heard=lambda _: None, clock=live.clock)


def _lease(live: LiveController, p_kw: float, epoch: int, life_s: float = 20.0) -> Setpoint:
    now_ms = live.clock.now_ms()
    return Setpoint(
        device_id="ev-1", kind=DeviceKind.EV, p_setpoint_kw=p_kw, issued_at_ms=now_ms,
        valid_until_ms=now_ms + round(life_s * 1000), epoch=epoch, seq=900,
    )  # fmt: skip


def test_who_stands_by_knows_the_leases_of_who_commands_and_sends_none(live: LiveController) -> None:
    hearsay = _hearsay(live, Office(Duty.STANDS_BY))
    hearsay.take(0, _lease(live, 5.0, 7))
    assert live.fleet.leases[0] is not None
    hearsay.take(0, _lease(live, 2.0, 6))  # late
    assert live.fleet.leases[0].p_setpoint_kw == 5.0
    live.loop.tick()
    assert live.fleet.leases[0].p_setpoint_kw == 5.0
    assert live.recorder.queued == 0
    view = live.loop.feeders["feeder-1"].view
    assert view is not None, "it decides all the same"


def test_an_older_lease_on_the_wire_is_feared_and_answered_with_ours_again(live: LiveController) -> None:
    office = Office(Duty.LEADS)
    hearsay = _hearsay(live, office)
    live.loop.tick()
    ours = live.fleet.leases[0]
    assert ours is not None
    live.loop.tick()
    assert live.fleet.leases[0] is ours, "nothing is due"
    hearsay.take(0, _lease(live, 6.5, 6))
    state = live.loop.feeders["feeder-1"].tree
    columns = live.fleet.columns(state.rows, state.node, now_s=live.clock.monotonic_s(), now_ms=live.clock.now_ms())
    assert columns.may_kw.tolist() == [6.5]
    live.loop.tick()
    again = live.fleet.leases[0]
    assert again is not None
    assert (again.epoch, again.seq) == (7, ours.seq + 1)
    assert office.heard == []


def test_our_own_echo_is_nothing_new(live: LiveController) -> None:
    hearsay = _hearsay(live, Office(Duty.LEADS))
    live.loop.tick()
    ours = live.fleet.leases[0]
    assert ours is not None
    hearsay.take(0, ours)
    live.loop.tick()
    assert live.fleet.leases[0] is ours


def test_a_newer_lease_than_ours_is_reported(live: LiveController) -> None:
    office = Office(Duty.LEADS)
    _hearsay(live, office).take(0, _lease(live, 1.0, 8))
    assert office.heard == [8]


async def test_a_takeover_reads_leases_and_says_everything_anew(live: LiveController) -> None:
    office = Office(Duty.STANDS_BY)
    _hearsay(live, office)
    registered: list[str] = []

    class Left(type(live.store)):  # type: ignore[misc]  # the fake in memory, with what the one before has said
        async def live_setpoints(self, _now: object) -> list[Setpoint]:
            return [_lease(live, 4.0, 6)]

    live.store.__class__ = Left
    live.store.devices.pop("ev-1")

    async def nothing() -> None:
        """Nobody has raised an alarm."""

    succession = Succession(
        store=live.store,
        fleet=live.fleet, loop=live.loop, clock=live.clock,
        on_registered=lambda device: registered.append(device.device_id), on_followed=nothing,
    )  # fmt: skip
    await succession.take_over(["feeder-1"])
    assert registered == ["ev-1"], "what the one before had not stored is stored"
    assert live.fleet.leases[0] == _lease(live, 4.0, 6)
    office.given = Duty.LEADS
    live.loop.tick()
    said = live.fleet.leases[0]
    assert said is not None
    assert said.epoch == 7


async def test_a_lease_whose_sender_may_not_command_any_more_does_not_go_out() -> None:
    bus, failed = Bus(), []
    outbox = Outbox(sink=bus, topics=Topics(), on_sent=lambda _: None, on_failed=lambda row, _lease: failed.append(row))
    lease = Setpoint(
        device_id="ev-1", kind=DeviceKind.EV, p_setpoint_kw=1.0, issued_at_ms=0, valid_until_ms=9_000, epoch=1, seq=1
    )
    outbox.put([(0, lease, Dialect.V1)], lambda: False)
    outbox.put([(1, msgspec.structs.replace(lease, device_id="ev-2"), Dialect.V1)], lambda: True)
    task = asyncio.create_task(outbox.run())
    await until(lambda: bool(bus.sent))
    task.cancel()
    assert [topic for topic, _ in bus.sent] == ["der/control/ev-2"]
    assert (failed, outbox.withheld) == ([0], 1)
