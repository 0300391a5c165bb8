"""What a session knows and answers: fields, silence, leaving and coming back, clocks, lockstep."""

import json
from typing import Any

import pytest

from derms.cosim.run import Conversation
from tests.unit.cosim.driver import Session, answers, ev, setpoints


def drawn(answer: dict[str, Any]) -> dict[str, Any]:
    """Measurements of devices that do as they were told."""
    return {key: {"p_actual_kw": kw} for key, kw in setpoints(answer).items()}


def test_the_first_line_is_answered_with_what_is_in_force() -> None:
    ready = Session(10.0, {"a": ev()}, policy="fair", parameters={"uptake_s": 9}).ready
    assert ready["ready"] is True
    assert (ready["nodes"], ready["devices"], ready["policy"]) == (1, 1, "fair")
    assert ready["parameters"]["uptake_s"] == 9.0
    assert ready["parameters"]["lease_s"] == 750.0  # 2.5 steps of 300 s
    assert ready["parameters"]["lockstep"] is None


def test_a_limit_is_shared_and_a_setpoint_outlives_the_step() -> None:
    answer = Session(10.0, {"a": ev(p_actual_kw=0), "b": ev(p_actual_kw=0)}).tick()
    assert sum(setpoints(answer).values()) == pytest.approx(10.0)
    assert all(told["valid_until"] == 750.0 and told["sent"] for told in answer["setpoints"].values())
    node = answer["nodes"]["feeder"]
    assert node["headroom"] == 10.0
    assert (node["shortfall"], node["binding"], node["import_limit_kw"]) == (0.0, "static", 10.0)
    assert answer["why"]["a"] == "feeder import limit"


def test_without_a_limit_there_is_none_to_show() -> None:
    answer = Session({"feeder": {}}, {"a": ev(p_actual_kw=0)}).tick()
    node = answer["nodes"]["feeder"]
    assert (node["headroom"], node["binding"], node["import_limit_kw"], node["metered_kw"]) == (None,) * 4
    assert setpoints(answer) == {"a": 7.0}


def test_a_limit_that_changes_is_held_from_that_tick_on_and_null_takes_it_away() -> None:
    session = Session(10.0, {"a": ev(p_actual_kw=0), "b": ev(p_actual_kw=0)})
    first = session.tick()
    lower = session.tick(drawn(first), nodes={"feeder": {"import_limit_kw": 4}})
    assert sum(setpoints(lower).values()) == pytest.approx(4.0)
    assert sum(setpoints(session.tick(drawn(lower))).values()) == pytest.approx(4.0)  # not said: as it was
    free = session.tick(drawn(lower), nodes={"feeder": {"import_limit_kw": None}})
    assert setpoints(free) == {"a": 7.0, "b": 7.0}


def test_in_lockstep_what_one_leaves_another_gets_in_the_same_answer() -> None:
    session = Session(7.0, {"a": ev(p_actual_kw=0, priority=1)})
    assert setpoints(session.tick()) == {"a": 7.0}
    answer = session.tick({"a": {"p_actual_kw": 7.0}, "b": ev(p_actual_kw=0, priority=10)})
    assert sum(setpoints(answer).values()) == pytest.approx(7.0)
    assert setpoints(answer)["b"] > 3.0


def test_not_in_lockstep_it_gets_it_when_the_one_is_seen_to_have_left() -> None:
    session = Session(7.0, {"a": ev(p_actual_kw=0, priority=1)}, step_s=10.0)
    assert setpoints(session.tick()) == {"a": 7.0}
    told = session.tick({"a": {"p_actual_kw": 7.0}, "b": ev(p_actual_kw=0, priority=10)})
    assert setpoints(told)["a"] < 7.0
    assert setpoints(told)["b"] == 0.0
    seen = session.tick({"a": {"p_actual_kw": setpoints(told)["a"]}, "b": {"p_actual_kw": 0}})
    assert setpoints(seen)["b"] > 0.0
    assert sum(setpoints(seen).values()) <= 7.0 + 1e-9


