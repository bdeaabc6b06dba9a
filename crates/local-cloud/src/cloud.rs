//! A running embedded cloud: everything put together.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::controllers::names::WorldNames;
use crate::controllers::routing::Routing;
use crate::controllers::{codedeploy, ecs::EcsController, scaling};
use crate::front::{self, Front};
use crate::services::Settings;
use crate::services::ecr::WorldRepositories;
use crate::status;
use crate::world::{SaveError, World};
use pipeline_data_plane::dns::{DnsError, DnsServer, Zones};
use pipeline_data_plane::image::{BlobStore, Digest, Images};
use pipeline_data_plane::registry::{Registry, Repositories, Uploads};
use pipeline_data_plane::runtime::{self, AddressBook, RuntimeError, RuntimeKind, TaskEvent, TaskRuntime};

/// What runs the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RuntimeChoice {
    /// Docker if its daemon answers, else processes.
    #[default]
    Detect,
    /// Containers of the Docker daemon.
    Docker,
    /// Processes in the unpacked image.
    Process,
    /// Tasks that only answer HTTP, made by the cloud itself: for tests of clients.
    Simulated,
}

/// How a cloud is started.
#[derive(Debug, Clone)]
pub struct CloudOptions {
    /// Where it keeps its state; nothing is kept without one.
    pub directory: Option<PathBuf>,
    /// Port of the endpoint on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// How many times faster than real time waits pass.
    pub speed: f64,
    /// Nothing moves by itself.
    pub inert: bool,
    /// What runs the tasks.
    pub runtime: RuntimeChoice,
}

