-- What is still to be told to those who want to know, one row for each of them.
CREATE TABLE notices (
  id         TEXT   PRIMARY KEY,
  webhook    TEXT   NOT NULL,
  body       TEXT   NOT NULL,
  created_at BIGINT NOT NULL,
  due_at     BIGINT NOT NULL,
  attempts   BIGINT NOT NULL
);
CREATE INDEX notices_due ON notices (webhook, due_at);
