//! Bodies on their way through. Frames are handed on as they come: nothing is collected.

use super::target::Lease;
use super::upstream::Upstream;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of a request to a target.
pub(super) enum RequestBody {
    /// None.
    Empty,
    /// What the client sends.
    Client(Incoming),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Client(incoming) => Pin::new(incoming).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client(incoming) => incoming.size_hint(),
        }
    }
}

/// The body of a response to a client.
pub(super) enum ResponseBody {
    /// The balancer's own words; `None` once sent.
    Own(Option<Bytes>),
    /// What a target sends.
    Target(TargetBody),
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Target(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Target(body) => body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Target(body) => body.incoming.size_hint(),
        }
    }
}

/// A response body together with the connection it comes from. Polling the body moves the connection on; at its
/// end the connection goes back to the target's pool. Dropped earlier, the connection is closed with it.
pub(super) struct TargetBody {
    incoming: Incoming,
    source: Option<(Upstream, Lease)>,
}

impl TargetBody {
    pub(super) fn new(incoming: Incoming, upstream: Upstream, lease: Lease) -> Self {
        Self { incoming, source: Some((upstream, lease)) }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if polled.is_pending()
            && let Some((upstream, _)) = &mut self.source
        {
            upstream.drive(cx);
            polled = Pin::new(&mut self.incoming).poll_frame(cx);
        }
        match &polled {
            Poll::Ready(None) => self.finish(),
            // hyper asks no further once a body of known length is complete.
            Poll::Ready(Some(Ok(_))) if self.incoming.is_end_stream() => self.finish(),
            Poll::Ready(Some(Err(_))) => self.source = None,
            _ => {}
        }
        polled
    }

    fn finish(&mut self) {
        if let Some((upstream, lease)) = self.source.take() {
            lease.give_back(upstream);
        }
    }
}
