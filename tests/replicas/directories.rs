//! Directories of several replicas: what one of them is told of people counts at all of them.

use crate::stores::{HOST, Shared, app_cookie, lives, new_sign_in, sign_in};
use crate::world::eventually;
use doorward::model::ProviderName;
use doorward::model::directory::{Barred, Entry, Groups, Kind, Overlay};
use doorward::store::directory::{Draft, Key, Lost, Members, Resource, Unwritten};
use doorward::store::{self, Store};
use std::sync::Arc;

fn staff() -> ProviderName {
    ProviderName::parse("staff").unwrap()
}

fn lay(store: &Arc<Store>, required: bool) {
    let overlay = Overlay { groups: Groups::Replace, by_external_id: true, by_email: true, required };
    store.lay_directories([(staff(), overlay)].into());
}

fn draft(name: &str, active: bool) -> Draft {
    let entry = Entry { active, ..Entry::default() };
    Draft {
        name: name.to_owned(),
        external_id: Some(name.to_owned()),
        user_mail: None,
        primary_mail: None,
        entry,
        body: "{}".to_owned(),
    }
}

async fn make(store: &Store, kind: Kind, name: &str, members: &Members) -> Resource {
    store.create_resource(&staff(), kind, &draft(name, true), members).await.unwrap().unwrap().resource
}

async fn find(store: &Store, kind: Kind, id: &str) -> Resource {
    store.resource(&staff(), kind, id).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_directory_tells_one_replica_counts_at_the_others() {
    let Some(shared) = Shared::new().await else { return };
    let (one, two) = (shared.replica().await, shared.replica().await);
    [&one, &two].into_iter().for_each(|store| lay(store, false));
    let ana = make(&one, Kind::User, "ana", &Members::Keep).await;
    let (signed_in, _) = sign_in(&one).await;
    let held = two.app_session(app_cookie(&one, &signed_in).await.hash(), HOST).await.unwrap().unwrap();
    let members = Members::Set([ana.id.clone(), "nobody".to_owned()].into());
    let finance = make(&one, Kind::Group, "Finance", &members).await;
    eventually("the other replica knows the group", async || (held.sign_in.identity().profile.groups == ["Finance"]).then_some(()))
        .await;
    let of_ana = two.related(Kind::User, &ana, 10).await.unwrap();
    assert_eq!((of_ana.len(), &*of_ana[0].shown), (1, "Finance"));
    assert_eq!(two.related(Kind::Group, &finance, 10).await.unwrap()[0].id, ana.id);
    let again = two.create_resource(&staff(), Kind::Group, &draft("FINANCE", true), &members).await.unwrap().err();
    assert_eq!((again, find(&two, Kind::User, &ana.id).await.version), (Some(Unwritten::Taken), 2));
    for key in [Key::Id(ana.id.clone()), Key::Name("ANA".to_owned()), Key::ExternalId("ana".to_owned())] {
        assert_eq!(two.resources_by(&staff(), Kind::User, &key).await.unwrap().len(), 1, "{key:?}");
    }
    let before = find(&two, Kind::User, &ana.id).await;
    let out = two.change_resource(&staff(), Kind::User, &before, &draft("ana", false), &Members::Keep).await.unwrap().unwrap();
    assert_eq!(out.ended.len(), 1);
    assert!(!lives(&held));
    let barred = one.create_sign_in(new_sign_in().0).await.unwrap().err();
    assert!(matches!(barred, Some(store::Barred::Directory(Barred::Deactivated))), "{barred:?}");
    two.delete_resource(&staff(), Kind::User, &out.resource).await.unwrap().unwrap();
    let (orphans, _) = one.orphans(&[staff()].into(), 0).await.unwrap();
    assert_eq!(orphans.iter().map(|orphan| orphan.why).collect::<Vec<_>>(), [Lost::Deleted]);
    assert!(one.create_sign_in(new_sign_in().0).await.unwrap().is_err());
    assert!(find(&one, Kind::Group, &finance.id).await.version > finance.version, "it has lost a member");
    make(&two, Kind::User, "ana", &Members::Keep).await;
    assert!(one.create_sign_in(new_sign_in().0).await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_configuration_refuses_ends_at_every_replica_whoever_holds_it() {
    let Some(shared) = Shared::new().await else { return };
    let (one, two) = (shared.replica().await, shared.replica().await);
    let (signed_in, _) = sign_in(&one).await;
    let held = two.app_session(app_cookie(&one, &signed_in).await.hash(), HOST).await.unwrap().unwrap();
    lay(&one, true);
    eventually("the sign-in has ended everywhere", async || (!lives(&held)).then_some(())).await;
    lay(&one, false);
    assert!(two.app_session(held.cookie, HOST).await.unwrap().is_none());
}
