//! What a program and a plugin say to each other: one schema for libraries and for executables.
//!
//! A message is one JSON object with three keys: `{"type": …, "id": …, "body": …}`. An executable gets
//! and gives one a line, a library one a call ([`abi`](crate::abi)). The host calls (`hello`, `open`,
//! `plan`, `apply`, `rollback`, `notify`) and the plugin answers each with one `result` of the same id,
//! in any order. While a call is open the plugin may say `progress`, and `ask` for what only the host
//! can do; the host answers with `answer`, under the number that the plugin has given its question.
//!
//! Both sides ignore keys that they do not know; that is how the schema grows. All of it is UTF-8.

use std::borrow::Cow;
use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{
    ApplyError, Done, EventRecord, Inputs, Manifest, Mode, NotifyError, Outputs, PipelineId, Prior, Progress,
    ProgressLevel, RunId, StageError, StageName, StagePlan, with_causes,
};

/// The version of this schema. A plugin that was made for a later one answers `hello` with an error.
pub const PROTOCOL: u32 = 1;

/// The longest message, in bytes. A longer one ends the conversation.
pub const LONGEST_MESSAGE: usize = 16 << 20;

/// Reads the next message of an executable into `line`, without what ends the line; `false` once there are no more.
///
/// # Errors
/// The message is longer than [`LONGEST_MESSAGE`], or `input` cannot be read.
pub fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    if input.by_ref().take(LONGEST_MESSAGE as u64 + 1).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > LONGEST_MESSAGE {
        let reason = format!("a message of more than {} MiB", LONGEST_MESSAGE >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(true)
}

/// Writes a message of an executable, at once.
///
/// # Errors
/// Whoever reads `output` is gone.
pub fn write_line(output: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let mut line = Vec::with_capacity(message.len() + 1);
    line.extend_from_slice(message);
    line.push(b'\n');
    output.write_all(&line)
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageType {
    /// Host: the first call. The body is a [`Hello`], the result [`Welcome`].
    Hello,
    /// Host: plan a stage. The body is a [`PlanCall`], the result a [`StagePlan`].
    Plan,
    /// Host: apply a plan. The body is an [`ApplyCall`], the result [`Outputs`].
    Apply,
    /// Host: undo what was done. The body is a [`RollbackCall`], the result `null`.
    Rollback,
    /// Host: make a notifier. The body is an [`OpenCall`], the result `null`.
    Open,
    /// Host: deliver an event. The body is a [`NotifyCall`], the result `null`.
    Notify,
    /// Host: the call of this id should end soon, at a point that leaves nothing half done. It still gets
    /// its one result. The body is `null`.
    Cancel,
    /// Host: what came of the `ask` of this id. The body is a [`Reply`].
    Answer,
    /// Plugin: what came of the call of this id. The body is a [`Reply`].
    Result,
    /// Plugin: a question under a number of the plugin's own. The body is a [`Question`].
    Ask,
    /// Plugin: the call of this id has something to say. The body is a [`Progress`].
    Progress,
    /// Plugin: something for the log; the id is that of a call, or 0. The body is a [`LogLine`].
    Log,
    /// What this version does not know. A plugin answers it with a `result` that is an error; a host leaves it
    /// alone.
    #[serde(other)]
    Unknown,
}

/// A message whose body was not read yet.
#[derive(Debug, Serialize, Deserialize)]
pub struct Message<'a> {
    /// What it is.
    #[serde(rename = "type")]
    pub message: MessageType,
    /// Which call or question it belongs to.
    pub id: u64,
    /// What it says, as [`MessageType`] tells.
    #[serde(borrow)]
    pub body: &'a RawValue,
}

/// A message that is about to be sent.
#[derive(Debug, Serialize)]
pub struct Outgoing<'a, T> {
    /// What it is.
    #[serde(rename = "type")]
    pub message: MessageType,
    /// Which call or question it belongs to.
    pub id: u64,
    /// What it says.
    pub body: &'a T,
}

