//! Tasks as containers of a Docker daemon.
//!
//! Images of the cloud's registry are given to the daemon as archives (`docker load`), so no
//! registry has to be reachable from it and no credentials are needed. Containers carry labels with
//! the cloud and the task, which is how they are found again after a restart. Ports are published on
//! the task's own loopback address; nobody ever speaks to a container's bridge address.

mod image;
mod spec;
mod watch;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::{
    CreateContainerOptions, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    StopContainerOptionsBuilder,
};
use futures::future::join_all;
use tokio::task::JoinHandle;

use super::{ContainerSpec, Options, RuntimeError, Started, StartedContainer, TaskRuntime, TaskSpec};
use image::ImageLoader;
use watch::Watch;

/// Label with the cloud's id.
const CLOUD: &str = "pipeline.local-cloud";
/// Label with the task's id.
const TASK: &str = "pipeline.local-cloud.task";
/// Label with the container's name in the task.
const CONTAINER: &str = "pipeline.local-cloud.container";

/// How long the daemon may take to answer whether it is there.
const PING: Duration = Duration::from_secs(2);
/// How long a stopped container's last output and exit may take to arrive.
const DRAIN: Duration = Duration::from_secs(5);

/// The Docker runtime.
#[derive(Debug)]
pub struct DockerRuntime {
    docker: Docker,
    options: Options,
    images: ImageLoader,
    watches: Mutex<HashMap<String, Vec<JoinHandle<()>>>>,
}

impl DockerRuntime {
    /// Connects to the daemon that `DOCKER_HOST` names, or the local one.
    ///
    /// # Errors
    /// [`RuntimeError::Unavailable`] when it does not answer.
    pub async fn connect(options: Options) -> Result<Self, RuntimeError> {
        let docker = Docker::connect_with_defaults().map_err(|error| unavailable(&error))?;
        let pinged = tokio::time::timeout(PING, docker.ping()).await;
        pinged.map_err(|_| unavailable(&"no answer in two seconds"))?.map_err(|error| unavailable(&error))?;
        let docker = docker.negotiate_version().await.map_err(|error| unavailable(&error))?;
        let images = ImageLoader::new(docker.clone(), &options);
        Ok(Self { docker, options, images, watches: Mutex::default() })
    }

    /// All containers of this cloud, or of one of its tasks, running or not.
    async fn containers(&self, task: Option<&str>) -> Result<Vec<ContainerSummary>, RuntimeError> {
        let mut labels = vec![format!("{CLOUD}={}", self.options.cloud_id)];
        labels.extend(task.map(|task| format!("{TASK}={task}")));
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        self.docker.list_containers(Some(options)).await.map_err(|error| unavailable(&error))
    }

    async fn create(
        &self,
        task: &TaskSpec,
        container: &ContainerSpec,
        image: &str,
        network: Option<&str>,
    ) -> Result<String, RuntimeError> {
        let body = spec::body(&self.options.cloud_id, task, container, image, network);
        let name = format!("{}-{}-{}", self.options.cloud_id, task.id, container.name);
        let options = CreateContainerOptions { name: Some(name), ..Default::default() };
        let created = self.docker.create_container(Some(options), body).await.map_err(|error| {
            refused(&error, |message| RuntimeError::CannotCreate {
                container: container.name.clone(),
                message,
            })
        })?;
        Ok(created.id)
    }

    async fn run(&self, task: &TaskSpec, container: &ContainerSpec, id: &str) -> Result<(), RuntimeError> {
        self.docker.start_container(id, None).await.map_err(|error| {
            refused(&error, |message| {
                let taken = message.contains("address already in use")
                    || message.contains("port is already allocated")
                    || message.contains("cannot assign requested address");
                match container.ports.first().filter(|_| taken) {
                    Some(port) => {
                        RuntimeError::Address { address: (task.address, port.port).into(), message }
                    }
                    None => RuntimeError::CannotStart { container: container.name.clone(), message },
                }
            })
        })
    }

    async fn start_all(&self, task: &TaskSpec) -> Result<Started, RuntimeError> {
        let mut images = Vec::new();
        for container in &task.containers {
            images.push(self.images.provide(task, container).await?);
        }
        // The container that lends its network must run before those that borrow it.
        let owner = task.containers.iter().position(|container| container.essential).unwrap_or(0);
        let mut order: Vec<usize> = (0..task.containers.len()).collect();
        order.sort_by_key(|index| *index != owner);
        let mut network: Option<String> = None;
        let mut started: Vec<Option<StartedContainer>> = vec![None; order.len()];
        for index in order {
            let (container, image) = (&task.containers[index], &images[index]);
            let id = self.create(task, container, &image.name, network.as_deref()).await?;
            self.run(task, container, &id).await?;
            self.watch(task, container, &id);
            network.get_or_insert_with(|| id.clone());
            started[index] = Some(StartedContainer {
                name: container.name.clone(),
                runtime_id: id,
                image_digest: image.digest.clone(),
            });
        }
        Ok(Started { containers: started.into_iter().flatten().collect() })
    }

    fn watch(&self, task: &TaskSpec, container: &ContainerSpec, id: &str) {
        let watch = Watch {
            docker: self.docker.clone(),
            id: id.to_owned(),
            task: task.id.clone(),
            container: container.name.clone(),
            checked: container.health_check.is_some(),
            log: container.log.clone(),
            events: self.options.events.clone(),
        };
        let handle = tokio::spawn(watch.run());
        self.watches().entry(task.id.clone()).or_default().push(handle);
    }

