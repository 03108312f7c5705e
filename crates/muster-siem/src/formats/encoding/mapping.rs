//! A sink's own changes to the fields of its events: dropped, renamed, set or added, with values from templates.
//!
//! Templates are Jinja expressions over Microsoft's record, and its values are written partly by attackers. So a
//! template sees nothing but the record and the tenant, calls nothing that makes much out of little, and runs with a
//! bounded number of steps, depth and length of result; what it gives is escaped for the format it goes into. A
//! template that fails takes only its own field away, and the event says so. All of them are compiled once, when the
//! settings are read.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use muster_model::json::Reader;
use muster_model::{Record, RecordKind, TenantLabel};
use serde::Deserialize;

use crate::formats::error::FormatError;
use crate::formats::format::Format;
use crate::formats::writing::edit::{CEF_HEAD, Edit, LEEF_HEAD, NewValue, Path, Syntax, apply};

/// How many steps of its program one template may take.
const FUEL: u64 = 20_000;
/// The longest result of a template, and the longest text that one may make on the way.
const RESULT_BYTES_MAX: usize = 64 * 1024;
/// The longest template.
const TEMPLATE_BYTES_MAX: usize = 4096;
/// How deep a template's evaluation may go.
const RECURSION_MAX: usize = 32;
/// How many changes one sink may ask for.
const CHANGES_MAX: usize = 100;
/// The statements that templates may have. Others (`set`, `macro`, `include`, …) can make much out of little.
const STATEMENTS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];
/// What templates see.
const NAMES: [&str; 4] = ["record", "tenant", "kind", "source"];
/// Parts of the template engine that are of no use here or multiply text.
const REMOVED_FILTERS: [&str; 16] = [
    "indent", "format", "batch", "slice", "pprint", "safe", "escape", "e", "groupby", "dictsort", "items",
    "zip", "chain", "lines", "sum", "tojson",
];

/// The changes that a sink asks for, as they stand in the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MappingOptions {
    /// Fields that are left out.
    pub drop: Vec<String>,
    /// Fields that get another name: from, to.
    pub rename: BTreeMap<String, String>,
    /// Fields that are written, in place of the format's own where there is one. Nothing comes of an empty result.
    pub set: BTreeMap<String, FieldTemplate>,
    /// Fields that are written where the event has none of that name.
    pub add: BTreeMap<String, FieldTemplate>,
}

impl MappingOptions {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.drop.is_empty() && self.rename.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// Where a field's value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "write a template such as \"{{ tenant.name }}\", or { json = \"{{ record.priorityScore }}\" }"
)]
pub enum FieldTemplate {
    /// Its result is text.
    Text(String),
    /// Its result is a JSON value: a number, a list.
    Json(JsonTemplate),
}

/// A template whose result is JSON.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonTemplate {
    /// The template.
    pub json: String,
}

/// What is wrong with a sink's changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// A name that the format cannot write.
    #[error("mapping: `{name}` cannot be the name of a field in {format}: {rule}")]
    Name {
        /// The name.
        name: String,
        /// The format.
        format: &'static str,
        /// What names look like there.
        rule: &'static str,
    },
    /// A name that would stand twice in an event.
    #[error("mapping: `{0}` is written twice: by `set`, `add` or `rename`")]
    Twice(String),
    /// A template that cannot be compiled, or cannot work.
    #[error("mapping: the template of `{field}` does not work: {reason}")]
    Template {
        /// The field it is for.
        field: String,
        /// Why.
        reason: String,
    },
    /// More changes than are taken.
    #[error("mapping: {0} changes; at most {CHANGES_MAX} are taken")]
    TooMany(usize),
}

/// A sink's changes, ready to use.
pub struct Mapping {
    syntax: Syntax,
    drop: Vec<Path>,
    rename: Vec<(Path, Path)>,
    set: Vec<Computed>,
    add: Vec<Computed>,
    /// Where it is said that a template failed.
    error_field: Path,
    environment: Environment<'static>,
}

