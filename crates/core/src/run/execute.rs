//! Applying a plan: every stage that is ready at once, each checked again just before.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use pipeline_sdk::{
    ApplyError, CancellationToken, Event, Mode, Outputs, RunOutcome, StageError, Value, contains_unknown,
};
use tokio::task::JoinSet;

use super::attempts::{Ended, Work};
use super::execution::{Execution, outputs_of};
use super::rollback::{kept_lines, not_removed, roll_back, unknown};
use super::save::Saver;
use super::{EngineError, Run, RunReport};
use crate::config::OnFailure;
use crate::failure::{StageFailure, panic_error};
use crate::journal::Entry;
use crate::lifecycle::{RunEvent, RunState, StageEvent, StageState};
use crate::node::{Nodes, ResolvedInputs, planned_output};
use crate::plan::Plan;
use crate::state::StageRecord;

impl Run {
    /// Applies `plan` to `nodes`, and undoes it if that fails.
    pub(super) async fn execute(&mut self, plan: Plan, nodes: &Nodes) -> RunReport {
        let redactor = self.session.definition.scope.redactor.clone();
        let saver = Saver::new(self.lock.clone(), self.session.recorder.clone(), redactor);
        let states = (&self.state, &self.before);
        let execution = Execution::new(&self.session, nodes, self.life, states, plan.stages);
        let mut executor = Executor::new(execution, saver, self.cancel.token().clone());
        executor.apply_all(&self.cancel).await;
        let left_over = executor.settle().await;
        executor.report(left_over)
    }

    /// Undoes what the run inherits, and nothing else.
    pub(super) async fn execute_undo(&mut self, plan: Plan, nodes: &Nodes, cause: String) -> RunReport {
        let redactor = self.session.definition.scope.redactor.clone();
        let saver = Saver::new(self.lock.clone(), self.session.recorder.clone(), redactor);
        let states = (&self.state, &self.before);
        let mut execution = Execution::new(&self.session, nodes, self.life, states, plan.stages);
        let (touched, others): (Vec<_>, Vec<_>) =
            (0..execution.stages.len()).partition(|&index| execution.did(index));
        touched.iter().for_each(|&index| execution.stages[index].state = StageState::Applied);
        others.iter().for_each(|&index| execution.stages[index].state = StageState::Skipped);
        let mut executor = Executor::new(execution, saver, self.cancel.token().clone());
        executor.run.happen(RunEvent::Undo);
        let left_over = executor.undo_all(cause, &touched).await;
        executor.save().await;
        executor.changes = touched.len();
        executor.report(left_over)
    }
}

struct Executor<'a> {
    run: Execution<'a>,
    saver: Saver,
    token: CancellationToken,
    ready: VecDeque<usize>,
    waiting: Vec<usize>,
    calls: JoinSet<(usize, Ended)>,
    changes: usize,
}

impl<'a> Executor<'a> {
    fn new(run: Execution<'a>, saver: Saver, token: CancellationToken) -> Self {
        let graph = &run.nodes.order;
        let waiting: Vec<usize> = (0..graph.len()).map(|node| graph.before(node).len()).collect();
        let ready = graph.order().iter().copied().filter(|&node| waiting[node] == 0).collect();
        Self { run, saver, token, ready, waiting, calls: JoinSet::new(), changes: 0 }
    }

