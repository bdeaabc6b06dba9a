//! What the daemon tells while it builds: JSON lines, in which BuildKit's part is protobuf.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pipeline_sdk::Context;
use prost::Message;
use serde::Deserialize;
use serde_json::Value;

/// How many lines of a failed command's output are shown.
const TAIL: usize = 12;

/// One line of the answer.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: String,
    /// The old builder's output, and Podman's.
    stream: Option<String>,
    error: Option<String>,
    #[serde(default)]
    aux: Value,
    /// Of an answer that is nothing but an error.
    message: Option<String>,
}

/// `moby.buildkit.v1.StatusResponse`, as far as it is read
/// (github.com/moby/buildkit/blob/master/api/services/control/control.proto).
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(message, repeated, tag = "1")]
    vertexes: Vec<Vertex>,
    #[prost(message, repeated, tag = "3")]
    logs: Vec<Log>,
}

/// One step of a build.
#[derive(Clone, PartialEq, Message)]
struct Vertex {
    #[prost(string, tag = "1")]
    digest: String,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(bool, tag = "4")]
    cached: bool,
    #[prost(message, optional, tag = "5")]
    started: Option<Moment>,
    #[prost(message, optional, tag = "6")]
    completed: Option<Moment>,
    #[prost(string, tag = "7")]
    error: String,
}

/// `google.protobuf.Timestamp`; only whether it is there matters.
#[derive(Clone, PartialEq, Message)]
struct Moment {}

#[derive(Clone, PartialEq, Message)]
struct Log {
    #[prost(string, tag = "1")]
    vertex: String,
    #[prost(bytes = "vec", tag = "4")]
    text: Vec<u8>,
}

/// Follows a build.
#[derive(Default)]
pub(crate) struct Trace {
    told: BTreeSet<String>,
    /// The last lines that each step wrote.
    output: BTreeMap<String, VecDeque<String>>,
    failed_step: Option<(String, String)>,
    error: Option<String>,
}

impl Trace {
    /// Reads one line and tells what is new in it.
    pub(crate) fn read(&mut self, cx: &Context, line: &[u8]) {
        let Ok(line) = serde_json::from_slice::<Line>(line) else { return };
        if let Some(error) = line.error.or(line.message) {
            self.error = Some(error);
        }
        if let Some(text) = line.stream.as_deref().map(str::trim).filter(|text| text.starts_with("Step ")) {
            cx.note(text);
        }
        let status = line.aux.as_str().filter(|_| line.id == "moby.buildkit.trace");
        let status = status.and_then(|text| STANDARD.decode(text).ok());
        if let Some(status) = status.and_then(|bytes| Status::decode(&*bytes).ok()) {
            self.follow(cx, status);
        }
    }

    fn follow(&mut self, cx: &Context, status: Status) {
        for log in status.logs {
            let lines = self.output.entry(log.vertex).or_default();
            lines.extend(String::from_utf8_lossy(&log.text).lines().map(str::to_owned));
            while lines.len() > TAIL {
                lines.pop_front();
            }
        }
        for vertex in status.vertexes {
            if !vertex.error.is_empty() {
                self.failed_step = Some((vertex.digest.clone(), vertex.name.clone()));
            }
            // BuildKit's own housekeeping has names without brackets or with `[internal]`.
            let is_step = vertex.name.starts_with('[') && !vertex.name.starts_with("[internal]");
            let is_over = vertex.cached || vertex.completed.is_some();
            if is_step && (is_over || vertex.started.is_some()) && self.told.insert(vertex.digest) {
                cx.note(if vertex.cached { format!("{} (cached)", vertex.name) } else { vertex.name });
            }
        }
    }

    /// Why the build failed, if it did, with the end of the failed command's output.
    pub(crate) fn end(self) -> Option<String> {
        let mut message = self.error?;
        if let Some((digest, name)) = self.failed_step {
            message = format!("{name}: {message}");
            for line in self.output.get(&digest).into_iter().flatten() {
                message.push_str("\n  ");
                message.push_str(line);
            }
        }
        Some(message)
    }
}
