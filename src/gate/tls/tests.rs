//! Our streams against rustls' own client: over memory, in pieces and damaged, and over sockets.

use super::outgoing::Outgoing;
use super::session::{Session, Stage};
use super::stream::TlsStream;
use proptest::prelude::*;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::io::{Read as _, Write as _};
use std::sync::{Arc, LazyLock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

const HOST: &str = "app.corp.example";

static CONFIGS: LazyLock<(Arc<ServerConfig>, Arc<RootCertStore>)> = LazyLock::new(|| {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.into()], key).unwrap();
    (Arc::new(server), Arc::new(roots))
});

fn client_config(versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_protocol_versions(versions);
    Arc::new(builder.with_root_certificates(Arc::clone(&CONFIGS.1)).with_no_client_auth())
}

const BOTH: [&[&SupportedProtocolVersion]; 2] = [&[&rustls::version::TLS12], &[&rustls::version::TLS13]];

/// A session and a client that talk over memory; what passes can be cut into pieces and damaged.
struct Talk {
    client: ClientConnection,
    session: Session,
    received: Vec<u8>,
    heard: Vec<u8>,
}

impl Talk {
    fn new(versions: &[&'static SupportedProtocolVersion]) -> Self {
        let server = Arc::clone(&CONFIGS.0);
        let client = ClientConnection::new(client_config(versions), ServerName::try_from(HOST).unwrap()).unwrap();
        Self { client, session: Session::new(server).unwrap(), received: Vec::new(), heard: Vec::new() }
    }

    /// What the client has to say arrives, in pieces; what there is to say to it goes back. How far the session is.
    fn pass(&mut self, piece: usize, damage: impl Fn(&mut [u8])) -> std::io::Result<Stage> {
        let (mut stage, mut said) = (Stage::Handshake, Vec::new());
        while self.client.wants_write() {
            self.client.write_tls(&mut said)?;
        }
        damage(&mut said);
        for part in said.chunks(piece.max(1)) {
            let mut out = Outgoing::default();
            let mut bytes = [self.session.part(), part].concat();
            let received = &mut self.received;
            let arrived = self.session.arrived(&mut bytes, &mut |plain| received.extend_from_slice(plain), &mut out);
            self.hear(out.filled());
            stage = arrived?;
        }
        Ok(stage)
    }

    fn hear(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.client.read_tls(&mut bytes).unwrap();
            let _ = self.client.process_new_packets();
            // An end that was not said is an error, and no end.
            let _ = self.client.reader().read_to_end(&mut self.heard);
        }
    }

    fn shake_hands(&mut self, piece: usize) {
        while self.pass(piece, |_| ()).unwrap() == Stage::Handshake {}
        self.pass(piece, |_| ()).unwrap();
        assert!(!self.client.is_handshaking());
    }
}

#[test]
fn everything_arrives_in_pieces_of_any_size_and_nothing_is_kept_at_rest() {
    for versions in BOTH {
        for piece in [1, 2, 5, 17, 1000, 40_000] {
            let mut talk = Talk::new(versions);
            talk.shake_hands(piece);
            let text: Vec<u8> = (0..50_000u32).map(|n| n.to_le_bytes()[0]).collect();
            talk.client.writer().write_all(&text).unwrap();
            talk.pass(piece, |_| ()).unwrap();
            assert!(talk.received == text, "{piece}");
            assert_eq!(talk.session.part().len(), 0);
            let mut out = Outgoing::default();
            talk.session.encrypt(&text, &mut out).unwrap();
            talk.hear(out.filled());
            assert!(talk.heard == text, "{piece}");
        }
    }
}

#[test]
fn keys_are_renewed_when_the_other_side_wants_it() {
    let mut talk = Talk::new(BOTH[1]);
    talk.shake_hands(1000);
    for _ in 0..3 {
        talk.client.refresh_traffic_keys().unwrap();
        talk.client.writer().write_all(b"after").unwrap();
        talk.pass(7, |_| ()).unwrap();
        let mut out = Outgoing::default();
        talk.session.encrypt(b"before", &mut out).unwrap();
        talk.hear(out.filled());
        assert_eq!(std::mem::take(&mut talk.heard), b"before");
    }
    assert_eq!(talk.received, b"afterafterafter");
}

#[test]
fn the_end_is_said_and_heard() {
    for versions in BOTH {
        let mut talk = Talk::new(versions);
        talk.shake_hands(1000);
        talk.client.send_close_notify();
        talk.pass(1000, |_| ()).unwrap();
        assert!(talk.session.is_over);
        let mut out = Outgoing::default();
        talk.session.encrypt(b"one more", &mut out).unwrap();
        talk.session.close(&mut out).unwrap();
        talk.hear(out.filled());
        assert_eq!(talk.heard, b"one more");
        assert_eq!(talk.client.reader().read(&mut [0]).unwrap(), 0, "an end that was said");
    }
}

