//! Tasks that only pretend: an HTTP responder for each port, without image and without process.
//!
//! For tests and rehearsals of everything around a task. Environment variables of the container
//! steer it:
//! - `SIMULATE_HEALTH_STATUS`: status of every answer, 200 if not given;
//! - `SIMULATE_START_DELAY_MS`: how long it takes until it listens;
//! - `SIMULATE_EXIT_AFTER_MS`: when it ends by itself, with `SIMULATE_EXIT_CODE` (1 if not given);
//! - `SIMULATE_LATENCY_MS`: how long an answer takes;
//! - `VERSION` or `APP_VERSION`: told in the answer and its `x-version` header, else the image's tag.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    ContainerSpec, Options, RuntimeError, Started, StartedContainer, TaskEvent, TaskExit, TaskRuntime,
    TaskSpec, Transport,
};

/// Docker's exit code for a program that SIGTERM ended.
const TERMINATED: i32 = 143;

/// The simulated runtime.
#[derive(Debug)]
pub struct SimulatedRuntime {
    options: Options,
    tasks: Mutex<HashMap<String, Running>>,
}

/// A task; all its servers and timers end when this is dropped.
#[derive(Debug)]
struct Running {
    servers: JoinSet<()>,
    /// Containers that have not ended yet.
    alive: Arc<Mutex<Vec<String>>>,
}

impl SimulatedRuntime {
    /// A runtime without tasks.
    pub fn new(options: Options) -> Self {
        Self { options, tasks: Mutex::default() }
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        locked(&self.tasks)
    }

    /// Binds every port before anything answers, so that a task starts whole or not at all.
    async fn bind(task: &TaskSpec) -> Result<Vec<(ContainerSpec, Vec<TcpListener>)>, RuntimeError> {
        let mut bound = Vec::new();
        for container in &task.containers {
            let mut listeners = Vec::new();
            for port in container.ports.iter().filter(|port| port.protocol == Transport::Tcp) {
                let address = SocketAddr::from((task.address, port.port));
                let listener = TcpListener::bind(address).await;
                let failed =
                    |error: std::io::Error| RuntimeError::Address { address, message: error.to_string() };
                listeners.push(listener.map_err(failed)?);
            }
            bound.push((container.clone(), listeners));
        }
        Ok(bound)
    }

    fn run(&self, task: &TaskSpec, bound: Vec<(ContainerSpec, Vec<TcpListener>)>) -> Running {
        let alive: Vec<String> = bound.iter().map(|(container, _)| container.name.clone()).collect();
        let alive = Arc::new(Mutex::new(alive));
        let mut servers = JoinSet::new();
        for (container, listeners) in bound {
            let ended = CancellationToken::new();
            if let Some(after) = milliseconds(&container, "SIMULATE_EXIT_AFTER_MS") {
                let (alive, ended, events) = (Arc::clone(&alive), ended.clone(), self.options.events.clone());
                let code = number(&container, "SIMULATE_EXIT_CODE").unwrap_or(1);
                let (task, name) = (task.id.clone(), container.name.clone());
                servers.spawn(async move {
                    tokio::time::sleep(after).await;
                    ended.cancel();
                    locked(&alive).retain(|other| *other != name);
                    let exit = TaskExit { task, container: name, exit_code: Some(code), reason: None };
                    let _ = events.send(TaskEvent::Exited(exit));
                });
            }
            if let Some(log) = &container.log {
                log.line(Timestamp::now(), &format!("simulated {} of {}", container.name, container.image));
            }
            let answer = Arc::new(Answer::new(task, &container));
            for listener in listeners {
                let (answer, ended) = (Arc::clone(&answer), ended.clone());
                servers.spawn(async move {
                    // Dropping the connections with the server makes an exit look like a crash.
                    let _ = ended.run_until_cancelled(serve(listener, answer)).await;
                });
            }
        }
        Running { servers, alive }
    }
}

