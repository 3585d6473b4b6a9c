//! What is asked of the database itself: that it proves who it is, keeps what it has acknowledged, and is brought up to date by one
//! replica while the others wait.

use crate::cluster::Cluster;
use crate::postgres::Postgres;
use crate::stores::{KEY, Shared, sign_in};
use crate::world::{World, eventually};
use doorward::store::{Cause, Error, Location, Store};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server whose certificate bears the name `localhost`.
async fn server_of(authority: &CertifiedIssuer<'static, KeyPair>) -> Option<Postgres> {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    tokio::task::spawn_blocking(move || Postgres::with_certificate(&certificate, &key)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_spoken_to_by_tls_where_it_proves_to_be_the_one_that_is_named() {
    let (own, other) = (authority("own"), authority("other"));
    let Some(server) = server_of(&own).await else { return };
    let (folder, name) = (tempfile::tempdir().unwrap(), server.database().rsplit('/').next().unwrap().to_owned());
    for (file, text) in [("own.pem", own.pem()), ("other.pem", other.pem()), ("keys", KEY.to_owned())] {
        fs::write(folder.path().join(file), text).unwrap();
    }
    let open = async |host: &str, port: u16, root: &str| {
        let root = folder.path().join(root);
        let location = format!("postgres://doorward@{host}:{port}/{name}?sslmode=verify-full&sslrootcert={}", root.display());
        Store::open_at(Location::parse(&location).unwrap().with_keys(folder.path().join("keys")), Handle::current()).await
    };
    let store: Arc<Store> = open("localhost", server.port(), "own.pem").await.unwrap();
    let (held, _) = sign_in(&store).await;
    store.end_sign_in(held.id, Cause::SignedOut).await.unwrap();
    let connections = "SELECT count(*), count(*) FILTER (WHERE NOT ssl), count(*) FILTER (WHERE query LIKE 'LISTEN%')
        FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = current_database() AND pid <> pg_backend_pid()";
    eventually("it writes, follows and listens, and all of that by TLS", async || {
        let row = server.run(&name, connections);
        let counts: Vec<u32> = row.trim().split('|').map(|count| count.parse().unwrap()).collect();
        (counts[0] >= 3 && counts[1] == 0 && counts[2] == 1).then_some(())
    })
    .await;
    for (host, root, cause) in [("localhost", "other.pem", "UnknownIssuer"), ("127.0.0.1", "own.pem", "not valid for name")] {
        let refused = open(host, server.port(), root).await.err().unwrap();
        let message = refused.to_string();
        assert!(matches!(refused, Error::Untrusted(_)) && message.contains(cause) && message.contains("sslrootcert"), "{message}");
    }
    let plain = Postgres::shared().unwrap();
    let message = open("localhost", plain.port(), "own.pem").await.err().unwrap().to_string();
    assert!(message.contains("server does not support TLS"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doorward_does_not_start_with_a_database_that_somebody_else_may_be() {
    let Some(server) = server_of(&authority("own")).await else { return };
    let mut world = World::start().await;
    world.stop().await;
    fs::write(world.path("keys"), KEY).unwrap();
    fs::write(world.path("other.pem"), authority("other").pem()).unwrap();
    let location = server.database().replace("127.0.0.1", "localhost");
    let store = format!("store: {location}?sslmode=verify-full&sslrootcert=other.pem\nstore_keys: keys");
    let text = fs::read_to_string(world.path("doorward.yaml")).unwrap().replace("store: sqlite:doorward.db", &store);
    fs::write(world.path("doorward.yaml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.args(["run", "-c"]).arg(world.path("doorward.yaml"));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("does not prove who it is") && said.contains("sslrootcert"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_written_down_whatever_the_server_is_told_of_that() {
    let Some(server) = tokio::task::spawn_blocking(|| Postgres::start(&[])).await.unwrap() else { return };
    let note = "CREATE TABLE settings (said TEXT);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO settings VALUES (current_setting(''synchronous_commit'')); RETURN NULL; END';
        CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON sign_ins FOR EACH STATEMENT EXECUTE FUNCTION note()";
    let mut stores = Vec::new();
    for (said, is) in
        [("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"), ("remote_apply", "remote_apply"), ("DEFAULT", "on")]
    {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("keys"), KEY).unwrap();
        let shared = Shared { folder, location: server.database() };
        let database = shared.location.rsplit('/').next().unwrap().to_owned();
        let whose = if said == "local" { "ROLE doorward IN DATABASE" } else { "DATABASE" };
        server.run("postgres", &format!("ALTER {whose} {database} SET synchronous_commit = {said}"));
        let store = shared.replica().await;
        server.run(&database, note);
        stores.push((store, database, is, shared));
    }
    // Those that are connected learn of it, too.
    server.run("postgres", "ALTER SYSTEM SET synchronous_commit = off");
    server.run("postgres", "SELECT pg_reload_conf()");
    tokio::time::sleep(Duration::from_millis(300)).await;
    for (store, database, is, _shared) in &stores {
        let (held, _) = sign_in(store).await;
        store.end_sign_in(held.id, Cause::SignedOut).await.unwrap();
        assert_eq!(server.run(database, "SELECT string_agg(DISTINCT said, ' ') FROM settings").trim(), *is);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_in_vain_to_bring_the_tables_up_to_date_says_so() {
    use sqlx::migrate::Migrate as _;
    let Some(shared) = Shared::new().await else { return };
    let database = shared.location.rsplit('/').next().unwrap();
    // The patience that the database prescribes goes before ours.
    Postgres::shared().unwrap().run("postgres", &format!("ALTER DATABASE {database} SET lock_timeout = '500ms'"));
    let mut stopped = <sqlx::PgConnection as sqlx::Connection>::connect(&shared.location).await.unwrap();
    stopped.lock().await.unwrap();
    let refused = shared.try_replica().await;
    assert!(matches!(refused, Err(Error::HeldUp)), "{:?}", refused.err());
    stopped.unlock().await.unwrap();
    shared.replica().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_stopped_while_it_brings_the_tables_up_to_date_keeps_nobody_from_starting() {
    use sqlx::Executor as _;
    let Some(mut cluster) = Cluster::start(0, "5m").await else { return };
    let location = cluster.server.database();
    cluster.database = location.rsplit('/').next().unwrap().to_owned();
    // The first one waits for this in the middle of its transaction.
    let mut other = <sqlx::PgConnection as sqlx::Connection>::connect(&location).await.unwrap();
    other.execute("BEGIN; CREATE TABLE users (id BIGINT)").await.unwrap();
    let mut first = cluster.configure(0, "5m").await;
    first.begin();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("it waits", async || (cluster.sql(waits).trim() == "1").then_some(())).await;
    first.signal("-STOP");
    other.execute("ROLLBACK").await.unwrap();
    let keyed = Location::parse(&location).unwrap().with_keys(cluster.world.path("keys"));
    tokio::time::timeout(Duration::from_secs(40), Store::open_at(keyed, Handle::current())).await.unwrap().unwrap();
}
