-- Identity: invitations, sign-ins under way, people's grants, the credentials that Muster made, what checks found, and
-- the audit log. `meta` gains `signing_key` (sealed by the master key, Base64) and `audit_head` (number, hash and tag of
-- the last audit event), which are made together with these tables.

CREATE TABLE invitation (
    invitation_no INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE,
    tenant_no     INTEGER NOT NULL REFERENCES tenant,
    language      TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    opened_at     INTEGER,
    used_at       INTEGER,
    revoked_at    INTEGER
) STRICT;
CREATE INDEX invitation_of_tenant ON invitation (tenant_no);

CREATE TABLE sign_in (
    -- Rises, so that the oldest can be told.
    sign_in_no   INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    tenant_no    INTEGER NOT NULL REFERENCES tenant,
    app          TEXT NOT NULL,
    kind         TEXT NOT NULL,
    invitation   TEXT,
    redirect_uri TEXT NOT NULL,
    resource     TEXT NOT NULL,
    nonce        TEXT NOT NULL,
    -- Sealed by the tenant's data key.
    verifier     BLOB NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX sign_in_of_tenant ON sign_in (tenant_no);
CREATE INDEX sign_in_by_end ON sign_in (expires_at);

CREATE TABLE delegated_grant (
    grant_no      INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_no     INTEGER NOT NULL REFERENCES tenant,
    app           TEXT NOT NULL,
    account       TEXT NOT NULL,
    resource      TEXT NOT NULL,
    granted_at    INTEGER NOT NULL,
    renewed_at    INTEGER NOT NULL,
    expires_at    INTEGER,
    last_error    TEXT,
    revoked_at    INTEGER,
    leased_until  INTEGER NOT NULL DEFAULT 0,
    lease_owner   BLOB,
    -- Begins anew with each row, far above any that an earlier row of the same tenant and app can have reached.
    fence         INTEGER NOT NULL,
    -- Sealed by the tenant's data key; empty once the grant is dead.
    refresh_token BLOB NOT NULL,
    UNIQUE (tenant_no, app)
) STRICT;

CREATE TABLE app_credential (
    app        TEXT NOT NULL,
    slot       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    key_id     TEXT NOT NULL,
    not_after  INTEGER,
    created_at INTEGER NOT NULL,
    -- Sealed by the master key, bound to all the other columns.
    value      BLOB NOT NULL,
    PRIMARY KEY (app, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE tenant_check (
    tenant_no  INTEGER NOT NULL REFERENCES tenant,
    name       TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    code       TEXT NOT NULL,
    detail     TEXT NOT NULL,
    remedy     TEXT NOT NULL,
    checked_at INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (tenant_no, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE app_check (
    app        TEXT NOT NULL,
    name       TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    code       TEXT NOT NULL,
    detail     TEXT NOT NULL,
    remedy     TEXT NOT NULL,
    checked_at INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (app, name)
) STRICT, WITHOUT ROWID;

-- Outlives the tenants that it tells of. The hash is keyed by the signing key and covers the row and the hash before it.
CREATE TABLE audit_event (
    number   INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    details  TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash     TEXT NOT NULL
) STRICT;

-- Against mistakes; against ill will there are the hashes.
CREATE TRIGGER audit_event_is_not_changed BEFORE UPDATE ON audit_event
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only appended to');
END;
CREATE TRIGGER audit_event_is_not_deleted BEFORE DELETE ON audit_event
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only appended to');
END;
-- INSERT OR REPLACE deletes without asking the trigger above.
CREATE TRIGGER audit_event_is_appended BEFORE INSERT ON audit_event
WHEN NEW.number <= (SELECT max(number) FROM audit_event)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only appended to');
END;