/// A field whose value is computed by the template of the same number.
struct Computed {
    path: Path,
    name: String,
    template: String,
    json: bool,
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let computed =
            |fields: &[Computed]| fields.iter().map(|field| field.name.clone()).collect::<Vec<_>>();
        f.debug_struct("Mapping")
            .field("drop", &self.drop)
            .field("rename", &self.rename)
            .field("set", &computed(&self.set))
            .field("add", &computed(&self.add))
            .finish_non_exhaustive()
    }
}

impl Mapping {
    /// Compiles a sink's changes for its format; all mistakes at once.
    ///
    /// # Errors
    /// Names that the format cannot write, templates that cannot work.
    pub fn compile(options: &MappingOptions, format: &Format) -> Result<Self, Vec<MappingError>> {
        let mut mistakes = Vec::new();
        let changes = options.drop.len() + options.rename.len() + options.set.len() + options.add.len();
        if changes > CHANGES_MAX {
            return Err(vec![MappingError::TooMany(changes)]);
        }
        let syntax = format.syntax();
        let mut environment = environment();
        let mut name = |text: &str, is_new: bool, is_computed: bool| {
            let path = Path::parse(syntax, text).filter(|_| !is_new || is_name(syntax, text, is_computed));
            if path.is_none() {
                mistakes.push(MappingError::Name {
                    name: text.to_owned(),
                    format: format.name(),
                    rule: name_rule(syntax),
                });
            }
            path
        };
        let drop: Vec<_> = options.drop.iter().filter_map(|text| name(text, false, false)).collect();
        let rename: Vec<_> = options
            .rename
            .iter()
            .filter_map(|(from, to)| Some((name(from, false, false)?, name(to, true, false)?)))
            .collect();
        let mut computed = |fields: &BTreeMap<String, FieldTemplate>, list: &str, heads: bool| {
            let mut all = Vec::new();
            for (field, template) in fields {
                let Some(path) = name(field, true, heads) else { continue };
                let (source, json) = match template {
                    FieldTemplate::Text(source) => (source, false),
                    FieldTemplate::Json(JsonTemplate { json }) => (json, true),
                };
                let template = format!("{list} {field}");
                all.push((Computed { path, name: field.clone(), template, json }, source.clone()));
            }
            all
        };
        let (set, add) = (computed(&options.set, "set", true), computed(&options.add, "add", false));
        let mut compiled = |fields: Vec<(Computed, String)>| {
            let mut all = Vec::new();
            for (field, source) in fields {
                match compile(&mut environment, &field.template, source) {
                    Ok(()) => all.push(field),
                    Err(reason) => {
                        mistakes.push(MappingError::Template { field: field.name.clone(), reason });
                    }
                }
            }
            all
        };
        let (set, add) = (compiled(set), compiled(add));
        let mut targets: Vec<&String> =
            options.rename.values().chain(options.set.keys()).chain(options.add.keys()).collect();
        targets.sort();
        for pair in targets.windows(2) {
            if pair[0] == pair[1] {
                mistakes.push(MappingError::Twice(pair[0].clone()));
            }
        }
        let error_field = format.own_field("mapping_error");
        let mapping = Self { syntax, drop, rename, set, add, error_field, environment };
        // A trial shows what only running can: filters and functions that do not exist.
        for (field, error) in mapping.trial() {
            mistakes.push(MappingError::Template { field, reason: shown(&error) });
        }
        if mistakes.is_empty() { Ok(mapping) } else { Err(mistakes) }
    }

    /// Appends `event`, an event of `record`, with the changes made.
    ///
    /// # Errors
    /// When the event cannot be read, which no event of a format is.
    pub(crate) fn apply(&self, context: &Value, event: &[u8], out: &mut Vec<u8>) -> Result<(), FormatError> {
        let mut failed = String::new();
        let mut edit = Edit {
            drop: self.drop.iter().collect(),
            rename: self.rename.iter().map(|(from, to)| (from, to)).collect(),
            ..Edit::default()
        };
        for field in &self.set {
            match self.value(field, context) {
                Ok(value) => edit.set.push((&field.path, value)),
                Err(error) => note(&mut failed, field, &error),
            }
        }
        for field in &self.add {
            match self.value(field, context) {
                Ok(Some(value)) => edit.add.push((&field.path, value)),
                Ok(None) => {}
                Err(error) => note(&mut failed, field, &error),
            }
        }
        if !failed.is_empty() {
            edit.set.push((&self.error_field, Some(NewValue::Text(failed))));
        }
        apply(self.syntax, &edit, event, out)
    }

