//! How a journal is written: `CHECKSUM JSON` on each line, with the version in the first.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use pipeline_sdk::{Done, PipelineId, RunCommand, RunId, RunOutcome, StageName, StageOutcome, Value};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Began, Entry, Inherited, JournalError, Record};
use crate::plan::WrittenPlan;
use crate::state::{StageV1, StateV1};
use crate::store::Holder;

/// The version this program writes. It reads this one and all before it.
pub(super) const VERSION: u64 = 1;

/// Tells a journal from any other file.
pub(super) const FORMAT: &str = "pipeline-journal";

/// How many hexadecimal digits of the checksum are on a line.
pub(super) const DIGITS: usize = 32;

/// The first line.
#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) version: u64,
    pub(super) run: RunId,
}

/// What [`Lines::record`] writes.
#[derive(Deserialize)]
struct RecordV1<'a> {
    seq: u64,
    at: Timestamp,
    #[serde(flatten)]
    entry: EntryV1<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
enum EntryV1<'a> {
    Fence {
        epoch: u64,
        holder: Cow<'a, Holder>,
    },
    Began {
        pipeline: Cow<'a, PipelineId>,
        command: RunCommand,
        target: Cow<'a, str>,
        holder: Cow<'a, Holder>,
        before: StateV1<'a>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inherits: Option<InheritedV1<'a>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        redeploys: Option<RunId>,
    },
    Planned {
        plan: WrittenPlan<'a>,
    },
    StageStarted {
        stage: Cow<'a, StageName>,
    },
    Intent {
        stage: Cow<'a, StageName>,
        id: u64,
        done: Cow<'a, Done>,
    },
    Result {
        stage: Cow<'a, StageName>,
        id: u64,
        after: Cow<'a, Value>,
    },
    StageFinished {
        stage: Cow<'a, StageName>,
        outcome: StageOutcome,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        record: Option<StageV1<'a>>,
    },
    CancelRequested {
        cause: Cow<'a, str>,
    },
    RollbackStarted {
        cause: Cow<'a, str>,
    },
    UndoStarted {
        stage: Cow<'a, StageName>,
    },
    Undone {
        stage: Cow<'a, StageName>,
    },
    UndoFailed {
        stage: Cow<'a, StageName>,
        error: Cow<'a, str>,
    },
    Ended {
        outcome: RunOutcome,
        left_over: Cow<'a, [String]>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Cow<'a, str>>,
    },
}

#[derive(Serialize, Deserialize)]
struct InheritedV1<'a> {
    run: RunId,
    done: Cow<'a, BTreeMap<StageName, Vec<Done>>>,
}

/// The checksum of a line: over the checksum of the line before (nothing before the first) and the
/// JSON of this one.
pub(super) fn checksum(before: &[u8], json: &[u8]) -> [u8; DIGITS] {
    let digest = Sha256::new().chain_update(before).chain_update(json).finalize();
    let mut digits = [0; DIGITS];
    // `hex::encode` takes each digit through an iterator: a tenth of what a record costs.
    let _ = hex::encode_to_slice(&digest[..DIGITS / 2], &mut digits);
    digits
}

/// An entry as JSON: an object.
pub(super) struct Encoded(Vec<u8>);

impl Encoded {
    pub(super) fn of(entry: &Entry) -> Result<Self, JournalError> {
        serde_json::to_vec(&EntryV1::of(entry)).map(Self).map_err(|error| unwritable(&error))
    }
}

fn unwritable(error: &dyn std::fmt::Display) -> JournalError {
    JournalError::Unwritable { reason: error.to_string() }
}

impl Record {
    /// The record as JSON, as it stands in the journal.
    ///
    /// # Errors
    /// None in practice: what was read can be written.
    pub fn to_json(&self) -> Result<Value, JournalError> {
        let Encoded(entry) = Encoded::of(&self.entry)?;
        let mut json: Value = serde_json::from_slice(&entry).map_err(|error| unwritable(&error))?;
        json["seq"] = self.seq.into();
        json["at"] = self.at.to_string().into();
        Ok(json)
    }
}

/// Lines that are not written yet, and the checksum of the last one.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) text: Vec<u8>,
    /// Nothing before the first line.
    pub(super) chain: Vec<u8>,
}

