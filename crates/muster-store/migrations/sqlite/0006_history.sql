-- What the next version of a record is told from is the version before, in the journal. So that it is found, versions are
-- found by their record too; that is also how a record is traced without asking whose it is. What is written with each
-- version is where it stood, which outlives its body: a digit for whether it was worked on, and the incident's id.
ALTER TABLE record_version ADD COLUMN stage TEXT;
-- The condition holds for every row. It keeps the index, whose order is random, from questions that do not ask for it: those
-- are answered by the key, whose last pages are the ones that are read anyway.
CREATE INDEX record_version_of_record ON record_version (source_no, id) WHERE ordinal >= 0;

-- Between which update times versions have been forgotten. A record that is not known, and may have had a version there, may
-- have been known once.
ALTER TABLE source ADD COLUMN forgotten_from INTEGER;
ALTER TABLE source ADD COLUMN forgotten_to INTEGER;
UPDATE source SET (forgotten_from, forgotten_to) = (
    SELECT min(l.updated_at), max(l.updated_at) FROM record_latest l WHERE l.source_no = source.source_no
        AND NOT EXISTS (SELECT 1 FROM record_version v WHERE v.source_no = l.source_no AND v.id = l.id)
);
DROP TABLE record_latest;
