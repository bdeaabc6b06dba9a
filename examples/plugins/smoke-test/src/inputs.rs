//! What the stage takes and gives.

use std::collections::BTreeMap;

use pipeline_plugin::{JsonSchema, Maybe, json};
use serde::{Deserialize, Serialize};

/// What to call, and which answer is right.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SmokeTestInputs {
    /// The URL to call, such as `${{ stages.dns.url }}/health`.
    pub url: Maybe<String>,
    /// The status that the answer must have. Redirects are not followed.
    #[serde(default = "ok")]
    #[schemars(range(min = 100, max = 599))]
    pub status: u16,
    /// A text that the answer must contain, in its first MiB.
    #[serde(default)]
    pub contains: Option<Maybe<String>>,
    /// Headers of the request, such as `Authorization`. Other values alone are no reason to test again.
    #[serde(default)]
    #[schemars(
        with = "BTreeMap<String, String>",
        extend("additionalProperties" = json!({ "type": "string", "x-secret": true }))
    )]
    pub headers: BTreeMap<String, Maybe<String>>,
    /// What is tested, such as `${{ stages.deploy.task_definition }}`: another version is tested again.
    #[serde(default)]
    pub version: Option<Maybe<String>>,
    /// Where the host of the URL is, `HOST:PORT:ADDRESS` as curl's `--resolve` has it, for a name that
    /// no name server knows.
    #[serde(default)]
    pub resolve: Option<Maybe<String>>,
    /// How often the URL is called before the test fails.
    #[serde(default = "attempts")]
    #[schemars(range(min = 1))]
    pub attempts: u32,
    /// The pause between two calls, in seconds.
    #[serde(default = "interval")]
    pub interval_seconds: u64,
    /// How long one answer may take, in seconds.
    #[serde(default = "timeout")]
    #[schemars(range(min = 1))]
    pub timeout_seconds: u64,
}

fn ok() -> u16 {
    200
}

fn attempts() -> u32 {
    30
}

fn interval() -> u64 {
    2
}

fn timeout() -> u64 {
    5
}

/// What the stage gives.
#[derive(Serialize, JsonSchema)]
pub struct SmokeTestOutputs {
    /// What was tested.
    pub checked: Checked,
    /// The status of the right answer.
    pub status: u16,
    /// How long the right answer took, in milliseconds.
    pub elapsed_ms: Maybe<u64>,
}

/// What was tested: the next plan compares it with what is to be tested then.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Checked {
    /// The URL.
    pub url: Maybe<String>,
    /// The expected status.
    pub status: u16,
    /// The expected text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<Maybe<String>>,
    /// The names of the headers. Their values may be secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// The version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Maybe<String>>,
    /// Where the host was said to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolve: Option<Maybe<String>>,
}

impl From<&SmokeTestInputs> for Checked {
    fn from(inputs: &SmokeTestInputs) -> Self {
        Self {
            url: inputs.url.clone(),
            status: inputs.status,
            contains: inputs.contains.clone(),
            headers: inputs.headers.keys().cloned().collect(),
            version: inputs.version.clone(),
            resolve: inputs.resolve.clone(),
        }
    }
}
