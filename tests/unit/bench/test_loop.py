"""How ticks, leases and breaches are read off the wire."""

import time

import pytest

from derms.bench.breach import answers_ms
from derms.bench.fleet_load import LEASE, Device, Heard, Noted, Tick, device_id, meter_says
from derms.bench.loop import figures_of
from derms.bench.loop_run import Case, Seen, changed, lateness_ms
from derms.contract import Decoded, Topics, decode_telemetry, encode_setpoint
from derms.model import DeviceKind, Dialect, Setpoint, Telemetry


def _lease(p_kw: float, issued_at_ms: int = 1_000) -> tuple[str, bytes]:
    lease = Setpoint(
        device_id=device_id(0), kind=DeviceKind.EV, p_setpoint_kw=p_kw, issued_at_ms=issued_at_ms,
        valid_until_ms=issued_at_ms + 30_000, epoch=3, seq=9, reason="feeder-1 import limit",
    )  # fmt: skip
    return encode_setpoint(Topics(), lease, Dialect.V1)


def _understood(topic: str, payload: bytes) -> Telemetry:
    now_ms = time.time_ns() // 1_000_000
    (result,) = decode_telemetry(Topics(), topic, payload, now_ms=now_ms, speaks_percent=lambda _: False)
    assert isinstance(result, Decoded), result
    return result.telemetry


@pytest.mark.parametrize(("granted_kw", "draws_kw"), [(3.5, 3.5), (7.2, 5.0), (0.0, 0.0)])
def test_a_device_draws_what_it_wants_as_far_as_its_lease_goes_and_says_so(granted_kw: float, draws_kw: float) -> None:
    device = Device(device_id(0), wants_kw=5.0)
    device.obey(LEASE.decode(_lease(granted_kw)[1]))
    said = _understood(device.topic.decode(), device.says(time.time_ns() // 1_000_000, 7))
    assert (said.p_actual_kw, said.p_setpoint_kw, said.seq) == (draws_kw, granted_kw, 7)
    assert (said.applied_epoch, said.applied_seq) == (3, 9)


def test_the_meter_is_understood_as_one() -> None:
    said = _understood("der/telemetry/head", meter_says(12.5, time.time_ns() // 1_000_000))
    assert (said.kind, said.p_actual_kw) == (DeviceKind.METER, 12.5)


def test_leases_are_gathered_by_their_tick() -> None:
    noted = Noted()
    for issued_ms, at_ms, rise_kw in ((1_000, 1_004.0, 0.5), (1_000, 1_009.0, -2.0), (1_000, 1_011.0, -1.0)):
        noted.note(issued_ms, at_ms, rise_kw)
    noted.note(2_000, 2_003.0, 0.0)
    assert noted.told() == [
        Tick(issued_ms=1_000, leases=3, last_ms=1_011.0, cut_kw=3.0, cut_ms=1_009.0),
        Tick(issued_ms=2_000, leases=1, last_ms=2_003.0),
    ]


@pytest.mark.parametrize(
    ("ticks", "late"),
    [
        ([0, 1_000, 2_030], [0.0, 30.0]),
        ([0, 400, 1_400], [0.0, 0.0]),  # asked for, and so before its time
        ([0, 3_050], [50.0]),  # two between sent nothing: theirs and its own
        ([5_000, 6_000], []),  # not in the part that is looked at
    ],
)
def test_a_tick_is_late_by_what_is_over_the_interval(ticks: list[int], late: list[float]) -> None:
    seen = [Tick(issued_ms=at_ms, leases=1) for at_ms in ticks]
    assert lateness_ms(seen, 0.0, 4_000.0, 1_000.0) == late


def test_an_event_is_answered_by_the_first_tick_after_it_that_takes_as_much_away() -> None:
    before = Tick(issued_ms=900, leases=500, last_ms=950.0, cut_kw=90.0, cut_ms=910.0)
    wobble = Tick(issued_ms=1_010, leases=80, last_ms=1_030.0, cut_kw=2.0, cut_ms=1_020.0)
    answer = Tick(issued_ms=1_020, leases=400, last_ms=1_100.0, cut_kw=80.0, cut_ms=1_050.0)
    renewal = Tick(issued_ms=2_020, leases=900, last_ms=2_400.0, cut_kw=40.0, cut_ms=2_040.0)
    heard = Heard(samples=0, acknowledged=0, seconds=1.0, ticks=[renewal, before, wobble, answer])
    change = changed(heard, 1_000.0, 100)
    assert change is not None
    assert (change.leases, change.tick_to_last_ms, change.asked_to_last_ms) == (400, 80.0, 100.0)
    assert changed(Heard(samples=0, acknowledged=0, seconds=1.0, ticks=[before, wobble]), 1_000.0, 100) is None


def test_a_breach_is_answered_by_the_first_tick_after_it_that_takes_half_of_it_away() -> None:
    # the limit is 100 kW, the first breach 5 kW above it
    early = Tick(issued_ms=1_400, leases=9, last_ms=1_450.0, cut_kw=9.0, cut_ms=1_410.0)
    wobble = Tick(issued_ms=1_510, leases=9, last_ms=1_550.0, cut_kw=2.4, cut_ms=1_515.0)
    answer = Tick(issued_ms=1_520, leases=9, last_ms=1_590.0, cut_kw=2.6, cut_ms=1_530.0)
    assert answers_ms([early, wobble, answer], [1_500.0], 100.0) == [30.0]
    assert answers_ms([early, wobble], [1_500.0], 100.0) == [float("inf")]
    late = Tick(issued_ms=6_501, leases=9, last_ms=6_590.0, cut_kw=9.0, cut_ms=6_530.0)
    assert answers_ms([late], [1_500.0], 100.0) == [float("inf")]


def _seen(breaches_ms: list[float], late_ms: list[float]) -> Seen:
    case = Case(devices=1_000, every_s=1.0, tick_s=1.0, gateways=0, steady_s=1.0, events=0, breaches=2)
    return Seen(
        case=case, late_ms=late_ms, changes=[], breaches_ms=breaches_ms, echo_ms=[1.0], health_ms=[2.0], paho_s=0.1,
        rate=1_000.0, processors=0.5, machine=1.0,
    )  # fmt: skip


def test_what_was_never_seen_passes_no_target() -> None:
    figures = figures_of(_seen([], []))
    assert [figure.passed for figure in figures] == [False] * len(figures)


def test_a_breach_that_nobody_answered_stands_at_the_far_end() -> None:
    *_, p50, p99 = figures_of(_seen([5.0, 6.0, float("inf"), 7.0], [1.0]))
    assert (p50.value, p50.passed) == (7.0, True)
    assert (p99.value, p99.passed) == (float("inf"), False)
