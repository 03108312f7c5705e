//! What happens in a history, made from its seed before it begins, so that a shorter one can be made by leaving steps out.

use std::time::Duration;

use jiff::SignedDuration;
use muster_emulator::{Area, Fault, FaultKind, random_faults};
use muster_model::Source;

use crate::cloud::Kill;
use crate::dice::Dice;
use crate::storage::{self, BlobChange, StorageTrouble};

/// A history.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) tenants: usize,
    pub(crate) sources: Vec<Source>,
    /// Alerts that are there at the beginning.
    pub(crate) alerts: u64,
    /// How far back they lie, and how far back Muster begins to read.
    pub(crate) past: Duration,
    pub(crate) backfill: Duration,
    /// Whether the service is as strict as Microsoft's.
    pub(crate) strict: bool,
    pub(crate) poll_interval: Duration,
    pub(crate) steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Muster works while so much time passes.
    Pass(Duration),
    /// Muster does not work while so much time passes: the machine sleeps.
    Sleep(Duration),
    /// A change of the world.
    Change(usize, Change),
    /// A change of what lies in one tenant's stream.
    Blobs(usize, BlobChange),
    /// Things go wrong with the storage from now on.
    Storage(StorageTrouble),
    /// Things go wrong from now on.
    Faults(Vec<Fault>),
    /// Everything goes right again.
    Clear,
    /// The identity platform is down for a while.
    NoTokens(Duration),
    /// Muster's clock is wrong by so much from now on.
    Skew(SignedDuration),
    /// Muster is killed at a request to come, and started again.
    Kill(Kill),
    /// Muster is stopped and started again.
    Restart,
    /// What was updated from so long ago on, for so long, is read once more, of all tenants.
    Backfill(Duration, Duration),
}

/// A change of one tenant's records. Numbers choose among those that there are then.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Alerts(u32),
    /// So many alerts at one instant, so many seconds before now.
    AtOnce(u32, i64),
    Incident(u32),
    Update(u32),
    Rewrite(u64),
    Merge(u64, u64),
    Move(u64, u64),
    OddTimes,
}

impl Plan {
    /// The history of a seed.
    pub(crate) fn new(seed: u64, only: Option<Source>) -> Self {
        let mut dice = Dice::new(seed, 1);
        let both = vec![Source::GraphAlerts, Source::GraphIncidents];
        let sources = match dice.below(4) {
            0 => vec![Source::GraphAlerts],
            1 => vec![Source::GraphIncidents],
            _ => both,
        };
        let past = dice.between(600, 24 * 3_600);
        let mut plan = Self {
            seed,
            tenants: if dice.percent(15) { 2 } else { 1 },
            sources: only.map_or(sources, |only| vec![only]),
            alerts: dice.pick(&[0, 3, 20, 60, 150]),
            past: Duration::from_secs(past),
            backfill: Duration::from_secs(dice.pick(&[past / 2, past + 60, past + 3_600])),
            strict: dice.percent(60),
            poll_interval: Duration::from_secs(dice.pick(&[60, 300, 900, 1_800])),
            steps: Vec::new(),
        };
        // Most services have some quirks from the beginning.
        if dice.percent(70) {
            plan.steps.push(Step::Faults(faults(&mut dice)));
        }
        for _ in 0..dice.between(3, 16) {
            let step = step(&mut dice, plan.tenants, plan.poll_interval);
            plan.steps.push(step);
        }
        // Where our clock is far ahead, the server's perhaps too, and a record bears a time that has not come, nobody can
        // know that it has not (`docs/guarantees.md` says so).
        let is_ahead = |step: &Step| matches!(step, Step::Skew(skew) if skew.as_secs() > 600);
        if plan.steps.iter().any(is_ahead) {
            for step in &mut plan.steps {
                if let Step::Change(_, Change::AtOnce(_, ago @ ..0)) = step {
                    *ago = 0;
                }
            }
        }
        if let Some(only) = only {
            plan.strike(only);
        }
        plan
    }

