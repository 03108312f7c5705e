//! The name of a format on the command line.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use muster_siem::sinks::FormatName;

pub(super) fn format_name() -> impl TypedValueParser<Value = FormatName> {
    let known = FormatName::ALL.map(|name| PossibleValue::new(name.as_str()).help(name.meaning()));
    PossibleValuesParser::new(known).map(|word| {
        let name = FormatName::ALL.into_iter().find(|name| name.as_str() == word);
        name.expect("only possible values come here")
    })
}