def test_the_setpoint_that_a_device_says_it_follows_shows_it_too() -> None:
    # Away from its lease in power, as it ramps; but it says which setpoint it follows.
    session = Session(7.0, {"a": ev(p_actual_kw=0, priority=1)}, step_s=10.0)
    session.tick()
    told = session.tick({"a": {"p_actual_kw": 7.0}, "b": ev(p_actual_kw=0, priority=10)})
    told_kw = setpoints(told)["a"]
    ramping = session.tick({"a": {"p_actual_kw": told_kw + 0.5, "p_setpoint_kw": told_kw}, "b": {"p_actual_kw": 0}})
    assert setpoints(ramping)["b"] > 0.0


def test_a_device_that_nothing_is_said_of_keeps_its_room_until_its_setpoint_is_over() -> None:
    session = Session(10.0, {"a": ev(p_actual_kw=0, priority=10), "b": ev(p_actual_kw=0, priority=1)})
    first = session.tick()
    kept = setpoints(first)["a"]
    session.tick({"b": {"p_actual_kw": setpoints(first)["b"]}})  # a tick missed: still good
    stale = session.tick({"b": {"p_actual_kw": setpoints(first)["b"]}})
    assert stale["nodes"]["feeder"]["reserved_kw"] >= kept - 1e-9
    assert setpoints(stale)["b"] <= 10.0 - kept + 1e-9
    late = stale
    for _ in range(6):  # it is lost after 3.5 steps; its setpoint was last renewed before, and lives for 2.5
        late = session.tick({"b": drawn(late)["b"]})
    assert late["nodes"]["feeder"]["reserved_kw"] == 0.0
    assert setpoints(late) == {"b": 7.0}


def test_registration_alone_does_not_refresh_what_was_measured() -> None:
    session = Session(10.0, {"a": ev(p_actual_kw=0)})
    session.tick()
    for _ in range(2):
        answer = session.tick({"a": {"priority": 7}})
    assert answer["nodes"]["feeder"]["reserved_kw"] > 0.0


def test_chargers_that_were_only_named_cost_no_room() -> None:
    session = Session(7.0, {f"charger-{number}": ev() for number in range(20)})
    answer = session.tick({"charger-3": {"p_actual_kw": 0}})
    assert setpoints(answer) == {"charger-3": 7.0}


def test_one_that_is_gone_frees_its_room_at_once_and_is_told_nothing_more() -> None:
    session = Session(10.0, {"a": ev(p_actual_kw=0), "b": ev(p_actual_kw=0)})
    first = session.tick()
    answer = session.tick({"b": {"p_actual_kw": setpoints(first)["b"]}}, gone=["a"])
    assert setpoints(answer) == {"b": 7.0}
    assert "a" not in answer["why"]
    assert setpoints(session.tick({"b": {"p_actual_kw": 7.0}}, gone=["a"])) == {"b": 7.0}  # gone twice is gone


@pytest.mark.parametrize("words", [{"status": "unavailable"}, {"energy_needed_kwh": 0}])
def test_in_lockstep_one_that_says_once_that_it_is_done_keeps_no_room(words: dict[str, Any]) -> None:
    session = Session(7.0, {"a": ev(p_actual_kw=0), "b": ev(p_actual_kw=0, status="unavailable")})
    assert setpoints(session.tick())["a"] == 7.0
    done = session.tick({"a": {"p_actual_kw": 0, **words}, "b": {"p_actual_kw": 0, "status": "ok"}})
    assert setpoints(done) == {"a": 0.0, "b": 7.0}
    # nothing more is heard of it: what it was told in answer to its own words is all that it follows
    for _ in range(6):
        answer = session.tick({"b": {"p_actual_kw": 7.0}})
        assert answer["nodes"]["feeder"]["reserved_kw"] == 0.0
        assert setpoints(answer)["b"] == 7.0


@pytest.mark.parametrize("in_one_line", [True, False])
def test_one_that_comes_back_is_a_new_session_on_the_old_registration(in_one_line: bool) -> None:
    session = Session(10.0, {"a": ev(p_actual_kw=0, energy_needed_kwh=1.0, ready_by=900)})
    told = session.tick()
    session.tick(drawn(told))
    back = {"a": {"type": "ev", "p_actual_kw": 0, "energy_needed_kwh": 0.3}}
    if in_one_line:
        answer = session.tick(back, gone=["a"])
    else:
        session.tick(gone=["a"])
        answer = session.tick(back)
    assert setpoints(answer)["a"] == pytest.approx(0.3 * 12)  # 0.3 kWh in 300 s
    session.tick(gone=["a"])
    assert setpoints(session.tick({"a": {"type": "battery", "p_actual_kw": 0, "soc": 0.5, "p_max_kw": 3}})) == {
        "a": 3.0
    }


