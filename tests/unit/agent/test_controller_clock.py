"""What time it is at the controller, whatever the device's own clock says."""

import json
from typing import Any

import pytest

from agent.controller_clock import ControllerClock
from agent.driver import Capabilities
from agent.endpoint import Endpoint, Verdict
from agent.orders import Orders
from derms.contract import ControllerPresence, Topics, encode_controller, encode_setpoint
from derms.model import DeviceKind, Dialect, Outcome
from derms.ports import Message
from tests.fakes_contract import NOW_MS, lease

TOPICS = Topics()
HOUR_MS = 3_600_000


def test_what_is_heard_is_carried_on_by_the_monotonic_clock() -> None:
    clock = ControllerClock()
    assert clock.now_ms(0) is None
    clock.hear(NOW_MS, monotonic_s=10, sure=True)
    assert clock.now_ms(75) == NOW_MS + 65_000


def test_the_latest_stamp_counts_and_a_late_one_hardly() -> None:
    clock = ControllerClock()
    clock.hear(NOW_MS, monotonic_s=0, sure=True)
    clock.hear(NOW_MS + 400, monotonic_s=0, sure=True)
    assert clock.now_ms(0) == NOW_MS + 400
    clock.hear(NOW_MS - 1_600, monotonic_s=0, sure=True)  # 2 s late: a twentieth of it counts
    assert clock.now_ms(0) == NOW_MS + 300


def test_one_odd_stamp_changes_nothing_and_a_second_that_agrees_does() -> None:
    clock = ControllerClock()
    clock.hear(NOW_MS, monotonic_s=0, sure=True)
    clock.hear(NOW_MS + HOUR_MS, monotonic_s=1, sure=True)
    assert clock.now_ms(1) == NOW_MS + 1_000
    clock.hear(NOW_MS + HOUR_MS + 10_000, monotonic_s=11, sure=True)
    assert clock.now_ms(11) == NOW_MS + HOUR_MS + 10_000


def test_a_queue_of_late_heartbeats_is_not_believed() -> None:
    clock = ControllerClock()
    clock.hear(NOW_MS, monotonic_s=0, sure=True)
    for late_s in (40, 30, 20, 10):
        clock.hear(NOW_MS + (60 - late_s) * 1000, monotonic_s=60, sure=True)
    clock.hear(NOW_MS + 60_000, monotonic_s=60, sure=True)
    assert clock.now_ms(60) == NOW_MS + 60_000


class Bench:
    """A device with a wall clock that is wrong, and a controller whose clock is right."""

    def __init__(self, ahead_ms: int = 0) -> None:
        self.s = 0.0
        self.ahead_ms = ahead_ms
        can = Capabilities(kind=DeviceKind.EV, p_import_max_kw=7.2, p_min_kw=1.4, default_power_kw=1.4)
        self.endpoint = Endpoint(device_id="ev-001", capabilities=can)
        self.orders = Orders(device_id="ev-001", kind=DeviceKind.EV, endpoint=self.endpoint, topics=TOPICS, clock=self)

    def now_ms(self) -> int:
        return self.true_ms + self.ahead_ms

    def monotonic_s(self) -> float:
        return self.s

    @property
    def true_ms(self) -> int:
        return NOW_MS + round(self.s * 1000)

    def heartbeat(self, *, epoch: int = 7, off_ms: int = 0, retained: bool = False, online: bool = True) -> None:
        presence = ControllerPresence(
            controller_id="c", epoch=epoch, heartbeat_ms=self.true_ms + off_ms, version="0", online=online
        )
        assert self.orders.take(Message(*encode_controller(TOPICS, presence), retained)) is None

    def order(self, *, age_ms: int = 0, expires_s: int | None = None, retained: bool = False, **changes: Any) -> object:
        at = self.true_ms - age_ms
        fields = {"issued_at_ms": at, "valid_until_ms": at + 90_000} | changes
        topic, payload = encode_setpoint(TOPICS, lease(**fields), Dialect.V1)
        return self.orders.take(Message(topic, payload, retained, 0, expires_s))


