"""What a charger is told for a power and a time."""

import math

import pytest

from agent.ocpp.profiles import Plan, Profile, Rate, RateUnit, Steps, Told

AMPS = Rate(unit="A", phases=3, voltage_v=230)
PLAN = Plan(connector=1, rate=AMPS, default_kw=4.14, station=False)


def steps(told: Told, p_kw: float | None, seconds: float, *, tx: str | None = None, at_s: float = 0.0) -> Steps:
    found = PLAN.steps(told, p_kw, seconds, transaction=tx, now_s=at_s)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("unit", "phases", "p_kw", "limit"),
    [
        ("A", 3, 6.9, 10.0),
        ("A", 1, 3.68, 16.0),
        ("A", 3, 6.94, 10.0),  # 10.058 A
        ("A", 3, 11.0, 15.9),  # 15.942 A: never above what was granted
        ("A", 3, 0.0, 0.0),
        ("A", 3, -5.0, 0.0),
        ("W", 3, 6.94, 6940.0),
        ("W", 3, 1.23456, 1234.5),
    ],
)
def test_a_power_becomes_a_limit_that_is_not_above_it(unit: RateUnit, phases: int, p_kw: float, limit: float) -> None:
    assert Rate(unit=unit, phases=phases, voltage_v=230).limit(p_kw) == limit


def test_before_a_transaction_a_lease_is_a_default_with_an_end_above_one_without() -> None:
    found = steps(Told(), 6.9, 90.0)
    assert found.install == (
        Profile(profile_id=1001, stack_level=0, purpose="default", limit=6.0, unit="A", phases=3, seconds=None),
        Profile(profile_id=2001, stack_level=1, purpose="default", limit=10.0, unit="A", phases=3, seconds=90),
    )
    assert found.clear == ()


def test_in_a_transaction_a_lease_is_the_transactions_own() -> None:
    before = steps(Told(), 6.9, 90.0).told
    (profile,) = steps(before, 6.9, 85.0, tx="7", at_s=5.0).install
    assert (profile.profile_id, profile.purpose, profile.transaction, profile.seconds) == (3001, "transaction", "7", 85)


def test_a_lease_that_was_told_is_told_again_only_when_it_changes() -> None:
    told = steps(Told(), 6.9, 90.4).told
    assert PLAN.steps(told, 6.9, 80.4, transaction=None, now_s=10.0) is None
    assert steps(told, 6.9, 90.4, at_s=10.0).install[0].seconds == 90  # renewed
    assert steps(told, 4.5, 80.4, at_s=10.0).install[0].limit == 6.5
    assert PLAN.steps(told, 6.9 + 1e-9, 80.4, transaction=None, now_s=10.0) is None


def test_without_a_lease_there_is_only_the_default_and_what_was_before_is_taken_back() -> None:
    told = steps(Told(), 6.9, 90.0, tx="7").told
    found = steps(told, 4.14, math.inf, tx="7")
    assert (found.install, found.clear) == ((), (2001, 3001))
    assert PLAN.steps(found.told, 4.14, math.inf, transaction="7", now_s=0.0) is None
    anew = steps(Told(), 4.14, math.inf)
    assert [profile.limit for profile in anew.install] == [6.0]
    assert anew.clear == (2001, 3001)  # from before a restart of this side


def test_a_charger_that_may_do_as_it_likes_has_no_default() -> None:
    free = Plan(connector=1, rate=AMPS, default_kw=None, station=False)
    found = free.steps(Told(), None, math.inf, transaction=None, now_s=0.0)
    assert found is not None
    assert (found.install, found.clear) == ((), (1001, 2001, 3001))


def test_a_station_as_a_whole_is_limited_alike_whatever_its_transactions() -> None:
    whole = Plan(connector=1, rate=AMPS, default_kw=4.14, station=True)
    found = whole.steps(Told(), 6.9, 90.0, transaction="7", now_s=0.0)
    assert found is not None
    assert [(p.purpose, p.stack_level, p.seconds, p.transaction) for p in found.install] == [
        ("station", 0, None, None),
        ("station", 1, 90, None),
    ]
