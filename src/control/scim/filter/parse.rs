//! From the text of a filter to a filter. In: whatever a client sends. Out: a [`Filter`] whose comparisons fit the types of what they
//! compare. Must never go deeper, or take longer, than a bound that no honest filter reaches.

use super::super::path::{At, Named, resolve};
use super::super::schema::{Attribute, Type};
use super::{Compare, Filter, Operand, Test, Wanted};
use crate::control::text::has_nul;
use crate::model::directory::Kind;
use serde_json::Value;

/// The longest filter, in bytes.
const LONGEST: usize = 4096;
/// How deep parentheses, brackets and `not` may go.
const DEEPEST: usize = 12;

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::control::scim) enum Invalid {
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    #[error("it goes deeper than {DEEPEST} levels")]
    TooDeep,
    #[error("there is `{found}` where {expected} should be")]
    Unexpected { expected: &'static str, found: String },
    #[error("there is no `{0}` here")]
    Unknown(String),
    #[error("`{0}` can't be compared like this")]
    Compare(String),
}

/// What names mean.
#[derive(Clone, Copy)]
enum Scope {
    Resource(Kind),
    Value(&'static Attribute),
}

struct Parser<'t> {
    rest: &'t str,
    depth: usize,
    /// Whether names have to mean something: where a filter says what goes, one that can't match must not pass for done.
    strict: bool,
}

/// A filter of resources.
pub(in crate::control::scim) fn of_resources(kind: Kind, text: &str) -> Result<Filter, Invalid> {
    whole(Scope::Resource(kind), text, false)
}

/// A filter of the values of an attribute.
pub(in crate::control::scim) fn of_values(attribute: &'static Attribute, text: &str) -> Result<Filter, Invalid> {
    whole(Scope::Value(attribute), text, true)
}

fn whole(scope: Scope, text: &str, strict: bool) -> Result<Filter, Invalid> {
    if text.len() > LONGEST {
        return Err(Invalid::TooLong);
    }
    let mut parser = Parser { rest: text, depth: 0, strict };
    let filter = parser.any(scope)?;
    parser.end()?;
    Ok(filter)
}

impl<'t> Parser<'t> {
    fn any(&mut self, scope: Scope) -> Result<Filter, Invalid> {
        self.deeper(|parser| {
            let mut parts = vec![parser.all(scope)?];
            while parser.word("or") {
                parts.push(parser.all(scope)?);
            }
            Ok(joined(parts, Filter::Any))
        })
    }

    fn all(&mut self, scope: Scope) -> Result<Filter, Invalid> {
        let mut parts = vec![self.one(scope)?];
        while self.word("and") {
            parts.push(self.one(scope)?);
        }
        Ok(joined(parts, Filter::All))
    }

    fn one(&mut self, scope: Scope) -> Result<Filter, Invalid> {
        let before = self.rest;
        if self.word("not") {
            if self.sign('(') {
                return Ok(Filter::Not(Box::new(self.group(scope)?)));
            }
            self.rest = before;
        }
        if self.sign('(') {
            return self.group(scope);
        }
        let name = self.name()?;
        if let (true, Scope::Resource(kind)) = (self.rest.starts_with('['), scope) {
            return self.within(kind, name);
        }
        let operand = operand(scope, name);
        if self.strict && operand.is_none() {
            return Err(Invalid::Unknown(name.to_owned()));
        }
        let test = self.test(name, operand)?;
        Ok(Filter::Test(operand, test))
    }

    fn group(&mut self, scope: Scope) -> Result<Filter, Invalid> {
        let filter = self.any(scope)?;
        if self.sign(')') { Ok(filter) } else { Err(self.unexpected("`)`")) }
    }

    fn within(&mut self, kind: Kind, name: &str) -> Result<Filter, Invalid> {
        let Some(Named::Attribute(at @ At { attribute, part: None, .. })) = resolve(kind, name) else {
            return Err(Invalid::Compare(name.to_owned()));
        };
        if attribute.kind != Type::Complex || !self.sign('[') {
            return Err(Invalid::Compare(name.to_owned()));
        }
        let filter = self.any(Scope::Value(attribute))?;
        if self.sign(']') { Ok(Filter::Within(at, Box::new(filter))) } else { Err(self.unexpected("`]`")) }
    }

    fn test(&mut self, name: &str, operand: Option<Operand>) -> Result<Test, Invalid> {
        let Some(word) = self.operator() else { return Err(self.unexpected("an operator")) };
        let Some(compare) = word else { return Ok(Test::Present) };
        let literal = self.literal()?;
        let wanted = wanted(operand, compare, &literal).ok_or_else(|| Invalid::Compare(name.to_owned()))?;
        Ok(Test::Compare(compare, wanted))
    }

    /// An operator; nothing in it for `pr`.
    fn operator(&mut self) -> Option<Option<Compare>> {
        const ALL: [(&str, Option<Compare>); 10] = [
            ("eq", Some(Compare::Equal)),
            ("ne", Some(Compare::NotEqual)),
            ("co", Some(Compare::Contains)),
            ("sw", Some(Compare::Starts)),
            ("ew", Some(Compare::Ends)),
            ("gt", Some(Compare::Greater)),
            ("ge", Some(Compare::GreaterOrEqual)),
            ("lt", Some(Compare::Less)),
            ("le", Some(Compare::LessOrEqual)),
            ("pr", None),
        ];
        ALL.into_iter().find(|(word, _)| self.word(word)).map(|(_, compare)| compare)
    }

    fn name(&mut self) -> Result<&'t str, Invalid> {
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "$-_.:".contains(c))).unwrap_or(rest.len());
        match rest.split_at_checked(end) {
            Some((name, rest)) if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$') => {
                self.rest = rest;
                Ok(name)
            }
            _ => Err(self.unexpected("the name of an attribute")),
        }
    }

    /// A value as JSON writes it.
    fn literal(&mut self) -> Result<Value, Invalid> {
        let rest = self.rest.trim_start();
        let end = if rest.starts_with('"') { end_of_text(rest) } else { rest.find([' ', ')', ']']).or(Some(rest.len())) };
        let parts = end.and_then(|end| rest.split_at_checked(end));
        let read = parts.and_then(|(text, rest)| Some((literal(text)?, rest)));
        let (value, rest) = read.ok_or_else(|| self.unexpected("a value in quotation marks, a number, true, false or null"))?;
        self.rest = rest;
        Ok(value)
    }

    /// Takes a word that stands for itself, in any case.
    fn word(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start();
        let found = rest.split_at_checked(word.len()).filter(|(start, _)| start.eq_ignore_ascii_case(word));
        let stands_alone = |rest: &str| rest.is_empty() || rest.starts_with([' ', '(', ')', ']', '[', '"']);
        match found {
            Some((_, rest)) if stands_alone(rest) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn sign(&mut self, sign: char) -> bool {
        match self.rest.trim_start().strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn end(&self) -> Result<(), Invalid> {
        if self.rest.trim().is_empty() { Ok(()) } else { Err(self.unexpected("`and`, `or` or the end")) }
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Invalid>) -> Result<T, Invalid> {
        if self.depth == DEEPEST {
            return Err(Invalid::TooDeep);
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn unexpected(&self, expected: &'static str) -> Invalid {
        let found: String = self.rest.trim_start().chars().take(20).collect();
        Invalid::Unexpected { expected, found: if found.is_empty() { "the end".to_owned() } else { found } }
    }
}

fn joined(mut parts: Vec<Filter>, join: impl FnOnce(Vec<Filter>) -> Filter) -> Filter {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => join(parts.into_iter().chain(last).collect()),
    }
}

fn operand(scope: Scope, name: &str) -> Option<Operand> {
    match scope {
        Scope::Value(attribute) => attribute.part(name).map(Operand::Part),
        Scope::Resource(kind) => match resolve(kind, name)? {
            Named::Attribute(at) => Some(Operand::Of(at)),
            Named::Extension => None,
        },
    }
}

/// The index behind a text in quotation marks.
fn end_of_text(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(index + 1),
            _ => {}
        }
    }
    None
}

fn literal(text: &str) -> Option<Value> {
    let value = match text {
        _ if text.eq_ignore_ascii_case("true") => Value::Bool(true),
        _ if text.eq_ignore_ascii_case("false") => Value::Bool(false),
        _ => serde_json::from_str(text).ok()?,
    };
    (!value.is_array() && !value.is_object() && !has_nul(&value)).then_some(value)
}

/// The value as the attribute's type has it; `None` where the two don't go together.
fn wanted(operand: Option<Operand>, compare: Compare, value: &Value) -> Option<Wanted> {
    let equality = matches!(compare, Compare::Equal | Compare::NotEqual);
    if value.is_null() {
        return equality.then_some(Wanted::Nothing);
    }
    let attribute = match operand {
        Some(Operand::Part(part)) => Some(part),
        Some(Operand::Of(at)) => match (at.part, at.attribute.kind) {
            (None, Type::Complex) => Some(at.attribute.part("value")?),
            (part, _) => Some(part.unwrap_or(at.attribute)),
        },
        None => None,
    };
    let text = || value.as_str().map(str::to_owned);
    match attribute.map(|attribute| (attribute.kind, attribute.exact)) {
        Some((Type::Truth, _)) => super::super::body::truth(value).filter(|_| equality).map(Wanted::Truth),
        Some((Type::Time, _)) if !matches!(compare, Compare::Contains | Compare::Starts | Compare::Ends) => {
            Some(Wanted::Time(value.as_str()?.parse::<jiff::Timestamp>().ok()?.as_millisecond()))
        }
        Some((Type::Complex, _)) => None,
        Some((_, exact)) => text().map(|said| {
            let compared = if exact { said.clone() } else { said.to_lowercase() };
            Wanted::Text { said, compared, exact }
        }),
        // Nothing has it, so that its type does not matter.
        None => Some(Wanted::Text { said: String::new(), compared: String::new(), exact: true }),
    }
}
