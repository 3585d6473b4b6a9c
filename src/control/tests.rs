//! Sign-ins from end to end, against a provider that says whatever a test wants.

mod attacks;
mod backchannel;
mod browser;
mod provider;
mod refresh;
mod revocation;
mod sign_in;
mod sign_out;

use super::*;
use crate::control::fixture;
use crate::snapshot::Provider;
use http::HeaderValue;
use http::header::COOKIE;

/// An empty store.
pub(super) async fn store() -> (tempfile::TempDir, Arc<Store>) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    (folder, store)
}

async fn open(folder: &tempfile::TempDir) -> Arc<Store> {
    let location = format!("sqlite:{}", folder.path().join("db").display());
    Store::open(&location, tokio::runtime::Handle::current()).await.unwrap()
}

pub(super) fn headers(cookies: &[String]) -> HeaderMap {
    let value = |line: &String| (COOKIE, HeaderValue::from_str(line).unwrap());
    cookies.iter().map(value).collect()
}

pub(super) fn place(authority: &str) -> Place {
    place_in(Arc::new(fixture::snapshot(Vec::new())), authority)
}

fn place_in(snapshot: Arc<Snapshot>, authority: &str) -> Place {
    let host = authority.split(':').next().unwrap_or("").to_owned();
    Place { is_auth: host == snapshot.auth.host(), snapshot, host, authority: authority.to_owned(), client: [127, 0, 0, 1].into() }
}

pub(super) fn call<'a>(place: &'a Place, headers: &'a HeaderMap, query: Query) -> Call<'a> {
    Call { place, method: &Method::GET, headers, query, form: Query::default(), body: Bytes::new() }
}

/// A control plane of these providers, started.
struct World {
    control: Arc<Control>,
    snapshot: Arc<Snapshot>,
    folder: tempfile::TempDir,
    _background: tokio::task::JoinSet<()>,
}

impl World {
    async fn new(providers: Vec<Provider>) -> Self {
        Self::recording(providers, || true).await
    }

    /// The same with an audit trail that may have no room.
    async fn recording(providers: Vec<Provider>, has_room: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        let (folder, store) = store().await;
        Self::of(folder, store, Arc::new(fixture::snapshot(providers)), has_room).await
    }

    /// Another process with the same database.
    async fn restarted(self) -> Self {
        let store = open(&self.folder).await;
        Self::of(self.folder, store, self.snapshot, || true).await
    }

    async fn of(
        folder: tempfile::TempDir,
        store: Arc<Store>,
        snapshot: Arc<Snapshot>,
        has_room: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let keys = Arc::new(assertion::Keys::load(&store).await.unwrap());
        let metrics = ControlMetrics::register(&prometheus::Registry::new()).unwrap();
        let current = Arc::new(ArcSwap::new(Arc::clone(&snapshot)));
        let control = Control::new(store, keys, current, metrics);
        let background = control.start(admin::acts::Trail { has_room: Box::new(has_room), take: Box::new(drop) });
        Self { control, snapshot, folder, _background: background }
    }

    async fn discovered(&self) {
        for _ in 0..500 {
            if self.control.providers().iter().all(|provider| provider.discovered) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not discovered: {:?}", self.control.providers());
    }

    /// One request, on a task of its own as the gate makes it.
    async fn request(&self, method: Method, url: &str, headers: HeaderMap) -> Result<Answer, Refusal> {
        self.post(method, url, headers, String::new()).await
    }

    /// The same with a body.
    async fn post(&self, method: Method, url: &str, headers: HeaderMap, body: String) -> Result<Answer, Refusal> {
        let behind = url.strip_prefix("https://").unwrap();
        let (authority, path) = behind.split_at(behind.find('/').unwrap());
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        *request.headers_mut() = headers;
        let (control, place) = (Arc::clone(&self.control), place_in(Arc::clone(&self.snapshot), authority));
        tokio::spawn(async move { control.answer(request, place).await }).await.unwrap()
    }
}