    /// The same trouble for the API of this source.
    fn strike(&mut self, source: Source) {
        // So many that a page of the feed does not hold them.
        if source == Source::SiemFeed && self.seed % 8 == 1 {
            self.alerts = 6_000;
        }
        if source == Source::SiemFeed && self.seed % 8 == 3 {
            self.alerts = 2_000;
            let cut = Fault::new(Area::SiemFeed, FaultKind::TopLimit { most: FEED_CUT_AT, clamp: true });
            self.steps.insert(0, Step::Faults(vec![cut]));
        }
        for step in &mut self.steps {
            match step {
                // The feed's time is when the service processed a record, which it never has in the future.
                Step::Change(_, Change::AtOnce(_, ago @ ..0)) if source == Source::SiemFeed => *ago = 0,
                // A time that is none is met by no query, and by the feed as little.
                Step::Change(_, change @ Change::OddTimes)
                    if source == Source::SiemFeed || source.hunt().is_some() =>
                {
                    *change = Change::Alerts(3);
                }
                _ => {}
            }
        }
        let (all, alerts, incidents) = match source {
            Source::GraphAlerts | Source::GraphIncidents => return,
            Source::Streaming(_) => return self.strike_storage(),
            Source::EndpointAlerts | Source::XdrIncidents => {
                (Area::Defender, Area::EndpointAlerts, Area::XdrIncidents)
            }
            Source::SiemFeed => (Area::Defender, Area::SiemFeed, Area::SiemFeed),
            Source::GraphHunting(_) => (Area::Graph, Area::GraphHunting, Area::GraphHunting),
            Source::XdrHunting(_) => (Area::Defender, Area::XdrHunting, Area::XdrHunting),
        };
        for step in &mut self.steps {
            let Step::Faults(faults) = step else { continue };
            for fault in faults {
                // Of one instant of the feed nobody knows whether it is all, where nothing else is beside it.
                if let (Source::SiemFeed, FaultKind::TopLimit { most, clamp: true }) =
                    (source, &mut fault.kind)
                {
                    *most = FEED_CUT_AT;
                }
                fault.area = match fault.area {
                    Area::Graph => all,
                    Area::GraphAlerts => alerts,
                    Area::GraphIncidents => incidents,
                    other => other,
                };
            }
        }
    }
}

impl Plan {
    /// Trouble as often for a stream, whose rows lie in a storage: no token is needed for it, and it has no backfills.
    fn strike_storage(&mut self) {
        let mut dice = Dice::new(self.seed, 4);
        for step in &mut self.steps {
            *step = match step {
                Step::Change(tenant, _) => Step::Blobs(*tenant, storage::random_change(&mut dice)),
                Step::Faults(_) | Step::NoTokens(_) => Step::Storage(storage::random_trouble(&mut dice)),
                Step::Backfill(..) => Step::Blobs(0, storage::random_change(&mut dice)),
                _ => continue,
            };
        }
    }

    /// Whether our clock is wrong by months at some time, and the server's wrong at some time as well.
    pub(crate) fn all_clocks_lie(&self) -> bool {
        let lies = |fault: &Fault| matches!(fault.kind, FaultKind::DateHeader { .. });
        let ours = |step: &Step| matches!(step, Step::Skew(skew) if skew.unsigned_abs() > MONTHS);
        let theirs = |step: &Step| matches!(step, Step::Faults(faults) if faults.iter().any(lies));
        self.steps.iter().any(ours) && self.steps.iter().any(theirs)
    }
}

/// At how many detections the feed cuts in silence: more than there ever are at one instant.
const FEED_CUT_AT: u32 = 250;

fn step(dice: &mut Dice, tenants: usize, poll_interval: Duration) -> Step {
    match dice.below(100) {
        0..36 => Step::Pass(pause(dice, poll_interval)),
        36..40 => Step::Sleep(pause(dice, poll_interval)),
        40..74 => {
            let tenant = usize::try_from(dice.below(tenants as u64)).expect("few tenants");
            Step::Change(tenant, change(dice))
        }
        74..84 => Step::Faults(faults(dice)),
        84..88 => Step::Clear,
        88..90 => Step::NoTokens(Duration::from_secs(dice.between(10, 3_600))),
        90..93 => {
            let most = dice.pick(&SKEWS);
            let skew = i64::try_from(dice.between(0, 2 * most)).expect("small")
                - i64::try_from(most).expect("small");
            Step::Skew(SignedDuration::from_millis(skew))
        }
        93..97 => Step::Kill(Kill { after: dice.small(0, 30), answered: dice.percent(50) }),
        97 => Step::Restart,
        _ => {
            let long = Duration::from_secs(dice.between(600, 30 * 3_600));
            Step::Backfill(Duration::from_secs(dice.between(0, 6 * 3_600)) + long, long)
        }
    }
}

