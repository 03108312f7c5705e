//! The example settings with lines lost, doubled, moved and made up: what is left is settings, or mistakes with their lines.

use proptest::prelude::*;

use crate::any_text::is_settings_or_mistakes;

/// What is done to one line.
#[derive(Debug, Clone)]
enum Edit {
    Lose,
    Double,
    MoveTo(prop::sample::Index),
    Cut(prop::sample::Index),
    Put(String),
}

fn edit() -> impl Strategy<Value = Edit> {
    let made_up = prop::sample::select(vec![
        "[sinks.x]",
        "[[routes]]",
        "[store]",
        "type = \"file\"",
        "url = \"postgres://x\"",
        "sinks = [\"nobody\"]",
        "path = 7",
        "token = { env = \"X\" }",
        "= =",
        "\"\"\"",
        "a.b.c = [ {",
        "\u{feff}\u{202e}x = 1979-05-27",
    ]);
    prop_oneof![
        Just(Edit::Lose),
        Just(Edit::Double),
        any::<prop::sample::Index>().prop_map(Edit::MoveTo),
        any::<prop::sample::Index>().prop_map(Edit::Cut),
        made_up.prop_map(|line| Edit::Put(line.to_owned())),
        "\\PC{0,40}".prop_map(Edit::Put),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn edited_examples_are_settings_or_mistakes_with_lines(
        edits in prop::collection::vec((any::<prop::sample::Index>(), edit()), 0..8)
    ) {
        let example = include_str!("../../../../examples/muster.toml");
        let mut lines: Vec<String> = example.lines().map(str::to_owned).collect();
        for (place, edit) in edits {
            let at = place.index(lines.len());
            match edit {
                Edit::Lose => drop(lines.remove(at)),
                Edit::Double => lines.insert(at, lines[at].clone()),
                Edit::MoveTo(to) => {
                    let line = lines.remove(at);
                    lines.insert(to.index(lines.len()), line);
                }
                Edit::Cut(after) => {
                    let kept = lines[at].chars().count();
                    let kept = lines[at].chars().take(after.index(kept + 1)).collect();
                    lines[at] = kept;
                }
                Edit::Put(line) => lines.insert(at, line),
            }
        }
        is_settings_or_mistakes(&lines.join("\n"));
    }
}
