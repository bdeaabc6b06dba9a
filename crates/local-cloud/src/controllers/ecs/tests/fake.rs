//! A runtime that runs nothing and does what the test says.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use pipeline_data_plane::runtime::{
    RuntimeError, Started, StartedContainer, TaskEvent, TaskExit, TaskRuntime, TaskSpec,
};

#[derive(Debug)]
pub(super) struct FakeRuntime {
    inner: Mutex<Inner>,
    events: Mutex<mpsc::UnboundedSender<TaskEvent>>,
}

#[derive(Debug, Default)]
struct Inner {
    running: BTreeMap<String, TaskSpec>,
    /// Images that cannot be pulled.
    broken: HashSet<String>,
    /// The next so many calls are not answered.
    unavailable: u32,
    /// How many tasks ran at once, at most.
    most: usize,
    /// Ids in the order in which they were stopped.
    stopped: Vec<String>,
}

impl FakeRuntime {
    pub(super) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<TaskEvent>) {
        let (sender, events) = mpsc::unbounded_channel();
        (Arc::new(Self { inner: Mutex::default(), events: Mutex::new(sender) }), events)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events go to a new controller.
    pub(super) fn reconnect(&self) -> mpsc::UnboundedReceiver<TaskEvent> {
        let (sender, events) = mpsc::unbounded_channel();
        *self.events.lock().expect("lock") = sender;
        events
    }

    pub(super) fn running(&self) -> Vec<String> {
        self.inner().running.keys().cloned().collect()
    }

    pub(super) fn specs(&self) -> Vec<TaskSpec> {
        self.inner().running.values().cloned().collect()
    }

    pub(super) fn most(&self) -> usize {
        self.inner().most
    }

    pub(super) fn break_image(&self, image: &str) {
        self.inner().broken.insert(image.to_owned());
    }

    pub(super) fn be_unavailable(&self, calls: u32) {
        self.inner().unavailable = calls;
    }

    /// The first container of a task ends by itself.
    pub(super) fn crash(&self, id: &str, code: i32) {
        if let Some(spec) = self.inner().running.remove(id) {
            self.send(&spec, code);
        }
    }

    /// A task vanishes while nobody looks.
    pub(super) fn lose(&self, id: &str) {
        self.inner().running.remove(id);
    }

    fn send(&self, spec: &TaskSpec, code: i32) {
        for container in &spec.containers {
            let exit = TaskExit {
                task: spec.id.clone(),
                container: container.name.clone(),
                exit_code: Some(code),
                reason: None,
            };
            let _ = self.events.lock().expect("lock").send(TaskEvent::Exited(exit));
        }
    }

    fn check(&self) -> Result<(), RuntimeError> {
        let mut inner = self.inner();
        if inner.unavailable > 0 {
            inner.unavailable -= 1;
            return Err(RuntimeError::Unavailable { runtime: "fake", message: "asleep".into() });
        }
        Ok(())
    }
}

#[async_trait]
impl TaskRuntime for FakeRuntime {
    fn name(&self) -> &'static str {
        "fake"
    }

    async fn start(&self, task: &TaskSpec) -> Result<Started, RuntimeError> {
        self.check()?;
        tokio::task::yield_now().await;
        let mut inner = self.inner();
        if let Some(container) = task.containers.iter().find(|it| inner.broken.contains(&it.image)) {
            return Err(RuntimeError::CannotPull {
                container: container.name.clone(),
                message: "no such image".into(),
            });
        }
        inner.running.insert(task.id.clone(), task.clone());
        inner.most = inner.most.max(inner.running.len());
        let started = |name: &str| StartedContainer {
            name: name.to_owned(),
            runtime_id: format!("fake-{}", task.id),
            image_digest: None,
        };
        Ok(Started { containers: task.containers.iter().map(|it| started(&it.name)).collect() })
    }

    async fn stop(&self, task: &str, _grace: Duration) -> Result<(), RuntimeError> {
        self.check()?;
        tokio::task::yield_now().await;
        let gone = self.inner().running.remove(task);
        self.inner().stopped.push(task.to_owned());
        if let Some(spec) = gone {
            self.send(&spec, 143);
        }
        Ok(())
    }

    async fn adopt(&self, known: &[TaskSpec]) -> Result<Vec<String>, RuntimeError> {
        self.check()?;
        let mut inner = self.inner();
        inner.running.retain(|id, _| known.iter().any(|spec| spec.id == *id));
        Ok(inner.running.keys().cloned().collect())
    }

    async fn list(&self) -> Result<Vec<String>, RuntimeError> {
        Ok(self.running())
    }

    async fn remove_all(&self) -> Result<(), RuntimeError> {
        self.inner().running.clear();
        Ok(())
    }
}
