//! Words for what a request asks for: path patterns. In: the text of `match:`. Out: a [`Pattern`].

use std::fmt;

/// One segment of a [`Pattern`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// Exactly this text.
    Literal(Box<str>),
    /// `*`: any one segment.
    One,
    /// `**`: this and everything below; only at the end.
    Rest,
}

/// `/health`, `/users/*/keys`, `/admin/**`. `/admin/**` matches `/admin`, `/admin/` and everything below.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(Vec<Segment>);

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It must start with a slash.
    #[error("a path pattern starts with `/`")]
    NoSlash,
    /// `**` stands alone in the last segment.
    #[error("`**` may only be the whole last segment, as in `/admin/**`")]
    RestInside,
    /// `*` stands alone in its segment.
    #[error("`*` must be a whole segment, as in `/users/*/keys`")]
    StarInside,
    /// Dot segments, empty segments, percent-encoding, queries, backslashes and semicolons can't be matched.
    #[error("a path pattern has plain segments only: no `.`, `..`, `//`, `%`, `?`, `#`, `;` or `\\`")]
    NotPlain,
}

impl Pattern {
    /// Reads the text of `match:`; it is written decoded.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let inner = text.strip_prefix('/').ok_or(PatternError::NoSlash)?;
        let count = inner.split('/').count();
        let segment = |(index, part): (usize, &str)| segment(part, index + 1 == count);
        inner.split('/').enumerate().map(segment).collect::<Result<_, _>>().map(Self)
    }

    /// Whether it matches this decoded path, which starts with `/`; a trailing slash makes no difference. `folded`: for an app
    /// that takes upper and lower case for the same.
    pub fn matches(&self, path: &str, folded: bool) -> bool {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut parts = path.split('/').filter(|_| !path.is_empty());
        for segment in &self.0 {
            let fits = match segment {
                Segment::Rest => return true,
                Segment::Literal(text) if text.is_empty() => break,
                Segment::One => parts.next().is_some(),
                Segment::Literal(text) if folded => parts.next().is_some_and(|part| part.to_lowercase() == text.to_lowercase()),
                Segment::Literal(text) => parts.next() == Some(text),
            };
            if !fits {
                return false;
            }
        }
        parts.next().is_none()
    }

    /// The segments, from the left; a trailing slash is an empty last literal.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }
}

fn segment(part: &str, last: bool) -> Result<Segment, PatternError> {
    match part {
        "**" if last => Ok(Segment::Rest),
        "**" => Err(PatternError::RestInside),
        "*" => Ok(Segment::One),
        "." | ".." => Err(PatternError::NotPlain),
        "" if !last => Err(PatternError::NotPlain),
        _ if part.contains('*') => Err(PatternError::StarInside),
        _ if part.contains(['%', '?', '#', ';', '\\']) || part.chars().any(char::is_control) => Err(PatternError::NotPlain),
        _ => Ok(Segment::Literal(part.into())),
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.0 {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::One => f.write_str("/*")?,
                Segment::Rest => f.write_str("/**")?,
            }
        }
        Ok(())
    }
}
