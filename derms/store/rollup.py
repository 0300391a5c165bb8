"""Buckets of 1 min, 15 min, 1 h and 1 d, made anew from what is below them wherever that has changed.

A batch of samples writes, in its own transaction, which minutes it touched. A step takes such marks away and makes the
buckets of these minutes, and the coarser ones above them, anew in one transaction: whatever is late, sent twice or cut
short by a crash, a bucket comes to what its samples come to. A bucket lies within one UTC day, as do the partitions of
samples: of a day whose samples were dropped nothing is made anew.

Of the buckets of a minute the sums of each feeder and kind of device are made, likewise anew: of whole minutes, and in
steps of their own, as one device that comes late touches the minutes of all.
"""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from derms.store.link import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One width of buckets."""

    table: str
    width: str
    """As PostgreSQL writes it."""
    seconds: int
    part: str
    """What one partition holds: a day, a month, a year."""


LEVELS = (
    Level(table="telemetry_1m", width="1 minute", seconds=60, part="day"),
    Level(table="telemetry_15m", width="15 minutes", seconds=900, part="month"),
    Level(table="telemetry_1h", width="1 hour", seconds=3_600, part="month"),
    Level(table="telemetry_1d", width="1 day", seconds=86_400, part="year"),
)

FEEDERS = Level(table="telemetry_feeders_1m", width="1 minute", seconds=60, part="day")
"""What the devices of a kind on a feeder drew together; not by device, as the others are."""

GRACE = "70 seconds"
"""After its start a minute is over, and what was measured in it usually here."""
_LATE_AT_ONCE = 500
_TOGETHER_AT_ONCE = 5
"""Minutes of the whole fleet: a step is to stay short with ten thousand devices, and to end with a hundred thousand."""

_COLUMNS = "samples, p_sum_kw, p_min_kw, p_max_kw, setpoints, setpoint_sum_kw, socs, soc_sum"
_OF_SAMPLES = (
    "count(*), sum(p_actual_kw), min(p_actual_kw), max(p_actual_kw), count(p_setpoint_kw), "
    "coalesce(sum(p_setpoint_kw), 0), count(soc), coalesce(sum(soc), 0)"
)
_OF_BUCKETS = (
    "sum(samples), sum(p_sum_kw), min(p_min_kw), max(p_max_kw), sum(setpoints), sum(setpoint_sum_kw), sum(socs), "
    "sum(soc_sum)"
)
_REPLACE = "ON CONFLICT (device_id, at) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in _COLUMNS.split(", ")
)

TOUCHED = "CREATE TEMPORARY TABLE upkeep_touched (device_id text, at timestamptz) ON COMMIT DELETE ROWS"
"""Made once a session: whose minutes a step made anew."""

_TAKE_FLEET = f"""
DELETE FROM telemetry_touched WHERE device_id IS NULL AND minute = (
    SELECT max(minute) FROM telemetry_touched WHERE device_id IS NULL AND minute <= now() - interval '{GRACE}')
RETURNING minute
"""
_TAKE_LATE = f"""
WITH picked AS (
    SELECT DISTINCT minute, device_id FROM (
        SELECT minute, device_id FROM telemetry_touched
        WHERE device_id IS NOT NULL AND minute <= now() - interval '{GRACE}' ORDER BY minute LIMIT {20 * _LATE_AT_ONCE}
    ) AS oldest ORDER BY minute LIMIT {_LATE_AT_ONCE}
)
DELETE FROM telemetry_touched t USING picked p WHERE t.minute = p.minute AND t.device_id = p.device_id
RETURNING t.minute, t.device_id
"""
_MINUTE_OF_FLEET = f"""
WITH made AS (
    INSERT INTO telemetry_1m (device_id, at, {_COLUMNS})
    SELECT device_id, %(minute)s::timestamptz, {_OF_SAMPLES} FROM (
        SELECT device_id, p_actual_kw::float8, p_setpoint_kw::float8, soc::float8 FROM telemetry
        WHERE at >= %(minute)s AND at < %(minute)s + interval '1 minute'
            AND (at >= (SELECT packed_until FROM telemetry_upkeep) OR NOT telemetry_is_packed(device_id, at, seq))
        UNION ALL
        SELECT device_id, p_actual_kw, p_setpoint_kw, soc FROM telemetry_unpacked WHERE minute = %(minute)s
    ) AS samples GROUP BY device_id
    {_REPLACE} RETURNING device_id, at
) INSERT INTO upkeep_touched SELECT * FROM made
"""
_MINUTES_OF_DEVICES = f"""
WITH made AS (
    INSERT INTO telemetry_1m (device_id, at, {_COLUMNS})
    SELECT k.device_id, k.minute, {_OF_SAMPLES}
    FROM unnest(%(device_ids)s::text[], %(minutes)s::timestamptz[]) AS k (device_id, minute)
    CROSS JOIN LATERAL telemetry_between(k.device_id, k.minute, k.minute + interval '1 minute') AS s
    GROUP BY k.device_id, k.minute
    {_REPLACE} RETURNING device_id, at
) INSERT INTO upkeep_touched SELECT * FROM made
"""


def _coarser(level: Level, finer: Level) -> str:
    return f"""
        INSERT INTO {level.table} (device_id, at, {_COLUMNS})
        SELECT k.device_id, k.bucket, s.* FROM (
            SELECT DISTINCT device_id, date_bin('{level.width}', at, '2000-01-01 00:00+00') AS bucket
            FROM upkeep_touched ORDER BY device_id, bucket
        ) AS k CROSS JOIN LATERAL (
            SELECT {_OF_BUCKETS} FROM {finer.table} f
            WHERE f.device_id = k.device_id AND f.at >= k.bucket AND f.at < k.bucket + interval '{level.width}'
        ) AS s
        {_REPLACE}
    """


_TOUCH_TOGETHER = """
INSERT INTO telemetry_feeders_touched (minute) SELECT DISTINCT at FROM upkeep_touched ON CONFLICT DO NOTHING
"""
_TAKE_TOGETHER = f"""
DELETE FROM telemetry_feeders_touched WHERE minute IN (
    SELECT minute FROM telemetry_feeders_touched ORDER BY minute DESC LIMIT {_TOGETHER_AT_ONCE})
