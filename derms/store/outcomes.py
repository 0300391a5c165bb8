"""What came of DR events: the course of their feeders by the decision log, and of their devices by the other logs.

Feeders are summed up from every tick. Of the devices' logs, which may hold tens of millions of rows an hour, only the
newest row at some instants is looked up, which costs the same however long an event lasts and however often a device
reports.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from derms.model import DeviceKind
from derms.ports import DeviceCourse, OutcomeBucket, OutcomeWanted
from derms.store.database import Database

HELD_AT_MOST = timedelta(seconds=60)
"""A tick, or a reading, speaks for what follows it until the next one, and at most so long."""

_TICKS = """
WITH ticks AS (
    SELECT feeder_id, at, coalesce(load_kw, measured_kw, background_kw + commanded_kw) * %(sign)s AS load_kw,
        coalesce(least(%(limit_kw)s::float8, CASE WHEN %(imports)s AND limit_source = %(event_id)s
            THEN import_limit_kw END), CASE WHEN %(imports)s THEN import_limit_kw END) AS limit_kw,
        extract(epoch FROM least(lead(at) OVER (PARTITION BY feeder_id ORDER BY at, epoch, tick), %(until)s,
            at + %(held)s, CASE WHEN at < %(start)s THEN %(start)s END) - at)::float8 AS held_s
    FROM decisions WHERE feeder_id = ANY(%(feeder_ids)s) AND at >= %(since)s AND at < %(until)s
), judged AS (
    SELECT *, load_kw <= limit_kw + greatest(%(share)s * limit_kw, %(slack_kw)s) AS kept,
        CASE WHEN at < %(start)s THEN -1
            ELSE floor(extract(epoch FROM at - %(start)s) / %(bucket_s)s) END::integer AS bucket
    FROM ticks
)
SELECT feeder_id, bucket, sum(load_kw * held_s) / nullif(sum(held_s), 0) AS load_kw, avg(limit_kw) AS limit_kw,
    sum(held_s) AS observed_s, coalesce(sum(held_s) FILTER (WHERE kept), 0) AS compliant_s,
    min(at) FILTER (WHERE kept) AS kept_at
FROM judged GROUP BY feeder_id, bucket ORDER BY feeder_id, bucket
"""
_DEVICES = """
WITH RECURSIVE below AS (
    SELECT feeder_id FROM feeders WHERE feeder_id = ANY(%(feeder_ids)s)
    UNION SELECT f.feeder_id FROM feeders f JOIN below b ON f.parent_id = b.feeder_id
)
SELECT d.device_id, d.kind, d.feeder_id,
    avg(t.p_actual_kw) FILTER (WHERE i.at < %(start)s) AS before_kw,
    avg(t.p_actual_kw) FILTER (WHERE i.at >= %(start)s) AS during_kw,
    avg(t.p_actual_kw) FILTER (WHERE i.at >= %(settled)s AND s.p_setpoint_kw IS NOT NULL) AS followed_kw,
    avg(s.p_setpoint_kw) FILTER (WHERE i.at >= %(settled)s AND t.p_actual_kw IS NOT NULL) AS told_kw,
    count(t.p_actual_kw) FILTER (WHERE i.at >= %(start)s) AS heard,
    count(*) FILTER (WHERE i.at >= %(start)s AND t.status = 'local') AS local,
    d.device_id = ANY(%(overridden)s) AS overridden
