"""The dead-man envelope: whenever the controller stops, what flows afterwards stays below what was predicted."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derms.columns import Decision, Memory, Picture
from derms.control.decide import decide
from tests.unit.control.fleets import PARAMS, Plant, Row, columns, feeder


def _peak_after(plant: Plant) -> float:
    """The highest load after the controller died: leases until they end, then default control [kW]."""
    peak = 0.0
    for second in range(round(PARAMS.lease_s) + 30):
        drawn = [row.p_actual_kw if second < row.lease_left_s else row.default_power_kw for row in plant.rows]
        peak = max(peak, plant.background_kw + sum(drawn))
    return peak


def _run(plant: Plant, ticks: int) -> Decision:
    decision = plant.step()
    for _ in range(ticks):
        decision = plant.step()
    return decision


_row = st.builds(
    Row,
    p_import_max_kw=st.sampled_from([3.7, 7.4, 11.0]),
    p_min_kw=st.sampled_from([0.0, 1.4]),
    default_power_kw=st.sampled_from([0.0, 1.4, 3.0]),
    priority=st.integers(1, 10).map(float),
    soc=st.floats(0.1, 0.7),
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(_row, min_size=1, max_size=8),
    limit_kw=st.floats(5.0, 60.0),
    background_kw=st.floats(0.0, 10.0),
    ticks=st.integers(0, 25),
)
def test_stopped_at_any_tick_the_load_never_passes_what_was_predicted(
    rows: list[Row], limit_kw: float, background_kw: float, ticks: int
) -> None:
    plant = Plant(rows, feeder(limit_kw), background_kw=background_kw)
    decision = _run(plant, ticks)
    assert _peak_after(plant) <= decision.nodes.envelope_import_kw[0] + 1e-6


def test_default_controls_that_pass_the_limit_together_are_said_by_how_much() -> None:
    # 4 x 3.0 = 12 on 10, with 1 of background: 3 too many
    plant = Plant([Row(default_power_kw=3.0) for _ in range(4)], feeder(10.0), background_kw=1.0)
    decision = _run(plant, 5)
    assert decision.nodes.default_over_kw[0] == pytest.approx(3.0)
    assert decision.nodes.envelope_import_kw[0] >= 13.0 - 1e-6


def test_where_no_mixture_can_pass_the_limit_the_envelope_is_what_is_leased_and_all_leases_live_alike() -> None:
    plant = Plant([Row() for _ in range(3)], feeder(15.0), background_kw=2.0)
    decision = _run(plant, 30)
    assert decision.nodes.envelope_import_kw[0] == pytest.approx(15.0, abs=0.3)
    assert set(decision.life_s.tolist()) == {PARAMS.lease_s}


def test_leases_above_their_default_end_before_those_below_so_that_no_mixture_passes_the_limit() -> None:
    # 11 kW for one that falls to 0, 1 kW for ten that rise to 1.0 without a lease: together 10 + 10 > 12
    greedy = Row(p_import_max_kw=11.0, priority=10.0, soc=0.1, ready_in_s=1800.0)
    idle = Row(p_import_max_kw=7.0, p_min_kw=1.4, default_power_kw=1.0, available_kw=0.5)
    plant = Plant([greedy, *(replace(idle) for _ in range(10))], feeder(12.0))
    decision = _run(plant, 40)
    assert decision.target_kw[0] > 5.0
    assert np.all(decision.life_s[1:] > decision.life_s[0])
    assert decision.nodes.envelope_import_kw[0] <= 12.0 + 0.5
    assert _peak_after(plant) <= 12.0 + 1e-6


def test_in_lockstep_what_is_lowered_counts_no_more_with_its_older_lease() -> None:
    # 2 x 7 on 14, then the limit falls to 6: all leases of one decision are followed together
    leased = Row(p_actual_kw=7.0, lease_kw=7.0, may_kw=7.0, may_low_kw=7.0, lease_left_s=15.0, may_left_s=25.0)
    picture = Picture(dt_s=300.0, nodes=feeder(6.0), constraints=(), devices=columns([leased, leased]), lockstep=True)
    decision, _ = decide(picture, Memory.empty(2), replace(PARAMS, interval_s=300.0))
    assert decision.target_kw == pytest.approx([3.0, 3.0])
    assert decision.nodes.envelope_import_kw[0] == pytest.approx(6.0)
    # on a wire the older leases may still be followed
    decision, _ = decide(replace(picture, lockstep=False), Memory.empty(2), PARAMS)
    assert decision.nodes.envelope_import_kw[0] == pytest.approx(14.0)
