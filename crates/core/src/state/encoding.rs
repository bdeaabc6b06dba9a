//! How a state is written: JSON with a version.

use std::borrow::Cow;
use std::collections::BTreeMap;

use pipeline_sdk::{Inputs, Outputs, PipelineId, Redactor, RunId, StageName};
use serde::{Deserialize, Serialize};

use super::{StageRecord, State};
use crate::run::redacted;

/// The version this program writes. It reads this one and all before it.
const VERSION: u32 = 1;

/// Why a state cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It is not what this program writes.
    #[error(
        "is damaged ({0}); restore it from a backup, or move it out of the way: `pipeline plan` then shows what is there, \
         found by its names and tags"
    )]
    Damaged(#[from] serde_json::Error),
    /// It was written by a newer program.
    #[error("has version {found}, and this program reads up to {VERSION}; use a newer `pipeline`")]
    TooNew {
        /// The version in the file.
        found: u32,
    },
}

#[derive(Deserialize)]
struct Header {
    version: u32,
}

/// A state as it is written, also into a journal.
#[derive(Serialize, Deserialize)]
pub(crate) struct StateV1<'a> {
    version: u32,
    pipeline: Cow<'a, PipelineId>,
    serial: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<Cow<'a, str>>,
    run: Option<RunId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missing: Option<RunId>,
    stages: BTreeMap<Cow<'a, StageName>, StageV1<'a>>,
}

/// A record as it is written, also into a journal.
#[derive(Serialize, Deserialize)]
pub(crate) struct StageV1<'a> {
    uses: Cow<'a, str>,
    inputs: Cow<'a, Inputs>,
    #[serde(default)]
    needs: Cow<'a, [StageName]>,
    outputs: Cow<'a, Outputs>,
}

impl<'a> StateV1<'a> {
    pub(crate) fn of(state: &'a State) -> Self {
        let stages = state.stages.iter();
        let stages = stages.map(|(name, record)| (Cow::Borrowed(name), StageV1::of(record)));
        Self {
            version: VERSION,
            pipeline: Cow::Borrowed(&state.pipeline),
            serial: state.serial,
            target: state.target.as_deref().map(Cow::Borrowed),
            run: state.run,
            missing: state.missing,
            stages: stages.collect(),
        }
    }

    pub(crate) fn into_state(self) -> State {
        let stages = self.stages.into_iter();
        let stages = stages.map(|(name, record)| (name.into_owned(), record.into_record()));
        State {
            pipeline: self.pipeline.into_owned(),
            serial: self.serial,
            target: self.target.map(Cow::into_owned),
            run: self.run,
            missing: self.missing,
            stages: stages.collect(),
        }
    }
}

impl<'a> StageV1<'a> {
    pub(crate) fn of(record: &'a StageRecord) -> Self {
        Self {
            uses: Cow::Borrowed(&record.kind),
            inputs: Cow::Borrowed(&record.inputs),
            needs: Cow::Borrowed(&record.needs),
            outputs: Cow::Borrowed(&record.outputs),
        }
    }

    pub(crate) fn into_record(self) -> StageRecord {
        StageRecord {
            kind: self.uses.into_owned(),
            inputs: self.inputs.into_owned(),
            needs: self.needs.into_owned(),
            outputs: self.outputs.into_owned(),
        }
    }
}

/// The state as it is stored: what `redactor` knows is left out.
pub(crate) fn encode(state: &State, redactor: &Redactor) -> Result<Vec<u8>, StateError> {
    let file = StateV1::of(state);
    let mut bytes = if redactor.is_empty() {
        serde_json::to_vec_pretty(&file)?
    } else {
        let file = redacted(serde_json::to_value(&file)?, state.target.as_deref(), redactor);
        serde_json::to_vec_pretty(&file)?
    };
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads what [`encode`] wrote, in this version or an older one.
pub(crate) fn decode(bytes: &[u8]) -> Result<State, StateError> {
    let Header { version } = serde_json::from_slice(bytes)?;
    if version > VERSION {
        return Err(StateError::TooNew { found: version });
    }
    Ok(serde_json::from_slice::<StateV1<'_>>(bytes)?.into_state())
}

#[cfg(test)]
mod tests {
    use pipeline_sdk::{Recorded, ResourceId, json};

    use super::*;

    #[test]
    fn where_everything_is_is_kept() {
        let state = State { target: Some("account 123456789012, eu-central-1".to_owned()), ..example() };
        let bytes = encode(&state, &Redactor::default()).expect("encodes");
        assert_eq!(decode(&bytes).expect("reads"), state);
        let redactor = Redactor::default();
        redactor.learn("eu-central-1");
        let bytes = encode(&state, &redactor).expect("encodes");
        assert_eq!(decode(&bytes).expect("reads").target, state.target, "a region is no secret here");
    }

    #[test]
    fn a_run_whose_journal_is_missing_stays_known() {
        let state = State { missing: Some(RunId::generate()), ..example() };
        let bytes = encode(&state, &Redactor::default()).expect("encodes");
        assert_eq!(decode(&bytes).expect("reads"), state);
    }

    const GOLDEN: &str = include_str!("../../tests/golden/state-v1.json");

    fn example() -> State {
        let name = |name: &str| StageName::new(name).expect("name");
        let record = |value: pipeline_sdk::Value, needs: Vec<StageName>| StageRecord {
            kind: "ecr".to_owned(),
            inputs: Inputs([("scan_on_push".to_owned(), value)].into_iter().collect()),
            needs,
            outputs: Outputs {
                values: [("repository_url".to_owned(), json!("example/hello"))].into_iter().collect(),
                resources: vec![Recorded {
                    id: ResourceId::new("ecr:repository", "hello-local"),
                    attributes: json!({ "arn": "arn:aws:ecr:eu-central-1:123456789012:repository/hello-local" }),
                }],
            },
        };
        State {
            pipeline: PipelineId { name: "hello".to_owned(), environment: "local".to_owned() },
            serial: 7,
            target: None,
            run: RunId::parse("01932d07-4a00-7000-8000-000000000001"),
            missing: None,
            stages: [
                (name("registry"), record(json!(true), Vec::new())),
                (name("second"), record(json!({ "$secret": "${{ env.SCAN }}" }), vec![name("registry")])),
            ]
            .into_iter()
            .collect(),
        }
    }

    #[test]
    fn the_golden_file_is_what_is_written_and_reads_as_what_was_meant() {
        let written = encode(&example(), &Redactor::default()).expect("encodes");
        assert_eq!(String::from_utf8_lossy(&written), GOLDEN);
        assert_eq!(decode(GOLDEN.as_bytes()).expect("decodes"), example());
    }

    #[test]
    fn a_newer_version_and_garbage_are_refused_with_what_to_do() {
        let newer = GOLDEN.replace("\"version\": 1", "\"version\": 2");
        let error = decode(newer.as_bytes()).expect_err("newer").to_string();
        assert_eq!(error, "has version 2, and this program reads up to 1; use a newer `pipeline`");
        for garbage in ["", "{", "[]", "{\"version\":1}"] {
            assert!(decode(garbage.as_bytes()).expect_err("garbage").to_string().contains("damaged"));
        }
    }
}