def test_what_is_said_of_one_that_goes_is_its_last_word() -> None:
    session = Session(10.0, {"a": ev(p_actual_kw=0), "b": ev(p_actual_kw=0)})
    session.tick()
    answer = session.tick({"a": {"p_actual_kw": 3.0}, "b": {"p_actual_kw": 5.0}}, gone=["a"])
    assert setpoints(answer) == {"b": 7.0}
    assert setpoints(session.tick({"a": {"p_actual_kw": 0.0}, "b": {"p_actual_kw": 7.0}})).keys() == {"a", "b"}


def test_energy_may_be_stated_once_or_at_every_tick() -> None:
    def told(*, once: bool) -> list[dict[str, float]]:
        session = Session(10.0, {"a": ev(), "b": ev()})
        left, seen = {"a": 2.0, "b": 1.0}, []
        devices = {key: {"p_actual_kw": 0, "energy_needed_kwh": kwh} for key, kwh in left.items()}
        for _ in range(8):
            answer = session.tick(devices)
            seen.append({key: round(kw, 6) for key, kw in setpoints(answer).items()})
            devices = {}
            for key, kw in setpoints(answer).items():
                drawn_kw = min(kw, left[key] * 12)
                left[key] -= drawn_kw / 12  # ends a little below 0, as floating point will have it
                devices[key] = {"p_actual_kw": drawn_kw} | ({} if once else {"energy_needed_kwh": left[key]})
        assert max(left.values()) < 1e-6
        return seen

    assert told(once=True) == told(once=False)


def test_one_that_never_says_its_power_is_taken_to_follow_its_setpoint() -> None:
    session = Session(10.0, {"a": ev(energy_needed_kwh=1.0)})
    assert setpoints(session.tick()) == {"a": 7.0}
    # 7 kW for 300 s are 0.583 kWh; the rest of 1 kWh takes 5 kW.
    assert setpoints(session.tick({"a": {"status": "ok"}}))["a"] == pytest.approx(5.0)


def test_one_that_takes_less_than_it_is_given_frees_the_rest_within_two_ticks() -> None:
    session = Session(10.0, {"a": ev(p_actual_kw=0), "b": ev(p_actual_kw=0)})
    told = session.tick()
    for _ in range(2):
        told = session.tick({"a": {"p_actual_kw": 1.0}, "b": {"p_actual_kw": setpoints(told)["b"]}})
    assert setpoints(told)["b"] == 7.0


def test_null_puts_a_field_back_to_its_default() -> None:
    session = Session(10.0, {"a": ev(p_actual_kw=0, p_min_kw=4.0), "b": ev(p_actual_kw=0, p_min_kw=4.0)})
    first = session.tick(nodes={"feeder": {"margin_kw": 4.0, "metered_kw": 0.0}})
    assert first["nodes"]["feeder"]["headroom"] == pytest.approx(6.0, abs=1e-3)
    now = drawn(first)
    answer = session.tick(
        {"a": {**now["a"], "p_min_kw": None, "p_max_kw": 2.0}, "b": {**now["b"], "p_min_kw": None}},
        nodes={"feeder": {"margin_kw": None, "metered_kw": None}},
    )
    assert answer["nodes"]["feeder"]["headroom"] == 10.0
    assert setpoints(answer)["a"] <= 2.0
    told = {"a": {**drawn(answer)["a"], "p_max_kw": None}, "b": {"status": "unavailable"}}
    assert setpoints(session.tick(told))["a"] > 2.0


def test_both_names_of_the_least_power_and_the_step_are_known() -> None:
    amp = 0.23
    for least, step in (("p_min_kw", "p_step_kw"), ("min_power_kw", "power_step_kw")):
        session = Session(2.0, {"a": ev(p_actual_kw=0, **{least: 6 * amp, step: amp})})
        assert setpoints(session.tick())["a"] == pytest.approx(8 * amp)  # 1.84; nine amps were 2.07


