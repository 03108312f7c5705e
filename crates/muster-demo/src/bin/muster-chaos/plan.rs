//! Which disasters strike when: drawn from a seed before anything runs, so that the same seed gives the same plan on every
//! machine.

use std::fmt;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Layout {
    /// One node with its store in a file.
    Sqlite,
    /// Three nodes that share a PostgreSQL database, which has a standby.
    Postgres,
}

impl Layout {
    pub(crate) fn nodes(self) -> usize {
        match self {
            Self::Sqlite => 1,
            Self::Postgres => 3,
        }
    }
}

/// A receiver that can be told to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receiver {
    Splunk,
    Syslog,
}

/// What a receiver does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misbehaviour {
    Down,
    Stalls,
    Cuts,
    Busy,
    Slow,
    LosesAcknowledgements,
}

/// What Microsoft does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    Throttled,
    ServerErrors,
    Resets,
    HalfAnswers,
    Slow,
    NoTokens,
}

/// What happens to a node's way to its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Cut,
    Stalled,
    Delayed,
}

/// Everything that can go wrong, or is done by an operator at a bad moment. Nodes are counted from 0, tenants by their places
/// in the emulated world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disaster {
    /// SIGKILL, and a start.
    Kill {
        node: usize,
    },
    /// SIGSTOP, and SIGCONT.
    Pause {
        node: usize,
    },
    /// SIGTERM, and a start.
    Leave {
        node: usize,
    },
    /// Other settings, and SIGHUP.
    Reload {
        node: usize,
    },
    /// Each node is replaced by the other program, one after the other.
    Upgrade,
    /// The node's clock is wrong, and right again.
    JumpClock {
        node: usize,
        seconds: i64,
    },
    Database {
        node: usize,
        trouble: Trouble,
    },
    /// The primary is killed, and its standby promoted.
    FailOver,
    /// The disk of the store has no room.
    FillStore,
    /// The disk of the file sink has no room.
    FillArchive,
    Receiver {
        receiver: Receiver,
        does: Misbehaviour,
    },
    Microsoft(Outage),
    /// A customer withdraws consent, and gives it again.
    WithdrawConsent {
        tenant: usize,
    },
    RotateMasterKey,
    /// The app's secret is another from now on.
    RotateSecret,
    Onboard {
        tenant: usize,
    },
    Offboard {
        tenant: usize,
    },
}

/// What a disaster needs for itself: no two strike the same at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Node(usize),
    AllNodes,
    Way(usize),
    Database,
    StoreDisk,
    ArchiveDisk,
    Receiver(Receiver),
    Microsoft,
    Consent(usize),
    Keys,
    Tenants,
}

impl Subject {
    fn excludes(self, other: Self) -> bool {
        match (self, other) {
            (Self::AllNodes, Self::Node(_)) | (Self::Node(_), Self::AllNodes) => true,
            _ => self == other,
        }
    }
}

/// A disaster with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Counted from the beginning.
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) disaster: Disaster,
}

/// Which tenants are there from the beginning, and which are onboarded on the way: the first ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tenants {
    pub(crate) at_first: usize,
    pub(crate) all: usize,
}

/// Before this, the nodes start.
const FIRST_AT: Duration = Duration::from_secs(3);
/// How much is left free at the end.
const LAST_BEFORE: Duration = Duration::from_secs(5);
/// Draws that fit nowhere are drawn again, so often at most for one moment.
const TRIES: u32 = 8;
/// The same where most of what is drawn is not wanted.
const TRIES_FOR_SOME: u32 = 200;

/// The plan of this seed; with disasters of these kinds alone, where some are told.
pub(crate) fn plan(
    layout: Layout,
    tenants: Tenants,
    lasts: Duration,
    seed: u64,
    only: &[String],
) -> Vec<Step> {
    let is_wanted = |disaster: Disaster| only.is_empty() || only.iter().any(|only| only == disaster.kind());
    let tries = if only.is_empty() { TRIES } else { TRIES_FOR_SOME };
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
    let mut steps: Vec<Step> = Vec::new();
    let mut drawing = Drawing { layout, tenants, onboarded: 0, offboarded: 0 };
    let end = lasts.saturating_sub(LAST_BEFORE);
    let mut at = FIRST_AT;
    while at < end {
        for _ in 0..tries {
            let Some((disaster, seconds)) = drawing.draw(&mut dice) else { continue };
            if !is_wanted(disaster) {
                continue;
            }
            let lasts = Duration::from_secs(seconds);
            let is_busy = |step: &&Step| {
                step.at + step.lasts > at && step.disaster.subject().excludes(disaster.subject())
            };
            if at + lasts > end || steps.iter().rev().take(40).any(|step| is_busy(&step)) {
                continue;
            }
            drawing.took(disaster);
            steps.push(Step { at, lasts, disaster });
            break;
        }
        at += Duration::from_millis(1_000 + dice.below(4_000));
    }
    steps
}

