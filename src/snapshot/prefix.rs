//! Two spellings of one path: as people type it, and as the app knows it. In: a raw path of either side. Out: the same path for
//! the other side. Must never touch anything but the beginning, and never make a path that browsers take for a host.

use std::borrow::Cow;

/// How paths of an app differ from those that people type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// The app's public prefix; empty for a whole host. Without a trailing slash.
    pub public: Box<str>,
    /// Whether the app does not know it.
    pub strip: bool,
    /// What the app has before every path of its own; else empty. Without a trailing slash.
    pub add: Box<str>,
}

impl Prefix {
    /// The path for the app; `None` for one whose beginning is spelled in another way than `url` has it.
    pub fn to_app(&self, path: &str) -> Option<String> {
        Some(or_slash(format!("{}{}", self.add, below(path, self.stripped())?)))
    }

    /// What the app does not know of its public paths; empty where it knows all of it.
    pub fn stripped(&self) -> &str {
        if self.strip { &self.public } else { "" }
    }

    /// The path for people. Unchanged where the app knows the public one; `None` where no public path leads there.
    pub fn to_public<'a>(&self, path: &'a str) -> Option<Cow<'a, str>> {
        let stripped = self.stripped();
        let knows = !stripped.is_empty() && below(path, stripped).is_some();
        let own = below(path, &self.add).filter(|_| !knows || !self.add.is_empty());
        match own {
            Some(rest) => Some(or_slash(format!("{stripped}{rest}"))).filter(|path| !path.starts_with("//")).map(Cow::Owned),
            None => knows.then_some(Cow::Borrowed(path)),
        }
    }

    /// The `Path` of a cookie for people (RFC 6265, section 5.1.4): what covers the whole app covers it, and nothing else.
    pub fn cookie_path<'a>(&self, path: &'a str) -> Option<Cow<'a, str>> {
        let root = format!("{}{}", self.add, if self.strip { "" } else { &self.public });
        let covers = path.starts_with('/') && below(&root, path.trim_end_matches('/')).is_some();
        if covers { Some(or_slash(self.public.to_string()).into()) } else { self.to_public(path) }
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

    /// One that is stripped.
    fn prefix(public: &str, add: &str) -> Prefix {
        Prefix { public: public.into(), strip: true, add: add.into() }
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
        let kept = Prefix { strip: false, ..prefix("/wiki", "/base") };
        for (internal, public) in
            [("/", "/wiki"), ("/base", "/wiki"), ("/base/wiki/", "/wiki"), ("/base/wiki/a", "/wiki/a"), ("/base/other", "/other")]
        {
            assert_eq!(kept.cookie_path(internal).as_deref(), Some(public), "{internal}");
        }
    }
}
