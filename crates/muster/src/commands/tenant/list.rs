//! A list of tenants as people have it: saved by a spreadsheet in whatever encoding, divided by commas, semicolons or tabs,
//! exported by Partner Center or CIPP. What it says is told as it is: nothing is guessed where a person must decide.

use muster_model::TenantReference;
use muster_model::text::{did_you_mean, shown};

/// Larger lists were not written for this.
pub(super) const BYTES_MAX: u64 = 64 << 20;
/// A record of more lines than this is a quote that nobody closed.
const LINES_OF_A_ROW_MAX: u64 = 20;
const NAME_LETTERS_MAX: usize = 256;

/// What a column may be of, by its heading without blanks and signs. Of several for one, the first counts.
const HEADINGS: [(Field, &[&str]); 8] = [
    (
        Field::Tenant,
        &[
            "tenant",
            "tenantid",
            "id",
            // Partner Center, and CIPP.
            "microsoftid",
            "customerid",
            "domain",
            "primarydomainname",
            "defaultdomainname",
            "initialdomainname",
        ],
    ),
    (Field::Name, &["name", "companyname", "displayname"]),
    (Field::Slug, &["slug"]),
    (Field::App, &["app"]),
    (Field::Sources, &["sources", "source"]),
    (Field::Tags, &["tags", "tag"]),
    (Field::Mail, &["mail", "email", "emailaddress", "mailaddress", "contactmail", "contactemail"]),
    (Field::Language, &["language", "lang"]),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Tenant,
    Name,
    Slug,
    App,
    Sources,
    Tags,
    /// To whom an invitation goes; only where people are invited.
    Mail,
    /// In which language; only there, too.
    Language,
}

/// What a list is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Import,
    Invitations,
}

impl Purpose {
    fn headings(self) -> impl Iterator<Item = &'static (Field, &'static [&'static str])> + Clone {
        let of_mail = |field| matches!(field, Field::Mail | Field::Language);
        HEADINGS.iter().filter(move |(field, _)| self == Self::Invitations || !of_mail(*field))
    }
}

/// A row, with what stands in its columns; empty texts are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) tenant: String,
    pub(super) name: Option<String>,
    pub(super) slug: Option<String>,
    pub(super) app: Option<String>,
    pub(super) sources: Option<String>,
    pub(super) tags: Option<String>,
    pub(super) mail: Option<String>,
    pub(super) language: Option<String>,
}

/// The rows of a list, each with the line on which it begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct List {
    pub(super) rows: Vec<(u64, Result<Row, String>)>,
    /// Headings that nothing is made of, with what may have been meant.
    pub(super) unused: Vec<String>,
    /// How the text was encoded, where it was not UTF-8.
    pub(super) encoding: Option<&'static str>,
}

impl List {
    /// Reads a list; in words what is wrong with it as a whole.
    pub(super) fn read(bytes: &[u8], purpose: Purpose) -> Result<Self, String> {
        let (text, encoding) = text(bytes)?;
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter(&text))
            .trim(csv::Trim::All)
            .comment(Some(b'#'))
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut lines = Lines { text: &text, at: 0, line: 1 };
        let mut records = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| error.to_string())?;
            let begin = record.position().map_or(0, csv::Position::byte);
            let line = lines.of_record(usize::try_from(begin).unwrap_or(usize::MAX));
            // What Excel writes for itself.
            if records.is_empty()
                && record.len() <= 2
                && record.get(0).is_some_and(|first| first.starts_with("sep="))
            {
                continue;
            }
            records.push((line, record));
        }
        let mut records = records.into_iter();
        let Some((line, heads)) = records.next() else {
            return Err("there is nothing in it: write a line of headings, such as tenant,name, and a line for each tenant".to_owned());
        };
        let columns = Columns::of(&heads, purpose).map_err(|why| format!("line {line}: {why}"))?;
        let last = text.lines().count() as u64 + 1;
        let rest: Vec<_> = records.collect();
        let rows = rest.iter().enumerate().map(|(index, (line, record))| {
            let next = rest.get(index + 1).map_or(last, |(line, _)| *line);
            let row = match next.saturating_sub(*line) {
                lines @ LINES_OF_A_ROW_MAX.. => {
                    Err(format!("a quote is opened here and not closed: {lines} lines were read as one"))
                }
                _ => columns.row(record, heads.len()),
            };
            (*line, row)
        });
        Ok(Self { rows: rows.collect(), unused: columns.unused.clone(), encoding })
    }
}

