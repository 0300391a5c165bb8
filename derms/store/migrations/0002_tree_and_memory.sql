-- A tree of nodes under one policy, what operators lay upon devices, and what the engine remembers over a restart.
-- Only adds. The logs may be large: their new columns have no domain as type, which would write every row anew, and
-- their checks are NOT VALID, which spares reading them; the rows that are there hold nothing but the default.

ALTER TABLE feeders ADD COLUMN policy text NOT NULL DEFAULT 'deficit'
    CHECK (policy IN ('deficit', 'proportional', 'priority', 'least_laxity', 'sessions', 'fair', 'equal'));

ALTER TABLE devices ADD COLUMN p_step_kw magnitude_kw NOT NULL DEFAULT 0;

ALTER TABLE telemetry ADD COLUMN energy_needed_kwh double precision;

-- Not every TimescaleDB takes a new check on a hypertable whose chunks are compressed. The wire contract checks it too.
DO $$
BEGIN
    ALTER TABLE telemetry ADD CONSTRAINT telemetry_energy_needed_kwh_check
        CHECK (energy_needed_kwh BETWEEN 0 AND 1e9) NOT VALID;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'the range of telemetry.energy_needed_kwh is not checked here: %', SQLERRM;
END $$;

ALTER TABLE decisions
    ADD COLUMN envelope_kw double precision NOT NULL DEFAULT 0,
    ADD COLUMN envelope_in_s double precision NOT NULL DEFAULT 0;
ALTER TABLE decisions
    ADD CONSTRAINT decisions_envelope_kw_check CHECK (envelope_kw BETWEEN -1e9 AND 1e9) NOT VALID,
    ADD CONSTRAINT decisions_envelope_in_s_check CHECK (envelope_in_s BETWEEN 0 AND 1e9) NOT VALID;

-- None named: all of them.
ALTER TABLE dr_programs ADD COLUMN feeder_ids text[] NOT NULL DEFAULT '{}';

-- At most one a device; a newer one replaces it, and it ends by itself.
CREATE TABLE device_overrides (
    device_id           text PRIMARY KEY REFERENCES devices ON DELETE CASCADE,
    kind                text NOT NULL CHECK (kind IN ('hold', 'block')),
    p_kw                power_kw,
    reason              text NOT NULL,
    created_by          text NOT NULL,
    created_at          timestamptz NOT NULL,
    until               timestamptz NOT NULL,
    CONSTRAINT a_hold_has_a_power_and_a_block_has_none CHECK ((kind = 'hold') = (p_kw IS NOT NULL)),
    CHECK (until > created_at)
);

-- What the engine remembers of each tree, by its root: one row, written over and over. Not compressed, which would take
-- longer than writing it.
CREATE TABLE engine_memory (
    feeder_id           text PRIMARY KEY CHECK (feeder_id <> ''),
    at                  timestamptz NOT NULL,
    epoch               bigint NOT NULL,
    memory              jsonb NOT NULL
);
ALTER TABLE engine_memory ALTER COLUMN memory SET STORAGE EXTERNAL;
