-- What transmitters of security events said that still counts: a level of risk, or whether a device keeps the rules.
CREATE TABLE signal_facts (
  transmitter TEXT   NOT NULL,
  kind        TEXT   NOT NULL,
  name        TEXT   NOT NULL,
  value       TEXT   NOT NULL,
  reasons     TEXT   NOT NULL,
  observed_at BIGINT NOT NULL,
  PRIMARY KEY (transmitter, kind, name)
);

-- What is known of the stream of each transmitter. What it said counts until `alive_until`.
CREATE TABLE signal_streams (
  transmitter  TEXT   PRIMARY KEY,
  stream       TEXT,
  poll_url     TEXT,
  verify_every BIGINT NOT NULL DEFAULT 0,
  added_until  BIGINT NOT NULL DEFAULT 0,
  status       TEXT   NOT NULL,
  heard_at     BIGINT NOT NULL,
  event_at     BIGINT,
  verified_at  BIGINT,
  alive_until  BIGINT NOT NULL
);

-- Verifications that were asked for, by the hash of their state.
CREATE TABLE signal_checks (
  state       BYTEA  PRIMARY KEY,
  transmitter TEXT   NOT NULL,
  asked_at    BIGINT NOT NULL,
  seen_at     BIGINT
);
