"""The logs read back: in buckets, as figures, as rows.

On a connection of its own, so that a month that takes seconds to read holds up nobody who commits something.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.rows import dict_row

from derms.reports import DeviceHour, Fairness, FeederBucket, FeederFigures, StoredSample, TelemetryBucket
from derms.store.database import READ_S, WRITE_S, Database
from derms.store.rollup import LEVELS, Level

HOLD_S = 60.0
"""What a tick found holds until the next one, but no longer than this: then nothing is known [s]."""
TOLERANCE = 0.01
"""Above a limit is what is above it by more than this share of it."""
TOLERANCE_KW = 0.01
"""And by more than this [kW]."""
LEAST_ASKED_KWH = 0.01
"""Who asked for less in a period has no say in its fairness [kWh]."""

_BUCKET = "date_bin(%(bucket_s)s * interval '1 s', at, '1970-01-01 00:00+00')"

_HISTORY = f"""
SELECT {_BUCKET} AS at, count(*) AS ticks,
       avg(load_kw) AS load_kw, max(load_kw) AS load_max_kw, min(load_kw) AS load_min_kw,
       min(import_limit_kw) AS import_limit_kw, min(export_limit_kw) AS export_limit_kw,
       avg(background_kw) AS background_kw, avg(commanded_kw) AS commanded_kw, min(headroom_kw) AS headroom_kw,
       avg(reserved_kw) AS reserved_kw, max(shortfall_kw) AS shortfall_kw,
       max(export_shortfall_kw) AS export_shortfall_kw, avg(pv_kw) AS pv_kw, avg(battery_kw) AS battery_kw,
       avg(ev_kw) AS ev_kw, avg(base_kw) AS base_kw, avg(deferred_kw) AS deferred_kw,
       avg(curtailed_kw) AS curtailed_kw
FROM decisions WHERE feeder_id = %(feeder_id)s AND at >= %(since)s AND at < %(until)s GROUP BY 1 ORDER BY 1
"""

_FIGURES = """
WITH held AS (
    SELECT at, load_kw, import_limit_kw, deferred_kw, curtailed_kw,
           least(extract(epoch FROM coalesce(lead(at) OVER ticks, %(until)s) - at)::float8, %(hold_s)s) AS dt_s,
           greatest(
               CASE WHEN load_kw - import_limit_kw > greatest(%(tolerance)s * import_limit_kw, %(tolerance_kw)s)
                    THEN load_kw - import_limit_kw END,
               CASE WHEN -load_kw - export_limit_kw > greatest(%(tolerance)s * export_limit_kw, %(tolerance_kw)s)
                    THEN -load_kw - export_limit_kw END
           ) AS excess_kw
    FROM decisions WHERE feeder_id = %(feeder_id)s AND at >= %(since)s AND at < %(until)s AND load_kw IS NOT NULL
    WINDOW ticks AS (ORDER BY at, epoch, tick)
), judged AS (
    SELECT *, excess_kw IS NOT NULL AND lag(excess_kw) OVER (ORDER BY at, dt_s) IS NULL AS begins FROM held
)
SELECT coalesce(sum(dt_s), 0) AS covered_s,
       sum(load_kw * dt_s) / nullif(sum(dt_s), 0) AS average_kw,
       max(load_kw) AS peak_kw,
       (array_agg(at ORDER BY load_kw DESC, at))[1] AS peak_at,
       min(load_kw) AS lowest_kw,
       coalesce(sum(greatest(load_kw, 0) * dt_s), 0) / 3600 AS import_kwh,
       coalesce(sum(greatest(-load_kw, 0) * dt_s), 0) / 3600 AS export_kwh,
       sum(greatest(load_kw, 0) / import_limit_kw * dt_s) FILTER (WHERE import_limit_kw > 0)
           / nullif(sum(dt_s) FILTER (WHERE import_limit_kw > 0), 0) AS utilisation,
       coalesce(sum(deferred_kw * dt_s), 0) / 3600 AS deferred_kwh,
       coalesce(sum(curtailed_kw * dt_s), 0) / 3600 AS curtailed_kwh,
       count(*) FILTER (WHERE begins) AS violations,
       coalesce(sum(dt_s) FILTER (WHERE excess_kw IS NOT NULL), 0) AS violation_s,
       max(excess_kw) AS worst_excess_kw
