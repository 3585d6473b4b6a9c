//! `scim:` of the providers. In: what the file says. Out: tokens as hashes, and how directories are laid over claims. Must never keep
//! a token, nor let one belong to two providers.

use super::{Context, secret};
use crate::clock;
use crate::control::config::file;
use crate::control::config::file::scim::{Scim as Written, ScimGroups, ScimToken};
use crate::control::config::findings::Wrong;
use crate::control::config::place::Place;
use crate::model::directory::{Groups, Overlay};
use crate::model::{Timestamp, TokenHash};
use crate::snapshot::scim::{Grant, Scim};
use secrecy::{ExposeSecret as _, SecretString};

/// The shortest token: what is shorter can be guessed.
const SHORTEST: usize = 20;

pub(super) fn compile(written: &Written, place: &Place, context: &mut Context<'_>) -> Box<Scim> {
    let tokens_at = place.key("tokens");
    context.refuse_empty(&written.tokens, &tokens_at);
    let mut tokens: Vec<Grant> = Vec::new();
    for (index, token) in written.tokens.iter().enumerate() {
        let place = tokens_at.index(index);
        let Some(grant) = grant(token, &place, context) else { continue };
        if context.scim_tokens.contains(&grant.token) {
            let wrong = Wrong::new("this token is here twice", "a token of its own for each directory and each client");
            context.findings.error(&place, wrong);
        }
        context.scim_tokens.push(grant.token);
        tokens.push(grant);
    }
    let matches = matches(written, &place.key("match"), context);
    let groups = match written.groups.unwrap_or(ScimGroups::Replace) {
        ScimGroups::Replace => Groups::Replace,
        ScimGroups::Add => Groups::Add,
        ScimGroups::Ignore => Groups::Ignore,
    };
    let (by_external_id, by_email) = (matches.contains(&Match::ExternalId), matches.contains(&Match::Email));
    Box::new(Scim { tokens, overlay: Overlay { groups, by_external_id, by_email, required: written.required } })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    ExternalId,
    Email,
}

fn matches(written: &Written, place: &Place, context: &mut Context<'_>) -> Vec<Match> {
    let Some(listed) = &written.matches else { return vec![Match::ExternalId, Match::Email] };
    context.each(listed, place, |text, _| match text {
        "external_id" => Ok(Match::ExternalId),
        "email" => Ok(Match::Email),
        _ => Err(Wrong::new(format!("`{text}` is no way to find a user"), "`external_id`, `email` or both")),
    })
}

fn grant(token: &ScimToken, place: &Place, context: &mut Context<'_>) -> Option<Grant> {
    let expires = token.expires.as_deref().map(|text| {
        let expires = Timestamp::parse(text).ok_or_else(|| Wrong::new("not a time", "as in `2027-01-31T00:00:00Z`"));
        context.findings.take(&place.key("expires"), expires)
    });
    let hash = match (&token.sha256, &token.env, &token.file) {
        (Some(digits), None, None) => context.findings.take(&place.key("sha256"), hash(digits)),
        (None, env, file) => {
            let secret = file::Secret { env: env.clone(), file: file.clone() };
            let secret = secret::compile(&secret, place, context.sources, context.findings)?;
            context.findings.take(place, of_secret(&secret))
        }
        _ => {
            let cure = "write `{ file: PATH }`, `{ env: NAME }` or `{ sha256: DIGITS }`";
            context.findings.error(place, Wrong::new("exactly one source of the token", cure));
            None
        }
    };
    let expires = match expires {
        Some(read) => Some(read?),
        None => None,
    };
    if expires.is_some_and(|expires| expires <= clock::now()) {
        context.findings.warning(&place.key("expires"), Wrong::plain("this time is over: the token is not taken"));
    }
    Some(Grant { token: hash?, expires, read_only: token.read_only })
}

fn of_secret(secret: &SecretString) -> Result<TokenHash, Wrong> {
    let text = secret.expose_secret();
    let fine = text.len() >= SHORTEST && text.bytes().all(|b| b.is_ascii_graphic());
    let cure = "make one with `openssl rand -hex 32`";
    fine.then(|| TokenHash::of(text.as_bytes())).ok_or_else(|| {
        Wrong::new(format!("a token has at least {SHORTEST} characters, none of which is white space or beyond ASCII"), cure)
    })
}

fn hash(digits: &str) -> Result<TokenHash, Wrong> {
    let wrong =
        || Wrong::new("not a SHA-256", "64 hexadecimal digits, as `sha256sum` prints them of the token without a line break");
    let byte = |pair: &[u8; 2]| str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let (pairs, rest) = digits.as_bytes().as_chunks();
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.filter(|_| rest.is_empty()).and_then(|bytes| TokenHash::from_bytes(&bytes)).ok_or_else(wrong)
}
