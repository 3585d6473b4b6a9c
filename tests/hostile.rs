//! Bad input: whatever bytes come, from a client or from an app, nothing hangs, nothing crashes, and no request reaches an app that
//! two parsers could read differently. The app keeps every byte, and a strict parser of the tests' own reads them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "hostile/answers.rs"]
mod answers;
#[path = "hostile/framing.rs"]
mod framing;
#[path = "hostile/heads.rs"]
mod heads;
#[path = "hostile/http2.rs"]
mod http2;
#[path = "hostile/judge.rs"]
mod judge;
#[path = "hostile/multiplexed.rs"]
mod multiplexed;
#[path = "hostile/pipelines.rs"]
mod pipelines;
#[path = "hostile/trailers.rs"]
mod trailers;
#[path = "world/world.rs"]
mod world;
