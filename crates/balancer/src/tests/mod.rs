//! The balancer on real sockets.

mod failures;
mod forwarding;
mod health;
mod listeners;
mod routing;
mod streams;
mod swap;

use super::*;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;

/// Polls until the condition holds; fails after ten seconds.
async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// An HTTP server whose handler the test gives. Stopping it lets requests in flight finish.
struct Backend {
    address: SocketAddr,
    hits: Arc<AtomicU64>,
    stop: CancellationToken,
    accepting: tokio::task::JoinHandle<()>,
}

impl Backend {
    /// Answers every request with its name.
    async fn named(name: &'static str) -> Self {
        Self::start(move |_| async move { Response::new(Full::from(name)) }).await
    }

    async fn start<H, F>(handler: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let hits = Arc::new(AtomicU64::new(0));
        let stop = CancellationToken::new();
        let accepting = tokio::spawn(Self::run(socket, handler, hits.clone(), stop.clone()));
        Self { address, hits, stop, accepting }
    }

    async fn run<H, F>(socket: TcpListener, handler: H, hits: Arc<AtomicU64>, stop: CancellationToken)
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let connections = tokio_util::task::TaskTracker::new();
        loop {
            let stream = tokio::select! {
                accepted = socket.accept() => accepted.unwrap().0,
                () = stop.cancelled() => break,
            };
            stream.set_nodelay(true).unwrap();
            let (handler, hits, stop) = (handler.clone(), hits.clone(), stop.clone());
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    hits.fetch_add(1, SeqCst);
                    let response = handler(request);
                    async move { Ok::<_, Infallible>(response.await) }
                });
                let builder = hyper::server::conn::http1::Builder::new();
                let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
                tokio::select! {
                    _ = connection.as_mut() => return,
                    () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
                }
                let _ = connection.await;
            });
        }
        drop(socket);
        connections.close();
        connections.wait().await;
    }

    fn hits(&self) -> u64 {
        self.hits.load(SeqCst)
    }

    async fn stop(self) {
        self.stop.cancel();
        self.accepting.await.unwrap();
    }
}

/// A balancer with what it reports.
struct Running {
    balancer: Balancer,
    reports: UnboundedReceiver<HealthReport>,
}

impl Running {
    fn start() -> Self {
        Self::at_speed(1.0)
    }

    fn at_speed(speed: f64) -> Self {
        let (sender, reports) = unbounded_channel();
        Self { balancer: Balancer::start(Options { speed }, sender).unwrap(), reports }
    }

    /// Applies a table and returns where its only listener is.
    async fn apply(&self, table: RoutingTable) -> SocketAddr {
        let bound = self.balancer.apply(table).await;
        assert!(bound.iter().all(|bound| bound.error.is_none()), "{bound:?}");
        bound[0].actual.unwrap()
    }

    async fn target(&self, id: &str) -> TargetMetrics {
        let metrics = self.balancer.metrics().await;
        metrics.targets.into_iter().find(|target| target.target.as_str() == id).unwrap()
    }
}

fn target(id: &str, address: SocketAddr) -> Target {
    Target { id: id.into(), address, state: TargetState::Active }
}

fn draining(id: &str, address: SocketAddr) -> Target {
    Target { state: TargetState::Draining, ..target(id, address) }
}

/// A group without health checks.
fn group(id: &str, targets: Vec<Target>) -> TargetGroup {
    TargetGroup {
        id: id.into(),
        protocol: TargetProtocol::Http,
        targets,
        health_check: HealthCheck { enabled: false, ..HealthCheck::default() },
        deregistration_delay: Duration::from_secs(300),
        slow_start: Duration::ZERO,
        algorithm: Algorithm::RoundRobin,
        stickiness: None,
    }
}

fn forward(groups: &[(&str, u32)]) -> Action {
    let groups = groups.iter().map(|(id, weight)| (GroupId::from(id), *weight)).collect();
    Action::Forward { groups, stickiness: None }
}

/// A table with one listener on a free port.
fn table(default_action: Action, groups: Vec<TargetGroup>) -> RoutingTable {
    let listener = Listener {
        id: "listener".into(),
        address: [127, 0, 0, 1].into(),
        port: 0,
        protocol: ListenerProtocol::Http,
        idle_timeout: Duration::from_secs(60),
        headers: HeaderPolicy::default(),
        rules: Vec::new(),
        default_action,
    };
    let groups = groups.into_iter().map(|group| (group.id.clone(), group)).collect();
    RoutingTable { listeners: vec![listener], groups }
}

/// One group `g` behind the listener.
fn simple(targets: Vec<Target>) -> RoutingTable {
    table(forward(&[("g", 1)]), vec![group("g", targets)])
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

/// A client with one keep-alive connection.
struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    async fn over(
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    ) -> Self {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender }
    }

    async fn try_send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Answer {
        self.try_send(request).await.unwrap()
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send(get(path)).await
    }
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", "example.com").body(Full::default()).unwrap()
}

/// Sends bytes on a new connection and reads until the other side closes.
async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads until the text ends so.
async fn read_until(stream: &mut (impl tokio::io::AsyncRead + Unpin), end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).await.unwrap();
        assert!(length > 0, "ended early: {}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&chunk[..length]);
    }
    String::from_utf8(text).unwrap()
}
