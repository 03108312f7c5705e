-- What tenants are grouped by, for routes.
CREATE TABLE tenant_tag (
    tenant_no INTEGER NOT NULL REFERENCES tenant,
    tag       TEXT NOT NULL,
    PRIMARY KEY (tenant_no, tag)
) STRICT, WITHOUT ROWID;

-- A route can ask for more than a severity.
ALTER TABLE unrouted RENAME COLUMN by_severity TO filtered;
