-- What operators say of devices, and what the figures of a feeder are made of. Only adds; see 0002 for why the columns
-- of the logs have no domain as type.

ALTER TABLE devices ADD COLUMN ready_by timestamptz;

-- NULL: the row is of a version that did not record it.
ALTER TABLE decisions
    ADD COLUMN load_kw double precision,
    ADD COLUMN export_limit_kw double precision,
    ADD COLUMN export_source text NOT NULL DEFAULT '',
    ADD COLUMN export_shortfall_kw double precision NOT NULL DEFAULT 0,
    ADD COLUMN pv_kw double precision,
    ADD COLUMN battery_kw double precision,
    ADD COLUMN ev_kw double precision,
    ADD COLUMN base_kw double precision,
    ADD COLUMN deferred_kw double precision,
    ADD COLUMN curtailed_kw double precision;
ALTER TABLE decisions
    ADD CONSTRAINT decisions_load_kw_check CHECK (load_kw BETWEEN -1e9 AND 1e9) NOT VALID,
    ADD CONSTRAINT decisions_export_limit_kw_check CHECK (export_limit_kw BETWEEN 0 AND 1e9) NOT VALID,
    ADD CONSTRAINT decisions_export_shortfall_kw_check CHECK (export_shortfall_kw BETWEEN 0 AND 1e9) NOT VALID,
    ADD CONSTRAINT decisions_kinds_check CHECK (
        pv_kw BETWEEN -1e9 AND 1e9 AND battery_kw BETWEEN -1e9 AND 1e9 AND ev_kw BETWEEN -1e9 AND 1e9
        AND base_kw BETWEEN -1e9 AND 1e9) NOT VALID,
    ADD CONSTRAINT decisions_held_back_check CHECK (
        deferred_kw BETWEEN 0 AND 1e9 AND curtailed_kw BETWEEN 0 AND 1e9) NOT VALID;

-- What each device could have taken in an hour, and what it drew: a running total of one run of the controller, written
-- over and over while the hour lasts, so that writing it twice counts it once.
CREATE TABLE device_hours (
    feeder_id           text NOT NULL,
    hour                timestamptz NOT NULL,
    device_id           text NOT NULL,
    epoch               bigint NOT NULL,
    asked_kwh           energy_kwh NOT NULL,
    delivered_kwh       energy_kwh NOT NULL,
    PRIMARY KEY (feeder_id, hour, device_id, epoch)
);
