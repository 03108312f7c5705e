-- Times are nanoseconds since 1970 (UTC). `leased_until` is 0 and `lease_owner` NULL where nothing is leased.
-- Numbers of tenants, sources, lanes and batches are never reused (AUTOINCREMENT), so that what is left of a removed
-- tenant can never be taken for another's.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tenant (
    tenant_no INTEGER PRIMARY KEY AUTOINCREMENT,
    id        TEXT NOT NULL UNIQUE,
    slug      TEXT NOT NULL UNIQUE,
    name      TEXT NOT NULL,
    domain    TEXT,
    app       TEXT NOT NULL,
    state     TEXT NOT NULL,
    added_at  INTEGER NOT NULL,
    since     INTEGER NOT NULL,
    -- Sealed by the master key. Destroying it makes the tenant's journal unreadable for good.
    data_key  BLOB NOT NULL
) STRICT;
CREATE INDEX tenant_by_domain ON tenant (domain) WHERE domain IS NOT NULL;

CREATE TABLE source_state (
    source_no       INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_no       INTEGER NOT NULL REFERENCES tenant,
    source          TEXT NOT NULL,
    enabled         INTEGER NOT NULL,
    cursor          TEXT NOT NULL,
    next_at         INTEGER NOT NULL,
    leased_until    INTEGER NOT NULL DEFAULT 0,
    lease_owner     BLOB,
    fence           INTEGER NOT NULL DEFAULT 0,
    failures        INTEGER NOT NULL DEFAULT 0,
    last_error      TEXT,
    last_error_at   INTEGER,
    last_success_at INTEGER,
    accepted        INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant_no, source)
) STRICT;
CREATE INDEX source_state_due ON source_state (next_at) WHERE enabled = 1;

-- Which versions of which records are in the journal, and where. The time leads the key, so that new rows go to the
-- right edge of each source's part of the tree instead of dirtying a page each.
CREATE TABLE record_version (
    source_no  INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    id         TEXT NOT NULL,
    hash       BLOB NOT NULL,
    batch_no   INTEGER NOT NULL,
    ordinal    INTEGER NOT NULL,
    PRIMARY KEY (source_no, updated_at, id, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE journal_batch (
    batch_no     INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Random; what `sealed` is bound to, since the number is not known when it is sealed.
    batch_id     BLOB NOT NULL,
    source_no    INTEGER NOT NULL,
    records      INTEGER NOT NULL,
    body_bytes   INTEGER NOT NULL,
    accepted_at  INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,
    sealed       BLOB NOT NULL
) STRICT;
CREATE INDEX journal_batch_of_source ON journal_batch (source_no);
-- Holds what pruning and the totals ask, so that they need not walk over the sealed batches.
CREATE INDEX journal_batch_by_age ON journal_batch (accepted_at, records, stored_bytes);

-- What one tenant owes one sink, in order.
CREATE TABLE lane (
    lane_no         INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_no       INTEGER NOT NULL REFERENCES tenant,
    sink            TEXT NOT NULL,
    next_number     INTEGER NOT NULL,
    next_at         INTEGER NOT NULL,
    leased_until    INTEGER NOT NULL DEFAULT 0,
    lease_owner     BLOB,
    fence           INTEGER NOT NULL DEFAULT 0,
    failures        INTEGER NOT NULL DEFAULT 0,
    last_error      TEXT,
    last_success_at INTEGER,
    delivered       INTEGER NOT NULL DEFAULT 0,
    rejected        INTEGER NOT NULL DEFAULT 0,
    owed            INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant_no, sink)
) STRICT;
CREATE INDEX lane_due ON lane (sink, next_at) WHERE owed > 0;

CREATE TABLE delivery (
    lane_no    INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    batch_no   INTEGER NOT NULL,
    records    INTEGER NOT NULL,
    body_bytes INTEGER NOT NULL,
    owed_since INTEGER NOT NULL,
    -- Bits of the records still owed; NULL for all of the batch.
    selection  BLOB,
    PRIMARY KEY (lane_no, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_of_batch ON delivery (batch_no);

CREATE TABLE dead_letter (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Random; what `sealed` is bound to.
    letter_id    BLOB NOT NULL,
    tenant_no    INTEGER NOT NULL REFERENCES tenant,
    source       TEXT NOT NULL,
    -- NULL when it could not be read from the source, else the sink that refused it.
    sink         TEXT,
    record_id    TEXT,
    reason       TEXT NOT NULL,
    at           INTEGER NOT NULL,
    body_bytes   INTEGER NOT NULL,
    content_hash BLOB NOT NULL,
    sealed       BLOB NOT NULL
) STRICT;
CREATE INDEX dead_letter_of_tenant ON dead_letter (tenant_no);
-- A page that stays broken is kept once, however often it is read.
CREATE UNIQUE INDEX dead_letter_once ON dead_letter (tenant_no, source, content_hash) WHERE sink IS NULL;

-- What is left of removed tenants and is deleted little by little.
CREATE TABLE removed (
    kind TEXT NOT NULL,
    no   INTEGER NOT NULL,
    PRIMARY KEY (kind, no)
) STRICT, WITHOUT ROWID;
