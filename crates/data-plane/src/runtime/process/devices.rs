//! The device files a program expects, in an image that has none.

use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

/// Name, major and minor number (kernel documentation, admin-guide/devices).
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Makes them as root. Nothing is lost where that is not possible: programs rarely need them.
pub(super) fn provide(root: &Path) {
    if !rustix::process::geteuid().is_root() || !cfg!(target_os = "linux") {
        return;
    }
    let dev = root.join("dev");
    let _ = std::fs::create_dir(&dev);
    // An image may have a link there, which would lead out of it.
    if !std::fs::symlink_metadata(&dev).is_ok_and(|meta| meta.is_dir()) {
        return;
    }
    for (name, major, minor) in DEVICES {
        let mode = Mode::from_raw_mode(0o666);
        let path = dev.join(name);
        if mknodat(CWD, &path, FileType::CharacterDevice, mode, makedev(major, minor)).is_ok() {
            // The umask took bits away.
            let _ = rustix::fs::chmod(&path, mode);
        }
    }
}
