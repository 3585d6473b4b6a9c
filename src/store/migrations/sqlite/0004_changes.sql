-- What other processes must learn of, in the order of the commits (src/store/changes.rs).
CREATE TABLE changes (
  number  INTEGER PRIMARY KEY,
  kind    TEXT    NOT NULL,
  name    TEXT    NOT NULL,
  made_at INTEGER NOT NULL
);
CREATE INDEX changes_made ON changes (made_at);

-- One row: the last number that was given.
CREATE TABLE change_count (taken INTEGER NOT NULL);
INSERT INTO change_count (taken) VALUES (0);

-- The time by the clock of the database, which is the same for all.
CREATE VIEW clock AS SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now;

-- Until when one process alone renews the claims.
ALTER TABLE sign_ins ADD COLUMN renewing_until INTEGER NOT NULL DEFAULT 0;

-- What tells whether all have the same keys for sealing.
CREATE TABLE sealing_keys (
  number      INTEGER PRIMARY KEY,
  fingerprint BLOB    NOT NULL,
  since       INTEGER NOT NULL
);
