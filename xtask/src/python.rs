//! AWS clients that are not ours, in a Python environment below `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, StepError};

/// The folder of an environment that has `packages`, made and filled on first use.
///
/// A stamp file names what is in it, so that a changed list fills it anew.
pub fn environment(name: &str, packages: &[&str]) -> Result<PathBuf, StepError> {
    let folder = shell::target().join(name);
    let stamp = folder.join("packages");
    let wanted = packages.join(" ");
    if std::fs::read_to_string(&stamp).is_ok_and(|present| present == wanted) {
        return Ok(folder);
    }
    println!("installing {wanted} into {}", folder.display());
    create(&folder)?;
    let mut pip = Command::new(folder.join("bin/pip"));
    shell::quiet(pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(packages))?;
    std::fs::write(&stamp, wanted).map_err(StepError::file(&stamp))?;
    Ok(folder)
}

fn create(folder: &Path) -> Result<(), StepError> {
    let venv = || shell::quiet(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder));
    let Err(error) = venv() else { return Ok(()) };
    // Debian splits `venv` off; elsewhere the first error is the one to show.
    if !Path::new("/etc/debian_version").exists() {
        return Err(error);
    }
    apt_install(&["python3", "python3-venv"])?;
    venv().map(|_| ())
}

/// Installs Debian packages; needs root.
pub fn apt_install(packages: &[&str]) -> Result<(), StepError> {
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    shell::quiet(apt().args(["update", "--quiet"]))?;
    shell::quiet(apt().args(["install", "--quiet", "--yes", "--no-install-recommends"]).args(packages))?;
    Ok(())
}