/// What may be drawn.
struct Drawing {
    layout: Layout,
    tenants: Tenants,
    onboarded: usize,
    offboarded: usize,
}

impl Drawing {
    /// A disaster and how many seconds it lasts; none where the draw makes no sense here.
    fn draw(&self, dice: &mut Dice) -> Option<(Disaster, u64)> {
        let node = dice.below(self.layout.nodes() as u64) as usize;
        let shared = self.layout == Layout::Postgres;
        let short = 1 + dice.below(6);
        let long = 3 + dice.below(15);
        let receiver = *dice.one_of(&[Receiver::Splunk, Receiver::Syslog]);
        // The numbers are weights.
        let drawn = match dice.below(100) {
            0..14 => (Disaster::Kill { node }, *dice.one_of(&[0, 1, 3, 12])),
            14..22 => (Disaster::Pause { node }, long),
            22..28 => (Disaster::Leave { node }, 6),
            28..32 => (Disaster::Reload { node }, 2),
            32..35 => (Disaster::Upgrade, 8 * self.layout.nodes() as u64),
            35..40 => {
                let seconds = *dice.one_of(&[-7_200, -120, -20, 20, 120, 7_200]);
                (Disaster::JumpClock { node, seconds }, long)
            }
            40..48 if shared => {
                let trouble = *dice.one_of(&[Trouble::Cut, Trouble::Stalled, Trouble::Delayed]);
                (Disaster::Database { node, trouble }, short)
            }
            48..51 if shared => (Disaster::FailOver, 25),
            40..44 => (Disaster::FillStore, short),
            51..56 => (Disaster::FillArchive, long),
            56..72 => {
                let does = *dice.one_of(match receiver {
                    Receiver::Splunk => &[
                        Misbehaviour::Down,
                        Misbehaviour::Stalls,
                        Misbehaviour::Cuts,
                        Misbehaviour::Busy,
                        Misbehaviour::Slow,
                        Misbehaviour::LosesAcknowledgements,
                    ],
                    Receiver::Syslog => &[
                        Misbehaviour::Down,
                        Misbehaviour::Stalls,
                        Misbehaviour::Cuts,
                        Misbehaviour::Slow,
                        Misbehaviour::LosesAcknowledgements,
                    ],
                });
                (Disaster::Receiver { receiver, does }, long)
            }
            72..84 => {
                let outage = *dice.one_of(&[
                    Outage::Throttled,
                    Outage::ServerErrors,
                    Outage::Resets,
                    Outage::HalfAnswers,
                    Outage::Slow,
                    Outage::NoTokens,
                ]);
                (Disaster::Microsoft(outage), long)
            }
            84..88 => {
                let tenant = dice.below(self.tenants.at_first as u64) as usize;
                (Disaster::WithdrawConsent { tenant }, long)
            }
            88..91 => (Disaster::RotateMasterKey, 5),
            91..94 => (Disaster::RotateSecret, 8),
            94..98 if self.tenants.at_first + self.onboarded < self.tenants.all => {
                (Disaster::Onboard { tenant: self.tenants.at_first + self.onboarded }, 4)
            }
            // The last ones first; a quarter of them at most.
            98..100 if self.offboarded < self.tenants.at_first / 4 => {
                (Disaster::Offboard { tenant: self.tenants.at_first - 1 - self.offboarded }, 4)
            }
            _ => return None,
        };
        Some(drawn)
    }

    fn took(&mut self, disaster: Disaster) {
        match disaster {
            Disaster::Onboard { .. } => self.onboarded += 1,
            Disaster::Offboard { .. } => self.offboarded += 1,
            _ => {}
        }
    }
}

struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound.max(1)
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

