//! Parquet of OCSF: a class for each file, with the same columns in each file of a class.
//!
//! An event is taken apart into columns by the tables of the format (`formats/ocsf/columns.rs`). An attribute that has
//! no column, or is not what its column is, stands whole as JSON in the column `unmapped`, under [`WITHOUT_COLUMN`],
//! so that every event can be put together again.
//!
//! The bytes are the same whenever they are made: no time is in them, nobody's version, and one thread makes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::SortingColumn;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::schema::types::{Type, TypePtr};
use jiff::Timestamp;
use muster_model::json::{Kind as Json, Tape, Value};

use super::path::Day;
use crate::formats::Events;
use crate::formats::columns::{self, Attribute, Kind};

/// Who wrote the file, as readers want it said. It does not go with Muster's version: the bytes would.
const CREATED_BY: &str = "muster version 1.0.0 (build 0)";
/// zstd's level in files.
const LEVEL: i32 = 3;
/// From so many rows on columns have dictionaries.
const ROWS_WITH_DICTIONARY: usize = 64;
/// In the column `unmapped`: the attributes that have no column.
pub(super) const WITHOUT_COLUMN: &str = "muster_without_column";

/// An event on its way into a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'e> {
    pub(super) bytes: &'e [u8],
    time: i64,
}

/// The events by their class and the day of their time, each sorted by time.
pub(super) fn grouped(events: &Events) -> Result<BTreeMap<(i64, Day), Vec<Row<'_>>>, String> {
    let mut groups: BTreeMap<(i64, Day), Vec<Row<'_>>> = BTreeMap::new();
    for bytes in events.iter() {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let tape = Tape::read(text).map_err(|error| error.to_string())?;
        let number = |key| tape.root().get(key).raw().parse::<i64>().ok();
        let class = number("class_uid").unwrap_or(0);
        let time = number("time").unwrap_or(0);
        let day = Day::of(Some(Timestamp::from_millisecond(time).unwrap_or(Timestamp::UNIX_EPOCH)));
        groups.entry((class, day)).or_default().push(Row { bytes, time });
    }
    groups.values_mut().for_each(|rows| rows.sort_by_key(|row| row.time));
    Ok(groups)
}

/// A file of these events, which are all of `class`.
pub(super) fn file(class: i64, rows: &[Row<'_>]) -> Result<Vec<u8>, String> {
    write(class, rows).map_err(|error| error.to_string())
}

fn write(class: i64, rows: &[Row<'_>]) -> Result<Vec<u8>, ParquetError> {
    let attributes: Vec<&Attribute> = columns::attributes(class).iter().copied().flatten().collect();
    let mut columns = Vec::new();
    let nodes: Vec<Node> = attributes
        .iter()
        .map(|attribute| Node::of(attribute, Levels { definition: 0, repetition: 0 }, &mut columns))
        .collect();
    for row in rows {
        let text =
            std::str::from_utf8(row.bytes).map_err(|error| ParquetError::General(error.to_string()))?;
        let tape = Tape::read(text).map_err(|error| ParquetError::General(error.to_string()))?;
        shred(&nodes, tape.root(), &mut columns);
    }
    let fields = attributes.iter().map(|attribute| typed(attribute)).collect::<Result<Vec<_>, _>>()?;
    let schema = Arc::new(Type::group_type_builder("ocsf").with_fields(fields).build()?);
    let sorted = SortingColumn { column_idx: 0, descending: false, nulls_first: true };
    let properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL)?))
        // Of a few rows a dictionary for each of hundreds of columns is larger than what is in them.
        .set_dictionary_enabled(rows.len() >= ROWS_WITH_DICTIONARY)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_sorting_columns(Some(vec![sorted]))
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for column in columns {
        let mut into = group.next_column()?.ok_or_else(|| {
            ParquetError::General("the schema has fewer columns than the events".to_owned())
        })?;
        column.write(&mut into)?;
        into.close()?;
    }
    group.close()?;
    writer.into_inner()
}

/// An attribute in the schema.
fn typed(attribute: &Attribute) -> Result<TypePtr, ParquetError> {
    let Attribute { name, kind, is_list } = attribute;
    if !is_list {
        return element(name, kind, Repetition::OPTIONAL);
    }
    let element = element("element", kind, Repetition::REQUIRED)?;
    let list = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![element])
        .build()?;
    let list = Type::group_type_builder(name)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(Some(LogicalType::List))
        .with_fields(vec![Arc::new(list)])
        .build()?;
    Ok(Arc::new(list))
}

fn element(name: &str, kind: &Kind, repetition: Repetition) -> Result<TypePtr, ParquetError> {
    let physical = match kind {
        Kind::Object(attributes) => {
            let fields = attributes.iter().map(typed).collect::<Result<Vec<_>, _>>()?;
            let group =
                Type::group_type_builder(name).with_repetition(repetition).with_fields(fields).build()?;
            return Ok(Arc::new(group));
        }
        Kind::Text | Kind::Json => Physical::BYTE_ARRAY,
        Kind::Integer => Physical::INT32,
        Kind::Long => Physical::INT64,
        Kind::Float => Physical::DOUBLE,
        Kind::Boolean => Physical::BOOLEAN,
    };
    let is_text = matches!(kind, Kind::Text | Kind::Json);
    let primitive = Type::primitive_type_builder(name, physical)
        .with_repetition(repetition)
        .with_logical_type(is_text.then_some(LogicalType::String))
        .build()?;
    Ok(Arc::new(primitive))
}

