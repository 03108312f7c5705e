//! The rules about what receivers handed out: it is neither sent again nor done until they have said what became of it.

use muster_model::{DeliveryNumber, Secret, Selection, Ticket};
use uuid::Uuid;

use super::kit::{
    Engine, LEASE, ME, PLENTY, accept, add, at, ids, is_lost, lease_queue, lease_source, names, nothing_due,
};
use crate::{
    DeliveryLease, FinishedDelivery, NewTicket, QueueState, SettledTickets, Store, TicketFate, TicketNumber,
};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    what_is_waited_for_is_not_sent_again(&*engine.fresh().await).await;
    a_void_ticket_is_owed_again(&*engine.fresh().await).await;
    a_record_in_several_requests_needs_all_of_them(&*engine.fresh().await).await;
    what_is_settled_meanwhile_stays_settled(&*engine.fresh().await).await;
    a_ticket_that_settles_nothing_holds_nothing_back(&*engine.fresh().await).await;
    a_queue_has_so_many_tickets_at_once(&*engine.fresh().await).await;
    tickets_need_the_lease_and_go_with_the_tenant(&*engine.fresh().await).await;
    tickets_outlive_the_process(engine).await;
}

/// A ticket with the number `ack_id` for these records of a delivery.
fn ticket(ack_id: u64, number: DeliveryNumber, selection: Selection) -> NewTicket {
    let ticket = Ticket {
        endpoint: "https://splunk.example:8088".to_owned(),
        channel: Uuid::from_u128(u128::from(ack_id)),
        ack_id,
        cookies: (ack_id % 2 == 1).then(|| Secret::from("route=indexer-1")),
    };
    NewTicket { ticket, records: vec![(number, selection)] }
}

fn only(count: usize, chosen: &[usize]) -> Selection {
    Selection::of(count, |index| chosen.contains(&index)).expect("some")
}

async fn state(store: &dyn Store) -> QueueState {
    store.queue_states().await.expect("read").remove(0)
}

/// The numbers of the tickets that are waited for, by the number that the receiver gave.
async fn numbers(store: &dyn Store) -> Vec<(u64, TicketNumber)> {
    let kept = store.tickets("splunk", TicketNumber::default(), 1000).await.expect("listed");
    kept.into_iter().map(|kept| (kept.ticket.ack_id, kept.number)).collect()
}

async fn settle(store: &dyn Store, ack_id: u64, fate: TicketFate, seconds: i64) -> SettledTickets {
    let (_, number) =
        *numbers(store).await.iter().find(|(given, _)| *given == ack_id).expect("it is waited for");
    store.settle_tickets(vec![(number, fate)], at(seconds)).await.expect("settled")
}

fn void(seconds: i64) -> TicketFate {
    TicketFate::Void { reason: "never acknowledged".to_owned(), retry_at: at(seconds) }
}

/// The sink has all of it, and has acknowledged none of it.
async fn give_back(store: &dyn Store, lease: &DeliveryLease, seconds: i64) {
    let all = lease.deliveries.iter().map(|delivery| FinishedDelivery {
        number: delivery.number,
        remaining: Some(delivery.selection.clone()),
        delivered: 0,
        rejected: Vec::new(),
    });
    store.finish_deliveries(lease, all.collect(), None, at(seconds)).await.expect("given back");
}

async fn leased(store: &dyn Store, pages: &[&[&str]]) -> DeliveryLease {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    for page in pages {
        accept(store, &source, page, &names(&["splunk"]), at(1)).await;
    }
    lease_queue(store, "splunk", at(2)).await
}

