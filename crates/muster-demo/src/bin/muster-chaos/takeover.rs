//! How long the tenants of a node that was killed wait until Microsoft is asked for them again: by another node, or by the one that
//! was started in its place. Drawn from when the emulated Graph was asked over which connection.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use muster_emulator::NotedRequest;
use serde::Serialize;

/// A tenant that was not asked for within so long before the kill was not in the dead node's care.
const RECENT: Duration = Duration::from_secs(120);

/// A node was killed.
#[derive(Debug, Clone)]
pub(crate) struct Kill {
    pub(crate) at: Timestamp,
    /// Of the connections that it had.
    pub(crate) ports: BTreeSet<u16>,
}

/// Seconds: the median, 99 of a hundred, and the longest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Waits {
    pub(crate) median: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// What became of the tenants of nodes that were killed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct TakeOvers {
    pub(crate) kills: usize,
    /// How many were asked for again, counted at each kill.
    pub(crate) tenants: usize,
    /// Those that were never asked for again: offboarded, or the run was over.
    pub(crate) never: usize,
    /// From the kill to the first request by another process.
    pub(crate) since_kill: Waits,
    /// The same, from when the tenant was next due: from the kill on, or an interval after it had last been asked for.
    pub(crate) since_due: Waits,
}

impl TakeOvers {
    /// `requests` of each tenant, in order; each tenant is asked for every so many seconds.
    pub(crate) fn of(
        kills: &[Kill],
        requests: &HashMap<String, Vec<NotedRequest>>,
        interval: Duration,
    ) -> Self {
        let (mut since_kill, mut since_due, mut never) = (Vec::new(), Vec::new(), 0);
        for kill in kills {
            for asked in requests.values() {
                let (before, after) = asked.split_at(asked.partition_point(|asked| asked.at < kill.at));
                let Some(last) = before.last() else { continue };
                let age = kill.at.duration_since(last.at).unsigned_abs();
                if age > RECENT || !kill.ports.contains(&last.from) {
                    continue;
                }
                // What it had just sent is no other's.
                let Some(next) = after.iter().find(|next| !kill.ports.contains(&next.from)) else {
                    never += 1;
                    continue;
                };
                let wait = next.at.duration_since(kill.at).as_secs_f64();
                since_kill.push(wait);
                since_due.push((wait - interval.saturating_sub(age).as_secs_f64()).max(0.0));
            }
        }
        Self {
            kills: kills.len(),
            tenants: since_kill.len(),
            never,
            since_kill: Waits::of(since_kill),
            since_due: Waits::of(since_due),
        }
    }
}

impl Waits {
    fn of(mut all: Vec<f64>) -> Self {
        all.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (all.len().saturating_sub(1) as f64 * share) as usize;
            all.get(place).map_or(0.0, |seconds| (seconds * 100.0).round() / 100.0)
        };
        Self { median: at(0.5), p99: at(0.99), max: at(1.0) }
    }
}

/// The ports that a process has connected from, to this port of the loopback.
pub(crate) fn ports_of(pid: u32, to: u16) -> std::io::Result<BTreeSet<u16>> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd"))?.flatten();
    let sockets: BTreeSet<String> = files
        .filter_map(|file| {
            let link = std::fs::read_link(file.path()).ok()?;
            Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let connections = std::fs::read_to_string(format!("/proc/{pid}/net/tcp"))?;
    let port = |address: &str| u16::from_str_radix(address.split_once(':')?.1, 16).ok();
    let ours = connections.lines().skip(1).filter_map(|line| {
        // Number, our address, theirs, …; the tenth is the socket.
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_ours = sockets.contains(*fields.get(9)?) && port(fields[2])? == to;
        is_ours.then(|| port(fields[1])).flatten()
    });
    Ok(ours.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).expect("a time")
    }

    #[test]
    fn the_tenants_of_the_dead_are_told_by_their_connections() {
        let asked = |all: &[(i64, u16)]| {
            all.iter().map(|&(second, from)| NotedRequest { at: at(second), from }).collect::<Vec<_>>()
        };
        let requests = HashMap::from([
            // Its own: asked for again after 12 s, by which it had been due for 7; the request at 101 was under way.
            ("dead".to_owned(), asked(&[(95, 1), (101, 1), (112, 9)])),
            ("never again".to_owned(), asked(&[(99, 2)])),
            ("another's".to_owned(), asked(&[(98, 5), (108, 5)])),
            ("long ago".to_owned(), asked(&[(-50, 1), (120, 5)])),
        ]);
        let kills = [Kill { at: at(100), ports: BTreeSet::from([1, 2]) }];
        let told = TakeOvers::of(&kills, &requests, Duration::from_secs(10));
        assert_eq!((told.kills, told.tenants, told.never), (1, 1, 1));
        assert_eq!((told.since_kill.max, told.since_due.max), (12.0, 7.0));
    }

    #[test]
    fn the_ports_of_a_process_are_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let to = listener.local_addr().expect("its address").port();
        let stream = std::net::TcpStream::connect(("127.0.0.1", to)).expect("a connection");
        let from = stream.local_addr().expect("its address").port();
        let ports = ports_of(std::process::id(), to).expect("/proc can be read");
        assert_eq!(ports, BTreeSet::from([from]));
    }
}