    /// What the templates of this mapping see of a record. It is made once for all events of the record.
    pub(in crate::formats) fn context(kind: RecordKind, record: Record<'_>, tenant: &TenantLabel) -> Value {
        Value::from_object(Context {
            record: json_value(&Arc::from(record.body), 0..record.body.len()),
            tenant: Value::from_pairs([
                ("id", Value::from(tenant.id.to_string())),
                ("slug", Value::from(tenant.slug.as_str())),
                ("name", Value::from(tenant.name.as_str())),
            ]),
            kind,
        })
    }

    /// What they see of a record that has nothing.
    pub(super) fn nothing() -> Value {
        Value::from_object(Context {
            record: json_value(&Arc::from("{}"), 0..2),
            tenant: Value::from_pairs([("id", ""), ("slug", ""), ("name", "")]),
            kind: RecordKind::GraphAlert,
        })
    }

    /// The value of a field; `None` when nothing came of its template.
    fn value(&self, field: &Computed, context: &Value) -> Result<Option<NewValue>, Error> {
        let mut bounded = Bounded(Vec::new());
        self.environment.get_template(&field.template)?.render_captured_to(context.clone(), &mut bounded)?;
        let text = String::from_utf8(bounded.0)
            .map_err(|_| Error::new(ErrorKind::BadSerialization, "its result is not text"))?;
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        if !field.json {
            return Ok(Some(NewValue::Text(text.to_owned())));
        }
        let value: Box<serde_json::value::RawValue> = serde_json::from_str(text).map_err(|error| {
            Error::new(ErrorKind::BadSerialization, format!("its result is not JSON: {error}"))
        })?;
        // A value may stand over several lines; an event may not.
        Ok(Some(NewValue::Json(value.get().replace(['\n', '\r'], " "))))
    }

    /// Runs every template on a record that has nothing, and returns what cannot work on any.
    fn trial(&self) -> Vec<(String, Error)> {
        let never = |error: &Error| {
            use ErrorKind::{TooManyArguments, UnknownFilter, UnknownFunction, UnknownMethod, UnknownTest};
            matches!(
                error.kind(),
                UnknownFilter | UnknownFunction | UnknownMethod | UnknownTest | TooManyArguments
            )
        };
        let empty = Self::nothing();
        let fields = self.set.iter().chain(&self.add);
        fields
            .filter_map(|field| Some((field.name.clone(), self.value(field, &empty).err().filter(never)?)))
            .collect()
    }
}

fn note(failed: &mut String, field: &Computed, error: &Error) {
    if !failed.is_empty() {
        failed.push_str("; ");
    }
    failed.push_str(&format!("{}: {}", field.name, shown(error)));
}

/// What is wrong, without the template's own text.
pub(super) fn shown(error: &Error) -> String {
    match error.detail() {
        _ if error.kind() == ErrorKind::WriteFailure => {
            format!("its result is longer than {RESULT_BYTES_MAX} bytes")
        }
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// Names that can be written: letters and digits, as the guides of CEF and LEEF ask for.
fn is_name(syntax: Syntax, name: &str, is_computed: bool) -> bool {
    let heads: &[&str] = match syntax {
        Syntax::Cef => &CEF_HEAD,
        Syntax::Leef(_) => &LEEF_HEAD,
        Syntax::Json => return true,
    };
    let alphanumeric = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    alphanumeric && name.len() <= 64 || is_computed && heads.contains(&name)
}

fn name_rule(syntax: Syntax) -> &'static str {
    match syntax {
        Syntax::Cef => {
            "up to 64 letters and digits, or in `set` one of head.vendor, head.product, head.version, \
             head.signature, head.name, head.severity"
        }
        Syntax::Leef(_) => {
            "up to 64 letters and digits, or in `set` one of head.vendor, head.product, head.version, head.event_id"
        }
        Syntax::Json => "a path such as `event.severity`, its parts not empty, a dot in a name written `\\.`",
    }
}

/// The template engine, with what is bounded and nothing else.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_MAX);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    for function in ["range", "dict", "debug", "namespace", "cycler", "joiner", "lipsum"] {
        environment.remove_global(function);
    }
    for filter in REMOVED_FILTERS {
        environment.remove_filter(filter);
    }
    environment.add_filter("replace", replace);
    environment.add_filter("join", join);
    environment.add_filter("json", to_json);
    environment
}

