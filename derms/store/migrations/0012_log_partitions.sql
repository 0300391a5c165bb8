-- Setpoints and decisions by partitions, as samples are, so that what is old goes in one stroke. What is there already
-- stays where it lies, in a partition of its own that ends with the day or month of this change; it goes with its last row.

CREATE FUNCTION make_log_part(parent text, unit text, instant timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM make_telemetry_part(parent, unit, instant);
EXCEPTION WHEN invalid_object_definition THEN
    NULL;  -- It overlaps what was there before, which holds that instant.
END $$;

CREATE FUNCTION part_log(parent text, moment text, unit text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    earlier text := parent || '_before';
    newest timestamptz;
    unchecked text;
BEGIN
    EXECUTE format('ALTER TABLE %I RENAME TO %I', parent, earlier);
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES '
                   'INCLUDING STORAGE) PARTITION BY RANGE (%I)', parent, earlier, moment);
    EXECUTE format('SELECT max(%I) FROM %I', moment, earlier) INTO newest;
    IF newest IS NULL THEN
        EXECUTE format('DROP TABLE %I', earlier);
        RETURN;
    END IF;
    -- Those that later versions added without looking at the rows there were.
    FOR unchecked IN SELECT conname FROM pg_constraint WHERE conrelid = earlier::regclass AND NOT convalidated LOOP
        EXECUTE format('ALTER TABLE %I VALIDATE CONSTRAINT %I', earlier, unchecked);
    END LOOP;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)', parent, earlier,
                   (date_trunc(unit, greatest(newest, now()) AT TIME ZONE 'UTC') + ('1 ' || unit)::interval)
                   AT TIME ZONE 'UTC');
END $$;

SELECT part_log('setpoints', 'issued_at', 'day');
SELECT part_log('decisions', 'at', 'month');
DROP FUNCTION part_log;
