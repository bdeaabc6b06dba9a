//! Small writes in one piece.
//!
//! `writev` costs the kernel more than `send` does, and most requests and answers are small: copying them together is
//! cheaper.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// As many bytes are copied together at most.
const SMALL: usize = 1024;

/// Writes `slices` as far as they go.
fn poll_write<S: AsyncWrite>(
    stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [only] = slices {
        return stream.poll_write(cx, only);
    }
    let length = slices.iter().map(|slice| slice.len()).sum();
    if length > SMALL {
        return stream.poll_write_vectored(cx, slices);
    }
    let (mut together, mut end) = ([0; SMALL], 0);
    for slice in slices {
        together[end..end + slice.len()].copy_from_slice(slice);
        end += slice.len();
    }
    stream.poll_write(cx, &together[..length])
}

/// A stream that gathers what it writes.
pub(super) struct Gathering<S>(pub(super) S);

impl<S: AsyncRead + Unpin> AsyncRead for Gathering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathering<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_write(Pin::new(&mut self.0), cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn slices_arrive_in_their_order_small_and_large() {
        for sizes in [vec![3, 0, 5], vec![700, 324], vec![700, 325], vec![1, 5000, 2], vec![4]] {
            let slices: Vec<Vec<u8>> =
                sizes.iter().enumerate().map(|(i, size)| vec![i as u8 + 1; *size]).collect();
            let (client, mut server) = tokio::io::duplex(64);
            let wanted = slices.concat();
            let read = tokio::spawn(async move {
                let mut all = Vec::new();
                server.read_to_end(&mut all).await.unwrap();
                all
            });
            let mut client = Gathering(client);
            let mut slices: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
            let mut left = &mut slices[..];
            while left.iter().any(|slice| !slice.is_empty()) {
                let written = client.write_vectored(left).await.unwrap();
                IoSlice::advance_slices(&mut left, written);
            }
            drop(client);
            assert_eq!(read.await.unwrap(), wanted, "{sizes:?}");
        }
    }
}
