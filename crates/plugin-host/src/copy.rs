//! Copies of plugins that nobody else can change.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Once;

use tempfile::TempDir;

/// How the names of the folders begin.
const PREFIX: &str = "pipeline-plugin-";

/// The file in such a folder that is locked as long as its process lives.
const IN_USE: &str = ".in-use";

/// A copy of a plugin's file, which goes when this does.
pub(crate) struct PrivateCopy {
    pub(crate) path: PathBuf,
    _folder: TempDir,
    /// The lock ends with the process, also with one that is killed.
    _in_use: File,
}

impl PrivateCopy {
    /// Writes `bytes` under `name` with the permissions `mode`, in a folder of its own.
    pub(crate) fn of(bytes: &[u8], name: &Path, mode: u32) -> io::Result<Self> {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| remove_abandoned(&std::env::temp_dir()));
        // Made with permissions for its owner alone.
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        let in_use = mark(folder.path())?;
        let path = folder.path().join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        file.write_all(bytes)?;
        Ok(Self { path, _folder: folder, _in_use: in_use })
    }
}

/// Says that `folder` is in use, by a file that is locked. It gets its name once it is: whoever looks in between would
/// take the folder for one that was left.
fn mark(folder: &Path) -> io::Result<File> {
    let unmarked = folder.join(".unmarked");
    let in_use = File::create_new(&unmarked)?;
    in_use.lock()?;
    fs::rename(unmarked, folder.join(IN_USE))?;
    Ok(in_use)
}

/// Removes what processes have left that were killed.
fn remove_abandoned(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        // One without the file is just being made, or belongs to somebody else.
        let Ok(in_use) = File::open(entry.path().join(IN_USE)) else { continue };
        match in_use.try_lock() {
            // What cannot be removed is no reason to stop: it only takes room.
            Ok(()) => drop(fs::remove_dir_all(entry.path())),
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_uses_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let make = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).expect("made");
            path
        };
        let (abandoned, used, new) =
            (make("pipeline-plugin-1"), make("pipeline-plugin-2"), make("pipeline-plugin-3"));
        let other = make("something-else");
        for path in [&abandoned, &other] {
            fs::write(path.join(IN_USE), "").expect("written");
        }
        let lock = mark(&used).expect("marked");
        remove_abandoned(folder.path());
        assert!(!abandoned.exists());
        assert!(used.exists() && new.exists() && other.exists());
        drop(lock);
        remove_abandoned(folder.path());
        assert!(!used.exists(), "its process has ended");
    }

    #[test]
    fn what_is_just_being_made_is_never_taken_for_abandoned() {
        let folder = tempfile::tempdir().expect("a folder");
        std::thread::scope(|scope| {
            let making = scope.spawn(|| {
                for number in 0..300 {
                    let made = folder.path().join(format!("{PREFIX}{number}"));
                    fs::create_dir(&made).expect("made");
                    let _lock = mark(&made).expect("marked");
                    fs::write(made.join("plugin"), "").expect("it is still there");
                }
            });
            while !making.is_finished() {
                remove_abandoned(folder.path());
            }
        });
    }
}
