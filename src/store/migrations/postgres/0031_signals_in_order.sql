-- Since when the stream has its status: what is older does not change it.
ALTER TABLE signal_streams ADD COLUMN status_at BIGINT NOT NULL DEFAULT 0;

-- Since when the claims are known to be outdated; 0 where they are not. A renewal takes back only what it found when it began.
ALTER TABLE sign_ins ADD COLUMN outdated_at BIGINT NOT NULL DEFAULT 0;

-- The last of the people, by the number of their row, of whom the transmitter was told.
ALTER TABLE signal_streams ADD COLUMN added_id BIGINT NOT NULL DEFAULT 0;
