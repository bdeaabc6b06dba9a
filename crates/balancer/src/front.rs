//! One connection of a client, from its acceptance to its end.
//!
//! A single task does everything for it: it reads requests, drives the connection to the target, and about once
//! a second looks whether something takes too long. So a request costs no task, no timer and no message.

use super::clock::CoarseClock;
use super::gather::Gathering;
use super::listener::LiveListener;
use super::proxy;
use super::target::LiveTarget;
use super::trace::TraceIds;
use http::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// How often a connection looks whether something takes too long.
const LOOK: Duration = Duration::from_secs(1);

/// What the requests of one connection share.
pub(super) struct Front {
    pub(super) listener: Arc<LiveListener>,
    pub(super) peer: IpAddr,
    /// The client's address, and the same with its port.
    forwarded_for: [HeaderValue; 2],
    /// For requests of HTTP/1.0 that name no host.
    pub(super) local_authority: HeaderValue,
    pub(super) trace_ids: TraceIds,
    pub(super) clock: CoarseClock,
    /// When bytes last moved.
    last: AtomicU32,
    /// A request waits for the head of its response.
    waiting: AtomicBool,
    /// The wait took too long.
    expired: AtomicBool,
    /// The target in use.
    target: Mutex<Weak<LiveTarget>>,
}

impl Front {
    pub(super) fn new(listener: Arc<LiveListener>, peer: SocketAddr, local: SocketAddr, epoch: u32) -> Self {
        let clock = listener.clock.clone();
        // An address is always a valid header value.
        let value = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unknown"));
        let address = peer.ip().to_canonical();
        Self {
            peer: peer.ip(),
            forwarded_for: [
                value(address.to_string()),
                value(SocketAddr::new(address, peer.port()).to_string()),
            ],
            local_authority: value(local.to_string()),
            trace_ids: TraceIds::new(epoch, clock.clone()),
            last: AtomicU32::new(clock.now()),
            clock,
            listener,
            waiting: AtomicBool::new(false),
            expired: AtomicBool::new(false),
            target: Mutex::default(),
        }
    }

    /// What `X-Forwarded-For` says of the client.
    pub(super) fn forwarded_for(&self, with_port: bool) -> &HeaderValue {
        &self.forwarded_for[usize::from(with_port)]
    }

    /// Marks the wait for a target; over when the guard is dropped.
    pub(super) fn wait_for(&self, target: &Arc<LiveTarget>) -> Waiting<'_> {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(target);
        self.touch();
        self.expired.store(false, Relaxed);
        self.waiting.store(true, Relaxed);
        Waiting(self)
    }

    fn touch(&self) {
        self.last.store(self.clock.now(), Relaxed);
    }

    /// How long nothing has moved.
    pub(super) fn idle(&self) -> Duration {
        self.clock.since(self.last.load(Relaxed))
    }

    /// Whether the target's deregistration delay has passed with the request still in flight.
    pub(super) fn is_cut(&self) -> bool {
        self.target
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .upgrade()
            .is_some_and(|target| target.is_cut())
    }

    fn overdue(&self) -> Option<Overdue> {
        let idle = self.idle() >= self.listener.routes.load().idle_timeout;
        match (self.waiting.load(Relaxed), idle) {
            (true, true) => Some(Overdue::Answer),
            (true, false) => self.is_cut().then_some(Overdue::Answer),
            (false, true) => Some(Overdue::Everything),
            (false, false) => None,
        }
    }
}

enum Overdue {
    /// The client gets an error instead of the target's response.
    Answer,
    /// The connection is closed.
    Everything,
}

/// See [`Front::wait_for`].
pub(super) struct Waiting<'a>(&'a Front);

impl Waiting<'_> {
    pub(super) fn is_over(&self) -> bool {
        self.0.expired.load(Relaxed)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.store(false, Relaxed);
    }
}

/// Serves a connection until it ends.
pub(super) async fn serve<S>(front: Arc<Front>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let listener = front.listener.clone();
    listener.active.fetch_add(1, SeqCst);
    let watched = Watched { stream: Gathering(stream), front: front.clone() };
    let service = service_fn(|request| {
        let front = front.clone();
        async move { Ok::<_, Infallible>(proxy::handle(front, request).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(watched), service).with_upgrades();
    let mut connection = pin!(connection);
    let mut closing = pin!(listener.closing.cancelled());
    let mut is_closing = false;
    let mut look = pin!(tokio::time::sleep(LOOK));
    poll_fn(|cx| {
        loop {
            if !is_closing && closing.as_mut().poll(cx).is_ready() {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
            }
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if look.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let every = LOOK.min(listener.routes.load().idle_timeout / 4).max(super::clock::TICK);
            look.as_mut().reset(Instant::now() + every);
            match front.overdue() {
                Some(Overdue::Answer) => front.expired.store(true, Relaxed),
                Some(Overdue::Everything) => return Poll::Ready(()),
                None => {}
            }
        }
    })
    .await;
    listener.active.fetch_sub(1, SeqCst);
}

/// Notes when bytes move.
struct Watched<S> {
    stream: S,
    front: Arc<Front>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.front.touch();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if written.is_ready() {
            self.front.touch();
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        if written.is_ready() {
            self.front.touch();
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
