//! d
pub mod idp;
mod people;
mod serve;
