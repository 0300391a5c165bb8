import pytest

from derms.columns import Params
from derms.cosim.pace import in_lockstep, params_for, step_of


@pytest.mark.parametrize(
    ("given", "dt_s", "said", "lockstep"),
    [
        ({}, 1.0, None, False),
        ({}, 29.9, None, False),
        ({}, 30.0, None, True),
        ({}, 1.0, True, True),
        ({}, 300.0, False, False),
        ({"interval_s": 1.0}, 60.0, None, False),  # a pause in a plant of seconds makes no lockstep
        ({"interval_s": 300.0}, 1.0, None, True),
    ],
)
def test_steps_of_half_a_minute_are_lockstep_unless_said_otherwise(
    given: dict[str, float], dt_s: float, said: bool | None, lockstep: bool
) -> None:
    assert in_lockstep(given, dt_s, said) is lockstep


def test_lives_and_ages_grow_with_the_step() -> None:
    params = params_for({}, 300.0, lockstep=True)
    # 2.5 x 300, 1.5 x 300, 3.5 x 300
    assert (params.lease_s, params.stale_after_s, params.lost_after_s) == (750.0, 450.0, 1050.0)
    assert params.interval_s == 300.0
    assert params.deadband == 0.0


def test_at_steps_of_a_second_they_are_the_daemons() -> None:
    params, usual = params_for({}, 1.0, lockstep=False), Params()
    assert (params.lease_s, params.stale_after_s, params.lost_after_s, params.deadband) == (
        usual.lease_s,
        usual.stale_after_s,
        usual.lost_after_s,
        usual.deadband,
    )


def test_what_is_given_stands_but_in_lockstep_a_lease_outlives_the_step() -> None:
    given = {"lease_s": 100.0, "stale_after_s": 20.0, "deadband": 0.05}
    loose = params_for(given, 300.0, lockstep=False)
    assert (loose.lease_s, loose.stale_after_s, loose.deadband) == (100.0, 20.0, 0.05)
    assert params_for(given, 300.0, lockstep=True).lease_s == 750.0


def test_the_first_step_is_what_the_driver_expects() -> None:
    assert step_of({}, None) == Params().interval_s
    assert step_of({"interval_s": 60.0}, None) == 60.0
    assert step_of({"interval_s": 60.0}, 45.0) == 45.0


@pytest.mark.parametrize(
    ("given", "dt_s", "before_s", "coming_s"),
    [
        ({}, 300.0, 300.0, 300.0),
        ({}, 3600.0, 300.0, 300.0),  # a gap is no step
        ({}, 300.0, 3600.0, 300.0),
        ({}, 300.0, None, 300.0),
        ({"interval_s": 60.0}, 3600.0, 60.0, 60.0),
    ],
)
def test_the_next_step_is_expected_to_be_as_long_as_steps_are_when_there_is_no_gap(
    given: dict[str, float], dt_s: float, before_s: float | None, coming_s: float
) -> None:
    assert params_for(given, dt_s, lockstep=True, before_s=before_s).interval_s == coming_s
