-- Programs that ask for a tenant's detections as of the retired SIEM API.
CREATE TABLE pull_client (
    client_no    INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    tenant_no    INTEGER NOT NULL REFERENCES tenant,
    name         TEXT NOT NULL,
    -- A JSON array.
    sources      TEXT NOT NULL,
    updates      INTEGER NOT NULL,
    -- SHA-256 of what it proves itself by.
    secret_hash  BLOB NOT NULL,
    refresh_hash BLOB NOT NULL,
    added_at     INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    revoked_at   INTEGER,
    asked_at     INTEGER
) STRICT;
CREATE INDEX pull_client_of_tenant ON pull_client (tenant_no);

-- The last time of processing that a record of the tenant got, or that a client was promised to see nothing new before.
-- Not in the tenant's own row: that holds its sealed key, and what is written anew leaves traces of what was there.
CREATE TABLE processed (
    tenant_no    INTEGER PRIMARY KEY REFERENCES tenant,
    processed_at INTEGER NOT NULL
) STRICT;
-- The first record's; each other's is 100 ns after the one's before it. NULL for what was accepted before this came.
ALTER TABLE journal_batch ADD COLUMN processed_from INTEGER;
CREATE INDEX journal_batch_processed ON journal_batch (source_no, processed_from) WHERE processed_from IS NOT NULL;
