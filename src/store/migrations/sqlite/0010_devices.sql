-- What the administration API was told of devices, and of what there is to fear.
CREATE TABLE devices (
  id          TEXT PRIMARY KEY,
  fingerprint TEXT UNIQUE,
  entry       TEXT NOT NULL
);

CREATE TABLE risks (
  kind        TEXT    NOT NULL,
  name        TEXT    NOT NULL,
  level       TEXT    NOT NULL,
  reasons     TEXT    NOT NULL,
  observed_at INTEGER NOT NULL,
  expires_at  INTEGER,
  PRIMARY KEY (kind, name)
);