/// How deep something is defined, and within how many lists.
#[derive(Debug, Clone, Copy)]
struct Levels {
    definition: i16,
    repetition: i16,
}

/// An attribute, with the levels of what is around it and the columns below it.
struct Node {
    name: &'static str,
    is_list: bool,
    outside: Levels,
    what: What,
}

enum What {
    Column(usize),
    Group(Vec<Node>),
}

impl Node {
    fn of(attribute: &Attribute, outside: Levels, columns: &mut Vec<Column>) -> Self {
        let Attribute { name, kind, is_list } = *attribute;
        let inside = Levels {
            definition: outside.definition + if is_list { 2 } else { 1 },
            repetition: outside.repetition + i16::from(is_list),
        };
        let values = match kind {
            Kind::Object(attributes) => {
                let children = attributes.iter().map(|child| Self::of(child, inside, columns)).collect();
                return Self { name, is_list, outside, what: What::Group(children) };
            }
            Kind::Text => Values::Text(Vec::new()),
            Kind::Json => Values::Json(Vec::new()),
            Kind::Integer => Values::Integer(Vec::new()),
            Kind::Long => Values::Long(Vec::new()),
            Kind::Float => Values::Float(Vec::new()),
            Kind::Boolean => Values::Boolean(Vec::new()),
        };
        columns.push(Column {
            values,
            definitions: Vec::new(),
            repetitions: (inside.repetition > 0).then(Vec::new),
        });
        Self { name, is_list, outside, what: What::Column(columns.len() - 1) }
    }

    /// Whether the value can be put together again from the columns.
    fn fits(&self, value: Value<'_>, columns: &[Column]) -> bool {
        if !self.is_list {
            return self.fits_one(value, columns);
        }
        value.kind() == Some(Json::Array) && value.items().all(|item| self.fits_one(item, columns))
    }

    fn fits_one(&self, value: Value<'_>, columns: &[Column]) -> bool {
        match &self.what {
            What::Column(at) => columns.get(*at).is_some_and(|column| column.values.takes(value)),
            What::Group(children) => {
                let mut seen = 0;
                value.is_object()
                    && value.fields().all(|(key, value)| {
                        seen += 1;
                        children
                            .iter()
                            .find(|child| child.name == key)
                            .is_some_and(|child| child.fits(value, columns))
                    })
                    // Of a name that comes twice only one would be found again.
                    && children.iter().filter(|child| value.get(child.name).kind().is_some()).count() == seen
            }
        }
    }

    /// Takes apart a value that fits, or none.
    fn shred(&self, value: Option<Value<'_>>, repetition: i16, columns: &mut [Column]) {
        let Some(value) = value else {
            return self.nothing(Levels { repetition, ..self.outside }, columns);
        };
        if !self.is_list {
            return self.shred_one(
                value,
                Levels { definition: self.outside.definition + 1, repetition },
                columns,
            );
        }
        let mut items = value.items().peekable();
        if items.peek().is_none() {
            return self.nothing(Levels { definition: self.outside.definition + 1, repetition }, columns);
        }
        for (at, item) in items.enumerate() {
            let repetition = if at == 0 { repetition } else { self.outside.repetition + 1 };
            self.shred_one(item, Levels { definition: self.outside.definition + 2, repetition }, columns);
        }
    }

    fn shred_one(&self, value: Value<'_>, levels: Levels, columns: &mut [Column]) {
        match &self.what {
            What::Column(at) => {
                if let Some(column) = columns.get_mut(*at) {
                    column.level(levels);
                    column.values.take(value);
                }
            }
            What::Group(children) => {
                for child in children {
                    let value = Some(value.get(child.name)).filter(|value| value.kind().is_some());
                    child.shred(value, levels.repetition, columns);
                }
            }
        }
    }

    fn nothing(&self, levels: Levels, columns: &mut [Column]) {
        match &self.what {
            What::Column(at) => {
                if let Some(column) = columns.get_mut(*at) {
                    column.level(levels);
                }
            }
            What::Group(children) => children.iter().for_each(|child| child.nothing(levels, columns)),
        }
    }
}

