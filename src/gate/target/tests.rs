//! What is a target, what is none, and what becomes of its path.
use super::*;
use proptest::prelude::*;

fn request(uri: &str, hosts: &[&str]) -> Request<()> {
    let mut request = Request::builder().uri(uri);
    for host in hosts {
        request = request.header(header::HOST, *host);
    }
    request.body(()).unwrap()
}

#[test]
fn paths_that_leave_or_hide_are_refused_in_every_spelling() {
    let bad = [
        "/..",
        "/../x",
        "/a/..",
        "/a/../b",
        "/./a",
        "/a/.",
        "/%2e%2e/",
        "/%2E./",
        "/.%2e/a",
        "/a/%2e%2e%2fb",
        "/a%2f..%2fb",
        "/..%5cb",
        "/a\\..\\b",
        "/a/..;/b",
        "/a/..;x=1/b",
        "/%252e%252e/b",
        "/a%252f..%252fb",
        "/a%00",
        "/a%0d%0aX:y",
        "/%",
        "/%1",
        "/%zz",
        "/%c0%ae%c0%ae/b",
        "/%e0%80%ae",
        "/a/%2e",
        "/a/.%3b/b",
        "/..%23",
        "/..%3f",
    ];
    for path in bad {
        assert_eq!(read(&request(path, &["a.example"])).err(), Some(Error::Ambiguous), "{path}");
    }
}

#[test]
fn paths_that_mean_one_thing_pass_byte_for_byte() {
    for path in [
        "/",
        "/a/b",
        "/a//b",
        "/a%20b",
        "/%C3%A9",
        "/caf%E9",
        "/group%2Fproject",
        "/a;v=1/b",
        "/...",
        "/a/..b",
        "/100%25",
        "/a/b/?q=../%2e%2e",
        "/~x:y@z!$&'()*+,=",
    ] {
        let target = read(&request(path, &["a.example"])).unwrap();
        assert_eq!(target.path_and_query().as_str(), path);
    }
}

#[test]
fn a_request_names_exactly_one_host() {
    let bad: &[(&str, &[&str])] = &[
        ("/", &[]),
        ("/", &["a.example", "a.example"]),
        ("/", &["a.example", "b.example"]),
        ("/", &["user@a.example"]),
        ("/", &["a.example:x"]),
        ("/", &["a.example:"]),
        ("/", &["a.example:443:1"]),
        ("/", &[""]),
        ("/", &["a.example/evil"]),
        ("/", &["a_b.example"]),
        ("/", &["[::1]"]),
        ("/", &["a.example, b.example"]),
        ("https://b.example/", &["a.example"]),
        ("https://a.example/", &[]),
        ("https://u@a.example/", &["a.example"]),
    ];
    for (uri, hosts) in bad {
        assert_eq!(read(&request(uri, hosts)).err(), Some(Error::Host), "{uri} {hosts:?}");
    }
    let target = read(&request("https://A.example:8443/x", &["a.EXAMPLE:8443"])).unwrap();
    assert_eq!((target.host(), target.authority()), ("a.example", "a.example:8443"));
}

