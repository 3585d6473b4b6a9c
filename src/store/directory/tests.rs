//! Directories that are large: what the database does with their queries, and groups without end.

use super::{by, ties, writes};
use crate::clock;
use crate::model::directory::{self, Entry, Groups, Overlay};
use crate::model::identity::{MOST_GROUPS, Profile, Subject};
use crate::model::{Email, Identity, ProviderName, Reason, Refusal, Token};
use crate::store::{Barred, Client, NewSignIn, Store, Tokens};
use sqlx::{AssertSqlSafe, Row as _};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Handle;

async fn store() -> (TempDir, Arc<Store>) {
    let folder = tempfile::tempdir().unwrap();
    let location = format!("sqlite:{}", folder.path().join("db").display());
    let store = Store::open(&location, Handle::current()).await.unwrap();
    (folder, store)
}

/// How SQLite goes about a query.
async fn plan(store: &Store, query: &str) -> Vec<String> {
    let text = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"));
    let rows = sqlx::query(text).fetch_all(&store.readers()).await.unwrap();
    rows.iter().map(|row| row.get("detail")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_at_every_sign_in_and_every_change_is_looked_up_however_large_the_directory_is() {
    let (_folder, store) = store().await;
    let queries = ["id", "name", "external_id"].map(by).into_iter().chain(ties::lookups(3, 3)).chain([ties::whose(3)]);
    let queries = queries.chain([writes::REVIVED, writes::LEFT].map(str::to_owned));
    for query in queries {
        let plan = plan(&store, &query).await;
        let is_slow = |step: &&String| {
            step.starts_with("SCAN") || step.ends_with("(provider=?)") || step.ends_with("(provider=? AND kind=?)")
        };
        assert_eq!(plan.iter().find(is_slow), None, "{query}\n{plan:#?}");
    }
}

/// Bob, with a group by his claims.
fn bob() -> NewSignIn {
    let provider = ProviderName::parse("staff").unwrap();
    let email = Some(Email::parse("bob@corp.example").unwrap());
    let profile = Profile { email, groups: vec!["employees".to_owned()], ..Profile::default() };
    NewSignIn {
        cookie: Token::random().unwrap().hash(),
        identity: Identity { subject: Subject { provider, subject: "s-bob".to_owned() }, profile, authenticated_at: clock::now() },
        provider_sid: None,
        tokens: Tokens { id_token: String::new(), refresh_token: None, expires: None },
        ends: clock::now().plus(Duration::from_secs(3600)),
        replaces: None,
        client: Client::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_in_more_groups_than_rules_can_be_sure_of_is_refused_and_told_why() {
    let (_folder, store) = store().await;
    let entry = serde_json::to_string(&Entry { active: true, ..Entry::default() }).unwrap();
    let insert =
        "INSERT INTO directory (id, provider, kind, name, shown, user_mail, entry, body, version, created_at, modified_at)";
    let user = format!("{insert} VALUES ('u', 'staff', 'user', 'bob', 'bob', 'bob@corp.example', $1, '{{}}', 1, 1, 1)");
    sqlx::query(AssertSqlSafe(user)).bind(entry).execute(&store.writer()).await.unwrap();
    let groups = format!(
        "{insert} WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {MOST_GROUPS})
         SELECT 'g' || x, 'staff', 'group', 'g' || x, 'g' || x, NULL, '', '{{}}', 1, 1, 1 FROM n"
    );
    sqlx::query(AssertSqlSafe(groups)).execute(&store.writer()).await.unwrap();
    let members = "INSERT INTO directory_members (group_id, user_id) SELECT id, 'u' FROM directory WHERE kind = 'group'";
    sqlx::query(members).execute(&store.writer()).await.unwrap();
    let lay = |groups| {
        let overlay = Overlay { groups, by_external_id: true, by_email: true, required: false };
        store.lay_directories([(ProviderName::parse("staff").unwrap(), overlay)].into());
    };
    lay(Groups::Replace);
    let sign_in = store.create_sign_in(bob()).await.unwrap().unwrap();
    assert_eq!(sign_in.identity().profile.groups.len(), MOST_GROUPS);
    lay(Groups::Add);
    let barred = store.create_sign_in(bob()).await.unwrap().err();
    let Some(Barred::Directory(barred @ directory::Barred::TooManyGroups)) = barred else { panic!("{barred:?}") };
    let refusal = Refusal::from(barred);
    assert!(refusal.reason == Reason::SignInFailed && refusal.detail.unwrap().contains("2000 groups"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_does_not_read_spares_no_other_what_the_directory_says() {
    let (_folder, store) = store().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(store.create_sign_in(bob()).await.unwrap().unwrap().id.0);
    }
    let damage = sqlx::query("UPDATE sign_ins SET profile = 'x' WHERE id = $1").bind(ids[1]);
    damage.execute(&store.writer()).await.unwrap();
    let overlay = Overlay { groups: Groups::Replace, by_external_id: true, by_email: true, required: true };
    store.lay_directories([(ProviderName::parse("staff").unwrap(), overlay)].into());
    let mut left = Vec::new();
    for _ in 0..500 {
        left = sqlx::query_scalar::<_, i64>("SELECT id FROM sign_ins").fetch_all(&store.readers()).await.unwrap();
        if left == [ids[1]] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("those that read should have ended: {left:?} of {ids:?}");
}