impl<T: Serialize> Outgoing<'_, T> {
    /// The message as it is sent.
    ///
    /// # Errors
    /// The body is not JSON: a map with keys that are no texts.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        // Most messages are shorter, and need no second piece of memory. glibc keeps pieces up to this at hand.
        self.encode_into(Vec::with_capacity(1000))
    }

    /// The message as it is sent, in memory that is there.
    ///
    /// # Errors
    /// As [`Outgoing::encode`].
    pub fn encode_into(&self, mut bytes: Vec<u8>) -> Result<Vec<u8>, serde_json::Error> {
        bytes.clear();
        serde_json::to_writer(&mut bytes, self)?;
        Ok(bytes)
    }
}

/// What came of a call or a question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reply<T> {
    /// It worked.
    Ok(T),
    /// It did not.
    Error(WireError),
}

impl<T, E: Into<WireError>> From<Result<T, E>> for Reply<T> {
    fn from(result: Result<T, E>) -> Self {
        result.map_or_else(|error| Self::Error(error.into()), Self::Ok)
    }
}

impl<T> Reply<T> {
    /// What came of it.
    ///
    /// # Errors
    /// What the other side says went wrong.
    pub fn result(self) -> Result<T, WireError> {
        match self {
            Self::Ok(value) => Ok(value),
            Self::Error(error) => Err(error),
        }
    }
}

/// Why something did not work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WireError {
    /// Which kind of error.
    pub kind: WireErrorKind,
    /// What happened, in one line.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The input that is wrong, dotted; only with [`WireErrorKind::Input`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What was known when an `apply` failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub so_far: Option<Box<Outputs>>,
}

/// Which kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WireErrorKind {
    /// An input is wrong in a way that only the plugin can tell.
    Input,
    /// The world refused.
    Failed,
    /// The world refused, and trying again may help. Only a notifier tells it from `failed`.
    Retryable,
    /// What was deployed was rolled back by whoever deploys: the world is as it was.
    RolledBack,
    /// It was cancelled.
    Cancelled,
}

impl WireError {
    /// An error with a message and nothing else to say.
    pub fn new(kind: WireErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: None, field: None, so_far: None }
    }

    /// The world refused, and nobody knows what to do about it.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(WireErrorKind::Failed, message)
    }
}

impl From<StageError> for WireError {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Input { field, message } => {
                Self { field: Some(field), ..Self::new(WireErrorKind::Input, message) }
            }
            // Causes do not travel by themselves.
            StageError::Failed { ref help, .. } => {
                Self { help: help.clone(), ..Self::failed(with_causes(&error)) }
            }
            StageError::RolledBack { message, help } => {
                Self { help, ..Self::new(WireErrorKind::RolledBack, message) }
            }
            StageError::Cancelled => Self::new(WireErrorKind::Cancelled, "cancelled"),
        }
    }
}

impl From<ApplyError> for WireError {
    fn from(ApplyError { error, so_far }: ApplyError) -> Self {
        Self { so_far: Some(Box::new(so_far)), ..Self::from(error) }
    }
}

impl From<NotifyError> for WireError {
    fn from(NotifyError { message, retryable }: NotifyError) -> Self {
        Self::new(if retryable { WireErrorKind::Retryable } else { WireErrorKind::Failed }, message)
    }
}

impl From<WireError> for StageError {
    fn from(error: WireError) -> Self {
        let WireError { kind, message, help, field, .. } = error;
        match kind {
            WireErrorKind::Input => StageError::Input { field: field.unwrap_or_default(), message },
            WireErrorKind::Failed | WireErrorKind::Retryable => {
                StageError::Failed { message, help, source: None }
            }
            WireErrorKind::RolledBack => StageError::RolledBack { message, help },
            WireErrorKind::Cancelled => StageError::Cancelled,
        }
    }
}

impl From<WireError> for ApplyError {
    fn from(mut error: WireError) -> Self {
        let so_far = error.so_far.take().unwrap_or_default();
        Self { error: error.into(), so_far: *so_far }
    }
}

impl From<WireError> for NotifyError {
    fn from(error: WireError) -> Self {
        Self { message: error.message, retryable: error.kind == WireErrorKind::Retryable }
    }
}

