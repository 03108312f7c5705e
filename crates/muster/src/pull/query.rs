//! What a request of the pull API asks for: the parameters of the old one, read as it read them.

use std::time::Duration;

use jiff::{SpanRelativeTo, Timestamp};
use muster_model::text::shown;
use muster_model::time::moment;

/// How far back it is looked where nothing is said: as the old API did.
const DEFAULT_BACK: Duration = Duration::from_secs(2 * 3_600);
/// How far a client's clock may be ahead of ours.
pub const AHEAD_MAX: Duration = Duration::from_secs(300);
/// The most values of a parameter that may be repeated.
const VALUES_MAX: usize = 100;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Processed later than this.
    pub after: Timestamp,
    /// Processed up to this; up to now where there is none.
    pub up_to: Option<Timestamp>,
    /// At most so many, the newest first.
    pub limit: Option<usize>,
    /// Of devices of one of these groups.
    pub groups: Vec<String>,
    /// Of devices with one of these tags, for each parameter that names some.
    pub tags: Vec<Vec<String>>,
}

impl Query {
    /// Reads the query of an address.
    ///
    /// # Errors
    /// What is wrong with it, for whoever wrote the client.
    pub fn read(query: &str, now: Timestamp) -> Result<Self, String> {
        let (mut since, mut until, mut ago, mut limit) = (None, None, None, None);
        let (mut groups, mut device_tags, mut cloud_tags) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.to_ascii_lowercase().as_str() {
                "sincetimeutc" => once(&mut since, "sinceTimeUtc", time("sinceTimeUtc", &value)?)?,
                "untiltimeutc" => once(&mut until, "untilTimeUtc", time("untilTimeUtc", &value)?)?,
                "ago" => once(&mut ago, "ago", before(&value, now)?)?,
                "limit" => once(&mut limit, "limit", count(&value)?)?,
                "machinegroups" => several(&mut groups, "machinegroups", &value)?,
                "devicecreatedmachinetags" => several(&mut device_tags, "DeviceCreatedMachineTags", &value)?,
                "cloudcreatedmachinetags" => several(&mut cloud_tags, "CloudCreatedMachineTags", &value)?,
                // The old API paid no heed to others either.
                _ => {}
            }
        }
        if ago.is_some() && (since.is_some() || until.is_some()) {
            return Err(
                "ago stands in the place of sinceTimeUtc and untilTimeUtc: use one or the other".to_owned()
            );
        }
        let ahead = now.checked_add(AHEAD_MAX).unwrap_or(Timestamp::MAX);
        for (name, time) in [("sinceTimeUtc", since), ("untilTimeUtc", until)] {
            if let Some(time) = time.filter(|time| *time > ahead) {
                return Err(format!(
                    "{name} {time} lies in the future: it is {now:.0} here, so one of the two clocks is wrong"
                ));
            }
        }
        let back = now.checked_sub(DEFAULT_BACK).unwrap_or(Timestamp::MIN);
        let after = since.or(ago).unwrap_or(back);
        if until.is_some_and(|until| until < after) {
            return Err("untilTimeUtc lies before sinceTimeUtc".to_owned());
        }
        let tags = [device_tags, cloud_tags].into_iter().filter(|tags| !tags.is_empty()).collect();
        Ok(Self { after, up_to: until, limit, groups, tags })
    }
}

fn once<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("{name} stands there twice")),
    }
}

fn several(values: &mut Vec<String>, name: &str, value: &str) -> Result<(), String> {
    if values.len() == VALUES_MAX {
        return Err(format!("{name} stands there more than {VALUES_MAX} times"));
    }
    values.push(value.to_owned());
    Ok(())
}

fn time(name: &str, value: &str) -> Result<Timestamp, String> {
    // The plus of an offset that was not encoded has become a blank.
    let time = moment(value)
        .or_else(|| value.rsplit_once(' ').and_then(|(day, zone)| moment(&format!("{day}+{zone}"))));
    time.ok_or_else(|| format!("{name}={} is not a time: write 2026-11-29T08:30:00Z", shown(value, 60)))
}

