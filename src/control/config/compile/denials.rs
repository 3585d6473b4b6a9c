//! `contact:` and `explain_denials:`. In: what the file says. Out: what refused people are told.

use super::Context;
use crate::control::config::file;
use crate::control::config::findings::Wrong;
use crate::control::config::place::Place;
use crate::model::Email;
use crate::snapshot::denials::{Contact, Denials, Tell};
use url::Url;

/// The longest contact, in characters.
const LONGEST: usize = 200;

pub(super) fn compile(app: &file::App, place: &Place, context: &mut Context<'_>) -> Denials {
    let tell = match app.explain_denials.unwrap_or_default() {
        file::ExplainDenials::Full => Tell::Everything,
        file::ExplainDenials::ContactOnly => Tell::Contact,
        file::ExplainDenials::Off => Tell::Nothing,
    };
    let place = place.key("contact");
    let contact = app.contact.as_deref().and_then(|text| context.findings.take(&place, contact(text)));
    if contact.is_some() && tell == Tell::Nothing {
        context.findings.warning(&place, Wrong::new("nobody is told whom to ask", "let `explain_denials` be `contact_only`"));
    }
    Denials { tell, contact }
}

fn contact(text: &str) -> Result<Contact, Wrong> {
    let fine = !text.trim().is_empty() && text.chars().count() <= LONGEST && !text.chars().any(char::is_control);
    if !fine {
        return Err(Wrong::new(
            "nothing that a page could show",
            format!("an address, an `https` URL or a text of one line, of {LONGEST} characters"),
        ));
    }
    let mail = Email::parse(text).ok().map(|email| format!("mailto:{}", email.as_str()));
    let url = || Url::parse(text).ok().filter(|url| url.scheme() == "https").map(String::from);
    Ok(Contact { text: text.into(), link: mail.or_else(url).map(Into::into) })
}
