//! An S3-compatible store that is not ours.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use pipeline_tests::Pipeline;
use pipeline_tests::binary::repository;
use pipeline_tests::python::programs;

/// A bucket in a store of its own, which ends with this.
pub(crate) struct Bucket {
    server: Child,
    endpoint: String,
    name: &'static str,
}

impl Bucket {
    pub(crate) fn new() -> Self {
        let bucket = Self::missing("states");
        bucket.aws(&["s3api", "create-bucket", "--bucket", bucket.name]);
        bucket
    }

    /// One that nobody made, in a store that is there.
    pub(crate) fn missing(name: &'static str) -> Self {
        let script = repository().join("tests/python/bucket.py");
        let mut command = Command::new(programs().join("python"));
        command.arg("-B").arg(script).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut server = command.spawn().expect("a store");
        let mut port = String::new();
        let mut said = BufReader::new(server.stdout.take().expect("standard output"));
        said.read_line(&mut port).expect("a port");
        Self { server, endpoint: format!("http://127.0.0.1:{}", port.trim()), name }
    }

    /// Has `command` keep its state here.
    pub(crate) fn keeps(&self, command: Pipeline) -> Pipeline {
        let command = command.env("PIPELINE_STATE", format!("s3://{}/team", self.name));
        self.settings().into_iter().fold(command, |command, (name, value)| command.env(name, value))
    }

    fn settings(&self) -> [(&'static str, &str); 4] {
        [
            ("AWS_ENDPOINT_URL_S3", self.endpoint.as_str()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]
    }

    fn aws(&self, args: &[&str]) {
        let mut command = Command::new(programs().join("aws"));
        let output = command.args(args).envs(self.settings()).stdin(Stdio::null()).output().expect("starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
