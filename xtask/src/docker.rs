//! A Docker daemon for the tests that need one.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::shell::{self, StepError};

/// How long a daemon may take to answer after it was started.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether there is a daemon that answers.
pub fn answers() -> bool {
    shell::quiet(Command::new("docker").args(["version", "--format", "{{.Server.Version}}"])).is_ok()
}

/// Makes sure that a daemon answers, if that can be done: where this runs as root on Debian or
/// Ubuntu, the distribution's `docker.io` is installed and started. Says why not otherwise.
pub fn ensure() -> Result<(), String> {
    if answers() {
        return Ok(());
    }
    if !is_root() || !Path::new("/etc/debian_version").exists() {
        return Err("no Docker daemon answers, and it is installed only as root on Debian or Ubuntu".into());
    }
    install().and_then(|()| start()).map_err(|error| error.to_string())
}

pub fn is_root() -> bool {
    shell::quiet(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

fn install() -> Result<(), StepError> {
    if Path::new("/usr/sbin/dockerd").exists() || Path::new("/usr/bin/dockerd").exists() {
        return Ok(());
    }
    println!("installing the distribution's docker.io");
    crate::python::apt_install(&["docker.io"])
}

fn start() -> Result<(), StepError> {
    let log = shell::target().join("dockerd.log");
    std::fs::create_dir_all(shell::target()).map_err(StepError::file(shell::target()))?;
    let output = File::create(&log).map_err(StepError::file(&log))?;
    let errors = output.try_clone().map_err(StepError::file(&log))?;
    println!("starting dockerd; its log is {}", log.display());
    let mut daemon = Command::new("dockerd")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(|source| StepError::Start { program: "dockerd".into(), source })?;
    let began = Instant::now();
    while !answers() {
        if let Ok(Some(status)) = daemon.try_wait() {
            return Err(StepError::Other(format!("dockerd ended ({status}): see {}", log.display())));
        }
        if began.elapsed() > PATIENCE {
            return Err(StepError::Other(format!("dockerd does not answer: see {}", log.display())));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
