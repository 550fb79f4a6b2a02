//! Finds the files that surrounding processes hold: a file that is shared with one of them must stay the same file.

use std::collections::HashSet;
use std::fs;

use crate::process::descriptor::field;
use crate::process::guard::children_of;

/// How many ancestors' children are looked at: a child of a run, its fork points and its controller, and the process
/// that called pytest, are a chain that long.
const LEVELS: usize = 4;

/// How an open eventfd is named among the links.
pub const EVENTFD: &str = "anon_inode:[eventfd]";

/// The links of all open files of the children of this process and of its ancestors, and the ids of their eventfds.
///
/// The ancestors themselves hold everything that they passed on, and are not looked at; nor are `ours`, children that
/// hold nothing but what they were given.
#[must_use]
pub fn held_elsewhere(ours: &[i32]) -> HashSet<String> {
    let chain = with_ancestors();
    let mut looked_at: HashSet<i32> = chain.iter().chain(ours).copied().collect();
    let mut held = HashSet::new();
    for child in chain.iter().flat_map(|pid| children_of(*pid)) {
        if looked_at.insert(child) {
            add_links(child, &mut held);
        }
    }
    held
}

fn with_ancestors() -> Vec<i32> {
    let mut chain = vec![nix::unistd::getpid().as_raw()];
    let mut parent = nix::unistd::getppid().as_raw();
    while parent > 0 && chain.len() <= LEVELS {
        chain.push(parent);
        parent = parent_of(parent);
    }
    chain
}

/// 0 if it has none, or if the process has ended.
fn parent_of(pid: i32) -> i32 {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The fields follow the name, which may contain any characters.
    let fields = line.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    fields.split_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// Nothing of a process that belongs to another user: it was not handed our files by a fork.
fn add_links(pid: i32, held: &mut HashSet<String>) {
    let Ok(folder) = fs::read_dir(format!("/proc/{pid}/fd")) else { return };
    for entry in folder.flatten() {
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.to_string_lossy();
        if target == EVENTFD {
            let info = format!("/proc/{pid}/fdinfo/{}", entry.file_name().to_string_lossy());
            held.insert(eventfd_name(&fs::read_to_string(info).unwrap_or_default()));
        } else if target.starts_with("pipe:") || target.starts_with("socket:") {
            held.insert(target.into_owned());
        }
    }
}

/// A name for one eventfd; before Linux 5.2, which gave them ids, the same for all.
#[must_use]
pub fn eventfd_name(info: &str) -> String {
    format!("{EVENTFD} {}", field(info, "eventfd-id").unwrap_or_default())
}
