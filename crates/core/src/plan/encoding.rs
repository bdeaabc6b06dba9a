//! How a plan is written: JSON with a version.

use std::borrow::Cow;

use pipeline_sdk::{Mode, PipelineId, Redactor, RunId, Value};
use serde::{Deserialize, Serialize};

use super::{Plan, PlannedStage};
use crate::run::redacted;

/// The version this program writes and reads.
const VERSION: u32 = 1;

/// Why a plan cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It is not what this program writes.
    #[error("this is not a plan ({0}); make a new one")]
    Damaged(#[from] serde_json::Error),
    /// It was written by another version of the program.
    #[error("the plan has version {found}, and this program reads version {VERSION}; make a new one")]
    OtherVersion {
        /// The version in the file.
        found: u32,
    },
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct PlanV1<'a> {
    version: u32,
    run: RunId,
    mode: Mode,
    pipeline: Cow<'a, PipelineId>,
    serial: u64,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    configuration: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<Cow<'a, str>>,
    stages: Cow<'a, [PlannedStage]>,
}

/// A plan as it is stored, for a file that holds more than the plan.
pub(crate) struct WrittenPlan<'a>(Cow<'a, Plan>);

impl<'a> From<&'a Plan> for WrittenPlan<'a> {
    fn from(plan: &'a Plan) -> Self {
        Self(Cow::Borrowed(plan))
    }
}

impl From<WrittenPlan<'_>> for Plan {
    fn from(WrittenPlan(plan): WrittenPlan<'_>) -> Self {
        plan.into_owned()
    }
}

impl Serialize for WrittenPlan<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PlanV1::of(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WrittenPlan<'_> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let plan = Plan::from_value(Value::deserialize(deserializer)?);
        plan.map(|plan| Self(Cow::Owned(plan))).map_err(serde::de::Error::custom)
    }
}

impl<'a> PlanV1<'a> {
    fn of(plan: &'a Plan) -> Self {
        let Plan { run, mode, pipeline, serial, configuration, target, stages } = plan;
        Self {
            version: VERSION,
            run: *run,
            mode: *mode,
            pipeline: Cow::Borrowed(pipeline),
            serial: *serial,
            configuration: Cow::Borrowed(configuration),
            target: target.as_deref().map(Cow::Borrowed),
            stages: Cow::Borrowed(stages),
        }
    }
}

impl Plan {
    /// The plan as it is stored: what `redactor` knows is left out.
    ///
    /// # Errors
    /// It cannot be represented as JSON.
    pub fn encode(&self, redactor: &Redactor) -> Result<Vec<u8>, PlanError> {
        let plan = redacted(serde_json::to_value(PlanV1::of(self))?, self.target.as_deref(), redactor);
        let mut bytes = serde_json::to_vec_pretty(&plan)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    fn from_value(value: Value) -> Result<Self, PlanError> {
        let Header { version } = Header::deserialize(&value)?;
        if version != VERSION {
            return Err(PlanError::OtherVersion { found: version });
        }
        let PlanV1 { run, mode, pipeline, serial, configuration, target, stages, .. } =
            serde_json::from_value(value)?;
        Ok(Self {
            run,
            mode,
            pipeline: pipeline.into_owned(),
            serial,
            configuration: configuration.into_owned(),
            target: target.map(Cow::into_owned),
            stages: stages.into_owned(),
        })
    }

    /// Reads what [`Plan::encode`] wrote.
    ///
    /// # Errors
    /// It is no plan, or one of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, PlanError> {
        Self::from_value(serde_json::from_slice(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use pipeline_sdk::{
        Action, AttributeChange, Change, Inputs, Outputs, ResourceId, StageName, StagePlan, Unknown, json,
    };

    use super::*;

    const GOLDEN: &str = include_str!("../../tests/golden/plan-v1.json");

    fn example() -> Plan {
        let unknown = Unknown::new("stages.registry.repository_url").to_value();
        let change = Change {
            resource: ResourceId::new("ecr:image", "hello-local:1"),
            action: Action::Create,
            attributes: vec![AttributeChange {
                path: "repository".to_owned(),
                before: json!(null),
                after: unknown.clone(),
            }],
            reason: Some("the image does not exist".to_owned()),
            irreversible: Some("pushed images are kept".to_owned()),
        };
        Plan {
            run: RunId::parse("01932d07-4a00-7000-8000-000000000001").expect("run"),
            mode: Mode::Converge,
            pipeline: PipelineId { name: "hello".to_owned(), environment: "local".to_owned() },
            serial: 7,
            configuration: "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae".to_owned(),
            target: Some("account 123456789012, eu-central-1".to_owned()),
            stages: vec![PlannedStage {
                name: StageName::new("image").expect("name"),
                kind: "image".to_owned(),
                mode: Mode::Converge,
                inputs: Inputs([("repository_url".to_owned(), unknown)].into_iter().collect()),
                needs: vec![StageName::new("registry").expect("name")],
                plan: StagePlan { changes: vec![change], outputs: Outputs::default(), detail: json!(null) },
            }],
        }
    }

    #[test]
    fn the_golden_file_is_what_is_written_and_reads_as_what_was_meant() {
        let written = example().encode(&Redactor::default()).expect("encodes");
        assert_eq!(String::from_utf8_lossy(&written), GOLDEN);
        assert_eq!(Plan::decode(GOLDEN.as_bytes()).expect("decodes"), example());
    }

    #[test]
    fn another_version_is_refused() {
        let newer = GOLDEN.replace("\"version\": 1", "\"version\": 2");
        let error = Plan::decode(newer.as_bytes()).expect_err("newer").to_string();
        assert_eq!(error, "the plan has version 2, and this program reads version 1; make a new one");
    }
}
