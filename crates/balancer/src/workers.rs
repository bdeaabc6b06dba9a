//! The threads that carry the traffic.
//!
//! Each has an event loop of its own and keeps a client connection, and the connections to targets that it
//! uses, to itself: forwarding a request then never wakes another thread. With the shared scheduler of the
//! program's main runtime every request did.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// More threads than this carry no more traffic on a developer's machine.
const MOST: usize = 8;

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(0) };
}

/// Running worker threads. They end when the token they were started with is cancelled.
pub(super) struct Workers {
    handles: Vec<Handle>,
    turn: AtomicUsize,
}

impl Workers {
    /// How many workers there will be: one for each processor.
    pub(super) fn count() -> usize {
        thread::available_parallelism().map_or(1, usize::from).min(MOST)
    }

    /// The number of the worker that this thread is; 0 on all other threads.
    pub(super) fn shard() -> usize {
        SHARD.get()
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// When the operating system refuses a thread or an event loop.
    pub(super) fn start(killed: &CancellationToken) -> io::Result<Self> {
        let handles =
            (0..Self::count()).map(|shard| start(shard, killed.clone())).collect::<io::Result<_>>()?;
        Ok(Self { handles, turn: AtomicUsize::new(0) })
    }

    /// The worker for the next connection.
    pub(super) fn next(&self) -> &Handle {
        &self.handles[self.turn.fetch_add(1, Relaxed) % self.handles.len()]
    }
}

fn start(shard: usize, killed: CancellationToken) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name(format!("balancer-{shard}")).spawn(move || {
        SHARD.set(shard);
        runtime.block_on(killed.cancelled());
    })?;
    Ok(handle)
}