#[async_trait]
impl TaskRuntime for SimulatedRuntime {
    fn name(&self) -> &'static str {
        "simulated"
    }

    async fn start(&self, task: &TaskSpec) -> Result<Started, RuntimeError> {
        let earlier = self.tasks().remove(&task.id);
        if let Some(mut earlier) = earlier {
            earlier.servers.shutdown().await;
        }
        let delay =
            task.containers.iter().filter_map(|container| milliseconds(container, "SIMULATE_START_DELAY_MS"));
        tokio::time::sleep(delay.max().unwrap_or_default()).await;
        let bound = Self::bind(task).await?;
        let running = self.run(task, bound);
        self.tasks().insert(task.id.clone(), running);
        let started = |container: &ContainerSpec| StartedContainer {
            name: container.name.clone(),
            runtime_id: format!("{}-{}", task.id, container.name),
            image_digest: None,
        };
        Ok(Started { containers: task.containers.iter().map(started).collect() })
    }

    async fn stop(&self, task: &str, _grace: Duration) -> Result<(), RuntimeError> {
        let running = self.tasks().remove(task);
        let Some(mut running) = running else { return Ok(()) };
        running.servers.shutdown().await;
        for container in std::mem::take(&mut *locked(&running.alive)) {
            let exit =
                TaskExit { task: task.to_owned(), container, exit_code: Some(TERMINATED), reason: None };
            let _ = self.options.events.send(TaskEvent::Exited(exit));
        }
        Ok(())
    }

    /// Simulated tasks end with the cloud, so they are simply started again.
    async fn adopt(&self, known: &[TaskSpec]) -> Result<Vec<String>, RuntimeError> {
        let mut found = Vec::new();
        for task in known {
            match self.start(task).await {
                Ok(_) => found.push(task.id.clone()),
                Err(error) => tracing::warn!(task = task.id, %error, "a simulated task did not come back"),
            }
        }
        found.sort();
        Ok(found)
    }

    async fn list(&self) -> Result<Vec<String>, RuntimeError> {
        let tasks = self.tasks();
        let alive = tasks.iter().filter(|(_, running)| !locked(&running.alive).is_empty());
        let mut ids: Vec<String> = alive.map(|(id, _)| id.clone()).collect();
        ids.sort();
        Ok(ids)
    }

    async fn remove_all(&self) -> Result<(), RuntimeError> {
        let all = std::mem::take(&mut *self.tasks());
        for mut running in all.into_values() {
            running.servers.shutdown().await;
        }
        Ok(())
    }
}

/// What a container answers to everything.
struct Answer {
    status: StatusCode,
    latency: Duration,
    body: Bytes,
    version: HeaderValue,
    task: HeaderValue,
}

impl Answer {
    fn new(task: &TaskSpec, container: &ContainerSpec) -> Self {
        let variable = |name: &str| container.environment.get(name).cloned();
        let tag = container.image.rsplit(['/']).next().and_then(|name| name.split_once(':'));
        let version = variable("VERSION").or_else(|| variable("APP_VERSION"));
        let version = version.or_else(|| tag.map(|(_, tag)| tag.to_owned())).unwrap_or_default();
        let body = json!({
            "task": task.id, "container": container.name, "image": container.image, "version": version,
        });
        let header = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
        let status = number(container, "SIMULATE_HEALTH_STATUS").and_then(|code| u16::try_from(code).ok());
        Self {
            status: status.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::OK),
            latency: milliseconds(container, "SIMULATE_LATENCY_MS").unwrap_or_default(),
            body: Bytes::from(body.to_string()),
            version: header(&version),
            task: header(&task.id),
        }
    }

    async fn give(&self, _request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        let mut response = Response::new(Full::new(self.body.clone()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("x-version", self.version.clone());
        headers.insert("x-task", self.task.clone());
        Ok(response)
    }
}

async fn serve(listener: TcpListener, answer: Arc<Answer>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // Out of file descriptors, most likely: let some be closed.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                let answer = Arc::clone(&answer);
                connections.spawn(async move {
                    let service = service_fn(|request| answer.give(request));
                    // A client that goes away in the middle is not our trouble.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        }
    }
}

fn number(container: &ContainerSpec, name: &str) -> Option<i32> {
    container.environment.get(name)?.parse().ok()
}

fn milliseconds(container: &ContainerSpec, name: &str) -> Option<Duration> {
    container.environment.get(name)?.parse().ok().map(Duration::from_millis)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
