//! A folder with a pipeline, a cloud that it works on, and a place for its state.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use pipeline_tests::cloud::eventually;
use pipeline_tests::{Finished, LocalCloud, LocalCloudOptions, Pipeline, binary};
use serde_json::Value;
use tempfile::TempDir;

use crate::bucket::Bucket;

/// A `pipeline.toml` with one stage.
pub(crate) const FILE: &str = "[pipeline]\nname = \"hello\"\nenvironment = \"local\"\n\n[cloud]\ntarget = \"local\"\n\n\
                    [stages.registry]\nuses = \"ecr\"\n";

/// Where the state is kept.
pub(crate) enum Keep {
    Folder,
    Bucket(Bucket),
}

pub(crate) struct Place {
    folder: TempDir,
    cloud: LocalCloud,
    keep: Keep,
}

impl Place {
    /// With `file` as its `pipeline.toml`.
    pub(crate) fn new(file: &str, keep: Keep) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("pipeline.toml"), file).expect("written");
        Self { folder, cloud: LocalCloud::start(&LocalCloudOptions::default()).expect("a cloud"), keep }
    }

    /// With the sample at the top of the repository.
    pub(crate) fn sample(keep: Keep) -> Self {
        let repository = binary::repository();
        let hello = repository.join("examples/hello/hello");
        assert!(hello.exists(), "{} is missing: `cargo xtask sample` builds it", hello.display());
        let file = std::fs::read_to_string(repository.join("pipeline.toml")).expect("the sample");
        let place = Self::new(&file, keep);
        std::os::unix::fs::symlink(repository.join("examples"), place.path().join("examples"))
            .expect("linked");
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of a state that is kept in one.
    pub(crate) fn state(&self) -> PathBuf {
        self.path().join(".pipeline")
    }

    fn command(&self, args: &[&str]) -> Pipeline {
        let command = Pipeline::new(self.path()).args(args);
        let command = command.env("PIPELINE_CLOUD_DIR", self.cloud.directory());
        match &self.keep {
            Keep::Folder => command,
            Keep::Bucket(bucket) => bucket.keeps(command),
        }
    }

    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        self.command(args).run().expect("runs")
    }

    /// Runs a command that answers with JSON.
    pub(crate) fn ask(&self, args: &[&str]) -> Value {
        let answer = self.run(args).expect_code(0).stdout;
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args).into_command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
    }

    /// Starts `args` and waits until `stage` is being applied.
    pub(crate) fn spawn_until(&self, stage: &str, args: &[&str]) -> Child {
        let child = self.spawn(args);
        let begun = || {
            let status = self.ask(&["status", "--json"]);
            let running = status["prospect"] == "running" && status["stages"][stage] == "begun";
            if running { Ok(()) } else { Err(status.to_string()) }
        };
        eventually(Duration::from_secs(60), begun).expect("it begins");
        child
    }
}

pub(crate) fn finish(child: Child) -> Finished {
    child.wait_with_output().map(Finished::from).expect("it ends")
}
