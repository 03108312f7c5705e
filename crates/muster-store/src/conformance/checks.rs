//! The rules about checks.

use super::kit::{BY, Engine, add, at, check, tenant_id};
use crate::{Check, CheckOutcome, Store, StoreError};

pub(super) async fn run_all(engine: &mut dyn Engine) {
    checks_are_replaced_by_name(&*engine.fresh().await).await;
}

async fn checks_are_replaced_by_name(store: &dyn Store) {
    use CheckOutcome::{Failing, Good, Warning};

    add(store, 2).await;
    add(store, 1).await;
    let (one, two) = (tenant_id(1), tenant_id(2));
    let token = check("token", Failing);
    let source = check("source graph_alerts", Good);
    store.put_checks(two, vec![token.clone()]).await.expect("put");
    store.put_checks(one, vec![token.clone(), source.clone()]).await.expect("put");
    let all = store.checks(None).await.expect("listed");
    assert_eq!(all, [(one, source.clone()), (one, token.clone()), (two, token.clone())], "by slug and name");
    let better = Check { checked_at: at(20), ..check("token", Warning) };
    store.put_checks(one, vec![better.clone()]).await.expect("put");
    assert_eq!(store.checks(Some(one)).await.expect("listed"), [(one, source), (one, better.clone())]);
    assert_eq!(store.checks(Some(two)).await.expect("listed"), [(two, token)]);
    let gone = ["source graph_alerts".to_owned(), "never was".to_owned()];
    store.remove_checks(one, &gone).await.expect("removed");
    assert_eq!(store.checks(Some(one)).await.expect("listed"), [(one, better)]);
    store.put_checks(one, Vec::new()).await.expect("nothing to do");
    let stranger = store.put_checks(tenant_id(7), vec![check("token", Good)]).await;
    assert!(matches!(stranger, Err(StoreError::NoTenant(_))));
    store.remove_tenant(one, BY, at(30)).await.expect("removed");
    assert_eq!(store.checks(None).await.expect("listed").len(), 1);

    let expiry = check("secret expiry", Warning);
    store.put_app_checks("main", vec![check("secret expiry", Good)]).await.expect("put");
    store.put_app_checks("edge", vec![check("app", Failing)]).await.expect("put");
    store.put_app_checks("main", vec![expiry.clone()]).await.expect("put");
    let apps = store.app_checks().await.expect("listed");
    assert_eq!(apps, [("edge".to_owned(), check("app", Failing)), ("main".to_owned(), expiry)]);
}
