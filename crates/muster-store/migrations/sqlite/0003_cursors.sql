-- A source is read for several purposes, each with a cursor of its own: `source` keeps what is the source's, `cursor` what
-- is a purpose's. What one tenant owes one sink is a *queue*. What one process at a time may do is leased by name.

CREATE TABLE cursor (
    cursor_no       INTEGER PRIMARY KEY AUTOINCREMENT,
    source_no       INTEGER NOT NULL REFERENCES source_state,
    purpose         TEXT NOT NULL,
    cursor          TEXT NOT NULL,
    next_at         INTEGER NOT NULL,
    leased_until    INTEGER NOT NULL DEFAULT 0,
    lease_owner     BLOB,
    -- Begins anew with each row, far above any that an earlier row for the same purpose can have reached.
    fence           INTEGER NOT NULL DEFAULT 0,
    failures        INTEGER NOT NULL DEFAULT 0,
    last_error      TEXT,
    last_error_at   INTEGER,
    last_success_at INTEGER,
    UNIQUE (source_no, purpose)
) STRICT;
CREATE INDEX cursor_due ON cursor (next_at);

INSERT INTO cursor (source_no, purpose, cursor, next_at, leased_until, lease_owner, fence, failures, last_error,
    last_error_at, last_success_at)
SELECT source_no, 'live', cursor, next_at, leased_until, lease_owner, fence, failures, last_error, last_error_at,
    last_success_at FROM source_state ORDER BY source_no;

DROP INDEX source_state_due;
ALTER TABLE source_state DROP COLUMN cursor;
ALTER TABLE source_state DROP COLUMN next_at;
ALTER TABLE source_state DROP COLUMN leased_until;
ALTER TABLE source_state DROP COLUMN lease_owner;
ALTER TABLE source_state DROP COLUMN fence;
ALTER TABLE source_state DROP COLUMN failures;
ALTER TABLE source_state DROP COLUMN last_error;
ALTER TABLE source_state DROP COLUMN last_error_at;
ALTER TABLE source_state DROP COLUMN last_success_at;
ALTER TABLE source_state RENAME TO source;

DROP INDEX lane_due;
ALTER TABLE lane RENAME TO queue;
ALTER TABLE queue RENAME COLUMN lane_no TO queue_no;
ALTER TABLE delivery RENAME COLUMN lane_no TO queue_no;
CREATE INDEX queue_due ON queue (sink, next_at) WHERE owed > 0;
UPDATE removed SET kind = 'queue' WHERE kind = 'lane';

CREATE TABLE lease (
    name         TEXT PRIMARY KEY,
    leased_until INTEGER NOT NULL,
    lease_owner  BLOB NOT NULL,
    fence        INTEGER NOT NULL,
    -- Whether the holder also locks the lease's file; where that is not locked any more, it has died.
    guarded      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
