//! The audit trail. In: its keys. Out: where it goes, and when its file is put aside.

use super::limits::size;
use super::{Context, values};
use crate::control::config::file::{File, WhenFull};
use crate::control::config::findings::Wrong;
use crate::control::config::place::Place;
use crate::snapshot::rotation::Rotation;
use std::path::PathBuf;

/// Where records go, and what happens when they can't.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditTrail {
    /// The file; absolute. Standard output where there is none.
    pub file: Option<PathBuf>,
    /// When it is put aside.
    pub rotation: Option<Rotation>,
    /// Whether requests go on when the trail can't keep up.
    pub(in crate::control::config) sheds: bool,
}

/// Below this, a file would be put aside all the time.
const LEAST: u64 = 1_000_000;
const MOST_KEPT: usize = 100_000;

pub(super) fn compile(file: &File, context: &mut Context<'_>) -> AuditTrail {
    let Some(audit) = &file.audit else { return AuditTrail::default() };
    let place = Place::root().key("audit");
    let rotation = audit.rotate.as_ref().and_then(|rotate| {
        let at = place.key("rotate");
        if audit.file.is_none() {
            context.findings.error(&at, Wrong::new("there is no file to put aside", "say where records go, with `file`"));
        }
        let least = |size| if size >= LEAST { Ok(size) } else { Err(Wrong::new("too small", "at least `1MB`")) };
        let size = context.findings.take(&at.key("size"), size(&rotate.size).and_then(least))?;
        let keep = rotate.keep.as_ref().map(|keep| values::count(keep, 1..=MOST_KEPT));
        let keep = keep.and_then(|keep| context.findings.take(&at.key("keep"), keep));
        Some(Rotation { size, keep })
    });
    AuditTrail {
        file: audit.file.as_ref().map(|name| context.sources.resolve(name)),
        rotation,
        sheds: audit.when_full == Some(WhenFull::Shed),
    }
}
