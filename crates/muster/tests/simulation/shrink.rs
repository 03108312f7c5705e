//! Makes a history that fails shorter, by leaving out what it does not need.

use crate::history;
use crate::machine::Workshop;
use crate::plan::Plan;

/// The shortest that is found, in words.
pub(crate) async fn shrink(workshop: &Workshop, mut plan: Plan) -> String {
    let mut place = plan.steps.len();
    while place > 0 {
        place -= 1;
        let mut shorter = plan.clone();
        shorter.steps.remove(place);
        if history::run(workshop, &shorter, false).await.violation.is_some() {
            plan = shorter;
            place = place.min(plan.steps.len());
        }
    }
    let outcome = history::run(workshop, &plan, true).await;
    let violation = outcome.violation.map(|violation| violation.0).unwrap_or_default();
    format!("{}\n{violation}", outcome.log)
}
