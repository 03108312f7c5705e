//! Templates of JSON: values as they stand, with words in braces and choices to be filled in.
//!
//! | written | stands for |
//! |---|---|
//! | `"a {word} b"` | a text with words filled in: `{guid}`, `{hex 8}`, `{HEX 8}`, `{between 1 9}`, `{base64 32}`, `{mac}`, `{public}`, a variable, or what the cast knows |
//! | `"$name": …` in an object | a variable: a text, or a list of texts of which `{name.1}` is the second |
//! | `{"$one": […]}` | one of them by chance |
//! | `{"$pick": […]}` | one of three, the same in a whole piece of evidence |
//! | `{"$on": {"unix": …, "server": …, "other": …}}` | what fits the host |
//! | `{"$number": "{word}"}`, `{"$optional": "{word}"}` | a number; null where the text is empty |
//! | `{"$time": -30}` | seconds from the alert's own time |
//! | `{"$repeat": ["{guid}", "{count}", 4]}` | a list of as many, but no more than the last number |
//! | `{"$evidence": "ip"}`, `{"$part": "sender"}` | a piece of evidence; a part |

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A value, ready to be filled in.
#[derive(Debug)]
pub(crate) enum Template {
    Text(Vec<Piece>),
    /// A number, a flag or null, as it stands.
    Literal(String),
    /// Keys that begin with `$` name variables.
    Object(Vec<(String, Template)>),
    List(Vec<Template>),
    One(Vec<Template>),
    Pick(Vec<Template>),
    On(Vec<(Branch, Template)>),
    Number(Vec<Piece>),
    Optional(Vec<Piece>),
    Time(i64),
    Repeat(Box<Template>, Vec<Piece>, usize),
    Evidence(String),
    Part(String),
}

/// A part of a text.
#[derive(Debug)]
pub(crate) enum Piece {
    Plain(String),
    Word(Word),
}

/// What is filled in.
#[derive(Debug)]
pub(crate) enum Word {
    Guid,
    Hex(usize),
    UpperHex(usize),
    Between(i64, i64),
    /// Of so many bytes: a number or a variable.
    Base64(String),
    Mac,
    Public,
    /// A variable with the place in its list, or something of the cast.
    Named(String, usize),
}

/// Which host a choice is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Branch {
    Unix,
    Server,
    Other,
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        read(raw.get()).map_err(D::Error::custom)
    }
}

fn read(json: &str) -> serde_json::Result<Template> {
    Ok(match json.as_bytes().first() {
        Some(b'"') => Template::Text(pieces(&serde_json::from_str::<String>(json)?)),
        Some(b'[') => Template::List(serde_json::from_str(json)?),
        Some(b'{') => match <[_; 1]>::try_from(serde_json::from_str::<Pairs<&RawValue>>(json)?.0) {
            Ok([(key, value)]) => match operator(&key, value.get())? {
                Some(template) => template,
                None => Template::Object(vec![(key, read(value.get())?)]),
            },
            Err(pairs) => {
                let fields = pairs.into_iter().map(|(key, value)| Ok((key, read(value.get())?)));
                Template::Object(fields.collect::<serde_json::Result<_>>()?)
            }
        },
        _ => Template::Literal(json.to_owned()),
    })
}

/// What an object with one key stands for, if the key is an operator.
fn operator(key: &str, value: &str) -> serde_json::Result<Option<Template>> {
    let text = || Ok::<_, serde_json::Error>(pieces(&serde_json::from_str::<String>(value)?));
    Ok(Some(match key {
        "$one" => Template::One(serde_json::from_str(value)?),
        "$pick" => Template::Pick(serde_json::from_str(value)?),
        "$on" => {
            let branches = serde_json::from_str::<Pairs<Template>>(value)?.0.into_iter();
            let named =
                |(name, template)| Ok((serde_json::from_value(serde_json::Value::from(name))?, template));
            Template::On(branches.map(named).collect::<serde_json::Result<_>>()?)
        }
        "$number" => Template::Number(text()?),
        "$optional" => Template::Optional(text()?),
        "$time" => Template::Time(serde_json::from_str(value)?),
        "$evidence" => Template::Evidence(serde_json::from_str(value)?),
        "$part" => Template::Part(serde_json::from_str(value)?),
        "$repeat" => {
            let (element, count, most): (Template, String, usize) = serde_json::from_str(value)?;
            Template::Repeat(Box::new(element), pieces(&count), most)
        }
        _ => return Ok(None),
    }))
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (inner, after) = after.split_once('}').unwrap_or((after, ""));
        if !before.is_empty() {
            pieces.push(Piece::Plain(before.to_owned()));
        }
        pieces.push(Piece::Word(word(inner)));
        rest = after;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Plain(rest.to_owned()));
    }
    pieces
}

fn word(text: &str) -> Word {
    let parts: Vec<&str> = text.split(' ').collect();
    let number = |text: &str| text.parse::<i64>().expect("a number in a template");
    let count = |text: &str| text.parse::<usize>().expect("a count in a template");
    match parts[..] {
        ["guid"] => Word::Guid,
        ["mac"] => Word::Mac,
        ["public"] => Word::Public,
        ["hex", digits] => Word::Hex(count(digits)),
        ["HEX", digits] => Word::UpperHex(count(digits)),
        ["between", from, to] => Word::Between(number(from), number(to)),
        ["base64", bytes] => Word::Base64(bytes.to_owned()),
        _ => match text.rsplit_once('.').and_then(|(name, place)| Some((name, place.parse().ok()?))) {
            Some((name, place)) => Word::Named(name.to_owned(), place),
            None => Word::Named(text.to_owned(), 0),
        },
    }
}

/// An object in the order it is written, a key as often as it is written.
struct Pairs<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Pairs<T>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Fields(std::marker::PhantomData))
    }
}
