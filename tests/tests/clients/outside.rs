//! Calling programs of others on a cloud of one's own.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use pipeline_tests::LocalCloud;
use pipeline_tests::binary::repository;
use pipeline_tests::python::programs;
use serde_json::Value;

/// The region that the clients use; any would do.
pub(crate) const REGION: &str = "eu-central-1";

/// `program`, with nothing of the caller's AWS settings and with `cloud` as all of AWS.
pub(crate) fn command(cloud: &LocalCloud, program: impl Into<PathBuf>) -> Command {
    let mut command = Command::new(program.into());
    for (name, _) in std::env::vars() {
        if name.starts_with("AWS_") || name.to_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command
        .stdin(Stdio::null())
        .env("AWS_ENDPOINT_URL", cloud.endpoint().expect("the cloud has an endpoint"))
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_PAGER", "")
        .env("NO_PROXY", "*");
    command
}

/// Runs a program that has to succeed; the answer is its standard output.
pub(crate) fn succeed(command: &mut Command) -> String {
    let (succeeded, output) = ended(command);
    assert!(succeeded, "{command:?} failed:\n{output}");
    output
}

/// Runs a program that has to fail; the answer is all that it printed.
pub(crate) fn fail(command: &mut Command) -> String {
    let (succeeded, output) = ended(command);
    assert!(!succeeded, "{command:?} should fail:\n{output}");
    output
}

/// Whether it succeeded; what it printed to standard output, and if it failed to standard error.
fn ended(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        text.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    (output.status.success(), text)
}

/// Runs one of the scripts in `tests/python`.
pub(crate) fn python(cloud: &LocalCloud, script: &str, args: &[&str]) -> String {
    let path = repository().join("tests/python").join(script);
    let mut command = command(cloud, programs().join("python"));
    succeed(command.arg("-B").arg(path).args(args))
}

/// Makes a service with `make.py`; the answer is what it tells.
pub(crate) fn make(cloud: &LocalCloud, args: &[&str]) -> Value {
    serde_json::from_str(&python(cloud, "make.py", args)).expect("make.py prints JSON")
}

/// Runs the AWS CLI; the answer is its JSON, or null if it printed none.
pub(crate) fn aws(cloud: &LocalCloud, args: &[&str]) -> Value {
    let output = succeed(&mut aws_command(cloud, args));
    serde_json::from_str(&output).unwrap_or_default()
}

/// The AWS CLI, to be run.
pub(crate) fn aws_command(cloud: &LocalCloud, args: &[&str]) -> Command {
    let mut command = command(cloud, programs().join("aws"));
    command.args(args);
    command
}

/// A string within JSON.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no text at {pointer} in {value}"))
}
