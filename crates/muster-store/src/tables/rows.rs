//! Reading rows: words, tenants.

use muster_model::{Selection, Tenant, TenantId, TenantState};

use crate::failure::Failure;
use crate::sealing::Sealed;
use crate::sql::{Connection, Row, query};
use crate::stored::timestamp;
use crate::{InstanceId, StoreError};

/// A statement that reads tenants as [`read_tenant`] expects them.
macro_rules! select_tenant {
    ($tail:literal) => {
        concat!(
            "SELECT t.tenant_no, t.id, t.slug, t.name, t.domain, t.app, t.state, t.added_at, t.since, t.data_key, ",
            "(SELECT json_group_array(s.source) FROM source s ",
            "WHERE s.tenant_no = t.tenant_no AND s.enabled = 1) AS sources, ",
            "(SELECT json_group_array(g.tag) FROM tenant_tag g WHERE g.tenant_no = t.tenant_no) AS tags FROM tenant t ",
            $tail
        )
    };
}
pub(crate) use select_tenant;

/// A tenant as it is stored.
pub(crate) struct StoredTenant {
    pub(crate) tenant_no: i64,
    pub(crate) data_key: Sealed,
    pub(crate) tenant: Tenant,
}

pub(crate) fn read_tenant(row: &Row) -> Result<StoredTenant, sqlx::Error> {
    let (sources, tags): (String, String) = (row.try_get("sources")?, row.try_get("tags")?);
    let tenant = Tenant {
        id: parsed(row, "id")?,
        slug: parsed(row, "slug")?,
        name: row.try_get("name")?,
        domain: row
            .try_get::<Option<String>, _>("domain")?
            .map(|name| name.parse())
            .transpose()
            .map_err(odd)?,
        app: row.try_get("app")?,
        sources: serde_json::from_str(&sources).map_err(odd)?,
        tags: serde_json::from_str(&tags).map_err(odd)?,
        state: parsed(row, "state")?,
        added_at: timestamp(row.try_get("added_at")?),
        since: timestamp(row.try_get("since")?),
    };
    let data_key = Sealed::from_stored(row.try_get("data_key")?);
    Ok(StoredTenant { tenant_no: row.try_get("tenant_no")?, data_key, tenant })
}

/// A column that holds the text of a value.
pub(crate) fn parsed<T>(row: &Row, column: &str) -> Result<T, sqlx::Error>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.try_get::<String, _>(column)?.parse().map_err(odd)
}

/// A value in the database that no version of Muster wrote.
pub(crate) fn odd(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// The row of a tenant that is not offboarded.
pub(crate) struct LivingRow {
    pub(crate) tenant_no: i64,
    pub(crate) data_key: Sealed,
}

/// Finds a tenant that is not offboarded, or says that there is none.
pub(crate) async fn living(connection: &mut Connection, id: TenantId) -> Result<LivingRow, Failure> {
    let row = query("SELECT tenant_no, slug, state, data_key FROM tenant WHERE id = ?").bind(id.to_string());
    let row = row.fetch_optional(&mut *connection).await?;
    let row = row.ok_or_else(|| StoreError::NoTenant(id.to_string()))?;
    if parsed::<TenantState>(&row, "state")? == TenantState::Offboarded {
        return Err(StoreError::Offboarded(row.try_get("slug")?).into());
    }
    let data_key = Sealed::from_stored(row.try_get("data_key")?);
    Ok(LivingRow { tenant_no: row.try_get("tenant_no")?, data_key })
}

/// The one of `all` that is spelled in `column`.
pub(crate) fn word<T: Copy, const N: usize>(
    row: &Row,
    column: &str,
    all: [T; N],
    spelling: impl Fn(T) -> &'static str,
) -> Result<T, sqlx::Error> {
    let stored: String = row.try_get(column)?;
    let found = all.into_iter().find(|value| spelling(*value) == stored);
    found.ok_or_else(|| odd(std::io::Error::other(format!("`{stored}` is not known in the column {column}"))))
}

/// An instance as it is stored.
pub(crate) fn owner(instance: InstanceId) -> Vec<u8> {
    instance.0.as_bytes().to_vec()
}

/// Selections as `group_concat(coalesce(hex(selection), 'all'))` gives them: one statement reads a delivery and what is
/// waited for of it, so that nothing is settled in between.
pub(crate) fn awaited_of(listed: Option<&str>) -> Vec<Selection> {
    let bytes = |hex: &str| {
        let digits: Option<Vec<u8>> =
            hex.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
        digits
            .unwrap_or_default()
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect()
    };
    let listed = listed.into_iter().flat_map(|listed| listed.split(','));
    listed.map(|hex| if hex == "all" { Selection::All } else { Selection::Some(bytes(hex)) }).collect()
}
