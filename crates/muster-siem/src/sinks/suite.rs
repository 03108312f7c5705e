//! What every sink must do, whatever its receiver does: an outcome for each record, nothing counted as delivered that
//! the receiver has not taken, and everything that stayed owed delivered when the receiver is itself again.

use std::time::Duration;

use muster_model::{Outcome, Report};

use super::Sink;
use super::testing::deliver_as as deliver;

/// How a receiver behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// It takes everything and acknowledges it in whatever way it can.
    Well,
    /// It takes nothing.
    Down,
    /// It does not answer within the sink's timeout.
    Slow,
    /// It takes all but [`BAD`].
    RefusesOne,
    /// It is gone in the middle of what it takes, or of its answer.
    Cuts,
    /// It answers with something that means nothing.
    Nonsense,
}

/// The id of the record that a receiver which refuses one refuses.
pub(super) const BAD: &str = "bad";
const IDS: [&str; 4] = ["a", "b", BAD, "c"];
/// Long enough on a busy machine.
const PATIENT: Duration = Duration::from_secs(30);
const IMPATIENT: Duration = Duration::from_millis(100);

/// A receiver that can be told to misbehave, and the sink that sends to it.
pub(super) trait Harness {
    /// A sink for the receiver, which behaves like this from now on. The sink writes records as Microsoft's JSON or
    /// around it.
    async fn sink(&mut self, behaviour: Behaviour, timeout: Duration) -> Sink;

    /// The ids of the records that the receiver has taken, with repetitions.
    async fn taken(&self) -> Vec<String>;

    /// Why a receiver of this kind can never behave like that.
    fn impossible(behaviour: Behaviour) -> Option<&'static str>;

    /// Whether a delivery that comes twice is taken once.
    const TELLS_REPETITIONS: bool;
}

/// Runs all that is possible, each on a receiver of its own.
pub(super) async fn run<H: Harness>(start: impl AsyncFn() -> H) {
    well(&mut start().await).await;
    repeats(&mut start().await).await;
    nothing_to_deliver(&mut start().await).await;
    for behaviour in [Behaviour::Down, Behaviour::Slow, Behaviour::Cuts, Behaviour::Nonsense] {
        eprintln!("{behaviour:?}: {}", H::impossible(behaviour).unwrap_or("runs"));
        if H::impossible(behaviour).is_none() {
            all_stays_owed(&mut start().await, behaviour).await;
        }
    }
    if H::impossible(Behaviour::RefusesOne).is_none() {
        refuses_one(&mut start().await).await;
    }
}

async fn well<H: Harness>(harness: &mut H) {
    let sink = harness.sink(Behaviour::Well, PATIENT).await;
    assert!(!sink.test().await.expect("the way is good").is_empty());
    assert!(harness.taken().await.is_empty(), "a test sends no record");
    is_delivered(&deliver(&sink, 1, &IDS).await);
    is_delivered(&deliver(&sink, 2, &["d"]).await);
    sink.close().await;
    assert_eq!(harness.taken().await, [&IDS[..], &["d"]].concat());
}

/// The same delivery comes again when its outcome could not be written down.
async fn repeats<H: Harness>(harness: &mut H) {
    let sink = harness.sink(Behaviour::Well, PATIENT).await;
    is_delivered(&deliver(&sink, 1, &IDS).await);
    is_delivered(&deliver(&sink, 1, &IDS).await);
    let times = if H::TELLS_REPETITIONS { 1 } else { 2 };
    assert_eq!(harness.taken().await, IDS.repeat(times));
}

async fn nothing_to_deliver<H: Harness>(harness: &mut H) {
    let sink = harness.sink(Behaviour::Well, PATIENT).await;
    assert_eq!(deliver(&sink, 1, &[]).await, Report { outcomes: Vec::new(), trouble: None });
    assert!(harness.taken().await.is_empty());
}

async fn all_stays_owed<H: Harness>(harness: &mut H, behaviour: Behaviour) {
    let timeout = if behaviour == Behaviour::Slow { IMPATIENT } else { PATIENT };
    let sink = harness.sink(behaviour, timeout).await;
    for _ in 0..2 {
        let report = deliver(&sink, 1, &IDS).await;
        assert_eq!(report.outcomes, [const { Outcome::Retry }; IDS.len()], "{behaviour:?}: {report:?}");
        let trouble = report.trouble.expect("it is said why");
        assert!(trouble.reason.starts_with("sink `suite`"), "{}", trouble.reason);
    }
    sink.close().await;
    drop(sink);
    let sink = harness.sink(Behaviour::Well, PATIENT).await;
    is_delivered(&deliver(&sink, 1, &IDS).await);
    let taken = harness.taken().await;
    assert!(IDS.iter().all(|id| taken.iter().any(|taken| taken == id)), "{behaviour:?}: {taken:?}");
}

async fn refuses_one<H: Harness>(harness: &mut H) {
    let sink = harness.sink(Behaviour::RefusesOne, PATIENT).await;
    let report = deliver(&sink, 1, &IDS).await;
    for (id, outcome) in IDS.iter().zip(&report.outcomes) {
        match outcome {
            Outcome::Rejected(reason) => assert!(*id == BAD && !reason.is_empty(), "{report:?}"),
            outcome => assert!(*id != BAD && *outcome == Outcome::Delivered, "{report:?}"),
        }
    }
    assert_eq!(report.outcomes.len(), IDS.len());
    assert!(!harness.taken().await.contains(&BAD.to_owned()));
}

fn is_delivered(report: &Report) {
    assert!(report.outcomes.iter().all(|outcome| *outcome == Outcome::Delivered), "{report:?}");
    assert!(!report.outcomes.is_empty() && report.trouble.is_none(), "{report:?}");
}
