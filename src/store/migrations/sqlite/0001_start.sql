-- Times are milliseconds since 1970. Cookies and codes are kept as SHA-256 alone.
CREATE TABLE users (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  provider     TEXT    NOT NULL,
  subject      TEXT    NOT NULL,
  profile      TEXT    NOT NULL,
  first_seen   INTEGER NOT NULL,
  last_sign_in INTEGER NOT NULL,
  UNIQUE (provider, subject)
);

CREATE TABLE sign_ins (
  id               INTEGER PRIMARY KEY AUTOINCREMENT,
  cookie           BLOB    NOT NULL UNIQUE,
  user_id          INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  profile          TEXT    NOT NULL,
  authenticated_at INTEGER NOT NULL,
  created_at       INTEGER NOT NULL,
  last_seen        INTEGER NOT NULL,
  ends_at          INTEGER NOT NULL,
  provider_sid     TEXT,
  tokens           BLOB
);
CREATE INDEX sign_ins_user ON sign_ins (user_id);
CREATE INDEX sign_ins_ends ON sign_ins (ends_at);

CREATE TABLE app_sessions (
  cookie     BLOB    PRIMARY KEY,
  sign_in    INTEGER NOT NULL REFERENCES sign_ins (id) ON DELETE CASCADE,
  host       TEXT    NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE INDEX app_sessions_sign_in ON app_sessions (sign_in);

CREATE TABLE handoffs (
  code       BLOB    PRIMARY KEY,
  sign_in    INTEGER NOT NULL REFERENCES sign_ins (id) ON DELETE CASCADE,
  host       TEXT    NOT NULL,
  binding    BLOB    NOT NULL,
  expires_at INTEGER NOT NULL
);
CREATE INDEX handoffs_sign_in ON handoffs (sign_in);

CREATE TABLE signing_keys (
  id         TEXT    PRIMARY KEY,
  created_at INTEGER NOT NULL,
  sealed     BLOB    NOT NULL
);
