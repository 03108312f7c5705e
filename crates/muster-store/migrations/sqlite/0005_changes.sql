-- The latest version of each record, so that the next one can be told from it: `outline` is what is remembered of it, sealed
-- by the tenant's data key. NULL where nothing is: the version came before there were outlines.
CREATE TABLE record_latest (
    source_no  INTEGER NOT NULL,
    id         TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    batch_no   INTEGER NOT NULL,
    ordinal    INTEGER NOT NULL,
    outline    BLOB,
    PRIMARY KEY (source_no, id)
) STRICT, WITHOUT ROWID;

-- With max() alone, the other columns are those of the row that has it.
INSERT INTO record_latest (source_no, id, updated_at, batch_no, ordinal)
SELECT source_no, id, updated_at, batch_no, ordinal FROM (
    SELECT source_no, id, max(updated_at) AS updated_at, batch_no, ordinal FROM record_version GROUP BY source_no, id
);
