"""How much of a measured background to believe, and what to keep free beside it. Pure.

What a head meter shows of the uncontrolled load is a level that wanders, and noise on top. Both sizes are learnt from
the readings themselves, so nobody has to set a margin:

::

    reading - known = level + noise        the level moves by q a reading, the noise has variance r
    differences d of readings:             E[d d] = 2 r + q      E[d d'] = -r   (d' the one before)

- Noise is averaged away by a Kalman filter on that model; small things nobody sees.
- A rise (or fall) that noise does not explain is found by a cumulative sum of surprises and then believed at once.
- While it goes on rising, it is expected to go on for as long as a lease needs to take effect.
- What may still be wrong with it by then is `spread_kw`: leases stand as long as they fit beside the level and a
  little of the spread, are lowered to fit beside more of it, and raised only when there is clearly more room.

Without noise all of this vanishes: the level is the reading.

Source: Harvey, Forecasting, Structural Time Series Models and the Kalman Filter, section 2.4.3 (moments of the local
level model) and 4.1 (its filter); Page, Continuous Inspection Schemes, Biometrika 41 (the cumulative sum).
"""

from dataclasses import dataclass, replace

import numpy as np

from derms.columns import Bools, Floats, NodeMemory

_LEARN_S, _LEARN_READINGS = 600.0, (60.0, 600.0)
"""Noise and drift are learnt over about this long [s], within these numbers of readings."""
_LEARN_FREELY = 3.0
"""Until so many readings are in, any difference counts in full."""
_CLIP = 3.0
"""After that, a difference counts as noise up to this many of its standard deviations; the rest is an event."""
_FLOOR = 1e-4
"""...or up to this share of what flows, so that a meter which was silent for long is learnt anew."""
_LEAST_DRIFT = 0.039
"""The level always moves by at least this share of the noise variance: the filter never falls asleep."""
_SURPRISE = 0.4
"""What a surprise must pass to add to the cumulative sum [standard deviations]."""
_ALARM_UP = 3.6
_ALARM_DOWN = 13.0
"""When the sum says that the level has moved; falls are believed later than rises [standard deviations]."""
_REOPEN = 0.6
"""How uncertain the level is then: this share of the surprise squared."""
_TREND_GAIN = 0.3
_LATENCY_S = 2.0
"""From a decision until a device does it, about [s]."""
_LEAD_S = 3.0
"""For so long a rise is expected to go on [s]."""
_STAY, _LOWER = 0.0, 1.1
"""Leases may stand beside so much of the spread; they are lowered to fit beside so much [standard deviations]."""
_RAISE, _RAISE_SPREAD = 0.65, 0.5
"""They are raised when there is this much of noise and spread on top [standard deviations]..."""
_RAISE_SHARE = 0.004
"""...or of what there was."""
_ROOMY = 4.0
"""...and more of it for a while [standard deviations of the noise x s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What is thought of each node's background, arrays of shape (m,)."""

    level_kw: Floats
    """The best guess."""
    trend_kw_s: Floats
    """How fast it is expected to go on rising, >= 0."""
    spread_kw2: Floats
    """Variance of what it will be when a lease takes effect."""
    noise_kw2: Floats
    """Variance of one reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Arrays of shape (m,)."""

    kw: Floats
    roomy: Floats
    """To be remembered."""


def standing(free_kw: Floats, before_kw: Floats, roomy: Floats, belief: Belief, spare_kw: Floats, dt_s: float) -> Room:
    """What there is to give beside a background that is not known exactly.

    As much as before, as long as that may stand and there has not clearly been more for a while: so nothing moves for
    the noise of a meter.

    Args:
        free_kw: Limit less everything known and the level, shape (m,) [kW]; inf: no limit.
        before_kw: What there was at the last tick; NaN: never looked.
        roomy: What was remembered.
        belief: How sure the level is.
        spare_kw: Leased and not taken: it is a margin of its own, shape (m,) [kW].
        dt_s: Since the last tick [s].
    """
    noise, spread = np.sqrt(belief.noise_kw2), np.sqrt(belief.spread_kw2)
    rise = belief.trend_kw_s * _LEAD_S
    stay = np.maximum(rise + _STAY * spread - spare_kw, 0.0)
    lower = np.maximum(rise + _LOWER * spread - spare_kw, 0.0)
    clearly = _RAISE * noise + _RAISE_SPREAD * spread
    # A quiet meter can be followed closely; behind a noisy one a little more room is not worth a move.
    clearly = np.maximum(clearly, np.minimum(_RAISE_SHARE * np.abs(before_kw), 10.0 * noise))
    with np.errstate(invalid="ignore"):  # no limit less no limit is no more than there was
        more = free_kw - lower - before_kw - clearly
        gained = np.where(more > 0.0, roomy + more / np.maximum(noise, 1e-6) * dt_s, 0.0)
    stands = (before_kw <= free_kw - stay) & ~(gained > _ROOMY)
    return Room(kw=np.where(stands, before_kw, free_kw - lower), roomy=np.where(stands, gained, 0.0))


