//! A configuration file is read whole, judged whole, and taken up while requests go on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "config/devices.rs"]
mod devices;
#[path = "config/errors.rs"]
mod errors;
#[path = "config/meaning.rs"]
mod meaning;
#[path = "config/policy.rs"]
mod policy;
#[path = "config/reference.rs"]
mod reference;
#[path = "config/reload.rs"]
mod reload;
#[path = "config/rendering.rs"]
mod rendering;
#[path = "config/rewriting.rs"]
mod rewriting;
#[path = "config/scene.rs"]
mod scene;
#[path = "config/signals.rs"]
mod signals;
#[path = "config/upstream.rs"]
mod upstream;
#[path = "config/warnings.rs"]
mod warnings;
#[path = "config/webhooks.rs"]
mod webhooks;
