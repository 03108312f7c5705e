//! The rules about credentials and the signing key.

use muster_model::Secret;

use super::kit::{Engine, at};
use crate::{CredentialKind, CredentialSlot, Store, StoredCredential};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    credentials_are_promoted(engine).await;
    the_signing_key_stays(engine).await;
}

fn credential(app: &str, slot: CredentialSlot, value: &str) -> StoredCredential {
    StoredCredential {
        app: app.to_owned(),
        slot,
        kind: CredentialKind::Secret,
        key_id: format!("id of {value}"),
        value: Secret::new(value.as_bytes().to_vec()),
        not_after: Some(at(500)),
        created_at: at(0),
    }
}

/// The values of an app's credentials: current, next, previous.
async fn slots(store: &dyn Store, app: &str) -> [Option<String>; 3] {
    let stored = store.app_credentials(app).await.expect("read");
    let all = [CredentialSlot::Current, CredentialSlot::Next, CredentialSlot::Previous];
    let order = stored.iter().map(|credential| credential.slot).collect::<Vec<_>>();
    let expected = all.into_iter().filter(|slot| order.contains(slot)).collect::<Vec<_>>();
    assert_eq!(order, expected, "by slot, each once");
    all.map(|slot| {
        let found = stored.iter().find(|credential| credential.slot == slot)?;
        let value = String::from_utf8(found.value.expose().clone()).expect("text");
        assert_eq!((found.app.as_str(), found.key_id.clone()), (app, format!("id of {value}")));
        assert_eq!((found.not_after, found.created_at), (Some(at(500)), at(0)));
        Some(value)
    })
}

async fn credentials_are_promoted(engine: &mut dyn Engine) {
    use CredentialSlot::{Current, Next, Previous};

    let text = |value: &str| Some(value.to_owned());
    let store = engine.fresh().await;
    assert_eq!(slots(&*store, "main").await, [None, None, None]);
    assert!(!store.promote_app_credential("main").await.expect("asked"));
    store.put_app_credential(credential("main", Current, "one")).await.expect("put");
    store.put_app_credential(credential("other", Current, "theirs")).await.expect("put");
    assert!(!store.promote_app_credential("main").await.expect("asked"), "there is no next one");
    store.put_app_credential(credential("main", Next, "two")).await.expect("put");
    assert_eq!(slots(&*store, "main").await, [text("one"), text("two"), None]);
    assert!(store.promote_app_credential("main").await.expect("promoted"));
    assert_eq!(slots(&*store, "main").await, [text("two"), None, text("one")]);
    drop(store);

    let store = engine.reopened().await;
    assert_eq!(slots(&*store, "main").await, [text("two"), None, text("one")], "after a crash too");
    store.put_app_credential(credential("main", Next, "three")).await.expect("put");
    store.put_app_credential(credential("main", Next, "four")).await.expect("put");
    assert_eq!(slots(&*store, "main").await, [text("two"), text("four"), text("one")]);
    assert!(store.promote_app_credential("main").await.expect("promoted"));
    assert_eq!(slots(&*store, "main").await, [text("four"), None, text("two")]);
    assert!(store.remove_app_credential("main", Previous).await.expect("removed"));
    assert!(!store.remove_app_credential("main", Previous).await.expect("asked"));
    assert_eq!(slots(&*store, "main").await, [text("four"), None, None]);
    assert_eq!(slots(&*store, "other").await, [text("theirs"), None, None]);
    // The first one of an app need not have a predecessor.
    let certificate = StoredCredential {
        kind: CredentialKind::Certificate,
        not_after: None,
        ..credential("new", Next, "pem")
    };
    store.put_app_credential(certificate).await.expect("put");
    assert!(store.promote_app_credential("new").await.expect("promoted"));
    let stored = store.app_credentials("new").await.expect("read").remove(0);
    assert_eq!((stored.slot, stored.kind), (Current, CredentialKind::Certificate));
    assert_eq!((stored.not_after, stored.value.expose().as_slice()), (None, b"pem".as_slice()));
    store.close().await;
}

async fn the_signing_key_stays(engine: &mut dyn Engine) {
    let store = engine.fresh().await;
    let tag = store.signing_key().sign("invitation", b"contoso");
    let other = engine.beside().await;
    assert!(other.signing_key().verify("invitation", b"contoso", &tag));
    assert!(!other.signing_key().verify("state", b"contoso", &tag));
    other.close().await;
    store.close().await;
    let store = engine.reopened().await;
    assert!(store.signing_key().verify("invitation", b"contoso", &tag));
    store.close().await;
    let another = engine.fresh().await;
    assert!(!another.signing_key().verify("invitation", b"contoso", &tag), "each store has its own");
    another.close().await;
}
