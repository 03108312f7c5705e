-- What bounds the journal: its size, at hand without adding it up, and what sinks were owed and are never to have.
CREATE TABLE journal_size (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    bytes    INTEGER NOT NULL
) STRICT;
INSERT INTO journal_size (only_row, bytes) SELECT 1, coalesce(sum(stored_bytes), 0) FROM journal_batch;
CREATE TRIGGER journal_size_grows AFTER INSERT ON journal_batch
BEGIN
    UPDATE journal_size SET bytes = bytes + NEW.stored_bytes WHERE only_row = 1;
END;
CREATE TRIGGER journal_size_shrinks AFTER DELETE ON journal_batch
BEGIN
    UPDATE journal_size SET bytes = bytes - OLD.stored_bytes WHERE only_row = 1;
END;

-- Records that were given up because the journal was full. What a shadow does without is not among them: it was not to have that.
ALTER TABLE ledger_sink ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN given_up_at INTEGER;