/// The time that lies so long before now.
fn before(value: &str, now: Timestamp) -> Result<Timestamp, String> {
    let wrong = || format!("ago={} is not a duration: write PT10M or P1D", shown(value, 60));
    let written = value.starts_with(['P', 'p']);
    let span = value.parse::<jiff::Span>().ok().filter(|_| written).ok_or_else(wrong)?;
    let back = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    if back.is_negative() {
        return Err(wrong());
    }
    Ok(now.checked_sub(back).unwrap_or(Timestamp::MIN))
}

fn count(value: &str) -> Result<usize, String> {
    let count = value.parse::<usize>().ok().filter(|count| *count > 0);
    count.ok_or_else(|| format!("limit={} is not a number from 1 on", shown(value, 60)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn read(query: &str) -> Result<Query, String> {
        Query::read(query, at("2026-11-29T12:00:00Z"))
    }

    fn all(after: &str) -> Query {
        Query { after: at(after), up_to: None, limit: None, groups: Vec::new(), tags: Vec::new() }
    }

    #[test]
    fn parameters_are_read_as_the_old_api_read_them() {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for (query, expected) in [
            ("", all("2026-11-29T10:00:00Z")),
            ("sinceTimeUtc=2026-11-29T08:30:00.1234567Z", all("2026-11-29T08:30:00.1234567Z")),
            ("sincetimeutc=2026-11-29T08:30:00", all("2026-11-29T08:30:00Z")),
            ("sinceTimeUtc=2026-11-29T08%3A30%3A00%2B02%3A00", all("2026-11-29T06:30:00Z")),
            ("sinceTimeUtc=2026-11-29T08:30:00+02:00", all("2026-11-29T06:30:00Z")),
            ("sinceTimeUtc=2026-11-29T12:04:59Z", all("2026-11-29T12:04:59Z")),
            ("ago=PT10M", all("2026-11-29T11:50:00Z")),
            ("ago=P1DT1H", all("2026-11-28T11:00:00Z")),
            (
                "sinceTimeUtc=2026-11-01T00:00:00Z&untilTimeUtc=2026-11-02T00:00:00Z&limit=7&machinegroups=UKMachines&machinegroups=France%20Machines&DeviceCreatedMachineTags=vip&CloudCreatedMachineTags=a&CloudCreatedMachineTags=b&api-version=1",
                Query {
                    up_to: Some(at("2026-11-02T00:00:00Z")),
                    limit: Some(7),
                    groups: owned(&["UKMachines", "France Machines"]),
                    tags: vec![owned(&["vip"]), owned(&["a", "b"])],
                    ..all("2026-11-01T00:00:00Z")
                },
            ),
        ] {
            assert_eq!(read(query), Ok(expected), "{query}");
        }
    }

    #[test]
    fn what_is_no_answer_to_be_trusted_is_refused() {
        for (query, words) in [
            ("sinceTimeUtc=", "is not a time"),
            ("sinceTimeUtc=yesterday", "is not a time"),
            ("sinceTimeUtc=$START_AT_TIME", "is not a time"),
            ("sinceTimeUtc=2026-11-29T12:05:01Z", "lies in the future"),
            ("untilTimeUtc=2027-11-29T12:05:01Z", "lies in the future"),
            ("sinceTimeUtc=2026-11-29T08:00:00Z&sinceTimeUtc=2026-11-29T08:00:00Z", "twice"),
            ("sinceTimeUtc=2026-11-29T08:00:00Z&untilTimeUtc=2026-11-29T07:00:00Z", "lies before"),
            ("ago=PT10M&sinceTimeUtc=2026-11-29T08:00:00Z", "one or the other"),
            ("ago=10m", "is not a duration"),
            ("ago=-PT10M", "is not a duration"),
            ("ago=P1M", "is not a duration"),
            ("limit=0", "is not a number"),
            ("limit=-1", "is not a number"),
            ("limit=99999999999999999999", "is not a number"),
            (&"machinegroups=a&".repeat(101), "more than 100 times"),
        ] {
            let error = read(query).expect_err(query);
            assert!(error.contains(words), "{query}: {error}");
        }
        assert!(!read("sinceTimeUtc=%1b[31m").expect_err("no time").contains('\u{1b}'));
    }
}
