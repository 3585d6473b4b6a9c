-- Whom a directory user was found to be, and what it was found by before it was changed: as long as it is not active, or was deleted,
-- whoever it was is refused, whatever they are called now. `kind` is subject, external_id or email.
CREATE TABLE directory_ties (
  entry    TEXT NOT NULL,
  provider TEXT NOT NULL,
  kind     TEXT NOT NULL,
  value    TEXT NOT NULL,
  PRIMARY KEY (entry, kind, value)
);
CREATE INDEX directory_ties_value ON directory_ties (provider, kind, value);
