//! All texts of the watcher that the user reads.

use std::io;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

#[must_use]
pub fn refused(error: &io::Error) -> String {
    let (limit, name) = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC) => ("folders that can be watched", "max_user_watches"),
        Some(Errno::EMFILE) => ("watchers of one user", "max_user_instances"),
        _ => return format!("the system refuses to watch ({error}); polling instead"),
    };
    let number = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).unwrap_or_default();
    format!(
        "the limit of {limit} is reached ({}); polling instead; raise it with sysctl fs.inotify.{name}",
        number.trim()
    )
}

#[must_use]
pub fn remote(path: &Path, kind: &str) -> String {
    format!("{} is on {kind}, which does not tell of all changes; polling instead", path.display())
}

#[must_use]
pub fn unsupported() -> String {
    "this system does not tell of changes; polling instead".to_owned()
}

#[must_use]
pub fn slow(files: usize, milliseconds: u64) -> String {
    let every = Duration::from_millis(milliseconds).as_secs_f64();
    format!("polling {files} files, every {every:.1} s")
}

#[must_use]
pub fn lost() -> String {
    "more changes at once than the system remembers; compared all files".to_owned()
}

#[must_use]
pub fn failed(reason: &str) -> String {
    format!("the watcher failed, and watches no longer ({reason}); start again")
}
