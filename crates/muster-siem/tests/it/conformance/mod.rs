//! Compares what the formats write with what other products write for the same records: `cargo test -p
//! muster-siem --test it conformance -- --nocapture`; with `MUSTER_CONFORMANCE=all` it shows each file of a folder, with
//! `values` (or `all,values`) the values of each field that is not simply equal.
//!
//! The corpus is recorded records with the events that Elastic's integrations, Sekoia's intakes and Tenzir's library
//! make of them; it lies beside the checkout (`../shared/corpus`) and is no part of the repository. For each file and
//! in all the report counts fields: equal, more (a list with all expected values and further ones, in a field that may
//! be a list), different, missing, extra. Names of ECS or OCSF are counted, and those of Elastic Defend that Elastic's
//! detection rules ask for; those of vendors' own namespaces apart, and so is what does not come from the record. Each
//! deliberate difference stands in `DELIBERATE` with its reason, its number, and what must hold of its values, so
//! that a value that gets lost is not taken for one. Lists are compared without their order, except words of command
//! lines; numbers and strings are told apart in OCSF, where they are different types.
//!
//! It fails when the share of what is equal, more or deliberate is below the aim; and when something was not
//! compared that should have been: a file that is gone or has another number of records, a record of which nothing is
//! written, an expected output that is in no list, a deliberate difference that occurs more often than it did, more
//! fields without an explanation than `OPEN`.

mod compare;
mod deliberate;
mod sets;
mod tally;

use std::collections::BTreeMap;
use std::path::Path;

use self::compare::{Standard, compare, files, pairs};
use self::deliberate::{DELIBERATE, Difference};
use self::sets::{Layout, NOT_COMPARED, SETS};
use self::tally::Tally;
use crate::corpus::corpus;
use crate::environment::environment;

/// The least share of fields that must be equal, more or deliberately different, in percent.
const AIM_PERCENT: f64 = 97.0;

/// How many fields are not explained. A further one is a loss, even above the aim.
const OPEN: usize = 0;

/// The report, and that enough is equal or deliberately different.
#[test]
fn enough_is_as_other_products_write_it() {
    let Some(corpus) = corpus("") else { return };
    let shown = environment("MUSTER_CONFORMANCE").unwrap_or_default();
    let shows = |what| shown.to_string_lossy().split(',').any(|word| word == what);
    assert!(report(&corpus, shows("all"), shows("values")), "see the report above");
}

/// Prints the report, and says whether all is as it should be.
fn report(corpus: &Path, verbose: bool, values: bool) -> bool {
    let mut faults = unlisted(corpus);
    let standard = Standard::read(corpus);
    if standard.ecs.is_empty() {
        faults.push("no names of ECS were read: ecs/ecs-fields-*.csv".to_owned());
    }
    let mut all: BTreeMap<&str, Tally> = BTreeMap::new();
    println!(
        "{:<70} {:>7} {:>6} {:>6} {:>6} {:>6} {:>6} {:>7} {:>6} {:>7} {:>7} {:>7}",
        "file",
        "records",
        "fields",
        "equal",
        "more",
        "delib.",
        "differ",
        "missing",
        "extra",
        "equal",
        "+more",
        "+delib."
    );
    for set in SETS {
        let mut total = Tally::default();
        for file in files(corpus, set) {
            let mut tally = Tally::default();
            for pair in pairs(&file, set.layout) {
                compare(set, &standard, &pair, &mut tally);
            }
            let name = file.strip_prefix(corpus).unwrap_or(&file).display().to_string();
            if set.layout != Layout::Sekoia || verbose {
                tally.print(&name);
            }
            total.add(tally);
        }
        if set.layout == Layout::Sekoia {
            total.print(set.path);
        }
        if total.records != set.records {
            faults.push(format!("{}: {} records, and not {}", set.path, total.records, set.records));
        }
        all.entry(set.name).or_default().add(total);
    }
    let mut sum = Tally::default();
    for peer in ["elastic", "sekoia", "tenzir"] {
        let mut of_peer = Tally::default();
        for (name, tally) in all.iter().filter(|(name, _)| name.starts_with(peer)) {
            if *name != peer {
                tally.print(&format!("= {name}"));
            }
            of_peer.add(tally.clone());
        }
        of_peer.print(&format!("= {peer}, all"));
        sum.add(of_peer);
    }
    sum.print("= all");
    if sum.unwritten > 0 {
        faults.push(format!("of {} records nothing is written", sum.unwritten));
    }
    println!(
        "\nof vendors' own names {} fields were expected; {} of them we write too",
        sum.vendor, sum.vendor_equal
    );
    println!("{} records had no id, and got one; {} made more than one event", sum.without_id, sum.split);
    if !sum.lists.is_empty() {
        println!("\nof hunting rows, several values where ECS has one:");
        sum.lists.iter().for_each(|(field, count)| println!("{count:>6}  {field}"));
    }
    println!("\nnot compared:");
    for (path, reason) in NOT_COMPARED {
        println!("        {path}: {reason}");
    }
    println!("\nleft out, since they do not come from the record:");
    for (reason, count) in &sum.underived {
        println!("{count:>6}  {reason}");
    }
    println!("\ndeliberate differences:");
    for (at, difference) in DELIBERATE.iter().enumerate() {
        let count = sum.known.get(&at).copied().unwrap_or_default();
        println!("{count:>6}  {} {}: {}", difference.set, difference.field, difference.reason);
        if count == 0 {
            faults.push(format!("no longer a difference: {} {}", difference.set, difference.field));
        } else if count > difference.count {
            let Difference { set, field, count: before, .. } = difference;
            faults.push(format!("{set} {field}: {count} deliberate differences, and not {before}"));
        }
    }
    println!("\nnot explained:");
    let mut by_field: BTreeMap<(&str, &str), (usize, &str)> = BTreeMap::new();
    for (set, field, shown) in &sum.open {
        by_field.entry((set, field)).or_insert_with(|| (0, shown)).0 += 1;
    }
    let mut by_field: Vec<_> = by_field.into_iter().collect();
    by_field.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    for ((set, field), (count, shown)) in by_field {
        println!("{count:>6}  {set} {field}: {shown}");
    }
    if sum.open.len() > OPEN {
        faults.push(format!("{} fields are not explained, and not {OPEN}", sum.open.len()));
    }
    if values {
        println!("\nvalues:");
        sum.shown.iter().for_each(|line| println!("{line}"));
    }
    println!();
    for fault in &faults {
        println!("{fault}");
    }
    let reached = sum.share() >= AIM_PERCENT;
    println!("{} the aim of {AIM_PERCENT} %", if reached { "above" } else { "below" });
    reached && faults.is_empty()
}

/// Files with an expected output that are neither compared nor named with a reason why not.
fn unlisted(corpus: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![corpus.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(corpus).unwrap_or(&path).display().to_string();
            let expects = ["expected", "sample_event", ".ocsf.json", ".fields.json"]
                .iter()
                .any(|part| name.contains(part))
                || name.starts_with("sekoia-intake-formats");
            let plain = name.replace("-expected.json", "").replace(".ocsf-expected.json", "");
            let plain = plain.trim_end_matches(".ocsf");
            let compared = SETS.iter().any(|set| plain.starts_with(set.path.trim_end_matches(".ndjson")));
            if expects
                && !compared
                && !NOT_COMPARED.iter().any(|(path, _)| name.starts_with(path.trim_end_matches(".ndjson")))
            {
                found.push(format!("{name}: neither compared nor named with a reason why not"));
            }
        }
    }
    found.sort();
    found
}
