//! Sockets that accept connections.

use super::clock::CoarseClock;
use super::front::{self, Front};
use super::metrics::{ListenerMetrics, StatusCounters};
use super::report::BindError;
use super::routes::Routes;
use super::table::ListenerId;
use super::workers::Workers;
use arc_swap::{ArcSwap, ArcSwapOption};
use http::HeaderValue;
use rustls::ServerConfig;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A client that has not finished its TLS handshake by then is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A listener as it runs.
pub(super) struct LiveListener {
    pub(super) id: ListenerId,
    pub(super) asked: SocketAddr,
    pub(super) actual: SocketAddr,
    pub(super) forwarded_port: HeaderValue,
    pub(super) clock: CoarseClock,
    /// Read for every request, replaced with every table.
    pub(super) routes: ArcSwap<Routes>,
    /// Present when clients speak TLS.
    pub(super) tls: ArcSwapOption<ServerConfig>,
    /// No new connections; those that are open end after their current request.
    pub(super) closing: CancellationToken,
    /// Everything ends.
    pub(super) killed: CancellationToken,
    pub(super) active: AtomicU64,
    pub(super) own_responses: StatusCounters,
    requests: AtomicU64,
    connections: AtomicU64,
}

impl LiveListener {
    pub(super) fn new(
        id: ListenerId,
        asked: SocketAddr,
        actual: SocketAddr,
        routes: Routes,
        tls: Option<Arc<ServerConfig>>,
        clock: CoarseClock,
        killed: CancellationToken,
    ) -> Self {
        let port = if asked.port() == 0 { actual.port() } else { asked.port() };
        Self {
            id,
            asked,
            actual,
            forwarded_port: HeaderValue::from(port),
            clock,
            routes: ArcSwap::from_pointee(routes),
            tls: ArcSwapOption::new(tls),
            closing: CancellationToken::new(),
            killed,
            active: AtomicU64::new(0),
            own_responses: StatusCounters::default(),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        }
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.tls.load().is_some() { "https" } else { "http" }
    }

    pub(super) fn forwarded_proto(&self) -> HeaderValue {
        HeaderValue::from_static(self.scheme())
    }

    pub(super) fn count_request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(super) fn metrics(&self) -> ListenerMetrics {
        ListenerMetrics {
            listener: self.id.clone(),
            requests: self.requests.load(Relaxed),
            connections: self.connections.load(Relaxed),
            active_connections: self.active.load(Relaxed),
            own_responses: self.own_responses.read(),
        }
    }
}

/// Binds a socket. Where this process may not have the address or port (not root, or an address that the machine
/// does not have, such as 127.0.0.2 on macOS) it takes a free port of 127.0.0.1 instead.
///
/// # Errors
/// When the address is in use, or anything else is wrong with it.
pub(super) async fn bind(asked: SocketAddr) -> Result<TcpListener, BindError> {
    let error = match TcpListener::bind(asked).await {
        Ok(socket) => return Ok(socket),
        Err(error) => error,
    };
    match error.kind() {
        io::ErrorKind::AddrInUse => Err(BindError::AddressInUse(asked)),
        io::ErrorKind::PermissionDenied | io::ErrorKind::AddrNotAvailable => {
            let fallback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            TcpListener::bind(fallback).await.map_err(|error| BindError::Refused(asked, error.to_string()))
        }
        _ => Err(BindError::Refused(asked, error.to_string())),
    }
}

/// Whether the fallback of [`bind`] was taken.
pub(super) fn moved(asked: SocketAddr, actual: SocketAddr) -> bool {
    let wanted: IpAddr = asked.ip();
    wanted != actual.ip() || (asked.port() != 0 && asked.port() != actual.port())
}

/// Accepts connections until the listener closes.
pub(super) async fn accept(
    socket: TcpListener,
    listener: Arc<LiveListener>,
    workers: Arc<Workers>,
    tasks: TaskTracker,
    epoch: u32,
) {
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = listener.closing.cancelled() => return,
        };
        match accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
            Ok((stream, peer)) => {
                listener.connections.fetch_add(1, Relaxed);
                tasks.spawn_on(connection(stream, peer, listener.clone(), epoch), workers.next());
            }
            // Out of file descriptors, or a client that is gone already: the next one may fare better.
            Err(error) => {
                tracing::debug!(listener = %listener.id, %error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn connection(stream: std::net::TcpStream, peer: SocketAddr, listener: Arc<LiveListener>, epoch: u32) {
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let _ = stream.set_nodelay(true);
    let killed = listener.killed.clone();
    let tls = listener.tls.load_full();
    let front = Arc::new(Front::new(listener.clone(), peer, listener.actual, epoch));
    let serving = async {
        match tls {
            None => front::serve(front, stream).await,
            Some(config) => {
                let handshake = TlsAcceptor::from(config).accept(stream);
                if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
                    front::serve(front, stream).await;
                }
            }
        }
    };
    tokio::select! {
        () = serving => {}
        () = killed.cancelled() => {}
    }
}
