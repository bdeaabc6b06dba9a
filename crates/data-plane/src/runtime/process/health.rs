//! Health checks of a container, run in its surroundings.

use tokio::time::{Instant, sleep, timeout};

use super::super::HealthCheck;
use super::launch::Program;

/// Runs the check for as long as it is polled, and reports every change of its verdict.
pub(super) async fn check(check: &HealthCheck, program: &Program, mut report: impl FnMut(bool)) {
    let Some(line) = line(&check.command) else { return std::future::pending().await };
    let program = program.with_line(line);
    let started = Instant::now();
    let mut failures = 0;
    let mut verdict = None;
    loop {
        sleep(check.interval).await;
        if passes(check, &program).await {
            failures = 0;
            if verdict.replace(true) != Some(true) {
                report(true);
            }
        } else if verdict.is_some() || started.elapsed() >= check.start_period {
            failures += 1;
            if failures >= check.retries && verdict.replace(false) != Some(false) {
                report(false);
            }
        }
    }
}

/// `CMD` runs a program, `CMD-SHELL` a line of shell.
fn line(command: &[String]) -> Option<Vec<String>> {
    let (kind, rest) = command.split_first()?;
    match kind.as_str() {
        "CMD" if !rest.is_empty() => Some(rest.to_vec()),
        "CMD-SHELL" => Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), rest.join(" ")]),
        _ => None,
    }
}

async fn passes(check: &HealthCheck, program: &Program) -> bool {
    let Ok(mut child) = program.spawn(None) else { return false };
    match timeout(check.timeout, child.wait()).await {
        Ok(status) => status.is_ok_and(|status| status.success()),
        Err(_) => {
            let _ = child.kill().await;
            false
        }
    }
}