    /// Works until nothing runs and nothing can be started.
    async fn apply_all(&mut self, cancel: &crate::cancel::Cancellation) {
        let mut cancelled = false;
        loop {
            if cancel.is_requested() && !cancelled {
                cancelled = true;
                self.cancelled(cancel.cause()).await;
            }
            if self.run.broken() {
                return self.give_up();
            }
            self.start_ready();
            if let Err(error) = self.saver.start(&mut self.run.state) {
                self.save_failed(error);
            }
            if self.calls.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                () = cancel.requested(), if !cancelled => {}
                () = self.run.session.recorder.lock_lost() => {}
                Some(joined) = self.calls.join_next() => {
                    // Panics are caught inside; nothing aborts these calls.
                    if let Ok((node, ended)) = joined {
                        self.ended(node, ended);
                    }
                }
                result = self.saver.ended() => {
                    if let Err(error) = result {
                        self.save_failed(error);
                    }
                }
            }
        }
    }

    /// The wish is durable before anything is stopped: whoever looks after this run has to know it.
    async fn cancelled(&mut self, cause: String) {
        self.run.session.emitter.emit(Event::CancelRequested { cause: cause.clone() });
        // A failure to record it shows in `broken`.
        let _ = self.run.session.recorder.write(Entry::CancelRequested { cause }).await;
        self.run.happen(RunEvent::CancelRequested);
    }

    /// Nothing more may be done: the calls are dropped, which stops them before their next side effect.
    fn give_up(&mut self) {
        self.calls.abort_all();
        for index in 0..self.run.stages.len() {
            if self.run.stages[index].state == StageState::Applying {
                self.fail(
                    index,
                    StageError::failed("it was left in the middle, since the run may do nothing more").into(),
                );
            }
        }
        if self.run.life == RunState::Applying {
            self.run.happen(RunEvent::StageFailed);
        }
    }

    fn save_failed(&mut self, error: EngineError) {
        self.run.error = Some(error);
        if matches!(self.run.life, RunState::Applying | RunState::Stopping(_)) {
            self.run.happen(RunEvent::StageFailed);
        }
    }

    fn start_ready(&mut self) {
        let limit = self.run.session.definition.parallelism;
        while self.run.life == RunState::Applying && self.calls.len() < limit && self.run.error.is_none() {
            let Some(node) = self.ready.pop_front() else { return };
            match self.what_to_do(node) {
                Ok(Some(inputs)) => self.start(node, inputs),
                Ok(None) => {
                    let outputs = self.run.stages[node].outputs.clone();
                    let sealed = self.run.stages[node].planned.inputs.clone();
                    self.remember(node, sealed, outputs);
                    self.nothing_to_do(node);
                    self.release(node);
                }
                Err(error) => {
                    self.run.advance(node, StageEvent::Start);
                    self.fail(node, error.into());
                }
            }
        }
    }

    /// The inputs to apply the node with; `None` if there is nothing to do.
    fn what_to_do(&self, index: usize) -> Result<Option<ResolvedInputs>, StageError> {
        let progress = &self.run.stages[index];
        let planned = &progress.planned;
        let graph = &self.run.nodes.order;
        let upstream_changed =
            || graph.before(index).iter().any(|&other| self.run.stages[other].state == StageState::Applied);
        let was_known = !planned.inputs.0.values().any(contains_unknown);
        if planned.plan.is_empty() && was_known && !upstream_changed() {
            return Ok(None);
        }
        let node = self.run.node(index);
        if node.optional && planned.plan.is_empty() {
            return Ok(None);
        }
        let inputs =
            node.resolve(&self.run.session.definition, &|stage, name| self.output(index, stage, name))?;
        let same = planned.plan.is_empty() && inputs.sealed == planned.inputs;
        Ok((!same).then_some(inputs))
    }

    fn output(&self, index: usize, stage: &str, name: &str) -> Option<Value> {
        let upstream = self.run.nodes.order.before(index).iter();
        let mut upstream = upstream.filter(|&&other| self.run.node(other).name.as_str() == stage);
        if let Some(&other) = upstream.next() {
            return Some(planned_output(stage, name, &self.run.stages[other].outputs, true));
        }
        let name_of_stage = pipeline_sdk::StageName::new(stage).ok()?;
        let record = self.run.start.stages.get(&name_of_stage)?;
        Some(planned_output(stage, name, &record.outputs, true))
    }

    fn start(&mut self, index: usize, inputs: ResolvedInputs) {
        let node = self.run.node(index);
        let prior = self.run.start.stages.get(&node.name);
        let planned = &self.run.stages[index].planned;
        let work = Work::new(self.run.session, node, prior, planned, inputs, &self.token);
        self.run.advance(index, StageEvent::Start);
        self.calls.spawn(async move {
            let call = AssertUnwindSafe(work.carry_out()).catch_unwind();
            (index, call.await.unwrap_or_else(|panic| Ended::Failed(panic_error(panic.as_ref()).into())))
        });
    }

    fn ended(&mut self, index: usize, ended: Ended) {
        let (outputs, sealed, changes) = match ended {
            Ended::Failed(error) => return self.fail(index, error),
            Ended::Applied { outputs, sealed, changes } => (outputs, sealed, changes),
            Ended::Unchanged { outputs, sealed } => (outputs, sealed, 0),
        };
        let node = self.run.node(index);
        let converges = node.mode == Mode::Converge;
        if let (true, Err(error)) = (converges, node.check_outputs(&self.run.session.definition, &outputs)) {
            return self.fail(index, ApplyError { error, so_far: outputs });
        }
        self.changes += changes;
        self.run.stages[index].outputs = outputs.clone();
        self.remember(index, sealed.sealed, outputs);
        if changes > 0 {
            self.run.advance(index, StageEvent::Done);
        } else {
            self.nothing_to_do(index);
        }
        self.release(index);
    }

    /// The stage is as it should be. What an earlier attempt or run has done for that counts as done now.
    fn nothing_to_do(&mut self, index: usize) {
        if !self.run.did(index) {
            return self.run.advance(index, StageEvent::NothingToDo);
        }
        if self.run.stages[index].state == StageState::Waiting {
            self.run.advance(index, StageEvent::Start);
        }
        self.changes += self.run.session.recorder.done_by(&self.run.node(index).name).len();
        self.run.advance(index, StageEvent::Done);
    }

    /// Puts what the node has become into the state.
    fn remember(&mut self, index: usize, sealed: pipeline_sdk::Inputs, outputs: Outputs) {
        let node = self.run.node(index);
        let state = &mut self.run.state;
        if node.mode == Mode::Destroy {
            if state.stages.remove(&node.name).is_some() {
                self.saver.mark();
            }
            return;
        }
        let record =
            StageRecord { kind: node.kind.clone(), inputs: sealed, needs: node.needs.clone(), outputs };
        if state.stages.get(&node.name) != Some(&record) {
            state.stages.insert(node.name.clone(), record);
            state.run = Some(self.run.session.run);
            self.saver.mark();
        }
    }

    fn release(&mut self, index: usize) {
        for &next in self.run.nodes.order.after(index) {
            self.waiting[next] -= 1;
            if self.waiting[next] == 0 {
                self.ready.push_back(next);
            }
        }
    }

    fn fail(&mut self, index: usize, ApplyError { error, so_far }: ApplyError) {
        let node = self.run.node(index);
        let failure = StageFailure::of(&node.name, &error);
        self.run.undone_by_cloud |= matches!(error, StageError::RolledBack { .. });
        self.run.stages[index].failure = Some(failure.clone());
        self.run.stages[index].outputs = so_far.clone();
        self.run.cause.get_or_insert(failure);
        self.remember_partly(index, so_far);
        self.run.advance(index, StageEvent::Fail);
        self.run.happen(RunEvent::StageFailed);
    }

    /// What a failed stage has made so far, beside what it had: nothing may be forgotten.
    fn remember_partly(&mut self, index: usize, so_far: Outputs) {
        if so_far == Outputs::default() {
            return;
        }
        let node = self.run.node(index);
        let inputs = self.run.stages[index].planned.inputs.clone();
        let record = self.run.state.stages.entry(node.name.clone()).or_insert_with(|| StageRecord {
            kind: node.kind.clone(),
            inputs,
            needs: node.needs.clone(),
            outputs: Outputs::default(),
        });
        record.outputs.values.extend(so_far.values.into_iter().filter(|(_, value)| !contains_unknown(value)));
        for resource in so_far.resources {
            record.outputs.resources.retain(|known| known.id != resource.id);
            record.outputs.resources.push(resource);
        }
        self.saver.mark();
    }

    /// Undoes the run if it failed, and saves. Returns what is left over.
    async fn settle(&mut self) -> Vec<String> {
        self.skip_the_rest();
        let stopping = matches!(self.run.life, RunState::Stopping(_));
        let skipped =
            self.run.stages.iter().any(|s| matches!(s.state, StageState::Skipped | StageState::Failed));
        let mut left_over = Vec::new();
        if !stopping || (!skipped && self.run.error.is_none()) {
            self.run.happen(RunEvent::AllDone { changed: self.changes > 0 });
        } else {
            left_over = self.undo().await;
        }
        self.save().await;
        left_over
    }

    async fn save(&mut self) {
        if !self.run.broken()
            && let Err(error) = self.saver.flush(&mut self.run.state).await
        {
            self.run.error = Some(error);
        }
    }

    async fn undo(&mut self) -> Vec<String> {
        let touched: Vec<usize> = (0..self.run.stages.len())
            .filter(|&index| match self.run.stages[index].state {
                StageState::Applied => true,
                StageState::Failed => self.run.did(index),
                _ => false,
            })
            .collect();
        if touched.is_empty() {
            self.restore();
            self.run.happen(RunEvent::Settle { undone: self.run.undone_by_cloud });
            return Vec::new();
        }
        if self.run.broken() {
            self.run.happen(RunEvent::Undo);
            self.run.happen(RunEvent::Undone { clean: false });
            return unknown(&self.run, &touched);
        }
        let destroys = self.run.nodes.list.iter().all(|node| node.mode == Mode::Destroy);
        if destroys || self.run.session.definition.on_failure == OnFailure::Keep {
            self.run.happen(RunEvent::Undo);
            self.run.happen(RunEvent::Undone { clean: false });
            return if destroys { not_removed(&self.run) } else { kept_lines(&self.run, &touched) };
        }
        let cause = self.run.cause.as_ref().map(ToString::to_string);
        let cause = cause.or_else(|| self.run.error.as_ref().map(ToString::to_string));
        let cause = cause.unwrap_or_else(|| "the run was cancelled".to_owned());
        self.run.happen(RunEvent::Undo);
        let left_over = self.undo_all(cause, &touched).await;
        if !self.run.broken() {
            self.restore();
        }
        left_over
    }

    /// That it is being undone is durable first: whoever looks after this run must not go on with it.
    async fn undo_all(&mut self, cause: String, touched: &[usize]) -> Vec<String> {
        self.run.session.emitter.emit(Event::RollbackStarted { cause: cause.clone() });
        // A failure to record it shows in `broken`.
        let _ = self.run.session.recorder.write_ahead(Entry::RollbackStarted { cause }).await;
        let left_over = roll_back(&mut self.run, touched, &mut self.saver).await;
        let undone = |&index: &usize| self.run.stages[index].state == StageState::RolledBack;
        let clean = touched.iter().all(undone);
        self.run.happen(RunEvent::Undone { clean });
        left_over
    }

    /// Puts the state back to what it was, apart from the stages that could not be undone.
    fn restore(&mut self) {
        let before = self.run.before.stages.clone();
        let stages = std::mem::replace(&mut self.run.state.stages, before);
        for index in 0..self.run.stages.len() {
            let name = &self.run.node(index).name;
            if self.run.stages[index].state == StageState::Stuck {
                self.run.state.put(name, stages.get(name).cloned());
            }
        }
        self.run.state.run = self.run.before.run;
        // Whether it differs from what is on disk is not known here: a save may have gone through.
        if self.run.state.serial != self.run.before.serial {
            self.saver.mark();
        }
    }

    fn skip_the_rest(&mut self) {
        for &index in self.run.nodes.order.order() {
            if self.run.stages[index].state != StageState::Waiting {
                continue;
            }
            if !self.run.did(index) {
                self.run.advance(index, StageEvent::Skip);
                continue;
            }
            let error = StageError::failed("an earlier run had begun it, and it was not gone on with");
            let failure = StageFailure::of(&self.run.node(index).name, &error);
            self.run.stages[index].failure = Some(failure);
            self.run.advance(index, StageEvent::Fail);
        }
    }

    fn report(self, left_over: Vec<String>) -> RunReport {
        let mut outcome = match self.run.life {
            RunState::Ended(outcome) => outcome,
            _ => RunOutcome::Stuck,
        };
        if self.run.error.is_some() && matches!(outcome, RunOutcome::Succeeded | RunOutcome::Unchanged) {
            // The world is as planned, and the state does not know.
            outcome = RunOutcome::Stuck;
        }
        let cause = self.run.cause.as_ref();
        // What a stage failed by is told with the stage.
        let error = self.run.error.as_ref().map(ToString::to_string);
        let error = error.or_else(|| cause.map(ToString::to_string));
        let emergency = self.run.error.as_ref().map(|error| self.run.emergency(error));
        RunReport {
            run: self.run.session.run,
            outcome,
            stages: self.run.reports(),
            outputs: outputs_of(&self.run.state),
            changes: self.changes,
            error,
            help: cause.and_then(|cause| cause.help.clone()),
            left_over,
            emergency,
        }
    }
}
