//! Watching one process: its output, its health, its end.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Pid;
use tokio::process::Child;
use tokio::sync::mpsc::UnboundedSender;

use super::super::{HealthCheck, LogSink, TaskEvent, TaskExit};
use super::health;
use super::launch::Program;
use super::output::Output;
use super::record::Record;

/// Between two looks at the output file.
const OUTPUT: Duration = Duration::from_millis(200);
/// Between two looks at a process that is not our child.
const ADOPTED: Duration = Duration::from_millis(200);

/// Whose end is awaited.
pub(super) enum Subject {
    /// A process that this cloud started.
    Child(Box<Child>),
    /// One that an earlier cloud started; its exit code is for its parent only.
    Adopted(Record),
}

/// Everything needed to watch a process.
pub(super) struct Watch {
    pub(super) task: String,
    pub(super) container: String,
    pub(super) subject: Subject,
    pub(super) pid: Pid,
    pub(super) dir: PathBuf,
    pub(super) log: Option<Arc<dyn LogSink>>,
    pub(super) health: Option<(HealthCheck, Program)>,
    pub(super) events: UnboundedSender<TaskEvent>,
}

impl Watch {
    /// Watches until the process ended, then reports it: after its last line, and once.
    pub(super) async fn run(mut self) {
        let mut output = match &self.log {
            Some(_) => Output::open(&self.dir, &self.container),
            None => None,
        };
        let exit_code = {
            let Self { subject, log, health, events, task, container, .. } = &mut self;
            let mut end = std::pin::pin!(end(subject));
            let mut health = std::pin::pin!(async {
                match health {
                    Some((check, program)) => {
                        let report = |healthy| {
                            let (task, container) = (task.clone(), container.clone());
                            let _ = events.send(TaskEvent::Health { task, container, healthy });
                        };
                        health::check(check, program, report).await;
                    }
                    None => std::future::pending().await,
                }
            });
            let mut look = tokio::time::interval(OUTPUT);
            loop {
                tokio::select! {
                    exit_code = &mut end => break exit_code,
                    () = &mut health => {}
                    _ = look.tick(), if output.is_some() => deliver(&mut output, log.as_deref(), false),
                }
            }
        };
        deliver(&mut output, self.log.as_deref(), true);
        // What the program started and left behind goes with it, as in a container.
        let _ = rustix::process::kill_process_group(self.pid, rustix::process::Signal::KILL);
        let exit = TaskExit { task: self.task, container: self.container, exit_code, reason: None };
        // Nobody listens any more when the cloud stops.
        let _ = self.events.send(TaskEvent::Exited(exit));
    }
}

fn deliver(output: &mut Option<Output>, log: Option<&dyn LogSink>, end: bool) {
    if let (Some(reader), Some(log)) = (output.as_mut(), log)
        && let Err(error) = reader.deliver(log, end)
    {
        tracing::warn!(%error, "a task's output cannot be read");
        *output = None;
    }
}

async fn end(subject: &mut Subject) -> Option<i32> {
    match subject {
        Subject::Child(child) => child.wait().await.ok().and_then(exit_code),
        Subject::Adopted(record) => {
            while record.is_alive() {
                tokio::time::sleep(ADOPTED).await;
            }
            None
        }
    }
}

/// A signal counts as 128 plus its number, as with Docker.
fn exit_code(status: ExitStatus) -> Option<i32> {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal))
}
