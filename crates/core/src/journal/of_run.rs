//! The journal of one run as a whole.

use pipeline_sdk::RunId;

use super::{JournalError, Record, Recovered, read, recover};
use crate::store::StateStore;

/// The journal of one run: its records, and what they say about it.
#[derive(Clone, Debug)]
pub struct RunJournal {
    /// The run.
    pub run: RunId,
    /// Every record, in order.
    pub records: Vec<Record>,
    /// Where the run is by them.
    pub recovered: Recovered,
}

impl RunJournal {
    /// Reads the journal of `run`, which need not have ended.
    ///
    /// # Errors
    /// It is damaged, of a newer version or of another run, or cannot be read.
    pub async fn load(store: &dyn StateStore, environment: &str, run: RunId) -> Result<Self, JournalError> {
        let reading = read(&store.journal(environment, run).read().await?)?;
        if let Some(found) = reading.run.filter(|found| *found != run) {
            return Err(JournalError::OtherRun { found, wanted: run });
        }
        let recovered = recover(&reading.records)?;
        Ok(Self { run, records: reading.records, recovered })
    }
}