RETURNING minute
"""
_CLEAR_TOGETHER = "DELETE FROM telemetry_feeders_1m WHERE at = ANY(%(minutes)s::timestamptz[])"
# In the order of the devices, so that the sum is the same to the last bit whenever it is made.
_TOGETHER = """
INSERT INTO telemetry_feeders_1m (feeder_id, kind, at, devices, samples, p_kw)
SELECT d.feeder_id, d.kind, b.at, count(*), sum(b.samples), sum(b.p_sum_kw / b.samples ORDER BY b.device_id)
FROM devices d CROSS JOIN LATERAL (
    SELECT device_id, at, samples, p_sum_kw FROM telemetry_1m m
    WHERE m.device_id = d.device_id AND m.at = ANY(%(minutes)s::timestamptz[])
) AS b
GROUP BY d.feeder_id, d.kind, b.at
"""
_ABOVE = tuple(_coarser(level, finer) for finer, level in pairwise(LEVELS))
_MARK = "INSERT INTO telemetry_touched (minute, device_id) SELECT * FROM unnest(%s::timestamptz[], %s::text[])"


async def mark_touched(connection: Connection, minutes: set[tuple[datetime, str | None]]) -> None:
    """Write, in the running transaction, which minutes of whom (None: of anybody) get samples in it."""
    if minutes:
        rows = list(minutes)
        await connection.execute(_MARK, [[minute for minute, _ in rows], [who for _, who in rows]])


async def roll_up(connection: Connection, dropped_until: datetime | None) -> int | None:
    """Make the buckets above some touched minutes anew, in the running transaction.

    Args:
        connection: Has `TOUCHED`.
        dropped_until: Before it there are no samples any more to make a bucket from.

    Returns:
        How many buckets of a minute; None: nothing is due.
    """
    fleet = {row[0] for row in await _all(connection, _TAKE_FLEET)}
    late = {(row[0], row[1]) for row in await _all(connection, _TAKE_LATE)}
    if not fleet and not late:
        return None
    if dropped_until is not None:
        fleet = {minute for minute in fleet if minute >= dropped_until}
        late = {mark for mark in late if mark[0] >= dropped_until}
    made = 0
    for minute in {*fleet, *(minute for minute, _ in late)}:
        await _make_parts(connection, minute)
    for minute in fleet:
        made += (await connection.execute(_MINUTE_OF_FLEET.encode(), {"minute": minute})).rowcount
    if late:
        marks = sorted(late)
        values = {"minutes": [minute for minute, _ in marks], "device_ids": [who for _, who in marks]}
        made += (await connection.execute(_MINUTES_OF_DEVICES.encode(), values)).rowcount
    if made:
        for statement in (*_ABOVE, _TOUCH_TOGETHER):
            await connection.execute(statement.encode())
    return made


async def sum_up(connection: Connection) -> int | None:
    """Make the sums by feeder and kind of some touched minutes anew, the newest first, in the running transaction.

    Returns:
        Of how many minutes; None: nothing is due.
    """
    minutes = sorted(row[0] for row in await _all(connection, _TAKE_TOGETHER))
    if not minutes:
        return None
    for day in {minute.date(): minute for minute in minutes}.values():
        await connection.execute("SELECT make_telemetry_part(%s, %s, %s)", [FEEDERS.table, FEEDERS.part, day])
    for statement in (_CLEAR_TOGETHER, _TOGETHER):
        await connection.execute(statement.encode(), {"minutes": minutes})
    return len(minutes)


async def _make_parts(connection: Connection, minute: datetime) -> None:
    for level in LEVELS:
        await connection.execute("SELECT make_telemetry_part(%s, %s, %s)", [level.table, level.part, minute])


async def _all(connection: Connection, statement: str) -> list[Any]:
    return await (await connection.execute(statement.encode())).fetchall()