/// Why a cloud did not start.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// The port is taken.
    #[error("cannot listen on {address}: {source}. Is another cloud running? Choose another with `--port`")]
    Listen {
        /// Where it tried to.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The saved state cannot be used.
    #[error(transparent)]
    State(#[from] SaveError),
    /// The cloud's folder cannot be used.
    #[error("cannot use the cloud's folder {}: {source}", path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No names can be answered.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// The load balancer cannot run.
    #[error("cannot start the load balancer: {0}. Are there too many threads?")]
    Balancer(std::io::Error),
    /// The task runtime that was asked for is not there.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// A running cloud. Dropping it ends it without saving; [`Cloud::stop`] ends it in order.
pub struct Cloud {
    endpoint: SocketAddr,
    world: World,
    ending: CancellationToken,
    tasks: JoinSet<()>,
    /// Nothing runs in an inert cloud.
    runtime: Option<Arc<dyn TaskRuntime>>,
    dns: DnsServer,
    _folder: Folder,
}

/// Where the data plane keeps what it needs: the cloud's folder, or one that goes with the cloud.
enum Folder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    fn open(directory: Option<&Path>) -> Result<Self, CloudError> {
        let Some(directory) = directory else {
            let made = tempfile::Builder::new().prefix("pipeline-cloud-").tempdir();
            let path = std::env::temp_dir();
            return made.map(Self::Temporary).map_err(|source| CloudError::Folder { path, source });
        };
        std::fs::create_dir_all(directory)
            .map_err(|source| CloudError::Folder { path: directory.to_owned(), source })?;
        Ok(Self::Kept(directory.to_owned()))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    /// What the registry keeps.
    fn store(&self) -> Result<BlobStore, CloudError> {
        let path = self.path().join("registry");
        BlobStore::open(&path).map_err(|source| CloudError::Folder { path, source })
    }

    /// The same for the same folder: tells this cloud's tasks from those of others.
    fn cloud_id(&self) -> String {
        let path = std::fs::canonicalize(self.path()).unwrap_or_else(|_| self.path().to_owned());
        let digest = Digest::of(path.as_os_str().as_encoded_bytes());
        digest.hex().chars().take(12).collect()
    }
}

impl Cloud {
    /// Starts a cloud and returns once its endpoint answers.
    pub async fn start(options: CloudOptions) -> Result<Self, CloudError> {
        let world = match &options.directory {
            Some(directory) => World::open(directory.join("world.json"))?,
            None => World::in_memory(),
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let listening = |source| CloudError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listening)?;
        let endpoint = listener.local_addr().map_err(listening)?;
        let folder = Folder::open(options.directory.as_deref())?;
        world.write(|state| state.addresses = AddressBook::of(&folder.cloud_id()));
        let clock = Clock::new(options.speed);
        let store = folder.store()?;
        let uploads = Uploads::new(store.clone());
        let repositories: Arc<dyn Repositories> = Arc::new(WorldRepositories::new(world.clone(), clock));
        let registry = Registry::new(store.clone(), uploads.clone(), Arc::clone(&repositories));
        let settings = Settings { endpoint, inert: options.inert, clock, uploads };

        let ending = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(world.clone().keep_saved());
        let runtime = if options.inert {
            None
        } else {
            let (runtime, events) =
                open_runtime(options.runtime, &folder, Images::new(store, repositories)).await?;
            let controller =
                EcsController { world: world.clone(), clock, runtime: Arc::clone(&runtime), events };
            tasks.spawn(controller.run());
            tasks.spawn(scaling::run(world.clone(), clock));
            tasks.spawn(codedeploy::run(world.clone(), settings.clone()));
            tasks.spawn(Routing::start(world.clone(), clock).map_err(CloudError::Balancer)?.run());
            Some(runtime)
        };
        let dns = open_dns(&world, options.port).await?;
        let dns_address = dns.address();
        let runtime_name = runtime.as_ref().map_or("none", |runtime| runtime.name());
        let seen = world.clone();
        let describe = move || {
            let mut status = seen.read(status::of);
            status["endpoint"] = json!(format!("http://{endpoint}"));
            status["runtime"] = json!(runtime_name);
            status["dns"] = json!(dns_address.to_string());
            status
        };
        let front = Arc::new(Front { world: world.clone(), settings, status: Box::new(describe) });
        let router = front::router(front, registry.router());
        let ended = ending.clone();
        tasks.spawn(async move {
            let serving = axum::serve(listener, router).with_graceful_shutdown(ended.cancelled_owned());
            if let Err(error) = serving.await {
                tracing::error!(%error, "the endpoint stopped");
            }
        });
        Ok(Self { endpoint, world, ending, tasks, runtime, dns, _folder: folder })
    }

    /// Where the AWS endpoint listens.
    pub fn endpoint(&self) -> SocketAddr {
        self.endpoint
    }

    /// Where names of the hosted zones, and of load balancers, are answered.
    pub fn dns(&self) -> SocketAddr {
        self.dns.address()
    }

    /// Ends the cloud; what exists is saved. Its tasks end with it, and are started again with the next.
    pub async fn stop(mut self) -> Result<(), CloudError> {
        self.ending.cancel();
        self.tasks.shutdown().await;
        self.world.save()?;
        if let Some(runtime) = &self.runtime {
            runtime.remove_all().await?;
        }
        Ok(())
    }
}

/// Starts the DNS server on the port after the endpoint's, or on any if that is taken.
async fn open_dns(world: &World, endpoint: u16) -> Result<DnsServer, CloudError> {
    let names: Arc<dyn Zones> = Arc::new(WorldNames(world.clone()));
    let wanted = if endpoint == 0 { 0 } else { endpoint.saturating_add(1) };
    match DnsServer::start((Ipv4Addr::LOCALHOST, wanted).into(), Arc::clone(&names)).await {
        Ok(server) => Ok(server),
        Err(_) if wanted != 0 => Ok(DnsServer::start((Ipv4Addr::LOCALHOST, 0).into(), names).await?),
        Err(error) => Err(error.into()),
    }
}

async fn open_runtime(
    choice: RuntimeChoice,
    folder: &Folder,
    images: Images,
) -> Result<(Arc<dyn TaskRuntime>, UnboundedReceiver<TaskEvent>), CloudError> {
    let kind = match choice {
        RuntimeChoice::Detect => RuntimeKind::Detect,
        RuntimeChoice::Docker => RuntimeKind::Docker,
        RuntimeChoice::Process => RuntimeKind::Process,
        RuntimeChoice::Simulated => RuntimeKind::Simulated,
    };
    let (sender, events) = mpsc::unbounded_channel();
    let options = runtime::Options {
        cloud_id: folder.cloud_id(),
        directory: folder.path().join("tasks"),
        images,
        events: sender,
    };
    Ok((runtime::open(kind, options).await?, events))
}
