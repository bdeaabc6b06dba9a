//! Tasks as plain processes in an unpacked image: for machines without Docker.
//!
//! An image is unpacked once into `rootfs/<digest>` and shared by its tasks, which are expected not
//! to write to it. As root a program is started in a `chroot` of it; otherwise its paths are
//! resolved below it and everything it opens later is the host's. What it is not: there is no
//! isolation beyond that, limits of CPU and memory are not enforced, and all tasks share the host's
//! network. Therefore every task has a loopback address of its own, told to it as `HOST`, and **the
//! program must listen on `HOST`**, not on 0.0.0.0, or a second task cannot listen on its port.
//!
//! Processes outlive a cloud that was killed, and are found again by what is recorded in
//! `tasks/<task>/<container>.json`: process id and start time. Their output goes to a file, so that
//! nothing breaks while nobody reads it. Only their exit code is lost if they end in between.

mod command;
mod devices;
mod health;
mod identity;
mod launch;
mod output;
mod record;
mod watch;

use std::collections::HashMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal};
use tokio::task::JoinHandle;

use super::{
    ContainerSpec, Options, RuntimeError, Started, StartedContainer, TaskRuntime, TaskSpec, Transport,
};
use crate::image::{Digest, Image, ImageRef, unpack};
use launch::Program;
use record::Record;
use watch::{Subject, Watch};

/// How long a killed process may take to disappear.
const REAP: Duration = Duration::from_secs(5);

/// The process runtime.
#[derive(Debug)]
pub struct ProcessRuntime {
    options: Options,
    /// Held while unpacking: tasks of one service start together and want the same image.
    unpacking: Arc<tokio::sync::Mutex<()>>,
    watches: Mutex<HashMap<String, Vec<JoinHandle<()>>>>,
}

impl ProcessRuntime {
    /// Opens the runtime in its directory.
    ///
    /// # Errors
    /// [`RuntimeError::Unavailable`] when the directory cannot be used.
    pub fn open(options: Options) -> Result<Self, RuntimeError> {
        let runtime = Self { options, unpacking: Arc::default(), watches: Mutex::default() };
        for dir in [runtime.rootfs(), runtime.tasks()] {
            fs::create_dir_all(&dir).map_err(|error| unavailable(&dir, &error))?;
        }
        Ok(runtime)
    }

    fn rootfs(&self) -> PathBuf {
        self.options.directory.join("rootfs")
    }

    fn tasks(&self) -> PathBuf {
        self.options.directory.join("tasks")
    }

    fn watches(&self) -> MutexGuard<'_, HashMap<String, Vec<JoinHandle<()>>>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The image of a container and where it is unpacked.
    async fn image(
        &self,
        task: &TaskSpec,
        container: &ContainerSpec,
    ) -> Result<(Image, PathBuf), RuntimeError> {
        let cannot =
            |message: String| RuntimeError::CannotPull { container: container.name.clone(), message };
        let reference: ImageRef = container
            .image
            .parse()
            .map_err(|_| cannot(format!("invalid reference format: {}", container.image)))?;
        let image =
            self.options.images.find(&task.scope, &reference).map_err(|error| {
                cannot(format!("pull image manifest has been retried 1 time(s): {error}"))
            })?;
        let root = self.rootfs().join(image.config.digest.hex());
        let _unpacking = self.unpacking.lock().await;
        if !root.is_dir() {
            let (store, image, target) = (self.options.images.store().clone(), image.clone(), root.clone());
            let unpacking = tokio::task::spawn_blocking(move || {
                unpack(&store, &image, &target)?;
                devices::provide(&target);
                Ok(())
            });
            let unpacked: Result<(), crate::image::UnpackError> =
                unpacking.await.map_err(|error| cannot(error.to_string()))?;
            unpacked.map_err(|error| cannot(error.to_string()))?;
        }
        Ok((image, root))
    }

