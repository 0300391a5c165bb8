"""What is told apart from what is not, where meters and devices speak at different instants, not at all, or falsely."""

from dataclasses import replace

import numpy as np
import pytest

from derms.columns import Memory, NodeColumns
from tests.unit.control.fleets import Row, feeder, tick


def _metered(limit_kw: float, metered_kw: float, age_s: float = 0.5) -> NodeColumns:
    return feeder(limit_kw, metered_kw=metered_kw, metered_age_s=age_s)


def _leased(p_kw: float, **changes: float) -> Row:
    """A charger that was told this power long ago and draws it."""
    leased = Row(p_actual_kw=p_kw, lease_kw=p_kw, may_kw=p_kw, may_low_kw=p_kw, lease_left_s=15.0, may_left_s=25.0,
                 acknowledged_s=30.0, p_import_max_kw=11.0)  # fmt: skip
    return replace(leased, **changes)  # type: ignore[arg-type]  # a table's words, checked by the dataclass


def test_a_meter_that_sees_a_charger_start_before_its_own_reading_does_is_not_a_risen_background() -> None:
    # told 5.5 kW three seconds ago, last reading (0 kW) four seconds ago; the meter has gone from 0 to 5.5 since
    started = Row(
        p_import_max_kw=11.0, p_min_kw=4.1, lease_kw=5.5, may_kw=5.5, lease_left_s=17.0, told_s=3.0, age_s=4.0
    )
    _, memory = tick([Row(p_import_max_kw=11.0, p_min_kw=4.1)], _metered(6.0, 0.0))
    decision, _ = tick([started], _metered(6.0, 5.5), memory=memory)
    assert decision.nodes.background_kw[0] == pytest.approx(0.0)
    assert decision.target_kw[0] >= 5.5


def test_a_change_that_no_lease_explains_is_the_background() -> None:
    # told 5.5, read at 0 before that; the meter reads 9: at least 9 - 5.5 = 3.5 is nobody's
    started = Row(p_import_max_kw=11.0, lease_kw=5.5, may_kw=5.5, lease_left_s=17.0, told_s=3.0, age_s=4.0)
    _, memory = tick([Row(p_import_max_kw=11.0)], _metered(20.0, 0.0))
    decision, _ = tick([started], _metered(20.0, 9.0), memory=memory)
    # (and nearly all of it is believed after one reading)
    assert decision.nodes.background_kw[0] == pytest.approx(3.5, abs=0.2)
    # a reading made under the lease settles it: it draws nothing, so all 9 are
    seen = replace(started, told_s=4.0, age_s=0.5, acknowledged_s=0.5)
    decision, _ = tick([seen], _metered(20.0, 9.0), memory=memory)
    assert decision.nodes.background_kw[0] == pytest.approx(9.0, abs=0.5)


def test_a_charger_told_to_leave_and_not_heard_since_frees_no_room_twice() -> None:
    # 11 kW, told 4 a second ago; the meter reads 4 already. The background stays 0: it has not become -7
    leaving = _leased(11.0, lease_kw=4.0, told_s=1.0, age_s=1.5, acknowledged_s=-np.inf)
    _, memory = tick([_leased(11.0)], _metered(20.0, 11.0))
    decision, _ = tick([leaving], _metered(20.0, 4.0), memory=memory)
    assert decision.nodes.background_kw[0] == pytest.approx(0.0)
    assert decision.nodes.headroom_kw[0] == pytest.approx(20.0)


def test_what_a_lost_charger_drew_once_is_not_taken_off_a_meter_that_no_longer_sees_it() -> None:
    # 6 kW when last heard; lost, its lease over, so on its default of 0: the meter's 30 are 30 of background, not 24
    lost = Row(p_actual_kw=6.0, age_s=60.0)
    decision, _ = tick([lost, Row()], _metered(50.0, 30.0))
    assert decision.nodes.background_kw[0] == pytest.approx(30.0)
    assert decision.nodes.headroom_kw[0] == pytest.approx(20.0)
    # while its lease lives it counts as drawing, and is reserved: both cancel
    living = Row(p_actual_kw=6.0, age_s=60.0, lease_kw=6.0, may_kw=6.0, lease_left_s=5.0, told_s=90.0)
    decision, _ = tick([living, Row()], _metered(50.0, 30.0))
    assert decision.nodes.headroom_kw[0] == pytest.approx(50.0 - 24.0 - 6.0)


def _play(metered_kw: list[float], drawn_kw: list[float]) -> tuple[list[bool], list[float]]:
    """One charger ticked behind a meter; whether the meter was believed, and the headroom [kW]."""
    memory: Memory | None = None
    believed, headroom = [], []
    for reading, drawn in zip(metered_kw, drawn_kw, strict=True):
        decision, memory = tick([_leased(drawn)], _metered(50.0, reading), memory=memory)
        believed.append(bool(np.isfinite(decision.nodes.measured_kw[0])))
        headroom.append(float(decision.nodes.headroom_kw[0]))
    return believed, headroom


def test_a_meter_that_stands_still_while_a_charger_starts_is_not_believed_from_the_second_reading_on() -> None:
    # the background is 20 all along; the meter stopped at 20 when the charger began
    believed, headroom = _play([20.0, 20.0, 20.0, 20.0, 27.0], [0.0, 4.0, 6.0, 7.0, 7.0])
    assert believed == [True, True, False, False, True]
    assert headroom[3] == pytest.approx(30.0, abs=0.2)
    assert headroom[4] == pytest.approx(30.0, abs=0.2)


def test_a_meter_that_stands_still_because_nothing_moves_is_believed() -> None:
    assert _play([20.0] * 5, [4.0] * 5)[0] == [True] * 5
    # nor is it doubted for one reading that was taken just before the charger moved
    assert _play([20.0, 20.0, 24.0, 24.0, 24.0], [0.0, 4.0, 4.0, 4.0, 4.0])[0] == [True] * 5


def test_no_new_reading_is_no_evidence() -> None:
    memory: Memory | None = None
    for age_s, drawn in ((0.5, 0.0), (2.5, 4.0), (4.5, 6.0)):
        decision, memory = tick([_leased(drawn)], _metered(50.0, 20.0, age_s), memory=memory)
    assert np.isfinite(decision.nodes.measured_kw[0])
