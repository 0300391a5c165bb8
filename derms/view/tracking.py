"""How well devices follow: the ring of their errors, as the API shows it."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from derms.api.paging import cut
from derms.api.schemas.tracking import DeviceErrorOut, TrackingOut, TrackingQuery
from derms.columns import Floats
from derms.control.loop import ControlLoop
from derms.fleet import Fleet
from derms.model import Telemetry
from derms.ports import Clock
from derms.view.instants import instant
from derms.view.ring import SLICE_MS, ErrorRing, Sums
from derms.view.roll import Roll


class LiveTracking:
    """Implements `derms.api.view.TrackingView`; fed by ingest."""

    def __init__(self, *, fleet: Fleet, loop: ControlLoop, clock: Clock, roll: Roll) -> None:
        """Nothing was heard yet."""
        self._fleet = fleet
        self._loop = loop
        self._clock = clock
        self._roll = roll
        self._ring = ErrorRing()
        self._begun_ms = clock.now_ms()

    def take(self, row: int, reading: Telemetry, received_ms: int) -> None:
        """Take a sample in that is on its way to the store."""
        if reading.p_setpoint_kw is not None:
            self._ring.add(
                row,
                reading.p_actual_kw - reading.p_setpoint_kw,
                at_ms=reading.at_ms,
                seq=-1 if reading.seq is None else reading.seq,
                now_ms=received_ms,
            )

    def errors(self, query: TrackingQuery) -> TrackingOut:
        """The tracking error of the devices that are asked for, and of them together.

        Raises:
            UsageError: No such field to sort by, or a cursor that is none of ours.
        """
        until_ms = (self._clock.now_ms() // SLICE_MS + 1) * SLICE_MS
        since_ms = until_ms - -(-query.window_s * 1000 // SLICE_MS) * SLICE_MS
        # Of what was measured before this run nothing is known here, though it may be stored.
        since_ms = max(since_ms, min(-(-self._begun_ms // SLICE_MS) * SLICE_MS, until_ms))
        sums = self._asked(self._ring.sums(since_ms, until_ms), query)
        page, cursor = self._page(sums, query)
        total = int(sums.samples.sum())
        return TrackingOut(
            since=instant(since_ms),
            until=instant(until_ms),
            window_s=(until_ms - since_ms) // 1000,
            mean_kw=math.fsum(sums.error_kw.tolist()) / total if total else None,
            mean_abs_kw=math.fsum(sums.abs_kw.tolist()) / total if total else None,
            samples=total,
            devices=page,
            next_cursor=cursor,
        )

    def _asked(self, sums: Sums, query: TrackingQuery) -> Sums:
        """Of whom something is known and asked for, by id."""
        roll = self._roll.current()
        wanted = sums.samples > 0
        if query.device_id is not None:
            wanted &= sums.rows == self._fleet.row(query.device_id)
        if query.feeder_id is not None:
            feeders = self._loop.below(query.feeder_id)
            codes = [code for code, feeder_id in enumerate(roll.feeder_ids) if feeder_id in feeders]
            wanted &= np.isin(roll.feeder[sums.rows], codes)
        rank = np.empty(roll.by_id.size, dtype=np.int64)
        rank[roll.by_id] = np.arange(roll.by_id.size)
        at = np.flatnonzero(wanted)
        at = at[np.argsort(rank[sums.rows[at]])]
        return Sums(sums.rows[at], sums.samples[at], sums.error_kw[at], sums.abs_kw[at])

    def _page(self, sums: Sums, query: TrackingQuery) -> tuple[list[DeviceErrorOut], str | None]:
        devices = self._fleet.devices
        columns = {
            "mean_kw": sums.error_kw / sums.samples,
            "mean_abs_kw": sums.abs_kw / sums.samples,
            "samples": sums.samples.astype(np.float64),
        }

        def id_of(at: int) -> str:
            return devices[int(sums.rows[at])].device_id

        def ordered(items: Sequence[int], name: str, down: bool) -> Sequence[int]:
            if name not in columns:
                return items[::-1] if down else items
            ranked: list[int] = np.argsort(-columns[name] if down else columns[name], kind="stable").tolist()
            return ranked

        keys: dict[str, Callable[[int], str | float]] = {"device_id": id_of}
        keys |= {name: partial(_at, column) for name, column in columns.items()}
        page, cursor = cut(range(sums.rows.size), query, keys, id_of, ordered)
        return [
            DeviceErrorOut(
                device_id=id_of(at),
                feeder_id=devices[int(sums.rows[at])].feeder_id,
                mean_kw=float(columns["mean_kw"][at]),
                mean_abs_kw=float(columns["mean_abs_kw"][at]),
                samples=int(sums.samples[at]),
            )
            for at in page
        ], cursor


def _at(column: Floats, at: int) -> float:
    return float(column[at])
