//! A transmitter of security events (SSF 1.0) over HTTPS: metadata, keys, a stream API, delivery by push (RFC 8935) and by poll
//! (RFC 8936), tokens that are really signed. In: what a test wants to have happened. Out: what the receiver made of it. Must never
//! mend a token that is to be wrong.

use super::entrance::Entrance;
use super::secure::Secure;
use super::wire::{Answer, Connection};
use super::{LOGIN, eventually};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;

/// What its API knows the receiver by, and what it sends with what it pushes.
pub(crate) const TOKEN: &str = "the-api-token";
pub(crate) const AUTHORIZATION: &str = "Bearer what-was-agreed";
pub(crate) const AUDIENCE: &str = "https://login.corp.test/signals";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

/// A key that signs.
struct Key {
    id: String,
    pair: EcdsaKeyPair,
}

/// What it knows and does.
pub(crate) struct Behaviour {
    keys: Vec<Key>,
    /// Changes of its metadata.
    pub(crate) metadata: Value,
    /// Whether metadata is somewhere else.
    pub(crate) redirects: bool,
    /// Whether verifications are brought.
    pub(crate) verifies: bool,
    pub(crate) stream: Option<Value>,
    pub(crate) subjects: Vec<Value>,
    queue: BTreeMap<String, String>,
    pub(crate) acknowledged: Vec<String>,
    pub(crate) errors: Map<String, Value>,
    pub(crate) polls: usize,
    receiver: Option<Entrance>,
}

/// A running transmitter.
#[derive(Clone)]
pub(crate) struct Transmitter {
    pub(crate) issuer: String,
    secure: Arc<Secure>,
    behaviour: Arc<Mutex<Behaviour>>,
}

