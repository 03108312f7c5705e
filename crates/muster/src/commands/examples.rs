//! Examples at the end of each command's `--help`. A test runs none of them, but parses each.

use std::fmt::Write as _;

/// A command, and calls of it without the program's name.
const EXAMPLES: &[(&str, &[&str])] = &[
    ("init", &["init /etc/muster --store /var/lib/muster/muster.db", "init --service"]),
    ("validate", &["validate", "validate --connect --within 2m"]),
    ("settings diff", &["settings diff"]),
    ("settings schema", &["settings schema"]),
    ("doctor", &["doctor", "doctor --tenant contoso,tag:gold --output json"]),
    ("run", &["run", "run --config /etc/muster/muster.toml"]),
    (
        "tenant add",
        &[
            "tenant add contoso.example --tag gold",
            "tenant add contoso.example --source graph_alerts --since 7d",
        ],
    ),
    (
        "invite",
        &[
            "invite customers.csv --dry-run",
            "invite customers.csv --out mails --from soc@mssp.example",
            "invite --remind 5",
            "invite customers.csv --remind 5 --out reminders --yes",
        ],
    ),
    ("notice list", &["notice list"]),
    ("notice test", &["notice test", "notice test oncall --alert"]),
    (
        "notice snooze",
        &["notice snooze consent_lost/contoso --until 2d --reason 'they renew their tenant on Friday'"],
    ),
    ("notice unsnooze", &["notice unsnooze consent_lost/contoso"]),
    ("tenant invite", &["tenant invite contoso.example --lang de"]),
    ("tenant check", &["tenant check contoso", "tenant check --all --except tag:trial"]),
    ("tenant guide", &["tenant guide contoso --check", "tenant guide contoso --markdown --lang nl"]),
    ("tenant offboard", &["tenant offboard contoso"]),
    ("tenant edit", &["tenant edit contoso --name 'Contoso Ltd' --add-tag gold"]),
    ("tenant list", &["tenant list", "tenant list tag:gold --output json"]),
    ("tenant show", &["tenant show contoso"]),
    ("tenant pause", &["tenant pause contoso fabrikam", "tenant pause tag:trial"]),
    ("tenant resume", &["tenant resume contoso"]),
    ("tenant tag add", &["tenant tag add contoso gold region:emea"]),
    ("tenant tag remove", &["tenant tag remove contoso trial"]),
    ("tenant remove", &["tenant remove contoso"]),
    ("tenant import", &["tenant import customers.csv --dry-run", "tenant import customers.csv"]),
    (
        "fetch",
        &["fetch --tenant contoso --since 24h", "fetch --all --severity high --format cef --limit 100"],
    ),
    (
        "hunt",
        &[
            "hunt 'DeviceInfo | take 5' --tenant contoso",
            "hunt @query.kql --tenant tag:gold --timespan 7d --output csv",
        ],
    ),
    (
        "backfill",
        &[
            "backfill --tenant contoso --since 30d",
            "backfill --tenant all --since 2026-11-01 --until 2026-11-08",
        ],
    ),
    ("backfill list", &["backfill list"]),
    ("backfill resume", &["backfill resume"]),
    ("backfill cancel", &["backfill cancel --tenant contoso"]),
    (
        "replay",
        &["replay --tenant contoso --since 2d --sink archive --dry-run", "replay --tenant all --unrouted"],
    ),
    ("client add", &["client add --tenant contoso --name arcsight"]),
    ("client list", &["client list"]),
    ("client revoke", &["client revoke 5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d"]),
    (
        "route explain",
        &["route explain alert.json --tenant contoso", "route explain --id da637551227677560813_-961444813"],
    ),
    ("route diff", &["route diff --since 7d", "route diff --against old.toml"]),
    ("ledger", &["ledger", "ledger --tenant contoso --since 7d"]),
    ("drift", &["drift --since 7d"]),
    (
        "alerts search",
        &[
            "alerts search --since 24h --severity high,medium",
            "alerts search --tenant tag:gold --host 'srv-*' --user alice",
            "alerts search --text mimikatz --limit 500 -o json",
            "alerts search --id da637551227677560813_-961444813 --versions",
        ],
    ),
    (
        "alerts show",
        &[
            "alerts show da637551227677560813_-961444813",
            "alerts show 924565 --tenant contoso --source xdr_incidents",
            "alerts show da637551227677560813_-961444813 --raw",
        ],
    ),
    ("trace", &["trace da637551227677560813_-961444813 --tenant contoso"]),
    ("status", &["status --watch", "status --failing", "status --check --lag 15m,1h"]),
    ("splunk-app", &["splunk-app /opt/splunk/etc/apps --index mssp"]),
    (
        "siem-config",
        &["siem-config splunk --sink splunk", "siem-config arcsight --tenant contoso --folder connectors"],
    ),
    ("format", &["format --to cef,ecs alert.json", "format --sink splunk --explain alert.json"]),
    ("test", &["test expected", "test expected --write --to cef"]),
    ("sink test", &["sink test", "sink test splunk"]),
    ("sink list", &["sink list"]),
    ("sink diff", &["sink diff arcsight splunk --since 2d"]),
    ("sink verify", &["sink verify splunk --since 1d", "sink verify splunk --send-again"]),
    ("dead-letter list", &["dead-letter list"]),
    ("dead-letter show", &["dead-letter show 12"]),
    (
        "dead-letter retry",
        &[
            "dead-letter retry 17 18",
            "dead-letter retry --sink splunk --reason 'too large'",
            "dead-letter retry --all",
        ],
    ),
    (
        "dead-letter remove",
        &[
            "dead-letter remove --tenant contoso --since 7d --dry-run",
            "dead-letter remove --reason '*is not JSON*' --yes",
        ],
    ),
    (
        "dead-letter export",
        &["dead-letter export --all", "dead-letter export --sink splunk --since 7d --file dead.ndjson"],
    ),
    ("app register", &["app register main --tenant provider.example"]),
    ("app show", &["app show", "app show main"]),
    ("app consent-url", &["app consent-url main --tenant contoso"]),
    ("app rotate-secret", &["app rotate-secret main"]),
    ("app rotate-certificate", &["app rotate-certificate main --lifetime 180d"]),
    ("app check", &["app check main"]),
    ("token acquire", &["token acquire --tenant contoso", "token acquire --tenant contoso --flow device"]),
    ("token inspect", &["token inspect @token.txt", "token inspect -"]),
    ("token verify", &["token verify --tenant contoso @token.txt"]),
    ("token list", &["token list"]),
    ("token forget", &["token forget --tenant contoso"]),
    ("token export", &["token export --tenant contoso --for arcsight"]),
    ("token refresh", &["token refresh --tenant contoso"]),
    ("node list", &["node list"]),
    ("store init", &["store init"]),
    (
        "store migrate",
        &["store migrate --from sqlite:/var/lib/muster/muster.db --to postgres://muster@db.example/muster"],
    ),
    ("backup", &["backup /backup/muster-2026-11-30.db"]),
    ("restore", &["restore /backup/muster-2026-11-30.db"]),
    ("key rotate", &["key rotate"]),
    ("key show", &["key show"]),
    ("audit list", &["audit list"]),
    ("audit verify", &["audit verify"]),
    ("audit export", &["audit export"]),
    ("completions", &["completions bash"]),
    ("man", &["man /usr/local/share/man/man1"]),
];

