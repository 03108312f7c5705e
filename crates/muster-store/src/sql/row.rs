//! Rows, and what is read out of their columns.

use std::sync::Arc;

use sqlx::postgres::{PgRow, PgValueFormat, PgValueRef};
use sqlx::{ColumnIndex, Decode, Postgres, Row as _, TypeInfo, ValueRef};

macro_rules! of_postgres_as_it_is {
    () => {
        fn of_postgres(row: &'r PgRow, index: &impl ColumnIndex<PgRow>) -> Result<Option<Self>, sqlx::Error> {
            let value = row.try_get_raw(index)?;
            match value.is_null() {
                true => Ok(None),
                false => <Self as Decode<'r, Postgres>>::decode(value).map(Some).map_err(sqlx::Error::Decode),
            }
        }
    };
}

/// A row of either engine.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// The value of a column, by its place or its name.
    pub(crate) fn try_get<'r, T, I>(&'r self, index: I) -> Result<T, sqlx::Error>
    where
        T: Column<'r>,
        I: Index,
    {
        let read = match self {
            Self::Sqlite(row) => T::of_sqlite(row.cell(index.place(row)?)?),
            Self::Postgres(row) => T::of_postgres(row, &index),
        };
        read?.ok_or_else(|| sqlx::Error::Decode("a value is missing".into()))
    }
}

/// A row of SQLite, with a copy of what is in it.
pub(crate) struct SqliteRow {
    pub(super) names: Arc<[Box<str>]>,
    pub(super) cells: Vec<Cell>,
}

/// A value of a row.
pub(crate) enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl SqliteRow {
    fn cell(&self, place: usize) -> Result<&Cell, sqlx::Error> {
        let len = self.cells.len();
        self.cells.get(place).ok_or(sqlx::Error::ColumnIndexOutOfBounds { index: place, len })
    }
}

/// What names a column.
pub(crate) trait Index: ColumnIndex<PgRow> {
    fn place(&self, row: &SqliteRow) -> Result<usize, sqlx::Error>;
}

impl Index for usize {
    fn place(&self, _row: &SqliteRow) -> Result<usize, sqlx::Error> {
        Ok(*self)
    }
}

impl Index for &str {
    fn place(&self, row: &SqliteRow) -> Result<usize, sqlx::Error> {
        let place = row.names.iter().position(|name| **name == **self);
        place.ok_or_else(|| sqlx::Error::ColumnNotFound((*self).to_owned()))
    }
}

/// What a column can be read as.
pub(crate) trait Column<'r>: Sized {
    /// `None` where the value is NULL.
    fn of_sqlite(cell: &'r Cell) -> Result<Option<Self>, sqlx::Error>;

    /// `None` where the value is NULL.
    fn of_postgres(row: &'r PgRow, index: &impl ColumnIndex<PgRow>) -> Result<Option<Self>, sqlx::Error>;
}

/// A NULL is a value here.
impl<'r, T: Column<'r>> Column<'r> for Option<T> {
    fn of_sqlite(cell: &'r Cell) -> Result<Option<Self>, sqlx::Error> {
        T::of_sqlite(cell).map(Some)
    }

    fn of_postgres(row: &'r PgRow, index: &impl ColumnIndex<PgRow>) -> Result<Option<Self>, sqlx::Error> {
        T::of_postgres(row, index).map(Some)
    }
}

impl<'r> Column<'r> for &'r str {
    fn of_sqlite(cell: &'r Cell) -> Result<Option<Self>, sqlx::Error> {
        match cell {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text)),
            other => Err(odd(other, "text")),
        }
    }

    of_postgres_as_it_is!();
}

impl<'r> Column<'r> for String {
    fn of_sqlite(cell: &'r Cell) -> Result<Option<Self>, sqlx::Error> {
        match cell {
            Cell::Integer(number) => Ok(Some(number.to_string())),
            other => Ok(<&str>::of_sqlite(other)?.map(str::to_owned)),
        }
    }

    of_postgres_as_it_is!();
}