#[test]
fn a_length_or_a_coding_has_one_spelling_and_stands_there_once() {
    let framed = |lines: &[(&str, &str)]| {
        let mut request = request("/", &["a.example"]);
        for (name, value) in lines {
            request.headers_mut().append(header::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        read(&request)
    };
    for lines in [&[][..], &[("content-length", "0")], &[("content-length", "10")], &[("transfer-encoding", "Chunked")]] {
        assert!(framed(lines).is_ok(), "{lines:?}");
    }
    for lines in [
        &[("content-length", "5"), ("content-length", "5")][..],
        &[("content-length", "05")],
        &[("content-length", "+5")],
        &[("content-length", "5, 5")],
        &[("content-length", "")],
        &[("content-length", "18446744073709551616")],
        &[("transfer-encoding", "gzip, chunked")],
        &[("content-length", "5"), ("transfer-encoding", "chunked")],
        &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
    ] {
        assert_eq!(framed(lines).err(), Some(Error::Form), "{lines:?}");
    }
}

#[test]
fn an_empty_path_is_sent_as_a_slash() {
    for uri in ["https://a.example", "https://a.example#b", "https://a.example/#b", "/#b"] {
        let target = read(&request(uri, &["a.example"])).unwrap();
        assert_eq!((target.path(), target.path_and_query().as_str()), ("/", "/"), "{uri}");
    }
}

#[test]
fn a_query_is_of_ascii() {
    assert_eq!(read(&request("/a?\u{85}", &["a.example"])).err(), Some(Error::Ambiguous));
}

#[test]
fn tunnels_and_mirrors_are_refused() {
    for (method, uri) in [
        ("CONNECT", "a.example:443"),
        ("CONNECT", "/"),
        ("TRACE", "/"),
        ("trace", "/"),
        ("TRACK", "/"),
        ("OPTIONS", "*"),
        ("GET", "http://a.example/"),
        ("GET", "https://a.example?x"),
    ] {
        let mut request = request("/", &["a.example"]);
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = uri.parse().unwrap();
        assert_eq!(read(&request).err(), Some(Error::Form), "{method} {uri}");
    }
}

proptest! {
    #[test]
    fn no_reading_of_an_accepted_path_has_dot_segments_or_controls(path in "/[a-zA-Z0-9./%;\\\\?#25eEfFcC]{0,24}") {
        if let Ok(uri) = path.parse::<Uri>() {
            let mut request = request("/", &["a.example"]);
            *request.uri_mut() = uri;
            if let Ok(target) = read(&request) {
                prop_assert!(target.readings().count() >= 1);
                prop_assert!(target.readings().all(readings::is_contained));
            }
        }
    }

    #[test]
    fn an_app_behind_a_prefix_reads_what_was_read_here_but_for_the_prefix(
        rest in "(/|//|;|%2[fF5]|%5[cC]|%3[bBfF]|[a-z.]|[?]){0,10}",
        public in prop::sample::select(vec!["", "/w", "/w/x"]),
        strip in any::<bool>(),
        add in prop::sample::select(vec!["", "/b"]),
    ) {
        let prefix = Prefix { public: public.into(), strip, add: add.into() };
        let Ok(uri) = format!("{public}/{rest}").parse::<Uri>() else { return Ok(()) };
        let mut request = request("/", &["a.example"]);
        *request.uri_mut() = uri;
        let Ok(target) = read(&request) else { return Ok(()) };
        let Ok(internal) = origin_form(&target, Some(&prefix)) else { return Ok(()) };
        let whole = target.path_and_query().as_str();
        prop_assert_eq!(internal.to_string(), format!("{add}{}", &whole[prefix.stripped().len()..]));
        *request.uri_mut() = internal;
        let again = read(&request).map_err(|error| TestCaseError::fail(format!("{whole}: {error}")))?;
        let public: Vec<_> = target.readings().filter_map(|reading| prefix.to_app(reading)).collect();
        prop_assert_eq!(target.readings().count(), public.len());
        prop_assert_eq!(again.readings().collect::<Vec<_>>(), public);
        prop_assert!(again.readings().all(|reading| !reading.starts_with("//")));
    }
}

#[test]
fn only_what_begins_like_a_host_is_refused_behind_a_prefix() {
    let prefix = Prefix { public: "/w".into(), strip: true, add: "".into() };
    for (path, fine) in [
        ("/w/a//b", true),
        ("/w/a%2F%2Fb", true),
        ("/w/;v=1", true),
        ("/w/a;v=1/", true),
        ("/w/%5c", false),
        ("/w/%5cx", false),
        ("/w//x", false),
        ("/w/%252fx", false),
    ] {
        let target = read(&request(path, &["a.example"])).unwrap();
        assert_eq!(origin_form(&target, Some(&prefix)).is_ok(), fine, "{path}");
    }
}
