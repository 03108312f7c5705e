//! The rules about heartbeats.

use uuid::Uuid;

use super::kit::{Engine, ME, OTHER, at};
use crate::{Heartbeat, InstanceId, PartTrouble, Store};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    the_last_one_of_each_is_kept(&*engine.fresh().await).await;
    few_are_kept(&*engine.fresh().await).await;
}

fn heartbeat(instance: InstanceId, started: i64, beat: i64) -> Heartbeat {
    Heartbeat {
        instance,
        host: "collector-1".to_owned(),
        pid: 4_711,
        version: "0.1.0".to_owned(),
        started_at: at(started),
        beat_at: at(beat),
        stopped_at: None,
        troubles: Vec::new(),
    }
}

async fn the_last_one_of_each_is_kept(store: &dyn Store) {
    assert_eq!(store.heartbeats().await.expect("listed"), []);
    let mut first = heartbeat(ME, 0, 0);
    store.beat(first.clone()).await.expect("beaten");
    // Started later, though its clock says otherwise.
    let second = heartbeat(OTHER, -90, -90);
    store.beat(second.clone()).await.expect("beaten");
    first.beat_at = at(10);
    let reason = "no such file".to_owned();
    first.troubles = vec![PartTrouble { part: "sink splunk".to_owned(), reason }];
    store.beat(first.clone()).await.expect("beaten");
    assert_eq!(store.heartbeats().await.expect("listed"), [second.clone(), first.clone()]);
    first.stopped_at = Some(at(11));
    first.troubles.clear();
    store.beat(first.clone()).await.expect("beaten");
    assert_eq!(store.heartbeats().await.expect("listed"), [second, first]);
}

async fn few_are_kept(store: &dyn Store) {
    for number in 0..100 {
        let instance = InstanceId(Uuid::from_u128(number));
        store.beat(heartbeat(instance, 0, 0)).await.expect("beaten");
    }
    let kept = store.heartbeats().await.expect("listed");
    assert_eq!(kept[0].instance, InstanceId(Uuid::from_u128(99)));
    assert!(kept.len() < 50, "{}", kept.len());
}
