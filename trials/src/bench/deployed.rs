//! The sample's pipeline on a cloud of its own, deployed once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pipeline_tests::{LocalCloud, LocalCloudOptions};
use tempfile::TempDir;

use super::{Bench, balancer};
use xtask::shell::{self, StepError};

/// The region of `pipeline.toml`.
pub(super) const REGION: &str = "eu-central-1";

/// The cloud and the state, which go when this is dropped.
pub(super) struct Deployed {
    /// Where the sample lives.
    pub(super) cloud: LocalCloud,
    state: TempDir,
    program: PathBuf,
}

impl Deployed {
    /// Starts a cloud with real tasks and deploys version 1.
    pub(super) fn start(bench: &Bench) -> Result<Self, StepError> {
        let options = LocalCloudOptions { runtime: "process", speed: 60.0, inert: false };
        let cloud = LocalCloud::start_by(bench.program.clone(), &options).map_err(StepError::Other)?;
        let deployed = Self::on(cloud, bench)?;
        println!("deploying the sample");
        shell::quiet(&mut deployed.command(&sample(), "1"))?;
        Ok(deployed)
    }

    /// On `cloud`, where nothing is deployed yet.
    pub(super) fn on(cloud: LocalCloud, bench: &Bench) -> Result<Self, StepError> {
        let state = tempfile::tempdir().map_err(StepError::file(std::env::temp_dir()))?;
        Ok(Self { cloud, state, program: bench.program.clone() })
    }

    /// `pipeline run` of `file`, which is the sample's, with a version.
    pub(super) fn command(&self, file: &Path, version: &str) -> Command {
        self.subcommand("run", file, version)
    }

    /// `pipeline plan` or `pipeline run` of `file`.
    pub(super) fn subcommand(&self, name: &str, file: &Path, version: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .current_dir(shell::root())
            .args([name, "--var", &format!("version={version}"), "--file"])
            .arg(file)
            .stdin(Stdio::null())
            .env("NO_COLOR", "1")
            .env("PIPELINE_CLOUD_DIR", self.cloud.directory())
            .env("PIPELINE_STATE", self.state.path());
        self.credentials(&mut command);
        command
    }

    /// Sets what AWS clients need to work on this cloud.
    pub(super) fn credentials(&self, command: &mut Command) {
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
        command
            .env("AWS_ACCESS_KEY_ID", "bench")
            .env("AWS_SECRET_ACCESS_KEY", "bench")
            .env("AWS_REGION", REGION)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("AWS_EC2_METADATA_DISABLED", "true");
    }

    /// A state for files of [`through`], which name the cloud as an account of AWS: what the other state knows belongs
    /// to the embedded cloud. It is made by a run that finds everything there.
    pub(super) fn state_through(&self) -> Result<TempDir, StepError> {
        let folder = || tempfile::tempdir().map_err(StepError::file(std::env::temp_dir()));
        let (state, files) = (folder()?, folder()?);
        let file = through(files.path(), self.endpoint()?)?;
        shell::quiet(self.command(&file, "1").env("PIPELINE_STATE", state.path()))?;
        Ok(state)
    }

    /// Where its cloud answers AWS calls.
    pub(super) fn endpoint(&self) -> Result<SocketAddr, StepError> {
        balancer::endpoint(&self.cloud)
    }
}

/// The sample's `pipeline.toml`.
pub(super) fn sample() -> PathBuf {
    shell::root().join("pipeline.toml")
}

/// A copy of the sample's file whose endpoint is at `address`, with the sample beside it.
pub(super) fn through(folder: &Path, address: SocketAddr) -> Result<PathBuf, StepError> {
    let original = std::fs::read_to_string(sample()).map_err(StepError::file(sample()))?;
    let target = format!("target = \"aws\"\nendpoint_url = \"http://{address}\"");
    let changed = original.replacen("target = \"local\"", &target, 1);
    let file = folder.join("pipeline.toml");
    std::fs::write(&file, changed).map_err(StepError::file(&file))?;
    let examples = folder.join("examples");
    std::os::unix::fs::symlink(shell::root().join("examples"), &examples)
        .map_err(StepError::file(&examples))?;
    Ok(file)
}
