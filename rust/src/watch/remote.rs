//! Names the file systems that change elsewhere as well, of which the system here hears nothing.

use std::path::Path;

/// By their numbers in `linux/magic.h` and their own headers. FUSE is what containers on a desktop and sshfs come
/// through.
#[cfg(target_os = "linux")]
const REMOTE: [(u32, &str); 9] = [
    (0x6969, "NFS"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x517B, "SMB"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x00C3_6400, "Ceph"),
    (0x786F_4256, "a shared folder of VirtualBox"),
    (0xBACB_ACBC, "a shared folder of VMware"),
];

/// By what macOS calls them.
#[cfg(any(test, not(target_os = "linux")))]
const REMOTE_NAMES: [(&str, &str); 7] = [
    ("nfs", "NFS"),
    ("smbfs", "SMB"),
    ("afpfs", "AFP"),
    ("webdav", "WebDAV"),
    ("macfuse", "FUSE"),
    ("osxfuse", "FUSE"),
    ("AppleVirtIOFS", "a folder of a virtual machine's host"),
];

/// The kind of file system that a path is on, if that does not tell of all changes.
#[cfg(target_os = "linux")]
pub fn remote(path: &Path) -> Option<&'static str> {
    let kind = nix::sys::statfs::statfs(path).ok()?.filesystem_type().0;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a magic number of 32 bits, in a type that differs among C libraries"
    )]
    numbered(kind as u32)
}

#[cfg(not(target_os = "linux"))]
pub fn remote(path: &Path) -> Option<&'static str> {
    named(nix::sys::statfs::statfs(path).ok()?.filesystem_type_name())
}

#[cfg(target_os = "linux")]
fn numbered(kind: u32) -> Option<&'static str> {
    REMOTE.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
}

#[cfg(any(test, not(target_os = "linux")))]
fn named(kind: &str) -> Option<&'static str> {
    REMOTE_NAMES.iter().find(|(known, _)| *known == kind).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn file_systems_that_keep_silent() {
        // ext4, btrfs, tmpfs, overlayfs and xfs tell.
        for local in [0xEF53, 0x9123_683E, 0x0102_1994, 0x794C_7630, 0x5846_5342] {
            assert_eq!(numbered(local), None);
        }
        assert_eq!(numbered(0x6969), Some("NFS"));
    }

    #[test]
    fn they_have_names_elsewhere() {
        assert_eq!((named("apfs"), named("hfs"), named("exfat")), (None, None, None));
        assert_eq!(named("smbfs"), Some("SMB"));
    }
}
