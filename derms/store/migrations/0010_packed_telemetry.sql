-- Raw rows are for the newest hours. What is older is packed, a device and minute a row, exactly as it was; beside
-- both, buckets of 1 min, 15 min, 1 h and 1 d. Only adds: COPY goes where it went, and waits for nothing of this.
-- With a hypertable nothing is packed here: compressing its chunks is TimescaleDB's business.

-- All samples of one device in one minute, by instant and sequence number. What is the same in all of them stands once;
-- else there is an array: numbers as millionths where those are exact to the last bit, as they are where not.
CREATE TABLE telemetry_minutes (
    device_id           text NOT NULL,
    minute              timestamptz NOT NULL,
    samples             integer NOT NULL CHECK (samples > 0),
    -- Milliseconds from the minute's middle; or, where one lies between milliseconds, microseconds from its start.
    at_ms                   smallint[],
    at_us                   integer[],
    -- The n-th, from 1, has the number seq + n * seq_step; or they are in the array.
    seq                 bigint,
    seq_step            smallint,
    seqs                    bigint[],
    -- Milliseconds after the measurement, or the instants.
    received_ms             smallint[],
    received_ats            timestamptz[],
    p_actual_kw         double precision,
    p_actual_kw_e6          integer[],
    p_actual_kws            double precision[],
    p_setpoint_kw       double precision,
    p_setpoint_kw_e6        integer[],
    p_setpoint_kws          double precision[],
    soc                 double precision,
    soc_e6                  integer[],
    socs                    double precision[],
    p_max_kw            double precision,
    p_max_kw_e6             integer[],
    p_max_kws               double precision[],
    capacity_kwh        double precision,
    capacity_kwh_e6         integer[],
    capacity_kwhs           double precision[],
    energy_needed_kwh   double precision,
    energy_needed_kwh_e6    integer[],
    energy_needed_kwhs      double precision[],
    ready_by            timestamptz,
    ready_bys               timestamptz[],
    applied_epoch       bigint,
    applied_epochs          bigint[],
    applied_seq         bigint,
    applied_seqs            bigint[],
    status              text,
    statuss                 text[],
    feeder_id           text,
    feeder_ids              text[],
    PRIMARY KEY (device_id, minute)
) PARTITION BY RANGE (minute);
CREATE INDEX telemetry_minutes_by_minute ON telemetry_minutes USING brin (minute)
    WITH (pages_per_range = 16, autosummarize = on);

CREATE VIEW telemetry_unpacked AS
SELECT m.device_id, m.minute,
       m.minute + CASE WHEN m.at_ms IS NOT NULL THEN (u.at_ms + 30000) * interval '1 ms'
                       ELSE u.at_us * interval '1 us' END AS at,
       CASE WHEN m.seqs IS NOT NULL THEN u.seqs ELSE m.seq + u.n * m.seq_step END AS seq,
       CASE WHEN m.received_ms IS NOT NULL
            THEN m.minute + CASE WHEN m.at_ms IS NOT NULL THEN (u.at_ms + 30000) * interval '1 ms'
                                 ELSE u.at_us * interval '1 us' END + u.received_ms * interval '1 ms'
            ELSE u.received_ats END AS received_at,
       CASE WHEN m.feeder_ids IS NOT NULL THEN u.feeder_ids ELSE m.feeder_id END AS feeder_id,
       CASE WHEN m.p_actual_kw_e6 IS NOT NULL THEN u.p_actual_kw_e6 / 1e6::float8
            WHEN m.p_actual_kws IS NOT NULL THEN u.p_actual_kws ELSE m.p_actual_kw END AS p_actual_kw,
       CASE WHEN m.p_setpoint_kw_e6 IS NOT NULL THEN u.p_setpoint_kw_e6 / 1e6::float8
            WHEN m.p_setpoint_kws IS NOT NULL THEN u.p_setpoint_kws ELSE m.p_setpoint_kw END AS p_setpoint_kw,
       CASE WHEN m.soc_e6 IS NOT NULL THEN u.soc_e6 / 1e6::float8
            WHEN m.socs IS NOT NULL THEN u.socs ELSE m.soc END AS soc,
       CASE WHEN m.p_max_kw_e6 IS NOT NULL THEN u.p_max_kw_e6 / 1e6::float8
            WHEN m.p_max_kws IS NOT NULL THEN u.p_max_kws ELSE m.p_max_kw END AS p_max_kw,
       CASE WHEN m.capacity_kwh_e6 IS NOT NULL THEN u.capacity_kwh_e6 / 1e6::float8
            WHEN m.capacity_kwhs IS NOT NULL THEN u.capacity_kwhs ELSE m.capacity_kwh END AS capacity_kwh,
       CASE WHEN m.ready_bys IS NOT NULL THEN u.ready_bys ELSE m.ready_by END AS ready_by,
       CASE WHEN m.applied_epochs IS NOT NULL THEN u.applied_epochs ELSE m.applied_epoch END AS applied_epoch,
       CASE WHEN m.applied_seqs IS NOT NULL THEN u.applied_seqs ELSE m.applied_seq END AS applied_seq,
       CASE WHEN m.statuss IS NOT NULL THEN u.statuss ELSE m.status END AS status,
       CASE WHEN m.energy_needed_kwh_e6 IS NOT NULL THEN u.energy_needed_kwh_e6 / 1e6::float8
            WHEN m.energy_needed_kwhs IS NOT NULL THEN u.energy_needed_kwhs ELSE m.energy_needed_kwh END AS energy_needed_kwh