    async fn start_all(&self, task: &TaskSpec) -> Result<Started, RuntimeError> {
        check_address(task)?;
        let mut programs = Vec::new();
        for container in &task.containers {
            let (image, root) = self.image(task, container).await?;
            let program = Program::new(&self.options.cloud_id, task, container, &image.run, root)?;
            programs.push((container, program, image.digest));
        }
        let dir = self.tasks().join(&task.id);
        fs::create_dir_all(&dir).map_err(|error| unavailable(&dir, &error))?;
        let mut containers = Vec::new();
        for (container, program, digest) in programs {
            containers.push(self.launch(task, container, &program, digest)?);
        }
        Ok(Started { containers })
    }

    fn launch(
        &self,
        task: &TaskSpec,
        container: &ContainerSpec,
        program: &Program,
        digest: Digest,
    ) -> Result<StartedContainer, RuntimeError> {
        let dir = self.tasks().join(&task.id);
        let output = container.log.is_some().then(|| output::file(&dir, &container.name));
        let cannot =
            |message: String| RuntimeError::CannotStart { container: container.name.clone(), message };
        let child = program.spawn(output.as_deref()).map_err(cannot)?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let Some(pid) = id.and_then(Pid::from_raw) else {
            return Err(cannot("the process ended before it could be recorded".to_owned()));
        };
        let record = Record::of(container, pid);
        let written = record.write(&dir).map_err(|error| unavailable(&dir, &error));
        self.watch(task, container, Subject::Child(Box::new(child)), pid, program.clone());
        written?;
        Ok(StartedContainer {
            name: container.name.clone(),
            runtime_id: pid.as_raw_nonzero().to_string(),
            image_digest: Some(digest),
        })
    }

    fn watch(
        &self,
        task: &TaskSpec,
        container: &ContainerSpec,
        subject: Subject,
        pid: Pid,
        program: Program,
    ) {
        let watch = Watch {
            task: task.id.clone(),
            container: container.name.clone(),
            subject,
            pid,
            dir: self.tasks().join(&task.id),
            log: container.log.clone(),
            health: container.health_check.clone().map(|check| (check, program)),
            events: self.options.events.clone(),
        };
        let handle = tokio::spawn(watch.run());
        self.watches().entry(task.id.clone()).or_default().push(handle);
    }

    /// Ends whatever of a task is recorded, and forgets it.
    async fn end(&self, task: &str, grace: Duration) {
        let dir = self.tasks().join(task);
        let records = Record::all(&dir);
        for record in &records {
            record.signal(Signal::TERM);
        }
        let mut watches = self.watches().remove(task).unwrap_or_default();
        let gone = || records.iter().all(|record| !record.is_alive());
        if !finished(&mut watches, &gone, grace).await {
            for record in &records {
                record.signal(Signal::KILL);
            }
            finished(&mut watches, &gone, REAP).await;
        }
        for record in &records {
            // Children that the program left behind in its process group.
            record.sweep();
        }
        for watch in watches {
            watch.abort();
        }
        if let Err(error) = fs::remove_dir_all(&dir)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, task, "the records of a task were not removed");
        }
    }

    fn recorded(&self) -> Vec<String> {
        let entries = fs::read_dir(self.tasks()).into_iter().flatten().flatten();
        let mut tasks: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        tasks.sort();
        tasks
    }

    fn is_running(&self, task: &str) -> bool {
        Record::all(&self.tasks().join(task)).iter().any(Record::is_alive)
    }

    /// Watches a task that an earlier cloud started. `false` if nothing of it runs.
    fn resume(&self, task: &TaskSpec) -> bool {
        if !self.is_running(&task.id) {
            return false;
        }
        let records = Record::all(&self.tasks().join(&task.id));
        for container in &task.containers {
            let Some(record) = records.iter().find(|record| record.container == container.name) else {
                continue;
            };
            let Some(pid) = record.pid() else { continue };
            // Health checks need the program's surroundings; without the image they rest.
            let program = self.program_again(task, container);
            let mut container = container.clone();
            if program.is_none() {
                container.health_check = None;
            }
            let subject = Subject::Adopted(record.clone());
            self.watch(task, &container, subject, pid, program.unwrap_or_default());
        }
        true
    }

    fn program_again(&self, task: &TaskSpec, container: &ContainerSpec) -> Option<Program> {
        let image = self.options.images.find(&task.scope, &container.image.parse().ok()?).ok()?;
        let root = self.rootfs().join(image.config.digest.hex());
        Program::new(&self.options.cloud_id, task, container, &image.run, root).ok()
    }
}