async fn what_is_waited_for_is_not_sent_again(store: &dyn Store) {
    let lease = leased(store, &[&["a", "b", "c"], &["d"]]).await;
    let [first, second] = [&lease.deliveries[0], &lease.deliveries[1]];
    // Large numbers, and one that SQLite's integers cannot hold.
    let tickets = vec![
        ticket(u64::MAX, first.number, only(3, &[0, 1])),
        NewTicket {
            records: vec![(first.number, only(3, &[2])), (second.number, Selection::All)],
            ..ticket(4_503_599_627_370_497, first.number, Selection::All)
        },
    ];
    store.keep_tickets(&lease, tickets, at(3)).await.expect("kept");
    let kept = store.tickets("splunk", TicketNumber::default(), 10).await.expect("listed");
    assert_eq!((kept.len(), kept[0].ticket.ack_id, kept[0].kept_at), (2, u64::MAX, at(3)));
    assert_eq!(kept[0].ticket.cookies.as_ref().expect("sealed").expose(), "route=indexer-1");
    assert_eq!(kept[0].tenant, lease.tenant.label());
    assert!(
        store.tickets("file", TicketNumber::default(), 10).await.expect("listed").is_empty(),
        "another sink's"
    );
    // In pages, so that those behind are reached whatever becomes of the first.
    let first = store.tickets("splunk", TicketNumber::default(), 1).await.expect("listed");
    assert_eq!((first.len(), first[0].number), (1, kept[0].number));
    let second = store.tickets("splunk", first[0].number, 1).await.expect("listed");
    assert_eq!((second.len(), second[0].number), (1, kept[1].number));
    assert!(store.tickets("splunk", second[0].number, 1).await.expect("listed").is_empty());
    give_back(store, &lease, 4).await;
    assert_eq!((state(store).await.owed, state(store).await.delivered), (4, 0), "it is owed still");
    assert!(nothing_due(store, "splunk", at(100)).await, "and not given out");
    assert_eq!(store.next_delivery_due_at("splunk").await.expect("asked"), None);

    // That it is confirmed is written down first, and settled afterwards.
    assert!(!kept[0].is_confirmed);
    store.confirm_ticket(kept[0].number, at(5)).await.expect("confirmed");
    let noted = store.tickets("splunk", TicketNumber::default(), 10).await.expect("listed");
    assert!(noted[0].is_confirmed && !noted[1].is_confirmed);
    assert_eq!(state(store).await.delivered, 0);
    let settled = settle(store, u64::MAX, TicketFate::Confirmed, 5).await;
    assert_eq!(settled, SettledTickets { delivered: 2, owed_again: 0 });
    store.confirm_ticket(kept[0].number, at(5)).await.expect("one that is gone changes nothing");
    let now = state(store).await;
    assert_eq!((now.owed, now.delivered, now.last_success_at), (2, 2, Some(at(5))));
    assert!(nothing_due(store, "splunk", at(100)).await);
    settle(store, 4_503_599_627_370_497, TicketFate::Confirmed, 5).await;
    let now = state(store).await;
    assert_eq!((now.owed, now.delivered, now.owed_since), (0, 4, None));
    assert!(numbers(store).await.is_empty());
}

async fn a_void_ticket_is_owed_again(store: &dyn Store) {
    let lease = leased(store, &[&["a", "b", "c", "d"]]).await;
    let number = lease.deliveries[0].number;
    let tickets = vec![ticket(1, number, only(4, &[0, 1])), ticket(2, number, only(4, &[2]))];
    store.keep_tickets(&lease, tickets, at(3)).await.expect("kept");
    // One record did not get that far.
    give_back(store, &lease, 4).await;
    let rest = lease_queue(store, "splunk", at(5)).await;
    assert_eq!(ids(&rest.deliveries), ["d"]);
    store.finish_deliveries(&rest, super::kit::all_taken(&rest), None, at(5)).await.expect("finished");
    assert_eq!((state(store).await.owed, state(store).await.delivered), (3, 1));
    let settled = settle(store, 1, void(30), 6).await;
    assert_eq!(settled, SettledTickets { delivered: 0, owed_again: 2 });
    let now = state(store).await;
    assert_eq!((now.owed, now.failures, now.next_at), (3, 1, Some(at(30))));
    assert_eq!(now.last_error.as_deref(), Some("never acknowledged"));
    assert!(nothing_due(store, "splunk", at(29)).await);
    let again = lease_queue(store, "splunk", at(30)).await;
    assert_eq!(ids(&again.deliveries), ["a", "b"], "and not what another ticket is about");
    settle(store, 2, TicketFate::Confirmed, 31).await;
    store.finish_deliveries(&again, super::kit::all_taken(&again), None, at(32)).await.expect("finished");
    let now = state(store).await;
    assert_eq!((now.owed, now.delivered, now.failures, now.last_error), (0, 4, 0, None));
}

