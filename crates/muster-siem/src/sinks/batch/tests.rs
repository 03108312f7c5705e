use async_trait::async_trait;

use super::*;
use crate::formats::Format;
use crate::sinks::testing::{delivery, delivery_batch, tenant};

struct KeepsNothing;

#[async_trait]
impl KeepTickets for KeepsNothing {
    async fn keep(&self, _: Vec<(Ticket, Vec<usize>)>) -> Result<(), String> {
        Err("the disk is full".to_owned())
    }
}

/// Delivers bodies one request after the other, `part_events_max` in each, to a receiver that answers like this.
async fn run(
    way: &Way,
    part_events_max: usize,
    bodies: &[&str],
    mut answer: impl FnMut(&str) -> Answered,
) -> Report {
    let encoding = Encoding { format: Format::Raw, mapping: None, bounds: None };
    let formatted = Formatted::new(&encoding, delivery_batch(&tenant(0), &[delivery(1, bodies)])).await;
    let limits = Limits { part_bytes_max: usize::MAX, part_events_max, requests_max: 1, failures_max: 1 };
    let keeping = Keeping { tickets: &KeepsNothing, forget: &|_| {} };
    let answer = std::cell::RefCell::new(&mut answer);
    let send = |part: Part, permit: RequestPermit| {
        let answered = (answer.borrow_mut())(std::str::from_utf8(&part.bytes()).expect("text"));
        drop(permit);
        std::future::ready(answered)
    };
    deliver(formatted, limits, (way, keeping), send).await
}

fn taken(place: usize) -> Answered {
    Answered { sent: Sent::Delivered, by: vec![place] }
}

fn refused(places: &[usize]) -> Answered {
    let trouble = Trouble { reason: "Request Rejected".to_owned(), after: None };
    Answered { sent: Sent::Refused(trouble), by: places.to_vec() }
}

fn doubtful() -> Answered {
    let trouble = Trouble { reason: "HTTP 403".to_owned(), after: None };
    Answered { sent: Sent::Doubtful(trouble), by: vec![0] }
}

/// A 403 may be a firewall's about one record: the others go on, and it is that record's fault once it has been refused again
/// and again with something taken in between.
#[tokio::test]
async fn what_is_refused_doubtfully_holds_up_nothing_and_is_judged_in_the_end() {
    for part_events_max in [1, usize::MAX] {
        let way = Way::of("sink `x`".to_owned());
        let answer = |body: &str| if body.contains("bad") { doubtful() } else { taken(0) };
        let report = run(&way, part_events_max, &["bad", "a", "b"], answer).await;
        assert_eq!(report.outcomes, [Outcome::Retry, Outcome::Delivered, Outcome::Delivered]);
        assert_eq!(report.trouble.expect("it is said why").reason, "HTTP 403");
        // However often that comes again without another being taken, it says nothing more.
        for _ in 0..5 {
            assert_eq!(run(&way, part_events_max, &["bad"], answer).await.outcomes, [Outcome::Retry]);
        }
        run(&way, part_events_max, &["c"], answer).await;
        let report = run(&way, part_events_max, &["bad"], answer).await;
        let Outcome::Rejected(why) = &report.outcomes[0] else { panic!("{report:?}") };
        assert!(why.contains("refused 3 times") && why.ends_with("HTTP 403"), "{why}");
        assert_eq!(report.trouble, None);
    }
}

/// Who refuses everything buries nothing, whatever was still on its way when that began or ended, and is not asked for each.
#[tokio::test]
async fn who_refuses_everything_doubtfully_is_in_trouble_itself() {
    let way = Way::of("sink `x`".to_owned());
    let bodies: Vec<String> = (0..100).map(|number| format!("event-{number}")).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let mut requests = 0;
    let report = run(&way, 1, &bodies, |_| {
        requests += 1;
        // What was on its way is taken.
        if requests <= 2 { taken(0) } else { doubtful() }
    });
    assert!(!report.await.outcomes.iter().any(is_rejected));
    assert!(requests < 2 + REFUSALS_MAX + 100 / 4, "{requests}");
    for _ in 0..10 {
        let report = run(&way, 1, &bodies, |_| doubtful()).await;
        assert!(report.outcomes.iter().all(|outcome| *outcome == Outcome::Retry), "{report:?}");
    }
    let report = run(&way, 1, &bodies, |_| taken(0)).await;
    assert!(report.outcomes.iter().all(|outcome| *outcome == Outcome::Delivered), "{report:?}");
}

/// However many are bad at the head of what is owed, those behind them are reached.
#[tokio::test]
async fn a_good_event_behind_many_bad_ones_is_found() {
    for bad in [doubtful as fn() -> Answered, || refused(&[0])] {
        let way = Way::of("sink `x`".to_owned());
        let mut owed: Vec<String> = (0..150).map(|number| format!("bad-{number}")).collect();
        owed.extend((0..5).map(|number| format!("good-{number}")));
        let mut rounds = 0;
        while owed.iter().any(|body| body.starts_with("good")) {
            let bodies: Vec<&str> = owed.iter().map(String::as_str).collect();
            let report = run(&way, 1, &bodies, |body| if body.starts_with("bad") { bad() } else { taken(0) });
            let report = report.await;
            let mut outcomes = report.outcomes.iter();
            owed.retain(|_| outcomes.next() == Some(&Outcome::Retry));
            rounds += 1;
            assert!(rounds <= NARROW_ONE_IN, "{} are left", owed.len());
        }
    }
}

