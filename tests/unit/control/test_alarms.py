"""Alarms: when they are raised, when they are over, what they say; and the page that lists them."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derms.columns import OFF, Constraint, Decision, Memory, Picture
from derms.control.alarm_kinds import RULES, Alarm, AlarmKind, Stage
from derms.control.alarms import alarms_of
from derms.control.decide import decide
from derms.control.limits import RECOVERY
from derms.model import DeviceKind
from tests.unit.control.fleets import PARAMS, Plant, Row, columns, feeder, nodes

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"
BARE = re.compile(r"\b(nan|inf|None)\b|(?<![\w.])-\d")


def alarms(picture: Picture, decision: Decision, previous: Sequence[Alarm] = (), now_ms: int = 0) -> tuple[Alarm, ...]:
    node_ids = [f"node-{row}" for row in range(picture.nodes.parent.size)]
    device_ids = [f"device-{row}" for row in range(picture.devices.kind.size)]
    return alarms_of(picture, decision, PARAMS, node_ids, device_ids, previous, now_ms)


def seen(rows: list[Row], state: object, memory: Memory | None = None, **more: object) -> tuple[Picture, Decision]:
    picture = Picture(dt_s=2.0, nodes=state, constraints=(), devices=columns(rows), **more)  # type: ignore[arg-type]
    return picture, decide(picture, memory or Memory.empty(len(rows), picture.nodes.parent.size), PARAMS)[0]


def lasting(picture: Picture, decision: Decision, ticks: int = 5) -> dict[tuple[AlarmKind, str], Alarm]:
    """What stands after the same has been seen for some ticks."""
    found: tuple[Alarm, ...] = ()
    for tick in range(ticks):
        found = alarms(picture, decision, found, 1000 * tick)
    return {(alarm.kind, alarm.subject): alarm for alarm in found if alarm.stands}


def measured(kw: float, limit_kw: float = 50.0) -> tuple[Picture, Decision]:
    return seen([Row(kind=DeviceKind.LOAD)], feeder(limit_kw, metered_kw=kw, metered_age_s=0.5))


def test_an_alarm_stands_once_its_condition_has_held_and_is_over_once_it_has_been_gone_for_long_enough() -> None:
    over, fine = measured(60.0), measured(40.0)
    rule = RULES[AlarmKind.IMPORT_OVER]
    assert (rule.on_ticks, rule.off_ticks) == (2, 3)
    stages: list[Stage | None] = []
    found: tuple[Alarm, ...] = ()
    course = [over, fine, over, over, over, fine, fine, over, fine, fine, fine, fine]
    for tick, (picture, decision) in enumerate(course):
        found = tuple(alarm for alarm in alarms(picture, decision, found, 1000 * tick) if alarm.kind == "import-over")
        stages.append(found[0].stage if found else None)
    pending, standing, clearing = Stage.PENDING, Stage.STANDING, Stage.CLEARING
    assert stages == [
        pending, None, pending, standing, standing, clearing, clearing, standing, clearing, clearing, None, None,
    ]  # fmt: skip


def test_since_is_when_the_condition_was_first_seen_and_a_return_within_the_delay_keeps_it() -> None:
    over, fine = measured(60.0), measured(40.0)
    found: tuple[Alarm, ...] = ()
    for tick, (picture, decision) in enumerate([fine, over, over, fine, over]):
        found = tuple(alarm for alarm in alarms(picture, decision, found, 1000 * tick) if alarm.kind == "import-over")
    assert [(alarm.stage, alarm.since_ms) for alarm in found] == [(Stage.STANDING, 1000)]


def test_a_load_that_dances_around_its_limit_raises_nothing_and_ends_nothing() -> None:
    # the limit is 50: up to 50.25 raises nothing, and what stands ends at 50 only
    found: tuple[Alarm, ...] = ()
    for kw in (50.2, 49.9, 50.24, 50.2, 50.2):
        found = alarms(*measured(kw), found)
    assert not any(alarm.kind is AlarmKind.IMPORT_OVER for alarm in found)
    for kw in (50.3, 50.3, 50.1, 50.1, 50.1, 50.1, 50.1):
        found = alarms(*measured(kw), found)
    assert [alarm.stage for alarm in found if alarm.kind is AlarmKind.IMPORT_OVER] == [Stage.STANDING]


def test_an_import_above_the_limit_says_by_how_much_and_who_set_it() -> None:
    found = lasting(*measured(60.0))
    alarm = found[AlarmKind.IMPORT_OVER, "node-0"]
    assert alarm.cause == "import 60.0 kW measured, 10.0 kW above the import limit of 50.0 kW (static)"
    # no device could relieve it: 60 - 50
    short = found[AlarmKind.SHORTFALL, "node-0"]
    assert short.cause == "10.0 kW too much import for the limit of 50.0 kW (static)"
    assert AlarmKind.ENVELOPE_OVER not in {kind for kind, _ in found}


def test_an_export_above_the_limit_is_told_apart() -> None:
    state = nodes({"export_limit_kw": 5.0, "metered_kw": -8.0, "metered_age_s": 0.5})
    found = lasting(*seen([Row(kind=DeviceKind.LOAD)], state))
    alarm = found[AlarmKind.EXPORT_OVER, "node-0"]
    assert alarm.cause == "export 8.0 kW measured, 3.0 kW above the export limit of 5.0 kW (static)"
    assert found[AlarmKind.SHORTFALL, "node-0"].cause == "3.0 kW too much export for the limit of 5.0 kW (static)"


def test_a_limit_that_only_rises_again_after_an_event_raises_no_alarm() -> None:
    picture, decision = measured(40.0)
    recovering = replace(decision.nodes, import_limit_kw=np.array([30.0]), import_source=(RECOVERY,))
    assert (AlarmKind.IMPORT_OVER, "node-0") not in lasting(picture, replace(decision, nodes=recovering))
    event = replace(decision.nodes, import_limit_kw=np.array([30.0]), import_source=("ev-42",))
    cause = lasting(picture, replace(decision, nodes=event))[AlarmKind.IMPORT_OVER, "node-0"].cause
    assert cause.endswith("above the import limit of 30.0 kW (ev-42)")


def test_a_disobedient_device_is_named_at_once_with_what_it_was_told_and_what_it_reads() -> None:
    memory = Memory.empty(2)
    memory.devices.strikes[1] = -1.0
    rogue = Row(p_actual_kw=7.0, lease_kw=3.0, may_kw=3.0, lease_left_s=15.0, told_s=60.0)
    found = alarms(*seen([Row(), rogue], feeder(50.0), memory))
    assert [(alarm.kind, alarm.subject, alarm.stands) for alarm in found] == [(AlarmKind.DISOBEDIENT, "device-1", True)]
    assert found[0].cause == "told charging at most 3.0 kW, it reads import 7.0 kW"


def test_what_stands_for_a_device_is_said_anew_every_ten_seconds_and_is_the_same_object_until_then() -> None:
    memory = Memory.empty(1)
    memory.devices.strikes[0] = -1.0
    course: list[tuple[str, bool]] = []
    found: tuple[Alarm, ...] = ()
    for now_ms, reads_kw in ((0, 7.0), (2_000, 8.0), (9_999, 9.0), (10_000, 9.0), (12_000, 6.0)):
        rogue = Row(p_actual_kw=reads_kw, lease_kw=3.0, may_kw=3.0, lease_left_s=15.0, told_s=60.0)
        before, found = found, alarms(*seen([rogue], feeder(50.0), memory), found, now_ms)
        course.append((found[0].cause.rpartition(" reads ")[2], bool(before) and found[0] is before[0]))
    first, newer = "import 7.0 kW", "import 9.0 kW"
    assert course == [(first, False), (first, True), (first, True), (newer, False), (newer, True)]


def test_of_very_many_that_do_not_follow_a_thousand_are_told_and_those_that_were_told_stay() -> None:
    count = 1_200
    rows = [Row(p_actual_kw=7.0, lease_kw=3.0, may_kw=3.0, lease_left_s=15.0, told_s=60.0)] * count

    def found(rogues: slice, previous: Sequence[Alarm]) -> list[Alarm]:
        memory = Memory.empty(count)
        memory.devices.strikes[rogues] = -1.0
        told = alarms(*seen(rows, feeder(50.0), memory), previous)
        return [alarm for alarm in told if alarm.kind is AlarmKind.DISOBEDIENT]

    late = found(slice(700, 1_200), ())
    assert len(late) == 500
    both = found(slice(0, 1_200), late)
    assert len(both) == 1_000
    assert {alarm.subject for alarm in late} <= {alarm.subject for alarm in both}
    assert {alarm.subject for alarm in found(slice(0, 1_200), both)} == {alarm.subject for alarm in both}


def test_default_controls_that_pass_the_limit_together_say_which_to_lower_and_by_how_much() -> None:
    # defaults 7 + 4 + 3 = 14 of 6 kW: 8 over; largest first: 7 of the first, 1 of the second
    rows = [Row(node=1, default_power_kw=kw) for kw in (7.0, 4.0, 3.0)]
    found = lasting(*seen(rows, nodes({"import_limit_kw": 40.0}, {"import_limit_kw": 6.0})))
    alarm = found[AlarmKind.DEFAULTS_OVER, "node-1"]
    assert alarm.cause == "on their default controls the devices below import 8.0 kW more than its limit allows"
    assert alarm.response == "lower default controls: that of device-0 by 7.0 kW, that of device-1 by 1.0 kW"
    assert (AlarmKind.DEFAULTS_OVER, "node-0") not in found
    lowered = [replace(row, default_power_kw=kw) for row, kw in zip(rows, (0.0, 3.0, 3.0), strict=True)]
    state = nodes({"import_limit_kw": 40.0}, {"import_limit_kw": 6.0})
    assert AlarmKind.DEFAULTS_OVER not in {kind for kind, _ in lasting(*seen(lowered, state))}


def test_many_default_controls_are_counted_and_what_they_cannot_give_is_said() -> None:
    # 5 x 2 kW and 3 kW unmetered of 1 kW: 12 over, of which the defaults are 10
    rows = [Row(default_power_kw=2.0) for _ in range(5)]
    found = lasting(*seen(rows, feeder(1.0, assumed_unmetered_kw=3.0)))
    assert found[AlarmKind.DEFAULTS_OVER, "node-0"].response == (
        "lower default controls: that of device-0 by 2.0 kW, that of device-1 by 2.0 kW, that of device-2 by 2.0 kW, "
        "those of 2 more by 4.0 kW together; raise the import limit by 2.0 kW, which no default control can give"
    )


def test_generating_defaults_are_lowered_towards_nothing_where_export_is_what_they_pass() -> None:
    battery = Row(kind=DeviceKind.BATTERY, default_power_kw=-5.0, p_export_max_kw=5.0)
    found = lasting(*seen([battery], nodes({"export_limit_kw": 2.0})))
    alarm = found[AlarmKind.DEFAULTS_OVER, "node-0"]
    assert alarm.cause == "on their default controls the devices below export 3.0 kW more than its limit allows"
    assert alarm.response == "lower default controls: that of device-0 by 3.0 kW"


def test_an_envelope_above_the_limit_gives_the_figure_and_the_moment() -> None:
    picture, decision = measured(40.0)
    envelope = replace(decision.nodes, envelope_import_kw=np.array([62.0]), envelope_import_s=np.array([12.5]))
    alarm = lasting(picture, replace(decision, nodes=envelope))[AlarmKind.ENVELOPE_OVER, "node-0"]
    assert alarm.cause == "without a controller it could import 62.0 kW 12 s from now, 12.0 kW above its limit"


def test_a_meter_that_stands_still_although_devices_move_is_told_from_a_silent_one() -> None:
    plant = Plant([Row(p_import_max_kw=11.0) for _ in range(2)], feeder(30.0, metered_kw=5.0, metered_age_s=0.5),
                  metered=False)  # fmt: skip
    found: tuple[Alarm, ...] = ()
    for second in range(4):
        picture = plant.picture()
        found = alarms(picture, plant.step(), found, 1000 * second)
    assert [(alarm.kind, alarm.subject) for alarm in found] == [(AlarmKind.METER_SILENT, "node-0")]
    assert found[0].cause == "its head meter stands at import 5.0 kW although what is below it moves"


def test_a_silent_meter_and_silent_devices_are_alarms_of_their_node() -> None:
    rows = [Row(node=1), Row(node=1, age_s=40.0), Row(node=1, age_s=np.inf, spoke=False), Row(node=0, age_s=20.0)]
    state = nodes({}, {"metered_kw": 4.0, "metered_age_s": 40.0})
    found = lasting(*seen(rows, state))
    assert set(found) == {(AlarmKind.METER_SILENT, "node-1"), (AlarmKind.DEVICES_SILENT, "node-1")}
    assert found[AlarmKind.METER_SILENT, "node-1"].cause == "its head meter has not been heard for 40 s"
    assert found[AlarmKind.DEVICES_SILENT, "node-1"].cause == (
        "2 of 3 devices not heard for 30 s or more: device-1, device-2"
    )


def test_nothing_is_raised_below_a_node_that_is_off() -> None:
    state = nodes({}, {"mode": OFF, "import_limit_kw": 5.0, "metered_kw": 9.0, "metered_age_s": 40.0})
    assert lasting(*seen([Row(node=1, age_s=40.0)], state)) == {}


def test_a_healthy_fleet_through_an_event_raises_no_alarm_that_stands() -> None:
    plant = Plant([Row(p_min_kw=1.4) for _ in range(6)], feeder(30.0), background_kw=5.0)
    found: tuple[Alarm, ...] = ()
    for tick in range(120):
        if tick == 40:
            plant.constraints = (Constraint(source="ev-1", import_limit_kw=18.0),)
        if tick == 80:
            plant.constraints = ()
        picture = plant.picture()
        found = alarms(picture, plant.step(), found, 2000 * tick)
        assert [alarm for alarm in found if alarm.stands] == [], tick


rows = st.lists(
    st.builds(
        Row,
        node=st.integers(0, 2),
        kind=st.sampled_from(DeviceKind),
        p_actual_kw=st.sampled_from([-5.0, 0.0, 7.0, float("nan")]),
        age_s=st.sampled_from([1.0, 20.0, 60.0, float("inf")]),
        default_power_kw=st.sampled_from([-4.0, 0.0, 3.0]),
        p_export_max_kw=st.sampled_from([0.0, 5.0]),
        lease_kw=st.sampled_from([2.0, float("nan")]),
    ),
    max_size=6,
)
states = st.lists(
    st.fixed_dictionaries(
        {
            "import_limit_kw": st.sampled_from([0.0, 8.0, float("inf")]),
            "export_limit_kw": st.sampled_from([0.0, 8.0, float("inf")]),
            "metered_kw": st.sampled_from([-20.0, 4.0, 20.0, float("nan")]),
            "metered_age_s": st.sampled_from([0.5, 40.0]),
        }
    ),
    min_size=3,
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(rows, st.lists(states, min_size=1, max_size=4), st.lists(st.booleans(), min_size=6, max_size=6))
def test_whatever_comes_alarms_are_in_order_name_real_subjects_and_say_no_figure_that_is_none(
    fleet: list[Row], course: list[list[dict[str, float]]], rogue: list[bool]
) -> None:
    memory = Memory.empty(len(fleet), 3)
    memory.devices.strikes[:] = [-1.0 if flag else 0.0 for flag in rogue[: len(fleet)]]
    found: tuple[Alarm, ...] = ()
    for tick, told in enumerate(course):
        found = alarms(*seen(fleet, nodes(*told), memory), found, 1000 * tick)
        keys = [(list(AlarmKind).index(alarm.kind), alarm.subject) for alarm in found]
        assert keys == sorted(set(keys))
        for alarm in found:
            assert re.fullmatch(r"(node|device)-\d", alarm.subject)
            assert 0 <= alarm.since_ms <= 1000 * tick
            for text in (alarm.cause, alarm.consequence, alarm.response):
                assert text
                assert not BARE.search(text), text


@pytest.mark.parametrize("column", ["severity", "on_ticks", "off_ticks"])
def test_the_operations_page_lists_every_alarm_as_it_is(column: str) -> None:
    section = PAGE.read_text(encoding="utf-8").split("\n## Alarms\n", 1)[1].split("\n## ", 1)[0]
    listed = re.findall(r"^\| `([a-z-]+)` \| ([a-z]+) \| (\d+), (\d+) \| .{20,} \| .{20,} \|$", section, re.MULTILINE)
    place = ["severity", "on_ticks", "off_ticks"].index(column) + 1
    assert {row[0]: row[place] for row in listed} == {
        str(kind): str(getattr(rule, column)) for kind, rule in RULES.items()
    }
    assert set(RULES) == set(AlarmKind)