async fn a_record_in_several_requests_needs_all_of_them(store: &dyn Store) {
    let lease = leased(store, &[&["big", "small"]]).await;
    let number = lease.deliveries[0].number;
    let tickets = vec![
        ticket(1, number, only(2, &[0])),
        ticket(2, number, only(2, &[0])),
        ticket(3, number, Selection::All),
    ];
    store.keep_tickets(&lease, tickets, at(3)).await.expect("kept");
    give_back(store, &lease, 4).await;
    assert_eq!(settle(store, 1, TicketFate::Confirmed, 5).await.delivered, 0);
    assert_eq!(settle(store, 3, TicketFate::Confirmed, 5).await.delivered, 1, "the small one");
    assert_eq!((state(store).await.owed, state(store).await.delivered), (1, 1));
    assert!(nothing_due(store, "splunk", at(5)).await);
    assert_eq!(settle(store, 2, TicketFate::Confirmed, 6).await.delivered, 1);
    assert_eq!((state(store).await.owed, state(store).await.delivered), (0, 2));

    // Where one of them is void, the others say nothing any more.
    let source = lease_source(store, at(100)).await;
    accept(store, &source, &["huge", "tiny"], &names(&["splunk"]), at(100)).await;
    let lease = lease_queue(store, "splunk", at(100)).await;
    let number = lease.deliveries[0].number;
    let tickets = vec![
        ticket(4, number, only(2, &[0])),
        ticket(5, number, only(2, &[0])),
        ticket(6, number, Selection::All),
    ];
    store.keep_tickets(&lease, tickets, at(101)).await.expect("kept");
    give_back(store, &lease, 102).await;
    assert_eq!(settle(store, 4, void(110), 103).await.owed_again, 1);
    assert_eq!(numbers(store).await.iter().map(|(given, _)| *given).collect::<Vec<_>>(), [6]);
    assert_eq!(settle(store, 6, TicketFate::Confirmed, 104).await.delivered, 1);
    let again = lease_queue(store, "splunk", at(110)).await;
    assert_eq!(ids(&again.deliveries), ["huge"]);
    assert_eq!(state(store).await.owed, 1);
}

/// A ticket may be confirmed while the lease under which it was kept is still at work.
async fn what_is_settled_meanwhile_stays_settled(store: &dyn Store) {
    let lease = leased(store, &[&["a", "b", "c"], &["d"]]).await;
    let [first, second] = [&lease.deliveries[0], &lease.deliveries[1]];
    store.keep_tickets(&lease, vec![ticket(1, first.number, only(3, &[0]))], at(3)).await.expect("kept");
    store.keep_tickets(&lease, vec![ticket(2, second.number, Selection::All)], at(3)).await.expect("kept");
    settle(store, 1, TicketFate::Confirmed, 4).await;
    settle(store, 2, TicketFate::Confirmed, 4).await;
    assert_eq!((state(store).await.owed, state(store).await.delivered), (2, 2));
    let refused = FinishedDelivery {
        number: first.number,
        remaining: Some(only(3, &[0, 2])),
        delivered: 0,
        rejected: vec![(1, "too odd".to_owned())],
    };
    let awaited = FinishedDelivery {
        number: second.number,
        remaining: Some(Selection::All),
        delivered: 0,
        rejected: Vec::new(),
    };
    let retry = Some((at(10), "busy".to_owned()));
    store.finish_deliveries(&lease, vec![refused, awaited], retry, at(5)).await.expect("finished");
    let now = state(store).await;
    assert_eq!((now.owed, now.delivered, now.rejected), (1, 2, 1));
    let rest = lease_queue(store, "splunk", at(10)).await;
    assert_eq!(ids(&rest.deliveries), ["c"]);
    // Two tickets of one delivery, confirmed at one instant: both are remembered.
    let number = rest.deliveries[0].number;
    store.keep_tickets(&rest, vec![ticket(7, number, only(3, &[2]))], at(11)).await.expect("kept");
    give_back(store, &rest, 11).await;
    settle(store, 7, TicketFate::Confirmed, 4).await;
    let total = store.sink_totals().await.expect("added up").remove(0);
    assert_eq!((total.owed, total.delivered, total.dead_letters), (0, 3, 1));
}

