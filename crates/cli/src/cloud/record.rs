//! What a running cloud wrote down about itself.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::arguments::StartOptions;

const FILE: &str = "cloud.json";

/// Where a cloud listens and how it was started. Written before the cloud answers, trusted only
/// while its lock is held.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CloudRecord {
    /// The serving process.
    pub(crate) pid: u32,
    /// The AWS endpoint, as a URL.
    pub(crate) endpoint: String,
    /// How it was started.
    pub(crate) options: StartOptions,
}

impl CloudRecord {
    /// Reads the record; nothing if there is none or it is being written.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let bytes = std::fs::read(folder.join(FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Replaces the record.
    pub(super) fn write(&self, folder: &Path) -> std::io::Result<()> {
        let temporary = folder.join(format!("{FILE}.new"));
        std::fs::write(&temporary, serde_json::to_vec(self)?)?;
        std::fs::rename(temporary, folder.join(FILE))
    }

    /// How this cloud and `asked` differ, in words; nothing if `asked` is satisfied. A port of 0
    /// and default values ask for nothing.
    pub(super) fn differs_from(&self, asked: &StartOptions) -> Option<(String, String)> {
        let defaults = StartOptions::default();
        let same = |differs: bool, is_default: bool| !differs || is_default;
        let speed =
            same((self.options.speed - asked.speed).abs() > f64::EPSILON, asked.speed == defaults.speed);
        let runtime = same(self.options.runtime != asked.runtime, asked.runtime == defaults.runtime);
        let inert = same(self.options.inert != asked.inert, !asked.inert);
        let port = same(self.options.port != asked.port, asked.port == defaults.port || asked.port == 0);
        (!(speed && runtime && inert && port)).then(|| (self.options.to_string(), asked.to_string()))
    }
}
