//! Where the bytes of a journal are.

use async_trait::async_trait;
use bytes::Bytes;

use super::JournalError;

/// The file of one journal, or what stands for it. Only whole batches of lines are appended.
#[async_trait]
pub trait JournalFile: Send + Sync {
    /// What people call it: a path or an address.
    fn place(&self) -> String;

    /// All that is there; empty if there is nothing yet. Appending then goes on after it.
    ///
    /// # Errors
    /// It exists and cannot be read.
    async fn read(&mut self) -> Result<Vec<u8>, JournalError>;

    /// Cuts off what is after the first `length` bytes, which were just read.
    ///
    /// # Errors
    /// It could not be cut, or this sort of file never has a torn end.
    async fn truncate(&mut self, length: u64) -> Result<(), JournalError>;

    /// Returns once `batch` is durable after all that was read or appended before. A file that was
    /// not read is new.
    ///
    /// # Errors
    /// [`JournalError::Fenced`] if something is there that this writer neither read nor wrote. After
    /// any error it is unknown what is there, and nothing more may be appended.
    async fn append(&mut self, batch: Bytes) -> Result<(), JournalError>;
}
