//! What a task is to the data plane: plain values that a controller derives from a task definition.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::image::Digest;
use crate::registry::Scope;

/// A task to run. All its containers share one network address.
#[derive(Debug, Clone)]
pub struct TaskSpec {
    /// Unique in this cloud; letters, digits and dashes.
    pub id: String,
    /// Whose task it is: image names without an account are looked up here.
    pub scope: Scope,
    /// A loopback address that is this task's alone; see [`AddressBook`](super::AddressBook).
    pub address: IpAddr,
    /// Started in this order; the first essential one lends its network to the others.
    pub containers: Vec<ContainerSpec>,
}

/// A container of a task; the fields are those of an ECS container definition.
#[derive(Debug, Clone, Default)]
pub struct ContainerSpec {
    /// Unique in the task.
    pub name: String,
    /// Image reference as the task definition has it.
    pub image: String,
    /// Replaces the image's `Cmd` when given.
    pub command: Option<Vec<String>>,
    /// Replaces the image's `Entrypoint` (and drops its `Cmd`) when given.
    pub entry_point: Option<Vec<String>>,
    /// Added to the image's environment.
    pub environment: BTreeMap<String, String>,
    /// Replaces the image's working directory when given.
    pub working_directory: Option<String>,
    /// Replaces the image's user when given: `user`, `uid`, `user:group`, `uid:gid`.
    pub user: Option<String>,
    /// CPU units, 1024 to a core; a relative weight, as on a container instance.
    pub cpu: Option<u32>,
    /// Hard memory limit in MiB.
    pub memory: Option<u32>,
    /// Ports it listens on.
    pub ports: Vec<PortSpec>,
    /// Whether the task ends with it. The runtime only reports exits; the controller decides.
    pub essential: bool,
    /// Whether its root filesystem is read-only (enforced by Docker only).
    pub readonly_root: bool,
    /// Labels for the container (Docker only).
    pub labels: BTreeMap<String, String>,
    /// Checks run inside the container.
    pub health_check: Option<HealthCheck>,
    /// Where its output goes; discarded if not given.
    pub log: Option<Arc<dyn LogSink>>,
}

/// A port of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSpec {
    /// Port number, the same inside and on the task's address.
    pub port: u16,
    /// Transport.
    pub protocol: Transport,
}

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP, the default.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// `tcp` or `udp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A container health check, as Docker and ECS define it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// `["CMD", program, arguments…]` or `["CMD-SHELL", text]`.
    pub command: Vec<String>,
    /// Between two checks; ECS's default is 30 s.
    pub interval: Duration,
    /// After which a check counts as failed; ECS's default is 5 s.
    pub timeout: Duration,
    /// Failures in a row that make it unhealthy; ECS's default is 3.
    pub retries: u32,
    /// Grace after the start in which failures do not count; ECS's default is 0.
    pub start_period: Duration,
}

/// Receives one container's output, line by line. Called from any thread; must not block for long.
pub trait LogSink: Send + Sync + Debug {
    /// A line without its line break, and when it was written.
    fn line(&self, at: Timestamp, line: &str);

    /// The time of the last line received, for a container that is found again after a restart:
    /// only later lines are delivered again.
    fn last(&self) -> Option<Timestamp> {
        None
    }
}

/// A task that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// In the order of the specification.
    pub containers: Vec<StartedContainer>,
}

/// A container that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedContainer {
    /// Its name in the task.
    pub name: String,
    /// Docker's container id, a process id, or a made-up one.
    pub runtime_id: String,
    /// Digest of the manifest its image reference meant, when it came from the store.
    pub image_digest: Option<Digest>,
}

/// Something that happened to a running task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEvent {
    /// A container ended, by itself or because it was told to.
    Exited(TaskExit),
    /// The verdict of a container's health check changed.
    Health {
        /// Which task.
        task: String,
        /// Which container.
        container: String,
        /// The verdict.
        healthy: bool,
    },
}

/// The end of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskExit {
    /// Which task.
    pub task: String,
    /// Which container.
    pub container: String,
    /// Exit code, 128 + n for a signal n; `None` when nobody could see it (the cloud was down).
    pub exit_code: Option<i32>,
    /// Why, in ECS's words, where the code does not say it all.
    pub reason: Option<String>,
}
