//! The words both planes speak. In: nothing. Out: plain types. Must never do I/O or anything async.

pub mod certificate;
pub mod chain;
pub mod device;
pub mod directory;
pub mod event;
pub mod identity;
pub mod ids;
pub mod inventory;
pub mod locks;
pub mod notice;
pub mod origin;
pub mod reason;
pub mod risks;
pub mod route;
pub mod secret;
pub mod signal;
pub mod strength;
pub mod time;

pub use certificate::{Certified, Fault, Judged};
pub use device::{Device, DeviceFacts, Fingerprint, Owner, Risk, RiskLevel, Standing};
pub use identity::{Email, Identity};
pub use ids::{AppIndex, ProviderName, RequestId, RuleId, SignInId};
pub use inventory::Inventory;
pub use origin::Origin;
pub use reason::{Advice, Reason, Refusal};
pub use secret::{Token, TokenHash};
pub use signal::{Observed, Signal, Source};
pub use strength::{StepUp, Strength};
pub use time::{Lifetimes, Timestamp};
