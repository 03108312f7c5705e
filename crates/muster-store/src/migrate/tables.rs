//! The tables of a store: copied in batches, counted, and hashed.

use super::side::Side;
use super::step::MoveStep;
use crate::StoreError;
use crate::sql::{Connection, Query, Row, Value, keepable, query};
use crate::tables::meta::{MOVED_TO, MOVING_FROM, MOVING_TO};

/// Rows in one transaction.
const ROWS: usize = 200;
/// Of those with a batch of records in each.
const LARGE_ROWS: usize = 32;
/// What an engine, or a move, keeps for itself among the values of the store.
const OWN_KEYS: [&str; 8] = [
    "opening",
    "opened",
    "marked_at",
    "partition_span",
    "partitions_since",
    MOVING_TO,
    MOVED_TO,
    MOVING_FROM,
];
/// Those of them that are good wherever the store is, and wanted when it comes back.
const CARRIED_KEYS: [&str; 2] = ["partition_span", "partitions_since"];

/// A table as both engines have it.
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// The columns of its primary key.
    key: Vec<usize>,
}

pub(super) struct Column {
    pub(super) name: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Text,
    Bytes,
}

/// What a table holds: how many rows, and a hash of them. The hashes of the rows are added up, since texts with the character 0
/// have other places in the order of PostgreSQL, which keeps another character instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Digest {
    pub(super) rows: u64,
    sum: u128,
}

impl Digest {
    pub(super) fn hash(self) -> String {
        format!("{:032x}", self.sum)
    }
}

impl Table {
    /// Whether a new store has rows in it.
    pub(super) fn is_the_stores_own(&self) -> bool {
        matches!(self.name.as_str(), "meta" | "journal_size")
    }

    fn sorted_columns(&self) -> Vec<String> {
        let mut names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        names.sort();
        names
    }

