//! What takes a request to a server. In: a request. Out: the head of its answer, or why there is none, with the request where
//! nothing of it has left. Must never keep a request that could be sent again.

use super::http2::{self, Share};
use crate::gate::body::RequestBody;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;

/// One connection, free for a request.
pub enum Sender {
    /// For one request at a time.
    Http1(SendRequest<RequestBody>),
    /// For many.
    Http2(Share),
}

/// Why there is no answer.
pub enum Failure {
    /// Nothing of the request has left: it may be sent again.
    Unsent(Box<Request<RequestBody>>),
    /// The server may have seen it.
    Sent(hyper::Error),
}

impl Sender {
    /// Sends a request that is written for HTTP/1.1.
    pub async fn send(&mut self, mut request: Box<Request<RequestBody>>) -> Result<Response<Incoming>, Failure> {
        let sent = match self {
            Self::Http1(sender) => {
                announce_content(&mut request);
                sender.try_send_request(*request).await
            }
            Self::Http2(share) => share.send(*request).await,
        };
        sent.map_err(Failure::from)
    }
}

/// Over HTTP/2 content needs no header. hyper's client would drop that of a GET, which tells nobody that it has any.
fn announce_content(request: &mut Request<RequestBody>) {
    if !request.body().is_end_stream() && !request.headers().contains_key(CONTENT_LENGTH) {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

impl From<TrySendError<Request<RequestBody>>> for Failure {
    fn from(mut error: TrySendError<Request<RequestBody>>) -> Self {
        match error.take_message() {
            Some(mut unsent) => {
                http2::restore(&mut unsent);
                Self::Unsent(Box::new(unsent))
            }
            None => Self::Sent(error.into_error()),
        }
    }
}
