//! The values of a statement.

use std::borrow::Cow;

/// One value. PostgreSQL wants to know the type of one that is missing, too.
#[derive(Debug, Clone)]
pub(crate) enum Value<'q> {
    Integer(Option<i64>),
    Text(Option<Cow<'q, str>>),
    /// A text that is kept and never looked into: JSON of which a hash is kept, too, keeps its escapes.
    Exact(Option<Cow<'q, str>>),
    Bytes(Option<Cow<'q, [u8]>>),
}

impl Value<'_> {
    /// The same, which borrows nothing.
    pub(super) fn to_owned(&self) -> Value<'static> {
        let text = |text: &Option<Cow<'_, str>>| text.as_ref().map(|text| Cow::Owned(text.to_string()));
        match self {
            Self::Integer(number) => Value::Integer(*number),
            Self::Text(value) => Value::Text(text(value)),
            Self::Exact(value) => Value::Exact(text(value)),
            Self::Bytes(bytes) => Value::Bytes(bytes.as_ref().map(|bytes| Cow::Owned(bytes.to_vec()))),
        }
    }
}

macro_rules! value {
    ($($type:ty => $kind:ident, $value:ident => $into:expr;)*) => { $(
        impl<'q> From<$type> for Value<'q> {
            fn from($value: $type) -> Self {
                Self::$kind(Some($into))
            }
        }
        impl<'q> From<Option<$type>> for Value<'q> {
            fn from(value: Option<$type>) -> Self {
                Self::$kind(value.map(|$value| $into))
            }
        }
    )* };
}

value! {
    i64 => Integer, value => value;
    i32 => Integer, value => value.into();
    u32 => Integer, value => value.into();
    u16 => Integer, value => value.into();
    bool => Integer, value => value.into();
    &'q str => Text, value => Cow::Borrowed(value);
    &'q String => Text, value => Cow::Borrowed(value.as_str());
    String => Text, value => Cow::Owned(value);
    Cow<'q, str> => Text, value => value;
    &'q [u8] => Bytes, value => Cow::Borrowed(value);
    Vec<u8> => Bytes, value => Cow::Owned(value);
}