/// Takes an event apart.
fn shred(nodes: &[Node], event: Value<'_>, columns: &mut [Column]) {
    const UNMAPPED: &str = "unmapped";
    let mut homeless: Vec<Value<'_>> = Vec::new();
    let mut homes: Vec<Option<Value<'_>>> = vec![None; nodes.len()];
    let mut unmapped = None;
    for (key, value) in event.fields() {
        if key == UNMAPPED
            && unmapped.is_none()
            && value.fields().next().is_some()
            // Microsoft could have a field of that name one day, and an attacker today.
            && value.get(WITHOUT_COLUMN).kind().is_none()
        {
            unmapped = Some(value);
            continue;
        }
        let home = nodes.iter().position(|node| node.name == key && node.name != UNMAPPED);
        match home.and_then(|at| Some((nodes.get(at)?, homes.get_mut(at)?))) {
            Some((node, home @ None)) if node.fits(value, columns) => *home = Some(value),
            _ => homeless.push(value),
        }
    }
    for (node, home) in nodes.iter().zip(homes) {
        match &node.what {
            What::Column(at) if node.name == UNMAPPED => {
                if let Some(column) = columns.get_mut(*at) {
                    column.json(unmapped_text(unmapped, &homeless));
                }
            }
            _ => node.shred(home, 0, columns),
        }
    }
}

/// What the column `unmapped` holds: the attribute as it is, and in it what has no column.
fn unmapped_text(unmapped: Option<Value<'_>>, homeless: &[Value<'_>]) -> Option<String> {
    let raw = unmapped.map(Value::raw);
    if homeless.is_empty() {
        return raw.map(str::to_owned);
    }
    let own = raw.and_then(|raw| raw.trim().strip_suffix('}')).unwrap_or("{");
    let comma = if own.trim_end().ends_with('{') { "" } else { "," };
    let mut text = format!("{own}{comma}\"{WITHOUT_COLUMN}\":{{");
    for (at, value) in homeless.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        text.push_str(&format!("{comma}\"{}\":{}", value.key(), written(*value)));
    }
    text.push_str("}}");
    Some(text)
}

/// A value as JSON.
fn written(value: Value<'_>) -> String {
    match value.kind() {
        Some(Json::String) => format!("\"{}\"", value.raw()),
        _ => value.raw().to_owned(),
    }
}

/// A column on its way into a file.
struct Column {
    values: Values,
    definitions: Vec<i16>,
    /// Where there are lists around it.
    repetitions: Option<Vec<i16>>,
}

enum Values {
    Text(Vec<ByteArray>),
    Json(Vec<ByteArray>),
    Integer(Vec<i32>),
    Long(Vec<i64>),
    Float(Vec<f64>),
    Boolean(Vec<bool>),
}

impl Column {
    fn level(&mut self, levels: Levels) {
        self.definitions.push(levels.definition);
        if let Some(repetitions) = &mut self.repetitions {
            repetitions.push(levels.repetition);
        }
    }

    /// Appends a text that is in no list, or none.
    fn json(&mut self, text: Option<String>) {
        self.level(Levels { definition: i16::from(text.is_some()), repetition: 0 });
        if let (Values::Json(values), Some(text)) = (&mut self.values, text) {
            values.push(text.into_bytes().into());
        }
    }

    fn write(self, into: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let (definitions, repetitions) = (Some(&self.definitions[..]), self.repetitions.as_deref());
        match &self.values {
            Values::Text(values) | Values::Json(values) => {
                into.typed::<ByteArrayType>().write_batch(values, definitions, repetitions)
            }
            Values::Integer(values) => {
                into.typed::<Int32Type>().write_batch(values, definitions, repetitions)
            }
            Values::Long(values) => into.typed::<Int64Type>().write_batch(values, definitions, repetitions),
            Values::Float(values) => into.typed::<DoubleType>().write_batch(values, definitions, repetitions),
            Values::Boolean(values) => into.typed::<BoolType>().write_batch(values, definitions, repetitions),
        }?;
        Ok(())
    }
}

impl Values {
    /// Whether a value is of this column's type, so that it comes out as it went in.
    fn takes(&self, value: Value<'_>) -> bool {
        let is = |kind| value.kind() == Some(kind);
        match self {
            Self::Text(_) => is(Json::String),
            Self::Json(_) => value.kind().is_some(),
            Self::Integer(_) => is(Json::Number) && is_number::<i32>(value.raw()),
            Self::Long(_) => is(Json::Number) && is_number::<i64>(value.raw()),
            Self::Float(_) => is(Json::Number) && value.raw().parse::<f64>().is_ok_and(f64::is_finite),
            Self::Boolean(_) => is(Json::Boolean),
        }
    }

    fn take(&mut self, value: Value<'_>) {
        match self {
            Self::Text(values) => values.push(value.text().decoded().into_owned().into_bytes().into()),
            Self::Json(values) => values.push(written(value).into_bytes().into()),
            Self::Integer(values) => values.extend(value.raw().parse::<i32>()),
            Self::Long(values) => values.extend(value.raw().parse::<i64>()),
            Self::Float(values) => values.extend(value.raw().parse::<f64>()),
            Self::Boolean(values) => values.push(value.raw() == "true"),
        }
    }
}

/// Whether a number is written as this type is: not as `-0`.
fn is_number<T: std::str::FromStr + ToString>(raw: &str) -> bool {
    raw.parse::<T>().is_ok_and(|number| number.to_string() == raw)
}

#[cfg(test)]
mod tests;