#[test]
fn a_handshake_message_without_end_is_refused() {
    let mut session = Session::new(Arc::clone(&CONFIGS.0)).unwrap();
    // A ClientHello of 16 MiB, in records of 16 KiB.
    let start = [&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 0x4000 - 4]].concat();
    let more = [&[22, 3, 1, 0x40, 0][..], &[0; 0x4000]].concat();
    let mut out = Outgoing::default();
    let refused = (0..10).any(|n| {
        let mut bytes = [session.part(), if n == 0 { &start } else { &more }].concat();
        session.arrived(&mut bytes, &mut |_| (), &mut out).is_err()
    });
    assert!(refused);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_bytes_are_an_error(at: usize, with in 1..255u8, piece in 1..3000usize, late: bool, new in any::<bool>()) {
        let mut talk = Talk::new(BOTH[usize::from(new)]);
        if late {
            talk.shake_hands(1000);
            talk.client.writer().write_all(&[b'x'; 2000]).unwrap();
        }
        let passed = (0..4).try_for_each(|_| {
            talk.pass(piece, |bytes| {
                let length = bytes.len();
                if let Some(byte) = bytes.get_mut(at % length.max(1)) {
                    *byte ^= with;
                }
            }).map(drop)
        });
        prop_assert!(passed.is_err() || talk.received.is_empty());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, kind in 20..24u8) {
        let mut session = Session::new(Arc::clone(&CONFIGS.0)).unwrap();
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        let mut record = [&[kind, 3, 1][..], &length, &bytes].concat();
        let mut out = Outgoing::default();
        for _ in 0..3 {
            let _ = session.arrived(&mut record, &mut |_| (), &mut out);
        }
    }
}

/// A stream, and the client at its other end.
async fn connected(versions: &[&'static SupportedProtocolVersion]) -> (TlsStream, tokio_rustls::client::TlsStream<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connector = TlsConnector::from(client_config(versions));
    let client = async {
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        connector.connect(ServerName::try_from(HOST).unwrap(), stream).await.unwrap()
    };
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        TlsStream::shake_hands(stream, Arc::clone(&CONFIGS.0), Vec::new()).await.unwrap()
    };
    tokio::join!(server, client)
}

#[tokio::test]
async fn both_sides_may_talk_at_once_and_at_length() {
    for versions in BOTH {
        let (server, client) = connected(versions).await;
        assert!(!server.speaks_h2());
        let version = client.get_ref().1.protocol_version();
        assert!(matches!(version, Some(ProtocolVersion::TLSv1_2 | ProtocolVersion::TLSv1_3)));
        let text: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[1]).collect();
        let (mut server_reads, mut server_writes) = tokio::io::split(server);
        let (mut client_reads, mut client_writes) = tokio::io::split(client);
        let (mut at_server, mut at_client) = (vec![0; text.len()], vec![0; text.len()]);
        let talk = async {
            tokio::try_join!(
                async { server_writes.write_all(&text).await.and(server_writes.flush().await) },
                async { client_writes.write_all(&text).await.and(client_writes.flush().await) },
                async { server_reads.read_exact(&mut at_server).await.map(drop) },
                async { client_reads.read_exact(&mut at_client).await.map(drop) },
            )
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), talk).await.unwrap().unwrap();
        assert!(at_server == text && at_client == text);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_written_to_without_end() {
    let (mut server, mut client) = connected(BOTH[1]).await;
    let (block, mut written) = (vec![7; 100_000], 0);
    let write = async {
        loop {
            written += server.write(&block).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(std::time::Duration::from_millis(500), write).await.is_err());
    let read = async {
        let mut heard = vec![0; written];
        client.read_exact(&mut heard).await.unwrap();
    };
    let (flushed, ()) = tokio::join!(server.flush(), read);
    flushed.unwrap();
}

#[tokio::test]
async fn an_end_without_a_word_is_an_error_and_one_with_it_is_none() {
    let (mut server, client) = connected(BOTH[1]).await;
    drop(client.into_inner().0);
    assert!(server.read(&mut [0]).await.is_err());
    let (mut server, mut client) = connected(BOTH[1]).await;
    client.shutdown().await.unwrap();
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
    server.write_all(b"bye").await.unwrap();
    server.shutdown().await.unwrap();
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"bye");
}

#[tokio::test]
async fn parts_are_sent_as_one_and_what_is_wanted_in_pieces_comes_in_pieces() {
    let (mut server, mut client) = connected(BOTH[1]).await;
    let parts = [&b"head "[..], b"", b"body"].map(std::io::IoSlice::new);
    assert_eq!(server.write_vectored(&parts).await.unwrap(), 9);
    server.flush().await.unwrap();
    let mut heard = [0; 9];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"head body");
    client.write_all(b"several bytes").await.unwrap();
    let filled = std::future::poll_fn(|context| server.poll_filled(context)).await;
    assert!(filled.unwrap(), "what is waited for is not taken");
    for piece in [&b"sev"[..], b"eral ", b"bytes"] {
        let mut heard = vec![0; piece.len()];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, piece);
    }
}