FROM judged
"""

_FAIRNESS = """
WITH served AS (
    SELECT device_id, sum(asked_kwh) AS asked, sum(delivered_kwh) AS delivered
    FROM device_hours WHERE feeder_id = ANY(%(feeder_ids)s) AND hour >= %(since)s AND hour < %(until)s
    GROUP BY device_id HAVING sum(asked_kwh) >= %(least_kwh)s
), shares AS (
    SELECT asked, delivered, least(delivered / asked, 1) AS share FROM served
)
SELECT count(*) AS devices, sum(share) ^ 2 / nullif(count(*) * sum(share ^ 2), 0) AS index,
       coalesce(sum(asked), 0) AS asked_kwh, coalesce(sum(delivered), 0) AS delivered_kwh
FROM shares
"""

_SAVE_HOURS = """
INSERT INTO device_hours (device_id, feeder_id, hour, epoch, asked_kwh, delivered_kwh)
SELECT * FROM unnest(%(device_id)s::text[], %(feeder_id)s::text[], %(hour)s::timestamptz[], %(epoch)s::bigint[],
                     %(asked_kwh)s::float8[], %(delivered_kwh)s::float8[])
ON CONFLICT (feeder_id, hour, device_id, epoch)
DO UPDATE SET asked_kwh = greatest(device_hours.asked_kwh, excluded.asked_kwh),
              delivered_kwh = greatest(device_hours.delivered_kwh, excluded.delivered_kwh)
"""

# Every packed row holds a sample at least, and only the first of them one that lies before the page: no more of them
# need be unpacked than samples are asked for, and one. A bound after which nothing can be on the page comes cheap.
_SAMPLES = """
SELECT at, seq, received_at, p_actual_kw, p_setpoint_kw, soc, status
FROM telemetry_between(%(device_id)s, greatest(%(since)s, %(after_at)s::timestamptz), least(%(until)s, coalesce(
    (SELECT minute FROM telemetry_minutes WHERE device_id = %(device_id)s AND minute < %(until)s
        AND minute > greatest(%(since)s, %(after_at)s::timestamptz) - interval '1 minute'
     ORDER BY minute OFFSET %(limit)s + 1 LIMIT 1), %(until)s)))
WHERE (at, seq) > (%(after_at)s::timestamptz, %(after_seq)s::bigint)
ORDER BY at, seq LIMIT %(limit)s
"""

_BUCKETS = f"""
SELECT {_BUCKET} AS at, count(*) AS samples, avg(p_actual_kw) AS p_actual_kw, max(p_actual_kw) AS p_actual_max_kw,
       min(p_actual_kw) AS p_actual_min_kw, avg(p_setpoint_kw) AS p_setpoint_kw, avg(soc) AS soc
FROM (SELECT * FROM telemetry_between(%(device_id)s, %(since)s, %(until)s) ORDER BY at, seq) AS samples
GROUP BY 1 ORDER BY 1
"""
# What is made up of coarser buckets already, up to the first minute that has news; the rest from the samples.
_OF_LEVEL = """
SELECT at, samples, p_sum_kw / samples AS p_actual_kw, p_max_kw AS p_actual_max_kw, p_min_kw AS p_actual_min_kw,
       setpoint_sum_kw / nullif(setpoints, 0) AS p_setpoint_kw, soc_sum / nullif(socs, 0) AS soc
FROM {table} WHERE device_id = %(device_id)s AND at >= %(since)s AND at < %(until)s ORDER BY at
"""
_ABOVE_LEVEL = f"""
SELECT {_BUCKET} AS at, sum(samples) AS samples,
       sum(p_sum_kw) / sum(samples) AS p_actual_kw, max(p_max_kw) AS p_actual_max_kw, min(p_min_kw) AS p_actual_min_kw,
       sum(setpoint_sum_kw) / nullif(sum(setpoints), 0) AS p_setpoint_kw, sum(soc_sum) / nullif(sum(socs), 0) AS soc
FROM {{table}} WHERE device_id = %(device_id)s AND at >= %(since)s AND at < %(until)s GROUP BY 1 ORDER BY 1
"""
_EDGE = """
SELECT greatest(dropped_until, least(now() - interval '5 minutes', (SELECT min(minute) FROM telemetry_touched)))
       AS edge, %(since)s < dropped_until AS gone
