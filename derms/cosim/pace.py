"""How fast a session goes: the length of a step, lockstep, and the constants that follow the step. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from derms.columns import Params

LOCKSTEP_FROM_S = 30.0
"""Steps of at least this count as lockstep where the driver does not say [s]."""

_LEASE_STEPS = 2.5
"""A setpoint outlives so many steps, so that a tick that says nothing does not end it."""
_STALE_STEPS = 1.5
_LOST_STEPS = 3.5


def step_of(given: Mapping[str, float], elapsed_s: float | None) -> float:
    """Since the last tick [s]; at the first one what the driver expects, else the engine's own interval."""
    return given.get("interval_s", Params().interval_s) if elapsed_s is None else elapsed_s


def coming_of(given: Mapping[str, float], dt_s: float, before_s: float | None) -> float:
    """Until the next tick [s]: what the driver expects, else the shorter of the last two steps, so that a gap is none.

    Args:
        given: Parameters of the first line.
        dt_s: Since the last tick [s].
        before_s: From the one before to the last one [s]; None: there was none.
    """
    return given.get("interval_s", dt_s if before_s is None else min(dt_s, before_s))


def in_lockstep(given: Mapping[str, float], dt_s: float, said: bool | None) -> bool:
    """Whether setpoints take effect together and are followed before the next tick."""
    return given.get("interval_s", dt_s) >= LOCKSTEP_FROM_S if said is None else said


def params_for(given: Mapping[str, float], dt_s: float, *, lockstep: bool, before_s: float | None = None) -> Params:
    """The engine's constants for a step.

    What the driver has given stands; lives and ages that it has not given grow with the step, so that steps of minutes
    work without any setting. In lockstep there is no deadband, and a setpoint always outlives the step.

    Args:
        given: Parameters of the first line.
        dt_s: Since the last tick [s].
        lockstep: See `in_lockstep`.
        before_s: See `coming_of`.
    """
    base = Params()
    step_s = max(given.get("interval_s", dt_s), dt_s)
    params = replace(
        base,
        interval_s=coming_of(given, dt_s, before_s),
        lease_s=max(base.lease_s, _LEASE_STEPS * step_s),
        stale_after_s=max(base.stale_after_s, _STALE_STEPS * step_s),
        lost_after_s=max(base.lost_after_s, _LOST_STEPS * step_s),
    )
    if lockstep:
        # Nothing is saved by not sending a small change where a tick is minutes long; room would be left unused.
        params = replace(params, deadband=0.0)
    params = replace(params, **given)
    return replace(params, lease_s=max(params.lease_s, _LEASE_STEPS * step_s)) if lockstep else params
