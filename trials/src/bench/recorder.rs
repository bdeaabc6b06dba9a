//! A proxy that keeps every request that goes through it, to send it again later, and may take its time.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::http::{Connection, Message};
use xtask::shell::StepError;

/// Listens until it is dropped.
pub(super) struct Recorder {
    /// Where to send what is to be recorded.
    pub(super) address: SocketAddr,
    messages: Arc<Mutex<Vec<Message>>>,
    listening: AbortHandle,
}

impl Recorder {
    /// Starts one in front of `endpoint`.
    pub(super) async fn start(endpoint: SocketAddr) -> Result<Self, StepError> {
        Self::delaying(endpoint, Duration::ZERO).await
    }

    /// Starts one that passes each request on after `delay`, any number of them at once.
    pub(super) async fn delaying(endpoint: SocketAddr, delay: Duration) -> Result<Self, StepError> {
        let failed = |error: std::io::Error| StepError::Other(format!("cannot record calls: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let messages = Arc::new(Mutex::new(Vec::new()));
        let listening = tokio::spawn(listen(listener, endpoint, delay, Arc::clone(&messages))).abort_handle();
        Ok(Self { address, messages, listening })
    }

    /// The requests so far, in the order of their arrival.
    pub(super) fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(
    listener: TcpListener,
    endpoint: SocketAddr,
    delay: Duration,
    messages: Arc<Mutex<Vec<Message>>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let messages = Arc::clone(&messages);
        tokio::spawn(async move {
            let service = service_fn(|request| pass_on(request, endpoint, delay, &messages));
            // A client that leaves ends its connection; what it sent is recorded.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn pass_on(
    request: Request<Incoming>,
    endpoint: SocketAddr,
    delay: Duration,
    messages: &Mutex<Vec<Message>>,
) -> Result<Response<Full<Bytes>>, String> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    let message = Message::new(parts.method, parts.uri, parts.headers, body);
    messages.lock().unwrap_or_else(PoisonError::into_inner).push(message.clone());
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let mut answer = Connection::open(endpoint).await?.send(&message).await?;
    for header in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        answer.headers_mut().remove(header);
    }
    Ok(answer.map(Full::new))
}
