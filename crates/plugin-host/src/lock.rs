//! `pipeline.lock`: which plugins a pipeline trusts, by what they consist of.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::file::PluginError;

/// The version of the file that this program writes.
const VERSION: u32 = 1;

const HEAD: &str = "# Which plugins this pipeline trusts: the SHA-256 of each, by platform. `pipeline plugin` keeps it;\n\
                    # it belongs into version control.\n\n";

/// The name of this machine's platform in the file, such as `x86_64-linux`.
pub fn platform() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// The content of a `pipeline.lock`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockFile {
    version: u32,
    /// Plugin, as `uses` names it, to platform to hash.
    #[serde(default)]
    plugins: BTreeMap<String, BTreeMap<String, String>>,
}

/// What a lock file says of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockState {
    /// It is the one that is trusted.
    Trusted,
    /// It has no entry for this platform.
    Unknown,
    /// It is another one than the one that is trusted, whose hash this is.
    Changed(String),
}

impl LockFile {
    /// Reads the file at `path`; an empty one if there is none.
    ///
    /// # Errors
    /// It cannot be read, or is of a later version.
    pub fn read(path: &Path) -> Result<Self, PluginError> {
        let failed = |reason: String, help: &str| PluginError::new("lock file", reason, help);
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { version: VERSION, plugins: BTreeMap::new() });
            }
            Err(error) => return Err(failed(format!("{} cannot be read: {error}", path.display()), "")),
        };
        let file: Self = toml::from_str(&text).map_err(|error| {
            let help = "take it from version control, or remove it and run `pipeline plugin add`";
            failed(format!("{} is damaged: {}", path.display(), error.message()), help)
        })?;
        match file.version {
            VERSION => Ok(file),
            other => {
                let reason =
                    format!("{} has version {other}, and this program knows {VERSION}", path.display());
                Err(failed(reason, "use a newer `pipeline`"))
            }
        }
    }

    /// Writes the file as a whole.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new().prefix(".pipeline.lock").tempfile_in(folder)?;
        file.write_all(HEAD.as_bytes())?;
        file.write_all(text.as_bytes())?;
        // A file that is to be committed is for everybody who may read the folder.
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.persist(path).map(drop).map_err(|error| error.error)
    }

    /// What it says of `plugin` with this hash, on this platform.
    pub fn state(&self, plugin: &str, sha256: &str) -> LockState {
        match self.plugins.get(plugin).and_then(|platforms| platforms.get(&platform())) {
            None => LockState::Unknown,
            Some(trusted) if trusted == sha256 => LockState::Trusted,
            Some(trusted) => LockState::Changed(trusted.clone()),
        }
    }

    /// Trusts `plugin` with this hash on this platform.
    pub fn trust(&mut self, plugin: &str, sha256: &str) {
        self.plugins.entry(plugin.to_owned()).or_default().insert(platform(), sha256.to_owned());
    }

    /// The plugins that it names, with the platforms it knows them for.
    pub fn plugins(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.plugins
            .iter()
            .map(|(plugin, platforms)| (plugin.as_str(), platforms.keys().map(String::as_str).collect()))
    }

    /// Forgets every plugin that is not among `used`; the names of those.
    pub fn retain(&mut self, used: &[String]) -> Vec<String> {
        let gone: Vec<_> = self.plugins.keys().filter(|plugin| !used.contains(plugin)).cloned().collect();
        self.plugins.retain(|plugin, _| used.contains(plugin));
        gone
    }
}

/// Where the lock file of a pipeline in `directory` is.
pub(crate) fn place(directory: &Path) -> PathBuf {
    directory.join("pipeline.lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_other_platforms_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = place(folder.path());
        let elsewhere = "version = 1\n[plugins.\"./a.so\"]\nsparc-solaris = \"00\"\n";
        std::fs::write(&path, elsewhere).expect("written");
        let mut file = LockFile::read(&path).expect("read");
        assert_eq!(file.state("./a.so", "11"), LockState::Unknown);
        file.trust("./a.so", "11");
        file.write(&path).expect("written");
        let file = LockFile::read(&path).expect("read");
        assert_eq!(file.state("./a.so", "11"), LockState::Trusted);
        assert_eq!(file.state("./a.so", "22"), LockState::Changed("11".to_owned()));
        assert_eq!(file.plugins().next().expect("one").1.len(), 2);
    }

    #[test]
    fn a_later_version_and_a_damaged_file_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = place(folder.path());
        std::fs::write(&path, "version = 9\n").expect("written");
        assert!(LockFile::read(&path).unwrap_err().to_string().contains("version 9"));
        std::fs::write(&path, "<<<<<<< HEAD\n").expect("written");
        assert!(LockFile::read(&path).unwrap_err().to_string().contains("damaged"));
        assert_eq!(LockFile::read(&folder.path().join("none")).expect("empty").plugins().count(), 0);
    }
}
