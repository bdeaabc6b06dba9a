//! The nodes that a run works on: the stages of the file, and those that only the state remembers.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use pipeline_sdk::{
    CancellationToken, Context, ContextParts, Inputs, Map, Mode, Outputs, Prior, Registry, RunId, Stage,
    StageError, StageName, Unknown, Value,
};

use crate::config::{Definition, StageLimits, check};
use crate::events::Emitter;
use crate::expression::{OutputsOf, Template};
use crate::failure::StageFailure;
use crate::graph::Graph;
use crate::plan::PlannedStage;
use crate::recorder::RunRecorder;
use crate::state::{StageRecord, State};

/// What every call of a stage within one run shares.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) run: RunId,
    pub(crate) definition: Arc<Definition>,
    pub(crate) emitter: Emitter,
    pub(crate) recorder: Arc<RunRecorder>,
}

impl Session {
    /// The context of one call.
    pub(crate) fn context(
        &self,
        node: &Node,
        prior: Option<&StageRecord>,
        cancel: &CancellationToken,
    ) -> Context {
        Context::from(ContextParts {
            stage: node.name.clone(),
            run: self.run,
            pipeline: self.definition.id.clone(),
            directory: self.definition.directory.clone(),
            mode: node.mode,
            prior: prior.map(|record| Prior { outputs: record.outputs.clone() }),
            cancel: cancel.clone(),
            sink: Arc::new(self.emitter.clone()),
            recorder: self.recorder.clone(),
        })
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
    pub(crate) limits: StageLimits,
}

/// Where the inputs of a node come from.
enum Source {
    /// The file; the place in its list.
    File(usize),
    /// The state, as they were last applied.
    Recorded(IndexMap<String, Template>),
}

/// All nodes of a run and what they wait for.
pub(crate) struct Nodes {
    pub(crate) list: Vec<Arc<Node>>,
    /// Whose outputs a node reads.
    pub(crate) references: Graph,
    /// In which order nodes are applied.
    pub(crate) order: Graph,
}

/// The inputs of a node, evaluated.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ResolvedInputs {
    pub(crate) values: Inputs,
    /// The same as they may be written down.
    pub(crate) sealed: Inputs,
}

impl Nodes {
    /// The nodes of a run in `mode`. In every mode the stages of the file come first, in their order.
    pub(crate) fn new(
        definition: &Definition,
        registry: &Registry,
        state: &State,
        mode: Mode,
    ) -> Result<Self, Vec<StageFailure>> {
        let builder = Builder { definition, registry, state };
        if mode == Mode::Destroy { builder.destroy() } else { builder.converge(mode) }
    }

    /// The nodes of a run that has planned `stages`, in their order, to undo it. `before` is the state that
    /// it began with. Their inputs are never evaluated.
    pub(crate) fn of_plan(
        stages: &[PlannedStage],
        registry: &Registry,
        before: &State,
    ) -> Result<Self, Vec<StageFailure>> {
        let (mut list, mut failures) = (Vec::with_capacity(stages.len()), Vec::new());
        for PlannedStage { name, kind, mode, needs, .. } in stages {
            let source = Source::Recorded(IndexMap::new());
            let node = node(registry, name, kind, *mode, needs.clone(), source);
            collect(node, &mut list, &mut failures);
        }
        if !failures.is_empty() {
            return Err(failures);
        }
        let places: HashMap<&StageName, usize> = list.iter().enumerate().map(|(i, n)| (&n.name, i)).collect();
        let mut order = vec![Vec::new(); list.len()];
        for (index, node) in list.iter().enumerate() {
            let before = before.stages.get(&node.name);
            let used = before.map(|record| record.needs.as_slice()).unwrap_or_default();
            let removed = |&used: &usize| stages[used].mode == Mode::Destroy && used != index;
            let used = used.iter().filter_map(|name| places.get(name).copied()).filter(removed);
            used.for_each(|used| order[used].push(index));
            if node.mode == Mode::Converge {
                order[index].extend(node.needs.iter().filter_map(|name| places.get(name).copied()));
            }
        }
        let references = Graph::without_cycles(vec![Vec::new(); list.len()]);
        Ok(Self { references, order: Graph::without_cycles(order), list })
    }
}

struct Builder<'a> {
    definition: &'a Definition,
    registry: &'a Registry,
    state: &'a State,
}