/// Which column holds what.
struct Columns {
    /// Those that may name the tenant, the surest first.
    tenant: Vec<usize>,
    others: Vec<(Field, usize)>,
    unused: Vec<String>,
}

impl Columns {
    fn of(heads: &csv::StringRecord, purpose: Purpose) -> Result<Self, String> {
        let plain = |head: &str| -> String {
            head.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
        };
        let plain: Vec<String> = heads.iter().map(plain).collect();
        let places = |names: &[&str]| -> Vec<usize> {
            names.iter().filter_map(|name| plain.iter().position(|head| head == name)).collect()
        };
        let (mut tenant, mut others) = (Vec::new(), Vec::new());
        for (field, names) in purpose.headings() {
            match field {
                Field::Tenant => tenant = places(names),
                field => others.extend(places(names).first().map(|place| (*field, *place))),
            }
        }
        if tenant.is_empty() {
            let first = heads.get(0).unwrap_or_default();
            let headings: Vec<String> = heads.iter().map(|head| format!("`{}`", shown(head, 60))).collect();
            return Err(match heads.iter().any(|cell| cell.parse::<TenantReference>().is_ok()) {
                true => format!(
                    "this is no line of headings, since it names a tenant (`{}`): put one before it, such as tenant,name",
                    shown(first, 60)
                ),
                false => format!(
                    "no column names the tenants: there are {}. Call one `tenant`, with ids or domains",
                    headings.join(", ")
                ),
            });
        }
        let known = purpose.headings().flat_map(|(_, names)| names.iter().copied());
        let is_used = |place: usize| tenant.contains(&place) || others.iter().any(|(_, used)| *used == place);
        let unused = heads.iter().enumerate().filter(|(place, head)| !is_used(*place) && !head.is_empty());
        let unused = unused.map(|(place, head)| {
            format!("`{}`{}", shown(head, 60), did_you_mean(&plain[place], known.clone()))
        });
        Ok(Self { unused: unused.collect(), tenant, others })
    }

    fn row(&self, record: &csv::StringRecord, heads: usize) -> Result<Row, String> {
        if record.len() != heads {
            return Err(format!(
                "there are {} columns, and the headings have {heads}: put a text that holds the divider into quotes",
                record.len()
            ));
        }
        let at = |place: usize| {
            record.get(place).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let of =
            |field: Field| self.others.iter().find(|(of, _)| *of == field).and_then(|(_, place)| at(*place));
        let tenant = self.tenant.iter().find_map(|place| at(*place)).ok_or("it names no tenant")?;
        let name = of(Field::Name);
        if name.as_ref().is_some_and(|name| name.chars().count() > NAME_LETTERS_MAX) {
            return Err(format!("the name is longer than {NAME_LETTERS_MAX} letters"));
        }
        // A name that goes over two lines in a spreadsheet is one line here.
        let name = name.map(|name| name.split_whitespace().collect::<Vec<_>>().join(" "));
        Ok(Row {
            tenant,
            name,
            slug: of(Field::Slug),
            app: of(Field::App),
            sources: of(Field::Sources),
            tags: of(Field::Tags),
            mail: of(Field::Mail),
            language: of(Field::Language),
        })
    }
}

/// Counts lines on the way through a text.
struct Lines<'t> {
    text: &'t str,
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line on which the record begins that the reader has begun to look for at `begin`: behind empty lines and comments.
    fn of_record(&mut self, begin: usize) -> u64 {
        self.go_to(begin.min(self.text.len()));
        loop {
            let rest = &self.text[self.at..];
            let end = rest.find('\n').map(|end| end + 1);
            let line = &rest[..end.unwrap_or(rest.len())];
            match end {
                Some(end) if line.trim_end_matches(['\r', '\n']).is_empty() || line.starts_with('#') => {
                    self.go_to(self.at + end);
                }
                _ => return self.line,
            }
        }
    }

