//! Beginning a run that leads back: by undoing the last one, or by deploying what an earlier one had.

use std::collections::BTreeMap;
use std::convert::Infallible;

use pipeline_sdk::{Event, Mode, RunCommand, RunId, RunOutcome, StageName};

use super::begin::{Engine, Ground, Start};
use super::takeover::Earlier;
use super::{EngineError, Run, RunReport, Target};
use crate::cancel::Cancellation;
use crate::config::StageConfig;
use crate::journal::Recovered;
use crate::lifecycle::RunEvent;
use crate::node::Nodes;
use crate::notify::NamedNotifier;
use crate::plan::Plan;
use crate::state::StageRecord;
use crate::store::Wait;

/// What an earlier run had deployed.
#[derive(Clone, Debug)]
pub(crate) struct Deployed {
    /// The run.
    pub(crate) run: RunId,
    /// The stages as they were when it ended.
    pub(crate) stages: BTreeMap<StageName, StageRecord>,
}

impl Deployed {
    fn by(Earlier { run, recovered }: &Earlier) -> Result<Self, EngineError> {
        let none = |why: &str| Err(EngineError::NothingToDeploy(format!("run {run} {why}")));
        let Recovered { began: Some(began), ended: Some(ending), .. } = recovered else {
            return none("did not come to its end");
        };
        if !matches!(ending.outcome, RunOutcome::Succeeded | RunOutcome::Unchanged) {
            return none("did not succeed");
        }
        if recovered.is_destruction() {
            return none("removed everything");
        }
        let mut stages = began.before.stages.clone();
        let records =
            recovered.stages.iter().filter_map(|(name, stage)| Some((name, stage.record.as_ref()?)));
        stages.extend(records.map(|(name, record)| (name.clone(), record.clone())));
        Ok(Self { run: *run, stages })
    }
}

impl Engine {
    /// Locks the environment and begins to undo the last run whose work is still there. One that was cut
    /// off is undone first of all, also if it could be gone on with.
    ///
    /// # Errors
    /// As [`Engine::begin`]; [`EngineError::NothingToUndo`].
    pub async fn begin_rollback(
        &self,
        target: impl Into<Target>,
        cancel: Cancellation,
        wait: Wait<'_>,
    ) -> Result<Undoing, EngineError> {
        let notifiers = self.notifiers(RunCommand::Rollback)?;
        let mut ground = self.take(target.into(), cancel, wait).await?;
        let undoing = self.rollback_on(&mut ground, notifiers).await;
        ground.unless_failed(undoing).await
    }

    /// Locks the environment and begins a run that deploys what `earlier` had deployed: it plans the stages that
    /// deploy, with what that run told them to, and those that build on them. A run that was cut off is undone
    /// first.
    ///
    /// # Errors
    /// As [`Engine::begin`]; [`EngineError::NothingToDeploy`]: the run left no deployment.
    pub async fn begin_redeployment(
        &self,
        earlier: RunId,
        target: impl Into<Target>,
        cancel: Cancellation,
        wait: Wait<'_>,
    ) -> Result<Run, EngineError> {
        let notifiers = self.notifiers(RunCommand::Rollback)?;
        let mut ground = self.take(target.into(), cancel, wait).await?;
        let run = self.redeploy_on(&mut ground, earlier, notifiers).await;
        ground.unless_failed(run).await
    }

    async fn redeploy_on(
        &self,
        ground: &mut Ground,
        earlier: RunId,
        notifiers: Vec<NamedNotifier>,
    ) -> Result<Run, EngineError> {
        if !ground.runs.contains(&earlier) {
            return Err(EngineError::NothingToDeploy(format!("there is no run {earlier}")));
        }
        if !self.pipeline.inner.stages.iter().any(StageConfig::deploys) {
            return Err(EngineError::NothingToDeploy("no stage of this pipeline deploys an app".to_owned()));
        }
        let earlier = Earlier::read(&self.runs(ground), earlier).await?;
        self.is_here(ground, earlier.target())?;
        let deployed = Deployed::by(&earlier)?;
        match self.unfinished(ground).await? {
            Some(unfinished) if unfinished.recovered.is_destruction() => {
                return Err(being_removed(&unfinished));
            }
            Some(unfinished) => self.undo_first(ground, &unfinished).await?,
            None => {}
        }
        let stages = self.pipeline.stages().map(|(name, _)| name.clone()).collect();
        let start = Start {
            command: RunCommand::Rollback,
            stages,
            before: ground.state.clone(),
            inherits: None,
            redeploys: Some(deployed),
            last: true,
        };
        self.start(ground, start, notifiers)
    }