#[async_trait]
impl TaskRuntime for ProcessRuntime {
    fn name(&self) -> &'static str {
        "process"
    }

    async fn start(&self, task: &TaskSpec) -> Result<Started, RuntimeError> {
        self.abandon(&task.id).await;
        let result = self.start_all(task).await;
        if result.is_err() {
            self.abandon(&task.id).await;
        }
        result
    }

    async fn stop(&self, task: &str, grace: Duration) -> Result<(), RuntimeError> {
        self.end(task, grace).await;
        Ok(())
    }

    async fn adopt(&self, known: &[TaskSpec]) -> Result<Vec<String>, RuntimeError> {
        let mut found = Vec::new();
        for task in known {
            if self.resume(task) {
                found.push(task.id.clone());
            }
        }
        for task in self.recorded().iter().filter(|task| !found.contains(task)) {
            self.end(task, Duration::ZERO).await;
        }
        // A cloud that was killed between starting a process and recording it leaves one like this.
        identity::kill_strays(&self.options.cloud_id, &found);
        found.sort();
        Ok(found)
    }

    async fn list(&self) -> Result<Vec<String>, RuntimeError> {
        Ok(self.recorded().into_iter().filter(|task| self.is_running(task)).collect())
    }

    async fn remove_all(&self) -> Result<(), RuntimeError> {
        for task in self.recorded() {
            self.abandon(&task).await;
        }
        identity::kill_strays(&self.options.cloud_id, &[]);
        let rootfs = self.rootfs();
        let _unpacking = self.unpacking.lock().await;
        fs::remove_dir_all(&rootfs)
            .and_then(|()| fs::create_dir_all(&rootfs))
            .map_err(|error| unavailable(&rootfs, &error))
    }
}

impl ProcessRuntime {
    /// Ends a task without a word to anybody.
    async fn abandon(&self, task: &str) {
        for handle in self.watches().remove(task).unwrap_or_default() {
            handle.abort();
        }
        self.end(task, Duration::ZERO).await;
    }
}

impl Drop for ProcessRuntime {
    /// The processes go on; whoever comes next adopts them. Only the watching ends.
    fn drop(&mut self) {
        for (_, handles) in self.watches().drain() {
            handles.iter().for_each(JoinHandle::abort);
        }
    }
}

/// Whether all watches end, or without watches all processes do, in `time`.
async fn finished(watches: &mut Vec<JoinHandle<()>>, gone: &impl Fn() -> bool, time: Duration) -> bool {
    let deadline = tokio::time::Instant::now() + time;
    loop {
        watches.retain(|watch| !watch.is_finished());
        if watches.is_empty() && gone() {
            return true;
        }
        if tokio::time::Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Finds out before anything is started whether the task's ports are free on its address.
fn check_address(task: &TaskSpec) -> Result<(), RuntimeError> {
    let ports = task.containers.iter().flat_map(|container| &container.ports);
    for port in ports.filter(|port| port.protocol == Transport::Tcp) {
        let address = (task.address, port.port).into();
        if let Err(error) = TcpListener::bind(address) {
            return Err(RuntimeError::Address { address, message: error.to_string() });
        }
    }
    Ok(())
}

fn unavailable(path: &Path, error: &std::io::Error) -> RuntimeError {
    RuntimeError::Unavailable { runtime: "process", message: format!("{}: {error}", path.display()) }
}
