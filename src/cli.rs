//! The commands. In: the command line. Out: an exit code and text.

pub mod check;
pub mod schema;
