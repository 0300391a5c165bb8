"""The rules of a device: which setpoints it follows, and what it does without one."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.driver import Capabilities
from agent.endpoint import MAX_LEASE_S, ORDER_LEASE_S, RAMP_HOLD_S, Endpoint, Verdict
from derms.contract import Order
from derms.model import DeviceKind, Setpoint
from tests.fakes_contract import NOW_MS, lease

EV = Capabilities(kind=DeviceKind.EV, p_import_max_kw=7.2, p_min_kw=1.4, default_power_kw=1.4)
BATTERY = Capabilities(kind=DeviceKind.BATTERY, p_import_max_kw=5, p_export_max_kw=5, default_power_kw=0)
PV = Capabilities(kind=DeviceKind.PV, p_export_max_kw=6, default_power_kw=None)


def endpoint(capabilities: Capabilities = EV) -> Endpoint:
    return Endpoint(device_id="ev-001", capabilities=capabilities)


def offer(e: Endpoint, *, at_s: float = 0.0, now_ms: int | None = None, **changes: Any) -> Verdict:
    """Offer a lease of 90 s, `at_s` seconds after it was issued."""
    return e.offer(lease(**changes), now_ms=NOW_MS + round(at_s * 1000) if now_ms is None else now_ms, monotonic_s=at_s)


def test_without_a_lease_it_is_on_default_control() -> None:
    assert endpoint().target(0) == 1.4
    assert endpoint(PV).target(0) is None


def test_a_good_setpoint_is_followed_at_once_and_named() -> None:
    e = endpoint()
    assert offer(e) is Verdict.ACCEPTED
    assert e.target(0) == 3.6
    lease_now = e.following(0)
    assert lease_now is not None
    assert (lease_now.epoch, lease_now.seq) == (7, 1202)


def test_a_lease_ends_by_itself_and_the_fall_is_ramped() -> None:
    e = endpoint()
    offer(e, p_setpoint_kw=7.2)
    assert e.target(89.999) == 7.2
    assert e.following(90) is None
    # 7.2 kW of rating in 10 s: 0.72 kW a second; after 2 s 7.2 - 1.44 = 5.76
    assert e.target(92) == pytest.approx(5.76)
    # from 7.2 to 1.4 are 5.8 kW: 8.06 s
    assert e.target(98) == pytest.approx(1.44)
    assert e.target(98.1) == 1.4
    assert e.target(1e9) == 1.4


def test_the_ramp_goes_up_too_and_skips_what_the_device_cannot_do() -> None:
    e = endpoint()
    offer(e, p_setpoint_kw=0.0)
    # 0.72 kW after 1 s is below the smallest power of 1.4
    assert e.target(91) == 0.0
    assert e.target(92) == 1.4


def test_a_battery_ramps_through_its_whole_span() -> None:
    e = endpoint(BATTERY)
    offer(e, kind=DeviceKind.BATTERY, p_setpoint_kw=-5)
    # 10 kW of span in 10 s: 1 kW a second
    assert e.target(92) == pytest.approx(-3)
    assert e.target(95) == 0.0


def test_pv_without_default_is_released_by_a_ramp_and_then_runs_freely() -> None:
    e = endpoint(PV)
    offer(e, kind=DeviceKind.PV, p_setpoint_kw=-2)
    assert e.target(1) == -2
    # 6 kW of rating in 10 s: 0.6 kW a second, from -2 to -6 in 6.7 s
    assert e.target(95) == pytest.approx(-5)
    assert e.target(96.6) == pytest.approx(-5.96)
    assert e.target(96.7) is None


def test_a_load_without_default_is_let_go_at_once() -> None:
    e = endpoint(Capabilities(kind=DeviceKind.EV, p_import_max_kw=7.2, default_power_kw=None))
    offer(e)
    assert e.target(90) is None


def test_what_the_broker_says_is_left_of_a_lease_bounds_it() -> None:
    e = endpoint()
    assert e.offer(lease(), now_ms=1000, monotonic_s=0, at_most_s=20) is Verdict.ACCEPTED
    assert e.following(19.9) is not None
    assert e.following(20) is None
    assert endpoint().offer(lease(), now_ms=1000, monotonic_s=0, at_most_s=0) is Verdict.EXPIRED


LATE: list[tuple[str, dict[str, Any], Verdict]] = [
    ("the same again", {}, Verdict.REPEATED),
    ("an older seq", {"seq": 1201, "p_setpoint_kw": 7.0}, Verdict.OLDER_SEQ),
    ("an older epoch", {"epoch": 6, "seq": 9999}, Verdict.OLDER_EPOCH),
    ("a newer seq", {"seq": 1203}, Verdict.ACCEPTED),
    ("a newer epoch counts from anew", {"epoch": 8, "seq": 0}, Verdict.ACCEPTED),
    ("another device's", {"device_id": "ev-002", "seq": 1203}, Verdict.WRONG_DEVICE),
    ("beyond the rating", {"p_setpoint_kw": 7.28, "seq": 1203}, Verdict.OUT_OF_RANGE),
    ("an export from a car that cannot", {"p_setpoint_kw": -1.0, "seq": 1203}, Verdict.OUT_OF_RANGE),
    ("not a number", {"p_setpoint_kw": float("nan"), "seq": 1203}, Verdict.OUT_OF_RANGE),
    ("expired on arrival", {"valid_until_ms": NOW_MS + 1000, "seq": 1203}, Verdict.EXPIRED),
    ("a lease of a day", {"valid_until_ms": NOW_MS + 86_400_000, "seq": 1203}, Verdict.LEASE_TOO_LONG),
    ("backwards in time", {"valid_until_ms": NOW_MS - 1, "seq": 1203}, Verdict.EXPIRED),
]


@pytest.mark.parametrize(("changes", "verdict"), [row[1:] for row in LATE], ids=[row[0] for row in LATE])
def test_a_setpoint_after_another_is_judged_by_name(changes: dict[str, Any], verdict: Verdict) -> None:
    e = endpoint()
    offer(e, p_setpoint_kw=3.6)
    before = e.following(1)
    assert offer(e, at_s=1, **changes) is verdict
    assert e.counts[verdict] >= 1
    if verdict is not Verdict.ACCEPTED:
        assert e.following(1) == before


def test_late_setpoints_do_nothing_even_after_the_lease_has_ended() -> None:
    e = endpoint()
    offer(e)
    replay = lease(issued_at_ms=NOW_MS + 200_000, valid_until_ms=NOW_MS + 290_000)
    assert e.offer(replay, now_ms=NOW_MS + 200_000, monotonic_s=200) is Verdict.REPEATED
    assert e.following(200) is None


def test_a_refused_setpoint_does_not_raise_the_bar_for_the_next() -> None:
    e = endpoint()
    assert offer(e, epoch=9, p_setpoint_kw=100) is Verdict.OUT_OF_RANGE
    assert offer(e, epoch=7) is Verdict.ACCEPTED


def test_a_retained_setpoint_found_after_a_restart_is_followed_only_for_what_is_left_of_it() -> None:
    e = endpoint()
    assert offer(e, at_s=80) is Verdict.ACCEPTED
    assert e.following(89.9) is not None
    assert e.following(90) is None
    assert offer(endpoint(), at_s=90) is Verdict.EXPIRED


def test_a_clock_that_is_behind_does_not_lengthen_a_lease() -> None:
    e = endpoint()
    assert offer(e, now_ms=1000) is Verdict.ACCEPTED
    assert e.following(89.9) is not None
    assert e.following(90) is None


def test_a_power_within_a_percent_of_the_rating_is_clamped() -> None:
    e = endpoint()
    assert offer(e, p_setpoint_kw=7.27) is Verdict.ACCEPTED
    assert e.target(0) == 7.2


def test_between_zero_and_the_smallest_power_there_is_nothing() -> None:
    e = endpoint()
    offer(e, p_setpoint_kw=1.39)
    assert e.target(0) == 0.0


def test_a_generation_cap_above_the_rating_only_says_uncurtailed() -> None:
    e = endpoint(PV)
    assert offer(e, kind=DeviceKind.PV, p_setpoint_kw=-50) is Verdict.ACCEPTED
    assert e.target(0) == -6
    assert offer(e, kind=DeviceKind.PV, p_setpoint_kw=0.5, seq=1300) is Verdict.OUT_OF_RANGE


@pytest.mark.parametrize("kind", [DeviceKind.LOAD, DeviceKind.METER])
def test_what_only_measures_follows_nobody(kind: DeviceKind) -> None:
    e = endpoint(Capabilities(kind=kind, default_power_kw=None))
    assert offer(e, kind=kind, p_setpoint_kw=0) is Verdict.NOT_CONTROLLABLE
    assert e.target(0) is None


def test_an_older_controllers_order_is_followed_for_a_while() -> None:
    e = endpoint()
    order = Order("ev-001", DeviceKind.EV, 5.0)
    assert e.offer(order, now_ms=NOW_MS, monotonic_s=0) is Verdict.ACCEPTED
    assert e.target(ORDER_LEASE_S - 0.1) == 5.0
    assert e.following(ORDER_LEASE_S) is None
    assert e.offer(order, now_ms=NOW_MS, monotonic_s=400) is Verdict.ACCEPTED
    assert offer(e, seq=1) is Verdict.ACCEPTED


def test_an_order_does_not_displace_a_lease() -> None:
    e = endpoint()
    offer(e)
    assert e.offer(Order("ev-001", DeviceKind.EV, 7.0), now_ms=NOW_MS, monotonic_s=1) is Verdict.UNDER_LEASE
    assert e.target(1) == 3.6
    assert e.offer(Order("ev-001", DeviceKind.EV, 7.0), now_ms=NOW_MS, monotonic_s=90) is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("until_ms", "verdict"),
    [
        (NOW_MS, Verdict.EXPIRED),
        (NOW_MS + 1, Verdict.ACCEPTED),
        (NOW_MS + round(MAX_LEASE_S * 1000) + 1, Verdict.LEASE_TOO_LONG),
    ],
)
def test_an_order_with_an_end_has_its_end_judged(until_ms: int, verdict: Verdict) -> None:
    assert endpoint().offer(Order("ev-001", DeviceKind.EV, 5.0, until_ms), now_ms=NOW_MS, monotonic_s=0) is verdict


@given(
    st.lists(
        st.tuples(
            st.floats(-20, 20),
            st.integers(5, 9),
            st.integers(0, 5),
            st.integers(-10, 4000),
            st.floats(0, 100),
        ),
        max_size=12,
    )
)
def test_whatever_comes_the_target_is_possible_and_order_is_kept(
    offers: list[tuple[float, int, int, int, float]],
) -> None:
    e = endpoint()
    now_s, accepted = 0.0, list[tuple[int, int]]()
    for p_kw, epoch, seq, length_s, wait_s in offers:
        now_s += wait_s
        now_ms = NOW_MS + round(now_s * 1000)
        setpoint: Setpoint = lease(
            p_setpoint_kw=p_kw, epoch=epoch, seq=seq, issued_at_ms=now_ms, valid_until_ms=now_ms + length_s * 1000
        )
        if e.offer(setpoint, now_ms=now_ms, monotonic_s=now_s) is Verdict.ACCEPTED:
            accepted.append((epoch, seq))
        for later_s in (0.0, 1.0, 5.0, 60.0):
            target_kw = e.target(now_s + later_s)
            assert target_kw is not None
            assert target_kw == 0 or 1.4 <= target_kw <= 7.2
    assert accepted == sorted(set(accepted))


def test_a_device_whose_agent_dies_may_go_on_for_what_is_left_of_the_lease_and_no_longer() -> None:
    e = endpoint()
    assert e.hold_s(0) == math.inf
    offer(e, p_setpoint_kw=7.2)
    assert e.hold_s(0) == 90
    assert e.hold_s(89.5) == 0.5
    assert e.hold_s(92) == RAMP_HOLD_S  # on its way to default control
    assert e.hold_s(99) == math.inf
    free = Endpoint(device_id="ev-001", capabilities=PV)
    offer(free, kind=DeviceKind.PV, p_setpoint_kw=-2.0)
    assert (free.hold_s(0), free.hold_s(90), free.hold_s(97)) == (90, RAMP_HOLD_S, math.inf)
