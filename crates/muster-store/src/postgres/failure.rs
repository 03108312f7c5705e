//! What PostgreSQL says, put into the words of [`StoreError`].

use crate::StoreError;
use crate::sql::is_cut;

/// `error` in words. The codes are those of <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
pub(crate) fn worded(error: &sqlx::Error, store: &str, doing: &'static str) -> StoreError {
    let store = store.to_owned();
    let sqlx::Error::Database(said) = error else {
        let detail = error.to_string();
        return match error {
            sqlx::Error::PoolTimedOut => StoreError::Unreachable {
                store,
                detail: "no connection was free or could be made in time".to_owned(),
            },
            sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => StoreError::Unreachable { store, detail },
            other if is_cut(other) => StoreError::Unreachable { store, detail },
            _ => StoreError::Database { doing, detail },
        };
    };
    let detail = said.message().to_owned();
    match said.code().as_deref().unwrap_or_default() {
        "53100" => StoreError::DiskFull { store },
        "58030" => StoreError::DiskFails { store, detail },
        // A standby, or a database that was set to be read only.
        "25006" => StoreError::ReadOnly { store, detail },
        "55P03" => StoreError::Locked { store },
        "XX001" | "XX002" => StoreError::Damaged { store, detail },
        "26000" | "42P05" => StoreError::Unreachable {
            store,
            detail: format!(
                "{detail}: is a pooler in `statement` mode in between? Muster needs `transaction` or `session`"
            ),
        },
        "28000" | "28P01" | "3D000" | "42501" | "53300" => StoreError::Refused { store, detail },
        "57014" => StoreError::Slow { store, doing },
        code if code.starts_with("08") || code.starts_with("57P") || code == "25P03" => {
            StoreError::Unreachable { store, detail }
        }
        _ => StoreError::Database { doing, detail },
    }
}
