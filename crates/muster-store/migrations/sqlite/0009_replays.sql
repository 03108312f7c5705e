-- What no route took, and what is brought to sinks once more.

-- Which records of a batch no sink was ever to have. The row outlives its batch (`gone`), so that it stays known what never
-- arrived anywhere, until it is fetched again or its versions are forgotten.
CREATE TABLE unrouted (
    batch_no      INTEGER PRIMARY KEY,
    source_no     INTEGER NOT NULL,
    records       INTEGER NOT NULL,
    -- Of how many in the batch.
    batch_records INTEGER NOT NULL,
    -- Bits as `delivery.selection` has.
    selection     BLOB,
    -- Whether a route serves the tenant and the source, and left these out for their severity.
    by_severity   INTEGER NOT NULL,
    accepted_at   INTEGER NOT NULL,
    -- The least and the greatest update time among them at first.
    first_at      INTEGER NOT NULL,
    last_at       INTEGER NOT NULL,
    gone          INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX unrouted_of_source ON unrouted (source_no);
CREATE TRIGGER unrouted_outlives_its_batch AFTER DELETE ON journal_batch
BEGIN
    UPDATE unrouted SET gone = 1 WHERE batch_no = OLD.batch_no;
END;

-- What a sink is owed once more. It becomes deliveries little by little, so that what comes live never waits long behind it.
CREATE TABLE replay (
    queue_no   INTEGER NOT NULL,
    batch_no   INTEGER NOT NULL,
    records    INTEGER NOT NULL,
    body_bytes INTEGER NOT NULL,
    owed_since INTEGER NOT NULL,
    selection  BLOB,
    PRIMARY KEY (queue_no, batch_no)
) STRICT, WITHOUT ROWID;
CREATE INDEX replay_of_batch ON replay (batch_no);
ALTER TABLE delivery ADD COLUMN replayed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX delivery_replayed ON delivery (queue_no) WHERE replayed = 1;

-- Up to when batches had been accepted that were pruned.
ALTER TABLE source ADD COLUMN pruned_up_to INTEGER;

-- What sinks answered is known of batches behind this one: before the ledger came, it was not kept.
INSERT INTO meta (key, value)
SELECT 'answers_known_after', coalesce(max(batch_no), 0) FROM journal_batch
WHERE accepted_at < coalesce((SELECT min(changed_at) FROM ledger), 9223372036854775807);

-- Of the batches behind it, those of which no sink has or is owed anything. What is left of others cannot be told here.
INSERT INTO unrouted (batch_no, source_no, records, batch_records, by_severity, accepted_at, first_at, last_at)
SELECT b.batch_no, b.source_no, b.records, b.records, 0, b.accepted_at, v.first_at, v.last_at
FROM journal_batch b JOIN (
    SELECT batch_no, min(updated_at) AS first_at, max(updated_at) AS last_at FROM record_version GROUP BY batch_no
) v ON v.batch_no = b.batch_no
WHERE b.batch_no > (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'answers_known_after')
    AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.batch_no = b.batch_no)
    AND NOT EXISTS (SELECT 1 FROM acknowledgement a WHERE a.batch_no = b.batch_no);
