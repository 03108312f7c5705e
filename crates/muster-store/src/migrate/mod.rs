//! Moving a store from one engine to the other: everything, column for column.
//!
//! First both stores are marked, so that nobody works with either: the source says where it goes, the target where it comes
//! from. Then the tables are copied in batches, in the order of their primary keys. The source stays as it is meanwhile: what the
//! target has is the beginning of each table, and a move that was interrupted goes on behind it. In the end the numbers go on
//! where they were, every table is read again on both sides and compared, the source is marked as moved, and only then can
//! the target be opened. What is sealed is copied sealed, and opened by the same master key.

mod numbers;
mod side;
mod step;
mod tables;

pub use self::step::MoveStep;

use serde::Serialize;
use uuid::Uuid;

use self::side::{Side, shown};
use self::tables::{Digest, Table};
use crate::sql::query;
use crate::tables::living::has_living_node;
use crate::tables::meta::{MOVED_TO, MOVING_FROM, MOVING_TO, move_mark, set_meta};
use crate::{Address, KeyRing, StoreError};

/// What came of a move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MovedStore {
    /// Where it was.
    pub from: String,
    /// Where it is.
    pub to: String,
    /// Its tables, by name.
    pub tables: Vec<MovedTable>,
}

/// What was found in a table on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MovedTable {
    /// Its name.
    pub table: String,
    /// How many rows.
    pub rows: u64,
    /// How many were there before this run.
    pub there_before: u64,
    /// A hash of all of them.
    pub hash: String,
}

/// Moves the store at `from` to `to`: one of them in a file, the other in a database. `told` is told how far it has come.
///
/// # Errors
/// When somebody works with one of them, the target holds something else, either is of another version of Muster, damaged or
/// sealed with another master key, or what has arrived is not what left. Run again, it goes on where it stopped.
pub async fn migrate(
    from: &Address,
    to: &Address,
    keys: &KeyRing,
    told: &mut (dyn for<'a> FnMut(MoveStep<'a>) + Send),
) -> Result<MovedStore, StoreError> {
    if matches!(from, Address::Sqlite(_)) == matches!(to, Address::Sqlite(_)) {
        let said = "one of them is a file and the other a PostgreSQL database. From file to file, use `muster backup` and \
                    `muster restore`; from database to database, its own tools";
        return Err(StoreError::NotMoved(said.to_owned()));
    }
    let mut source = Side::open(from, keys).await?;
    let marked = source.read(async |connection| {
        Ok((move_mark(connection, MOVED_TO).await?, move_mark(connection, MOVING_TO).await?))
    });
    let (moved, moving) = marked.await?;
    // Nothing is made elsewhere for a store that has gone, or is on its way.
    let is_elsewhere =
        |mark: &Option<(String, String)>| mark.clone().filter(|(_, other)| *other != shown(to));
    match (is_elsewhere(&moved), is_elsewhere(&moving)) {
        (Some((_, to)), _) => return Err(StoreError::Moved { store: source.shown, to }),
        (None, Some((_, to))) => return Err(StoreError::Moving { from: source.shown, to }),
        (None, None) => {}
    }
    told(MoveStep::Checking);
    source.check_whole().await?;
    let mut target = Side::open_or_make(to, keys).await?;
    let tables = match &target {
        Side { file: Some(_), .. } => tables::all(&mut target).await?,
        Side { .. } => tables::all(&mut source).await?,
    };
    tables::check_same(&mut source, &tables).await?;
    tables::check_same(&mut target, &tables).await?;
    let id = match (moved, moving) {
        (Some((id, to)), _) if !target.is_moving(&id).await? => {
            return Err(StoreError::Moved { store: source.shown, to });
        }
        (Some((id, _)), _) | (None, Some((id, _))) => id,
        (None, None) => Uuid::new_v4().simple().to_string(),
    };
    let is_begun = target.is_moving(&id).await?;
    if !is_begun {
        target.refuse_contents(&tables).await?;
    }
    // The source first: a target that is marked alone would be of no use to anybody, and say nothing of it.
    source.mark_alone(MOVING_TO, &format!("{id} {}", target.shown)).await?;
    target.mark_alone(MOVING_FROM, &format!("{id} {}", source.shown)).await?;
    let mut there_before = Vec::new();
    for table in &tables {
        there_before.push(tables::copy(&mut source, &mut target, table, told).await?);
    }
    numbers::carry_over(&mut source, &mut target).await?;
    let compared = compare(&mut source, &mut target, &tables, told).await?;
    source.mark_alone(MOVED_TO, &format!("{id} {}", target.shown)).await?;
    target.unmark(MOVING_FROM).await?;
    let moved = |((table, digest), before): ((&Table, Digest), u64)| MovedTable {
        table: table.name.clone(),
        rows: digest.rows,
        there_before: before,
        hash: digest.hash(),
    };
    let tables = tables.iter().zip(compared).zip(there_before).map(moved).collect();
    let moved = MovedStore { from: source.shown.clone(), to: target.shown.clone(), tables };
    source.close().await;
    target.close().await;
    Ok(moved)
}

