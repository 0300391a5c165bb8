"""The fourteen traps that the predecessor fell into, with the numbers they were told in. Each must stay shut.

That control goes on while the store is down is shown on the whole loop: tests/scenarios/store_outage.toml.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest

from agent.driver import Capabilities
from agent.endpoint import Endpoint, Verdict
from derms.columns import Memory, Params, Picture, Reason
from derms.contract import Refusal, Topics, decode_telemetry
from derms.control.decide import decide
from derms.control.demand_response import constraints_on, elastic_fraction, is_active
from derms.fleet import Fleet
from derms.model import Device, DeviceKind, DrEvent, DrProgram, ProgramKind, Setpoint
from tests.fakes_contract import NOW_MS
from tests.unit.control.fleets import PARAMS, Plant, Row, feeder, nodes, tick

NOW = datetime(2026, 1, 1, 18, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _charging(p_kw: float, **changes: object) -> Row:
    """A charger that follows a lease at this power and was seen to."""
    leased = Row(p_actual_kw=p_kw, lease_kw=p_kw, may_kw=p_kw, may_low_kw=p_kw, lease_left_s=15.0, may_left_s=25.0,
                 acknowledged_s=4.0, p_import_max_kw=max(p_kw, 11.0))  # fmt: skip
    return replace(leased, **changes)  # type: ignore[arg-type]  # a table's words, checked by the dataclass


def _event(event_id: str, *feeders: str, **changes: object) -> DrEvent:
    usual = DrEvent(event_id=event_id, feeder_ids=feeders, start=NOW, end=NOW + HOUR, created_at=NOW)
    return replace(usual, **changes)  # type: ignore[arg-type]  # as above


def test_trap_1_generation_is_room_and_not_load() -> None:
    # limit 50, PV making 40, no other load: 50 - (-40) = 90 kW may be drawn, not 50 - 40 = 10
    pv = Row(kind=DeviceKind.PV, p_actual_kw=-40.0, p_export_max_kw=40.0, p_import_max_kw=0.0)
    cars = [_charging(22.5, p_import_max_kw=22.5, capacity_kwh=1e4) for _ in range(5)]
    for metered in (True, False):
        plant = Plant([pv, *cars], feeder(50.0), metered=metered)
        for _ in range(30):
            decision = plant.step()
        assert decision.nodes.headroom_kw[0] == pytest.approx(90.0)
        assert decision.target_kw[1:].sum() == pytest.approx(90.0)


def test_trap_2_a_silent_charger_keeps_the_40_kw_it_drew() -> None:
    # limit 50, a silent one last drew 40: the other gets 50 - 40 = 10, not 50
    silent = Row(p_actual_kw=40.0, age_s=20.0, p_import_max_kw=50.0)
    plant = Plant([silent, Row(p_import_max_kw=50.0)], feeder(50.0), metered=False)
    most = max(plant.step().target_kw[1] for _ in range(40))
    assert most == pytest.approx(10.0)
    assert np.isnan(plant.step().target_kw[0])


def test_trap_3_from_110_kw_to_a_limit_of_30_kw_takes_one_tick() -> None:
    rows = [_charging(11.0, p_min_kw=1.4) for _ in range(10)]
    decision, _ = tick(rows, feeder(30.0, metered_kw=110.0, metered_age_s=0.5))
    # every charger is told at once, and what the limit allows is used: 10 x 1.4 = 14 fits, so nobody is off
    assert decision.send.all()
    assert decision.target_kw.sum() == pytest.approx(30.0)


def test_trap_4_a_steady_state_renews_leases_and_an_orphaned_device_reverts() -> None:
    plant = Plant([Row(p_import_max_kw=7.0)], feeder(10.0))
    for _ in range(100):
        plant.step()
        assert plant.rows[0].lease_left_s > PARAMS.lease_s / 3.0
    orphan = Endpoint(device_id="ev-001", capabilities=Capabilities(kind=DeviceKind.EV, p_import_max_kw=7.0))
    orphan.offer(_lease(7.0), now_ms=NOW_MS, monotonic_s=0.0)
    assert [orphan.target(at_s) for at_s in (0.0, 19.9)] == [7.0, 7.0]
    # nobody renews: the lease of 20 s ends, and within 10 s the charger is at its default control
    assert orphan.target(30.0) == 0.0


def test_trap_5_a_price_never_lifts_a_feeder_above_its_limit() -> None:
    # the predecessor read a net incentive (penalty below incentive) as leave to draw more
    program = DrProgram(program_id="price", name="price", kind=ProgramKind.PRICE_ELASTIC, start=NOW, end=NOW + HOUR,
                        incentive_per_kwh=5.0, penalty_per_kwh=0.1, active=True)  # fmt: skip
    assert 0.0 <= elastic_fraction(program) <= 0.8
    asked = constraints_on({"f": 0}, [], [program], NOW, {"f": 45.0}, {"f": None})
    rows = [_charging(11.0) for _ in range(4)]
    decision, _ = tick(rows, feeder(50.0, metered_kw=44.0, metered_age_s=0.5), constraints=asked)
    # 44 kW of flexible load, 0.8 of it put off: 44 - 35.2 = 8.8
    assert decision.nodes.import_limit_kw[0] == pytest.approx(8.8)
    assert decision.target_kw.sum() <= 8.8 + 1e-9


def test_trap_6_an_overload_makes_an_idle_battery_discharge_and_never_charge() -> None:
    battery = Row(kind=DeviceKind.BATTERY, soc=0.3, p_import_max_kw=5.0, p_export_max_kw=5.0)
    plant = Plant([Row(kind=DeviceKind.LOAD, p_actual_kw=12.0), battery], feeder(10.0))
    for _ in range(20):
        decision = plant.step()
        assert decision.target_kw[1] == pytest.approx(-2.0)
        assert decision.reason[1] == Reason.RELIEF


def test_trap_7_three_chargers_of_4_1_kw_smallest_power_take_turns_on_6_kw() -> None:
    plant = Plant([Row(p_import_max_kw=11.0, p_min_kw=4.1) for _ in range(3)], feeder(6.0))
    served = np.zeros(3)
    for _ in range(3600):
        decision = plant.step()
        assert np.count_nonzero(decision.target_kw) <= 1
        served += decision.target_kw * PARAMS.interval_s / 3600.0
    # two hours at up to 6 kW: 12 kWh among three is 4 each
    assert served.sum() > 11.0
    assert served.min() > 2.5


def test_trap_8_two_equal_chargers_on_10_kw_settle_and_do_not_swap() -> None:
    plant = Plant([Row(p_import_max_kw=10.0, soc=0.3), Row(p_import_max_kw=10.0, soc=0.3)], feeder(10.0))
    for _ in range(60):
        plant.step()
    shares = np.array([plant.step().target_kw for _ in range(300)])
    assert np.abs(shares - 5.0).max() < 0.2


def test_trap_9_two_feeders_under_one_parent_never_exceed_it() -> None:
    # 40 each, 50 together: a "global" limit is one limit, not one for each
    state = nodes({"import_limit_kw": 50.0}, {"import_limit_kw": 40.0}, {"import_limit_kw": 40.0})
    rows = [Row(node=1 + n % 2, p_import_max_kw=22.0, capacity_kwh=1e4) for n in range(6)]
    plant = Plant(rows, state)
    for _ in range(60):
        decision = plant.step()
        assert plant.head_kw() <= 50.0 + 1e-9
        for node in (1, 2):
            assert sum(row.p_actual_kw for row in plant.rows if row.node == node) <= 40.0 + 1e-9
    assert decision.target_kw.sum() == pytest.approx(50.0, abs=0.5)


def test_trap_10_a_shed_of_20_kw_is_taken_once_from_the_feeders_it_targets() -> None:
    # a draws 30, b 10, c 40 (not targeted): a sheds 15, b 5, c nothing; 20 in all, not 20 each
    parents = {"a": None, "b": None, "c": None}
    shed = _event("shed", "a", "b", shed_kw=20.0)
    left = {}
    for name, drawn_kw in {"a": 30.0, "b": 10.0, "c": 40.0}.items():
        asked = constraints_on({name: 0}, [shed], [], NOW, {"a": 30.0, "b": 10.0, "c": 40.0}, parents)
        rows = [_charging(drawn_kw)]
        state = feeder(100.0, metered_kw=drawn_kw, metered_age_s=0.5)
        decision, memory = tick(rows, state, constraints=asked)
        left[name] = drawn_kw - decision.target_kw[0]
        # and not once more when the load is already down
        lower = float(decision.target_kw[0])
        again, _ = tick([_charging(lower)], feeder(100.0, metered_kw=lower, metered_age_s=0.5), constraints=asked,
                        memory=memory)  # fmt: skip
        assert again.target_kw[0] >= lower - 1e-9
    assert left == pytest.approx({"a": 15.0, "b": 5.0, "c": 0.0})


def test_trap_11_of_overlapping_events_the_tightest_wins_and_the_end_is_not_inside() -> None:
    looser = _event("looser", "f", import_limit_kw=40.0)
    tighter = _event("tighter", "f", import_limit_kw=20.0, end=NOW + HOUR / 2)
    limits = []
    for at in (NOW, NOW + HOUR / 2 - timedelta(milliseconds=1), NOW + HOUR / 2, NOW + HOUR):
        asked = constraints_on({"f": 0}, [looser, tighter], [], at, {"f": 5.0}, {"f": None})
        decision, _ = tick([Row()], feeder(50.0), constraints=asked)
        limits.append(float(decision.nodes.import_limit_kw[0]))
    assert limits == [20.0, 20.0, 40.0, 50.0]
    assert not is_active(looser, NOW + HOUR)


def test_trap_12_a_restart_resumes_from_the_leases_alive_and_not_from_zero_or_a_stale_hold() -> None:
    fleet = Fleet()
    rows = np.array([
        fleet.register(Device(device_id=name, kind=DeviceKind.EV, feeder_id="f", p_import_max_kw=30.0), spoke=True)
        for name in ("alive", "over", "other")
    ])  # fmt: skip
    alive = msgspec.structs.replace(_lease(30.0), device_id="alive", valid_until_ms=NOW_MS + 12_000)
    over = msgspec.structs.replace(_lease(30.0), device_id="over", valid_until_ms=NOW_MS - 1)
    assert fleet.resume([alive, over], now_s=100.0, now_ms=NOW_MS) == 1
    params = Params()
    seen = fleet.columns(rows, np.zeros(3, dtype=np.int64), now_s=100.0, now_ms=NOW_MS)
    # nobody has spoken in this run: `alive` may draw its 30 kW for 12 s more, the other two are on their default
    decision, _ = decide(
        Picture(dt_s=5.0, nodes=feeder(50.0), constraints=(), devices=seen), Memory.empty(3, 1), params
    )
    assert decision.nodes.reserved_kw[0] == pytest.approx(30.0)
    assert decision.nodes.headroom_kw[0] == pytest.approx(20.0)
    # when it is over nothing is held any more
    later = fleet.columns(rows, np.zeros(3, dtype=np.int64), now_s=123.0, now_ms=NOW_MS + 23_000)
    decision, _ = decide(
        Picture(dt_s=5.0, nodes=feeder(50.0), constraints=(), devices=later), Memory.empty(3, 1), params
    )
    assert decision.nodes.reserved_kw[0] == 0.0


@pytest.mark.parametrize(("said", "soc"), [(b"42.0", 0.42), (b"0.42", 0.42)])
def test_trap_13_percent_and_fraction_both_end_up_as_a_fraction(said: bytes, soc: float) -> None:
    payload = (
        b'{"device_id":"b-1","type":"battery","timestamp":"2026-01-01T00:00:00Z","p_actual_kw":0,"soc":' + said + b"}"
    )
    (decoded,) = decode_telemetry(
        Topics(), "der/telemetry/b-1", payload, now_ms=NOW_MS, speaks_percent=lambda _: said == b"42.0"
    )
    assert not isinstance(decoded, Refusal)
    assert decoded.telemetry.soc == pytest.approx(soc)
    row = Row(kind=DeviceKind.BATTERY, soc=decoded.telemetry.soc or 0.0, p_import_max_kw=5.0, capacity_kwh=10.0)
    # 42 % of 10 kWh below a target of 80 %: 3.8 kWh wanted, so it charges
    assert tick([row], feeder(50.0))[0].target_kw[0] > 0.0


def test_trap_14_a_device_reverts_by_itself_when_the_broker_is_gone_and_a_late_lease_does_nothing() -> None:
    device = Endpoint(device_id="ev-001", capabilities=Capabilities(kind=DeviceKind.EV, p_import_max_kw=7.0))
    assert device.offer(_lease(5.0), now_ms=NOW_MS, monotonic_s=0.0) is Verdict.ACCEPTED
    assert device.target(31.0) == 0.0
    # what the broker kept and hands out afterwards is over
    late = msgspec.structs.replace(_lease(7.0), seq=2)
    assert device.offer(late, now_ms=NOW_MS + 31_000, monotonic_s=31.0) is Verdict.EXPIRED
    assert device.target(31.0) == 0.0


def _lease(p_kw: float) -> Setpoint:
    return Setpoint(device_id="ev-001", kind=DeviceKind.EV, p_setpoint_kw=p_kw, issued_at_ms=NOW_MS,
                    valid_until_ms=NOW_MS + 20_000, epoch=1, seq=1)  # fmt: skip
