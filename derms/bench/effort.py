"""How much is measured: everything, or what fits into a minute. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """The sizes of all measurements."""

    days: int = 7
    """Of every week."""
    thinned: tuple[int, ...] = (0, 1)
    """Seeds of the recorded week with a part of its sessions left out."""
    made: tuple[int, ...] = (1,)
    """Seeds of the generated weeks."""
    limits_kw: tuple[float, ...] = (20.0, 25.0)
    """Of the recorded weeks."""
    tables: bool = True
    """Measure too what only tables show."""
    seeds: tuple[int, ...] = (1, 2, 3, 4)
    """Of the plants."""
    steady_s: int = 7200
    event_s: int = 1800
    rotation_s: int = 8 * 3600
    sizes: tuple[int, ...] = (1_000, 10_000, 100_000)
    """Fleets to time."""
    runs: int | None = None
    """How often; None: enough for a 99th percentile."""


FULL = Effort()
QUICK = Effort(
    days=2,
    thinned=(0,),
    made=(),
    limits_kw=(20.0,),
    tables=False,
    seeds=(1,),
    steady_s=1800,
    event_s=600,
    rotation_s=3 * 3600,
    sizes=(1_000, 10_000),
    runs=100,
)
