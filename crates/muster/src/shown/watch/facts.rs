//! What a screen is drawn from: the last picture that could be taken, how old it is, and what keeps it from being newer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::tap::Tap;
use crate::shown::output::duration;
use crate::shown::status::{Snapshot, TenantStatus};

/// So many pictures are kept, so that rates are told over several polls.
const PICTURES: usize = 6;
/// A picture counts as fresh for so long at least.
const FRESH_FOR: Duration = Duration::from_secs(10);
/// Clocks that differ by less between two pictures have not been set.
const DRIFT_MAX: SignedDuration = SignedDuration::from_secs(3);
/// For so long it is told that the clock was set.
const JUMP_TOLD_FOR: Duration = Duration::from_secs(60);

/// What is known.
#[derive(Debug, Default)]
pub struct Facts {
    pictures: VecDeque<(Arc<Snapshot>, Duration)>,
    /// Why the last picture could not be taken.
    pub failure: Option<String>,
    /// A clock that nobody sets, since the screen was opened.
    pub elapsed: Duration,
    /// How often pictures are taken.
    pub every: Duration,
    /// How the wall clock was set last, and when by the other.
    jump: Option<(SignedDuration, Duration)>,
    /// Records as they pass.
    pub tap: Tap,
    /// A line above all others, as of a demo.
    pub title: Option<String>,
}

impl Facts {
    /// Nothing is known yet.
    pub fn new(every: Duration) -> Self {
        Self { every, ..Self::default() }
    }

    /// Takes a picture up that was taken now.
    pub fn put(&mut self, picture: Snapshot) {
        if let Some((last, at)) = self.pictures.back() {
            let passed =
                SignedDuration::try_from(self.elapsed.saturating_sub(*at)).unwrap_or(SignedDuration::ZERO);
            let jump = picture.at.duration_since(last.at).saturating_sub(passed);
            if jump.abs() > DRIFT_MAX {
                self.jump = Some((jump, self.elapsed));
                // Rates across the jump would be wrong.
                self.pictures.clear();
            }
        }
        if self.pictures.len() == PICTURES {
            self.pictures.pop_front();
        }
        self.failure = None;
        self.pictures.push_back((Arc::new(picture), self.elapsed));
    }

    /// The last picture.
    pub fn latest(&self) -> Option<&Snapshot> {
        self.pictures.back().map(|(picture, _)| &**picture)
    }

    /// When the last picture was taken, and how long ago that is.
    pub fn age(&self) -> Option<(Timestamp, Duration)> {
        self.pictures.back().map(|(picture, at)| (picture.at, self.elapsed.saturating_sub(*at)))
    }

    /// Whether the last picture still tells how things are.
    pub fn is_fresh(&self) -> bool {
        let limit = FRESH_FOR.max(self.every * 3);
        self.failure.is_none() && self.age().is_some_and(|(_, age)| age < limit)
    }

    /// Whether a `muster run` is known to be at work: nothing is good otherwise.
    pub fn is_running(&self) -> bool {
        self.is_fresh() && self.latest().is_some_and(|picture| picture.run.is_running())
    }

    /// How much more something is than in the oldest picture, a second.
    pub fn rate(&self, count: impl Fn(&Snapshot) -> Option<u64>) -> Option<f64> {
        let ((now, now_at), (earlier, earlier_at)) = (self.pictures.back()?, self.pictures.front()?);
        let seconds = now_at.saturating_sub(*earlier_at).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
        let more = count(now)?.saturating_sub(count(earlier)?) as f64;
        (seconds > 0.0).then(|| more / seconds)
    }

    /// The same of a tenant's records, as pictures list tenants in one order.
    pub fn rate_of(&self, tenant: &TenantStatus, place: usize) -> Option<f64> {
        let accepted = |of: &TenantStatus| of.sources.iter().map(|source| source.accepted).sum::<u64>();
        self.rate(|picture| {
            let same = picture.tenants.get(place).filter(|other| other.id == tenant.id);
            same.or_else(|| picture.tenants.iter().find(|other| other.id == tenant.id)).map(accepted)
        })
    }

    /// What is to be said above everything else: that what is shown is old, and that the clock was set.
    pub fn warnings(&self) -> Vec<String> {
        let mut said = Vec::new();
        let as_of = match self.age() {
            Some((at, age)) => format!("what stands here is of {at:.0}, {} ago", duration(age)),
            None => "nothing was read yet".to_owned(),
        };
        match &self.failure {
            Some(why) => {
                said.push(format!("NOT KNOWN how it is now: {why}; {as_of}; it is tried again by itself"))
            }
            None if self.age().is_some() && !self.is_fresh() => {
                said.push(format!("NOT KNOWN how it is now: the store takes long to answer; {as_of}"));
            }
            None => {}
        }
        if let Some((jump, at)) = self.jump.filter(|(_, at)| self.elapsed.saturating_sub(*at) < JUMP_TOLD_FOR)
        {
            let (by, way) = (duration(jump.unsigned_abs()), if jump.is_negative() { "back" } else { "on" });
            let ago = duration(self.elapsed.saturating_sub(at));
            said.push(format!(
                "the clock of this machine was set {way} by {by}, {ago} ago: ages are told by the new time"
            ));
        }
        said
    }
}