def test_what_the_first_line_measures_is_measured_at_the_first_tick() -> None:
    said = {"nodes": {"f": {"import_limit_kw": 10, "metered_kw": 4.0}}, "devices": {"a": ev(p_actual_kw=0)}}
    told = answers(said, {"now": 5})[-1]
    assert told["nodes"]["f"]["metered_kw"] == 4.0
    assert setpoints(told)["a"] > 0.0
    said_later = answers(said, {"now": 5, "nodes": {"f": {"metered_kw": 6.0}}, "devices": {"a": {"p_actual_kw": 1}}})[
        -1
    ]
    assert said_later["nodes"]["f"]["metered_kw"] == 6.0
    assert answers(said, {"now": 5, "gone": ["a"]})[-1]["setpoints"] == {}


def test_a_measurement_older_than_the_last_is_left_aside_and_named() -> None:
    session = Session(10.0, {"a": ev()})
    session.tick({"a": {"p_actual_kw": 0}})
    session.tick({"a": {"p_actual_kw": 2.0, "at": 290}}, nodes={"feeder": {"metered_kw": 2.0, "metered_at": 290}})
    answer = session.tick(
        {"a": {"p_actual_kw": 5.0, "at": 280}}, nodes={"feeder": {"metered_kw": 9.0, "metered_at": 280}}
    )
    assert answer["late"] == ["a"]
    assert answer["nodes"]["feeder"]["metered_kw"] == 2.0


def test_a_meter_that_is_not_said_any_more_is_an_alarm() -> None:
    session = Session(10.0, {"a": ev(p_actual_kw=0)})
    session.tick(nodes={"feeder": {"metered_kw": 0.0}})
    session.tick({"a": {"p_actual_kw": 7.0}})
    answer = session.tick({"a": {"p_actual_kw": 7.0}})
    assert {"alarm": "meter-silent", "node": "feeder"} in answer["alarms"]


def test_a_meter_is_no_less_believed_when_one_car_takes_over_what_another_leaves() -> None:
    session = Session(21.0, {"a": ev(p_actual_kw=0), "c": ev(p_actual_kw=0)})
    session.tick(nodes={"feeder": {"metered_kw": 0}})
    both = {"a": {"p_actual_kw": 7.0}, "c": {"p_actual_kw": 7.0}}
    session.tick({**both, "d": ev(p_actual_kw=0)}, nodes={"feeder": {"metered_kw": 14.0}})
    for gone in (["c"], [], [], []):
        now = {"a": {"p_actual_kw": 7.0}, "d": {"p_actual_kw": 7.0}}
        answer = session.tick(now, gone=gone, nodes={"feeder": {"metered_kw": 14.0}})
        assert "alarms" not in answer
    answer = session.tick({**now, "e": ev(p_actual_kw=0)}, nodes={"feeder": {"metered_kw": 14.0}})
    assert setpoints(answer)["e"] == pytest.approx(7.0)


def test_one_that_does_as_it_likes_is_named_and_others_make_room() -> None:
    session = Session(10.0, {"a": ev(p_actual_kw=0), "b": ev(p_actual_kw=0)})
    told = session.tick()
    for _ in range(4):
        told = session.tick({"a": {"p_actual_kw": 7.0}, "b": drawn(told)["b"]})
    assert {"alarm": "disobedient", "device": "a"} in told["alarms"]
    assert setpoints(told)["b"] <= 3.0 + 1e-9


def test_defaults_that_alone_are_over_the_limit_are_an_alarm() -> None:
    answer = Session(10.0, {key: ev(p_actual_kw=0, default_power_kw=6.0) for key in "ab"}).tick()
    assert {"alarm": "defaults-over", "node": "feeder", "kw": 2.0, "direction": "import"} in answer["alarms"]


def test_a_load_that_nothing_can_relieve_is_a_shortfall() -> None:
    answer = Session(10.0, {"house": {"type": "load", "p_actual_kw": 12.0}}).tick()
    assert answer["nodes"]["feeder"]["shortfall"] == pytest.approx(2.0)
    assert {"alarm": "shortfall", "node": "feeder", "kw": 2.0, "direction": "import"} in answer["alarms"]