def follow(
    reading_kw: Floats, age_s: Floats, metered: Bools, memory: NodeMemory, dt_s: float
) -> tuple[Belief, NodeMemory]:
    """Take in what the meters say.

    Args:
        reading_kw: Metered less everything known, shape (m,) [kW]; ignored where `metered` is false.
        age_s: Of the reading, shape (m,) [s].
        metered: There is a fresh head meter.
        memory: What was remembered.
        dt_s: Since the last tick [s].

    Returns:
        What to think of what nobody explains at each node, nothing where there is no fresh meter; and the memory.
    """
    if not metered.any():
        nothing = np.zeros(metered.shape)
        return Belief(level_kw=nothing, trend_kw_s=nothing, spread_kw2=nothing, noise_kw2=nothing), memory
    gap_s = np.where(np.isfinite(memory.meter_age_s), memory.meter_age_s + dt_s - age_s, dt_s)
    new = metered & ~(gap_s <= 1e-3)
    first = new & ~np.isfinite(memory.level_kw)
    before = np.where(np.isfinite(memory.level_kw), memory.level_kw, reading_kw)
    memory, noise, drift = _learn(reading_kw, new, first, gap_s, memory)
    memory = _track(reading_kw, before, new, noise, drift, gap_s, memory)
    memory = replace(memory, meter_age_s=np.where(metered, age_s, memory.meter_age_s + dt_s))
    usual_s = np.where(memory.meter_gap_s > 0.0, memory.meter_gap_s, dt_s)
    spread = memory.level_kw2 + drift * (np.where(metered, age_s, 0.0) + dt_s + _LATENCY_S) / usual_s
    belief = Belief(
        level_kw=np.where(metered, memory.level_kw, 0.0),
        trend_kw_s=np.where(metered, memory.trend_kw_s, 0.0),
        spread_kw2=np.where(metered, spread, 0.0),
        noise_kw2=np.where(metered, noise, 0.0),
    )
    return belief, memory


def foresee(known_kw: Floats, memory: NodeMemory, dt_s: float) -> tuple[Floats, NodeMemory]:
    """How fast what telemetry knows goes on rising, shape (m,) [kW/s]; a mere step is over when it is seen."""
    moved = np.where(np.isfinite(memory.known_kw), known_kw - memory.known_kw, 0.0)
    trend = np.maximum(np.minimum(moved, memory.known_moved_kw), 0.0) / max(dt_s, 1e-3)
    return trend, replace(memory, known_kw=known_kw, known_moved_kw=moved)


def _learn(
    reading_kw: Floats, new: Bools, first: Bools, gap_s: Floats, memory: NodeMemory
) -> tuple[NodeMemory, Floats, Floats]:
    """Noise and drift variances a reading, from the moments of differences; shape (m,) each [kW2]."""
    seen = np.where(first | ~np.isfinite(memory.seen_kw), reading_kw, memory.seen_kw)
    moved = np.where(new, reading_kw - seen, 0.0)
    count = np.where(new, memory.readings + 1.0, memory.readings)
    reach = np.where(count > _LEARN_FREELY, _CLIP * np.sqrt(memory.square_kw2) + _FLOOR * np.abs(reading_kw), np.inf)
    moved = np.clip(moved, -reach, reach)
    share = np.clip(gap_s / _LEARN_S, 1.0 / _LEARN_READINGS[1], 1.0 / _LEARN_READINGS[0])
    share = np.where(new & ~first, np.maximum(share, 1.0 / np.maximum(count - 1.0, 1.0)), 0.0)
    square = memory.square_kw2 + share * (moved * moved - memory.square_kw2)
    cross = memory.cross_kw2 + share * (moved * memory.moved_kw - memory.cross_kw2)
    noise = np.maximum(np.maximum(-cross, 0.05 * square), 1e-12)
    drift = np.maximum(square + 2.0 * cross, _LEAST_DRIFT * noise)
    learnt = replace(
        memory,
        seen_kw=np.where(new, reading_kw, memory.seen_kw),
        moved_kw=np.where(new, moved, memory.moved_kw),
        square_kw2=square,
        cross_kw2=cross,
        readings=np.minimum(count, 2.0 * _LEARN_READINGS[1]),
    )
    return learnt, noise, drift


def _track(
    reading_kw: Floats,
    before_kw: Floats,
    new: Bools,
    noise: Floats,
    drift: Floats,
    gap_s: Floats,
    memory: NodeMemory,
) -> NodeMemory:
    """Move the level: a little by what noise may explain, at once by what it cannot."""
    variance = memory.level_kw2 + np.where(new, drift, 0.0)
    surprise = np.where(new, reading_kw - before_kw, 0.0)
    score = surprise / np.sqrt(variance + noise)
    up = np.clip(memory.surprise_up + score - _SURPRISE, 0.0, 2.0 * _ALARM_UP)
    down = np.clip(memory.surprise_down - score - _SURPRISE, 0.0, 2.0 * _ALARM_DOWN)
    rises = new & (up > _ALARM_UP) & (surprise > 0.0)
    falls = new & (down > _ALARM_DOWN) & (surprise < 0.0)
    variance = np.where(rises | falls, np.maximum(variance, _REOPEN * surprise * surprise), variance)
    gain = np.where(new, variance / (variance + noise), 0.0)
    moved = gain * surprise
    pace = moved / np.maximum(gap_s, 1e-3)
    trend = np.maximum(memory.trend_kw_s + _TREND_GAIN * (pace - memory.trend_kw_s), 0.0)
    # A single step is over when it is seen; only what has risen twice in a row is expected to go on.
    going = (up > 0.5 * _ALARM_UP) & (pace > 0.0) & (memory.pace_kw_s > 0.0)
    return replace(
        memory,
        level_kw=np.where(new, before_kw + moved, memory.level_kw),
        level_kw2=variance * (1.0 - gain),
        surprise_up=np.where(new, np.where(falls, 0.0, up), memory.surprise_up),
        surprise_down=np.where(new, np.where(rises, 0.0, down), memory.surprise_down),
        trend_kw_s=np.where(new, np.where(going, trend, 0.0), memory.trend_kw_s),
        pace_kw_s=np.where(new, pace, memory.pace_kw_s),
        meter_gap_s=np.where(new, np.where(memory.meter_gap_s > 0.0, 0.9 * memory.meter_gap_s + 0.1 * gap_s, gap_s),
                             memory.meter_gap_s),
    )  # fmt: skip