FROM telemetry_minutes m CROSS JOIN LATERAL unnest(
    m.at_ms, m.at_us, m.seqs, m.received_ms, m.received_ats, m.p_actual_kw_e6, m.p_actual_kws, m.p_setpoint_kw_e6,
    m.p_setpoint_kws, m.soc_e6, m.socs, m.p_max_kw_e6, m.p_max_kws, m.capacity_kwh_e6, m.capacity_kwhs,
    m.energy_needed_kwh_e6, m.energy_needed_kwhs, m.ready_bys, m.applied_epochs, m.applied_seqs, m.statuss,
    m.feeder_ids
) WITH ORDINALITY AS u (
    at_ms, at_us, seqs, received_ms, received_ats, p_actual_kw_e6, p_actual_kws, p_setpoint_kw_e6, p_setpoint_kws,
    soc_e6, socs, p_max_kw_e6, p_max_kws, capacity_kwh_e6, capacity_kwhs, energy_needed_kwh_e6, energy_needed_kwhs,
    ready_bys, applied_epochs, applied_seqs, statuss, feeder_ids, n
);

-- One row: how far was packed, and up to where whole days of samples are gone.
CREATE TABLE telemetry_upkeep (
    only_row            boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    packed_until        timestamptz NOT NULL DEFAULT '-infinity',
    dropped_until       timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO telemetry_upkeep DEFAULT VALUES;

-- Whether a sample is among the packed ones: then a raw row that is sent again counts for nothing.
CREATE FUNCTION telemetry_is_packed(device text, instant timestamptz, number bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM telemetry_unpacked u WHERE u.device_id = device
                   AND u.minute = date_trunc('minute', instant) AND u.at = instant AND u.seq = number)
$$;

-- Every sample once, packed or not. Whoever knows the device and the time asks telemetry_between, which is faster.
CREATE VIEW telemetry_all AS
SELECT device_id, at, seq, received_at, feeder_id, p_actual_kw::float8, p_setpoint_kw::float8, soc::float8,
       p_max_kw::float8, capacity_kwh::float8, ready_by, applied_epoch, applied_seq, status, energy_needed_kwh
FROM telemetry
WHERE at >= (SELECT packed_until FROM telemetry_upkeep) OR NOT telemetry_is_packed(device_id, at, seq)
UNION ALL
SELECT device_id, at, seq, received_at, feeder_id, p_actual_kw, p_setpoint_kw, soc, p_max_kw, capacity_kwh, ready_by,
       applied_epoch, applied_seq, status, energy_needed_kwh
FROM telemetry_unpacked;

CREATE FUNCTION telemetry_between(device text, since timestamptz, until timestamptz)
RETURNS TABLE (device_id text, at timestamptz, seq bigint, received_at timestamptz, feeder_id text,
               p_actual_kw double precision, p_setpoint_kw double precision, soc double precision,
               p_max_kw double precision, capacity_kwh double precision, ready_by timestamptz, applied_epoch bigint,
               applied_seq bigint, status text, energy_needed_kwh double precision)
LANGUAGE sql STABLE ROWS 5000 AS $$
    SELECT t.device_id, t.at, t.seq, t.received_at, t.feeder_id, t.p_actual_kw::float8, t.p_setpoint_kw::float8,
           t.soc::float8, t.p_max_kw::float8, t.capacity_kwh::float8, t.ready_by, t.applied_epoch, t.applied_seq,
           t.status, t.energy_needed_kwh
    FROM telemetry t WHERE t.device_id = $1 AND t.at >= $2 AND t.at < $3
        AND (t.at >= (SELECT packed_until FROM telemetry_upkeep) OR NOT telemetry_is_packed(t.device_id, t.at, t.seq))
    UNION ALL
    SELECT u.device_id, u.at, u.seq, u.received_at, u.feeder_id, u.p_actual_kw, u.p_setpoint_kw, u.soc, u.p_max_kw,
           u.capacity_kwh, u.ready_by, u.applied_epoch, u.applied_seq, u.status, u.energy_needed_kwh
    FROM telemetry_unpacked u
    WHERE u.device_id = $1 AND u.minute > $2 - interval '1 minute' AND u.minute < $3 AND u.at >= $2 AND u.at < $3
$$;

-- Buckets. Sums, not means, so that a coarser bucket is made of finer ones.
CREATE TABLE telemetry_1m (
    device_id           text NOT NULL,
    at                  timestamptz NOT NULL,
    samples             integer NOT NULL,
    p_sum_kw            double precision NOT NULL,
    p_min_kw            double precision NOT NULL,
    p_max_kw            double precision NOT NULL,
    setpoints           integer NOT NULL,
    setpoint_sum_kw     double precision NOT NULL,
    socs                integer NOT NULL,
    soc_sum             double precision NOT NULL,
    PRIMARY KEY (device_id, at)
) PARTITION BY RANGE (at);
CREATE TABLE telemetry_15m (LIKE telemetry_1m INCLUDING INDEXES) PARTITION BY RANGE (at);
CREATE TABLE telemetry_1h (LIKE telemetry_1m INCLUDING INDEXES) PARTITION BY RANGE (at);
CREATE TABLE telemetry_1d (LIKE telemetry_1m INCLUDING INDEXES) PARTITION BY RANGE (at);

-- Minutes that got samples since their buckets were made: of one device, or (none named) of any. Written with them.
CREATE TABLE telemetry_touched (
    minute              timestamptz NOT NULL,
    device_id           text
);
CREATE INDEX telemetry_touched_by_minute ON telemetry_touched (minute, device_id);

-- Make the partition of `parent` that holds an instant: of a UTC day, month or year. Attached, as for a day's samples.
CREATE FUNCTION make_telemetry_part(parent text, unit text, instant timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    since timestamp := date_trunc(unit, instant AT TIME ZONE 'UTC');
    until timestamp := since + ('1 ' || unit)::interval;
    part text := parent || '_' || to_char(since, CASE unit WHEN 'day' THEN 'YYYYMMDD' WHEN 'month' THEN 'YYYYMM'
                                                 ELSE 'YYYY' END);
BEGIN
    IF EXISTS (SELECT FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
               WHERE c.relname = part AND i.inhparent = parent::regclass) THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('derms.make_telemetry_part'));
    IF EXISTS (SELECT FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
               WHERE c.relname = part AND i.inhparent = parent::regclass) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES '
                   'INCLUDING STORAGE)', part, parent);
    IF parent = 'telemetry_minutes' THEN
        -- Kept in the row: the arrays of one minute are read together, and numbers do not shrink by compressing.
        EXECUTE format('ALTER TABLE %I SET (toast_tuple_target = 8160)', part);
    END IF;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part,
                   since AT TIME ZONE 'UTC', until AT TIME ZONE 'UTC');
END $$;

DO $$
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = 'telemetry'::regclass) <> 'p' THEN
        RETURN;  -- a hypertable has an index on the instant by itself
    END IF;
    -- What is packed and dropped goes by the instant.
    CREATE INDEX telemetry_by_instant ON telemetry (at);
    -- Of what is there already, every minute is to get its buckets.
    INSERT INTO telemetry_touched (minute)
    SELECT to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' + n * interval '1 minute'
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid CROSS JOIN generate_series(0, 1439) AS n
    WHERE i.inhparent = 'telemetry'::regclass AND c.relname ~ '^telemetry_\d{8}$'
        AND EXISTS (SELECT FROM telemetry t WHERE t.tableoid = c.oid);
END $$;