    fn go_to(&mut self, at: usize) {
        let passed = self.text.as_bytes().get(self.at..at).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', passed).count() as u64;
        self.at = self.at.max(at);
    }
}

/// The divider that the first line has most of, outside of quotes.
fn delimiter(text: &str) -> u8 {
    let first =
        text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#')).unwrap_or_default();
    if let Some(named) = first.strip_prefix("sep=").and_then(|rest| rest.bytes().next())
        && named.is_ascii()
    {
        return named;
    }
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in first.bytes() {
        quoted ^= byte == b'"';
        counts
            .iter_mut()
            .filter(|(divider, _)| *divider == byte && !quoted)
            .for_each(|(_, count)| *count += 1);
    }
    // Of equals the first, which is the comma.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(divider, _)| *divider)
}

/// The text, and how it was encoded where that was not UTF-8.
fn text(bytes: &[u8]) -> Result<(String, Option<&'static str>), String> {
    let (text, encoding) = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => (of_utf8(rest)?, None),
        [0xff, 0xfe, rest @ ..] => (of_utf16(rest, u16::from_le_bytes)?, Some("UTF-16")),
        [0xfe, 0xff, rest @ ..] => (of_utf16(rest, u16::from_be_bytes)?, Some("UTF-16")),
        // Without a mark: of plain letters, every second byte is 0.
        [0, letter, 0, ..] if letter.is_ascii_graphic() => {
            (of_utf16(bytes, u16::from_be_bytes)?, Some("UTF-16"))
        }
        [letter, 0, _, 0, ..] if letter.is_ascii_graphic() => {
            (of_utf16(bytes, u16::from_le_bytes)?, Some("UTF-16"))
        }
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => (text.to_owned(), None),
            Err(_) => (bytes.iter().copied().map(of_windows).collect(), Some("Windows-1252")),
        },
    };
    if let Some(at) = text.find('\0') {
        let line = text[..at].matches('\n').count() + 1;
        return Err(format!("line {line} holds a NUL byte, which no list has: is this the right file?"));
    }
    // Old Macs end lines with a carriage return alone.
    let text = if text.contains('\n') { text } else { text.replace('\r', "\n") };
    Ok((text, encoding))
}

fn of_utf8(bytes: &[u8]) -> Result<String, String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| {
        let line = memchr::memchr_iter(b'\n', &bytes[..error.valid_up_to()]).count() + 1;
        format!("it begins as UTF-8, and line {line} holds a byte that is none: save it once more as UTF-8")
    })
}

fn of_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let (units, rest) = bytes.as_chunks::<2>();
    let text = String::from_utf16(&units.iter().map(|pair| unit(*pair)).collect::<Vec<_>>());
    let whole = text.ok().filter(|_| rest.is_empty());
    whole.ok_or_else(|| "it is UTF-16, and a part of it cannot be read: save it as UTF-8".to_owned())
}

