//! What is written down about a process, so that a later cloud finds it.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::super::ContainerSpec;
use super::identity::identity;

/// One process of a task. It leads a process group of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// Name of the container.
    pub(super) container: String,
    /// Its process id, which is also the id of its group.
    process: i32,
    /// What tells it from a later process with the same id; `None` if it was already gone.
    identity: Option<String>,
}

impl Record {
    pub(super) fn of(container: &ContainerSpec, pid: Pid) -> Self {
        Self {
            container: container.name.clone(),
            process: pid.as_raw_nonzero().get(),
            identity: identity(pid),
        }
    }

    /// Everything recorded in a task's directory; nothing if there is none.
    pub(super) fn all(dir: &Path) -> Vec<Self> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let files = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "json"));
        files.filter_map(|path| serde_json::from_slice(&fs::read(path).ok()?).ok()).collect()
    }

    /// Writes the record, whole or not at all.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.persist(dir.join(format!("{}.json", self.container)))?;
        Ok(())
    }

    pub(super) fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.process)
    }

    /// Whether this very process runs.
    pub(super) fn is_alive(&self) -> bool {
        let now = self.pid().and_then(identity);
        now.is_some() && now == self.identity
    }

    /// Signals the process and its group, if it is still this process.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid().filter(|_| self.is_alive()) {
            // Gone in between is fine.
            let _ = rustix::process::kill_process_group(pid, signal);
        }
    }

    /// Kills what is left of the group after its leader ended. A group id is not given to a new
    /// process as long as the group has members, so this hits nobody else.
    pub(super) fn sweep(&self) {
        if let Some(pid) = self.pid().filter(|pid| self.identity.is_some() && identity(*pid).is_none()) {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }
}
