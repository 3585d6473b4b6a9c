-- What is still to be told to those who want to know, one row for each of them.
CREATE TABLE notices (
  id         TEXT   PRIMARY KEY,
  webhook    TEXT   NOT NULL,
  body       TEXT   NOT NULL,
  created_at INTEGER NOT NULL,
  due_at     INTEGER NOT NULL,
  attempts   INTEGER NOT NULL
);
CREATE INDEX notices_due ON notices (webhook, due_at);