/// A byte of Windows-1252, which has letters and signs where Latin-1 has control characters (WHATWG Encoding, index of
/// windows-1252).
fn of_windows(byte: u8) -> char {
    const SIGNS: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
        '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => SIGNS[usize::from(byte - 0x80)],
        other => char::from(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(bytes: &[u8]) -> Vec<(u64, String, String)> {
        let list = List::read(bytes, Purpose::Import).expect("a list");
        let shown = |(line, row): &(u64, Result<Row, String>)| match row {
            Ok(row) => (*line, row.tenant.clone(), row.name.clone().unwrap_or_default()),
            Err(why) => (*line, "!".to_owned(), why.clone()),
        };
        list.rows.iter().map(shown).collect()
    }

    fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn every_encoding_and_divider_says_the_same() {
        let text = "tenant,name\ncontoso.example,Müller & Söhne\n";
        let latin: Vec<u8> = text.chars().map(|letter| u8::try_from(letter).expect("Latin-1")).collect();
        let lists = [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            [vec![0xff, 0xfe], utf16(text, u16::to_le_bytes)].concat(),
            [vec![0xfe, 0xff], utf16(text, u16::to_be_bytes)].concat(),
            utf16(text, u16::to_le_bytes),
            utf16(text, u16::to_be_bytes),
            latin,
            text.replace(',', ";").into_bytes(),
            text.replace(',', "\t").into_bytes(),
            text.replace('\n', "\r\n").into_bytes(),
            text.replace('\n', "\r").into_bytes(),
        ];
        for bytes in lists {
            let wanted = (2, "contoso.example".to_owned(), "Müller & Söhne".to_owned());
            assert_eq!(rows(&bytes), [wanted], "{bytes:?}");
        }
        let excel = rows(b"sep=;\r\ntenant;name\r\ncontoso.example;\x80 \x96 Co\r\n");
        assert_eq!(excel, [(3, "contoso.example".to_owned(), "€ – Co".to_owned())]);
        assert_eq!(
            List::read(b"tenant\n\xfc.example\n", Purpose::Import).expect("a list").encoding,
            Some("Windows-1252")
        );
    }

    #[test]
    fn exports_of_others_are_understood() {
        let partner = "Microsoft ID,Company name,Primary domain name,Relationship\n\
                       11111111-2222-3333-4444-555555555555,Contoso,contoso.example,Cloud Reseller\n\
                       ,Fabrikam,fabrikam.example,Cloud Reseller\n";
        let list = List::read(partner.as_bytes(), Purpose::Import).expect("a list");
        assert_eq!(list.unused, ["`Relationship`"]);
        let of = |index: usize| list.rows[index].1.clone().expect("a row");
        assert_eq!(of(0).tenant, "11111111-2222-3333-4444-555555555555");
        assert_eq!((of(1).tenant.as_str(), of(1).name.as_deref()), ("fabrikam.example", Some("Fabrikam")));
        let cipp = "\"customerId\",\"defaultDomainName\",\"displayName\"\n\"11111111-2222-3333-4444-555555555555\",\"c.example\",\"C\"\n";
        assert_eq!(
            rows(cipp.as_bytes()),
            [(2, "11111111-2222-3333-4444-555555555555".to_owned(), "C".to_owned())]
        );
        let misspelled = List::read(b"tenant,nmae\na.example,A\n", Purpose::Import).expect("a list");
        assert_eq!(misspelled.unused, ["`nmae` (did you mean `name`?)"]);
    }

    #[test]
    fn a_row_has_the_line_that_an_editor_shows() {
        let text = "# the customers\n\ntenant,name\n\n# one\na.example,\"A\n& B\"\nb.example\nc.example,C\n";
        let found = rows(text.as_bytes());
        assert_eq!(found[0], (6, "a.example".to_owned(), "A & B".to_owned()));
        assert_eq!((found[1].0, found[1].1.as_str()), (8, "!"));
        assert!(found[1].2.contains("there are 1 columns, and the headings have 2"), "{found:?}");
        assert_eq!(found[2].0, 9);
        // A quote that nobody closed does not swallow the rest unseen.
        let open = format!("tenant,name\na.example,\"A\n{}", "b.example,B\n".repeat(30));
        let found = rows(open.as_bytes());
        assert!(found.len() == 1 && found[0].0 == 2 && found[0].2.contains("not closed"), "{found:?}");
    }

    #[test]
    fn what_is_no_list_is_told() {
        let wrong = |bytes: &[u8]| List::read(bytes, Purpose::Import).expect_err("no list");
        assert!(wrong(b"").contains("there is nothing in it"));
        assert!(wrong(b"# only a comment\n").contains("there is nothing in it"));
        assert!(wrong(b"\ncontoso.example,Contoso\n").starts_with("line 2: this is no line of headings"));
        assert!(
            wrong(b"customer,mail\na,b\n")
                .contains("no column names the tenants: there are `customer`, `mail`")
        );
        assert!(wrong(b"tenant\n\0\n").contains("line 2 holds a NUL byte"));
        assert!(wrong(b"\xff\xfet").contains("UTF-16"));
    }
}
