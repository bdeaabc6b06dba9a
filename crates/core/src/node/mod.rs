//! The nodes that a run works on: the stages of the file, and those that only the state remembers.

mod build;

use std::sync::Arc;

use indexmap::IndexMap;
use pipeline_sdk::{
    CancellationToken, Context, ContextParts, Inputs, Map, Mode, Outputs, Prior, RunId, Stage, StageError,
    StageName, Unknown, Value,
};

pub(crate) use build::Nodes;

use crate::backoff::Jitter;
use crate::config::{Definition, StageLimits, Written, check};
use crate::events::Emitter;
use crate::expression::{OutputsOf, Template};
use crate::recorder::RunRecorder;
use crate::state::StageRecord;

/// What every call of a stage within one run shares.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) run: RunId,
    pub(crate) definition: Arc<Definition>,
    pub(crate) emitter: Emitter,
    pub(crate) recorder: Arc<RunRecorder>,
    pub(crate) jitter: Jitter,
}

impl Session {
    /// The context of one call.
    pub(crate) fn context(
        &self,
        node: &Node,
        prior: Option<&StageRecord>,
        cancel: &CancellationToken,
    ) -> Context {
        Context::from(self.parts(node, prior, cancel))
    }

    /// The context of a rollback of what was planned with `sealed` inputs. The run's own token may be cancelled;
    /// that must not stop the undoing.
    pub(crate) fn undo_context(
        &self,
        node: &Node,
        mode: Mode,
        prior: Option<&StageRecord>,
        sealed: &Inputs,
    ) -> Context {
        let inputs = Some(node.recall(&self.definition, sealed));
        Context::from(ContextParts { inputs, mode, ..self.parts(node, prior, &CancellationToken::new()) })
    }

    fn parts(&self, node: &Node, prior: Option<&StageRecord>, cancel: &CancellationToken) -> ContextParts {
        ContextParts {
            stage: node.name.clone(),
            run: self.run,
            pipeline: self.definition.id.clone(),
            directory: self.definition.directory.clone(),
            mode: node.mode,
            prior: prior.map(|record| Prior { outputs: record.outputs.clone() }),
            cancel: cancel.clone(),
            sink: Arc::new(self.emitter.clone()),
            recorder: self.recorder.clone(),
            inputs: None,
            services: None,
        }
    }
}

/// One stage of a run.
pub(crate) struct Node {
    pub(crate) name: StageName,
    pub(crate) kind: String,
    pub(crate) stage: Arc<dyn Stage>,
    pub(crate) mode: Mode,
    /// The stages it waits for, or waited for when it was last applied.
    pub(crate) needs: Vec<StageName>,
    source: Source,
    /// Planned only if that works: nothing is known to exist for it.
    pub(crate) optional: bool,
    /// Neither planned nor applied: it is as the state says.
    pub(crate) held: bool,
    pub(crate) limits: StageLimits,
}

/// Where the inputs of a node come from.
enum Source {
    /// The file; the place in its list.
    File(usize),
    /// The file, apart from what an earlier run had deployed.
    Redeployed(usize, IndexMap<String, Template>),
    /// The state, as they were last applied.
    Recorded(IndexMap<String, Template>),
}

impl Source {
    /// The place in the file's list of stages.
    fn place(&self) -> Option<usize> {
        match self {
            Self::File(place) | Self::Redeployed(place, _) => Some(*place),
            Self::Recorded(_) => None,
        }
    }
}

/// The inputs of a node, evaluated.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ResolvedInputs {
    pub(crate) values: Inputs,
    /// The same as they may be written down.
    pub(crate) sealed: Inputs,
}

impl Node {
    /// Evaluates the inputs and checks what was not known before against the kind's schema.
    pub(crate) fn resolve(
        &self,
        definition: &Definition,
        outputs: OutputsOf<'_>,
    ) -> Result<ResolvedInputs, StageError> {
        let templates = match &self.source {
            Source::File(index) => &definition.stages[*index].inputs,
            Source::Redeployed(_, inputs) | Source::Recorded(inputs) => inputs,
        };
        let (mut values, mut sealed, mut refers) = (Map::new(), IndexMap::new(), false);
        for (key, template) in templates {
            let resolved = template
                .resolve(&definition.scope, outputs)
                .map_err(|error| StageError::input(key, error))?;
            refers |= !matches!(template, Template::Literal(_));
            values.insert(key.clone(), resolved.value);
            // A secret may also come in through the output of another stage.
            let redactor = &definition.scope.redactor;
            let written = if redactor.is_empty() { resolved.sealed } else { redactor.value(resolved.sealed) };
            sealed.insert(key.clone(), written);
        }
        let values = Value::Object(values);
        if let (Some(index), true) = (self.source.place(), refers) {
            let written = Written { templates: Some(templates), ..Written::default() };
            let violations = check(&definition.stages[index].schema, &values, written);
            if let Some(violation) = violations.first() {
                return Err(StageError::input(violation.field(), violation.to_string()));
            }
        }
        let Value::Object(values) = values else { return Err(StageError::failed("inputs are no object")) };
        Ok(ResolvedInputs { values: Inputs(values.into_iter().collect()), sealed: Inputs(sealed) })
    }

    /// The inputs behind `sealed` ones that were written down, as far as they are still known. A secret is taken
    /// from where it came from.
    fn recall(&self, definition: &Definition, sealed: &Inputs) -> Inputs {
        let current = definition.by_name.get(&self.name).map(|&index| &definition.stages[index].inputs);
        let nowhere = |_: &str, _: &str| None;
        let known = sealed.0.iter().filter_map(|(key, value)| {
            let template = Template::unseal(value, current.and_then(|inputs| inputs.get(key))).ok()?;
            let resolved = template.resolve(&definition.scope, &nowhere).ok()?;
            Some((key.clone(), resolved.value))
        });
        Inputs(known.collect())
    }

    /// Checks what an apply returned: every output that the kind promises, and all of it known.
    pub(crate) fn check_outputs(&self, definition: &Definition, outputs: &Outputs) -> Result<(), StageError> {
        if let Some((name, _)) =
            outputs.values.iter().find(|(_, value)| pipeline_sdk::contains_unknown(value))
        {
            return Err(self.defect(&format!("left its output `{name}` unknown after it was applied")));
        }
        let Some(index) = self.source.place() else { return Ok(()) };
        let required = definition.stages[index].outputs.get("required").and_then(Value::as_array);
        let mut required = required.into_iter().flatten().filter_map(Value::as_str);
        match required.find(|name| !outputs.values.contains_key(*name)) {
            Some(name) => Err(self.defect(&format!("did not give the output `{name}`, which it promises"))),
            None => Ok(()),
        }
    }

    fn defect(&self, what: &str) -> StageError {
        StageError::failed(format!("the kind `{}` {what}; this is a defect of that kind", self.kind))
    }
}

/// The value of an output by what a plan or the state says. `complete`: what is not there is known to
/// be nothing.
pub(crate) fn planned_output(stage: &str, name: &str, outputs: &Outputs, complete: bool) -> Value {
    match outputs.values.get(name) {
        Some(value) => value.clone(),
        None if complete => Value::Null,
        None => unknown_output(stage, name),
    }
}

/// The marker of an output that is not known yet.
pub(crate) fn unknown_output(stage: &str, name: &str) -> Value {
    Unknown::new(format!("stages.{stage}.{name}")).to_value()
}
