//! Plain HTTP, so that what is measured is the other side.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, TRANSFER_ENCODING};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A request that can be sent more than once.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) method: Method,
    pub(super) path: Uri,
    /// Without those that belong to one connection.
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Message {
    /// Everything of a request that another connection may repeat.
    pub(super) fn new(method: Method, path: Uri, mut headers: HeaderMap, body: Bytes) -> Self {
        for header in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(header);
        }
        Self { method, path, headers, body }
    }
}

/// A connection that is kept.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    /// Connects to `address`.
    pub(super) async fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("{address}: {error}"))?;
        stream.set_nodelay(true).map_err(|error| format!("{address}: {error}"))?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("{address}: {error}"))?;
        tokio::spawn(async move {
            // How it ends shows in the request that uses it.
            let _ = connection.await;
        });
        Ok(Self { sender, host: address.to_string() })
    }

    /// Sends `message`; the answer is there as a whole, whatever its status.
    pub(super) async fn send(&mut self, message: &Message) -> Result<Response<Bytes>, String> {
        let failed = |error: hyper::Error| format!("{} {}: {error}", message.method, message.path);
        self.sender.ready().await.map_err(failed)?;
        let mut request = Request::new(Full::new(message.body.clone()));
        *request.method_mut() = message.method.clone();
        *request.uri_mut() = message.path.clone();
        *request.headers_mut() = message.headers.clone();
        let host = self.host.parse().map_err(|_| format!("{} is no host", self.host))?;
        request.headers_mut().insert(HOST, host);
        let (parts, body) = self.sender.send_request(request).await.map_err(failed)?.into_parts();
        let body = body.collect().await.map_err(failed)?.to_bytes();
        Ok(Response::from_parts(parts, body))
    }
}

/// Sends `message` over a connection of its own; an answer that is no success is an error.
pub(super) async fn send(address: SocketAddr, message: &Message) -> Result<Bytes, String> {
    let response = Connection::open(address).await?.send(message).await?;
    let status = response.status();
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        return Ok(response.into_body());
    }
    let said = String::from_utf8_lossy(response.body()).into_owned();
    Err(format!("{} {}: {status}: {said}", message.method, message.path))
}
