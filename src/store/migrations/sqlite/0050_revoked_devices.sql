-- The devices whose sign-ins were ended by an administrator, and when. What another replica has seen used with one before that, and not
-- written down yet, ends when it is.
CREATE TABLE revoked_devices (
  device      TEXT,
  fingerprint TEXT,
  revoked_at  INTEGER NOT NULL
);
