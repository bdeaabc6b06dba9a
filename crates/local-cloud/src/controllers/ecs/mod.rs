//! Runs the tasks that ECS is to run.
//!
//! One loop: look at the world and decide ([`plan`]), let the runtime start and stop what was decided
//! ([`work`]), commit what came of it ([`commit`]). The decisions are a pure function of the world, the
//! time and what is under way; the loop sleeps until one of the three changes.

mod commit;
mod fleet;
mod output;
mod plan;
mod rolling;
mod service;
mod specification;
mod targets;
mod task;
mod work;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::world::{Partition, World};
use output::Outputs;
use pipeline_data_plane::runtime::{TaskEvent, TaskRuntime, TaskSpec};
use plan::Step;
use work::Done;

/// Bursts of changes are looked at together.
const SETTLE: Duration = Duration::from_millis(5);

/// A runtime that does not answer is asked again after this.
const RETRY: Duration = Duration::from_secs(2);

/// The controller of all tasks.
pub(crate) struct EcsController {
    pub(crate) world: World,
    pub(crate) clock: Clock,
    pub(crate) runtime: Arc<dyn TaskRuntime>,
    /// Exits and health of the runtime's tasks.
    pub(crate) events: mpsc::UnboundedReceiver<TaskEvent>,
}

/// What the controller knows beside the world; lost with the process.
#[derive(Debug, Default)]
struct Memory {
    /// Tasks that the runtime is starting or stopping.
    busy: HashSet<String>,
    /// Tasks that the runtime has.
    alive: HashSet<String>,
    /// Tasks that the runtime could not be asked for, until when.
    waiting: HashMap<String, Timestamp>,
}

impl Memory {
    /// Whether the runtime may be asked to do something with a task; remembers when it may not yet.
    fn is_free(&self, id: &str, now: Timestamp, wake: &mut Wake) -> bool {
        match self.waiting.get(id) {
            Some(until) if *until > now => {
                wake.at(*until);
                false
            }
            _ => !self.busy.contains(id),
        }
    }
}

/// When to look again although nothing changed.
#[derive(Debug, Default, Clone, Copy)]
struct Wake(Option<Timestamp>);

impl Wake {
    fn at(&mut self, time: Timestamp) {
        self.0 = Some(self.0.map_or(time, |known| known.min(time)));
    }
}

/// Where a task is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct TaskName {
    place: Partition,
    cluster: String,
    id: String,
}

/// What the runtime is to do.
#[derive(Debug)]
enum Action {
    Start { name: TaskName, spec: TaskSpec },
    Stop { id: String, grace: Duration },
}

impl EcsController {
    /// Runs until it is dropped. Tasks go on then, and are adopted by the next.
    pub(crate) async fn run(mut self) {
        let mut memory = Memory::default();
        let mut changes = self.world.watch();
        self.adopt(&mut memory).await;
        let mut working = JoinSet::new();
        loop {
            changes.mark_unchanged();
            let step = self.look(&mut memory);
            for action in step.actions {
                self.begin(action, &mut memory, &mut working);
            }
            let wake = sleep_until(self.clock.now(), step.wake);
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    tokio::time::sleep(SETTLE).await;
                }
                Some(event) = self.events.recv() => commit::event(&self.world, self.clock.now(), &event),
                Some(done) = working.join_next() => {
                    if let Ok(done) = done {
                        self.finish(done, &mut memory);
                    }
                }
                () = wake => {}
            }
        }
    }

    fn look(&self, memory: &mut Memory) -> Step {
        let now = self.clock.now();
        let logs = Outputs::new(&self.world);
        self.world.write_if(|state| {
            let step = plan::step(state, now, self.clock, &logs, memory);
            let changed = step.changed;
            (step, changed)
        })
    }

    fn begin(&self, action: Action, memory: &mut Memory, working: &mut JoinSet<Done>) {
        let runtime = Arc::clone(&self.runtime);
        match action {
            Action::Start { name, spec } => {
                memory.busy.insert(name.id.clone());
                memory.alive.insert(name.id.clone());
                working.spawn(work::start(runtime, name, spec));
            }
            Action::Stop { id, grace } => {
                memory.busy.insert(id.clone());
                working.spawn(work::stop(runtime, id, grace));
            }
        }
    }

    fn finish(&mut self, done: Done, memory: &mut Memory) {
        let now = self.clock.now();
        // A stop reports exits before it returns: they are told first.
        while let Ok(event) = self.events.try_recv() {
            commit::event(&self.world, now, &event);
        }
        let retry = self.clock.after(now, RETRY);
        match done {
            Done::Started { name, result } => {
                memory.busy.remove(&name.id);
                match result {
                    Ok(started) => commit::started(&self.world, now, &name, &started),
                    Err(error) if error.is_retryable() => {
                        tracing::warn!(task = %name.id, %error, "the task was not started; trying again");
                        memory.waiting.insert(name.id, retry);
                    }
                    Err(error) => {
                        memory.alive.remove(&name.id);
                        commit::not_started(&self.world, now, &name, &error);
                    }
                }
            }
            Done::Stopped { id, result } => {
                memory.busy.remove(&id);
                match result {
                    Ok(()) => {
                        memory.alive.remove(&id);
                        memory.waiting.remove(&id);
                        commit::stopped(&self.world, now, &id);
                    }
                    Err(error) => {
                        tracing::warn!(task = %id, %error, "the task was not stopped; trying again");
                        memory.waiting.insert(id, retry);
                    }
                }
            }
        }
    }

    /// Takes back the tasks that outlived the last cloud.
    async fn adopt(&self, memory: &mut Memory) {
        let logs = Outputs::new(&self.world);
        let known = self.world.read(|state| plan::believed_running(state, &logs));
        let found = loop {
            match self.runtime.adopt(&known).await {
                Ok(found) => break found,
                Err(error) => {
                    tracing::warn!(%error, "tasks of an earlier run were not looked for; trying again");
                    self.clock.sleep(RETRY).await;
                }
            }
        };
        memory.alive = found.into_iter().collect();
        commit::lost(&self.world, self.clock.now(), &known, &memory.alive);
    }
}

async fn sleep_until(now: Timestamp, wake: Wake) {
    match wake.0 {
        Some(time) => {
            let left = time.duration_since(now);
            tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
