//! Watching one container: its output, its health, its end.

use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::models::{ContainerInspectResponse, HealthStatusEnum};
use bollard::query_parameters::{LogsOptionsBuilder, WaitContainerOptionsBuilder};
use futures::StreamExt as _;
use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;

use super::super::{LogSink, TaskEvent, TaskExit};
use super::status;

/// Between two looks at a health status, which the daemon does not push.
const HEALTH: Duration = Duration::from_secs(1);
/// Before a daemon that went away is asked again.
const AWAY: Duration = Duration::from_secs(1);
/// How long the last output may take to arrive after the end.
const DRAIN: Duration = Duration::from_secs(3);

/// Everything needed to watch a container.
pub(super) struct Watch {
    pub(super) docker: Docker,
    pub(super) id: String,
    pub(super) task: String,
    pub(super) container: String,
    /// Whether it has a health check.
    pub(super) checked: bool,
    pub(super) log: Option<Arc<dyn LogSink>>,
    pub(super) events: UnboundedSender<TaskEvent>,
}

impl Watch {
    /// Watches until the container ended, then reports it: after its last line, and once.
    pub(super) async fn run(self) {
        let end = {
            let mut end = std::pin::pin!(self.end());
            let mut health = std::pin::pin!(self.health());
            let mut output = std::pin::pin!(self.output());
            let mut drained = false;
            loop {
                tokio::select! {
                    end = &mut end => {
                        if !drained {
                            // The daemon closes the log shortly after the end.
                            let _ = tokio::time::timeout(DRAIN, &mut output).await;
                        }
                        break end;
                    }
                    () = &mut output, if !drained => drained = true,
                    () = &mut health => {}
                }
            }
        };
        // Nobody listens any more when the cloud stops.
        let _ = self.events.send(TaskEvent::Exited(end));
    }

    fn exit(&self, exit_code: Option<i32>, reason: Option<String>) -> TaskExit {
        TaskExit { task: self.task.clone(), container: self.container.clone(), exit_code, reason }
    }

    /// Waits for the end, through any absence of the daemon.
    async fn end(&self) -> TaskExit {
        loop {
            match self.docker.inspect_container(&self.id, None).await {
                Ok(container) if is_over(&container) => return self.exit_of(&container),
                Ok(_) => {
                    let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
                    let mut wait = std::pin::pin!(self.docker.wait_container(&self.id, Some(options)));
                    if let Some(Err(error)) = wait.next().await
                        && !is_exit(&error)
                    {
                        tracing::debug!(id = self.id, %error, "lost a container's wait");
                        tokio::time::sleep(AWAY).await;
                    }
                }
                Err(error) if status(&error) == Some(404) => {
                    let reason = "The container was removed outside of the cloud".to_owned();
                    return self.exit(None, Some(reason));
                }
                Err(error) => {
                    tracing::debug!(id = self.id, %error, "the Docker daemon does not answer");
                    tokio::time::sleep(AWAY).await;
                }
            }
        }
    }

    fn exit_of(&self, container: &ContainerInspectResponse) -> TaskExit {
        let state = container.state.clone().unwrap_or_default();
        let code = state.exit_code.and_then(|code| i32::try_from(code).ok());
        let killed = state.oom_killed == Some(true);
        let reason = killed.then(|| "OutOfMemoryError: Container killed due to memory usage".to_owned());
        self.exit(code, reason.or_else(|| state.error.filter(|text| !text.is_empty())))
    }

    /// Reports every change of the verdict; never ends.
    async fn health(&self) {
        if !self.checked {
            return std::future::pending().await;
        }
        let mut last = None;
        loop {
            tokio::time::sleep(HEALTH).await;
            let Ok(container) = self.docker.inspect_container(&self.id, None).await else { continue };
            let verdict =
                match container.state.and_then(|state| state.health).and_then(|health| health.status) {
                    Some(HealthStatusEnum::HEALTHY) => true,
                    Some(HealthStatusEnum::UNHEALTHY) => false,
                    _ => continue,
                };
            if last.replace(verdict) != Some(verdict) {
                let _ = self.events.send(TaskEvent::Health {
                    task: self.task.clone(),
                    container: self.container.clone(),
                    healthy: verdict,
                });
            }
        }
    }

    /// Delivers the output until the container ended or was removed.
    async fn output(&self) {
        let Some(log) = &self.log else { return };
        let mut last = log.last();
        loop {
            let seconds = last.map_or(0, Timestamp::as_second);
            let options = LogsOptionsBuilder::default()
                .follow(true)
                .stdout(true)
                .stderr(true)
                .timestamps(true)
                .since(i32::try_from(seconds).unwrap_or(i32::MAX))
                .build();
            let mut lines = Lines::new(last);
            let mut frames = std::pin::pin!(self.docker.logs(&self.id, Some(options)));
            let mut lost = false;
            while let Some(frame) = frames.next().await {
                match frame {
                    Ok(frame) => lines.frame(&frame, |at, line| {
                        last = Some(at);
                        log.line(at, line);
                    }),
                    Err(error) if status(&error) == Some(404) => return,
                    Err(_) => lost = true,
                }
            }
            if !lost {
                return;
            }
            tokio::time::sleep(AWAY).await;
        }
    }
}

fn is_over(container: &ContainerInspectResponse) -> bool {
    let state = container.state.as_ref();
    state.is_some_and(|state| state.running == Some(false) && state.restarting != Some(true))
}

/// The client reports an exit code other than 0 as an error.
fn is_exit(error: &bollard::errors::Error) -> bool {
    matches!(error, bollard::errors::Error::DockerContainerWaitError { .. })
}

/// Puts lines together: the daemon sends one frame a line, and long lines in several.
struct Lines {
    after: Option<Timestamp>,
    out: String,
    err: String,
}

impl Lines {
    fn new(after: Option<Timestamp>) -> Self {
        Self { after, out: String::new(), err: String::new() }
    }

    fn frame(&mut self, frame: &LogOutput, mut deliver: impl FnMut(Timestamp, &str)) {
        let partial = if matches!(frame, LogOutput::StdErr { .. }) { &mut self.err } else { &mut self.out };
        let text = String::from_utf8_lossy(frame.as_ref());
        let Some((stamp, rest)) = text.split_once(' ') else { return };
        let Ok(at) = stamp.parse::<Timestamp>() else { return };
        partial.push_str(rest);
        if partial.ends_with('\n') {
            if self.after.is_none_or(|after| at > after) {
                deliver(at, partial.trim_end_matches(['\n', '\r']));
            }
            partial.clear();
        }
    }
}
