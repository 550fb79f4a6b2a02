//! The texts of the watcher that users read.

use std::io;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

#[must_use]
pub fn refused(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::Unsupported {
        return "this system does not report changes; polling instead".to_owned();
    }
    let (limit, name) = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC) => ("watched folders", "max_user_watches"),
        Some(Errno::EMFILE) => ("watchers for each user", "max_user_instances"),
        _ => return format!("the system refused to report changes ({error}); polling instead"),
    };
    if cfg!(target_os = "macos") {
        return format!("the limit on {limit} is reached; polling instead; hint: raise it with ulimit -n");
    }
    let number = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).unwrap_or_default();
    format!(
        "the limit on {limit} is reached ({}); polling instead; hint: raise it with sysctl fs.inotify.{name}",
        number.trim()
    )
}

#[must_use]
pub fn remote(path: &Path, kind: &str) -> String {
    format!("{} is on {kind}, which does not report all changes; polling instead", path.display())
}

#[must_use]
pub fn slow(files: usize, milliseconds: u64) -> String {
    let every = Duration::from_millis(milliseconds).as_secs_f64();
    format!("polling {files} files, every {every:.1} s")
}

#[must_use]
pub fn lost() -> String {
    "more changes at once than the system can report; compared all files".to_owned()
}

#[must_use]
pub fn failed(reason: &str) -> String {
    format!("the watcher failed and has stopped ({reason}); hint: restart the watch")
}
