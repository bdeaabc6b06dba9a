//! Entries without secrets.
//!
//! Only what comes from outside is looked at: names of stages and the words of the format stay, so that
//! an unlucky secret (`applied`) cannot make a journal unreadable.

use std::sync::Arc;

use pipeline_sdk::{Change, Done, Inputs, Outputs, Redactor, ResourceId, StagePlan, Value};

use super::{Began, Entry};
use crate::plan::Plan;
use crate::state::StageRecord;

/// `entry` without what `redactor` knows.
pub(super) fn redacted(entry: Entry, redactor: &Redactor) -> Entry {
    if redactor.is_empty() {
        return entry;
    }
    let text = |text: String| redactor.text(&text);
    match entry {
        Entry::Planned(plan) => Entry::Planned(Arc::new(redact_plan(Arc::unwrap_or_clone(plan), redactor))),
        Entry::Intent { stage, id, done } => Entry::Intent { stage, id, done: redact_done(done, redactor) },
        Entry::Result { stage, id, after } => Entry::Result { stage, id, after: redactor.value(after) },
        Entry::StageFinished { stage, outcome, record } => {
            let record = record.map(|record| redact_record(record, redactor));
            Entry::StageFinished { stage, outcome, record }
        }
        Entry::CancelRequested { cause } => Entry::CancelRequested { cause: text(cause) },
        Entry::RollbackStarted { cause } => Entry::RollbackStarted { cause: text(cause) },
        Entry::UndoFailed { stage, error } => Entry::UndoFailed { stage, error: text(error) },
        Entry::Ended { outcome, left_over, error } => {
            let left_over = left_over.into_iter().map(text).collect();
            Entry::Ended { outcome, left_over, error: error.map(text) }
        }
        Entry::Began(began) => Entry::Began(redact_began(began, redactor)),
        Entry::Fence { .. }
        | Entry::StageStarted { .. }
        | Entry::UndoStarted { .. }
        | Entry::Undone { .. } => entry,
    }
}

fn redact_began(mut began: Began, redactor: &Redactor) -> Began {
    began.target = redactor.text(&began.target);
    let stages = std::mem::take(&mut began.before.stages).into_iter();
    began.before.stages = stages.map(|(name, record)| (name, redact_record(record, redactor))).collect();
    for done in began.inherits.iter_mut().flat_map(|inherited| inherited.done.values_mut()) {
        *done = std::mem::take(done).into_iter().map(|done| redact_done(done, redactor)).collect();
    }
    began
}

fn redact_record(record: StageRecord, redactor: &Redactor) -> StageRecord {
    let inputs = Inputs(redact_fields(record.inputs.0, redactor));
    StageRecord { inputs, outputs: redact_outputs(record.outputs, redactor), ..record }
}

fn redact_plan(mut plan: Plan, redactor: &Redactor) -> Plan {
    for stage in &mut plan.stages {
        let Inputs(inputs) = std::mem::take(&mut stage.inputs);
        stage.inputs = Inputs(redact_fields(inputs, redactor));
        let StagePlan { changes, outputs, detail } = std::mem::take(&mut stage.plan);
        stage.plan = StagePlan {
            changes: changes.into_iter().map(|change| redact_change(change, redactor)).collect(),
            outputs: redact_outputs(outputs, redactor),
            detail: redactor.value(detail),
        };
    }
    plan
}

fn redact_change(mut change: Change, redactor: &Redactor) -> Change {
    change.resource = redact_resource(&change.resource, redactor);
    for attribute in &mut change.attributes {
        attribute.path = redactor.text(&attribute.path);
        attribute.before = redactor.value(attribute.before.take());
        attribute.after = redactor.value(attribute.after.take());
    }
    change.reason = change.reason.map(|text| redactor.text(&text));
    change.irreversible = change.irreversible.map(|text| redactor.text(&text));
    change
}

fn redact_done(done: Done, redactor: &Redactor) -> Done {
    let Done { resource, action, before, after } = done;
    Done {
        resource: redact_resource(&resource, redactor),
        action,
        before: before.map(|value| redactor.value(value)),
        after: after.map(|value| redactor.value(value)),
    }
}

fn redact_outputs(outputs: Outputs, redactor: &Redactor) -> Outputs {
    let mut resources = outputs.resources;
    for resource in &mut resources {
        resource.id = redact_resource(&resource.id, redactor);
        resource.attributes = redactor.value(resource.attributes.take());
    }
    Outputs { values: redact_fields(outputs.values, redactor), resources }
}

fn redact_resource(id: &ResourceId, redactor: &Redactor) -> ResourceId {
    ResourceId { kind: redactor.text(&id.kind), name: redactor.text(&id.name) }
}

fn redact_fields(
    fields: indexmap::IndexMap<String, Value>,
    redactor: &Redactor,
) -> indexmap::IndexMap<String, Value> {
    fields.into_iter().map(|(key, value)| (redactor.text(&key), redactor.value(value))).collect()
}
