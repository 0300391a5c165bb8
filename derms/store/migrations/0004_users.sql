-- Who may log in, what of a login must outlast a restart, and the ways the audit log is read.

CREATE TABLE users (
    username            text PRIMARY KEY CHECK (username <> ''),
    role                text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    password_hash       text NOT NULL CHECK (password_hash <> ''),
    disabled            boolean NOT NULL DEFAULT false,
    source              text NOT NULL CHECK (source IN ('settings', 'api')),
    seed                text,
    generation          bigint NOT NULL DEFAULT 1,
    created_at          timestamptz NOT NULL,
    changed_at          timestamptz NOT NULL
);

-- One a login, for as long as it can be refreshed; `turn` is the number of the one refresh token that is good.
CREATE TABLE sessions (
    session_id          text PRIMARY KEY,
    username            text NOT NULL REFERENCES users ON DELETE CASCADE,
    remote              text NOT NULL,
    turn                bigint NOT NULL DEFAULT 1,
    opened_at           timestamptz NOT NULL,
    expires_at          timestamptz NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (username, opened_at);
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- Sessions and tokens that ended before their time, for as long as somebody could still come with them.
CREATE TABLE ended_tokens (
    ended_id            text PRIMARY KEY,
    until               timestamptz NOT NULL
);
CREATE INDEX ended_tokens_by_end ON ended_tokens (until);

CREATE INDEX audit_log_by_at ON audit_log (at);
CREATE INDEX audit_log_by_actor ON audit_log (actor, audit_id);
CREATE INDEX audit_log_by_action ON audit_log (action, audit_id);
CREATE INDEX audit_log_by_subject ON audit_log (subject, audit_id);
