//! The gate from the outside: what reaches an app, what does not, and what is left behind. Everything is real but the app, which
//! records what it is sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "gate/administration.rs"]
mod administration;
#[path = "gate/answers.rs"]
mod answers;
#[path = "gate/balance.rs"]
mod balance;
#[path = "gate/chain.rs"]
mod chain;
#[path = "gate/cookies.rs"]
mod cookies;
#[path = "gate/dates.rs"]
mod dates;
#[path = "gate/denials.rs"]
mod denials;
#[path = "gate/device_locks.rs"]
mod device_locks;
#[path = "gate/devices.rs"]
mod devices;
#[path = "gate/entrance.rs"]
mod entrance;
#[path = "gate/fixed.rs"]
mod fixed;
#[path = "gate/floods.rs"]
mod floods;
#[path = "gate/headers.rs"]
mod headers;
#[path = "gate/health.rs"]
mod health;
#[path = "gate/limits.rs"]
mod limits;
#[path = "gate/memory.rs"]
mod memory;
#[path = "gate/multiplexed.rs"]
mod multiplexed;
#[path = "gate/pool.rs"]
mod pool;
#[path = "world/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "gate/retries.rs"]
mod retries;
#[path = "gate/revocation.rs"]
mod revocation;
#[path = "gate/rewriting.rs"]
mod rewriting;
#[path = "gate/sessions.rs"]
mod sessions;
#[path = "gate/signals.rs"]
mod signals;
#[path = "gate/streams.rs"]
mod streams;
#[path = "gate/target.rs"]
mod target;
#[path = "gate/timeouts.rs"]
mod timeouts;
#[path = "gate/trail.rs"]
mod trail;
#[path = "gate/upstream.rs"]
mod upstream;
#[path = "gate/webhooks.rs"]
mod webhooks;
#[path = "world/world.rs"]
mod world;

use world::eventually;