/// The command line with the examples below each command.
pub(crate) fn add(command: clap::Command) -> clap::Command {
    below(command, "")
}

fn below(command: clap::Command, path: &str) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name.as_str(), |sub| {
            let path = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
            let sub = below(sub, &path);
            match EXAMPLES.iter().find(|(of, _)| *of == path) {
                Some((_, calls)) => {
                    let before = sub.get_after_help().map(|help| format!("{help}\n\n")).unwrap_or_default();
                    sub.after_help(before + &text(calls))
                }
                None => sub,
            }
        })
    })
}

fn text(calls: &[&str]) -> String {
    let mut text = String::from(if calls.len() == 1 { "Example:" } else { "Examples:" });
    for call in calls {
        write!(text, "\n  muster {call}").expect("a String takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::definition;

    /// The words of a line as a shell parts them, with single quotes only.
    fn words(call: &str) -> Vec<String> {
        let mut words = vec!["muster".to_owned()];
        for (index, part) in call.split('\'').enumerate() {
            match index % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push(part.to_owned()),
            }
        }
        words
    }

    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
            let path = format!("{path} {}", sub.get_name()).trim().to_owned();
            // `backfill` does something by itself, too.
            if !sub.has_subcommands() || !sub.is_subcommand_required_set() {
                found.push(path.clone());
            }
            leaves(sub, &path, found);
        }
    }

    #[test]
    fn every_command_has_an_example_that_it_takes() {
        let muster = definition();
        let mut known = Vec::new();
        leaves(&muster, "", &mut known);
        for path in &known {
            let found = EXAMPLES.iter().find(|(of, _)| of == path);
            let (_, calls) =
                found.unwrap_or_else(|| panic!("`muster {path}` has no example: add one to EXAMPLES"));
            assert!(!calls.is_empty(), "{path}");
            for call in *calls {
                assert!(call.starts_with(path.as_str()), "`{call}` stands below `{path}`");
                let parsed = muster.clone().try_get_matches_from(words(call));
                assert!(parsed.is_ok(), "`muster {call}`: {}", parsed.expect_err("wrong"));
            }
        }
        let gone: Vec<_> = EXAMPLES.iter().filter(|(of, _)| !known.iter().any(|path| path == of)).collect();
        assert!(gone.is_empty(), "no such commands: {gone:?}");
    }

    #[test]
    fn what_goes_for_all_commands_stands_apart() {
        let mut muster = definition();
        muster.build();
        let status = muster.find_subcommand_mut("status").expect("there").render_long_help().to_string();
        let (own, global) = status.split_once("Options for every command:").expect("a heading");
        assert!(own.contains("--watch") && !own.contains("--config"), "{status}");
        assert!(global.contains("--config") && global.contains("muster status --watch"), "{status}");
    }
}
