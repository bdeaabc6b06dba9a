//! The handle of the balancer: takes tables over, and starts and stops what they need.

use super::clock::{CoarseClock, Pace, TICK};
use super::listener::{self, LiveListener};
use super::membership::Membership;
use super::metrics::Metrics;
use super::report::{BindError, Bound, HealthReport};
use super::routes::Routes;
use super::selection::LiveGroup;
use super::table::{GroupId, Listener, ListenerId, ListenerProtocol, RoutingTable};
use super::tls;
use super::workers::Workers;
use rustls::ServerConfig;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Settings of the balancer as a whole.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many times faster than real time ELB's own timers run: health-check intervals, slow start, and, down to
    /// a second, health-check timeouts and deregistration delays. Idle timeouts are real time.
    pub speed: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { speed: 1.0 }
    }
}

/// A running load balancer. Dropping it ends everything at once.
pub struct Balancer {
    control: Arc<Mutex<Control>>,
    killed: CancellationToken,
    connections: TaskTracker,
}

struct Control {
    listeners: HashMap<ListenerId, Running>,
    membership: Membership,
    clock: CoarseClock,
    killed: CancellationToken,
    workers: Arc<Workers>,
    connections: TaskTracker,
    /// Seconds since 1970 at the start.
    epoch: u32,
}

struct Running {
    listener: Arc<LiveListener>,
    accepting: JoinHandle<()>,
    protocol: ListenerProtocol,
}

impl Balancer {
    /// Starts a balancer without listeners on the current tokio runtime. Health reports go to `reports`, each
    /// change once and in order for each target.
    ///
    /// # Errors
    /// When the operating system refuses the threads that carry the traffic.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(options: Options, reports: UnboundedSender<HealthReport>) -> io::Result<Self> {
        let clock = CoarseClock::default();
        let killed = CancellationToken::new();
        let workers = Arc::new(Workers::start(&killed)?);
        let connections = TaskTracker::new();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let control = Arc::new(Mutex::new(Control {
            listeners: HashMap::new(),
            membership: Membership::new(clock.clone(), Pace::new(options.speed), reports),
            clock: clock.clone(),
            killed: killed.clone(),
            workers,
            connections: connections.clone(),
            epoch: since_1970.as_secs() as u32,
        }));
        tokio::spawn(keep_house(clock, control.clone(), killed.clone()));
        Ok(Self { control, killed, connections })
    }

    /// Takes a table over. Returns once it is in force for all new requests: connections stay open and go on with
    /// the new table, requests in flight finish as they began. The answers are in the order of the listeners.
    pub async fn apply(&self, table: RoutingTable) -> Vec<Bound> {
        self.control.lock().await.apply(&table).await
    }

    /// All counters.
    pub async fn metrics(&self) -> Metrics {
        let control = self.control.lock().await;
        let mut metrics = Metrics {
            listeners: control.listeners.values().map(|running| running.listener.metrics()).collect(),
            targets: control.membership.targets().map(|target| target.metrics()).collect(),
        };
        metrics.listeners.sort_by(|a, b| a.listener.cmp(&b.listener));
        metrics.targets.sort_by(|a, b| (&a.group, &a.target).cmp(&(&b.group, &b.target)));
        metrics
    }

    /// Stops accepting, lets requests in flight finish for up to `grace`, and ends everything.
    pub async fn shutdown(self, grace: Duration) {
        let mut control = self.control.lock().await;
        control.membership.stop();
        for (_, running) in control.listeners.drain() {
            running.close().await;
        }
        drop(control);
        self.connections.close();
        let _ = tokio::time::timeout(grace, self.connections.wait()).await;
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.killed.cancel();
        // Those that do not look at the token all the time.
        if let Ok(mut control) = self.control.try_lock() {
            control.membership.stop();
            control.listeners.drain().for_each(|(_, running)| running.accepting.abort());
        }
    }
}

async fn keep_house(clock: CoarseClock, control: Arc<Mutex<Control>>, killed: CancellationToken) {
    let started = Instant::now();
    let mut ticks = 0u64;
    while !killed.is_cancelled() {
        clock.advance(started);
        if ticks.is_multiple_of(50)
            && let Ok(control) = control.try_lock()
        {
            control.membership.sweep();
        }
        ticks += 1;
        tokio::time::sleep(TICK).await;
    }
}

impl Running {
    /// Stops accepting; the socket is closed when this returns.
    async fn close(self) {
        self.listener.closing.cancel();
        let _ = self.accepting.await;
    }
}

/// A listener whose socket is bound and which does not accept yet.
struct Opened {
    socket: TcpListener,
    asked: SocketAddr,
    actual: SocketAddr,
}

