//! Signing in and out as a browser does it, against the real provider of the demo: what must work, and what an attacker tries.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "sign_in/attacks.rs"]
mod attacks;
#[path = "sign_in/login.rs"]
mod login;
#[path = "sign_in/logout.rs"]
mod logout;
#[path = "sign_in/provider.rs"]
mod provider;
#[path = "sign_in/renewal.rs"]
mod renewal;
#[path = "sign_in/step_up.rs"]
mod step_up;
#[path = "world/world.rs"]
mod world;
