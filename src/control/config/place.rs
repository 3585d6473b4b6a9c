//! Where something stands in the configuration. In: keys and indices. Out: `apps.payroll.allow[0].groups`.

use std::fmt;
use std::sync::Arc;

/// A way from the top of the file to one value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Place(Vec<Step>);

/// One step of a [`Place`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Into a mapping.
    Key(Arc<str>),
    /// Into a list.
    Index(usize),
}

impl Place {
    /// The whole file.
    pub(super) const fn root() -> Self {
        Self(Vec::new())
    }

    /// The value of this key here.
    pub(super) fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.into()))
    }

    /// The element with this index here.
    pub(super) fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = Vec::with_capacity(self.0.len() + 1);
        steps.extend_from_slice(&self.0);
        steps.push(step);
        Self(steps)
    }

    /// From the top down.
    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether the last step is into this key.
    pub(super) fn ends_with(&self, key: &str) -> bool {
        matches!(self.0.last(), Some(Step::Key(last)) if **last == *key)
    }

    /// Where this stands in.
    pub(super) fn parent(&self) -> Option<Self> {
        let (_, steps) = self.0.split_last()?;
        Some(Self(steps.to_vec()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if depth == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
