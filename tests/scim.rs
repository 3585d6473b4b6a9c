//! Directories over the real path: what Entra ID and Okta send, what it does to people who are signed in, and what attackers try.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "scim/attacks.rs"]
mod attacks;
#[path = "scim/client.rs"]
mod client;
#[path = "scim/effects.rs"]
mod effects;
#[path = "scim/lists.rs"]
mod lists;
#[path = "scim/out.rs"]
mod out;
#[path = "scim/providers.rs"]
mod providers;
#[path = "scim/resources.rs"]
mod resources;
#[path = "scim/size.rs"]
mod size;
#[path = "world/world.rs"]
mod world;
