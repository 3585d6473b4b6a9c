//! The state of TLS between two machines, without the machines. In: bytes that arrived, plain text to send. Out: plain text that
//! arrived, bytes to send. Must never keep a buffer but for what is half arrived: a client may hold thousands of sessions open on
//! which nothing happens, and rustls' own buffers would be the largest part of them.

use super::outgoing::{Outgoing, Unwritten};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, WriteTraffic};
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// The largest that something half arrived may be: a record is smaller, a handshake message may have several.
pub(super) const LARGEST_PART: usize = 64 * 1024;

/// Our side of a TLS connection.
pub(super) struct Session {
    state: UnbufferedServerConnection,
    /// What is half arrived; nothing, most of the time.
    part: Vec<u8>,
    /// Whether the other side has said that nothing more comes.
    pub(super) is_over: bool,
    is_broken: bool,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The handshake goes on.
    Handshake,
    /// Application data may be sent.
    Traffic,
}

impl Session {
    pub(super) fn new(config: Arc<ServerConfig>) -> io::Result<Self> {
        let state = UnbufferedServerConnection::new(config).map_err(broken)?;
        Ok(Self { state, part: Vec::new(), is_over: false, is_broken: false })
    }

    /// The protocol that was agreed on (RFC 7301).
    pub(super) fn protocol(&self) -> Option<&[u8]> {
        self.state.alpn_protocol()
    }

    /// The certificate that the client has shown, in this handshake or in the one that it goes on from, with those that are said
    /// to vouch for it.
    pub(super) fn shown(&self) -> Option<&[CertificateDer<'static>]> {
        self.state.peer_certificates()
    }

    /// What must stand before the bytes that arrive next.
    pub(super) fn part(&self) -> &[u8] {
        &self.part
    }

    /// Takes bytes that arrived, with [`Self::part`] before them. Plain text goes to `plain`, what has to be sent to `out`, also
    /// where this is an error: then it says to the other side what is wrong.
    pub(super) fn arrived(&mut self, bytes: &mut [u8], plain: &mut impl FnMut(&[u8]), out: &mut Outgoing) -> io::Result<Stage> {
        self.refuse_if_broken()?;
        let mut used = 0;
        let stage = self.process(bytes, &mut used, plain, out);
        let rest = bytes.get(used..).unwrap_or_default();
        if stage.is_err() {
            self.is_broken = true;
            self.complain(out);
        } else if rest.is_empty() {
            // Given back, not kept for the next time.
            self.part = Vec::new();
        } else if rest.len() <= LARGEST_PART {
            self.part.clear();
            self.part.extend_from_slice(rest);
        } else {
            return Err(ErrorKind::InvalidData.into());
        }
        stage
    }

    /// After an error nothing that stood behind it means anything.
    fn refuse_if_broken(&self) -> io::Result<()> {
        if self.is_broken { Err(ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Says what was wrong.
    fn complain(&mut self, out: &mut Outgoing) {
        while self.state.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(message)) = self.state.process_tls_records(&mut []).state
            && encode(message, out).is_ok()
        {}
    }

    fn process(
        &mut self,
        bytes: &mut [u8],
        used: &mut usize,
        plain: &mut impl FnMut(&[u8]),
        out: &mut Outgoing,
    ) -> io::Result<Stage> {
        loop {
            let status = self.state.process_tls_records(bytes.get_mut(*used..).unwrap_or_default());
            *used += status.discard;
            match status.state.map_err(broken)? {
                ConnectionState::ReadTraffic(mut records) => {
                    while let Some(record) = records.next_record() {
                        let record = record.map_err(broken)?;
                        *used += record.discard;
                        plain(record.payload);
                    }
                }
                ConnectionState::EncodeTlsData(message) => encode(message, out)?,
                // It is in `out`, where nobody forgets it.
                ConnectionState::TransmitTlsData(sent) => sent.done(),
                ConnectionState::PeerClosed => self.is_over = true,
                ConnectionState::BlockedHandshake => return Ok(Stage::Handshake),
                ConnectionState::WriteTraffic(_) | ConnectionState::Closed => return Ok(Stage::Traffic),
                // No configuration of ours takes early data.
                _ => return Err(ErrorKind::Unsupported.into()),
            }
        }
    }

    /// Encrypts.
    pub(super) fn encrypt(&mut self, plain: &[u8], out: &mut Outgoing) -> io::Result<()> {
        self.write(out, |traffic, free| traffic.encrypt(plain, free))
    }

    /// Says that nothing more comes from here.
    pub(super) fn close(&mut self, out: &mut Outgoing) -> io::Result<()> {
        self.write(out, |traffic, free| traffic.queue_close_notify(free))
    }

    fn write(
        &mut self,
        out: &mut Outgoing,
        mut write: impl FnMut(&mut WriteTraffic<'_, ServerConnectionData>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        self.refuse_if_broken()?;
        // What is half arrived does not become whole by this, so that nothing of it is used up.
        loop {
            match self.state.process_tls_records(&mut self.part).state.map_err(broken)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let written = out.append(|free| {
                        write(&mut traffic, free).map_err(|error| match error {
                            EncryptError::InsufficientSize(needs) => Unwritten::Needs(needs.required_size),
                            EncryptError::EncryptExhausted => Unwritten::Never,
                        })
                    });
                    return written.map_err(|_| ErrorKind::ConnectionAborted.into());
                }
                ConnectionState::EncodeTlsData(message) => encode(message, out)?,
                ConnectionState::TransmitTlsData(sent) => sent.done(),
                ConnectionState::PeerClosed => self.is_over = true,
                _ => return Err(ErrorKind::NotConnected.into()),
            }
        }
    }
}

fn encode(mut message: EncodeTlsData<'_, ServerConnectionData>, out: &mut Outgoing) -> io::Result<()> {
    let encoded = out.append(|free| {
        message.encode(free).map_err(|error| match error {
            EncodeError::InsufficientSize(needs) => Unwritten::Needs(needs.required_size),
            EncodeError::AlreadyEncoded => Unwritten::Never,
        })
    });
    encoded.map_err(|_| ErrorKind::ConnectionAborted.into())
}

fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
