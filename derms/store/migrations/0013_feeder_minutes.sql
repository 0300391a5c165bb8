-- What the devices of a kind on a feeder drew together, minute by minute: a day of a thousand devices in some thousand
-- rows instead of a million and a half. Made of the buckets of a minute, a whole minute at a time.
CREATE TABLE telemetry_feeders_1m (
    feeder_id           text NOT NULL,
    kind                text NOT NULL,
    at                  timestamptz NOT NULL,
    devices             integer NOT NULL,
    samples             bigint NOT NULL,
    -- The sum of what each device drew on average.
    p_kw                double precision NOT NULL,
    PRIMARY KEY (feeder_id, at, kind)
) PARTITION BY RANGE (at);

-- Minutes whose buckets were made since. Written with them.
CREATE TABLE telemetry_feeders_touched (
    minute              timestamptz PRIMARY KEY
);

-- Every minute that may have buckets already.
INSERT INTO telemetry_feeders_touched (minute)
SELECT to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' + n * interval '1 minute'
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid CROSS JOIN generate_series(0, 1439) AS n
WHERE i.inhparent = 'telemetry_1m'::regclass AND c.relname ~ '^telemetry_1m_\d{8}$'
    AND EXISTS (SELECT FROM telemetry_1m t WHERE t.tableoid = c.oid);
