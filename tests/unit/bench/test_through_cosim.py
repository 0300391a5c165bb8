"""The same weeks and plants through `derms cosim` come to the same."""

import numpy as np
import pytest

from derms.bench.cosim_rig import CosimRig
from derms.bench.seconds import drop
from derms.bench.sessions import STEP_S, run_policy
from derms.bench.through_cosim import Says, answered, in_process, in_subprocess, run_through
from derms.bench.weeks import Week, recorded_week
from derms.model import Policy


@pytest.fixture(scope="module")
def day() -> Week:
    """Half of the recorded Monday, at chargers of whole amps."""
    return recorded_week().until(1).part(0.5, 1).on_grid(STEP_S).in_amps().on_grid(STEP_S)


@pytest.mark.parametrize(("policy", "says"), [(Policy.DEFICIT, Says.ONCE), (Policy.LEAST_LAXITY, Says.LEFT)])
def test_a_day_through_cosim_delivers_what_the_engine_alone_does(day: Week, policy: Policy, says: Says) -> None:
    alone, through = run_policy(day, 10.0, policy), run_through(day, 10.0, policy, in_process(), says)
    assert through.delivered_kwh.sum() == pytest.approx(alone.delivered_kwh.sum(), rel=5e-3)
    assert through.invalid == 0


def test_the_command_answers_as_the_session_in_this_process_does(day: Week) -> None:
    few = day.part(0.3, 1)
    with in_subprocess() as ask:
        through = run_through(few, 10.0, Policy.FAIR, ask)
    here = run_through(few, 10.0, Policy.FAIR, in_process())
    np.testing.assert_array_equal(through.delivered_kwh, here.delivered_kwh)


def test_a_limit_that_falls_is_held_within_seconds_through_cosim() -> None:
    found = drop(1, before_s=90, event_s=90, after_s=60, controller=CosimRig)
    assert found.under_s <= 5
    assert found.delivered > 0.98


def test_an_error_line_is_no_answer() -> None:
    with pytest.raises(ValueError, match="nodes"):
        answered(in_process()({}))
