//! Who is signed in at the provider, and what was granted to the client: logins, codes, tokens.
//!
//! In: events of the endpoints. Out: fresh random values, and what an earlier one stands for. Everything expires,
//! is bounded in number, and is kept under the SHA-256 of its secret. A code or refresh token that is shown twice
//! must never work, and ends everything granted with it (RFC 6749 section 4.1.2, RFC 9700 section 4.14).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest as hash};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moka::sync::Cache;
use openidconnect::CsrfToken;

const CODE_LIFE: Duration = Duration::from_secs(60);
const LOGIN_LIFE: Duration = Duration::from_secs(12 * 60 * 60);
const MOST: u64 = 10_000;

/// A browser that is signed in at the provider.
pub(super) struct Login {
    /// The address that was signed in with.
    pub(super) email: String,
    pub(super) authenticated: SystemTime,
    /// Whether a code was asked for beside the password.
    pub(super) second_factor: bool,
    /// The `sid` claim: the digest of the login cookie.
    pub(super) sid: String,
    ended: AtomicBool,
}

/// What one authorization gave to the client.
pub(super) struct Grant {
    pub(super) login: Arc<Login>,
    pub(super) scopes: Vec<String>,
    pub(super) redirect_uri: String,
    /// The S256 code challenge (RFC 7636).
    pub(super) challenge: String,
    pub(super) nonce: Option<String>,
    pub(super) revoked: AtomicBool,
}

impl Grant {
    pub(super) fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|granted| granted == scope)
    }

    fn is_live(&self) -> bool {
        !self.revoked.load(Ordering::SeqCst) && !self.login.ended.load(Ordering::SeqCst)
    }
}

/// A grant behind a value that works once. Used ones are kept, so that a second use is noticed.
struct OneTime {
    grant: Arc<Grant>,
    used: AtomicBool,
}

impl OneTime {
    fn redeem(&self) -> Option<Arc<Grant>> {
        if self.used.swap(true, Ordering::SeqCst) {
            self.grant.revoked.store(true, Ordering::SeqCst);
        }
        self.grant.is_live().then(|| Arc::clone(&self.grant))
    }
}

type Store<T> = Cache<String, Arc<T>>;

/// All that is granted and not yet expired.
pub(super) struct Grants {
    logins: Store<Login>,
    codes: Store<OneTime>,
    refresh_tokens: Store<OneTime>,
    access_tokens: Store<Grant>,
}

impl Grants {
    pub(super) fn new(access_token_life: Duration) -> Self {
        Self {
            logins: expiring(LOGIN_LIFE),
            codes: expiring(CODE_LIFE),
            refresh_tokens: expiring(LOGIN_LIFE),
            access_tokens: expiring(access_token_life),
        }
    }

    /// Signs a browser in. Returns the value of its cookie too.
    pub(super) fn log_in(&self, email: String, second_factor: bool) -> (String, Arc<Login>) {
        let cookie = random();
        let (authenticated, sid) = (SystemTime::now(), digest(&cookie));
        let login = Login { email, authenticated, second_factor, sid, ended: AtomicBool::new(false) };
        (cookie, keep(&self.logins, login.sid.clone(), login))
    }

    /// The login that a cookie stands for.
    pub(super) fn login(&self, cookie: &str) -> Option<Arc<Login>> {
        self.logins.get(&digest(cookie))
    }

    /// Ends a login, and with it every token granted by it; the login, unless it had ended before.
    pub(super) fn log_out(&self, sid: &str) -> Option<Arc<Login>> {
        let login = self.logins.remove(sid)?;
        login.ended.store(true, Ordering::SeqCst);
        Some(login)
    }

    pub(super) fn issue_code(&self, grant: Grant) -> String {
        issue_once(&self.codes, Arc::new(grant))
    }

    pub(super) fn redeem_code(&self, code: &str) -> Option<Arc<Grant>> {
        self.codes.get(&digest(code))?.redeem()
    }

    pub(super) fn issue_refresh_token(&self, grant: &Arc<Grant>) -> String {
        issue_once(&self.refresh_tokens, Arc::clone(grant))
    }

    pub(super) fn redeem_refresh_token(&self, token: &str) -> Option<Arc<Grant>> {
        self.refresh_tokens.get(&digest(token))?.redeem()
    }

    pub(super) fn issue_access_token(&self, grant: &Arc<Grant>) -> String {
        let token = random();
        self.access_tokens.insert(digest(&token), Arc::clone(grant));
        token
    }

    /// What an access token gives access to.
    pub(super) fn granted(&self, access_token: &str) -> Option<Arc<Grant>> {
        self.access_tokens.get(&digest(access_token)).filter(|grant| grant.is_live())
    }
}

fn expiring<T: Send + Sync + 'static>(life: Duration) -> Store<T> {
    Cache::builder().max_capacity(MOST).time_to_live(life).build()
}

fn keep<T: Send + Sync + 'static>(store: &Store<T>, key: String, value: T) -> Arc<T> {
    let value = Arc::new(value);
    store.insert(key, Arc::clone(&value));
    value
}

fn issue_once(store: &Store<OneTime>, grant: Arc<Grant>) -> String {
    let secret = random();
    keep(store, digest(&secret), OneTime { grant, used: AtomicBool::new(false) });
    secret
}

/// 256 random bits, base64url, from the generator of `openidconnect`.
pub(super) fn random() -> String {
    CsrfToken::new_random_len(32).into_secret()
}

/// SHA-256, base64url without padding: also what RFC 7636 makes of a code verifier.
pub(super) fn digest(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(hash(&SHA256, text.as_bytes()))
}
