-- What directories have told of people (SCIM). `name` is userName or displayName in lower case; `entry` is what decisions read of a
-- user; `body` is all that was told.
CREATE TABLE directory (
  id           TEXT   NOT NULL PRIMARY KEY,
  provider     TEXT   NOT NULL,
  kind         TEXT   NOT NULL,
  name         TEXT   NOT NULL,
  shown        TEXT   NOT NULL,
  external_id  TEXT,
  user_mail    TEXT,
  primary_mail TEXT,
  entry        TEXT   NOT NULL,
  body         TEXT   NOT NULL,
  version      BIGINT NOT NULL,
  created_at   BIGINT NOT NULL,
  modified_at  BIGINT NOT NULL,
  UNIQUE (provider, kind, name)
);
CREATE INDEX directory_order ON directory (provider, kind, id);
CREATE INDEX directory_external_id ON directory (provider, external_id);
CREATE INDEX directory_user_mail ON directory (provider, user_mail);
CREATE INDEX directory_primary_mail ON directory (provider, primary_mail);

CREATE TABLE directory_members (
  group_id TEXT NOT NULL REFERENCES directory (id) ON DELETE CASCADE,
  user_id  TEXT NOT NULL REFERENCES directory (id) ON DELETE CASCADE,
  PRIMARY KEY (group_id, user_id)
);
CREATE INDEX directory_members_user ON directory_members (user_id);

-- Users that were deleted: whoever they were is refused for as long as nobody makes them anew.
CREATE TABLE directory_deleted (
  id           TEXT   NOT NULL PRIMARY KEY,
  provider     TEXT   NOT NULL,
  name         TEXT   NOT NULL,
  external_id  TEXT,
  user_mail    TEXT,
  primary_mail TEXT,
  deleted_at   BIGINT NOT NULL
);
CREATE INDEX directory_deleted_name ON directory_deleted (provider, name);
CREATE INDEX directory_deleted_external_id ON directory_deleted (provider, external_id);
CREATE INDEX directory_deleted_user_mail ON directory_deleted (provider, user_mail);
CREATE INDEX directory_deleted_primary_mail ON directory_deleted (provider, primary_mail);