def test_a_child_binds_before_its_parent_and_roots_are_apart() -> None:
    nodes = {
        "site": {"import_limit_kw": 20},
        "row": {"parent": "site", "import_limit_kw": 3},
        "other": {"import_limit_kw": 2},
    }
    devices = {"a": ev(node="row"), "b": ev(node="site"), "c": ev(node="other")}
    answer = Session(nodes, {key: {**device, "p_actual_kw": 0} for key, device in devices.items()}).tick()
    assert setpoints(answer) == {"a": 3.0, "b": 7.0, "c": 2.0}
    assert answer["why"]["a"] == "row import limit"
    assert list(answer["nodes"]) == ["other", "site", "row"]


def test_a_device_may_move_to_another_node() -> None:
    nodes = {"site": {}, "row": {"parent": "site", "import_limit_kw": 3}}
    session = Session(nodes, {"a": ev(p_actual_kw=0)})
    assert setpoints(session.tick())["a"] == 7.0
    assert setpoints(session.tick({"a": {"p_actual_kw": 7.0, "node": "row"}}))["a"] == 3.0


def test_each_root_may_have_a_policy_of_its_own() -> None:
    nodes = {"x": {"import_limit_kw": 7, "policy": "priority"}, "y": {"import_limit_kw": 7}}
    session = Session(nodes, policy="equal")
    chargers = {f"{node}{rank}": ev(node=node, priority=rank, p_actual_kw=0) for node in "xy" for rank in (1, 9)}
    assert len(setpoints(session.tick(chargers))) == 4
    session.tick(nodes={"x": {"policy": None}, "y": {"policy": "fair"}})


def test_what_is_only_advised_is_told_apart_and_never_as_a_setpoint() -> None:
    session = Session({"feeder": {"import_limit_kw": 5, "mode": "advise"}}, {"a": ev(p_actual_kw=0)})
    answer = session.tick()
    assert answer["setpoints"] == {}
    assert answer["advice"]["a"]["p_setpoint_kw"] == pytest.approx(5.0)
    again = session.tick({"a": {"p_actual_kw": 0}}, nodes={"feeder": {"mode": "auto"}})
    assert setpoints(again)["a"] == pytest.approx(5.0)
    assert "advice" not in again


def test_what_is_off_is_left_alone() -> None:
    answer = Session({"feeder": {"import_limit_kw": 5, "mode": "off"}}, {"a": ev(p_actual_kw=0)}).tick()
    assert answer["setpoints"] == {}
    assert "advice" not in answer


def test_an_operator_holds_and_blocks_until_an_instant_or_a_release() -> None:
    session = Session(10.0, {"a": ev(p_actual_kw=0), "b": ev(p_actual_kw=0)})
    held = session.tick(
        {"a": {"override": {"kind": "hold", "p_kw": 6.5, "reason": "inspection", "until": 600}},
         "b": {"override": {"kind": "block"}}}
    )  # fmt: skip
    assert setpoints(held) == {"a": 6.5, "b": 0.0}
    assert held["why"]["a"] == "held by an operator (inspection)"
    session.tick({"a": {"p_actual_kw": 6.5}, "b": {"p_actual_kw": 0}})
    ended = session.tick({"a": {"p_actual_kw": 6.5}, "b": {"p_actual_kw": 0}})  # at 600: the end is not inside
    assert setpoints(ended) == {"a": 7.0, "b": 0.0}
    free = session.tick({"a": {"p_actual_kw": 7.0}, "b": {"p_actual_kw": 0, "override": {"kind": "release"}}})
    assert setpoints(free)["b"] > 0.0


def test_an_event_bears_from_its_start_to_its_end_and_may_be_taken_back() -> None:
    session = Session(10.0, {"a": ev(p_actual_kw=0), "b": ev(p_actual_kw=0)})
    event = {"id": "dr", "start": 300, "end": 600, "import_limit_kw": 4}
    sources = [session.tick(events=[event])["nodes"]["feeder"]["binding"]]
    for _ in range(2):
        answer = session.tick({"a": {"p_actual_kw": 1}, "b": {"p_actual_kw": 1}})
        sources.append(answer["nodes"]["feeder"]["binding"])
    assert sources[:2] == ["static", "dr"]
    assert sources[2] != "dr"
    on = session.tick(events=[{"id": "now", "end": 9000, "import_limit_kw": 2}])
    assert on["nodes"]["feeder"]["import_limit_kw"] == 2.0
    off = session.tick(events=[{"id": "now", "end": 0, "import_limit_kw": 2}])
    assert off["nodes"]["feeder"]["binding"] != "now"


