"""The logs of the fake store read back, by plain arithmetic."""

import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from derms.model import DecisionRecord
from derms.ports import Sample
from derms.reports import DeviceHour, Fairness, FeederBucket, FeederFigures, StoredSample, TelemetryBucket


def _at(at_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _of(pick: Callable[[list[float]], float], values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return pick(known) if known else None


class FakeReports:
    """Implements `ReportStore` and `HourStore` on the dicts of `FakeStore`."""

    samples: dict[object, Sample]
    decisions: dict[object, DecisionRecord]
    hours: dict[tuple[str, str, datetime, int], DeviceHour]

    def _ticks(self, feeder_id: str, since: datetime, until: datetime) -> list[DecisionRecord]:
        found = [one for one in self.decisions.values() if one.feeder_id == feeder_id]
        found = [one for one in found if since <= _at(one.at_ms) < until]
        return sorted(found, key=lambda one: (one.at_ms, one.epoch, one.tick))

    async def feeder_history(
        self, feeder_id: str, *, since: datetime, until: datetime, bucket_s: int
    ) -> list[FeederBucket]:
        def begin(record: DecisionRecord) -> int:
            return record.at_ms // (1000 * bucket_s) * 1000 * bucket_s

        buckets = []
        for at_ms, group in itertools.groupby(self._ticks(feeder_id, since, until), begin):
            ticks = list(group)

            def values(name: str, ticks: list[DecisionRecord] = ticks) -> list[Any]:
                return [getattr(one, name) for one in ticks]

            means = (
                "load",
                "background",
                "commanded",
                "reserved",
                "pv",
                "battery",
                "ev",
                "base",
                "deferred",
                "curtailed",
            )
            least = ("import_limit", "export_limit", "headroom")
            figures: dict[str, Any] = {f"{name}_kw": _mean(values(f"{name}_kw")) for name in means}
            figures |= {f"{name}_kw": _of(min, values(f"{name}_kw")) for name in least}
            buckets.append(
                FeederBucket(
                    at=_at(at_ms),
                    ticks=len(ticks),
                    load_max_kw=_of(max, values("load_kw")),
                    load_min_kw=_of(min, values("load_kw")),
                    shortfall_kw=max(values("shortfall_kw")),
                    export_shortfall_kw=max(values("export_shortfall_kw")),
                    **figures,
                )
            )
        return buckets

    async def feeder_figures(self, feeder_id: str, *, since: datetime, until: datetime) -> FeederFigures:
        ticks = [one for one in self._ticks(feeder_id, since, until) if one.load_kw is not None]
        ends = [*(_at(one.at_ms) for one in ticks[1:]), until][: len(ticks)]
        held = [(one, min((end - _at(one.at_ms)).total_seconds(), 60.0)) for one, end in zip(ticks, ends, strict=True)]
        covered_s = sum(dt_s for _, dt_s in held)
        limited = [(one, dt_s) for one, dt_s in held if one.import_limit_kw]
        limited_s = sum(dt_s for _, dt_s in limited)
        excess = [_excess_kw(one) for one, _ in held]
        peak = max(held, key=lambda pair: pair[0].load_kw or 0.0, default=None)

        def energy(value: Callable[[DecisionRecord], float]) -> float:
            return sum(value(one) * dt_s for one, dt_s in held) / 3600.0

        return FeederFigures(
            covered_s=covered_s,
            average_kw=energy(lambda one: one.load_kw or 0.0) * 3600.0 / covered_s if covered_s else None,
            peak_kw=peak[0].load_kw if peak else None,
            peak_at=_at(peak[0].at_ms) if peak else None,
            lowest_kw=_of(min, (one.load_kw for one, _ in held)),
            import_kwh=energy(lambda one: max(one.load_kw or 0.0, 0.0)),
            export_kwh=energy(lambda one: max(-(one.load_kw or 0.0), 0.0)),
            utilisation=sum(max(one.load_kw or 0.0, 0.0) / (one.import_limit_kw or 1.0) * dt_s for one, dt_s in limited)
            / limited_s
            if limited_s
            else None,
            deferred_kwh=energy(lambda one: one.deferred_kw or 0.0),
            curtailed_kwh=energy(lambda one: one.curtailed_kw or 0.0),
            violations=sum(now is not None and before is None for before, now in itertools.pairwise([None, *excess])),
            violation_s=sum(dt_s for (_, dt_s), kw in zip(held, excess, strict=True) if kw is not None),
            worst_excess_kw=_of(max, excess),
        )

    async def fairness(self, feeder_ids: Collection[str], *, since: datetime, until: datetime) -> Fairness:
        asked: dict[str, float] = {}
        drawn: dict[str, float] = {}
        for one in self.hours.values():
            if one.feeder_id in feeder_ids and since <= one.hour < until:
                asked[one.device_id] = asked.get(one.device_id, 0.0) + one.asked_kwh
                drawn[one.device_id] = drawn.get(one.device_id, 0.0) + one.delivered_kwh
        counted = [key for key, kwh in asked.items() if kwh >= 0.01]
        shares = [min(drawn[key] / asked[key], 1.0) for key in counted]
        squares = sum(share**2 for share in shares)
        return Fairness(
            devices=len(counted),
            index=sum(shares) ** 2 / (len(shares) * squares) if squares else None,
            asked_kwh=sum(asked[key] for key in counted),
            delivered_kwh=sum(drawn[key] for key in counted),
        )

    async def save_hours(self, hours: Sequence[DeviceHour]) -> None:
        for one in hours:
            key = (one.feeder_id, one.device_id, one.hour, one.epoch)
            known = self.hours.get(key)
            if known is None or known.asked_kwh <= one.asked_kwh:
                self.hours[key] = one

    def _rows(self, device_id: str, since: datetime, until: datetime) -> list[StoredSample]:
        found = [
            StoredSample(
                at=_at(one.telemetry.at_ms),
                seq=-1 if one.telemetry.seq is None else one.telemetry.seq,
                received_at=_at(one.received_ms),
                p_actual_kw=one.telemetry.p_actual_kw,
                p_setpoint_kw=one.telemetry.p_setpoint_kw,
                soc=one.telemetry.soc,
                status=one.telemetry.status.value,
            )
            for one in self.samples.values()
            if one.telemetry.device_id == device_id and since <= _at(one.telemetry.at_ms) < until
        ]
        return sorted(found, key=lambda row: (row.at, row.seq))

    async def stored_samples(
        self,
        device_id: str,
        *,
        since: datetime,
        until: datetime,
        limit: int,
        after: tuple[datetime, int] | None = None,
    ) -> list[StoredSample]:
        rows = self._rows(device_id, since, until)
        return [row for row in rows if after is None or (row.at, row.seq) > after][:limit]

    async def telemetry_buckets(
        self, device_id: str, *, since: datetime, until: datetime, bucket_s: int
    ) -> list[TelemetryBucket]:
        def begin(row: StoredSample) -> float:
            return row.at.timestamp() // bucket_s * bucket_s

        buckets = []
        for at_s, group in itertools.groupby(self._rows(device_id, since, until), begin):
            rows = list(group)
            actual = [row.p_actual_kw for row in rows]
            buckets.append(
                TelemetryBucket(
                    at=datetime.fromtimestamp(at_s, UTC),
                    samples=len(rows),
                    p_actual_kw=sum(actual) / len(actual),
                    p_actual_max_kw=max(actual),
                    p_actual_min_kw=min(actual),
                    p_setpoint_kw=_mean(row.p_setpoint_kw for row in rows),
                    soc=_mean(row.soc for row in rows),
                )
            )
        return buckets


def _excess_kw(tick: DecisionRecord) -> float | None:
    """By how much a tick found the load above a limit; None: it was not."""
    load = tick.load_kw or 0.0
    over = [(load - limit, limit) for limit in [tick.import_limit_kw] if limit is not None]
    over += [(-load - limit, limit) for limit in [tick.export_limit_kw] if limit is not None]
    return _of(max, (excess for excess, limit in over if excess > max(0.01 * limit, 0.01)))