/// Gives up a move that is not done: the store at `from` can be worked with again, and what has arrived elsewhere never can.
/// Where it was going to.
///
/// # Errors
/// When none is under way, or the store cannot be opened.
pub async fn abandon_move(from: &Address, keys: &KeyRing) -> Result<String, StoreError> {
    let mut source = Side::open(from, keys).await?;
    let marked = source.read(async |connection| {
        Ok((move_mark(connection, MOVED_TO).await?, move_mark(connection, MOVING_TO).await?))
    });
    let to = match marked.await? {
        (Some((_, to)), _) => return Err(StoreError::Moved { store: source.shown, to }),
        (None, None) => {
            return Err(StoreError::NotMoved(format!("no move of {} is under way", source.shown)));
        }
        (None, Some((_, to))) => to,
    };
    source.unmark(MOVING_TO).await?;
    source.close().await;
    Ok(to)
}

/// Reads every table on both sides; their digests, which are the same.
async fn compare(
    source: &mut Side,
    target: &mut Side,
    tables: &[Table],
    told: &mut (dyn for<'a> FnMut(MoveStep<'a>) + Send),
) -> Result<Vec<Digest>, StoreError> {
    let (mut digests, mut wrong) = (Vec::new(), Vec::new());
    for table in tables {
        told(MoveStep::Comparing(&table.name));
        let left = tables::digest(source, table).await?;
        let arrived = tables::digest(target, table).await?;
        if left != arrived {
            let (of, has) = (left.rows, arrived.rows);
            wrong.push(match of == has {
                true => format!("`{}` has other contents in one of its {of} rows at least", table.name),
                false => format!("`{}` has {has} rows instead of {of}", table.name),
            });
        }
        digests.push(left);
    }
    if wrong.is_empty() {
        return Ok(digests);
    }
    Err(StoreError::NotMoved(format!(
        "what has arrived at {} is not what is at {}: {}. Was one of them written meanwhile, by hand or by a command? Give this \
         move up with `muster store migrate --abandon`, and move to a place where nothing is",
        target.shown,
        source.shown,
        wrong.join(", ")
    )))
}

impl Side {
    /// Whether it is the target of this move, and not done.
    async fn is_moving(&mut self, id: &str) -> Result<bool, StoreError> {
        let mark = self.read(async |connection| move_mark(connection, MOVING_FROM).await).await?;
        Ok(mark.is_some_and(|(of, _)| of == id))
    }

    /// Refuses a target in which something is.
    async fn refuse_contents(&mut self, tables: &[Table]) -> Result<(), StoreError> {
        let marks = self.read(async |connection| {
            Ok([
                move_mark(connection, MOVED_TO).await?,
                move_mark(connection, MOVING_TO).await?,
                move_mark(connection, MOVING_FROM).await?,
            ])
        });
        let is_marked = marks.await?.iter().any(Option::is_some);
        let mut rows = 0;
        for table in tables.iter().filter(|table| !table.is_the_stores_own()) {
            rows += tables::count(self, table).await?;
        }
        if rows == 0 && !is_marked {
            return Ok(());
        }
        Err(StoreError::NotMoved(format!(
            "{} holds something else already. Move to where nothing is: a new file, an empty database or another `schema`",
            self.shown
        )))
    }

    /// Writes a mark, unless somebody works with the store.
    async fn mark_alone(&mut self, key: &'static str, value: &str) -> Result<(), StoreError> {
        let owned = StoreError::Locked { store: self.shown.clone() };
        let marked = self.write(async |connection| {
            if connection.is_postgres() && has_living_node(connection).await? {
                return Ok(false);
            }
            set_meta(connection, key, value).await?;
            Ok(true)
        });
        marked.await?.then_some(()).ok_or(owned)
    }

    async fn unmark(&mut self, key: &'static str) -> Result<(), StoreError> {
        self.write(async |connection| {
            query("DELETE FROM meta WHERE key = ?").bind(key).execute(&mut *connection).await.map(drop)
        })
        .await
    }
}
