//! Why a request was let through or refused: one closed list with stable codes, used in pages, JSON, audit, metrics
//! and docs. In: a room's error. Out: a [`Refusal`]. Must never carry a secret.

use super::StepUp;

/// Every reason there is. The code ([`Reason::code`]) is a promise to operators: it never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The client went away before anything was decided.
    Abandoned,
    /// It was let through, and cut when the right to it ended.
    AccessEnded,
    /// The directory says that the person may not sign in.
    AccountDeactivated,
    /// Let through: a rule allows it.
    Allowed,
    /// The path reads differently to different parsers.
    AmbiguousTarget,
    /// As many requests are in flight as the app takes.
    AppBusy,
    /// The audit trail can't take a record now.
    AuditUnavailable,
    /// The host is malformed, doubled or contradicts itself.
    BadHost,
    /// The request can't be forwarded as it is (framing, CONNECT, malformed path).
    BadRequest,
    /// Where to return to is not a URL of a configured app.
    BadReturnTarget,
    /// The body is longer than the app takes.
    BodyTooLarge,
    /// A deny rule matched.
    DeniedByRule,
    /// A rule needs a device, and the device's certificate is not good.
    DeviceCertificateInvalid,
    /// An administrator has locked the device.
    DeviceLocked,
    /// The handoff code is unknown, used, expired or another browser's.
    HandoffInvalid,
    /// None of the app's servers is healthy.
    NoHealthyUpstream,
    /// No rule allows it.
    NotAllowed,
    /// The directory does not have the person, and it has to.
    NotInDirectory,
    /// Nobody is signed in.
    NotSignedIn,
    /// Evaluating the policy failed, which denies.
    PolicyError,
    /// Let through: a CORS preflight of an app that asks for that.
    Preflight,
    /// The sign-in is of a provider that this app does not take.
    ProviderNotAccepted,
    /// The identity provider can't be reached now.
    ProviderUnavailable,
    /// Let through: a public route.
    PublicRoute,
    /// The session or the address asks more often than it may.
    RateLimited,
    /// Answered by Doorward itself, under `/.doorward/`.
    Reserved,
    /// As many requests of the session are in flight as it may have.
    SessionBusy,
    /// There was a session; its time is over.
    SessionExpired,
    /// The session cookie names no live session.
    SessionInvalid,
    /// The sign-in took too long, or was started in another browser.
    SignInExpired,
    /// What the provider answered did not pass the checks.
    SignInFailed,
    /// Signing in does not stick: going round in circles.
    SignInLoop,
    /// The provider refused the sign-in.
    SignInRefused,
    /// The provider did not vouch for the stronger or fresher sign-in that was asked for.
    StepUpFailed,
    /// A stronger or fresher sign-in would be let through.
    StepUpRequired,
    /// The store can't be reached now.
    StoreUnavailable,
    /// No app lives at this host.
    UnknownHost,
    /// Nothing lives at this path.
    UnknownPath,
    /// The client sends its request too slowly.
    UploadTooSlow,
    /// Every connection to the app is in use, and none became free in time.
    UpstreamBusy,
    /// The app answered something that is not HTTP, or broke off.
    UpstreamFailed,
    /// The app did not answer in time.
    UpstreamTimeout,
    /// The app can't be reached.
    UpstreamUnreachable,
    /// An administrator has locked the person out.
    UserLocked,
}

impl Reason {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Abandoned => "abandoned",
            Self::AccessEnded => "access_ended",
            Self::AccountDeactivated => "account_deactivated",
            Self::Allowed => "allowed",
            Self::AmbiguousTarget => "ambiguous_target",
            Self::AppBusy => "app_busy",
            Self::AuditUnavailable => "audit_unavailable",
            Self::BadHost => "bad_host",
            Self::BadRequest => "bad_request",
            Self::BadReturnTarget => "bad_return_target",
            Self::BodyTooLarge => "body_too_large",
            Self::DeniedByRule => "denied_by_rule",
            Self::DeviceCertificateInvalid => "device_certificate_invalid",
            Self::DeviceLocked => "device_locked",
            Self::HandoffInvalid => "handoff_invalid",
            Self::NoHealthyUpstream => "no_healthy_upstream",
            Self::NotAllowed => "not_allowed",
            Self::NotInDirectory => "not_in_directory",
            Self::NotSignedIn => "not_signed_in",
            Self::PolicyError => "policy_error",
            Self::Preflight => "preflight",
            Self::ProviderNotAccepted => "provider_not_accepted",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::PublicRoute => "public_route",
            Self::RateLimited => "rate_limited",
            Self::Reserved => "reserved",
            Self::SessionBusy => "session_busy",
            Self::SessionExpired => "session_expired",
            Self::SessionInvalid => "session_invalid",
            Self::SignInExpired => "sign_in_expired",
            Self::SignInFailed => "sign_in_failed",
            Self::SignInLoop => "sign_in_loop",
            Self::SignInRefused => "sign_in_refused",
            Self::StepUpFailed => "step_up_failed",
            Self::StepUpRequired => "step_up_required",
            Self::StoreUnavailable => "store_unavailable",
            Self::UnknownHost => "unknown_host",
            Self::UnknownPath => "unknown_path",
            Self::UploadTooSlow => "upload_too_slow",
            Self::UpstreamBusy => "upstream_busy",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UserLocked => "user_locked",
        }
    }
}

/// What a refused person may be told of one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What failed, as a sentence.
    pub failed: String,
    /// What they can do about it, as a sentence.
    pub help: &'static str,
}

/// A request that is not let through: why, and what may be told of it to the person in front of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// One plain sentence for the page that adds to the reason's own text, such as which provider is down. Escaped
    /// where it is shown.
    pub detail: Option<String>,
    /// In how many seconds it is worth trying again, where that is known.
    pub retry_after: Option<u32>,
    /// Which sign-in would be let through, where one would ([`Reason::StepUpRequired`]).
    pub step_up: Option<Box<StepUp>>,
}

impl Refusal {
    /// A refusal with one more sentence for the person.
    pub fn with_detail(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: Some(detail.into()), ..reason.into() }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, detail: None, retry_after: None, step_up: None }
    }
}
