//! Mail addresses, which come with and without the name of whose they are, and the URLs of mails.

use muster_model::json::Text;

/// The address alone of `"Sund, Ida" <ida.sund@fabrikam.example>`; any other text as it is.
pub(crate) fn bare_address(text: Text<'_>) -> Text<'_> {
    /// The marks as they stand, and as JSON may escape them.
    const OPENING: [&str; 3] = ["<", "\\u003c", "\\u003C"];
    const CLOSING: [&str; 3] = [">", "\\u003e", "\\u003E"];
    let written = text.as_written().trim_ascii_end();
    let Some(inside) = CLOSING.iter().find_map(|mark| written.strip_suffix(mark)) else { return text };
    let begin = OPENING.iter().filter_map(|mark| Some(inside.rfind(mark)? + mark.len())).max();
    let address = begin.map_or("", |begin| &inside[begin..]).trim_ascii();
    if address.contains('@') { Text::as_in_json(address) } else { text }
}

/// The URL alone of `uri=https://fabrikam.example/`, as evidence of mail has some of them; any other text as it is.
pub(crate) fn bare_url(text: Text<'_>) -> Text<'_> {
    /// The mark as it stands, and as JSON may escape it.
    const BEFORE: [&str; 3] = ["uri=", "uri\\u003d", "uri\\u003D"];
    let written = text.as_written().trim_ascii_start();
    match BEFORE.iter().find_map(|mark| written.strip_prefix(mark)) {
        Some(url) if !url.trim_ascii().is_empty() => Text::as_in_json(url),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{bare_address, bare_url};
    use muster_model::json::Text;

    #[test]
    fn the_name_before_an_address_is_left_out() {
        for (text, bare) in [
            ("ida.sund@fabrikam.example", "ida.sund@fabrikam.example"),
            ("Ida Sund <ida.sund@fabrikam.example>", "ida.sund@fabrikam.example"),
            (r#"\"Sund, Ida\" <ida.sund@fabrikam.example>"#, "ida.sund@fabrikam.example"),
            (r"Ida \u003Cida.sund@fabrikam.example\u003e ", "ida.sund@fabrikam.example"),
            ("Sales <EU> < sales@fabrikam.example >", "sales@fabrikam.example"),
            ("<ida.sund@fabrikam.example>", "ida.sund@fabrikam.example"),
            ("<>", "<>"),
            ("Ida Sund", "Ida Sund"),
            ("Ida <b>", "Ida <b>"),
            ("ida@fabrikam.example>", "ida@fabrikam.example>"),
            ("", ""),
        ] {
            assert_eq!(bare_address(Text::as_in_json(text)).as_written(), bare, "{text}");
        }
    }
    #[test]
    fn what_stands_before_a_url_is_left_out() {
        for (text, bare) in [
            ("https://fabrikam.example/?uri=x", "https://fabrikam.example/?uri=x"),
            ("uri=https://fabrikam.example/", "https://fabrikam.example/"),
            (r" uri\u003dhttps://fabrikam.example/", "https://fabrikam.example/"),
            ("uri=fabrikam.example", "fabrikam.example"),
            ("uri=", "uri="),
            ("", ""),
        ] {
            assert_eq!(bare_url(Text::as_in_json(text)).as_written(), bare, "{text}");
        }
    }
}
