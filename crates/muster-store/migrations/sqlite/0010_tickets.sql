-- What receivers handed out for requests that they answered. They are asked for it until they say that what was in the
-- request is stored; meanwhile its records are owed, but not sent again.
CREATE TABLE ticket (
    ticket_no INTEGER PRIMARY KEY AUTOINCREMENT,
    queue_no  INTEGER NOT NULL,
    endpoint  TEXT NOT NULL,
    channel   TEXT NOT NULL,
    -- As text: it may need all 64 bits, and one of SQLite's is the sign.
    ack_id    TEXT NOT NULL,
    digest    BLOB NOT NULL,
    kept_at   INTEGER NOT NULL,
    -- Random; what `cookies` is bound to, sealed by the tenant's data key.
    ticket_id BLOB NOT NULL,
    cookies   BLOB
) STRICT;
CREATE INDEX ticket_of_queue ON ticket (queue_no);

-- Which records of which deliveries were in the request.
CREATE TABLE ticket_record (
    queue_no      INTEGER NOT NULL,
    number        INTEGER NOT NULL,
    ticket_no     INTEGER NOT NULL,
    batch_records INTEGER NOT NULL,
    -- NULL for all of the batch.
    selection     BLOB,
    -- The hour of update of each of them, as JSON, since the batch is not read again when they are confirmed.
    hours         TEXT NOT NULL,
    PRIMARY KEY (queue_no, number, ticket_no)
) STRICT, WITHOUT ROWID;
CREATE INDEX ticket_record_of_ticket ON ticket_record (ticket_no);

-- Of what is owed, how many records are waited for, and in how many requests they went.
ALTER TABLE delivery ADD COLUMN awaited INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN awaited INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN tickets INTEGER NOT NULL DEFAULT 0;
DROP INDEX queue_due;
CREATE INDEX queue_due ON queue (sink, next_at) WHERE owed > awaited;