async fn a_ticket_that_settles_nothing_holds_nothing_back(store: &dyn Store) {
    let lease = leased(store, &[&["a", "b", "c"]]).await;
    let number = lease.deliveries[0].number;
    store.keep_tickets(&lease, vec![ticket(1, number, only(3, &[0]))], at(3)).await.expect("kept");
    // What it is about was refused meanwhile, and the next record was taken at once.
    let finished = FinishedDelivery {
        number,
        remaining: Some(only(3, &[2])),
        delivered: 1,
        rejected: vec![(0, "too odd".to_owned())],
    };
    store.finish_deliveries(&lease, vec![finished], None, at(4)).await.expect("finished");
    let settled = settle(store, 1, TicketFate::Confirmed, 5).await;
    assert_eq!(settled, SettledTickets::default());
    assert_eq!(ids(&lease_queue(store, "splunk", at(6)).await.deliveries), ["c"]);
}

async fn a_queue_has_so_many_tickets_at_once(store: &dyn Store) {
    add(store, 1).await;
    let source = lease_source(store, at(0)).await;
    for page in 0..70 {
        accept(store, &source, &[&format!("r{page}")], &names(&["splunk"]), at(1)).await;
    }
    let lease = lease_queue(store, "splunk", at(2)).await;
    let tickets = (0..64).map(|place| ticket(place, lease.deliveries[place as usize].number, Selection::All));
    store.keep_tickets(&lease, tickets.collect(), at(3)).await.expect("kept");
    give_back(store, &lease, 4).await;
    assert!(nothing_due(store, "splunk", at(5)).await, "the receiver has enough that it says nothing about");
    assert_eq!(store.next_delivery_due_at("splunk").await.expect("asked"), None);
    settle(store, 9, TicketFate::Confirmed, 6).await;
    assert_eq!(
        ids(&lease_queue(store, "splunk", at(7)).await.deliveries),
        ["r64", "r65", "r66", "r67", "r68", "r69"]
    );
}

async fn tickets_need_the_lease_and_go_with_the_tenant(store: &dyn Store) {
    let lease = leased(store, &[&["a"]]).await;
    let number = lease.deliveries[0].number;
    let stranger = ticket(1, DeliveryNumber(999), Selection::All);
    assert!(store.keep_tickets(&lease, vec![stranger], at(3)).await.is_err(), "not of this lease");
    give_back(store, &lease, 4).await;
    let late = store.keep_tickets(&lease, vec![ticket(2, number, Selection::All)], at(5)).await;
    assert!(is_lost(late));
    assert!(numbers(store).await.is_empty());
    let lease = lease_queue(store, "splunk", at(5)).await;
    store.keep_tickets(&lease, vec![ticket(3, number, Selection::All)], at(6)).await.expect("kept");
    let (_, ticket) = numbers(store).await[0];
    store.remove_tenant(lease.tenant.id, super::kit::BY, at(7)).await.expect("removed");
    assert!(numbers(store).await.is_empty());
    let settled = store.settle_tickets(vec![(ticket, TicketFate::Confirmed)], at(8)).await.expect("settled");
    assert_eq!(settled, SettledTickets::default());
}

async fn tickets_outlive_the_process(engine: &mut dyn Engine) {
    let store = engine.fresh().await;
    let lease = leased(&*store, &[&["a"], &["b"]]).await;
    let first = lease.deliveries[0].number;
    store.keep_tickets(&lease, vec![ticket(1, first, Selection::All)], at(3)).await.expect("kept");
    store.confirm_ticket(numbers(&*store).await[0].1, at(3)).await.expect("confirmed");
    drop(store);
    let store = engine.reopened().await;
    let back = engine.back_after(5);
    store.take_over(super::kit::OTHER, at(back)).await.expect("taken over");
    let kept = store.tickets("splunk", TicketNumber::default(), 10).await.expect("listed");
    assert_eq!((kept.len(), kept[0].ticket.ack_id, kept[0].is_confirmed), (1, 1, true));
    assert_eq!(kept[0].ticket.cookies.as_ref().expect("sealed").expose(), "route=indexer-1");
    let rest = store.lease_due_deliveries(ME, "splunk", PLENTY, LEASE, at(back)).await.expect("leased");
    assert_eq!(ids(&rest.expect("due").deliveries), ["b"], "what was answered is asked for, not sent again");
    settle(&*store, 1, TicketFate::Confirmed, back + 1).await;
    assert_eq!((state(&*store).await.owed, state(&*store).await.delivered), (1, 1));
}