    fn watches(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<JoinHandle<()>>>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn remove(&self, id: &str) -> Result<(), RuntimeError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.docker.remove_container(id, Some(options)).await {
            Ok(()) => Ok(()),
            // Gone already, or being removed by somebody else.
            Err(error) if matches!(status(&error), Some(404 | 409)) => Ok(()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    async fn remove_containers(&self, containers: &[ContainerSummary]) -> Result<(), RuntimeError> {
        let removals = containers.iter().filter_map(|container| container.id.as_deref());
        join_all(removals.map(|id| self.remove(id))).await.into_iter().collect()
    }

    fn abandon_watches(&self, task: &str) {
        for handle in self.watches().remove(task).unwrap_or_default() {
            handle.abort();
        }
    }
}

#[async_trait]
impl TaskRuntime for DockerRuntime {
    fn name(&self) -> &'static str {
        "docker"
    }

    async fn start(&self, task: &TaskSpec) -> Result<Started, RuntimeError> {
        self.abandon_watches(&task.id);
        self.remove_containers(&self.containers(Some(&task.id)).await?).await?;
        let result = self.start_all(task).await;
        if result.is_err() {
            // The caller hears of the error; exits of the other containers would confuse it.
            self.abandon_watches(&task.id);
            if let Ok(left) = self.containers(Some(&task.id)).await {
                let _ = self.remove_containers(&left).await;
            }
        }
        result
    }

    async fn stop(&self, task: &str, grace: Duration) -> Result<(), RuntimeError> {
        let containers = self.containers(Some(task)).await?;
        let docker = self.docker.clone().with_timeout(grace + Duration::from_secs(30));
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let stops = containers.iter().filter_map(|container| container.id.as_deref()).map(|id| {
            let options = StopContainerOptionsBuilder::default().t(seconds).build();
            docker.stop_container(id, Some(options))
        });
        for stopped in join_all(stops).await {
            if let Err(error) = stopped
                && status(&error).is_none_or(|code| !matches!(code, 304 | 404))
            {
                return Err(unavailable(&error));
            }
        }
        let watches = self.watches().remove(task).unwrap_or_default();
        for mut watch in watches {
            if tokio::time::timeout(DRAIN, &mut watch).await.is_err() {
                watch.abort();
            }
        }
        self.remove_containers(&containers).await
    }

    async fn adopt(&self, known: &[TaskSpec]) -> Result<Vec<String>, RuntimeError> {
        let containers = self.containers(None).await?;
        let mut found = Vec::new();
        for task in known {
            let of_task = |summary: &&ContainerSummary| label(summary, TASK) == Some(&task.id);
            let own: Vec<&ContainerSummary> = containers.iter().filter(of_task).collect();
            if !own.iter().any(|summary| is_running(summary)) {
                continue;
            }
            self.abandon_watches(&task.id);
            found.push(task.id.clone());
            for container in &task.containers {
                let mut named =
                    own.iter().filter(|summary| label(summary, CONTAINER) == Some(&container.name));
                // One that ended meanwhile, or is gone, is reported by its watch.
                let id = named.next().and_then(|summary| summary.id.clone());
                self.watch(task, container, id.as_deref().unwrap_or("gone"));
            }
        }
        let orphans: Vec<ContainerSummary> = containers
            .into_iter()
            .filter(|summary| !found.iter().any(|task| label(summary, TASK) == Some(task)))
            .collect();
        self.remove_containers(&orphans).await?;
        found.sort();
        Ok(found)
    }

    async fn list(&self) -> Result<Vec<String>, RuntimeError> {
        let containers = self.containers(None).await?;
        let running = containers.iter().filter(|summary| is_running(summary));
        let mut tasks: Vec<String> = running.filter_map(|summary| label(summary, TASK).cloned()).collect();
        tasks.sort();
        tasks.dedup();
        Ok(tasks)
    }

    async fn remove_all(&self) -> Result<(), RuntimeError> {
        for (_, handles) in self.watches().drain() {
            handles.iter().for_each(JoinHandle::abort);
        }
        self.remove_containers(&self.containers(None).await?).await?;
        self.images.remove_all().await
    }
}

impl Drop for DockerRuntime {
    /// The containers go on; whoever comes next adopts them. Only the watching ends.
    fn drop(&mut self) {
        for (_, handles) in self.watches().drain() {
            handles.iter().for_each(JoinHandle::abort);
        }
    }
}

fn label<'a>(summary: &'a ContainerSummary, name: &str) -> Option<&'a String> {
    summary.labels.as_ref()?.get(name)
}

fn is_running(summary: &ContainerSummary) -> bool {
    use ContainerSummaryStateEnum::{PAUSED, RESTARTING, RUNNING};
    matches!(summary.state, Some(RUNNING | PAUSED | RESTARTING))
}

fn unavailable(error: &dyn std::fmt::Display) -> RuntimeError {
    RuntimeError::Unavailable { runtime: "docker", message: error.to_string() }
}

/// HTTP status of the daemon's answer, if it answered.
fn status(error: &bollard::errors::Error) -> Option<u16> {
    match error {
        bollard::errors::Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// The daemon's own refusal as `fault`; anything else means that it is not there.
fn refused(error: &bollard::errors::Error, fault: impl FnOnce(String) -> RuntimeError) -> RuntimeError {
    match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => {
            fault(format!("Error response from daemon: {}", message.trim()))
        }
        other => unavailable(other),
    }
}
