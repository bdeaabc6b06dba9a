//! Telling processes apart, also from later ones with the same id.

use rustix::process::Pid;

/// Name of the variable that every process of a cloud carries: `<cloud>/<task>`.
pub(super) const MARK: &str = "PIPELINE_LOCAL_CLOUD_TASK";

/// A text that no other process with this id has had since the machine was started; `None` when it
/// does not run (or has ended and only waits to be collected).
#[cfg(target_os = "linux")]
pub(super) fn identity(pid: Pid) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // proc_pid_stat(5): the name in parentheses may contain anything, so count from behind it.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let start = fields.nth(18)?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Some(format!("{}/{start}", boot.trim()))
}

/// The same by `ps`, where there is no `/proc`.
#[cfg(not(target_os = "linux"))]
pub(super) fn identity(pid: Pid) -> Option<String> {
    let id = pid.as_raw_nonzero().to_string();
    let output = std::process::Command::new("ps").args(["-o", "stat=,lstart=", "-p", &id]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (state, start) = text.trim().split_once(' ')?;
    (!state.starts_with('Z')).then(|| start.trim().to_owned())
}

/// Kills processes that carry this cloud's mark but belong to none of `tasks`.
#[cfg(target_os = "linux")]
pub(super) fn kill_strays(cloud: &str, tasks: &[String]) {
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = id.and_then(Pid::from_raw) else { continue };
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
        let mark = environment.split(|byte| *byte == 0).find_map(|variable| {
            let (name, value) = std::str::from_utf8(variable).ok()?.split_once('=')?;
            let (owner, task) = value.split_once('/')?;
            (name == MARK && owner == cloud).then(|| task.to_owned())
        });
        if mark.is_some_and(|task| !tasks.contains(&task)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Without `/proc` nothing can be told about a process that was never recorded.
#[cfg(not(target_os = "linux"))]
pub(super) fn kill_strays(_cloud: &str, _tasks: &[String]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_keeps_its_identity_and_loses_it() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        let first = identity(pid).unwrap();
        assert_eq!(identity(pid).as_ref(), Some(&first));
        // The test itself may have begun in the same hundredth of a second.
        assert_ne!(identity(Pid::INIT), Some(first));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(identity(pid), None);
    }
}
