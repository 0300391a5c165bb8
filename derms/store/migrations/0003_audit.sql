-- Who did what, from where, and what was there before and after; `detail` of older lines says what was there after.

ALTER TABLE audit_log
    ADD COLUMN remote text NOT NULL DEFAULT '',
    ADD COLUMN before jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN after jsonb NOT NULL DEFAULT '{}';