/// How far Muster's clock may be wrong, in milliseconds: not at all, by minutes, by hours, by days, by years.
const SKEWS: [u64; 6] = [0, 90_000, 600_000, 5 * 3_600_000, 4 * 86_400_000, 20 * 365 * 86_400_000];

const MONTHS: Duration = Duration::from_secs(60 * 86_400);

fn pause(dice: &mut Dice, poll_interval: Duration) -> Duration {
    let seconds = match dice.below(4) {
        0 => dice.between(1, 120),
        1 => dice.between(60, 1_800),
        2 => poll_interval.as_secs() * dice.between(1, 4),
        _ => dice.between(600, 4 * 3_600),
    };
    // With short intervals, long pauses are all alike.
    Duration::from_secs(seconds.min(poll_interval.as_secs() * 30))
}

fn change(dice: &mut Dice) -> Change {
    match dice.below(100) {
        0..28 => Change::Alerts(dice.small(1, 8)),
        28..34 => Change::AtOnce(dice.small(2, 15), 0),
        34..40 => Change::AtOnce(dice.small(20, 180), 0),
        40..46 => {
            let ago = dice.pick(&[30, 300, 900, 4_000, 20_000]);
            Change::AtOnce(dice.small(1, 5), i64::try_from(dice.below(ago)).expect("small"))
        }
        46..48 => Change::AtOnce(dice.small(1, 3), -3_000),
        48..58 => Change::Incident(dice.pick(&[0, 1, 2, 5, 12])),
        58..78 => Change::Update(dice.small(1, 8)),
        78..81 => Change::Update(dice.small(40, 120)),
        81..86 => Change::Rewrite(dice.below(1 << 40)),
        86..92 => Change::Merge(dice.below(1 << 40), dice.below(1 << 40)),
        92..99 => Change::Move(dice.below(1 << 40), dice.below(1 << 40)),
        _ => Change::OddTimes,
    }
}

/// Some faults: the emulator's own mixture, or one that is not in it.
fn faults(dice: &mut Dice) -> Vec<Fault> {
    if dice.percent(60) {
        return random_faults(dice.below(1 << 40));
    }
    let kind = match dice.below(19) {
        0 => FaultKind::RefuseFilter { word: "lt".to_owned() },
        1 => {
            FaultKind::RefuseFilter { word: dice.pick(&["severity", "status", "classification"]).to_owned() }
        }
        2 => FaultKind::NextLinkLoop,
        3 => FaultKind::NextLinkElsewhere { origin: "https://elsewhere.example".to_owned() },
        4 => FaultKind::DeepNesting { depth: 2_000 },
        5 => FaultKind::Trickle { bytes_per_second: dice.small(1, 5_000) },
        6 => FaultKind::Stall { after_bytes: dice.percent(50).then_some(100) },
        7 => FaultKind::Oversized { megabytes: 3 },
        8 => FaultKind::Redirect { location: "https://elsewhere.example/".to_owned() },
        9 => FaultKind::TopLimit { most: dice.small(1, 60), clamp: dice.percent(70) },
        10 => FaultKind::MissingNextLink,
        11 => FaultKind::Poisoned { id: None, one_record_in: dice.small(2, 30) },
        12 => FaultKind::Partial { provider: "microsoft365Defender".to_owned() },
        13 => FaultKind::UpdateWhilePaged { alerts: dice.small(1, 4) },
        14 => FaultKind::LateVisibility {
            from_seconds: 0,
            to_seconds: dice.between(30, 40_000),
            one_version_in: dice.small(1, 5),
        },
        15 => FaultKind::RefuseExpand { status: 206, above: dice.small(0, 3) },
        16 => FaultKind::RefuseExpand { status: dice.pick(&[400, 500, 504]), above: dice.small(0, 3) },
        17 => FaultKind::Throttle { retry_after_seconds: dice.small(0, 900) },
        _ => FaultKind::Truncate,
    };
    let mut fault = Fault::new(dice.pick(&[Area::Graph, Area::GraphAlerts, Area::GraphIncidents]), kind);
    if dice.percent(40) {
        fault = fault.one_in(dice.small(2, 6));
    }
    if dice.percent(50) {
        fault = fault.during(dice.below(600), dice.between(30, 7_200));
    }
    vec![fault]
}
