//! Everything that is slower than a request. In: files and providers. Out: snapshots and sign-ins. Must never import
//! [`crate::gate`].

pub mod config;
