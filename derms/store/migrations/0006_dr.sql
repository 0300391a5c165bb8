-- DR events have a name, lists of them are read a page at a time, and a request that is sent twice is answered once.

ALTER TABLE events ADD COLUMN name text NOT NULL DEFAULT '';
CREATE INDEX events_by_start ON events (starts_at, event_id);

-- What was answered to a key that its sender chose. Forgotten after a while.
CREATE TABLE answered_once (
    username            text NOT NULL,
    key                 text NOT NULL CHECK (key <> ''),
    fingerprint         text NOT NULL,
    answer              bytea NOT NULL,
    answered_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (username, key)
);
CREATE INDEX answered_once_by_age ON answered_once (answered_at);

