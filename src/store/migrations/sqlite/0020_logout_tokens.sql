-- Logout tokens that have been taken, so that none is taken twice while it would still count.
CREATE TABLE logout_tokens (
  token      BLOB    PRIMARY KEY,
  expires_at INTEGER NOT NULL
);
CREATE INDEX sign_ins_provider_sid ON sign_ins (provider_sid);
