"""What time it is at the controller, told by what it sends. Pure: times come in.

A lease says until when it is valid on the controller's clock, and the clock of a small computer without a battery may
be hours off until the network is there. So the device listens: the controller's heartbeat, and every lease that was
followed, carries the instant at which it was sent. Their distance from the *monotonic* clock is what is remembered,
so the device's own wall clock, right or wrong or jumping, no longer matters once one has been heard.

One odd stamp changes nothing: a stamp that contradicts what is known by more than `AGREE_MS` counts when the next one
says the same (the controller's clock was set), and is forgotten otherwise (it was late on its way, or a mistake).
"""

AGREE_MS = 5_000
"""Stamps that lie no farther apart than this tell the same time [ms]."""
_EASE = 0.05
"""How far a stamp that was a little late on its way, or a clock that runs a little slower, draws the estimate back."""


class ControllerClock:
    """The controller's clock as far as it is known. Owned by one task."""

    def __init__(self) -> None:
        self._offset_ms: float | None = None
        """The controller's clock less the monotonic one."""
        self._doubted_ms: float | None = None
        """The newest stamp that contradicts it, as an offset."""

    def hear(self, stamp_ms: int, *, monotonic_s: float, sure: bool) -> None:
        """Note an instant at which the controller sent something that has just arrived.

        Args:
            stamp_ms: Its clock then [epoch ms].
            monotonic_s: Our monotonic clock now [s].
            sure: It may be believed at once where nothing is known yet.
        """
        heard_ms = stamp_ms - monotonic_s * 1000
        known_ms = self._offset_ms
        if known_ms is not None and abs(heard_ms - known_ms) <= AGREE_MS:
            # What arrives was sent before: the latest instant is the nearest to the truth.
            gap_ms = heard_ms - known_ms
            self._offset_ms = known_ms + (gap_ms if gap_ms > 0 else gap_ms * _EASE)
            self._doubted_ms = None
        elif (known_ms is None and sure) or self._agrees_with_the_doubted(heard_ms):
            self._offset_ms, self._doubted_ms = heard_ms, None
        else:
            self._doubted_ms = heard_ms

    def now_ms(self, monotonic_s: float) -> int | None:
        """What it shows now [epoch ms]; None: nothing that can be believed was heard."""
        return None if self._offset_ms is None else round(self._offset_ms + monotonic_s * 1000)

    def _agrees_with_the_doubted(self, heard_ms: float) -> bool:
        return self._doubted_ms is not None and abs(heard_ms - self._doubted_ms) <= AGREE_MS
