//! An app that keeps every byte that it is sent, and reads it as strictly as can be. In: bytes. Out: what they were, message by
//! message; answers by script. Must never answer what it could not read.

use super::strict::{self, Request};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What a script has the app do.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Sends bytes.
    Say(Vec<u8>),
    /// Sends the same over and over, until nobody takes it.
    Flood(&'static [u8]),
    /// Lets what was sent arrive by itself.
    Pause,
    /// Says nothing more, but reads on until the other side closes.
    Hang,
    /// Closes in an orderly way.
    Close,
    /// Resets the connection.
    Reset,
}

/// One message as it arrived, or the beginning of one.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    pub(crate) bytes: Vec<u8>,
    pub(crate) state: State,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum State {
    /// More may come.
    #[default]
    Going,
    Whole(Request),
    /// The connection ended in the middle of it.
    Broken,
    /// Two parsers could read it differently.
    Breach(String),
}

/// The running app.
#[derive(Clone, Default)]
pub(crate) struct Tape {
    arrived: Arc<Mutex<Vec<Arc<Mutex<Arrived>>>>>,
    scripts: Arc<Mutex<VecDeque<Script>>>,
}

/// What to do at the next request; `early` where its head is enough.
struct Script {
    early: bool,
    acts: Vec<Act>,
}

impl Tape {
    pub(crate) async fn start(port: u16) -> Self {
        let tape = Self::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let of_listener = tape.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let tape = of_listener.clone();
                tokio::spawn(async move { tape.serve(stream).await });
            }
        });
        tape
    }

    /// What to answer to the next request.
    pub(crate) fn play(&self, acts: &[Act]) {
        self.scripts.lock().unwrap().push_back(Script { early: false, acts: acts.to_vec() });
    }

    /// The same, without waiting for its body.
    pub(crate) fn play_early(&self, acts: &[Act]) {
        self.scripts.lock().unwrap().push_back(Script { early: true, acts: acts.to_vec() });
    }

    /// Forgets what has arrived; what goes on to arrive of a message that has begun counts no more.
    pub(crate) fn forget(&self) {
        self.arrived.lock().unwrap().clear();
        self.scripts.lock().unwrap().clear();
    }

    /// Every state that a message is in, with its bytes for a human.
    pub(crate) fn states(&self) -> Vec<(State, String)> {
        let arrived = self.arrived.lock().unwrap();
        let state = |arrived: &Arc<Mutex<Arrived>>| {
            let arrived = arrived.lock().unwrap();
            (arrived.state.clone(), String::from_utf8_lossy(&arrived.bytes).into_owned())
        };
        arrived.iter().map(state).collect()
    }

    /// The requests that arrived whole. Nothing else may have but beginnings.
    pub(crate) fn whole(&self) -> Vec<Request> {
        let request = |(state, bytes)| match state {
            State::Whole(request) => Some(request),
            State::Going | State::Broken => None,
            State::Breach(breach) => panic!("two parsers could read this differently: {breach} in {bytes:?}"),
        };
        self.states().into_iter().filter_map(request).collect()
    }

    /// Whether every script has begun.
    pub(crate) fn is_idle(&self) -> bool {
        self.scripts.lock().unwrap().is_empty()
    }

    fn note(&self) -> Arc<Mutex<Arrived>> {
        let arrived = Arc::<Mutex<Arrived>>::default();
        self.arrived.lock().unwrap().push(Arc::clone(&arrived));
        arrived
    }

    /// The script, where it is time for it.
    fn script(&self, whole: bool) -> Option<Vec<Act>> {
        let mut scripts = self.scripts.lock().unwrap();
        let due = scripts.front().is_some_and(|script| whole || script.early);
        if due { scripts.pop_front().map(|script| script.acts) } else { None }
    }

    async fn serve(&self, mut stream: TcpStream) {
        let mut unread = Vec::new();
        while let Some(next) = self.message(&mut stream, unread).await {
            unread = next;
        }
    }

    /// Reads one message and answers it; gives what came behind it.
    async fn message(&self, stream: &mut TcpStream, mut unread: Vec<u8>) -> Option<Vec<u8>> {
        if unread.is_empty() && stream.read_buf(&mut unread).await.ok()? == 0 {
            return None;
        }
        let (noted, mut answered) = (self.note(), false);
        loop {
            noted.lock().unwrap().bytes.clone_from(&unread);
            let has_head = unread.windows(4).any(|four| four == b"\r\n\r\n");
            if has_head
                && !answered
                && let Some(acts) = self.script(false)
            {
                answered = true;
                perform(stream, acts).await?;
            }
            match strict::request(&unread) {
                Ok(Some((request, length))) => {
                    noted.lock().unwrap().bytes.truncate(length);
                    noted.lock().unwrap().state = State::Whole(request.clone());
                    if !answered {
                        perform(stream, self.script(true).unwrap_or_else(|| vec![fine(&request)])).await?;
                    }
                    return Some(unread.split_off(length));
                }
                Ok(None) if stream.read_buf(&mut unread).await.is_ok_and(|length| length > 0) => {}
                Ok(None) => noted.lock().unwrap().state = State::Broken,
                Err(breach) => noted.lock().unwrap().state = State::Breach(breach),
            }
            if !matches!(noted.lock().unwrap().state, State::Going) {
                return None;
            }
        }
    }
}

/// An answer that tells whose it is.
fn fine(request: &Request) -> Act {
    let body = format!("{} {}", request.method, request.target);
    let shown = if request.method == "HEAD" { "" } else { &*body };
    Act::Say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{shown}", body.len()).into_bytes())
}

/// Does what the script says; `None` where the connection is over.
async fn perform(stream: &mut TcpStream, acts: Vec<Act>) -> Option<()> {
    for act in acts {
        match act {
            Act::Say(bytes) => stream.write_all(&bytes).await.ok()?,
            Act::Flood(bytes) => loop {
                stream.write_all(bytes).await.ok()?;
            },
            Act::Pause => tokio::time::sleep(Duration::from_millis(50)).await,
            Act::Hang => {
                let mut sink = [0; 1024];
                while stream.read(&mut sink).await.is_ok_and(|length| length > 0) {}
                return None;
            }
            Act::Close => {
                stream.shutdown().await.ok()?;
                return None;
            }
            Act::Reset => {
                stream.set_zero_linger().ok()?;
                return None;
            }
        }
    }
    Some(())
}