    async fn rollback_on(
        &self,
        ground: &mut Ground,
        notifiers: Vec<NamedNotifier>,
    ) -> Result<Undoing, EngineError> {
        let earlier = match self.unfinished(ground).await? {
            Some(earlier) if !earlier.recovered.is_destruction() => earlier,
            Some(earlier) => return Err(being_removed(&earlier)),
            None => {
                let earlier = Earlier::undoable(&self.runs(ground)).await?;
                self.is_here(ground, earlier.target())?;
                earlier
            }
        };
        self.undo(ground, &earlier, true, notifiers).await
    }

    /// Begins a run that undoes `earlier`. With `last` it is the last to use the lock.
    pub(super) async fn undo(
        &self,
        ground: &mut Ground,
        earlier: &Earlier,
        last: bool,
        notifiers: Vec<NamedNotifier>,
    ) -> Result<Undoing, EngineError> {
        let cut_off = earlier.recovered.ended.is_none();
        if cut_off {
            self.take_over(ground, earlier).await?;
        }
        let inherits = earlier.inheritance(last);
        let before = earlier.before(&ground.state);
        let stages = earlier.undo_stages(&inherits);
        let nodes = Nodes::of_plan(&self.pipeline.inner, &stages, &self.registry, &before)
            .map_err(EngineError::Plan)?;
        let stages: Vec<_> = nodes.order.order().iter().map(|&index| stages[index].clone()).collect();
        let start = Start {
            command: RunCommand::Rollback,
            stages: stages.iter().map(|stage| stage.name.clone()).collect(),
            before,
            inherits: Some(inherits),
            redeploys: None,
            last,
        };
        let mut run = self.start(ground, start, notifiers)?;
        let plan = Plan {
            run: run.id(),
            // A destruction is never undone.
            mode: Mode::Converge,
            pipeline: ground.state.pipeline.clone(),
            serial: ground.state.serial,
            configuration: run.session.definition.fingerprint.clone(),
            target: ground.state.target.clone(),
            stages,
        };
        run.life = run.life.next(RunEvent::Plan)?.next(RunEvent::PlanReady)?;
        let cause = if cut_off { "it was cut off" } else { "asked for by `pipeline rollback`" };
        let cause = format!("run {}: {cause}", earlier.run);
        let removes_everything = !cut_off && run.before.stages.is_empty();
        Ok(Undoing { cause, run, plan, nodes, removes_everything })
    }
}

fn being_removed(destruction: &Earlier) -> EngineError {
    EngineError::NothingToUndo(format!(
        "run {} was removing everything when it was cut off; `pipeline destroy` goes on with it, and \
         `pipeline run` makes everything again",
        destruction.run
    ))
}

/// A run that is about to undo an earlier one.
pub struct Undoing {
    run: Run,
    plan: Plan,
    nodes: Nodes,
    cause: String,
    removes_everything: bool,
}

impl Undoing {
    /// What it will change.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether nothing will be left: the earlier run was the first one, and came to its end.
    pub fn removes_everything(&self) -> bool {
        self.removes_everything && !self.plan.is_empty()
    }

    /// Ends without undoing anything, because the user does not want it.
    pub async fn decline(self) {
        self.run.decline().await;
    }

    /// Undoes the earlier run as far as that is possible. A cancellation does not stop it.
    pub async fn apply(self) -> RunReport {
        let Self { mut run, plan, nodes, cause, .. } = self;
        let recorder = run.session.recorder.clone();
        run.session.emitter.emit(Event::Planned { changes: plan.changes().count() });
        let plan = recorder.note_plan(plan);
        let (cancel, emitter) = (run.cancel.clone(), run.session.emitter.clone());
        let told = async {
            cancel.requested().await;
            emitter.emit(Event::CancelRequested { cause: cancel.cause() });
            std::future::pending::<Infallible>().await
        };
        let report = tokio::select! {
            report = run.execute_undo(plan, &nodes, cause) => report,
            never = told => match never {},
        };
        run.end(report).await
    }
}