def test_a_program_sheds_while_it_lasts() -> None:
    session = Session(20.0, {"a": ev(p_actual_kw=6.0), "b": ev(p_actual_kw=6.0)})
    program = {"id": "p", "kind": "fixed_cap", "end": 10_000, "target_shed_kw": 5}
    session.tick({"a": {"p_actual_kw": 6.0}, "b": {"p_actual_kw": 6.0}})
    answer = session.tick({"a": {"p_actual_kw": 6.0}, "b": {"p_actual_kw": 6.0}}, programs=[program])
    assert answer["nodes"]["feeder"]["binding"] == "p"
    assert sum(setpoints(answer).values()) <= 7.0 + 1e-9  # 12 - 5


def test_pv_is_curtailed_and_a_battery_relieves() -> None:
    session = Session(
        {"feeder": {"import_limit_kw": 10, "export_limit_kw": 4}},
        {"sun": {"type": "pv", "p_max_kw": 8, "p_actual_kw": -8.0}},
    )
    assert setpoints(session.tick()) == {"sun": -4.0}
    relief = Session(
        10.0,
        {"house": {"type": "load", "p_actual_kw": 12.0},
         "store": {"type": "battery", "p_max_kw": 5, "soc": 0.7, "capacity_kwh": 10, "p_actual_kw": 0}},
    ).tick()  # fmt: skip
    assert setpoints(relief)["store"] == pytest.approx(-2.0)


def _shifted(line: dict[str, Any], by_s: float) -> dict[str, Any]:
    devices = {
        key: {**said, "ready_by": said["ready_by"] + by_s} if "ready_by" in said else said
        for key, said in line["devices"].items()
    }
    return {**line, "now": line["now"] + by_s, "devices": devices}


def test_the_epoch_of_the_clock_changes_nothing() -> None:
    opening = {"nodes": {"f": {"import_limit_kw": 9}}, "parameters": {"interval_s": 300}}
    lines = [
        {"now": 300.25 * step, "devices": {key: ev(p_actual_kw=2, ready_by=9000.0 + step) for key in "abc"}}
        for step in range(6)
    ]
    plain = answers(opening, *lines)
    for by_s in (1_778_652_000.0, -5000.0):
        for here, there in zip(plain[1:], answers(opening, *(_shifted(line, by_s) for line in lines))[1:], strict=True):
            assert setpoints(here) == setpoints(there)
            until = [told["valid_until"] - here["now"] for told in here["setpoints"].values()]
            assert until == pytest.approx([told["valid_until"] - there["now"] for told in there["setpoints"].values()])


def test_texts_for_instants_are_answered_with_texts() -> None:
    opening = {"nodes": {"f": {}}, "devices": {"a": ev(p_actual_kw=0)}, "parameters": {"interval_s": 300}}
    answer = answers(opening, {"now": "2026-05-13T06:00:00+02:00"})[-1]
    assert answer["now"] == "2026-05-13T06:00:00+02:00"
    assert answer["setpoints"]["a"]["valid_until"] == "2026-05-13T04:12:30.000Z"  # 750 s later
    assert answer["nodes"]["f"]["envelope_import_at"].endswith("Z")


def test_the_order_of_names_changes_no_byte() -> None:
    devices = {key: ev(p_actual_kw=1.0, priority=rank + 1) for rank, key in enumerate("dbca")}
    nodes = {"f": {"import_limit_kw": 9}, "g": {"parent": "f"}, "e": {"parent": "f"}}

    def said(*, backwards: bool) -> bytes:
        order = reversed if backwards else iter
        conversation = Conversation()
        out = b""
        for line in (
            {"nodes": dict(order(list(nodes.items()))), "devices": dict(order(list(devices.items())))},
            *({"now": now, "devices": dict(order(list(devices.items())))} for now in range(0, 1500, 300)),
        ):
            out += json.dumps(conversation.answer(json.dumps(line).encode(), 1)).encode()
        return out

    assert said(backwards=False) == said(backwards=True)