impl Disaster {
    fn subject(self) -> Subject {
        match self {
            Self::Kill { node }
            | Self::Pause { node }
            | Self::Leave { node }
            | Self::Reload { node }
            | Self::JumpClock { node, .. } => Subject::Node(node),
            Self::Upgrade => Subject::AllNodes,
            Self::Database { node, .. } => Subject::Way(node),
            Self::FailOver => Subject::Database,
            Self::FillStore => Subject::StoreDisk,
            Self::FillArchive => Subject::ArchiveDisk,
            Self::Receiver { receiver, .. } => Subject::Receiver(receiver),
            Self::Microsoft(_) => Subject::Microsoft,
            Self::WithdrawConsent { tenant } => Subject::Consent(tenant),
            Self::RotateMasterKey | Self::RotateSecret => Subject::Keys,
            Self::Onboard { .. } | Self::Offboard { .. } => Subject::Tenants,
        }
    }

    /// What kind it is, as the account counts them.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Kill { .. } => "node killed",
            Self::Pause { .. } => "node paused",
            Self::Leave { .. } => "node stopped",
            Self::Reload { .. } => "settings reloaded",
            Self::Upgrade => "program replaced",
            Self::JumpClock { .. } => "clock wrong",
            Self::Database { trouble: Trouble::Cut, .. } => "database cut off",
            Self::Database { trouble: Trouble::Stalled, .. } => "database stalled",
            Self::Database { trouble: Trouble::Delayed, .. } => "database delayed",
            Self::FailOver => "database failed over",
            Self::FillStore => "store's disk full",
            Self::FillArchive => "archive's disk full",
            Self::Receiver { does: Misbehaviour::LosesAcknowledgements, .. } => "acknowledgements lost",
            Self::Receiver { receiver: Receiver::Splunk, .. } => "Splunk misbehaved",
            Self::Receiver { receiver: Receiver::Syslog, .. } => "syslog misbehaved",
            Self::Microsoft(Outage::Throttled) => "Microsoft throttled",
            Self::Microsoft(_) => "Microsoft misbehaved",
            Self::WithdrawConsent { .. } => "consent withdrawn",
            Self::RotateMasterKey => "master key rotated",
            Self::RotateSecret => "secret rotated",
            Self::Onboard { .. } => "tenant onboarded",
            Self::Offboard { .. } => "tenant offboarded",
        }
    }

    /// Whether it may cost this sink an answer, so that something comes again.
    pub(crate) fn may_double(self, sink: Receiver) -> bool {
        match self {
            Self::Kill { .. }
            | Self::Pause { .. }
            | Self::Leave { .. }
            | Self::Upgrade
            | Self::Reload { .. }
            | Self::JumpClock { .. }
            | Self::Database { .. }
            | Self::FailOver
            | Self::FillStore => true,
            Self::Receiver { receiver, .. } => receiver == sink,
            Self::FillArchive
            | Self::Microsoft(_)
            | Self::WithdrawConsent { .. }
            | Self::RotateMasterKey
            | Self::RotateSecret
            | Self::Onboard { .. }
            | Self::Offboard { .. } => false,
        }
    }
}

impl Disaster {
    /// Whether it may keep the alerts of an incident back, so that the incident comes without them, and later with them.
    pub(crate) fn may_tell_in_parts(self) -> bool {
        matches!(self, Self::Microsoft(_))
    }
}

