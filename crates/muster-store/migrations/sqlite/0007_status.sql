-- What `status` tells: whether anything runs, when something new last came, when a sink last refused something.

-- A `muster run`, in the order of their starts. `stopped_at` is NULL unless it stopped of its own will; `troubles` are the parts
-- of it that do not work, as JSON.
CREATE TABLE heartbeat (
    heartbeat_no INTEGER PRIMARY KEY AUTOINCREMENT,
    instance     BLOB NOT NULL UNIQUE,
    host         TEXT NOT NULL,
    pid          INTEGER NOT NULL,
    version      TEXT NOT NULL,
    started_at   INTEGER NOT NULL,
    beat_at      INTEGER NOT NULL,
    stopped_at   INTEGER,
    troubles     TEXT NOT NULL
) STRICT;

-- When a record version of the source was last accepted. Of batches that are pruned nothing is known any more.
ALTER TABLE source ADD COLUMN last_new_at INTEGER;
UPDATE source SET last_new_at = (SELECT accepted_at FROM journal_batch b WHERE b.source_no = source.source_no
    ORDER BY batch_no DESC LIMIT 1);

-- When the sink last refused a record of the queue for good.
ALTER TABLE queue ADD COLUMN last_rejected_at INTEGER;

-- So that what a sink refused is added up without walking over all letters.
CREATE INDEX dead_letter_of_sink ON dead_letter (sink) WHERE sink IS NOT NULL;
