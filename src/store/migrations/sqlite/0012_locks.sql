-- Who and what is locked out: `user` (an address or provider:subject) or `device` (its name, with its certificate at that time).
CREATE TABLE locks (
  kind        TEXT   NOT NULL,
  name        TEXT   NOT NULL,
  reason      TEXT   NOT NULL,
  locked_at   INTEGER NOT NULL,
  expires_at  INTEGER,
  fingerprint TEXT,
  PRIMARY KEY (kind, name)
);