impl Lines {
    /// The first line of a journal.
    pub(super) fn first(run: RunId) -> Result<Self, JournalError> {
        let header = Header { format: FORMAT.to_owned(), version: VERSION, run };
        let json = serde_json::to_vec(&header).map_err(|error| unwritable(&error))?;
        let mut lines = Self::default();
        lines.push(&json);
        Ok(lines)
    }

    /// Adds a record: the fields of its entry go on after its number and time.
    pub(super) fn record(&mut self, seq: u64, at: Timestamp, Encoded(entry): &Encoded) {
        self.line(|text| {
            // Writing to memory does not fail.
            let _ = write!(text, "{{\"seq\":{seq},\"at\":\"{at}\",");
            text.extend_from_slice(entry.strip_prefix(b"{").unwrap_or(entry));
        });
    }

    pub(super) fn push(&mut self, json: &[u8]) {
        self.line(|text| text.extend_from_slice(json));
    }

    fn line(&mut self, json: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.text.len();
        self.text.extend_from_slice(&[b' '; DIGITS + 1]);
        json(&mut self.text);
        let (sum, json) = self.text[begin..].split_at_mut(DIGITS);
        sum.copy_from_slice(&checksum(&self.chain, &json[1..]));
        self.chain.clear();
        self.chain.extend_from_slice(sum);
        self.text.push(b'\n');
    }
}

/// Reads the JSON of a record.
pub(super) fn read_record(json: &[u8]) -> Result<Record, String> {
    let RecordV1 { seq, at, entry } = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    Ok(Record { seq, at, entry: entry.into_entry() })
}

impl<'a> EntryV1<'a> {
    fn of(entry: &'a Entry) -> Self {
        use Cow::Borrowed;
        match entry {
            Entry::Fence { epoch, holder } => Self::Fence { epoch: *epoch, holder: Borrowed(holder) },
            Entry::Began(began) => Self::Began {
                pipeline: Borrowed(&began.pipeline),
                command: began.command,
                target: Borrowed(&began.target),
                holder: Borrowed(&began.holder),
                before: StateV1::of(&began.before),
                inherits: began
                    .inherits
                    .as_ref()
                    .map(|Inherited { run, done }| InheritedV1 { run: *run, done: Borrowed(done) }),
                redeploys: began.redeploys,
            },
            Entry::Planned(plan) => Self::Planned { plan: WrittenPlan::from(&**plan) },
            Entry::StageStarted { stage } => Self::StageStarted { stage: Borrowed(stage) },
            Entry::Intent { stage, id, done } => {
                Self::Intent { stage: Borrowed(stage), id: *id, done: Borrowed(done) }
            }
            Entry::Result { stage, id, after } => {
                Self::Result { stage: Borrowed(stage), id: *id, after: Borrowed(after) }
            }
            Entry::StageFinished { stage, outcome, record } => Self::StageFinished {
                stage: Borrowed(stage),
                outcome: *outcome,
                record: record.as_ref().map(StageV1::of),
            },
            Entry::CancelRequested { cause } => Self::CancelRequested { cause: Borrowed(cause) },
            Entry::RollbackStarted { cause } => Self::RollbackStarted { cause: Borrowed(cause) },
            Entry::UndoStarted { stage } => Self::UndoStarted { stage: Borrowed(stage) },
            Entry::Undone { stage } => Self::Undone { stage: Borrowed(stage) },
            Entry::UndoFailed { stage, error } => {
                Self::UndoFailed { stage: Borrowed(stage), error: Borrowed(error) }
            }
            Entry::Ended { outcome, left_over, error } => {
                let error = error.as_deref().map(Borrowed);
                Self::Ended { outcome: *outcome, left_over: Borrowed(left_over), error }
            }
        }
    }

