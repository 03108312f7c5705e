//! Where in an event a value stands, found in the event as it was written: so that an observable never names an
//! attribute that is not there.

use std::collections::HashMap;
use std::ops::Range;

use muster_model::json::scan::string_end;

/// Up to how many values are compared one by one, which beats hashing.
const COMPARED_MAX: usize = 64;

/// For each of `values` (as written in JSON) the path of the attribute that holds it, such as `evidences[].file.name`.
/// Each comes with the name that the attribute should have: one with that name goes before others.
///
/// `event` is an event, or the beginning of one, behind which only closing brackets are missing.
pub(super) fn places(event: &[u8], values: &[(&str, &str)]) -> Places {
    let mut wanted = Wanted::of(values);
    let Ok(text) = std::str::from_utf8(event) else { return wanted.places };
    let mut around: Vec<Around> = Vec::with_capacity(16);
    let (mut key, mut at) = (0..0, 0);
    while let Some(byte) = event.get(at) {
        match byte {
            b'"' => {
                let Some((end, _)) = string_end(event, at + 1) else { break };
                let inside = at + 1..end;
                at = end + 1;
                match around.last_mut() {
                    Some(object) if object.key_is_next => {
                        object.key_is_next = false;
                        key = inside;
                    }
                    _ => wanted.look(text, &around, &key, inside),
                }
                continue;
            }
            b'{' | b'[' => {
                let list = *byte == b'[';
                // What stands in a list has the list's name.
                let of = if around.last().is_some_and(|outer| outer.list) { 0..0 } else { key.clone() };
                around.push(Around { key: of, list, key_is_next: !list });
            }
            b'}' | b']' => {
                around.pop();
            }
            b',' => {
                if let Some(object) = around.last_mut().filter(|outer| !outer.list) {
                    object.key_is_next = true;
                }
            }
            b'-' | b'0'..=b'9' => {
                let rest = &event[at..];
                let length = rest.iter().position(|byte| b",]} ".contains(byte)).unwrap_or(rest.len());
                wanted.look(text, &around, &key, at..at + length);
                at += length;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    wanted.places
}

/// The paths that were found, one behind another in one text: there is one for nearly every value of an event.
#[derive(Debug, Default)]
pub(super) struct Places {
    text: String,
    /// For each value whether the attribute has the name that it should, and where in the text its path stands.
    found: Vec<Option<(bool, Range<usize>)>>,
}

impl Places {
    /// The path of each value, in the order in which they were asked for.
    pub(super) fn iter(&self) -> impl Iterator<Item = Option<&str>> {
        self.found.iter().map(|found| found.as_ref().and_then(|(_, path)| self.text.get(path.clone())))
    }
}

/// An object or list around the place that is looked at.
struct Around {
    /// Its name; empty for the event itself and for what stands in a list.
    key: Range<usize>,
    list: bool,
    key_is_next: bool,
}

/// About how long a path is.
const PATH_USUAL: usize = 32;

/// How many lengths of values are told apart; longer ones share them.
const LENGTHS: usize = 64;

struct Wanted<'v> {
    values: &'v [(&'v str, &'v str)],
    /// The places of the values among them, where there are many. A value may be wanted under several names.
    many: Option<HashMap<&'v str, Vec<usize>>>,
    /// For each length the first value that has it, from 1 on, and for each value the next of its length.
    of_length: [usize; LENGTHS],
    next: Vec<usize>,
    places: Places,
}

impl<'v> Wanted<'v> {
    fn of(values: &'v [(&'v str, &'v str)]) -> Self {
        let many = (values.len() > COMPARED_MAX).then(|| {
            let mut many: HashMap<_, Vec<_>> = HashMap::with_capacity(values.len());
            for (number, (_, value)) in values.iter().enumerate() {
                many.entry(*value).or_default().push(number);
            }
            many
        });
        let (mut of_length, mut next) = ([0; LENGTHS], vec![0; values.len()]);
        for (number, (_, value)) in values.iter().enumerate().rev() {
            let first = &mut of_length[value.len() % LENGTHS];
            next[number] = std::mem::replace(first, number + 1);
        }
        let text = String::with_capacity(values.len() * PATH_USUAL);
        let places = Places { text, found: vec![None; values.len()] };
        Self { values, many, of_length, next, places }
    }

    fn look(&mut self, event: &str, around: &[Around], key: &Range<usize>, value: Range<usize>) {
        let value = event.get(value).unwrap_or_default();
        let mut at = self.of_length[value.len() % LENGTHS];
        if at == 0 {
            return;
        }
        if let Some(many) = &self.many {
            for number in many.get(value).cloned().unwrap_or_default() {
                self.note(event, around, key, number);
            }
            return;
        }
        while let Some(number) = at.checked_sub(1) {
            if self.values.get(number).is_some_and(|(_, wanted)| *wanted == value) {
                self.note(event, around, key, number);
            }
            at = self.next.get(number).copied().unwrap_or_default();
        }
    }

    /// Takes the place for one of the values, unless a better one is known.
    fn note(&mut self, event: &str, around: &[Around], key: &Range<usize>, number: usize) {
        let list = around.last().is_some_and(|outer| outer.list);
        let own = if list { around.last().map_or(0..0, |outer| outer.key.clone()) } else { key.clone() };
        let fits = event.get(own) == self.values.get(number).map(|(name, _)| *name);
        let Places { text: path, found } = &mut self.places;
        let Some(found) = found.get_mut(number) else { return };
        if found.as_ref().is_some_and(|(fit, _)| *fit || !fits) {
            return;
        }
        let start = path.len();
        for outer in around {
            if let Some(name) = event.get(outer.key.clone()).filter(|name| !name.is_empty()) {
                if path.len() > start {
                    path.push('.');
                }
                path.push_str(name);
            }
            if outer.list {
                path.push_str("[]");
            }
        }
        if !list {
            if path.len() > start {
                path.push('.');
            }
            path.push_str(event.get(key.clone()).unwrap_or_default());
        }
        *found = Some((fits, start..path.len()));
    }
}

#[cfg(test)]
mod tests {
    fn places(event: &[u8], values: &[(&str, &str)]) -> Vec<Option<String>> {
        super::places(event, values).iter().map(|path| path.map(ToOwned::to_owned)).collect()
    }

    #[test]
    fn a_value_is_found_where_it_stands() {
        let event = br#"{"a":{"name":"x","n":7},"list":["y",{"uid":"z","deep":[["w"]]}],"unmapped":{"Q, \"R":"x","S": -12 ,"T":"{\"u\":\"v\"}"}"#;
        let wanted = [
            ("name", "x"),
            ("list", "y"),
            ("other", "z"),
            ("", "7"),
            ("", "w"),
            ("", "-12"),
            ("", "v"),
            ("", "name"),
            ("T", r#"{\"u\":\"v\"}"#),
        ];
        let found: Vec<_> = places(event, &wanted).into_iter().map(Option::unwrap_or_default).collect();
        let expected =
            ["a.name", "list[]", "list[].uid", "a.n", "list[].deep[][]", "unmapped.S", "", "", "unmapped.T"];
        assert_eq!(found, expected);
    }

    #[test]
    fn an_attribute_of_the_right_name_goes_before_others() {
        let event = br#"{"a":{"b":"x","uid":"x","c":"x"}}"#;
        assert_eq!(places(event, &[("uid", "x")]), [Some("a.uid".to_owned())]);
        assert_eq!(places(event, &[("c", "x"), ("d", "y")]), [Some("a.c".to_owned()), None]);
        assert_eq!(places(event, &[("e", "x")]), [Some("a.b".to_owned())]);
        let many: Vec<_> = (0..100).map(|number| number.to_string()).collect();
        let wanted: Vec<_> = many.iter().map(|value| ("", value.as_str())).chain([("uid", "x")]).collect();
        assert_eq!(places(event, &wanted).pop(), Some(Some("a.uid".to_owned())));
        // One value, wanted under two names.
        assert_eq!(
            places(event, &[("b", "x"), ("uid", "x")]),
            ["a.b", "a.uid"].map(|path| Some(path.to_owned()))
        );
        assert!(places(b"{\"a\":\"x", &[("a", "x")])[0].is_none());
    }
}