@pytest.mark.parametrize("ahead_ms", [-40 * 365 * 24 * HOUR_MS, -HOUR_MS, -20_000, 0, 20_000, HOUR_MS])
def test_with_heartbeats_a_lease_lives_exactly_as_long_as_it_should_whatever_the_wall_clock_says(ahead_ms: int) -> None:
    bench = Bench(ahead_ms)
    bench.heartbeat()
    bench.s = 5.0
    assert bench.order(seq=1) is Verdict.ACCEPTED
    assert bench.endpoint.following(94.9) is not None
    assert bench.endpoint.following(95.0) is None
    bench.s = 10.0
    assert bench.order(seq=2, age_ms=60_000, retained=True) is Verdict.ACCEPTED  # found late: 30 s are left
    assert bench.endpoint.following(39.9) is not None
    assert bench.endpoint.following(40.0) is None
    assert bench.order(seq=3, age_ms=90_000, retained=True) is Verdict.EXPIRED


def test_without_heartbeats_the_wall_clock_is_all_there_is() -> None:
    assert Bench(HOUR_MS).order() is Verdict.EXPIRED  # it may be an hour old for all the device knows: the safe side
    behind = Bench(-HOUR_MS)
    assert behind.order(age_ms=60_000, retained=True) is Verdict.ACCEPTED
    assert behind.endpoint.following(89.9) is not None  # its whole length and never more
    assert behind.endpoint.following(90) is None


def test_without_heartbeats_the_broker_may_say_what_is_left() -> None:
    bench = Bench(-HOUR_MS)
    assert bench.order(age_ms=60_000, retained=True, expires_s=30) is Verdict.ACCEPTED
    assert bench.endpoint.following(30) is None


def test_expired_setpoints_sent_again_and_again_are_never_believed() -> None:
    bench = Bench()
    for seq in range(1, 20):
        bench.s += 1
        assert bench.order(seq=seq, age_ms=100_000) is Verdict.EXPIRED
    assert bench.order(seq=100) is Verdict.ACCEPTED


def test_one_setpoint_with_an_odd_stamp_does_not_turn_the_next_one_away() -> None:
    bench = Bench()
    assert bench.order(seq=1, age_ms=-HOUR_MS) is Verdict.ACCEPTED  # from the future, of ordinary length
    assert bench.endpoint.following(90) is None
    assert bench.order(seq=2) is Verdict.ACCEPTED


def test_heartbeats_that_are_old_or_of_an_older_controller_tell_no_time() -> None:
    bench = Bench()
    bench.heartbeat(epoch=8)
    for _ in range(3):
        bench.heartbeat(epoch=7, off_ms=HOUR_MS)
        bench.heartbeat(epoch=9, off_ms=HOUR_MS, retained=True)
        bench.heartbeat(epoch=9, off_ms=HOUR_MS, online=False)
    assert bench.order() is Verdict.ACCEPTED
    assert bench.endpoint.following(89.9) is not None


@pytest.mark.parametrize("payload", [b"", b"junk", b"{}", b"[" * 5000, b'{"v":1,"controller_id":"x"}'])
def test_a_heartbeat_that_makes_no_sense_is_passed_over(payload: bytes) -> None:
    bench = Bench()
    assert bench.orders.take(Message("der/controller/c", payload)) is None
    assert bench.order() is Verdict.ACCEPTED


def test_everything_that_is_refused_is_counted_by_name() -> None:
    bench = Bench()
    assert bench.order(seq=5) is Verdict.ACCEPTED
    assert bench.order(seq=5) is Verdict.REPEATED
    assert bench.order(seq=4) is Verdict.OLDER_SEQ
    assert bench.orders.take(Message("der/control/ev-001", b"NaN")) is Outcome.MALFORMED
    assert bench.orders.take(Message("der/control/ev-001", json.dumps({"v": 2}).encode())) is not None
    assert dict(bench.orders.counts()) == {"malformed": 1, "older_seq": 1, "repeated": 1, "unknown_version": 1}