    fn into_entry(self) -> Entry {
        match self {
            Self::Fence { epoch, holder } => Entry::Fence { epoch, holder: holder.into_owned() },
            Self::Began { pipeline, command, target, holder, before, inherits, redeploys } => {
                Entry::Began(Began {
                    pipeline: pipeline.into_owned(),
                    command,
                    target: target.into_owned(),
                    holder: holder.into_owned(),
                    before: before.into_state(),
                    inherits: inherits
                        .map(|InheritedV1 { run, done }| Inherited { run, done: done.into_owned() }),
                    redeploys,
                })
            }
            Self::Planned { plan } => Entry::Planned(Arc::new(plan.into())),
            Self::StageStarted { stage } => Entry::StageStarted { stage: stage.into_owned() },
            Self::Intent { stage, id, done } => {
                Entry::Intent { stage: stage.into_owned(), id, done: done.into_owned() }
            }
            Self::Result { stage, id, after } => {
                Entry::Result { stage: stage.into_owned(), id, after: after.into_owned() }
            }
            Self::StageFinished { stage, outcome, record } => Entry::StageFinished {
                stage: stage.into_owned(),
                outcome,
                record: record.map(StageV1::into_record),
            },
            Self::CancelRequested { cause } => Entry::CancelRequested { cause: cause.into_owned() },
            Self::RollbackStarted { cause } => Entry::RollbackStarted { cause: cause.into_owned() },
            Self::UndoStarted { stage } => Entry::UndoStarted { stage: stage.into_owned() },
            Self::Undone { stage } => Entry::Undone { stage: stage.into_owned() },
            Self::UndoFailed { stage, error } => {
                Entry::UndoFailed { stage: stage.into_owned(), error: error.into_owned() }
            }
            Self::Ended { outcome, left_over, error } => {
                let error = error.map(Cow::into_owned);
                Entry::Ended { outcome, left_over: left_over.into_owned(), error }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pipeline_sdk::{Action, Inputs, Outputs, Recorded, ResourceId, json};

    use super::super::legal::{began, holder, name, plan, run_id};
    use super::super::read;
    use super::*;
    use crate::state::StageRecord;

    const GOLDEN: &str = include_str!("../../tests/golden/journal-v1.journal");

    fn entries() -> Vec<Entry> {
        let resource = ResourceId::new("ecs:service", "hello-local");
        let done = Done {
            resource: resource.clone(),
            action: Action::Update,
            before: Some(json!({ "tasks": 2 })),
            after: None,
        };
        let outputs = Outputs {
            values: [("service".to_owned(), json!("hello-local"))].into_iter().collect(),
            resources: vec![Recorded { id: resource, attributes: json!({ "arn": "arn:aws:ecs:…" }) }],
        };
        let record = StageRecord {
            kind: "ecs".to_owned(),
            inputs: Inputs([("cpu".to_owned(), json!(256))].into_iter().collect()),
            needs: vec![name(1)],
            outputs,
        };
        let (stage, text) = (|| name(0), |text: &str| text.to_owned());
        let mut began = began();
        began.before.stages.insert(name(1), record.clone());
        let inherited = [(name(0), vec![done.clone()])].into_iter().collect();
        began.inherits = Some(Inherited { run: run_id(), done: inherited });
        vec![
            Entry::Fence { epoch: 3, holder: holder() },
            Entry::Began(began),
            Entry::Planned(Arc::new(plan(1))),
            Entry::StageStarted { stage: stage() },
            Entry::Intent { stage: stage(), id: 0, done },
            Entry::Result { stage: stage(), id: 0, after: json!({ "tasks": 4 }) },
            Entry::StageFinished { stage: stage(), outcome: StageOutcome::Applied, record: Some(record) },
            Entry::CancelRequested { cause: text("SIGINT") },
            Entry::RollbackStarted { cause: text("cancelled") },
            Entry::UndoStarted { stage: stage() },
            Entry::Undone { stage: stage() },
            Entry::UndoFailed { stage: name(1), error: text("in use") },
            Entry::Ended {
                outcome: RunOutcome::Stuck,
                left_over: vec![text("ecs:service hello-local")],
                error: None,
            },
            Entry::Ended { outcome: RunOutcome::RolledBack, left_over: Vec::new(), error: Some(text("no")) },
        ]
    }

    #[test]
    fn the_golden_file_is_what_is_written_and_reads_as_what_was_meant() {
        let mut lines = Lines::first(run_id()).expect("header");
        for (seq, entry) in (0..).zip(entries()) {
            lines.record(seq, holder().since, &Encoded::of(&entry).expect("encodes"));
        }
        assert_eq!(String::from_utf8_lossy(&lines.text), GOLDEN);
        let reading = read(GOLDEN.as_bytes()).expect("reads");
        assert_eq!((reading.run, reading.torn), (Some(run_id()), None));
        let read: Vec<_> = reading.records.into_iter().map(|record| record.entry).collect();
        assert_eq!(read, entries());
    }
}
