//! Waiting for a disk of this machine.

use std::io;

use tokio::runtime::{Handle, RuntimeFlavor};

/// Does `work`, which waits for the disk for long enough that others should go on meanwhile.
pub(crate) async fn write<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// Does `work`, which looks at short files. To wake a thread for that takes longer than the look, so it is done at once
/// where nobody has to wait for it: on a thread that carries out no tasks.
pub(crate) async fn read<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    if has_no_tasks() { Ok(work()) } else { write(work).await }
}

/// Whether this is the thread that has started a runtime with threads of its own for its tasks.
fn has_no_tasks() -> bool {
    let threads = Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
    threads && tokio::task::try_id().is_none()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    async fn is_read_here() -> bool {
        let here = thread::current().id();
        read(|| thread::current().id()).await.expect("read") == here
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_a_thread_without_tasks_looks_by_itself() {
        assert!(is_read_here().await);
        assert!(!tokio::spawn(is_read_here()).await.expect("ends"));
    }

    #[tokio::test]
    async fn a_thread_that_does_everything_does_not_stand_still() {
        assert!(!is_read_here().await);
    }
}
