//! A second opinion about HTTP/1.1: a parser that takes what RFC 9112 requires and nothing that it merely allows. In: bytes as they
//! crossed a wire. Out: messages. Must never share code with what it judges, and never be lenient.

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
}

/// Names and values in their order, each byte one character.
pub(crate) type Fields = Vec<(String, String)>;
/// A message and its length; `None` where it is not whole yet; an error where two parsers could read it differently.
pub(crate) type Verdict<T> = Result<Option<(T, usize)>, String>;

/// Names that frame or address a message: once at most, and in one spelling.
const FRAMING: [&str; 3] = ["content-length", "host", "transfer-encoding"];

/// Reads one request.
pub(crate) fn request(bytes: &[u8]) -> Verdict<Request> {
    let Some((line, headers, length)) = head(bytes)? else { return Ok(None) };
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else { return breach("the request line", &line) };
    check(!method.is_empty() && method.bytes().all(is_token), "the method", method)?;
    check(target.starts_with('/') && target.bytes().all(|b| b.is_ascii_graphic() && b != b'#'), "the target", target)?;
    check(values(&headers, "host").count() == 1, "the hosts", &line)?;
    let body = match framing(&headers)? {
        Framing::Length(length) => Some(length),
        Framing::Chunked => None,
        Framing::Nothing => Some(0),
    };
    let Some((body, trailers, more)) = content(&bytes[length..], body)? else { return Ok(None) };
    Ok(Some((Request { method: method.into(), target: target.into(), headers, body, trailers }, length + more)))
}

/// Reads one answer; `to_head` tells that the request was a HEAD, `closed` that nothing more comes.
pub(crate) fn response(bytes: &[u8], to_head: bool, closed: bool) -> Verdict<Response> {
    let Some((line, headers, length)) = head(bytes)? else { return Ok(None) };
    let code = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..4)).filter(|code| code.ends_with(' '));
    let Some(status) = code.and_then(|code| code.trim().parse().ok()) else { return breach("the status line", &line) };
    let framing = framing(&headers)?;
    let bare = to_head || matches!(status, 100..=199 | 204 | 304);
    check(!(bare && !to_head && status != 304) || matches!(framing, Framing::Nothing), "the framing of no body", &line)?;
    let rest = &bytes[length..];
    let body = match framing {
        _ if bare => Some(0),
        Framing::Length(length) => Some(length),
        Framing::Chunked => None,
        Framing::Nothing if closed => Some(rest.len()),
        Framing::Nothing => return Ok(None),
    };
    let Some((body, trailers, more)) = content(rest, body)? else { return Ok(None) };
    Ok(Some((Response { status, headers, body, trailers }, length + more)))
}

/// The values of a header.
pub(crate) fn values<'a>(fields: &'a Fields, name: &'a str) -> impl Iterator<Item = &'a str> {
    fields.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
}

enum Framing {
    Length(usize),
    Chunked,
    Nothing,
}

fn framing(headers: &Fields) -> Result<Framing, String> {
    let fold = |name: &str| name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    for (name, _) in headers {
        let alias = FRAMING.contains(&&*fold(name)) && !FRAMING.contains(&&*name.to_ascii_lowercase());
        check(!alias, "an alias", name)?;
    }
    let lengths: Vec<&str> = values(headers, "content-length").collect();
    let codings: Vec<&str> = values(headers, "transfer-encoding").collect();
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(Framing::Nothing),
        ([length], []) => {
            let canonical = length.parse::<usize>().ok().filter(|number| number.to_string() == *length);
            canonical.map(Framing::Length).ok_or(format!("Content-Length: {length}"))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        _ => breach("the framing", &format!("{lengths:?} {codings:?}")),
    }
}

/// The first line, the fields, and where the content begins.
fn head(bytes: &[u8]) -> Result<Option<(String, Fields, usize)>, String> {
    let Some((first, mut at)) = line(bytes)? else { return Ok(None) };
    match fields(&bytes[at..])? {
        Some((headers, length)) => {
            at += length;
            Ok(Some((first, headers, at)))
        }
        None => Ok(None),
    }
}

fn fields(bytes: &[u8]) -> Result<Option<(Fields, usize)>, String> {
    let (mut fields, mut at) = (Fields::new(), 0);
    loop {
        let Some((line, length)) = line(&bytes[at..])? else { return Ok(None) };
        at += length;
        if line.is_empty() {
            return Ok(Some((fields, at)));
        }
        let Some((name, value)) = line.split_once(':') else { return breach("a field", &line) };
        check(!name.is_empty() && name.bytes().all(is_token), "a field's name", &line)?;
        fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
}

/// One line without its end, which must be CRLF; it may hold nothing that could pass for an end.
fn line(bytes: &[u8]) -> Result<Option<(String, usize)>, String> {
    let Some(end) = bytes.iter().position(|b| *b == b'\n') else { return Ok(None) };
    let text: String = bytes[..end].iter().copied().map(char::from).collect();
    let Some(text) = text.strip_suffix('\r') else { return breach("a bare line feed", &text) };
    check(!text.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f), "a control character", text)?;
    Ok(Some((text.to_owned(), end + 1)))
}

/// Content of this length, or in chunks; with the trailers, and how many bytes it took.
fn content(bytes: &[u8], length: Option<usize>) -> Result<Option<(Vec<u8>, Fields, usize)>, String> {
    if let Some(length) = length {
        return Ok(bytes.get(..length).map(|body| (body.to_vec(), Fields::new(), length)));
    }
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some((size, length)) = line(&bytes[at..])? else { return Ok(None) };
        check(!size.is_empty() && size.len() <= 15 && size.bytes().all(|b| b.is_ascii_hexdigit()), "a chunk's size", &size)?;
        at += length;
        let size = usize::from_str_radix(&size, 16).unwrap();
        if size == 0 {
            let Some((trailers, length)) = fields(&bytes[at..])? else { return Ok(None) };
            return Ok(Some((body, trailers, at + length)));
        }
        let Some(chunk) = bytes.get(at..at + size + 2) else { return Ok(None) };
        check(chunk.ends_with(b"\r\n"), "a chunk's end", &String::from_utf8_lossy(chunk))?;
        body.extend_from_slice(&chunk[..size]);
        at += size + 2;
    }
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

fn check(fine: bool, what: &str, where_: &str) -> Result<(), String> {
    if fine { Ok(()) } else { breach(what, where_) }
}

fn breach<T>(what: &str, where_: &str) -> Result<T, String> {
    Err(format!("{what}: {where_:?}"))
}
