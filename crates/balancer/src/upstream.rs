//! One connection to a target.
//!
//! The task of the client's connection drives it directly while it carries a request, so that forwarding a
//! request wakes no other task. While idle in a pool nobody drives it.

use super::body::RequestBody;
use super::gather::Gathering;
use super::table::TargetProtocol;
use super::tls;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What [`Upstream::send`] ends with.
pub(super) type Sent = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// One connection to a target.
pub(super) struct Upstream {
    sender: SendRequest<RequestBody>,
    driver: Driver,
    /// Reading of the coarse clock when it was put into the pool.
    pub(super) idle_since: u32,
}

enum Driver {
    Plain(Box<Connection<TokioIo<Gathering<TcpStream>>, RequestBody>>),
    Tls(Box<Connection<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>, RequestBody>>),
    /// A task of its own drives it, for a connection that may become a tunnel.
    Detached,
    Closed,
}

impl Upstream {
    /// Connects to a target.
    ///
    /// # Errors
    /// Those of the connection or of the TLS handshake.
    pub(super) async fn connect(address: SocketAddr, protocol: TargetProtocol) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = match protocol {
            TargetProtocol::Http => {
                let (sender, connection) = handshake(Gathering(stream)).await?;
                (sender, Driver::Plain(Box::new(connection)))
            }
            TargetProtocol::Https => {
                let (sender, connection) = handshake(tls::connect(address, stream).await?).await?;
                (sender, Driver::Tls(Box::new(connection)))
            }
        };
        Ok(Self { sender, driver, idle_since: 0 })
    }

    /// Has a task drive the connection, which lets it become a tunnel.
    pub(super) fn detach(&mut self) {
        match std::mem::replace(&mut self.driver, Driver::Detached) {
            // Its errors reach whoever waits for the response or reads from the tunnel.
            Driver::Plain(connection) => drop(tokio::spawn(connection.with_upgrades())),
            Driver::Tls(connection) => drop(tokio::spawn(connection.with_upgrades())),
            other => self.driver = other,
        }
    }

    /// Sends a request and waits for the head of its response. `give_up` is asked whenever the task is woken.
    /// `None` when it was given up.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
        give_up: impl Fn() -> bool,
    ) -> Option<Sent> {
        let mut response = pin!(self.sender.try_send_request(request));
        let driver = &mut self.driver;
        poll_fn(|cx| {
            driver.poll(cx);
            match response.as_mut().poll(cx) {
                Poll::Ready(sent) => Poll::Ready(Some(sent)),
                Poll::Pending if give_up() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Moves bytes.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        self.driver.poll(cx);
    }

    /// Whether it can take another request, as far as is known without asking the target.
    pub(super) fn is_open(&mut self) -> bool {
        if matches!(self.driver, Driver::Detached) {
            return false;
        }
        self.driver.poll(&mut Context::from_waker(Waker::noop()));
        !matches!(self.driver, Driver::Closed) && self.sender.is_ready()
    }
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) {
        let done = match self {
            Self::Plain(connection) => Pin::new(&mut **connection).poll(cx).is_ready(),
            Self::Tls(connection) => Pin::new(&mut **connection).poll(cx).is_ready(),
            Self::Detached | Self::Closed => false,
        };
        if done {
            *self = Self::Closed;
        }
    }
}

async fn handshake<S>(
    stream: S,
) -> io::Result<(SendRequest<RequestBody>, Connection<TokioIo<S>, RequestBody>)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    Builder::new().handshake(TokioIo::new(stream)).await.map_err(io::Error::other)
}