impl Control {
    async fn apply(&mut self, table: &RoutingTable) -> Vec<Bound> {
        self.close_unwanted(table).await;
        let groups = self.membership.apply(table);
        let mut opened = HashMap::new();
        let mut errors = HashMap::new();
        for listener in &table.listeners {
            let asked = asked(listener);
            if !self.listeners.contains_key(&listener.id) && !opened.contains_key(&listener.id) {
                match open(asked).await {
                    Ok(socket) => drop(opened.insert(listener.id.clone(), socket)),
                    Err(error) => drop(errors.insert(listener.id.clone(), error)),
                }
            }
        }
        let ports = self.moved_ports(opened.values());
        for listener in &table.listeners {
            if let Err(error) = self.run(listener, opened.remove(&listener.id), &groups, &ports) {
                errors.insert(listener.id.clone(), error);
            }
        }
        table.listeners.iter().map(|listener| self.bound(listener, &mut errors)).collect()
    }

    async fn close_unwanted(&mut self, table: &RoutingTable) {
        let wanted: HashMap<_, _> =
            table.listeners.iter().map(|listener| (&listener.id, asked(listener))).collect();
        let unwanted = self
            .listeners
            .extract_if(|id, running| wanted.get(id) != Some(&running.listener.asked))
            .map(|(_, running)| running);
        for running in unwanted.collect::<Vec<_>>() {
            running.close().await;
        }
    }

    /// Listeners that could not be bound as asked.
    fn moved_ports<'a>(&self, opened: impl Iterator<Item = &'a Opened>) -> HashMap<SocketAddr, u16> {
        let running =
            self.listeners.values().map(|running| (running.listener.asked, running.listener.actual));
        let opened = opened.map(|opened| (opened.asked, opened.actual));
        running
            .chain(opened)
            .filter(|(asked, actual)| listener::moved(*asked, *actual))
            .map(|(asked, actual)| (asked, actual.port()))
            .collect()
    }

    /// Puts a listener's rules into force, and has it accept if it does not yet.
    fn run(
        &mut self,
        listener: &Listener,
        opened: Option<Opened>,
        groups: &HashMap<GroupId, Arc<LiveGroup>>,
        ports: &HashMap<SocketAddr, u16>,
    ) -> Result<(), BindError> {
        let actual_port = |port| ports.get(&SocketAddr::new(listener.address, port)).copied().unwrap_or(port);
        let routes = Routes::new(listener, groups, listener.idle_timeout, actual_port);
        if let Some(running) = self.listeners.get_mut(&listener.id) {
            running.listener.routes.store(Arc::new(routes));
            if running.protocol != listener.protocol {
                running.listener.tls.store(server_config(listener)?);
                running.protocol = listener.protocol.clone();
            }
        } else if let Some(opened) = opened {
            let config = server_config(listener)?;
            self.begin(listener, opened, routes, config);
        }
        Ok(())
    }

    fn begin(&mut self, listener: &Listener, opened: Opened, routes: Routes, tls: Option<Arc<ServerConfig>>) {
        let (id, clock, killed) = (listener.id.clone(), self.clock.clone(), self.killed.clone());
        let live = LiveListener::new(id, opened.asked, opened.actual, routes, tls, clock, killed);
        let live = Arc::new(live);
        let accepting = listener::accept(
            opened.socket,
            live.clone(),
            self.workers.clone(),
            self.connections.clone(),
            self.epoch,
        );
        let running = Running {
            listener: live,
            accepting: tokio::spawn(accepting),
            protocol: listener.protocol.clone(),
        };
        self.listeners.insert(listener.id.clone(), running);
    }

    fn bound(&self, listener: &Listener, errors: &mut HashMap<ListenerId, BindError>) -> Bound {
        Bound {
            listener: listener.id.clone(),
            asked: asked(listener),
            actual: self.listeners.get(&listener.id).map(|running| running.listener.actual),
            error: errors.remove(&listener.id),
        }
    }
}

fn asked(listener: &Listener) -> SocketAddr {
    SocketAddr::new(listener.address, listener.port)
}

async fn open(asked: SocketAddr) -> Result<Opened, BindError> {
    let socket = listener::bind(asked).await?;
    let actual = socket.local_addr().map_err(|error| BindError::Refused(asked, error.to_string()))?;
    Ok(Opened { socket, asked, actual })
}

fn server_config(listener: &Listener) -> Result<Option<Arc<ServerConfig>>, BindError> {
    match &listener.protocol {
        ListenerProtocol::Http => Ok(None),
        ListenerProtocol::Https { certificates } => tls::server_config(certificates)
            .map(Some)
            .map_err(|problem| BindError::Certificate(asked(listener), problem)),
    }
}