impl Builder<'_> {
    fn converge(&self, mode: Mode) -> Result<Nodes, Vec<StageFailure>> {
        let mut failures = Vec::new();
        let mut list = Vec::with_capacity(self.definition.stages.len());
        for index in 0..self.definition.stages.len() {
            collect(self.file_node(index, mode), &mut list, &mut failures);
        }
        if mode == Mode::Converge {
            let gone = |name: &StageName| !self.definition.by_name.contains_key(name);
            for (name, record) in self.state.stages.iter().filter(|(name, _)| gone(name)) {
                collect(self.recorded_node(name, record), &mut list, &mut failures);
            }
        }
        if !failures.is_empty() {
            return Err(failures);
        }
        let files = self.definition.stages.len();
        if list.len() == files {
            let (references, order) = (&self.definition.references, &self.definition.graph);
            return Ok(Nodes { list, references: references.clone(), order: order.clone() });
        }
        let count = list.len();
        let edges = |graph: &Graph| {
            (0..count)
                .map(|i| if i < files { graph.before(i).to_vec() } else { Vec::new() })
                .collect::<Vec<_>>()
        };
        let mut order = edges(&self.definition.graph);
        // What used a removed stage lets go of it before it is removed.
        for (upstream, user) in self.recorded_edges(&list) {
            if upstream >= files {
                order[upstream].push(user);
            }
        }
        let references = Graph::without_cycles(edges(&self.definition.references));
        Ok(Nodes { references, order: Graph::without_cycles(order), list })
    }

    fn destroy(&self) -> Result<Nodes, Vec<StageFailure>> {
        let (mut list, mut failures) = (Vec::new(), Vec::new());
        for (index, stage) in self.definition.stages.iter().enumerate() {
            let node = match self.state.stages.get(&stage.name) {
                Some(record) => self.recorded_node(&stage.name, record),
                // A run that was killed may have made something that the state does not know.
                None => self.file_node(index, Mode::Destroy).map(|node| Node { optional: true, ..node }),
            };
            collect(node, &mut list, &mut failures);
        }
        let gone = |name: &StageName| !self.definition.by_name.contains_key(name);
        for (name, record) in self.state.stages.iter().filter(|(name, _)| gone(name)) {
            collect(self.recorded_node(name, record), &mut list, &mut failures);
        }
        if !failures.is_empty() {
            return Err(failures);
        }
        let mut order = vec![Vec::new(); list.len()];
        for (upstream, user) in self.recorded_edges(&list) {
            order[upstream].push(user);
        }
        let references = Graph::without_cycles(vec![Vec::new(); list.len()]);
        Ok(Nodes { references, order: Graph::without_cycles(order), list })
    }

    /// Who used whom when it was last applied, as (used, user).
    fn recorded_edges(&self, list: &[Arc<Node>]) -> Vec<(usize, usize)> {
        let places: HashMap<&StageName, usize> = list.iter().enumerate().map(|(i, n)| (&n.name, i)).collect();
        let needs = |node: &Node| match self.state.stages.get(&node.name) {
            Some(record) => record.needs.clone(),
            None => node.needs.clone(),
        };
        let edges = list.iter().enumerate().flat_map(|(user, node)| {
            needs(node)
                .into_iter()
                .filter_map(|name| places.get(&name).copied())
                .map(move |used| (used, user))
        });
        edges.filter(|(used, user)| used != user).collect()
    }

    fn file_node(&self, index: usize, mode: Mode) -> Result<Node, StageFailure> {
        let config = &self.definition.stages[index];
        let needs = self.definition.graph.before(index).iter();
        let needs = needs.map(|&i| self.definition.stages[i].name.clone()).collect();
        let node = node(self.registry, &config.name, &config.kind, mode, needs, Source::File(index))?;
        Ok(Node { limits: config.limits, ..node })
    }

    fn recorded_node(&self, name: &StageName, record: &StageRecord) -> Result<Node, StageFailure> {
        let current = self.definition.by_name.get(name).map(|&i| &self.definition.stages[i].inputs);
        let inputs = record.inputs.0.iter().map(|(key, value)| {
            let template = Template::unseal(value, current.and_then(|inputs| inputs.get(key)));
            template
                .map(|template| (key.clone(), template))
                .map_err(|error| StageFailure::of(name, &StageError::input(key, error)))
        });
        let inputs = inputs.collect::<Result<_, _>>()?;
        node(self.registry, name, &record.kind, Mode::Destroy, record.needs.clone(), Source::Recorded(inputs))
    }
}

fn node(
    registry: &Registry,
    name: &StageName,
    kind: &str,
    mode: Mode,
    needs: Vec<StageName>,
    source: Source,
) -> Result<Node, StageFailure> {
    let Some(known) = registry.stage(kind) else {
        let error = StageError::failed(format!("this program does not know the kind `{kind}`"));
        let help = "the stage exists in the state; use a program that knows its kind to remove it";
        return Err(StageFailure::of(name, &error.with_help(help)));
    };
    let (name, kind, stage) = (name.clone(), kind.to_owned(), known.stage.clone());
    Ok(Node { name, kind, stage, mode, needs, source, optional: false, limits: StageLimits::default() })
}

fn collect(node: Result<Node, StageFailure>, list: &mut Vec<Arc<Node>>, failures: &mut Vec<StageFailure>) {
    match node {
        Ok(node) => list.push(Arc::new(node)),
        Err(failure) => failures.push(failure),
    }
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
            Source::Recorded(inputs) => inputs,
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
        if let (Source::File(index), true) = (&self.source, refers) {
            let violations = check(&definition.stages[*index].schema, &values);
            if let Some(violation) = violations.first() {
                return Err(StageError::input(violation.field(), violation.to_string()));
            }
        }
        let Value::Object(values) = values else { return Err(StageError::failed("inputs are no object")) };
        Ok(ResolvedInputs { values: Inputs(values.into_iter().collect()), sealed: Inputs(sealed) })
    }

    /// Checks what an apply returned: every output that the kind promises, and all of it known.
    pub(crate) fn check_outputs(&self, definition: &Definition, outputs: &Outputs) -> Result<(), StageError> {
        if let Some((name, _)) =
            outputs.values.iter().find(|(_, value)| pipeline_sdk::contains_unknown(value))
        {
            return Err(self.defect(&format!("left its output `{name}` unknown after it was applied")));
        }
        let Source::File(index) = &self.source else { return Ok(()) };
        let required = definition.stages[*index].outputs.get("required").and_then(Value::as_array);
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
