-- What other replicas must learn of, in the order of the commits (src/store/changes.rs).
CREATE TABLE changes (
  number  BIGINT PRIMARY KEY,
  kind    TEXT   NOT NULL,
  name    TEXT   NOT NULL,
  made_at BIGINT NOT NULL
);
CREATE INDEX changes_made ON changes (made_at);

-- One row: the last number that was given.
CREATE TABLE change_count (taken BIGINT NOT NULL);
INSERT INTO change_count (taken) VALUES (0);

-- Wakes the replicas when the transaction commits.
CREATE FUNCTION tell_of_changes() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN NOTIFY doorward_changes; RETURN NULL; END $$;
CREATE TRIGGER tell_of_changes AFTER INSERT ON changes FOR EACH STATEMENT EXECUTE FUNCTION tell_of_changes();

-- The time by the clock of the database, which is the same for all.
CREATE VIEW clock AS SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS now;

-- Until when one replica alone renews the claims.
ALTER TABLE sign_ins ADD COLUMN renewing_until BIGINT NOT NULL DEFAULT 0;

-- What tells whether all have the same keys for sealing.
CREATE TABLE sealing_keys (
  number      BIGINT PRIMARY KEY,
  fingerprint BYTEA  NOT NULL,
  since       BIGINT NOT NULL
);
