-- The first schema. Signs: power drawn from the feeder is positive. Power in kW, energy in kWh, SOC and ratios 0..1.

-- The comparisons also refuse NaN, which PostgreSQL sorts above every number.
CREATE DOMAIN power_kw AS double precision CHECK (VALUE BETWEEN -1e9 AND 1e9);
CREATE DOMAIN magnitude_kw AS double precision CHECK (VALUE BETWEEN 0 AND 1e9);
CREATE DOMAIN energy_kwh AS double precision CHECK (VALUE BETWEEN 0 AND 1e9);
CREATE DOMAIN ratio AS double precision CHECK (VALUE BETWEEN 0 AND 1);

CREATE TABLE feeders (
    feeder_id           text PRIMARY KEY CHECK (feeder_id <> ''),
    name                text NOT NULL,
    parent_id           text REFERENCES feeders CHECK (parent_id <> feeder_id),
    import_limit_kw     magnitude_kw,
    export_limit_kw     magnitude_kw,
    margin_kw           magnitude_kw NOT NULL,
    assumed_unmetered_kw power_kw NOT NULL,
    mode                text NOT NULL CHECK (mode IN ('auto', 'advise', 'off')),
    updated_at          timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE devices (
    device_id           text PRIMARY KEY CHECK (device_id <> ''),
    kind                text NOT NULL CHECK (kind IN ('pv', 'battery', 'ev', 'load', 'meter')),
    feeder_id           text NOT NULL REFERENCES feeders,
    site_id             text,
    origin              text NOT NULL CHECK (origin IN ('simulated', 'physical')),
    enrolment           text NOT NULL CHECK (enrolment IN ('active', 'quarantined', 'retired')),
    dialect             text NOT NULL CHECK (dialect IN ('v1', 'plain', 'envelope')),
    soc_in_percent      boolean NOT NULL,
    p_import_max_kw     magnitude_kw NOT NULL,
    p_export_max_kw     magnitude_kw NOT NULL,
    p_min_kw            magnitude_kw NOT NULL,
    capacity_kwh        energy_kwh,
    min_soc_reserve     ratio NOT NULL,
    target_soc          ratio NOT NULL,
    priority            smallint NOT NULL CHECK (priority BETWEEN 1 AND 10),
    default_power_kw    power_kw NOT NULL,
    updated_at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX devices_by_feeder ON devices (feeder_id);

-- One row a measurement. The same device, instant and sequence number is the same measurement, sent twice; seq is -1
-- where the device does not count. No foreign keys on the logs: they outlive what they speak of.
CREATE TABLE telemetry (
    device_id           text NOT NULL,
    at                  timestamptz NOT NULL,
    seq                 bigint NOT NULL CHECK (seq >= -1),
    received_at         timestamptz NOT NULL,
    feeder_id           text NOT NULL,
    p_actual_kw         power_kw NOT NULL,
    p_setpoint_kw       power_kw,
    soc                 ratio,
    p_max_kw            magnitude_kw,
    capacity_kwh        energy_kwh,
    ready_by            timestamptz,
    applied_epoch       bigint,
    applied_seq         bigint,
    status              text NOT NULL CHECK (status IN ('ok', 'fault', 'local', 'unavailable')),
    PRIMARY KEY (device_id, at, seq)
) PARTITION BY RANGE (at);

-- A hypertable instead, where TimescaleDB is loaded. Whatever fails here is undone, and the partitioned table stays.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') THEN
        RETURN;
    END IF;
    -- Its library ends the session when it was not preloaded, and nothing can catch that. Any role can see the settings
    -- that a preloaded library defines; those that were only written into the configuration are not listed.
    IF NOT EXISTS (SELECT FROM pg_settings WHERE name LIKE 'timescaledb.%') THEN
        RAISE EXCEPTION 'it is not in shared_preload_libraries';
    END IF;
    CREATE EXTENSION IF NOT EXISTS timescaledb;
    CREATE TABLE telemetry_plain (LIKE telemetry INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES);
    DROP TABLE telemetry;
    ALTER TABLE telemetry_plain RENAME TO telemetry;
    ALTER INDEX telemetry_plain_pkey RENAME TO telemetry_pkey;
    PERFORM create_hypertable('telemetry', 'at', chunk_time_interval => interval '1 day');
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'TimescaleDB is there but not used, telemetry is partitioned by day: %', SQLERRM;
END $$;

-- Make the partition of one UTC day; a hypertable makes its own. Attached, not created in place: that would lock
-- readers out.
CREATE FUNCTION make_telemetry_day(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part text := 'telemetry_' || to_char(day, 'YYYYMMDD');
    since timestamptz := day::timestamp AT TIME ZONE 'UTC';
    until timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = 'telemetry'::regclass) <> 'p' THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('derms.make_telemetry_day'));
    IF EXISTS (SELECT FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
               WHERE c.relname = part AND i.inhparent = 'telemetry'::regclass) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE telemetry INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', part);
    EXECUTE format('ALTER TABLE telemetry ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, since, until);
END $$;

CREATE TABLE setpoints (
    device_id           text NOT NULL,
    issued_at           timestamptz NOT NULL,
    epoch               bigint NOT NULL,
    seq                 bigint NOT NULL,
    valid_until         timestamptz NOT NULL,
    kind                text NOT NULL CHECK (kind IN ('pv', 'battery', 'ev', 'load', 'meter')),
    p_setpoint_kw       power_kw NOT NULL,
    reason              text NOT NULL,
    PRIMARY KEY (device_id, issued_at, epoch, seq),
    CHECK (valid_until > issued_at)
);

-- A restart asks for the leases that still live: the newest few of millions.
CREATE INDEX setpoints_by_end ON setpoints USING brin (valid_until);

CREATE TABLE decisions (
    feeder_id           text NOT NULL,
    at                  timestamptz NOT NULL,
    epoch               bigint NOT NULL,
    tick                bigint NOT NULL,
    mode                text NOT NULL CHECK (mode IN ('auto', 'advise', 'off')),
    import_limit_kw     magnitude_kw,
    limit_source        text NOT NULL,
    measured_kw         power_kw,
    background_kw       power_kw NOT NULL,
    reserved_kw         power_kw NOT NULL,
    headroom_kw         power_kw,
    commanded_kw        power_kw NOT NULL,
    shortfall_kw        magnitude_kw NOT NULL,
    setpoints_sent      integer NOT NULL CHECK (setpoints_sent >= 0),
    duration_ms         double precision NOT NULL CHECK (duration_ms >= 0),
    PRIMARY KEY (feeder_id, at, epoch, tick)
);

CREATE TABLE events (
    event_id            text PRIMARY KEY CHECK (event_id <> ''),
    feeder_ids          text[] NOT NULL CHECK (cardinality(feeder_ids) > 0),
    starts_at           timestamptz NOT NULL,
    ends_at             timestamptz NOT NULL,
    import_limit_kw     magnitude_kw,
    export_limit_kw     magnitude_kw,
    shed_kw             magnitude_kw,
    reason              text NOT NULL,
    created_by          text NOT NULL,
    created_at          timestamptz NOT NULL,
    cancelled_at        timestamptz,
    CHECK (ends_at > starts_at)
);
CREATE INDEX events_open ON events (ends_at) WHERE cancelled_at IS NULL;

CREATE TABLE dr_programs (
    program_id          text PRIMARY KEY CHECK (program_id <> ''),
    name                text NOT NULL UNIQUE,
    kind                text NOT NULL CHECK (kind IN ('fixed_cap', 'price_elastic')),
    starts_at           timestamptz NOT NULL,
    ends_at             timestamptz NOT NULL,
    target_shed_kw      magnitude_kw NOT NULL,
    incentive_per_kwh   double precision NOT NULL CHECK (incentive_per_kwh BETWEEN 0 AND 1e9),
    penalty_per_kwh     double precision NOT NULL CHECK (penalty_per_kwh BETWEEN 0 AND 1e9),
    active              boolean NOT NULL DEFAULT false,
    created_at          timestamptz NOT NULL DEFAULT now(),
    CHECK (ends_at > starts_at)
);

-- Who did what. Lines are added, never changed.
CREATE TABLE audit_log (
    audit_id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at                  timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor               text NOT NULL,
    action              text NOT NULL,
    subject             text NOT NULL,
    request_id          text NOT NULL,
    detail              jsonb NOT NULL DEFAULT '{}'
);

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log only grows: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_log_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

-- Rises with every start of a controller, and travels in every setpoint: an older one is refused by the devices.
CREATE SEQUENCE controller_epoch;