impl fmt::Display for Disaster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Kill { node } => write!(formatter, "node {} is killed", node + 1),
            Self::Pause { node } => write!(formatter, "node {} is paused", node + 1),
            Self::Leave { node } => write!(formatter, "node {} is told to stop, and started", node + 1),
            Self::Reload { node } => write!(formatter, "node {} reads other settings", node + 1),
            Self::Upgrade => formatter.write_str("the nodes get another program, one after the other"),
            Self::JumpClock { node, seconds } => {
                write!(formatter, "the clock of node {} is {seconds:+} s off", node + 1)
            }
            Self::Database { node, trouble } => {
                let what = match trouble {
                    Trouble::Cut => "is cut",
                    Trouble::Stalled => "stalls",
                    Trouble::Delayed => "is slow",
                };
                write!(formatter, "the way from node {} to the database {what}", node + 1)
            }
            Self::FailOver => formatter.write_str("the database fails over"),
            Self::FillStore => formatter.write_str("the store's disk is full"),
            Self::FillArchive => formatter.write_str("the archive's disk is full"),
            Self::Receiver { receiver, does } => {
                let who = match receiver {
                    Receiver::Splunk => "Splunk",
                    Receiver::Syslog => "syslog",
                };
                let what = match does {
                    Misbehaviour::Down => "is down",
                    Misbehaviour::Stalls => "stalls",
                    Misbehaviour::Cuts => "cuts connections",
                    Misbehaviour::Busy => "is busy",
                    Misbehaviour::Slow => "is slow",
                    Misbehaviour::LosesAcknowledgements => "acknowledges nothing",
                };
                write!(formatter, "{who} {what}")
            }
            Self::Microsoft(outage) => formatter.write_str(match outage {
                Outage::Throttled => "Microsoft throttles",
                Outage::ServerErrors => "Microsoft answers with errors",
                Outage::Resets => "Microsoft closes connections",
                Outage::HalfAnswers => "Microsoft's answers are cut in half",
                Outage::Slow => "Microsoft is slow",
                Outage::NoTokens => "Microsoft gives no tokens",
            }),
            Self::WithdrawConsent { tenant } => {
                write!(formatter, "tenant {} withdraws consent, and gives it again", tenant + 1)
            }
            Self::RotateMasterKey => formatter.write_str("the master key is rotated"),
            Self::RotateSecret => formatter.write_str("the app's secret is rotated"),
            Self::Onboard { tenant } => write!(formatter, "tenant {} is added", tenant + 1),
            Self::Offboard { tenant } => write!(formatter, "tenant {} is offboarded", tenant + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const TENANTS: Tenants = Tenants { at_first: 12, all: 16 };

    fn of(layout: Layout, minutes: u64, seed: u64) -> Vec<Step> {
        plan(layout, TENANTS, Duration::from_secs(60 * minutes), seed, &[])
    }

    #[test]
    fn of_some_kinds_alone_there_are_as_many() {
        let only = ["node killed", "node paused"].map(str::to_owned);
        let steps = plan(Layout::Postgres, TENANTS, Duration::from_secs(600), 3, &only);
        assert!(steps.len() > 80, "{}", steps.len());
        let kinds: BTreeSet<&str> = steps.iter().map(|step| step.disaster.kind()).collect();
        assert_eq!(kinds, BTreeSet::from(["node killed", "node paused"]));
    }

    #[test]
    fn a_seed_gives_one_plan() {
        assert_eq!(of(Layout::Postgres, 10, 7), of(Layout::Postgres, 10, 7));
        assert_ne!(of(Layout::Postgres, 10, 7), of(Layout::Postgres, 10, 8));
    }

    #[test]
    fn all_is_over_before_the_end_and_nothing_is_struck_twice_at_a_time() {
        for seed in 0..50 {
            let steps = of(Layout::Postgres, 3, seed);
            assert!(steps.len() > 20, "seed {seed}: {}", steps.len());
            for (place, step) in steps.iter().enumerate() {
                assert!(step.at + step.lasts <= Duration::from_secs(175), "seed {seed}: {step:?}");
                for other in &steps[place + 1..] {
                    let overlap = other.at < step.at + step.lasts;
                    let same = step.disaster.subject().excludes(other.disaster.subject());
                    assert!(!(overlap && same), "seed {seed}: {step:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn in_an_hour_everything_happens() {
        let kinds = |layout| -> BTreeSet<&str> {
            of(layout, 60, 1).iter().map(|step| step.disaster.kind()).collect()
        };
        let (file, shared) = (kinds(Layout::Sqlite), kinds(Layout::Postgres));
        let only_shared =
            ["database cut off", "database stalled", "database delayed", "database failed over"];
        assert_eq!(shared.len(), 21, "{shared:?}");
        assert!(only_shared.iter().all(|kind| shared.contains(kind) && !file.contains(kind)), "{file:?}");
        assert!(file.contains("store's disk full") && !shared.contains("store's disk full"));
    }

    #[test]
    fn each_tenant_comes_and_goes_once() {
        for seed in 0..20 {
            let steps = of(Layout::Sqlite, 60, seed);
            let moves: Vec<Disaster> = steps
                .iter()
                .map(|step| step.disaster)
                .filter(|disaster| matches!(disaster, Disaster::Onboard { .. } | Disaster::Offboard { .. }))
                .collect();
            let mut tenants: Vec<usize> = moves
                .iter()
                .map(|disaster| match *disaster {
                    Disaster::Onboard { tenant } | Disaster::Offboard { tenant } => tenant,
                    _ => unreachable!("filtered"),
                })
                .collect();
            tenants.sort_unstable();
            assert!(tenants.windows(2).all(|pair| pair[0] != pair[1]), "{moves:?}");
        }
    }
}
