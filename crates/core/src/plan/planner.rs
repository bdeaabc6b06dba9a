//! Planning all stages, as parallel as what is known allows.
//!
//! A stage whose upstream stages are not planned yet is planned *ahead*, with the outputs that the
//! state remembers. If the upstream plans then say the same, the result stands; otherwise the stage
//! is planned again. So a plan in which nothing changed takes about as long as its slowest stage.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use pipeline_sdk::{Event, Inputs, Mode, Outputs, StageError, StagePlan, Value};
use tokio::task::{AbortHandle, JoinSet};

use crate::cancel::Cancellation;
use crate::failure::{StageFailure, panic_error};
use crate::node::{Node, Nodes, ResolvedInputs, Session, planned_output, unknown_output};
use crate::state::State;

/// Why there is no plan.
pub(crate) enum PlanFailure {
    /// Stages that could not be planned.
    Stages(Vec<StageFailure>),
    /// The run was cancelled.
    Cancelled,
}

/// The plan of a node and what it was made with.
pub(crate) struct Planned {
    pub(crate) sealed: Inputs,
    pub(crate) plan: StagePlan,
}

/// Plans every node. The result has the order of the nodes.
pub(crate) async fn plan_all(
    session: &Session,
    nodes: &Nodes,
    state: &State,
    cancel: &Cancellation,
) -> Result<Vec<Planned>, PlanFailure> {
    let mut planner = Planner::new(session, nodes, state, cancel);
    planner.begin();
    while planner.fill() {
        tokio::select! {
            biased;
            () = cancel.requested() => return Err(PlanFailure::Cancelled),
            Some(joined) = planner.calls.join_next() => {
                // An aborted call was made with inputs that turned out wrong.
                if let Ok(answer) = joined {
                    planner.answered(answer);
                }
            }
        }
    }
    planner.finish()
}

/// The answer of one call of `plan`.
struct Answer {
    node: usize,
    attempt: u32,
    result: Result<StagePlan, StageError>,
}

#[derive(Default)]
struct Slot {
    /// How many upstream nodes are not planned yet.
    waiting: usize,
    /// Which call counts; answers to earlier ones do not.
    attempt: u32,
    /// What the current or last call was made with.
    called_with: Option<ResolvedInputs>,
    running: Option<AbortHandle>,
    /// The answer of a call that was made ahead.
    ahead: Option<Result<StagePlan, StageError>>,
    /// The inputs by the plans of all upstream nodes.
    certain: Option<ResolvedInputs>,
    planned: Option<Planned>,
}

struct Planner<'a> {
    session: &'a Session,
    nodes: &'a Nodes,
    state: &'a State,
    cancel: &'a Cancellation,
    slots: Vec<Slot>,
    /// To be called with inputs that are certain.
    certain: VecDeque<usize>,
    /// To be called ahead, if there is room.
    ahead: VecDeque<usize>,
    /// Nodes whose upstream nodes are all planned since the last look.
    ready: Vec<usize>,
    calls: JoinSet<Answer>,
    failures: Vec<StageFailure>,
}

impl<'a> Planner<'a> {
    fn new(session: &'a Session, nodes: &'a Nodes, state: &'a State, cancel: &'a Cancellation) -> Self {
        let count = nodes.list.len();
        let slot = |node| Slot { waiting: nodes.references.before(node).len(), ..Slot::default() };
        Self {
            session,
            nodes,
            state,
            cancel,
            slots: (0..count).map(slot).collect(),
            certain: VecDeque::new(),
            ahead: VecDeque::new(),
            ready: Vec::new(),
            calls: JoinSet::new(),
            failures: Vec::new(),
        }
    }

    fn begin(&mut self) {
        for &node in self.nodes.references.order() {
            let upstream = self.nodes.references.before(node);
            let remembered = |&other: &usize| self.state.stages.contains_key(&self.nodes.list[other].name);
            if upstream.is_empty() {
                self.ready.push(node);
            } else if upstream.iter().all(remembered) && !self.nodes.list[node].held {
                self.ahead.push_back(node);
            }
        }
    }

    /// Starts as many calls as there is room for. Returns whether any are running.
    fn fill(&mut self) -> bool {
        self.work_off();
        while self.calls.len() < self.session.definition.parallelism {
            let (node, inputs) = if let Some(node) = self.certain.pop_front() {
                (node, self.slots[node].certain.clone())
            } else if let Some(node) = self.ahead.pop_front() {
                if self.slots[node].certain.is_some() || self.slots[node].planned.is_some() {
                    continue;
                }
                // What cannot be evaluated ahead is evaluated in its turn.
                (node, self.inputs(node).ok())
            } else {
                break;
            };
            if let Some(inputs) = inputs {
                self.call(node, inputs);
            }
        }
        !self.calls.is_empty()
    }

    fn call(&mut self, node: usize, inputs: ResolvedInputs) {
        let Node { name, stage, .. } = &*self.nodes.list[node];
        let context =
            self.session.context(&self.nodes.list[node], self.state.stages.get(name), self.cancel.token());
        let slot = &mut self.slots[node];
        slot.attempt += 1;
        let (stage, attempt, values) = (stage.clone(), slot.attempt, inputs.values.clone());
        slot.called_with = Some(inputs);
        slot.running = Some(self.calls.spawn(async move {
            let call = AssertUnwindSafe(stage.plan(&context, &values)).catch_unwind();
            let result = call.await.unwrap_or_else(|panic| Err(panic_error(panic.as_ref())));
            Answer { node, attempt, result }
        }));
    }

