-- Times are milliseconds since 1970. Cookies and codes are kept as SHA-256 alone.
CREATE TABLE users (
  id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  provider     TEXT   NOT NULL,
  subject      TEXT   NOT NULL,
  profile      TEXT   NOT NULL,
  first_seen   BIGINT NOT NULL,
  last_sign_in BIGINT NOT NULL,
  UNIQUE (provider, subject)
);

CREATE TABLE sign_ins (
  id               BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  cookie           BYTEA  NOT NULL UNIQUE,
  user_id          BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  profile          TEXT   NOT NULL,
  authenticated_at BIGINT NOT NULL,
  created_at       BIGINT NOT NULL,
  last_seen        BIGINT NOT NULL,
  ends_at          BIGINT NOT NULL,
  provider_sid     TEXT,
  tokens           BYTEA
);
CREATE INDEX sign_ins_user ON sign_ins (user_id);
CREATE INDEX sign_ins_ends ON sign_ins (ends_at);

CREATE TABLE app_sessions (
  cookie     BYTEA  PRIMARY KEY,
  sign_in    BIGINT NOT NULL REFERENCES sign_ins (id) ON DELETE CASCADE,
  host       TEXT   NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX app_sessions_sign_in ON app_sessions (sign_in);

CREATE TABLE handoffs (
  code       BYTEA  PRIMARY KEY,
  sign_in    BIGINT NOT NULL REFERENCES sign_ins (id) ON DELETE CASCADE,
  host       TEXT   NOT NULL,
  binding    BYTEA  NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX handoffs_sign_in ON handoffs (sign_in);

CREATE TABLE signing_keys (
  id         TEXT   PRIMARY KEY,
  created_at BIGINT NOT NULL,
  sealed     BYTEA  NOT NULL
);
