-- Records of which the first version that was known stood in a batch that cannot be read. The version that comes in its place is
-- the first that a client of the pull API can have, whatever it says of itself: that of this batch and place, once it came.
CREATE TABLE fetched_again (
    source_no INTEGER NOT NULL,
    id        TEXT NOT NULL,
    lost_at   INTEGER NOT NULL,
    batch_no  INTEGER,
    ordinal   INTEGER,
    PRIMARY KEY (source_no, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX fetched_again_awaited ON fetched_again (source_no) WHERE batch_no IS NULL;
CREATE INDEX fetched_again_of_batch ON fetched_again (batch_no) WHERE batch_no IS NOT NULL;
CREATE TRIGGER fetched_again_goes_with_its_batch AFTER DELETE ON journal_batch
BEGIN
    DELETE FROM fetched_again WHERE batch_no = OLD.batch_no;
END;