FROM devices d JOIN below USING (feeder_id) CROSS JOIN unnest(%(instants)s::timestamptz[]) AS i(at)
LEFT JOIN LATERAL (
    SELECT p_actual_kw, status FROM (
        (SELECT at, p_actual_kw::float8, status FROM telemetry
         WHERE device_id = d.device_id AND telemetry.at <= i.at AND telemetry.at > i.at - %(held)s
         ORDER BY telemetry.at DESC LIMIT 1)
        UNION ALL
        -- Packed: the newest of the minute that is not after the instant; the arrays are in order.
        SELECT CASE WHEN m.at_ms IS NULL THEN m.minute + m.at_us[k.n] * interval '1 us'
                    ELSE m.minute + (m.at_ms[k.n] + 30000) * interval '1 ms' END,
            CASE WHEN m.p_actual_kw_e6 IS NOT NULL THEN m.p_actual_kw_e6[k.n] / 1e6::float8
                 WHEN m.p_actual_kws IS NOT NULL THEN m.p_actual_kws[k.n] ELSE m.p_actual_kw END,
            CASE WHEN m.statuss IS NOT NULL THEN m.statuss[k.n] ELSE m.status END
        FROM telemetry_minutes m CROSS JOIN LATERAL (SELECT CASE
            WHEN i.at >= m.minute + interval '1 minute' THEN m.samples
            WHEN m.at_ms IS NULL THEN width_bucket(date_part('microseconds', i.at)::integer, m.at_us)
            ELSE width_bucket(floor(date_part('milliseconds', i.at) - 30000)::smallint, m.at_ms) END AS n) k
        WHERE m.device_id = d.device_id AND m.minute <= i.at AND m.minute > i.at - %(held)s - interval '1 minute'
            AND k.n > 0
    ) AS newest WHERE newest.at > i.at - %(held)s ORDER BY newest.at DESC LIMIT 1
) t ON true
LEFT JOIN LATERAL (
    SELECT p_setpoint_kw FROM setpoints
    WHERE device_id = d.device_id AND issued_at <= i.at AND issued_at > i.at - interval '1 day' AND valid_until > i.at
    ORDER BY issued_at DESC LIMIT 1
) s ON true
WHERE d.kind IN ('pv', 'battery', 'ev') AND d.enrolment = 'active'
GROUP BY d.device_id, d.kind, d.feeder_id ORDER BY d.device_id
"""
_OVERRIDDEN = """
SELECT DISTINCT put.subject FROM audit_log put
WHERE put.action = 'override.put' AND put.at < %(until)s AND (put.after->>'until')::timestamptz > %(start)s
    AND NOT EXISTS (SELECT FROM audit_log gone WHERE gone.subject = put.subject AND gone.audit_id > put.audit_id
        AND gone.action IN ('override.put', 'override.clear') AND gone.at <= %(start)s)
"""


class OutcomeTables(Database):
    """Implements `OutcomeStore`."""

    async def feeder_courses(self, wanted: OutcomeWanted) -> list[OutcomeBucket]:
        """The load of the event's feeders, by feeder and time."""
        values = {
            "event_id": wanted.event.event_id,
            "feeder_ids": list(wanted.event.feeder_ids),
            "imports": wanted.imports,
            "sign": 1.0 if wanted.imports else -1.0,
            "limit_kw": wanted.event.import_limit_kw if wanted.imports else wanted.event.export_limit_kw,
            "since": wanted.since,
            "start": wanted.event.start,
            "until": wanted.until,
            "held": HELD_AT_MOST,
            "bucket_s": wanted.bucket_s,
            "share": wanted.tolerance,
            "slack_kw": wanted.tolerance_kw,
        }
        return [OutcomeBucket(**row) for row in await self._select(_TICKS, values)]

    async def device_courses(self, wanted: OutcomeWanted, instants: Sequence[datetime]) -> list[DeviceCourse]:
        """What each controllable device of its feeders was told and did, by the newest rows at some instants."""
        window = {"start": wanted.event.start, "until": wanted.until}
        overridden = [row["subject"] for row in await self._select(_OVERRIDDEN, window)]
        values = window | {
            "feeder_ids": list(wanted.event.feeder_ids),
            "settled": wanted.settled,
            "instants": list(instants),
            "held": HELD_AT_MOST,
            "overridden": overridden,
        }
        rows = await self._select(_DEVICES, values)
        return [DeviceCourse(**{**row, "kind": DeviceKind(row["kind"])}) for row in rows]
