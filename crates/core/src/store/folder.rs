//! Folders whose names survive a loss of power.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Makes `folder` and those above it that are missing. They are there after a loss of power too.
pub(crate) fn create(folder: &Path) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<_> = folder.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(folder)?;
    missing.iter().try_for_each(|made| sync_names(made.parent().unwrap_or(Path::new("."))))
}

/// Makes the names in `folder` durable.
pub(crate) fn sync_names(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}
