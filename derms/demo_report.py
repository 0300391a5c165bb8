"""How the demo judges the controller: by what truly flowed through the feeder's head. Pure."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from derms.api.schemas.events import EventOut
from sim.world import HeadSample

TOLERANCE = 0.01
"""Over the limit by less than this share of it does not count."""
PATIENCE_S = 5.0
"""The limit was not held if the head stayed above it for longer [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A DR event as it was obeyed."""

    event_id: str
    limit_kw: float
    start_ms: int
    end_ms: int
    compliant_after_s: float | None
    """From its start until the head was within its limit [s]; None: it never was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """What the demo came to."""

    limit_kw: float
    uncontrolled_peak_kw: float
    """What the same fleet under the same sky draws by itself."""
    peak_kw: float
    """What it drew under control."""
    held: bool
    longest_over_s: float
    """The longest the head stayed above the limit in force."""
    over_share: float
    """Share of the time above it, 0..1."""
    used_share: float
    """Mean of head power to limit in force while the limit bound, 0..1."""
    windows: tuple[Window, ...]
    samples_stored: int
    setpoints_sent: int
    devices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How a limit was held."""

    longest_over_s: float
    over_share: float
    used_share: float


def judge(heads: Sequence[HeadSample], limit_kw: float, windows: Sequence[Window]) -> Judgement:
    """Compare what flowed with the limit in force at each instant. Pure.

    Args:
        heads: What flowed, in order of time.
        limit_kw: The static limit.
        windows: The events, each tighter than the static limit within [start, end).
    """
    over_ms = longest_ms = stretch_ms = 0
    used = [0.0]
    for before, sample in itertools.pairwise(heads):
        bounds = [window.limit_kw for window in windows if window.start_ms <= sample.at_ms < window.end_ms]
        bound_kw = min([limit_kw, *bounds])
        lasted_ms = sample.at_ms - before.at_ms
        if sample.head_kw > bound_kw * (1.0 + TOLERANCE):
            stretch_ms += lasted_ms
            over_ms += lasted_ms
            longest_ms = max(longest_ms, stretch_ms)
        else:
            stretch_ms = 0
        if sample.head_kw > 0.5 * bound_kw:
            used.append(sample.head_kw / bound_kw)
    whole_ms = heads[-1].at_ms - heads[0].at_ms if heads else 0
    return Judgement(
        longest_over_s=longest_ms / 1000.0,
        over_share=over_ms / whole_ms if whole_ms else 0.0,
        used_share=sum(used) / max(len(used) - 1, 1),
    )


def window_of(event: EventOut, heads: Sequence[HeadSample]) -> Window:
    """See how one event was obeyed.

    Args:
        event: An event with an import limit.
        heads: What flowed, in order of time.
    """
    limit_kw = event.import_limit_kw
    assert limit_kw is not None
    start_ms, end_ms = (round(instant.timestamp() * 1000) for instant in (event.start, event.end))
    inside = [sample for sample in heads if start_ms <= sample.at_ms < end_ms]
    first = next((sample for sample in inside if sample.head_kw <= limit_kw * (1.0 + TOLERANCE)), None)
    return Window(
        event_id=event.event_id,
        limit_kw=limit_kw,
        start_ms=start_ms,
        end_ms=end_ms,
        compliant_after_s=None if first is None else max(first.at_ms - start_ms, 0) / 1000.0,
    )
