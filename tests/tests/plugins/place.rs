//! A folder with a pipeline and the plugins that it uses, and a cloud that it works on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use pipeline_tests::{Finished, LocalCloud, LocalCloudOptions, Pipeline, binary};
use tempfile::TempDir;

pub(crate) struct Place {
    folder: TempDir,
    cloud: LocalCloud,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, cloud: LocalCloud::start(&LocalCloudOptions::default()).expect("a cloud") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `pipeline.toml`, with what every pipeline begins with.
    pub(crate) fn write(&self, text: &str) {
        let head = "[pipeline]\nname = \"shop\"\nenvironment = \"test\"\n[cloud]\ntarget = \"local\"\n";
        fs::write(self.path("pipeline.toml"), format!("{head}{text}")).expect("written");
    }

    /// Puts a library of this build into the folder.
    pub(crate) fn library(&self, name: &str) {
        binary::put_library(name, self.folder.path());
    }

    /// Puts an executable plugin of the examples into the folder, with what lies beside it.
    pub(crate) fn python(&self, example: &str) {
        let folder = binary::repository().join("examples/plugins").join(example);
        for entry in fs::read_dir(folder).expect("the example").flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "py") {
                fs::copy(entry.path(), self.path(&entry.file_name().to_string_lossy())).expect("copied");
            }
        }
    }

    /// Puts an executable plugin of a test's own into the folder.
    pub(crate) fn executable(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).expect("changed");
    }

    /// Builds the example in C as its own Makefile does, in the folder.
    pub(crate) fn c(&self, example: &str, library: &str) {
        let folder = binary::repository().join("examples/plugins").join(example);
        let build = self.path("build");
        fs::create_dir_all(&build).expect("a folder");
        for entry in
            fs::read_dir(folder).expect("the example").flatten().filter(|entry| entry.path().is_file())
        {
            fs::copy(entry.path(), build.join(entry.file_name())).expect("copied");
        }
        let made = Command::new("make").arg("test").current_dir(&build).output().expect("make");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::copy(build.join(library), self.path(library)).expect("copied");
    }

    /// Where AWS clients reach its cloud.
    pub(crate) fn endpoint(&self) -> String {
        self.cloud.endpoint().expect("an endpoint")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Pipeline {
        let command = Pipeline::new(self.folder.path()).args(args);
        command.env("PIPELINE_CLOUD_DIR", self.cloud.directory()).env("CI", "")
    }

    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        self.command(args).run().expect("runs")
    }

    /// Everything that the pipeline keeps.
    pub(crate) fn kept(&self) -> String {
        let mut text = String::new();
        let mut folders = vec![self.path(".pipeline")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.path() {
                    path if path.is_dir() => folders.push(path),
                    path => text.push_str(&String::from_utf8_lossy(&fs::read(path).unwrap_or_default())),
                }
            }
        }
        text
    }
}