/// The host's first call.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Hello {
    /// The version of the schema that the host speaks: [`PROTOCOL`].
    pub protocol: u32,
    /// The host's name and version, such as `pipeline 0.1.0`.
    pub host: String,
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Welcome {
    /// The version of the schema that the plugin speaks.
    pub protocol: u32,
    /// What the plugin is called.
    pub name: String,
    /// Its own version.
    #[serde(default)]
    pub version: String,
    /// The stages it has.
    #[serde(default)]
    pub stages: Vec<Manifest>,
    /// The notifiers it has.
    #[serde(default)]
    pub notifiers: Vec<Manifest>,
}

/// What a stage is told about the run it takes part in: [`Context`](crate::Context) on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallContext<'a> {
    /// The stage's name in the pipeline.
    pub stage: Cow<'a, StageName>,
    /// The run.
    pub run: RunId,
    /// Which app and environment.
    pub pipeline: Cow<'a, PipelineId>,
    /// The folder of `pipeline.toml`, absolute: relative paths in inputs start here.
    pub directory: Cow<'a, Path>,
    /// What the plan is for.
    pub mode: Mode,
    /// What the environment's state remembers of the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior: Option<Cow<'a, Prior>>,
    /// The same whenever this stage of this run is called, also after a crash: 32 hexadecimal digits.
    pub idempotency_key: String,
}

/// Plan a stage, by reading only.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlanCall<'a> {
    /// Which of the plugin's stages: [`Manifest::kind`].
    pub kind: Cow<'a, str>,
    /// The run.
    pub context: CallContext<'a>,
    /// Its inputs. `{"$unknown": ORIGIN}` stands for one that is not known yet, `{"$secret": REFERENCE}`
    /// for one that the plugin gets by asking ([`Question::Secret`]).
    pub inputs: Inputs,
}

/// Do what a plan says and nothing else.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ApplyCall<'a> {
    /// Which of the plugin's stages.
    pub kind: Cow<'a, str>,
    /// The run.
    pub context: CallContext<'a>,
    /// What the last `plan` of this stage answered, with every value known.
    pub plan: Cow<'a, StagePlan>,
}

/// Undo what was done, last first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RollbackCall<'a> {
    /// Which of the plugin's stages.
    pub kind: Cow<'a, str>,
    /// The run.
    pub context: CallContext<'a>,
    /// The inputs that the run was planned with, as far as they are still known; secrets as references.
    #[serde(default)]
    pub inputs: Inputs,
    /// What the run did, as the journal knows it. One without `after` may or may not have happened.
    pub done: Cow<'a, [Done]>,
}

/// Make a notifier.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OpenCall {
    /// Which of the plugin's notifiers.
    pub kind: String,
    /// What it is called from now on.
    pub notifier: String,
    /// The folder of `pipeline.toml`, absolute: relative paths in inputs start here.
    pub directory: PathBuf,
    /// Its inputs, all known; secrets as references.
    pub inputs: Inputs,
}

/// Deliver an event. It may come again if the host did not hear that it was taken.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NotifyCall<'a> {
    /// The notifier, by the name that `open` gave it.
    pub notifier: Cow<'a, str>,
    /// What happened.
    pub event: Cow<'a, EventRecord>,
}

/// What a plugin may ask of the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Question {
    /// The open call that it asks for.
    pub call: u64,
    /// What it asks.
    #[serde(flatten)]
    pub service: Service,
}

/// What a host does for plugins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "service", rename_all = "snake_case")]
pub enum Service {
    /// During `apply`: a side effect is about to begin. The answer is its number, and comes once the
    /// intent is durable; only then may the side effect begin.
    Intent {
        /// What is about to be done, with all that is needed to undo it. Without `after`.
        intent: Done,
    },
    /// During `apply`: what a side effect left. The answer is `null`.
    Done {
        /// The number of the intent.
        intent: u64,
        /// What is there now: an object, empty if nothing needs to be known. `null` is taken as empty.
        after: Value,
    },
    /// The secret behind a reference of the inputs that the stage was last planned with, is rolled back with, or
    /// that the notifier is opened with. The answer is a text.
    Secret {
        /// The text in `{"$secret": …}`.
        reference: String,
    },
    /// How to reach AWS as the rest of the pipeline does. The answer is an [`AwsAccess`].
    Aws {},
}