impl<'r> Column<'r> for &'r [u8] {
    fn of_sqlite(cell: &'r Cell) -> Result<Option<Self>, sqlx::Error> {
        match cell {
            Cell::Null => Ok(None),
            Cell::Bytes(bytes) => Ok(Some(bytes)),
            Cell::Text(text) => Ok(Some(text.as_bytes())),
            other => Err(odd(other, "bytes")),
        }
    }

    of_postgres_as_it_is!();
}

impl<'r> Column<'r> for Vec<u8> {
    fn of_sqlite(cell: &'r Cell) -> Result<Option<Self>, sqlx::Error> {
        Ok(<&[u8]>::of_sqlite(cell)?.map(<[u8]>::to_vec))
    }

    of_postgres_as_it_is!();
}

/// What is in it is nobody's business.
fn odd(cell: &Cell, wanted: &str) -> sqlx::Error {
    let found = match cell {
        Cell::Null => "nothing",
        Cell::Integer(_) => "a whole number",
        Cell::Real(_) => "a fraction",
        Cell::Text(_) => "text",
        Cell::Bytes(_) => "bytes",
    };
    sqlx::Error::Decode(format!("{found} where there should be {wanted}").into())
}

macro_rules! number {
    ($($type:ty, $number:ident => $of:expr;)*) => { $(
        impl<'r> Column<'r> for $type {
            fn of_sqlite(cell: &'r Cell) -> Result<Option<Self>, sqlx::Error> {
                let $number = match cell {
                    Cell::Null => return Ok(None),
                    Cell::Integer(number) => *number,
                    // What an average of numbers gives.
                    #[expect(clippy::cast_possible_truncation, reason = "as SQLite itself reads it")]
                    Cell::Real(number) => *number as i64,
                    other => return Err(odd(other, "a number")),
                };
                Ok(Some($of))
            }

            fn of_postgres(
                row: &'r PgRow,
                index: &impl ColumnIndex<PgRow>,
            ) -> Result<Option<Self>, sqlx::Error> {
                let Some($number) = integer(row.try_get_raw(index)?)? else { return Ok(None) };
                Ok(Some($of))
            }
        }
    )* };
}
number! {
    i64, number => number;
    i32, number => number.try_into().map_err(too_large)?;
    u32, number => number.try_into().map_err(too_large)?;
    bool, number => number != 0;
}

fn too_large(error: std::num::TryFromIntError) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// A number of PostgreSQL: what an expression gives may be narrower than a column, a boolean, or a sum's `numeric`.
fn integer(value: PgValueRef<'_>) -> Result<Option<i64>, sqlx::Error> {
    if value.is_null() {
        return Ok(None);
    }
    let name = value.type_info().name().to_owned();
    let read = match name.as_str() {
        "INT8" => <i64 as Decode<'_, Postgres>>::decode(value),
        "INT4" => <i32 as Decode<'_, Postgres>>::decode(value).map(i64::from),
        "INT2" => <i16 as Decode<'_, Postgres>>::decode(value).map(i64::from),
        "BOOL" => <bool as Decode<'_, Postgres>>::decode(value).map(i64::from),
        "NUMERIC" => numeric(&value),
        other => Err(format!("{other} is no number").into()),
    };
    read.map(Some).map_err(sqlx::Error::Decode)
}

/// A whole `numeric` in its binary form: how many groups of four digits, the place of the first, the sign, the digits shown
/// behind the point; then the groups.
fn numeric(value: &PgValueRef<'_>) -> Result<i64, sqlx::error::BoxDynError> {
    if value.format() == PgValueFormat::Text {
        return Ok(value.as_str()?.parse()?);
    }
    let words = value.as_bytes()?.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let words: Vec<u16> = words.collect();
    let (Some([_, weight, sign, _]), Some(groups)) = (words.first_chunk(), words.get(4..)) else {
        return Err("a numeric value is cut short".into());
    };
    let mut number = 0_i64;
    for place in 0..=i64::from(weight.cast_signed()) {
        let group = usize::try_from(place).ok().and_then(|place| groups.get(place)).copied().unwrap_or(0);
        let shifted = number.checked_mul(10_000).and_then(|number| number.checked_add(group.into()));
        number = shifted.ok_or("a sum is too large")?;
    }
    Ok(if *sign == 0x4000 { -number } else { number })
}