    fn names(&self, of: impl Iterator<Item = usize>) -> String {
        of.map(|index| self.columns[index].name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn all_names(&self) -> String {
        self.names(0..self.columns.len())
    }

    fn key_names(&self) -> String {
        self.names(self.key.iter().copied())
    }

    fn rows_at_once(&self) -> usize {
        match self.columns.iter().any(|column| column.name == "sealed") {
            true => LARGE_ROWS,
            false => ROWS,
        }
    }

    fn key_of(&self, row: &[Value<'static>]) -> Vec<Value<'static>> {
        self.key.iter().map(|index| row[*index].clone()).collect()
    }

    /// The rows behind `after` in the order of the key.
    async fn read(
        &self,
        connection: &mut Connection,
        after: Option<&[Value<'static>]>,
    ) -> Result<Vec<Vec<Value<'static>>>, sqlx::Error> {
        let (table, columns, key) = (&self.name, self.all_names(), self.key_names());
        let beyond = match after {
            None => String::new(),
            Some(_) => format!("WHERE ({key}) > ({})", marks(self.key.len())),
        };
        let mut select = Query::of(format!(
            "SELECT {columns} FROM {table} {beyond} ORDER BY {key} LIMIT {}",
            self.rows_at_once()
        ));
        for value in after.into_iter().flatten() {
            select = select.bind(value.clone());
        }
        let rows = select.fetch_all(&mut *connection).await?;
        rows.iter().map(|row| self.values(row)).collect()
    }

    fn values(&self, row: &Row) -> Result<Vec<Value<'static>>, sqlx::Error> {
        let value = |(index, column): (usize, &Column)| {
            Ok(match column.kind {
                Kind::Integer => Value::Integer(row.try_get(index)?),
                Kind::Text => Value::Text(row.try_get::<Option<String>, _>(index)?.map(Into::into)),
                Kind::Bytes => Value::Bytes(row.try_get::<Option<Vec<u8>>, _>(index)?.map(Into::into)),
            })
        };
        self.columns.iter().enumerate().map(value).collect()
    }

    /// Whether a row is copied, and compared.
    fn is_of_the_store(&self, row: &[Value<'static>], carried: bool) -> bool {
        let Some(Value::Text(Some(key))) = row.first().filter(|_| self.name == "meta") else { return true };
        !OWN_KEYS.contains(&&**key) || carried && CARRIED_KEYS.contains(&&**key)
    }
}

/// All tables that both engines have, as SQLite tells them; those first that others refer to.
pub(super) async fn all(sqlite: &mut Side) -> Result<Vec<Table>, StoreError> {
    sqlite
        .read(async |connection| {
            let names = query(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'
                 ORDER BY name <> 'tenant', name <> 'source', name",
            );
            let mut tables = Vec::new();
            for row in names.fetch_all(&mut *connection).await? {
                tables.push(table(connection, row.try_get(0)?).await?);
            }
            Ok(tables)
        })
        .await
}

async fn table(connection: &mut Connection, name: String) -> Result<Table, sqlx::Error> {
    let found = query("SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid").bind(&name);
    let (mut columns, mut key) = (Vec::new(), Vec::new());
    for (index, row) in found.fetch_all(&mut *connection).await?.iter().enumerate() {
        let kind = match row.try_get::<String, _>(1)?.as_str() {
            "INTEGER" => Kind::Integer,
            "TEXT" => Kind::Text,
            _ => Kind::Bytes,
        };
        columns.push(Column { name: row.try_get(0)?, kind });
        let place: i64 = row.try_get(2)?;
        if place > 0 {
            key.push((place, index));
        }
    }
    key.sort_unstable();
    Ok(Table { name, columns, key: key.into_iter().map(|(_, index)| index).collect() })
}

/// Refuses a store whose tables have other columns: then something would be left behind.
pub(super) async fn check_same(side: &mut Side, tables: &[Table]) -> Result<(), StoreError> {
    for table in tables {
        if side.columns_of(&table.name).await? != table.sorted_columns() {
            return Err(StoreError::NotMoved(format!(
                "`{}` has other columns at {}",
                table.name, side.shown
            )));
        }
    }
    Ok(())
}

pub(super) async fn count(side: &mut Side, table: &Table) -> Result<u64, StoreError> {
    let counted = Query::of(format!("SELECT count(*) FROM {}", table.name));
    side.read(async |connection| counted.fetch_one(&mut *connection).await?.try_get::<i64, _>(0))
        .await
        .map(i64::unsigned_abs)
}

/// Copies what the target has not of a table; how many rows it had.
pub(super) async fn copy(
    source: &mut Side,
    target: &mut Side,
    table: &Table,
    told: &mut (dyn for<'a> FnMut(MoveStep<'a>) + Send),
) -> Result<u64, StoreError> {
    let of = count(source, table).await?;
    let before = match table.is_the_stores_own() {
        true => 0,
        false => count(target, table).await?,
    };
    let (mut done, mut after) = (before, last_of(source, table, before).await?);
    loop {
        told(MoveStep::Copying(&table.name, done, of));
        let rows = source.read(async |connection| table.read(connection, after.as_deref()).await).await?;
        let Some(last) = rows.last() else { return Ok(before) };
        after = Some(table.key_of(last));
        done += rows.len() as u64;
        let rows: Vec<_> = rows.into_iter().filter(|row| table.is_of_the_store(row, true)).collect();
        target
            .write(async |connection| {
                if table.name == "journal_batch" && connection.is_postgres() {
                    make_partitions(connection, table, &rows).await?;
                }
                write(connection, table, rows).await
            })
            .await?;
    }
}

/// The key of the last row that has arrived, where any has.
async fn last_of(
    source: &mut Side,
    table: &Table,
    arrived: u64,
) -> Result<Option<Vec<Value<'static>>>, StoreError> {
    let Some(before) = arrived.checked_sub(1) else { return Ok(None) };
    let (columns, key) = (table.all_names(), table.key_names());
    let last =
        Query::of(format!("SELECT {columns} FROM {} ORDER BY {key} LIMIT 1 OFFSET {before}", table.name));
    let found = source.read(async |connection| {
        let row = last.fetch_optional(&mut *connection).await?;
        row.map(|row| table.values(&row)).transpose()
    });
    let Some(row) = found.await? else {
        let more = format!("`{}` has more rows in the target than where they come from", table.name);
        return Err(StoreError::NotMoved(more));
    };
    Ok(Some(table.key_of(&row)))
}

async fn write(
    connection: &mut Connection,
    table: &Table,
    rows: Vec<Vec<Value<'static>>>,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let one = format!("({})", marks(table.columns.len()));
    let all = vec![one.as_str(); rows.len()].join(", ");
    // What a new store begins with is replaced.
    let replacing = match table.is_the_stores_own() {
        true => format!(
            " ON CONFLICT ({}) DO UPDATE SET {}",
            table.key_names(),
            table
                .columns
                .iter()
                .map(|c| format!("{0} = excluded.{0}", c.name))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        false => String::new(),
    };
    let (name, columns) = (&table.name, table.all_names());
    let mut insert = Query::of(format!("INSERT INTO {name} ({columns}) VALUES {all}{replacing}"));
    for value in rows.into_iter().flatten() {
        insert = insert.bind(match value {
            // The hash of an event is of its details as they are.
            Value::Text(text) if name == "audit_event" => Value::Exact(text),
            value => value,
        });
    }
    insert.execute(&mut *connection).await.map(drop)
}

/// Makes the partitions that these batches fall into.
async fn make_partitions(
    connection: &mut Connection,
    table: &Table,
    rows: &[Vec<Value<'static>>],
) -> Result<(), sqlx::Error> {
    let number = |row: &Vec<Value<'static>>| match row[table.key[0]] {
        Value::Integer(Some(number)) => number,
        _ => 0,
    };
    let mut made = None;
    for number in rows.iter().map(number) {
        if made.replace(number >> 24) != Some(number >> 24) {
            query("SELECT make_partition(?)").bind(number).fetch_one(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Reads all of a table.
pub(super) async fn digest(side: &mut Side, table: &Table) -> Result<Digest, StoreError> {
    side.read(async |connection| {
        let (mut digest, mut after) = (Digest::default(), None::<Vec<Value<'static>>>);
        loop {
            let rows = table.read(connection, after.as_deref()).await?;
            let Some(last) = rows.last() else { return Ok(digest) };
            after = Some(table.key_of(last));
            for row in rows.iter().filter(|row| table.is_of_the_store(row, false)) {
                digest.rows += 1;
                digest.sum = digest.sum.wrapping_add(hash(row));
            }
        }
    })
    .await
}

fn hash(row: &[Value<'static>]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    let mut add = |kind: u8, bytes: Option<&[u8]>| {
        hasher.update(&[kind, u8::from(bytes.is_some())]);
        let bytes = bytes.unwrap_or_default();
        hasher.update(&(bytes.len() as u64).to_be_bytes()).update(bytes);
    };
    for value in row {
        match value {
            Value::Integer(number) => add(0, number.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice)),
            // As either engine can keep it.
            Value::Text(text) | Value::Exact(text) => {
                add(1, text.as_deref().map(keepable).as_deref().map(str::as_bytes))
            }
            Value::Bytes(bytes) => add(2, bytes.as_deref()),
        }
    }
    let hash = hasher.finalize();
    u128::from_be_bytes(*hash.as_bytes().first_chunk().expect("32 bytes"))
}

/// `?, ?, ?`.
fn marks(number: usize) -> String {
    vec!["?"; number].join(", ")
}
