"""What `why` says would change an answer, done to the plant: and the answer changes as it said."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from derms.columns import Constraint, Memory, Override, Picture, Reason
from derms.control.cause import BoundKind, Names, Source, Why
from derms.control.why import why
from derms.model import DeviceKind, DeviceStatus, Policy
from tests.unit.control.fleets import PARAMS, Plant, Row, feeder, nodes

BATTERY, PV = DeviceKind.BATTERY, DeviceKind.PV
_RAISE = re.compile(r"raise the (import|export) limit of node-(\d+) by ([0-9.]+) kW")
SOURCES = {"ev-42": Source(label="event ev-42", who="ann", until=datetime(2027, 1, 5, 18, tzinfo=UTC))}


def names_of(picture: Picture) -> Names:
    return Names(
        nodes=tuple(f"node-{row}" for row in range(picture.nodes.parent.size)),
        devices=tuple(f"device-{row}" for row in range(picture.devices.kind.size)),
        sources=SOURCES,
    )


def after(plant: Plant, ticks: int, row: int = 0) -> Why:
    """Let some ticks pass and explain the last one."""
    for _ in range(ticks):
        picture = plant.picture()
        decision = plant.step()
    return why(picture, decision, plant.params, row, names_of(picture))


def remedy(answer: Why, start: str = "") -> str:
    assert answer.binding is not None, answer.words
    return next(text for text in answer.binding.remedies if text.startswith(start))


def raised(plant: Plant, text: str) -> None:
    """Do what a remedy says."""
    found = _RAISE.findall(text)
    assert found, text
    for direction, node, kw in found:
        column = plant.state.import_limit_kw if direction == "import" else plant.state.export_limit_kw
        column[int(node)] += float(kw)


def change(plant: Plant, row: int, **changes: object) -> None:
    plant.rows[row] = replace(plant.rows[row], **changes)  # type: ignore[arg-type]  # names are the test's own


def test_raising_every_node_that_is_too_tight_by_what_is_said_gives_a_charger_all_it_can_take() -> None:
    # node-1 takes 3 x 7 = 21 of its 10: 11 missing; the root then needs 21 + 7 = 28 of its 15: 13 missing
    rows = [Row(node=1), Row(node=1), Row(node=1), Row(node=0)]
    plant = Plant(rows, nodes({"import_limit_kw": 15.0}, {"import_limit_kw": 10.0}), metered=False)
    answer = after(plant, 20)
    text = remedy(answer)
    assert text == (
        "raise the import limit of node-1 by 11.0 kW and raise the import limit of node-0 by 13.0 kW: "
        "it gets all it can take then, charging at most 7.0 kW"
    )
    raised(plant, text)
    assert after(plant, 30).setpoint_kw == pytest.approx(7.0)


def test_a_little_less_than_what_is_said_is_not_enough() -> None:
    plant = Plant([Row(), Row()], feeder(10.0), metered=False)
    assert "by 4.0 kW" in remedy(after(plant, 20))  # 2 x 7 - 10
    plant.state.import_limit_kw[0] += 3.5
    answers = [after(plant, 30), after(plant, 1, row=1)]
    limited = next(answer for answer in answers if answer.binding is not None)
    assert sum(answer.setpoint_kw or 0.0 for answer in answers) == pytest.approx(13.5)
    assert "by 0.5 kW" in remedy(limited)


def test_the_chain_names_who_got_the_rest_and_adds_up() -> None:
    # limit 20, margin 2, 6 unmetered: 12 to give, about 6 for each
    state = feeder(20.0, margin_kw=2.0, assumed_unmetered_kw=6.0)
    plant = Plant([Row(), Row()], state, metered=False)
    answer = after(plant, 20)
    own, other = (row.lease_kw for row in plant.rows)
    assert own + other == pytest.approx(12.0)
    bound = next(item for item in answer.bounds if item.kind is BoundKind.NODE)
    assert bound.words == (
        "node-0 import limit 20.0 kW, load import 18.0 kW; less import 6.0 kW that nobody controls and a margin of "
        f"2.0 kW leaves 12.0 kW to give; {other:.1f} kW go to others, which leaves it charging at most {own:.1f} kW"
    )
    assert bound.limit_kw == pytest.approx(own)
    assert (bound.binding, bound.source) == (True, "static")
    assert answer.words == f"device-0: charging at most {own:.1f} kW: node-0 import limit 20.0 kW"


def test_an_event_in_force_is_named_with_its_end_and_without_it_there_is_more() -> None:
    state = feeder(12.0)
    event = Constraint(source="ev-42", import_limit_kw=5.0)
    plant = Plant([Row(), Row()], state, metered=False, constraints=(event,))
    answer = after(plant, 20)
    assert sum(row.lease_kw for row in plant.rows) == pytest.approx(5.0)
    assert answer.words.endswith("node-0 import limit 5.0 kW (event ev-42 by ann)")
    told = next(bound for bound in answer.bounds if bound.kind is BoundKind.EVENT)
    assert told.words == (
        "event ev-42 by ann at node-0: import limit 5.0 kW; in force, ends at 2027-01-05 18:00:00 UTC"
    )
    text = remedy(answer)
    assert text.startswith(
        "let event ev-42 at node-0 end, which it does at 2027-01-05 18:00:00 UTC and "
        "raise the import limit of node-0 by 2.0 kW"
    )
    raised(plant, text)
    plant.constraints = ()
    # the limit rises back over `recovery_s`, and stays below the peak before the event, which there was none of
    assert after(plant, 90).setpoint_kw == pytest.approx(7.0)


def test_a_battery_need_not_discharge_when_the_limit_is_raised_by_what_is_said() -> None:
    battery = Row(kind=BATTERY, soc=0.6, p_import_max_kw=5.0, p_export_max_kw=5.0)
    load = Row(kind=DeviceKind.LOAD, p_actual_kw=12.0)
    plant = Plant([battery, load], feeder(10.0), metered=False)
    answer = after(plant, 5)
    assert answer.setpoint_kw == pytest.approx(-2.0)
    assert remedy(answer) == "raise the import limit of node-0 by 2.0 kW: it need not discharge then"
    raised(plant, remedy(answer))
    assert after(plant, 10).setpoint_kw == pytest.approx(0.0)


def test_generation_is_let_go_when_the_export_limit_is_raised_by_what_is_said() -> None:
    panels = [Row(kind=PV, node=1, p_actual_kw=-8.0, p_export_max_kw=8.0, p_import_max_kw=0.0) for _ in range(2)]
    plant = Plant(panels, nodes({"export_limit_kw": 12.0}, {"export_limit_kw": 10.0}), metered=False)
    answer = after(plant, 5)
    assert answer.words == "device-0: generating at most 5.0 kW: node-1 export limit 10.0 kW"
    # 16 - 10 and 16 - 12
    text = remedy(answer)
    assert [float(kw) for _, _, kw in _RAISE.findall(text)] == [6.0, 4.0]
    raised(plant, text)
    plant.rows = [replace(row, lease_kw=-5.0, lease_left_s=10.0) for row in plant.rows]
    assert after(plant, 1).words == (
        "device-0: generating at most 6.6 kW: on its way to generating at most 8.0 kW: rises by 8.0 kW in 10 s at most"
    )
    plant.rows = [replace(row, lease_kw=-8.0, lease_left_s=10.0) for row in plant.rows]
    assert after(plant, 1).words == "device-0: generating at most 8.0 kW, all it can take"


def test_a_charger_that_waits_gets_its_turn_when_the_limit_is_raised_by_what_is_said() -> None:
    rows = [Row(p_min_kw=4.1) for _ in range(3)]
    plant = Plant(rows, feeder(6.0), metered=False)
    after(plant, 20)
    off = next(index for index, row in enumerate(plant.rows) if row.lease_kw == 0.0)
    answer = after(plant, 1, off)
    assert answer.binding is not None
    assert answer.binding.kind is BoundKind.MINIMUM
    # 3 x 7.0 = 21.0 of 6.0
    text = remedy(answer, "raise")
    assert text == "raise the import limit of node-0 by 15.0 kW: it gets all it can take then, charging at most 7.0 kW"
    raised(plant, text)
    assert after(plant, 20, off).setpoint_kw == pytest.approx(7.0)


@pytest.mark.parametrize("policy", [Policy.DEFICIT, Policy.PROPORTIONAL, Policy.EQUAL])
def test_who_waits_goes_first_at_the_latest_when_it_is_said_to(policy: Policy) -> None:
    # 5 chargers on room for 2
    params = replace(PARAMS, wait_max_s=120.0, turn_s=120.0)
    rows = [Row(p_min_kw=4.0, capacity_kwh=1e6, priority=priority) for priority in (1.0, 1.0, 5.0, 5.0, 10.0)]
    plant = Plant(rows, feeder(8.5), metered=False, params=params, policy=policy)
    waited, longest = np.zeros(5), 0.0
    for _ in range(300):
        picture = plant.picture()
        decision = plant.step()
        for row in np.flatnonzero(decision.reason == Reason.MINIMUM_POWER).tolist():
            text = remedy(why(picture, decision, params, row, names_of(picture)), "wait")
            found = re.search(r"has waited (.+), and in (.+) at the latest it goes first", text)
            assert found is not None
            assert _seconds(found[1]) + _seconds(found[2]) == pytest.approx(120.0, abs=61.0)  # minutes are rounded
        on = np.array([row.lease_kw > 0.0 for row in plant.rows])
        waited = np.where(on, 0.0, waited + params.interval_s)
        longest = max(longest, float(waited.max()))
    # three that have waited too long share two places
    assert longest <= 2.0 * 120.0


def _seconds(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"s": 1.0, "min": 60.0}[unit]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Policy.LEAST_LAXITY, "who has least time to spare goes first"),
        (Policy.PRIORITY, "take turns within their priority; a higher one goes first"),
    ],
)
def test_who_waits_is_told_the_order_of_the_policy(policy: Policy, said: str) -> None:
    plant = Plant([Row(p_min_kw=4.1) for _ in range(3)], feeder(6.0), metered=False, policy=policy)
    after(plant, 10)
    off = next(index for index, row in enumerate(plant.rows) if row.lease_kw == 0.0)
    text = remedy(after(plant, 1, off), "wait")
    assert text.startswith("wait: 2 without power and 1 with power below node-0 ")
    assert text.endswith(said)


def test_a_battery_that_has_its_target_goes_on_when_the_target_is_raised() -> None:
    plant = Plant([Row(kind=BATTERY, soc=0.8)], feeder(10.0), metered=False)
    answer = after(plant, 2)
    assert answer.words == "device-0: no charging: full: SOC 80% of 80%"
    assert remedy(answer) == "raise its target SOC above 80%"
    change(plant, 0, target_soc=0.9)
    assert after(plant, 10).setpoint_kw == pytest.approx(7.0)


def test_a_device_that_takes_less_is_offered_more_when_it_takes_what_is_said() -> None:
    slow = Row(p_actual_kw=3.0, lease_kw=7.0, may_kw=7.0, lease_left_s=15.0, acknowledged_s=60.0, told_s=60.0)
    plant = Plant([slow], feeder(20.0), metered=False)
    answer = after(plant, 1)
    # 1.02 x 3 + 1 % of 7
    assert answer.setpoint_kw == pytest.approx(3.13)
    assert remedy(answer) == "it is offered more when it takes all of 3.1 kW"
    after(plant, 20)  # the plant takes all it is offered
    assert after(plant, 1).words == "device-0: charging at most 7.0 kW, all it can take"


def test_a_held_and_a_blocked_device_are_free_when_the_override_is_released() -> None:
    for override, kw, told in ((Override.HOLD, 3.0, 3.0), (Override.BLOCK, np.nan, 0.0)):
        plant = Plant([Row(override=override, override_kw=kw)], feeder(10.0), metered=False)
        answer = after(plant, 10)
        assert answer.setpoint_kw == pytest.approx(told)
        assert remedy(answer) == "release the override"
        change(plant, 0, override=Override.NONE, override_kw=np.nan)
        assert after(plant, 10).setpoint_kw == pytest.approx(7.0)


def test_a_charger_on_its_way_up_is_there_after_the_while_that_is_said() -> None:
    plant = Plant([Row()], feeder(20.0), metered=False)
    answer = after(plant, 1)
    assert answer.words == (
        "device-0: charging at most 1.4 kW: on its way to charging at most 7.0 kW: rises by 7.0 kW in 10 s at most"
    )
    assert remedy(answer) == "wait about 8 s"  # (7.0 - 1.4) / 0.7
    assert after(plant, round(8 / PARAMS.interval_s)).setpoint_kw == pytest.approx(7.0)


def test_room_that_others_were_told_to_leave_is_said_to_be_theirs_until_they_follow() -> None:
    leaving = Row(p_actual_kw=7.0, lease_kw=7.0, may_kw=7.0, lease_left_s=15.0, may_left_s=25.0, told_s=60.0)
    plant = Plant([Row(), leaving], feeder(7.0), metered=False)
    answer = after(plant, 1)
    assert answer.binding is not None
    assert answer.words == (
        "device-0: no charging: on its way to charging at most 1.4 kW: others below node-0 have been told to leave "
        "3.3 kW and may still draw it"
    )
    assert remedy(answer) == "it rises when they are seen to follow; their older leases are over in 25 s"
    assert after(plant, 20).setpoint_kw == pytest.approx(3.5, abs=0.3)  # the plant follows at once


def test_nothing_rises_below_a_silent_head_meter_until_it_is_heard() -> None:
    plant = Plant([Row(p_actual_kw=2.0, lease_kw=2.0, may_kw=2.0, lease_left_s=15.0)],
                  feeder(20.0, metered_kw=2.0, metered_age_s=40.0), metered=False)  # fmt: skip
    answer = after(plant, 3)
    assert answer.setpoint_kw == pytest.approx(2.0)
    assert "the head meter of node-0 is silent for 40 s, so nothing is raised" in answer.words
    plant.metered = True
    assert after(plant, 10).setpoint_kw == pytest.approx(7.0)


def test_a_device_that_can_do_too_little_takes_part_when_it_can_do_what_is_said() -> None:
    plant = Plant([Row(p_min_kw=4.1, available_kw=2.0)], feeder(20.0), metered=False)
    answer = after(plant, 2)
    assert answer.words == "device-0: no charging: says it can do 2.0 kW now: too little, its smallest power is 4.1 kW"
    assert remedy(answer) == "it takes part when it can do 4.1 kW or more"
    change(plant, 0, available_kw=4.1)
    assert after(plant, 3).setpoint_kw == pytest.approx(4.1)


@pytest.mark.parametrize(
    ("changes", "said", "cure"),
    [
        ({"age_s": 40.0}, "not heard for 40 s", {"age_s": 1.0}),
        ({"age_s": np.inf, "spoke": False}, "has never spoken: its rating of 7.0 kW is kept for it", {"age_s": 1.0}),
        ({"status": DeviceStatus.FAULT}, "reports a fault", {"status": DeviceStatus.OK}),
        ({"status": DeviceStatus.LOCAL}, "is under local control", {"status": DeviceStatus.OK}),
        ({"controllable": False}, "is not enrolled to be told", {"controllable": True}),
    ],
)
def test_a_device_that_is_told_nothing_says_why_and_is_told_again_when_that_is_over(
    changes: dict[str, object], said: str, cure: dict[str, object]
) -> None:
    plant = Plant([Row()], feeder(20.0), metered=False)
    change(plant, 0, **changes)
    answer = after(plant, 1)
    assert answer.setpoint_kw is None
    assert said in answer.words
    assert remedy(answer)
    change(plant, 0, **cure)
    assert after(plant, 1).setpoint_kw is not None


def test_a_node_that_is_off_tells_nothing_and_an_advised_one_sends_nothing() -> None:
    plant = Plant([Row(node=1)], nodes({"import_limit_kw": 20.0}, {"mode": 2}), metered=False)
    answer = after(plant, 1)
    assert answer.words == "device-0 is told nothing: node-1 is off"
    assert remedy(answer) == "set node-1 to auto"
    plant.state.mode[1] = 1
    assert after(plant, 1).bounds[-1].words == "only advised: nothing is sent"
    plant.state.mode[1] = 0
    assert after(plant, 1).bounds[-1].words == "goes out now and lives 20 s"
    assert after(plant, 1).bounds[-1].words.endswith("seen to be followed for 1 s")


def test_what_is_reserved_for_a_silent_device_is_given_again_when_it_speaks() -> None:
    silent = Row(p_actual_kw=7.0, age_s=20.0)
    plant = Plant([Row(), silent], feeder(10.0), metered=False)
    answer = after(plant, 10)
    assert answer.setpoint_kw == pytest.approx(3.0)
    assert remedy(answer, "of").startswith("of the 7.0 kW kept for 1 device that is silent")
    change(plant, 1, age_s=1.0, p_actual_kw=0.0)
    assert (after(plant, 10).setpoint_kw or 0.0) > 4.0
    assert sum(row.lease_kw for row in plant.rows) == pytest.approx(10.0)


def test_a_disobedient_charger_is_told_apart_with_what_it_was_told_and_what_it_reads() -> None:
    rogue = Row(p_actual_kw=7.0, lease_kw=3.0, may_kw=3.0, lease_left_s=15.0, told_s=60.0)
    plant = Plant([rogue], feeder(20.0), metered=False)
    plant.memory = Memory.empty(1)
    plant.memory.devices.strikes[0] = -1.0
    answer = after(plant, 1)
    assert answer.words == (
        "device-0: charging at most 3.0 kW: does not follow its leases: was told charging at most 3.0 kW and reads "
        "import 7.0 kW; what it draws is kept for it"
    )


trees = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([2.0, 6.0, 11.0, 17.0, 40.0])), min_size=1, max_size=4)
chargers = st.lists(
    st.builds(
        Row,
        node=st.integers(0, 3),
        p_import_max_kw=st.sampled_from([3.7, 7.0, 11.0]),
        p_min_kw=st.sampled_from([0.0, 0.0, 1.4, 4.1]),
        p_step_kw=st.sampled_from([0.0, 0.0, 0.23]),
        soc=st.sampled_from([0.1, 0.5]),
        priority=st.sampled_from([1.0, 5.0]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(trees, chargers)
def test_on_any_tree_raising_what_is_said_gives_a_limited_charger_all_it_can_take(
    shape: list[tuple[int, float]], rows: list[Row]
) -> None:
    check_remedy(shape, rows)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees, chargers)
def test_on_five_thousand_trees_raising_what_is_said_gives_a_limited_charger_all_it_can_take(
    shape: list[tuple[int, float]], rows: list[Row]
) -> None:
    check_remedy(shape, rows)


def check_remedy(shape: list[tuple[int, float]], rows: list[Row]) -> None:
    told = [
        {"import_limit_kw": kw} | ({"parent": min(parent, row - 1)} if row else {})
        for row, (parent, kw) in enumerate(shape)
    ]
    rows = [replace(row, node=min(row.node, len(shape) - 1), capacity_kwh=1e6) for row in rows]
    plant = Plant(rows, nodes(*told), metered=False)
    for _ in range(15):
        picture = plant.picture()
        decision = plant.step()
    limited = np.flatnonzero((decision.reason == Reason.IMPORT_LIMIT) | (decision.reason == Reason.MINIMUM_POWER))
    assume(limited.size > 0)
    row = int(limited[0])
    answer = why(picture, decision, plant.params, row, names_of(picture))
    raised(plant, remedy(answer, "raise"))
    after(plant, 40)
    leased, top = plant.rows[row].lease_kw, plant.rows[row].p_import_max_kw
    assert leased == pytest.approx(top, abs=PARAMS.deadband * top + rows[row].p_step_kw)
