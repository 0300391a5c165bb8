-- Which gateway speaks for a device; null: it speaks for itself. Gateways have no table of their own: one is what the
-- registrations name.
ALTER TABLE devices ADD COLUMN gateway_id text CHECK (gateway_id <> '');
CREATE INDEX devices_by_gateway ON devices (gateway_id) WHERE gateway_id IS NOT NULL;