fn too_long() -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("a text longer than {RESULT_BYTES_MAX} bytes"))
}

/// `value|replace("from", "to")`, bounded.
fn replace(value: String, from: String, to: String) -> Result<String, Error> {
    let found = if from.is_empty() { value.len() + 1 } else { value.matches(&from).count() };
    if value.len().saturating_add(found.saturating_mul(to.len())) > RESULT_BYTES_MAX {
        return Err(too_long());
    }
    Ok(value.replace(&from, &to))
}

/// `values|join(", ")`, bounded. What is undefined is left out.
fn join(values: Value, separator: Option<String>) -> Result<String, Error> {
    let separator = separator.unwrap_or_default();
    let mut joined = String::new();
    if values.is_undefined() {
        return Ok(joined);
    }
    for value in values.try_iter()?.filter(|value| !value.is_undefined() && !value.is_none()) {
        if !joined.is_empty() {
            joined.push_str(&separator);
        }
        match value.as_str() {
            Some(text) => joined.push_str(text),
            None => joined.push_str(&value.to_string()),
        }
        if joined.len() > RESULT_BYTES_MAX {
            return Err(too_long());
        }
    }
    Ok(joined)
}

/// `value|json`, bounded: the value as JSON.
pub(super) fn to_json(value: Value) -> Result<String, Error> {
    let mut json = String::new();
    push_json(&value, &mut json, 0)?;
    Ok(json)
}

fn push_json(value: &Value, json: &mut String, depth: usize) -> Result<(), Error> {
    use minijinja::value::ValueKind;
    if depth > RECURSION_MAX || json.len() > RESULT_BYTES_MAX {
        return Err(too_long());
    }
    let text = |text: &str| serde_json::to_string(text).expect("a string is JSON");
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => json.push_str("null"),
        ValueKind::Bool | ValueKind::Number => {
            let number = value.to_string();
            // Not a number and infinity have no JSON.
            let known = serde_json::from_str::<serde_json::Value>(&number).is_ok();
            json.push_str(if known { &number } else { "null" });
        }
        ValueKind::String => json.push_str(&text(value.as_str().unwrap_or_default())),
        ValueKind::Map => {
            json.push('{');
            for (position, key) in value.try_iter()?.enumerate() {
                if position > 0 {
                    json.push(',');
                }
                json.push_str(&text(&key.to_string()));
                json.push(':');
                push_json(&value.get_item(&key)?, json, depth + 1)?;
            }
            json.push('}');
        }
        ValueKind::Seq | ValueKind::Iterable => {
            json.push('[');
            for (position, item) in value.try_iter()?.enumerate() {
                if position > 0 {
                    json.push(',');
                }
                push_json(&item, json, depth + 1)?;
            }
            json.push(']');
        }
        _ => json.push_str(&text(&value.to_string())),
    }
    if json.len() > RESULT_BYTES_MAX { Err(too_long()) } else { Ok(()) }
}

