//! Tickets on their way from a sink into the store.

use std::time::Duration;

use async_trait::async_trait;
use muster_model::{Clock, DeliveryNumber, Selection, Ticket};
use muster_siem::sinks::KeepTickets;
use muster_store::{DeliveryLease, NewTicket, Store, StoreError};
use tokio::sync::Notify;

use crate::told::Told;

/// Keeps tickets of one lease's deliveries in the store.
pub(super) struct Keeper<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) clock: &'a dyn Clock,
    pub(super) told: &'a Told,
    /// Told when there is a new one.
    pub(super) kept: &'a Notify,
    /// The sink's name.
    pub(super) sink: &'a str,
    pub(super) lease: &'a DeliveryLease,
    /// For how long a store that fails is tried again.
    pub(super) patience: Duration,
}

#[async_trait]
impl KeepTickets for Keeper<'_> {
    async fn keep(&self, tickets: Vec<(Ticket, Vec<usize>)>) -> Result<(), String> {
        let Self { store, clock, told, sink, .. } = self;
        let new: Vec<NewTicket> = tickets
            .into_iter()
            .map(|(ticket, places)| NewTicket { ticket, records: by_delivery(self.lease, &places) })
            .collect();
        let began = tokio::time::Instant::now();
        // What a receiver has taken must not be forgotten for a passing trouble of the store, or it is sent twice.
        loop {
            match store.keep_tickets(self.lease, new.clone(), clock.now()).await {
                Ok(()) => {
                    self.kept.notify_one();
                    return Ok(());
                }
                Err(error)
                    if began.elapsed() < self.patience && !matches!(error, StoreError::LeaseLost { .. }) =>
                {
                    told.store.failed(&format!("keep what sink `{sink}` handed out"), &error, clock.now());
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => {
                    return Err(format!(
                        "what it handed out for a request cannot be kept, so that is sent again: {error}"
                    ));
                }
            }
        }
    }
}

/// The records at these places of a lease, which rise, by delivery.
fn by_delivery(lease: &DeliveryLease, places: &[usize]) -> Vec<(DeliveryNumber, Selection)> {
    let mut wanted = places.iter().copied().peekable();
    let mut first = 0;
    let mut all = Vec::new();
    for delivery in &lease.deliveries {
        let records: Vec<usize> = delivery.records().map(|(index, _)| index).collect();
        let mut chosen = Vec::new();
        while let Some(place) = wanted.next_if(|place| *place < first + records.len()) {
            chosen.extend(place.checked_sub(first).and_then(|within| records.get(within)));
        }
        let chosen = Selection::of(delivery.batch.len(), |index| chosen.binary_search(&index).is_ok());
        all.extend(chosen.map(|selection| (delivery.number, selection)));
        first += records.len();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::tests::lease;
    use super::*;

    #[test]
    fn places_of_a_lease_are_records_of_its_deliveries() {
        // Delivery 1 owes two records, delivery 2 the first and the last of three.
        let lease = lease(0);
        let of = |places: &[usize]| by_delivery(&lease, places);
        assert_eq!(of(&[0, 1]), [(DeliveryNumber(1), Selection::All)]);
        let last = Selection::of(3, |index| index == 2).expect("one");
        let second = Selection::of(2, |index| index == 1).expect("one");
        assert_eq!(of(&[1, 3]), [(DeliveryNumber(1), second), (DeliveryNumber(2), last)]);
        let both = Selection::of(3, |index| index != 1).expect("two");
        assert_eq!(of(&[2, 3]), [(DeliveryNumber(2), both)]);
        assert!(of(&[]).is_empty() && of(&[4]).is_empty());
    }
}
