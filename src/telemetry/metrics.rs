//! Numbers for `/metrics`.

pub mod control;