/// Adds a template under this name, or says why it cannot work.
pub(super) fn compile(
    environment: &mut Environment<'static>,
    name: &str,
    source: String,
) -> Result<(), String> {
    if source.len() > TEMPLATE_BYTES_MAX {
        return Err(format!("it is longer than {TEMPLATE_BYTES_MAX} bytes"));
    }
    let mut rest = source.as_str();
    while let Some(at) = rest.find("{%") {
        rest = &rest[at + 2..];
        let word = rest.trim_start_matches(['-', '+']).trim_start();
        let word =
            word.split(|character: char| !character.is_ascii_alphanumeric() && character != '_').next();
        let word = word.unwrap_or_default();
        if !STATEMENTS.contains(&word) {
            return Err(format!("`{word}` is not one of the statements if, elif, else, endif, for, endfor"));
        }
    }
    environment.add_template_owned(name.to_owned(), source).map_err(|error| shown(&error))?;
    let template = environment.get_template(name).map_err(|error| shown(&error))?;
    let mut unknown: Vec<_> = template
        .undeclared_variables(false)
        .into_iter()
        .filter(|name| !NAMES.contains(&name.as_str()))
        .collect();
    unknown.sort();
    match unknown.first() {
        Some(name) => Err(format!("`{name}` is not known: use record, tenant, kind or source")),
        None => Ok(()),
    }
}

/// The names at the top of every template.
#[derive(Debug)]
struct Context {
    record: Value,
    tenant: Value,
    kind: RecordKind,
}

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "record" => Some(self.record.clone()),
            "tenant" => Some(self.tenant.clone()),
            "kind" => Some(Value::from(self.kind.as_str())),
            "source" => Some(Value::from(self.kind.source_name())),
            _ => None,
        }
    }
}

/// An object or list of the record, looked into only when a template asks.
#[derive(Debug)]
struct Json {
    text: Arc<str>,
    place: Range<usize>,
    is_list: bool,
}

impl Json {
    fn written(&self) -> &str {
        self.text.get(self.place.clone()).unwrap_or_default()
    }

    /// The value of a part of this one.
    fn part(&self, part: &str) -> Value {
        // A part is a slice of the whole text: its place is where it begins.
        let start = part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        json_value(&self.text, start..start + part.len())
    }

    fn items(&self) -> Vec<&str> {
        let mut items = Vec::new();
        let read = Reader::new(self.written()).items(|reader| {
            items.push(reader.raw()?);
            Ok(())
        });
        if read.is_ok() { items } else { Vec::new() }
    }
}

impl Object for Json {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.is_list { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if self.is_list {
            return self.items().get(key.as_usize()?).map(|item| self.part(item));
        }
        let wanted = key.as_str()?;
        let mut found = None;
        Reader::new(self.written())
            .object(|key, reader| {
                if key == wanted {
                    found = Some(reader.raw()?)
                } else {
                    reader.skip()?
                }
                Ok(())
            })
            .ok()?;
        found.map(|value| self.part(value))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        if self.is_list {
            return Enumerator::Values(self.items().into_iter().map(|item| self.part(item)).collect());
        }
        let mut keys = Vec::new();
        let read = Reader::new(self.written()).object(|key, reader| {
            keys.push(Value::from(key));
            reader.skip()
        });
        if read.is_ok() { Enumerator::Values(keys) } else { Enumerator::Empty }
    }
}

/// A JSON value as a template sees it. Null is the same as missing.
fn json_value(text: &Arc<str>, place: Range<usize>) -> Value {
    let written = text.get(place.clone()).unwrap_or_default();
    let first = written.trim_ascii_start().as_bytes().first().copied().unwrap_or(b'n');
    match first {
        b'{' | b'[' => Value::from_object(Json { text: text.clone(), place, is_list: first == b'[' }),
        b'"' => {
            let mut decoded = String::new();
            if let Ok(text) = Reader::new(written).text() {
                text.pieces(|piece| decoded.push_str(piece));
            }
            Value::from(decoded)
        }
        b't' => Value::from(true),
        b'f' => Value::from(false),
        b'-' | b'0'..=b'9' => match (written.parse::<i64>(), written.parse::<f64>()) {
            (Ok(number), _) => Value::from(number),
            (_, Ok(number)) => Value::from(number),
            _ => Value::from(written),
        },
        _ => Value::UNDEFINED,
    }
}

/// Takes a result up to its longest length.
#[derive(Default)]
pub(super) struct Bounded(Vec<u8>);

impl Bounded {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > RESULT_BYTES_MAX {
            return Err(io::Error::other("its result is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
