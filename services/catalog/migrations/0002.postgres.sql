-- What an item was when it vanished, so that it goes on from there when it comes back.
ALTER TABLE catalog_removed ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE catalog_removed ADD COLUMN first_seen_us BIGINT NOT NULL DEFAULT 0;
ALTER TABLE catalog_removed ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
