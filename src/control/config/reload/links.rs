//! Which names decide what a path leads to. In: paths. Out: the paths and every symbolic link on the way, so that a
//! mounted configuration is seen to change when only a link far above the file does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// No path has more links than this on its way (Linux follows 40).
const MOST_LINKS: usize = 40;

/// The paths themselves, where they lead to, and all links between.
pub(super) fn resolve<'a>(paths: impl Iterator<Item = &'a Path>) -> BTreeSet<PathBuf> {
    let mut names = BTreeSet::new();
    for path in paths {
        follow(path.to_owned(), &mut names);
    }
    names
}

fn follow(mut path: PathBuf, names: &mut BTreeSet<PathBuf>) {
    for _ in 0..MOST_LINKS {
        names.insert(path.clone());
        let Some((link, target)) = first_link(&path) else { return };
        let Ok(rest) = path.strip_prefix(&link) else { return };
        let parent = link.parent().unwrap_or(Path::new("/"));
        // Joining nothing would add a slash.
        let led = if rest.as_os_str().is_empty() { parent.join(target) } else { parent.join(target).join(rest) };
        names.insert(link);
        path = led;
    }
}

/// The first link on the way down, and what it says.
fn first_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut above: Vec<&Path> = path.ancestors().collect();
    above.reverse();
    above.into_iter().find_map(|step| Some((step.to_owned(), std::fs::read_link(step).ok()?)))
}

/// Where these names stand.
pub(super) fn directories(names: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    names.iter().filter_map(|name| name.parent()).filter(|directory| directory.is_dir()).map(Path::to_owned).collect()
}
