//! Two spellings of one path: as people type it, and as the app knows it. In: a raw path of either side. Out: the same path for
//! the other side. Must never touch anything but the beginning, and never make a path that browsers take for a host.

use std::borrow::Cow;

/// How paths of an app differ from those that people type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// The app's public prefix where the app does not know it; else empty. Without a trailing slash.
    pub strip: Box<str>,
    /// What the app has before every path of its own; else empty. Without a trailing slash.
    pub add: Box<str>,
}

impl Prefix {
    /// The path for the app; `None` for one whose beginning is spelled in another way than `url` has it.
    pub fn to_app(&self, path: &str) -> Option<String> {
        let rest = below(path, &self.strip)?;
        Some(self.internal(rest))
    }

    /// The path for people. Unchanged where the app knows the public one; `None` where no public path leads there.
    pub fn to_public<'a>(&self, path: &'a str) -> Option<Cow<'a, str>> {
        let knows = !self.strip.is_empty() && below(path, &self.strip).is_some();
        let own = below(path, &self.add).filter(|_| !knows || !self.add.is_empty());
        match own {
            Some(rest) => Some(or_slash(format!("{}{rest}", self.strip))).filter(|path| !path.starts_with("//")).map(Cow::Owned),
            None => knows.then_some(Cow::Borrowed(path)),
        }
    }

    /// The `Path` of a cookie for people (RFC 6265, section 5.1.4): what covers the whole app still does.
    pub fn cookie_path<'a>(&self, path: &'a str) -> Option<Cow<'a, str>> {
        let covers = below(&self.add, path.trim_end_matches('/')).is_some();
        if covers && path.starts_with('/') { Some(or_slash(self.strip.to_string()).into()) } else { self.to_public(path) }
    }

    fn internal(&self, rest: &str) -> String {
        or_slash(format!("{}{rest}", self.add))
    }
}

/// What follows a prefix that ends where a segment does.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn or_slash(path: String) -> String {
    if path.is_empty() { "/".to_owned() } else { path }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn prefix(strip: &str, add: &str) -> Prefix {
        Prefix { strip: strip.into(), add: add.into() }
    }

    #[test]
    fn a_path_changes_at_its_beginning_only() {
        let cases = [
            ("/wiki", "", "/wiki/a%2Fb;c//d/", Some("/a%2Fb;c//d/")),
            ("/wiki", "", "/wiki/", Some("/")),
            ("/wiki", "", "/wiki", Some("/")),
            ("/wiki", "", "/wikis", None),
            ("/wiki", "", "/%77iki/a", None),
            ("/wiki", "", "/x/wiki/a", None),
            ("", "/base", "/a", Some("/base/a")),
            ("", "/base", "//a", Some("/base//a")),
            ("/a/b", "/c/d", "/a/b/e", Some("/c/d/e")),
            ("/a/b", "/c/d", "/a/b", Some("/c/d")),
            ("/a/b", "/c/d", "/a/", None),
        ];
        for (strip, add, public, internal) in cases {
            assert_eq!(prefix(strip, add).to_app(public).as_deref(), internal, "{strip} {add} {public}");
        }
    }

    #[test]
    fn a_path_of_the_app_finds_back() {
        let cases = [
            ("/wiki", "", "/login", Some("/wiki/login")),
            ("/wiki", "", "/", Some("/wiki/")),
            ("/wiki", "", "/wiki/login", Some("/wiki/login")),
            ("/wiki", "", "/wikis", Some("/wiki/wikis")),
            ("", "/base", "/base/login", Some("/login")),
            ("", "/base", "/base", Some("/")),
            ("", "/base", "/other", None),
            ("", "/base", "/base//evil.example/", None),
            ("/wiki", "/base", "/base//evil.example/", Some("/wiki//evil.example/")),
            ("/wiki", "/base", "/base/x", Some("/wiki/x")),
            ("/wiki", "/base", "/wiki/x", Some("/wiki/x")),
            ("/wiki", "/base", "/x", None),
        ];
        for (strip, add, internal, public) in cases {
            assert_eq!(prefix(strip, add).to_public(internal).as_deref(), public, "{strip} {add} {internal}");
        }
    }

    #[test]
    fn a_cookie_for_the_whole_app_stays_one() {
        let cases = [
            ("/wiki", "", "/", Some("/wiki")),
            ("/wiki", "", "/admin", Some("/wiki/admin")),
            ("/wiki", "", "/wiki", Some("/wiki")),
            ("/wiki", "/base", "/", Some("/wiki")),
            ("/wiki", "/base", "/base/", Some("/wiki")),
            ("/wiki", "/base", "/base/a", Some("/wiki/a")),
            ("", "/base", "/base", Some("/")),
            ("", "/a/b", "/a", Some("/")),
            ("", "/base", "/elsewhere", None),
            ("/wiki", "", "nonsense", None),
        ];
        for (strip, add, internal, public) in cases {
            assert_eq!(prefix(strip, add).cookie_path(internal).as_deref(), public, "{strip} {add} {internal}");
        }
    }
}
