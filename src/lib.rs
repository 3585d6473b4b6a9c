//! Doorward: a zero-trust, identity-aware reverse proxy.
//!
//! Two planes that never import each other: [`gate`] answers requests, [`control`] does everything slower than a
//! request. They meet in [`model`] (plain words), [`policy`], [`snapshot`] (what a request is judged by), [`store`]
//! and [`assertion`]; only [`app`] sees both. To follow a request, read [`gate`] from top to bottom.

pub mod app;
pub mod assertion;
pub mod cli;
pub mod clock;
pub mod control;
pub mod cookies;
pub mod demo;
pub mod gate;
pub mod model;
pub mod pages;
pub mod policy;
pub mod snapshot;
pub mod store;
pub mod telemetry;