struct Tls {
    listener: TcpListener,
    secure: Arc<Secure>,
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, from) = self.listener.accept().await.unwrap();
            if let Some(stream) = self.secure.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Key {
    fn new(id: &str) -> Self {
        Self { id: id.to_owned(), pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
    }

    fn public(&self) -> Value {
        let (point, text) = (self.pair.public_key().as_ref(), |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes));
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id, "x": text(&point[1..33]), "y": text(&point[33..]) })
    }

    fn sign(&self, mut header: Value, claims: &Value) -> String {
        let algorithm = header.get("alg").and_then(Value::as_str).unwrap_or("ES256").to_owned();
        header["alg"] = algorithm.as_str().into();
        header["kid"] = self.id.as_str().into();
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", text(&header), text(claims));
        let signature = match &*algorithm {
            "ES256" => self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec(),
            // What an attacker knows: the public key.
            "HS256" => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.pair.public_key().as_ref());
                hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Transmitter {
    /// Starts one, whose issuer has this path.
    pub(crate) async fn start(path: &str) -> Self {
        let secure = Secure::new(&[b"http/1.1"]);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let issuer = format!("https://{}{path}", listener.local_addr().unwrap());
        let behaviour = Behaviour {
            keys: vec![Key::new("first")],
            metadata: json!({}),
            redirects: false,
            verifies: true,
            stream: None,
            subjects: Vec::new(),
            queue: BTreeMap::new(),
            acknowledged: Vec::new(),
            errors: Map::new(),
            polls: 0,
            receiver: None,
        };
        let transmitter = Self { issuer, secure: Arc::clone(&secure), behaviour: Arc::new(Mutex::new(behaviour)) };
        let router = Router::new()
            .route(&format!("/.well-known/ssf-configuration{path}"), get(metadata))
            .route("/elsewhere", get(metadata))
            .route("/jwks", get(keys))
            .route("/streams", get(streams).post(create).patch(create))
            .route("/subjects", post(add_subject))
            .route("/verify", post(verify))
            .route("/poll", post(poll))
            .with_state(transmitter.clone());
        tokio::spawn(async move { axum::serve(Tls { listener, secure }, router).await });
        transmitter
    }

    pub(crate) fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour.lock().unwrap()
    }

    /// The lines of the configuration that name it, with more of them.
    pub(crate) fn configured(&self, name: &str, more: &str) -> String {
        let ca = self.secure.ca();
        format!(
            "  {name}: {{ issuer: '{}', provider: staff, audience: '{AUDIENCE}', ca: '{ca}', token: {{ file: api-token }}, {more} }}\n",
            self.issuer
        )
    }

    /// Knows where to push to.
    pub(crate) fn reaches(&self, entrance: &Entrance) {
        let hosts = entrance.hosts.clone();
        self.behaviour().receiver = Some(Entrance { port: entrance.port, roots: Arc::clone(&entrance.roots), hosts });
    }

    /// Good claims of an event, with changes; `null` takes a claim away.
    pub(crate) fn claims(&self, uri: &str, subject: &Value, details: &Value, changes: &Value) -> Value {
        let id = doorward::model::Token::random().unwrap().reveal().to_owned();
        let mut claims = json!({
            "iss": self.issuer, "aud": AUDIENCE, "iat": now(), "jti": id, "txn": "8675309", "sub_id": subject,
            "events": { uri: details },
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }

    /// A token with this header.
    pub(crate) fn sign(&self, header: Value, claims: &Value) -> String {
        self.behaviour().keys.last().unwrap().sign(header, claims)
    }

    /// A token of an event.
    pub(crate) fn token(&self, uri: &str, subject: &Value, details: &Value) -> String {
        self.sign(json!({ "typ": "secevent+jwt" }), &self.claims(uri, subject, details, &json!({})))
    }

    /// Signs with another key from now on, which its key set has and nobody has seen.
    pub(crate) fn rotate(&self) {
        self.behaviour().keys = vec![Key::new("second")];
    }

    /// Pushes a token as it should be pushed.
    pub(crate) async fn push(&self, token: &str) -> Answer {
        self.push_with(token, &format!("Authorization: {AUTHORIZATION}\r\nContent-Type: application/secevent+jwt\r\n")).await
    }

    pub(crate) async fn push_with(&self, token: &str, lines: &str) -> Answer {
        self.post("/.doorward/events", token, lines).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str, lines: &str) -> Answer {
        let receiver = {
            let behaviour = self.behaviour();
            let known = behaviour.receiver.as_ref().unwrap();
            Entrance { port: known.port, roots: Arc::clone(&known.roots), hosts: known.hosts.clone() }
        };
        let authority = receiver.authority(LOGIN);
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\n{lines}Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let mut connection = Connection::tls(&receiver, LOGIN).await;
        connection.write(head + body).await;
        connection.answer().await
    }

    /// Keeps a token until it is fetched.
    pub(crate) fn queue(&self, id: &str, token: String) {
        self.behaviour().queue.insert(id.to_owned(), token);
    }

    /// Waits until the receiver has said something of this token.
    pub(crate) async fn heard_of(&self, id: &str) -> Option<Value> {
        eventually("the token is acknowledged or refused", async || {
            let behaviour = self.behaviour();
            let taken = behaviour.acknowledged.iter().any(|other| other == id);
            taken.then_some(None).or_else(|| behaviour.errors.get(id).cloned().map(Some))
        })
        .await
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn knows(headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|value| *value == *format!("Bearer {TOKEN}"))
}

async fn metadata(State(transmitter): State<Transmitter>, request: axum::extract::Request) -> Response {
    let behaviour = transmitter.behaviour();
    if behaviour.redirects && request.uri().path() != "/elsewhere" {
        return Redirect::temporary("/elsewhere").into_response();
    }
    let origin = transmitter.issuer.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let mut metadata = json!({
        "spec_version": "1_0", "issuer": transmitter.issuer, "jwks_uri": format!("{origin}/jwks"),
        "delivery_methods_supported": ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"],
        "configuration_endpoint": format!("{origin}/streams"), "add_subject_endpoint": format!("{origin}/subjects"),
        "verification_endpoint": format!("{origin}/verify"), "authorization_schemes": [{ "spec_urn": "urn:ietf:rfc:6749" }],
    });
    for (name, value) in behaviour.metadata.as_object().unwrap() {
        metadata[name] = value.clone();
    }
    Json(metadata).into_response()
}

async fn keys(State(transmitter): State<Transmitter>) -> Json<Value> {
    let keys: Vec<_> = transmitter.behaviour().keys.iter().map(Key::public).collect();
    Json(json!({ "keys": keys }))
}

async fn streams(State(transmitter): State<Transmitter>, headers: HeaderMap, Query(_): Query<HashMap<String, String>>) -> Response {
    if !knows(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let streams: Vec<_> = transmitter.behaviour().stream.iter().cloned().collect();
    Json(streams).into_response()
}

/// Creates the stream, or changes it: then it has to be named.
async fn create(
    State(transmitter): State<Transmitter>,
    method: axum::http::Method,
    headers: HeaderMap,
    Json(wanted): Json<Value>,
) -> Response {
    if !knows(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut behaviour = transmitter.behaviour();
    let is_new = behaviour.stream.is_none();
    match (is_new, &method) {
        (false, &axum::http::Method::POST) => return StatusCode::CONFLICT.into_response(),
        (true, &axum::http::Method::PATCH) => return StatusCode::NOT_FOUND.into_response(),
        _ => {}
    }
    let mut stream = json!({ "stream_id": "stream-1", "iss": transmitter.issuer, "aud": [AUDIENCE], "delivery": wanted["delivery"],
        "events_requested": wanted["events_requested"], "events_delivered": wanted["events_requested"] });
    if wanted["delivery"]["method"] == "urn:ietf:rfc:8936" {
        let origin = transmitter.issuer.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        stream["delivery"]["endpoint_url"] = format!("{origin}/poll").into();
    }
    behaviour.stream = Some(stream.clone());
    (if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(stream)).into_response()
}

async fn add_subject(State(transmitter): State<Transmitter>, headers: HeaderMap, Json(body): Json<Value>) -> StatusCode {
    if !knows(&headers) {
        return StatusCode::UNAUTHORIZED;
    }
    transmitter.behaviour().subjects.push(body["subject"].clone());
    StatusCode::OK
}

async fn verify(State(transmitter): State<Transmitter>, headers: HeaderMap, Json(body): Json<Value>) -> StatusCode {
    if !knows(&headers) || body["stream_id"] != "stream-1" {
        return StatusCode::UNAUTHORIZED;
    }
    let (verifies, polls) = {
        let behaviour = transmitter.behaviour();
        let method = behaviour.stream.as_ref().map(|stream| stream["delivery"]["method"].clone());
        (behaviour.verifies, method == Some("urn:ietf:rfc:8936".into()))
    };
    let about = json!({ "format": "opaque", "id": "stream-1" });
    let token = transmitter.token(&format!("{SSF}verification"), &about, &json!({ "state": body["state"] }));
    match (verifies, polls) {
        (true, true) => transmitter.queue(body["state"].as_str().unwrap(), token),
        (true, false) => drop(tokio::spawn(async move { transmitter.push(&token).await })),
        (false, _) => {}
    }
    StatusCode::NO_CONTENT
}

/// Long polling: nothing is answered for a while.
async fn poll(State(transmitter): State<Transmitter>, headers: HeaderMap, Json(asked): Json<Value>) -> Response {
    if !knows(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    {
        let mut behaviour = transmitter.behaviour();
        behaviour.polls += 1;
        for id in asked["ack"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            behaviour.queue.remove(id);
            behaviour.acknowledged.push(id.to_owned());
        }
        for (id, error) in asked["setErrs"].as_object().into_iter().flatten() {
            behaviour.queue.remove(id);
            behaviour.errors.insert(id.clone(), error.clone());
        }
    }
    for _ in 0..50 {
        let waiting = transmitter.behaviour().queue.clone();
        if !waiting.is_empty() {
            return Json(json!({ "sets": waiting, "moreAvailable": false })).into_response();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Json(json!({ "sets": {} })).into_response()
}
