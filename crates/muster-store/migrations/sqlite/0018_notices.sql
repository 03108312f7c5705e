-- Notices: what people are told of, where they are.

-- Conditions that hold, or held lately. `facts` and `told` are JSON: how it is told, and which receivers were told what when.
CREATE TABLE notice_condition (
    key           TEXT PRIMARY KEY,
    kind          TEXT NOT NULL,
    tenant_no     INTEGER,
    facts         TEXT NOT NULL,
    first_seen_at INTEGER NOT NULL,
    last_seen_at  INTEGER NOT NULL,
    ended_at      INTEGER,
    returns       INTEGER NOT NULL DEFAULT 0,
    told          TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX notice_condition_of_tenant ON notice_condition (tenant_no) WHERE tenant_no IS NOT NULL;

-- Receivers of the settings, and those that were. `alerts_after` is the last journal batch whose alerts were looked at;
-- NULL where none are wanted. `stopped_at`: it wants no more, until its settings (`fingerprint`) change.
CREATE TABLE notice_receiver (
    name          TEXT PRIMARY KEY,
    fingerprint   TEXT NOT NULL,
    in_settings   INTEGER NOT NULL,
    alerts_after  INTEGER,
    alerts_since  INTEGER,
    skipped       INTEGER NOT NULL DEFAULT 0,
    untold        INTEGER NOT NULL DEFAULT 0,
    snoozed       INTEGER NOT NULL DEFAULT 0,
    old_alerts    INTEGER NOT NULL DEFAULT 0,
    sent          INTEGER NOT NULL DEFAULT 0,
    refused       INTEGER NOT NULL DEFAULT 0,
    failing_since INTEGER,
    last_error    TEXT,
    last_sent_at  INTEGER,
    last_refused_at INTEGER,
    stopped_at    INTEGER
) STRICT, WITHOUT ROWID;

-- What waits to be sent, was sent, or was refused for good (`state`). `content` is JSON; where it tells of a tenant's alert it
-- is sealed with that tenant's key instead. What was sent has neither any more.
CREATE TABLE notice_message (
    message_no INTEGER PRIMARY KEY AUTOINCREMENT,
    id         BLOB NOT NULL,
    receiver   TEXT NOT NULL,
    target     TEXT NOT NULL,
    tenant_no  INTEGER,
    event      TEXT NOT NULL,
    key        TEXT NOT NULL,
    state      TEXT NOT NULL,
    made_at    INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    settled_at INTEGER,
    content    TEXT,
    sealed     BLOB
) STRICT;
CREATE INDEX notice_message_due ON notice_message (receiver, due_at) WHERE state = 'waiting';
CREATE INDEX notice_message_settled ON notice_message (settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX notice_message_about ON notice_message (receiver, key);
CREATE INDEX notice_message_of_tenant ON notice_message (tenant_no) WHERE tenant_no IS NOT NULL;

-- What nobody is told of for a while. `*` stands for any letters in a key.
CREATE TABLE notice_snooze (
    key       TEXT PRIMARY KEY,
    tenant_no INTEGER,
    until     INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    actor     TEXT NOT NULL,
    set_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
