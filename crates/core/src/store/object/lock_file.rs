//! How a lock is written: JSON with a version.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Object;
use crate::store::{Holder, StoreError};

/// The version this program writes. It reads this one and all before it.
const VERSION: u32 = 1;

/// What `lock.json` says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LockFile {
    /// How often the lock was taken so far.
    pub(super) epoch: u64,
    /// Random, and another one whenever the lock is taken: tells one's own lock.
    pub(super) nonce: String,
    /// How long it lives without being renewed.
    life_ms: u64,
    /// How often it was renewed.
    renewals: u64,
    /// Who holds it; `None` once it was given back.
    pub(super) holder: Option<Holder>,
}

#[derive(Serialize, Deserialize)]
struct LockFileV1 {
    version: u32,
    status: Status,
    epoch: u64,
    nonce: String,
    ttl_ms: u64,
    renewals: u64,
    holder: Option<Holder>,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Held,
    Released,
}

#[derive(Deserialize)]
struct Header {
    version: u32,
}

impl LockFile {
    /// The lock that `holder` takes now.
    pub(super) fn held(epoch: u64, life: Duration, holder: Holder) -> Self {
        let nonce = format!("{:032x}", rand::random::<u128>());
        let life_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
        Self { epoch, nonce, life_ms, renewals: 0, holder: Some(holder) }
    }

    /// The same lock, renewed once more.
    pub(super) fn renewed(&self) -> Self {
        Self { renewals: self.renewals + 1, ..self.clone() }
    }

    /// The same lock, given back.
    pub(super) fn released(&self) -> Self {
        Self { holder: None, ..self.clone() }
    }

    /// How long it lives without being renewed.
    pub(super) fn life(&self) -> Duration {
        Duration::from_millis(self.life_ms)
    }

    pub(super) fn write(&self) -> Bytes {
        let Self { epoch, nonce, life_ms, renewals, holder } = self.clone();
        let status = if holder.is_some() { Status::Held } else { Status::Released };
        let file = LockFileV1 { version: VERSION, status, epoch, nonce, ttl_ms: life_ms, renewals, holder };
        // Numbers and text only: it cannot fail.
        let mut text = serde_json::to_vec_pretty(&file).unwrap_or_default();
        text.push(b'\n');
        text.into()
    }

    pub(super) fn read(object: &Object, bytes: &[u8]) -> Result<Self, StoreError> {
        Self::parse(bytes).map_err(|reason| StoreError::Damaged { place: object.place(), reason })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let Header { version } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if version > VERSION {
            return Err(format!("it has version {version}; use a newer `pipeline`"));
        }
        let file: LockFileV1 = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let LockFileV1 { status, epoch, nonce, ttl_ms, renewals, holder, .. } = file;
        let holder = holder.filter(|_| status == Status::Held);
        Ok(Self { epoch, nonce, life_ms: ttl_ms, renewals, holder })
    }
}

#[cfg(test)]
mod tests {
    use pipeline_sdk::RunId;

    use super::*;

    const GOLDEN: &str = include_str!("../../../tests/golden/lock-v1.json");

    #[test]
    fn the_golden_file_is_what_is_written_and_reads_as_what_was_meant() {
        let holder = Holder {
            run: RunId::parse("01932d07-4a00-7000-8000-000000000001").expect("run"),
            pid: 4711,
            host: "build-7".to_owned(),
            since: "2026-11-25T10:00:00Z".parse().expect("time"),
        };
        let nonce = "7f3a0c5e91d2b84667aa01fe23cd9b10".to_owned();
        let lock = LockFile { epoch: 3, nonce, life_ms: 30_000, renewals: 2, holder: Some(holder) };
        assert_eq!(String::from_utf8_lossy(&lock.write()), GOLDEN);
        assert_eq!(LockFile::parse(GOLDEN.as_bytes()).expect("reads"), lock);
        assert_eq!(LockFile::parse(&lock.released().write()).expect("reads"), lock.released());
        let newer = GOLDEN.replace("\"version\": 1", "\"version\": 2");
        let error = LockFile::parse(newer.as_bytes()).expect_err("newer");
        assert_eq!(error, "it has version 2; use a newer `pipeline`");
    }
}
