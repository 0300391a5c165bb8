-- Alarms that are not normal, with what was said of them, so that a restart asks nobody to say it again; and what became
-- of each, line by line.

CREATE TABLE alarms (
    kind                text NOT NULL CHECK (kind <> ''),
    subject             text NOT NULL CHECK (subject <> ''),
    priority            text NOT NULL CHECK (priority IN ('high', 'medium', 'low')),
    cause               text NOT NULL,
    consequence         text NOT NULL,
    response            text NOT NULL,
    active              boolean NOT NULL,
    acknowledged        boolean NOT NULL,
    occurrences         integer NOT NULL CHECK (occurrences > 0),
    raised_at           timestamptz NOT NULL,
    returned_at         timestamptz,
    acknowledged_by     text,
    acknowledged_at     timestamptz,
    shelved_until       timestamptz,
    shelved_by          text,
    shelved_reason      text,
    PRIMARY KEY (kind, subject),
    CONSTRAINT nobody_unnamed_acknowledges CHECK (NOT acknowledged OR acknowledged_by IS NOT NULL)
);

CREATE TABLE alarm_log (
    number              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at                  timestamptz NOT NULL,
    kind                text NOT NULL,
    subject             text NOT NULL,
    change              text NOT NULL
        CHECK (change IN ('raised', 'returned', 'acknowledged', 'shelved', 'unshelved')),
    cause               text NOT NULL,
    by                  text NOT NULL
);
CREATE INDEX alarm_log_by_alarm ON alarm_log (kind, subject, number);
