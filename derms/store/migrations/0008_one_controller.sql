-- Who commands. Several controllers may run on one database and one broker; each tree of feeders is commanded by the one
-- that holds its lease, until the lease ends on this database's clock.

CREATE TABLE controllers (
    controller_id       text PRIMARY KEY CHECK (controller_id <> ''),
    instance            text NOT NULL,
    url                 text NOT NULL,
    seen_at             timestamptz NOT NULL
);

CREATE TABLE controller_leases (
    feeder_id           text PRIMARY KEY CHECK (feeder_id <> ''),
    controller_id       text NOT NULL,
    -- Empty: given back.
    instance            text NOT NULL,
    url                 text NOT NULL,
    epoch               bigint NOT NULL CHECK (epoch > 0),
    -- Rises with every renewal, so that the others can tell by their own clocks that nobody renews it.
    renewals            bigint NOT NULL DEFAULT 0,
    lease_s             double precision NOT NULL CHECK (lease_s > 0),
    taken_at            timestamptz NOT NULL,
    expires_at          timestamptz NOT NULL
);
