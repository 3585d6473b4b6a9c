-- With the kind in front, an order by ids is never the better index: a person is looked up, and the directory not gone through.
DROP INDEX directory_external_id;
DROP INDEX directory_user_mail;
DROP INDEX directory_primary_mail;
CREATE INDEX directory_external_id ON directory (provider, kind, external_id, id);
CREATE INDEX directory_user_mail ON directory (provider, kind, user_mail);
CREATE INDEX directory_primary_mail ON directory (provider, kind, primary_mail);
