-- The completeness ledger, what it is told from, and when each wait was set.
--
-- An hour is its number since 1970, of the records' update time; records without one are counted in hour 0.

-- When `next_at` or `leased_until` was written. Where that is later than now, the clock has stepped back, and what was set
-- is over. Waits of the version before count as set when they end, so that none of them can last.
ALTER TABLE cursor ADD COLUMN set_at INTEGER NOT NULL DEFAULT 0;
UPDATE cursor SET set_at = next_at;
CREATE INDEX cursor_by_set_at ON cursor (set_at);
ALTER TABLE queue ADD COLUMN set_at INTEGER NOT NULL DEFAULT 0;
UPDATE queue SET set_at = next_at;
CREATE INDEX queue_by_set_at ON queue (sink, set_at);
ALTER TABLE lease ADD COLUMN set_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delegated_grant ADD COLUMN set_at INTEGER NOT NULL DEFAULT 0;

-- What the live cursor of a source learns when it is leased the next time, as JSON.
CREATE TABLE cursor_note (
    note_no   INTEGER PRIMARY KEY AUTOINCREMENT,
    source_no INTEGER NOT NULL,
    note      TEXT NOT NULL
) STRICT;
CREATE INDEX cursor_note_of_source ON cursor_note (source_no);

CREATE TABLE ledger (
    source_no        INTEGER NOT NULL,
    hour             INTEGER NOT NULL,
    new              INTEGER NOT NULL DEFAULT 0,
    seen_again       INTEGER NOT NULL DEFAULT 0,
    late             INTEGER NOT NULL DEFAULT 0,
    late_seconds_max INTEGER NOT NULL DEFAULT 0,
    healed           INTEGER NOT NULL DEFAULT 0,
    unrouted         INTEGER NOT NULL DEFAULT 0,
    source_count     INTEGER,
    counted_at       INTEGER,
    reopened_at      INTEGER,
    changed_at       INTEGER NOT NULL,
    PRIMARY KEY (source_no, hour)
) STRICT, WITHOUT ROWID;

-- `owed` is all that the sink was to have, whether it had it since or not.
CREATE TABLE ledger_sink (
    source_no INTEGER NOT NULL,
    hour      INTEGER NOT NULL,
    sink      TEXT NOT NULL,
    owed      INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    rejected  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (source_no, hour, sink)
) STRICT, WITHOUT ROWID;

-- Spans of update times that a sweep has read whole, which began at `as_of`. They do not overlap.
CREATE TABLE coverage (
    source_no INTEGER NOT NULL,
    from_at   INTEGER NOT NULL,
    to_at     INTEGER NOT NULL,
    as_of     INTEGER NOT NULL,
    PRIMARY KEY (source_no, from_at)
) STRICT, WITHOUT ROWID;

-- What sinks answered about the records of a batch. `selection` has bits as `delivery.selection` has.
CREATE TABLE acknowledgement (
    batch_no  INTEGER NOT NULL,
    sink      TEXT NOT NULL,
    number    INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    outcome   TEXT NOT NULL,
    records   INTEGER NOT NULL,
    selection BLOB,
    PRIMARY KEY (batch_no, sink, number, at, outcome)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER acknowledgement_goes_with_its_batch AFTER DELETE ON journal_batch
BEGIN
    DELETE FROM acknowledgement WHERE batch_no = OLD.batch_no;
END;

-- Microsoft's name for the request that brought the batch; and which routes took which of its records, as a JSON object of
-- hexadecimal bits, null for all.
ALTER TABLE journal_batch ADD COLUMN request_id TEXT;
ALTER TABLE journal_batch ADD COLUMN routes TEXT;

-- Up to which number batches had been accepted at a time, so that it is known of a batch that is gone how old it was at least.
CREATE TABLE journal_mark (
    at       INTEGER PRIMARY KEY,
    batch_no INTEGER NOT NULL
) STRICT;
INSERT INTO journal_mark (at, batch_no)
SELECT max(accepted_at), max(batch_no) FROM journal_batch HAVING count(*) > 0;
