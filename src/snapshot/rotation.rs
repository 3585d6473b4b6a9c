//! When the audit file is put aside. In: checked values. Out: the same. Says nothing of how.

/// When a file is put aside for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Once it has so many bytes.
    pub size: u64,
    /// How many that were put aside are kept; all of them where nothing is said.
    pub keep: Option<usize>,
}
