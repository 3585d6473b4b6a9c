-- What sign-ins and sessions are found by when somebody takes them away. NULL: to be worked out from the rest of the row.
ALTER TABLE sign_ins ADD COLUMN email TEXT;
ALTER TABLE sign_ins ADD COLUMN address TEXT;
ALTER TABLE sign_ins ADD COLUMN agent TEXT;
CREATE INDEX sign_ins_email ON sign_ins (email);
ALTER TABLE app_sessions ADD COLUMN name TEXT;
CREATE UNIQUE INDEX app_sessions_name ON app_sessions (name);
CREATE INDEX app_sessions_host ON app_sessions (host);
CREATE INDEX handoffs_host ON handoffs (host);

-- The devices that a sign-in was used with, by certificate, and by their names in the inventory at that time.
CREATE TABLE sign_in_devices (
  sign_in     BIGINT NOT NULL REFERENCES sign_ins (id) ON DELETE CASCADE,
  fingerprint TEXT   NOT NULL,
  device      TEXT,
  PRIMARY KEY (sign_in, fingerprint)
);
CREATE INDEX sign_in_devices_fingerprint ON sign_in_devices (fingerprint);
CREATE INDEX sign_in_devices_device ON sign_in_devices (device);
