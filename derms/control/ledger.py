"""What each device could have taken and what it drew, by the hour, on its way to the store.

Totals of this run, written over and over while their hour lasts: a write that is lost, or done twice, changes nothing.
Full-policy: at most `_MOST_HOURS` hours wait for a store that is away; the oldest goes, and is logged.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from derms.columns import Floats
from derms.control.tallies import Tallies
from derms.control.trees import TreeState
from derms.errors import StoreError
from derms.fleet import Fleet
from derms.ports import Clock, HourStore
from derms.reports import DeviceHour

_WRITE_EVERY_S = 60.0
_FINISH_S = 2.0
_HOUR_MS = 3_600_000
_MOST_HOURS = 48
_SLICE = 2_000
"""Rows of one statement, so that the event loop is not held up."""

_Key = tuple[str, str]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Hour:
    """The totals of one hour; columns by row of the fleet."""

    feeder: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    """On which feeder each row was counted last: index into `feeder_ids`; -1: it was not."""
    feeder_ids: list[str] = field(default_factory=list)
    asked_kwh: Floats = field(default_factory=lambda: np.zeros(0))
    drawn_kwh: Floats = field(default_factory=lambda: np.zeros(0))
    moved: dict[_Key, tuple[float, float]] = field(default_factory=dict)
    """Of devices that have been moved to another feeder since: device and feeder -> what they had there."""

    def reach(self, rows: int) -> None:
        """See that there is room for so many rows."""
        missing = rows - self.asked_kwh.size
        if missing > 0:
            self.feeder = np.concatenate((self.feeder, np.full(missing, -1, dtype=np.int32)))
            self.asked_kwh = np.concatenate((self.asked_kwh, np.zeros(missing)))
            self.drawn_kwh = np.concatenate((self.drawn_kwh, np.zeros(missing)))

    def codes(self, feeder_ids: Iterable[str]) -> NDArray[np.int32]:
        """The index of each feeder in `feeder_ids`; who is not there is put there."""
        known = {feeder_id: code for code, feeder_id in enumerate(self.feeder_ids)}
        codes = [known.setdefault(feeder_id, len(known)) for feeder_id in feeder_ids]
        self.feeder_ids = list(known)
        return np.array(codes, dtype=np.int32)


class Ledger:
    """Adds up ticks, and sees the sums stored."""

    def __init__(self, *, fleet: Fleet, store: HourStore, clock: Clock, epoch: int) -> None:
        """Nothing is counted yet."""
        self._fleet = fleet
        self._store = store
        self._clock = clock
        self._epoch = epoch
        self._hours: dict[int, _Hour] = {}

    def note(self, tree: TreeState, tallies: Tallies) -> None:
        """Add what one tick of one tree came to."""
        picture = tree.picture
        if picture is None:
            return
        begun_ms = tree.decided_ms - tree.decided_ms % _HOUR_MS
        hour = self._hours.get(begun_ms)
        if hour is None:
            hour = self._hours[begun_ms] = _Hour()
            self._bound()
        hour.reach(len(self._fleet))
        asking = np.flatnonzero(tallies.asked_kw > 0.0)
        rows, hours = tree.rows[asking], picture.dt_s / 3600.0
        here = hour.codes(feeder.feeder_id for feeder in tree.feeders)[tree.node[asking]]
        before = hour.feeder[rows]
        for at in np.flatnonzero((before >= 0) & (before != here)).tolist():
            self._set_apart(hour, int(rows[at]), int(here[at]))
        hour.feeder[rows] = here
        hour.asked_kwh[rows] += tallies.asked_kw[asking] * hours
        hour.drawn_kwh[rows] += tallies.drawn_kw[asking] * hours

    def _set_apart(self, hour: _Hour, row: int, here: int) -> None:
        """Count a device that was moved anew, and keep what it had before; it may come back."""
        device_id, left = self._fleet.devices[row].device_id, hour.feeder_ids[hour.feeder[row]]
        hour.moved[(device_id, left)] = (float(hour.asked_kwh[row]), float(hour.drawn_kwh[row]))
        came_back = hour.moved.pop((device_id, hour.feeder_ids[here]), (0.0, 0.0))
        hour.asked_kwh[row], hour.drawn_kwh[row] = came_back

    def _bound(self) -> None:
        while len(self._hours) > _MOST_HOURS:
            gone = min(self._hours)
            log.error("What devices asked for in an hour is lost: the store is away for too long",
                      extra={"hour": _instant(gone).isoformat()})  # fmt: skip
            del self._hours[gone]

    async def run(self) -> None:
        """Write every minute until cancelled."""
        failing = False
        while True:
            await asyncio.sleep(_WRITE_EVERY_S)
            try:
                await self.flush()
            except StoreError as error:
                if not failing:
                    log.warning("What devices asked for cannot be written, will try again: %s", error)
                failing = True
            else:
                failing = False

    async def finish(self) -> None:
        """Write once more, if the store takes it; `run` has ended by now."""
        try:
            async with asyncio.timeout(_FINISH_S):
                await self.flush()
        except (StoreError, TimeoutError):
            log.warning("What devices asked for in the last minute is not written")

    async def flush(self) -> None:
        """Write all totals; those of hours that are over are forgotten then.

        Raises:
            StoreError: They stay.
        """
        now_ms = self._clock.now_ms()
        for begun_ms in sorted(self._hours):
            for totals in self._totals(begun_ms):
                await self._store.save_hours(totals)
            if begun_ms + _HOUR_MS <= now_ms:
                self._hours.pop(begun_ms, None)

    def _totals(self, begun_ms: int) -> Iterator[list[DeviceHour]]:
        """The totals of one hour, a slice at a time; what is added meanwhile is in the next ones."""
        hour, devices = self._hours.get(begun_ms, _Hour()), self._fleet.devices
        rows = np.flatnonzero(hour.feeder >= 0).tolist()
        for start in range(0, len(rows), _SLICE):
            yield [
                self._total(
                    begun_ms,
                    devices[row].device_id,
                    hour.feeder_ids[hour.feeder[row]],
                    hour.asked_kwh[row],
                    hour.drawn_kwh[row],
                )
                for row in rows[start : start + _SLICE]
            ]
        if hour.moved:
            yield [self._total(begun_ms, *key, *sums) for key, sums in hour.moved.items()]

    def _total(self, begun_ms: int, device_id: str, feeder_id: str, asked_kwh: float, drawn_kwh: float) -> DeviceHour:
        return DeviceHour(
            device_id=device_id,
            feeder_id=feeder_id,
            hour=_instant(begun_ms),
            epoch=self._epoch,
            asked_kwh=float(asked_kwh),
            delivered_kwh=float(drawn_kwh),
        )


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000.0, tz=UTC)