    fn answered(&mut self, Answer { node, attempt, result }: Answer) {
        let slot = &mut self.slots[node];
        if attempt != slot.attempt {
            return;
        }
        slot.running = None;
        if slot.certain.is_some() {
            self.settle(node, result);
        } else {
            slot.ahead = Some(result);
        }
    }

    /// Deals with the nodes whose inputs became certain. A loop, since one leads to the next.
    fn work_off(&mut self) {
        while let Some(node) = self.ready.pop() {
            if self.nodes.list[node].held {
                self.hold(node);
                continue;
            }
            if self.has_nothing_to_read(node) {
                self.settle(node, Ok(StagePlan::default()));
                continue;
            }
            match self.inputs(node) {
                Ok(inputs) => self.become_certain(node, inputs),
                Err(error) => self.settle(node, Err(error)),
            }
        }
    }

    fn become_certain(&mut self, node: usize, inputs: ResolvedInputs) {
        // What is looked for by what is not known can be looked for in part; it cannot be removed in part.
        let Node { optional, mode, .. } = &*self.nodes.list[node];
        let is_all_or_nothing = *optional && *mode == Mode::Destroy;
        let slot = &mut self.slots[node];
        let same = slot.called_with.as_ref() == Some(&inputs);
        let known = inputs.values.are_known();
        slot.certain = Some(inputs);
        if is_all_or_nothing && !known {
            self.settle(node, Ok(StagePlan::default()));
        } else if !same {
            if let Some(running) = slot.running.take() {
                running.abort();
                // Its answer may already be under way.
                slot.attempt += 1;
            }
            slot.ahead = None;
            self.certain.push_back(node);
        } else if let Some(result) = slot.ahead.take() {
            self.settle(node, result);
        }
    }

    /// A node that stays as the state says.
    fn hold(&mut self, node: usize) {
        let Some(record) = self.state.stages.get(&self.nodes.list[node].name) else { return };
        let sealed = record.inputs.clone();
        self.slots[node].certain = Some(ResolvedInputs { values: Inputs::default(), sealed });
        self.settle(node, Ok(StagePlan { outputs: record.outputs.clone(), ..StagePlan::default() }));
    }

    /// Drift is asked only of what was made before.
    fn has_nothing_to_read(&self, node: usize) -> bool {
        let node = &self.nodes.list[node];
        node.mode == Mode::Refresh && !self.state.stages.contains_key(&node.name)
    }

    fn settle(&mut self, node: usize, result: Result<StagePlan, StageError>) {
        let Node { name, optional, .. } = &*self.nodes.list[node];
        let plan = match result {
            Ok(plan) => plan,
            Err(error) if *optional => {
                let why = StageFailure::of(name, &error);
                self.session
                    .emitter
                    .warn(format!("{why}; nothing is known to exist for it, so it is left out"));
                StagePlan::default()
            }
            Err(error) => return self.failures.push(StageFailure::of(name, &error)),
        };
        self.session.emitter.emit(Event::StagePlanned { stage: name.clone(), changes: plan.changes.clone() });
        let slot = &mut self.slots[node];
        let sealed = slot.certain.take().map(|inputs| inputs.sealed).unwrap_or_default();
        slot.called_with = None;
        slot.planned = Some(Planned { sealed, plan });
        for &next in self.nodes.references.after(node) {
            self.slots[next].waiting -= 1;
            if self.slots[next].waiting == 0 {
                self.ready.push(next);
            }
        }
    }

    /// The inputs by what is planned so far, and by the state for the rest.
    fn inputs(&self, node: usize) -> Result<ResolvedInputs, StageError> {
        let upstream = self.nodes.references.before(node);
        let outputs = |stage: &str, name: &str| -> Option<Value> {
            let place = upstream.iter().find(|&&other| self.nodes.list[other].name.as_str() == stage);
            let planned = place.and_then(|&other| self.slots[other].planned.as_ref());
            let remembered = self.remembered(stage);
            Some(match (planned, remembered) {
                (Some(Planned { plan, .. }), _) => {
                    let complete = plan.is_empty() && remembered.is_some();
                    planned_output(stage, name, &plan.outputs, complete)
                }
                (None, Some(outputs)) => planned_output(stage, name, outputs, true),
                (None, None) => unknown_output(stage, name),
            })
        };
        self.nodes.list[node].resolve(&self.session.definition, &outputs)
    }

    fn remembered(&self, stage: &str) -> Option<&Outputs> {
        let name = pipeline_sdk::StageName::new(stage).ok()?;
        self.state.stages.get(&name).map(|record| &record.outputs)
    }

    fn finish(self) -> Result<Vec<Planned>, PlanFailure> {
        let mut failures = self.failures;
        if !failures.is_empty() {
            failures.sort_by(|a, b| a.stage.cmp(&b.stage));
            return Err(PlanFailure::Stages(failures));
        }
        Ok(self.slots.into_iter().filter_map(|slot| slot.planned).collect())
    }
}