/// How to reach AWS as the rest of the pipeline does.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AwsAccess {
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// An endpoint that replaces those of AWS: that of the embedded cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// The access key's id.
    pub access_key_id: String,
    /// The access key. A secret.
    pub secret_access_key: String,
    /// The session's token, for keys that end. A secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<String>,
}

impl std::fmt::Debug for AwsAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { region, endpoint_url, access_key_id, .. } = self;
        let mut shown = f.debug_struct("AwsAccess");
        shown.field("region", region).field("endpoint_url", endpoint_url);
        shown.field("access_key_id", access_key_id).finish_non_exhaustive()
    }
}

/// Something for the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// How loudly.
    #[serde(default)]
    pub level: ProgressLevel,
    /// One line.
    pub message: String,
}

/// The key of an object that stands for a secret: `{"$secret": "inputs.webhook"}`.
pub const SECRET_MARKER: &str = "$secret";

/// The reference in `value`, if it stands for a secret.
pub fn secret_reference(value: &Value) -> Option<&str> {
    let object = value.as_object()?;
    (object.len() == 1).then(|| object.get(SECRET_MARKER)?.as_str()).flatten()
}

/// The schema of everything above, for people who write a plugin in another language.
#[derive(JsonSchema)]
#[allow(dead_code)]
struct Protocol {
    /// What a message is.
    r#type: MessageType,
    /// The bodies, by the type of the message.
    hello: Hello,
    hello_result: Reply<Welcome>,
    plan: PlanCall<'static>,
    plan_result: Reply<StagePlan>,
    apply: ApplyCall<'static>,
    apply_result: Reply<Outputs>,
    rollback: RollbackCall<'static>,
    rollback_result: Reply<()>,
    open: OpenCall,
    open_result: Reply<()>,
    notify: NotifyCall<'static>,
    notify_result: Reply<()>,
    ask: Question,
    answer_to_intent: Reply<u64>,
    answer_to_done: Reply<()>,
    answer_to_secret: Reply<String>,
    answer_to_aws: Reply<AwsAccess>,
    progress: Progress,
    log: LogLine,
}

/// The JSON Schema (2020-12) of every message: an object whose properties are the bodies by type.
pub fn schema() -> Value {
    schemars::generate::SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Protocol>()
        .to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_that_is_checked_in_is_this_one() {
        let stored = include_str!("../../../docs/plugin-protocol.schema.json");
        let stored: Value = serde_json::from_str(stored).expect("JSON");
        assert!(stored == schema(), "`cargo xtask schema` writes it");
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let body = Question { call: 3, service: Service::Secret { reference: "inputs.url".to_owned() } };
        let bytes = Outgoing { message: MessageType::Ask, id: 7, body: &body }.encode().expect("JSON");
        let text = String::from_utf8(bytes).expect("text");
        assert_eq!(
            text,
            r#"{"type":"ask","id":7,"body":{"call":3,"service":"secret","reference":"inputs.url"}}"#
        );
        let message: Message<'_> = serde_json::from_str(&text).expect("a message");
        assert_eq!(serde_json::from_str::<Question>(message.body.get()).expect("a question"), body);
    }

    #[test]
    fn what_a_later_version_says_is_read_as_far_as_it_is_known() {
        let later = r#"{"type":"telepathy","id":1,"body":{},"colour":"blue"}"#;
        let message: Message<'_> = serde_json::from_str(later).expect("a message");
        assert_eq!(message.message, MessageType::Unknown);
        let error: WireError =
            serde_json::from_str(r#"{"kind":"failed","message":"m","advice":"none"}"#).expect("an error");
        assert_eq!(StageError::from(error).to_string(), "m");
    }

    #[test]
    fn the_keys_of_aws_are_not_printed() {
        let access = AwsAccess {
            region: None,
            endpoint_url: None,
            access_key_id: "AKIA".to_owned(),
            secret_access_key: "hush".to_owned(),
            session_token: Some("hush".to_owned()),
        };
        assert!(!format!("{access:?}").contains("hush"));
    }
}
