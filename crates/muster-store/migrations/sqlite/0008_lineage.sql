-- A store that is put back from a copy, and a copy of it elsewhere, give the same delivery numbers again. So each opening of
-- a store numbers deliveries in a lineage of its own: no two deliveries share lineage and number, whatever was copied when.

CREATE TABLE lineage (
    lineage_no INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Random.
    id         TEXT NOT NULL UNIQUE,
    since      INTEGER NOT NULL
) STRICT;
-- What earlier versions numbered is the first lineage; sinks know it by the journal's name.
INSERT INTO lineage (id, since) SELECT value, 0 FROM meta WHERE key = 'journal_id';
DELETE FROM meta WHERE key = 'journal_id';

-- 0 is no lineage: a sink takes such a delivery for one that it has never seen.
ALTER TABLE delivery ADD COLUMN lineage_no INTEGER NOT NULL DEFAULT 0;
UPDATE delivery SET lineage_no = 1;
ALTER TABLE acknowledgement ADD COLUMN lineage_no INTEGER NOT NULL DEFAULT 1;
-- The highest delivery that the sink has acknowledged, to be held against what a sink's own files remember.
ALTER TABLE queue ADD COLUMN done_number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN done_lineage_no INTEGER NOT NULL DEFAULT 0;

-- When it was noticed that the store had been put back from a copy. `as_of` is when the copy was last marked; `owed` counts
-- the records that it owed then, `again` those accepted since that were updated before: sinks may have had all of these.
CREATE TABLE restoration (
    restoration_no INTEGER PRIMARY KEY AUTOINCREMENT,
    at             INTEGER NOT NULL,
    as_of          INTEGER,
    reason         TEXT NOT NULL,
    owed           INTEGER NOT NULL DEFAULT 0,
    again          INTEGER NOT NULL DEFAULT 0
) STRICT;
