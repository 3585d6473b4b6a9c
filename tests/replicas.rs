//! Several replicas on one PostgreSQL: what one of them has acknowledged holds for all, whatever fails. In this file the store alone;
//! whole processes in the files below.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "replicas/cluster.rs"]
mod cluster;
#[path = "replicas/crowds.rs"]
mod crowds;
#[path = "replicas/database.rs"]
mod database;
#[path = "replicas/directories.rs"]
mod directories;
#[path = "replicas/faults.rs"]
mod faults;
#[path = "replicas/histories.rs"]
mod histories;
#[path = "replicas/metrics.rs"]
mod metrics;
#[path = "replicas/outage.rs"]
mod outage;
#[path = "world/postgres.rs"]
#[allow(dead_code)]
mod postgres;
#[path = "world/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "replicas/renewals.rs"]
mod renewals;
#[path = "replicas/scim.rs"]
mod scim;
#[path = "replicas/stores.rs"]
mod stores;
#[path = "replicas/streams.rs"]
mod streams;
#[path = "replicas/wire.rs"]
mod wire;
#[path = "world/world.rs"]
mod world;

use world::{eventually, ports};
