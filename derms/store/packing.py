"""Samples of the newest hours into one row a device and minute, exactly as they were; see 0010_packed_telemetry.sql.

Pure; one statement: what it takes out of `telemetry` it puts into `telemetry_minutes`, or it does neither. A sample
that is there already, packed earlier, stays as it is, as one that is sent twice does.
"""

_NUMBERS = ("p_actual_kw", "p_setpoint_kw", "soc", "p_max_kw", "capacity_kwh", "energy_needed_kwh")
_OTHERS = {"ready_by": "timestamptz", "applied_epoch": "bigint", "applied_seq": "bigint", "status": "text",
           "feeder_id": "text"}  # fmt: skip
_ALL = "device_id, minute, at, seq, received_at, " + ", ".join((*_NUMBERS, *_OTHERS))


def _of_number(name: str) -> dict[str, str]:
    """The columns of a number: once, in millionths, or as it is."""
    same = f"(NOT odd AND (count({name}) = 0 OR (count({name}) = count(*) AND min({name}) = max({name}))))"
    exact = f"(NOT odd AND bool_and({name} IS NULL OR {name}_k / 1e6::float8 = {name}))"
    return {
        name: f"CASE WHEN {same} THEN min({name}) END",
        f"{name}_e6": f"CASE WHEN NOT {same} AND {exact} THEN array_agg({name}_k) END",
        f"{name}s": f"CASE WHEN NOT {same} AND {exact} IS NOT true THEN array_agg({name}) END",
    }


def _of_other(name: str) -> dict[str, str]:
    same = f"(count({name}) = 0 OR (count({name}) = count(*) AND min({name}) = max({name})))"
    return {
        name: f"CASE WHEN {same} THEN min({name}) END",
        f"{name}s": f"CASE WHEN NOT {same} THEN array_agg({name}) END",
    }


def _columns() -> dict[str, str]:
    whole_ms = "bool_and(us %% 1000 = 0)"
    near = "bool_and(coalesce(at + late_ms * interval '1 ms' = received_at, false))"
    one_by_one = "min(seq - n) = max(seq - n)"
    found = {
        "device_id": "device_id",
        "minute": "minute",
        "samples": "count(*)",
        "at_ms": f"CASE WHEN {whole_ms} THEN array_agg((us / 1000 - 30000)::smallint) END",
        "at_us": f"CASE WHEN NOT {whole_ms} THEN array_agg(us) END",
        "seq": f"CASE WHEN {one_by_one} THEN min(seq - n) WHEN min(seq) = max(seq) THEN min(seq) END",
        "seq_step": f"CASE WHEN {one_by_one} THEN 1 WHEN min(seq) = max(seq) THEN 0 END",
        "seqs": f"CASE WHEN NOT ({one_by_one} OR min(seq) = max(seq)) THEN array_agg(seq) END",
        "received_ms": f"CASE WHEN {near} THEN array_agg(late_ms) END",
        "received_ats": f"CASE WHEN NOT {near} THEN array_agg(received_at) END",
    }
    for name in _NUMBERS:
        found |= {column: text.replace("odd", "bool_or(odd)") for column, text in _of_number(name).items()}
    for name in _OTHERS:
        found |= _of_other(name)
    return found


_PACKED = _columns()
_PLAIN = ", ".join((*(f"{name}::float8 AS {name}" for name in _NUMBERS), *_OTHERS))
_ODD = " OR ".join(f"({name} = 0 AND {name}::text = '-0')" for name in _NUMBERS)
_MILLIONTHS = ", ".join(
    f"CASE WHEN abs({name}) < 2147 THEN round({name} * 1e6)::integer END AS {name}_k" for name in _NUMBERS
)

PACK = f"""
WITH gone AS (
    DELETE FROM telemetry WHERE at >= %(since)s AND at < %(until)s
        AND (%(parts)s = 1 OR (hashtext(device_id) & 2147483647) %% %(parts)s = %(part)s)
    RETURNING *
), fresh AS (
    SELECT device_id, date_trunc('minute', at) AS minute, at, seq, received_at, {_PLAIN} FROM gone
), touched AS (
    SELECT DISTINCT device_id, minute FROM fresh
), known AS (
    SELECT {_ALL} FROM touched JOIN telemetry_unpacked USING (device_id, minute)
    WHERE telemetry_unpacked.minute >= %(since)s AND telemetry_unpacked.minute < %(until)s
), cleared AS (
    DELETE FROM telemetry_minutes m USING touched t WHERE m.device_id = t.device_id AND m.minute = t.minute
        AND m.minute >= %(since)s AND m.minute < %(until)s
    RETURNING 1
), merged AS (
    SELECT DISTINCT ON (device_id, minute, at, seq) *
    FROM (SELECT 0 AS place, {_ALL} FROM known UNION ALL
          SELECT 1, {_ALL} FROM fresh WHERE (SELECT count(*) FROM cleared) >= 0) AS both_of_them
    ORDER BY device_id, minute, at, seq, place
), told AS (
    SELECT *, date_part('microseconds', at)::integer AS us,
        row_number() OVER (PARTITION BY device_id, minute ORDER BY at, seq) AS n,
        CASE WHEN abs(date_part('epoch', received_at - at)) < 32
             THEN round(date_part('epoch', received_at - at) * 1000)::smallint END AS late_ms,
        ({_ODD}) IS true AS odd, {_MILLIONTHS}
    FROM merged
), packed AS (
    INSERT INTO telemetry_minutes ({", ".join(_PACKED)})
    SELECT {", ".join(_PACKED.values())} FROM told GROUP BY device_id, minute
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS samples, (SELECT count(*) FROM packed) AS rows
"""
"""Packs the samples of [since, until), whole minutes, of the `part`-th of `parts` shares of the devices.

The packed rows that it replaces are cleared before it puts the new ones there, because counting them comes first.
Numbers as millionths must come back to the last bit, and -0.0 is not 0.0, so a minute with one is left as it is.
"""