/// One that does not say which it has taken may do so with all that comes: it gets no more, and the operator is told.
#[tokio::test]
async fn an_uncertain_answer_stops_the_delivery_and_is_told() {
    let way = Way::of("sink `x`".to_owned());
    let mut requests = 0;
    let report = run(&way, 2, &["a", "b", "c", "d", "e"], |_| {
        requests += 1;
        Answered { sent: Sent::Uncertain("1 of 2".to_owned()), by: vec![0] }
    });
    let report = report.await;
    let uncertain = Outcome::Uncertain("1 of 2".to_owned());
    let (retry, uncertain) = ([const { Outcome::Retry }; 3], [uncertain.clone(), uncertain]);
    assert_eq!((&report.outcomes[..2], &report.outcomes[2..]), (&uncertain[..], &retry[..]));
    assert_eq!((requests, report.trouble.expect("it is told").reason.as_str()), (1, "sink `x`: 1 of 2"));
}

/// What comes again beside other deliveries is in requests of its own, as it was.
#[tokio::test]
async fn no_request_crosses_two_deliveries_where_that_is_asked_for() {
    let encoding = Encoding { format: Format::Raw, mapping: None, bounds: None };
    let (label, deliveries) = (tenant(0), [delivery(1, &["a", "b"]), delivery(2, &["c", "d", "e"])]);
    let batch = delivery_batch(&label, &deliveries);
    let formatted = Formatted::new(&encoding, batch).await.cut_at_deliveries(batch);
    let limits = Limits { part_bytes_max: 2, part_events_max: 10, requests_max: 1, failures_max: 1 };
    let parts = Part::all(formatted.events).split(limits, &formatted.cuts);
    let parts: Vec<Bytes> = parts.iter().map(Part::bytes).collect();
    assert_eq!(parts, ["ab", "cd", "e"]);
}

fn is_rejected(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Rejected(_))
}

/// A firewall begins to refuse everything in the middle of a delivery: what was taken before says nothing of what it refuses
/// from then on.
#[tokio::test]
async fn what_was_taken_before_a_refusal_judges_nothing() {
    let way = Way::of("sink `x`".to_owned());
    let report = run(&way, 1, &["a", "b", "c"], |body| match body {
        "a" => taken(0),
        _ => refused(&[0]),
    });
    let report = report.await;
    assert_eq!(report.outcomes, [Outcome::Delivered, Outcome::Retry, Outcome::Retry]);
    // It is open again, and refuses one still.
    let report = run(&way, 1, &["b", "c"], |body| if body == "b" { refused(&[0]) } else { taken(0) });
    let report = report.await;
    assert!(is_rejected(&report.outcomes[0]) && report.outcomes[1] == Outcome::Delivered, "{report:?}");
}

/// The same, of events that stood beside a bad one in a request.
#[tokio::test]
async fn those_that_were_refused_beside_another_are_judged_alone() {
    let way = Way::of("sink `x`".to_owned());
    let bodies: Vec<String> = (0..64).map(|number| format!("good-{number}")).collect();
    let bodies: Vec<&str> = ["bad"].into_iter().chain(bodies.iter().map(String::as_str)).collect();
    let mut requests = 0;
    // Whole requests are refused for the bad one; some are taken, and then nothing is any more.
    let report = run(&way, usize::MAX, &bodies, |body| {
        requests += 1;
        if requests < 4 && !body.contains("bad") { taken(0) } else { refused(&[0]) }
    });
    let report = report.await;
    let buried = report.outcomes.iter().skip(1).filter(|outcome| is_rejected(outcome)).count();
    assert_eq!(buried, 0, "{report:?}");
}

/// A ticket stands for every record of its request, also where a record's other events went in another: none of them is
/// delivered by it.
#[tokio::test]
async fn a_ticket_that_is_not_kept_leaves_every_record_of_its_request_owed() {
    let way = Way::of("sink `x`".to_owned());
    let ticket = Ticket {
        endpoint: "https://splunk.example:8088".to_owned(),
        channel: uuid::Uuid::from_u128(1),
        ack_id: 0,
        cookies: None,
    };
    let report =
        run(&way, usize::MAX, &["a", "b"], |_| Answered { sent: Sent::Ticket(ticket.clone()), by: vec![0] });
    assert_eq!(report.await.outcomes, [Outcome::Retry, Outcome::Retry]);
}

/// What one receiver takes says nothing of what another refuses.
#[tokio::test]
async fn a_receiver_that_refuses_everything_judges_nothing() {
    let way = Way::of("sink `x`".to_owned());
    for _ in 0..3 {
        let report = run(&way, 1, &["a", "b", "c"], |body| match body {
            "b" => refused(&[1]),
            _ => taken(0),
        });
        assert_eq!(report.await.outcomes, [Outcome::Delivered, Outcome::Retry, Outcome::Delivered]);
    }
    let report = run(&way, 1, &["b", "c"], |body| if body == "b" { refused(&[1, 0]) } else { taken(0) });
    assert!(
        is_rejected(&report.await.outcomes[0]),
        "and once the other refuses it, too, it is the event's fault"
    );
}

/// A search ends when refusals come one after the other, not when there were many in all.
#[tokio::test]
async fn many_bad_events_among_good_ones_are_all_found() {
    let way = Way::of("sink `x`".to_owned());
    let bodies: Vec<String> =
        (0..120).map(|number| format!("{}-{number}", if number % 2 == 0 { "bad" } else { "good" })).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let report = run(&way, 1, &bodies, |body| if body.contains("bad") { refused(&[0]) } else { taken(0) });
    let report = report.await;
    for (place, outcome) in report.outcomes.iter().enumerate() {
        assert_eq!(is_rejected(outcome), place % 2 == 0, "{place}: {outcome:?}");
    }
}