FROM telemetry_upkeep
"""
_LONG = timedelta(days=1)
"""Shorter stretches are read from the samples while those are there."""
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = ("device_id", "feeder_id", "hour", "epoch", "asked_kwh", "delivered_kwh")


def _level_of(since: datetime, bucket_s: int) -> Level | None:
    """The coarsest buckets that whole ones of `bucket_s`, the first at `since`, are made of; None: there are none."""
    if (since - _UNIX_EPOCH) % timedelta(seconds=bucket_s):
        return None
    return next((level for level in reversed(LEVELS) if bucket_s % level.seconds == 0), None)


class ReportTables(Database):
    """Implements `ReportStore` and `HourStore`."""

    async def feeder_history(
        self, feeder_id: str, *, since: datetime, until: datetime, bucket_s: int
    ) -> list[FeederBucket]:
        """The decision log of one feeder in buckets; those without a tick are left out."""
        values = {"feeder_id": feeder_id, "since": since, "until": until, "bucket_s": bucket_s}
        return [FeederBucket(**row) for row in await self._read_back(_HISTORY, values)]

    async def feeder_figures(self, feeder_id: str, *, since: datetime, until: datetime) -> FeederFigures:
        """The figures of one feeder over a period."""
        values = {
            "feeder_id": feeder_id,
            "since": since,
            "until": until,
            "hold_s": HOLD_S,
            "tolerance": TOLERANCE,
            "tolerance_kw": TOLERANCE_KW,
        }
        return FeederFigures(**(await self._read_back(_FIGURES, values))[0])

    async def fairness(self, feeder_ids: Collection[str], *, since: datetime, until: datetime) -> Fairness:
        """How evenly the devices of some feeders were served."""
        values = {"feeder_ids": list(feeder_ids), "since": since, "until": until, "least_kwh": LEAST_ASKED_KWH}
        return Fairness(**(await self._read_back(_FAIRNESS, values))[0])

    async def save_hours(self, hours: Sequence[DeviceHour]) -> None:
        """Insert totals, or let those of the same run grow."""
        values = {name: [getattr(hour, name) for hour in hours] for name in _COLUMNS}
        async with self._link.use(WRITE_S) as connection:
            await connection.execute(_SAVE_HOURS, values)

    async def stored_samples(
        self,
        device_id: str,
        *,
        since: datetime,
        until: datetime,
        limit: int,
        after: tuple[datetime, int] | None = None,
    ) -> list[StoredSample]:
        """Rows of telemetry of one device, by instant and sequence number."""
        after_at, after_seq = after or (since, -2)
        values = {
            "device_id": device_id,
            "since": since,
            "until": until,
            "after_at": after_at,
            "after_seq": after_seq,
            "limit": limit,
        }
        return [StoredSample(**row) for row in await self._read_back(_SAMPLES, values)]

    async def telemetry_buckets(
        self, device_id: str, *, since: datetime, until: datetime, bucket_s: int
    ) -> list[TelemetryBucket]:
        """The telemetry of one device in buckets; those without a row are left out."""
        values: dict[str, Any] = {"device_id": device_id, "since": since, "until": until, "bucket_s": bucket_s}
        level = _level_of(since, bucket_s)
        found = []
        if level is not None:
            [known] = await self._read_back(_EDGE, values)
            if known["gone"] or (level.seconds > 60 and until - since > _LONG):
                edge = min(known["edge"], until)
                edge -= (edge - _UNIX_EPOCH) % timedelta(seconds=bucket_s)
                if edge > since:
                    statement = (_OF_LEVEL if level.seconds == bucket_s else _ABOVE_LEVEL).format(table=level.table)
                    found = await self._read_back(statement, values | {"until": edge})
                    values["since"] = edge
        if values["since"] < until:
            found += await self._read_back(_BUCKETS, values)
        return [TelemetryBucket(**row) for row in found]

    async def _read_back(self, statement: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        async with (
            self._reports.use(READ_S) as connection,
            connection.cursor(row_factory=dict_row, binary=True) as cursor,
        ):
            await cursor.execute(statement.encode(), values)
            return await cursor.fetchall()
