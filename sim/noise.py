"""Chance that depends on nothing but a seed and an instant. Pure.

Because the noise is a function of time and not of how often it was asked for, a run with another step size, or a
device more, sees the same clouds.
"""

_MASK = (1 << 64) - 1


def mixed(*values: int) -> int:
    """A 64-bit number that looks random and is fixed by the values.

    Source: S. Vigna, "splitmix64", the finalizer (public domain).
    """
    state = 0
    for value in values:
        state = (state + (value & _MASK) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def smooth_noise(seed: int, t_s: float, period_s: float) -> float:
    """A smooth curve in -1..1 with mean 0 that wanders once per period.

    Args:
        seed: Which curve.
        t_s: The instant [s].
        period_s: The time between two independent values [s], > 0.
    """
    position = t_s / period_s
    left = int(position // 1)
    fraction = position - left
    here, there = _lattice(seed, left), _lattice(seed, left + 1)
    return here + (there - here) * fraction * fraction * (3.0 - 2.0 * fraction)


def _lattice(seed: int, index: int) -> float:
    return mixed(seed, index) / (1 << 63) - 1.0
