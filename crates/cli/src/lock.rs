//! `pipeline lock`: who holds an environment, and taking the lock from one that is gone.

use std::io::{self, Write};
use std::time::Duration;

use jiff::Timestamp;
use pipeline_core::{EngineError, LockStatus};

use crate::arguments::{FileOptions, LockCommand};
use crate::exit::Exit;
use crate::run::{self, CommandError, finish};
use crate::state;

/// Runs a command on the lock of an environment.
pub(crate) async fn run(command: LockCommand) -> Exit {
    match command {
        LockCommand::Status(options) => finish(status(&options).await, options.json),
        LockCommand::Break(options) => finish(take(&options).await, options.json),
    }
}

async fn status(options: &FileOptions) -> Result<Exit, CommandError> {
    let pipeline = run::load_where(options)?;
    let environment = &pipeline.id().environment;
    let status = state::open(&pipeline).await?.lock_status(environment).await.map_err(EngineError::from)?;
    let mut out = io::stdout().lock();
    if options.json {
        writeln!(out, "{}", as_json(&status))?;
    } else {
        writeln!(out, "{}", in_words(environment, &status))?;
    }
    Ok(Exit::Succeeded)
}

pub(crate) fn as_json(status: &LockStatus) -> serde_json::Value {
    match status {
        LockStatus::Free => serde_json::json!({ "held": false }),
        LockStatus::Held { holder, epoch, lease, renewed } => serde_json::json!({
            "held": true,
            "holder": holder,
            "epoch": epoch,
            "lease_seconds": lease.map(|lease| lease.as_secs()),
            "renewed": renewed,
        }),
    }
}

/// Whether the holder has not renewed its lease for so long that it must be gone, at `now` of this machine. Its clock may
/// be ahead of the store's by as much as a lease lives before that is said of a holder that lives; whoever wants the lock
/// goes by the store's clock alone.
pub(crate) fn is_silent(status: &LockStatus, now: Timestamp) -> bool {
    match status {
        LockStatus::Held { lease: Some(lease), renewed: Some(renewed), .. } => {
            Duration::try_from(now.duration_since(*renewed)).is_ok_and(|age| age > *lease * 2)
        }
        _ => false,
    }
}

pub(crate) fn in_words(environment: &str, status: &LockStatus) -> String {
    let LockStatus::Held { holder, lease, renewed, .. } = status else {
        return format!("nobody holds `{environment}`");
    };
    let whom = holder.as_ref().map_or_else(|| "another run".to_owned(), ToString::to_string);
    let free = match lease {
        Some(lease) => {
            let renewed = renewed.map(|at| format!(", which was at {at}")).unwrap_or_default();
            let gone = if is_silent(status, Timestamp::now()) {
                ": it is gone, and the next run takes it"
            } else {
                ""
            };
            format!("free {} s after its last renewal{renewed}{gone}", lease.as_secs())
        }
        None => "free as soon as that process ends".to_owned(),
    };
    format!("`{environment}` is held: {whom}; {free}")
}

async fn take(options: &FileOptions) -> Result<Exit, CommandError> {
    let pipeline = run::load_where(options)?;
    let environment = &pipeline.id().environment;
    let broken = state::open(&pipeline).await?.break_lock(environment).await.map_err(EngineError::from)?;
    let mut out = io::stdout().lock();
    if options.json {
        writeln!(out, "{}", serde_json::json!({ "taken_from": broken }))?;
        return Ok(Exit::Succeeded);
    }
    match broken {
        Some(holder) => writeln!(out, "the lock of `{environment}` was taken from: {holder}")?,
        None => writeln!(out, "nobody holds `{environment}`")?,
    }
    Ok(Exit::Succeeded)
}

#[cfg(test)]
mod tests {
    use pipeline_core::Holder;

    use super::*;

    #[test]
    fn a_status_says_who_and_for_how_long() {
        assert_eq!(in_words("staging", &LockStatus::Free), "nobody holds `staging`");
        let holder: Holder = serde_json::from_value(serde_json::json!({
            "run": "01932d07-4a00-7000-8000-000000000001",
            "pid": 7,
            "host": "ci-3",
            "since": "2026-11-25T10:00:00Z",
        }))
        .expect("a holder");
        let held =
            |lease, renewed| LockStatus::Held { holder: Some(holder.clone()), epoch: 3, lease, renewed };
        let renewed = "2026-11-25T10:04:07Z".parse().expect("a time");
        let leased = held(Some(Duration::from_secs(30)), Some(renewed));
        let who = "run 01932d07-4a00-7000-8000-000000000001, process 7 on ci-3, since 2026-11-25T10:00:00Z";
        assert_eq!(
            in_words("staging", &held(None, None)),
            format!("`staging` is held: {who}; free as soon as that process ends")
        );
        assert_eq!(
            in_words("staging", &leased),
            format!(
                "`staging` is held: {who}; free 30 s after its last renewal, which was at 2026-11-25T10:04:07Z: it is \
                 gone, and the next run takes it"
            )
        );
        let after = |seconds| renewed + jiff::SignedDuration::from_secs(seconds);
        for (seconds, gone) in [(-100, false), (0, false), (60, false), (61, true)] {
            assert_eq!(is_silent(&leased, after(seconds)), gone, "{seconds}");
        }
        assert!(!is_silent(&held(None, None), after(1000)), "a lock on local files ends with its process");
        assert_eq!(as_json(&leased)["renewed"], "2026-11-25T10:04:07Z");
        assert_eq!(as_json(&LockStatus::Free)["held"], false);
    }
}
