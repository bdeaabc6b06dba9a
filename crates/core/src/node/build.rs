//! Which nodes there are for what a run is to do, and in which order.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use pipeline_sdk::{KindError, Mode, Registry, StageError, StageName};

use super::{Node, Source};
use crate::config::{Definition, StageLimits};
use crate::expression::Template;
use crate::failure::StageFailure;
use crate::graph::Graph;
use crate::plan::PlannedStage;
use crate::run::Deployed;
use crate::state::{StageRecord, State};

/// All nodes of a run and what they wait for.
pub(crate) struct Nodes {
    pub(crate) list: Vec<Arc<Node>>,
    /// Whose outputs a node reads.
    pub(crate) references: Graph,
    /// In which order nodes are applied.
    pub(crate) order: Graph,
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

    /// The nodes of a run that looks what is there of each stage. One that cannot be planned does not stop the others.
    pub(crate) fn leniently(
        definition: &Definition,
        registry: &Registry,
        state: &State,
    ) -> Result<Self, Vec<StageFailure>> {
        let mut nodes = Builder { definition, registry, state }.converge(Mode::Converge)?;
        for node in nodes.list.iter_mut().filter_map(Arc::get_mut) {
            node.optional = true;
        }
        Ok(nodes)
    }

    /// The nodes of a run that brings back what an earlier one had deployed: the stages that deploy, with the
    /// inputs that say what, and those that build on them. All others are held as they are.
    pub(crate) fn redeploying(
        definition: &Definition,
        registry: &Registry,
        state: &State,
        deployed: &Deployed,
    ) -> Result<Self, Vec<StageFailure>> {
        Builder { definition, registry, state }.redeploying(deployed)
    }

    /// The nodes of a run that has planned `stages`, in their order, to undo it. `before` is the state that
    /// it began with. Their inputs are never evaluated.
    pub(crate) fn of_plan(
        definition: &Definition,
        stages: &[PlannedStage],
        registry: &Registry,
        before: &State,
    ) -> Result<Self, Vec<StageFailure>> {
        let (mut list, mut failures) = (Vec::with_capacity(stages.len()), Vec::new());
        for PlannedStage { name, kind, mode, needs, .. } in stages {
            let source = Source::Recorded(IndexMap::new());
            let node = node((definition, registry), name, kind, *mode, needs.clone(), source);
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

/// What the nodes are made from.
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

    fn redeploying(&self, deployed: &Deployed) -> Result<Nodes, Vec<StageFailure>> {
        let (stages, graph) = (&self.definition.stages, &self.definition.graph);
        let mut moves = vec![false; stages.len()];
        for &index in graph.order() {
            moves[index] = stages[index].deploys() || graph.before(index).iter().any(|&other| moves[other]);
        }
        let (mut list, mut failures) = (Vec::with_capacity(stages.len()), Vec::new());
        for (index, moves) in moves.into_iter().enumerate() {
            let node = match moves {
                true => self.redeployed_node(index, deployed),
                false => self.held_node(&stages[index].name),
            };
            collect(node, &mut list, &mut failures);
        }
        if !failures.is_empty() {
            return Err(failures);
        }
        Ok(Nodes { references: self.definition.references.clone(), order: graph.clone(), list })
    }

    fn redeployed_node(&self, index: usize, deployed: &Deployed) -> Result<Node, StageFailure> {
        let config = &self.definition.stages[index];
        let failed = |error| StageFailure::of(&config.name, &error);
        let node = self.file_node(index, Mode::Converge)?;
        if !config.deploys() {
            return Ok(node);
        }
        let record = deployed.stages.get(&config.name).filter(|record| record.kind == config.kind);
        let record = record.ok_or_else(|| {
            failed(StageError::failed(format!("run {} deployed nothing by this stage", deployed.run)))
        })?;
        let mut inputs = config.inputs.clone();
        for key in config.deployment_inputs() {
            let current = inputs.shift_remove(key);
            if let Some(value) = record.inputs.0.get(key) {
                let template = Template::unseal(value, current.as_ref());
                let template = template.map_err(|error| failed(StageError::input(key, error)))?;
                inputs.insert(key.to_owned(), template);
            }
        }
        Ok(Node { source: Source::Redeployed(index, inputs), ..node })
    }

    fn held_node(&self, name: &StageName) -> Result<Node, StageFailure> {
        let Some(record) = self.state.stages.get(name) else {
            let error = StageError::failed("it does not exist yet, so nothing can be deployed");
            return Err(StageFailure::of(name, &error.with_help("`pipeline run` makes it")));
        };
        let (needs, source) = (record.needs.clone(), Source::Recorded(IndexMap::new()));
        let node = node(self.kinds(), name, &record.kind, Mode::Converge, needs, source)?;
        Ok(Node { held: true, ..node })
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

    /// What tells of a kind by its name.
    fn kinds(&self) -> (&Definition, &Registry) {
        (self.definition, self.registry)
    }

    fn file_node(&self, index: usize, mode: Mode) -> Result<Node, StageFailure> {
        let config = &self.definition.stages[index];
        let needs = self.definition.graph.before(index).iter();
        let needs = needs.map(|&i| self.definition.stages[i].name.clone()).collect();
        let node = node(self.kinds(), &config.name, &config.kind, mode, needs, Source::File(index))?;
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
        node(self.kinds(), name, &record.kind, Mode::Destroy, record.needs.clone(), Source::Recorded(inputs))
    }
}

fn node(
    (definition, registry): (&Definition, &Registry),
    name: &StageName,
    kind: &str,
    mode: Mode,
    needs: Vec<StageName>,
    source: Source,
) -> Result<Node, StageFailure> {
    let known = registry.stage(kind, definition.isolation(name)).map_err(|error| {
        let error = match error {
            KindError::Plugin(error) => error,
            KindError::Unknown => StageError::failed(format!("this program does not know the kind `{kind}`"))
                .with_help("the stage exists in the state; use a program that knows its kind to remove it"),
        };
        StageFailure::of(name, &error)
    })?;
    let (name, kind, stage) = (name.clone(), kind.to_owned(), known.stage.clone());
    let limits = StageLimits::default();
    Ok(Node { name, kind, stage, mode, needs, source, optional: false, held: false, limits })
}

fn collect(node: Result<Node, StageFailure>, list: &mut Vec<Arc<Node>>, failures: &mut Vec<StageFailure>) {
    match node {
        Ok(node) => list.push(Arc::new(node)),
        Err(failure) => failures.push(failure),
    }
}
