//! Beginning a run: the lock, the state, and what an earlier run has left to do.

use std::sync::Arc;
use std::time::Instant;

use pipeline_sdk::{Event, Registry, RunCommand, RunId, RunOutcome, StageError, StageName, with_causes};

use super::takeover::{Earlier, Runs};
use super::{Deployed, EngineError, Run, Target};
use crate::backoff::Jitter;
use crate::cancel::Cancellation;
use crate::config::Pipeline;
use crate::events::{Emitter, EventSink};
use crate::journal::{Began, Entry, Inherited, Journal, Prospect};
use crate::lifecycle::RunState;
use crate::node::Session;
use crate::notify::{NamedNotifier, Notifications, NotifyLimits, Unopened};
use crate::plan::Plan;
use crate::recorder::RunRecorder;
use crate::state::{State, encode};
use crate::store::{Holder, StateLock, StateStore, StoreError, Wait};

/// Begins runs of one pipeline.
pub struct Engine {
    pub(super) pipeline: Pipeline,
    pub(super) registry: Registry,
    store: Arc<dyn StateStore>,
    sink: EventSink,
    limits: NotifyLimits,
    jitter: Jitter,
}

/// An environment that is held, and who asked for it.
pub(super) struct Ground {
    lock: Arc<dyn StateLock>,
    holder: Holder,
    /// Every run that has a journal, oldest first.
    pub(super) runs: Vec<RunId>,
    pub(super) state: State,
    target: Target,
    cancel: Cancellation,
}

/// What a new run starts from.
pub(super) struct Start {
    pub(super) command: RunCommand,
    pub(super) stages: Vec<StageName>,
    pub(super) before: State,
    pub(super) inherits: Option<Inherited>,
    pub(super) redeploys: Option<Deployed>,
    /// Whether it is the last one to use the lock.
    pub(super) last: bool,
}

impl Ground {
    /// Gives the lock back if nothing came of it.
    pub(super) async fn unless_failed<T>(&self, begun: Result<T, EngineError>) -> Result<T, EngineError> {
        if begun.is_err() {
            // What went wrong is what matters; a lease ends by itself.
            let _ = self.lock.release().await;
        }
        begun
    }
}

impl Engine {
    /// An engine for `pipeline`, whose stages come from `registry`. What happens is told to `sink`.
    pub fn new(pipeline: Pipeline, registry: Registry, store: Arc<dyn StateStore>, sink: EventSink) -> Self {
        let (limits, jitter) = (NotifyLimits::default(), Jitter::new(rand::random()));
        Self { pipeline, registry, store, sink, limits, jitter }
    }

    /// Other limits for notifiers.
    #[must_use]
    pub fn with_notify_limits(mut self, limits: NotifyLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Leaves nothing to chance: engines with the same seed make the same pauses between attempts.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.jitter = Jitter::new(seed);
        self
    }

    /// Locks the environment, waiting for it as `wait` says, loads its state and begins a run. `target`
    /// says where it works, such as `eu-central-1 (embedded cloud)`. Only a run that can change something
    /// tells the notifiers.
    ///
    /// A run that was cut off is looked after first: one that had begun to fail is undone, in a run of its
    /// own; from any other the new run takes over, so that undoing the new one undoes both.
    ///
    /// # Errors
    /// The lock is held, the state or a journal cannot be read, a notifier refuses its inputs, or what an
    /// earlier run had begun could not be undone.
    pub async fn begin(
        &self,
        command: RunCommand,
        target: impl Into<Target>,
        cancel: Cancellation,
        wait: Wait<'_>,
    ) -> Result<Run, EngineError> {
        self.begin_as(command, None, target.into(), cancel, wait).await
    }

    /// Begins a run for `command`, which applies the plan `saved`, if there is one.
    pub(super) async fn begin_as(
        &self,
        command: RunCommand,
        saved: Option<&Plan>,
        target: Target,
        cancel: Cancellation,
        wait: Wait<'_>,
    ) -> Result<Run, EngineError> {
        let notifiers = self.notifiers(command)?;
        let mut ground = self.take(target, cancel, wait).await?;
        let run = self.begin_on(&mut ground, command, saved, notifiers).await;
        ground.unless_failed(run).await
    }

    pub(super) async fn take(
        &self,
        target: Target,
        cancel: Cancellation,
        wait: Wait<'_>,
    ) -> Result<Ground, EngineError> {
        let holder = Holder::this_process(RunId::generate());
        let environment = &self.pipeline.inner.id.environment;
        let lock = self.store.lock(environment, &holder, wait.unless(cancel.token().clone())).await;
        let lock: Arc<dyn StateLock> = match lock {
            Err(StoreError::Locked { .. }) if cancel.is_requested() => return Err(EngineError::Cancelled),
            lock => lock?.into(),
        };
        let here = Some(target.identity.clone());
        let state = State { target: here, ..State::empty(self.pipeline.inner.id.clone()) };
        let mut ground = Ground { lock, holder, runs: Vec::new(), state, target, cancel };
        let loaded = self.load(&mut ground).await;
        ground.unless_failed(loaded).await?;
        Ok(ground)
    }

    async fn load(&self, ground: &mut Ground) -> Result<(), EngineError> {
        let id = &self.pipeline.inner.id;
        let (state, runs) = futures::join!(ground.lock.load(), self.store.runs(&id.environment));
        ground.runs = runs?;
        let Some(bytes) = state? else { return Ok(()) };
        ground.state = State::read(self.store.as_ref(), id, &bytes)?;
        let found = ground.state.target.take().filter(|_| !ground.state.stages.is_empty());
        self.is_here(ground, found.as_deref())?;
        ground.state.target = Some(ground.target.identity.clone());
        ground.state.missing = self.runs(ground).missing();
        Ok(())
    }

    /// Checks that what is in `found`, if that is known, is where this run works: what is somewhere else would seem to
    /// be gone.
    pub(super) fn is_here(&self, ground: &Ground, found: Option<&str>) -> Result<(), EngineError> {
        let (wanted, environment) = (&ground.target.identity, &self.pipeline.inner.id.environment);
        match found {
            Some(found) if found != wanted => Err(EngineError::OtherTarget {
                environment: environment.clone(),
                found: found.to_owned(),
                wanted: wanted.clone(),
                state: self.store.place(environment),
            }),
            _ => Ok(()),
        }
    }

    /// The run that was cut off and has to be looked after, if there is one.
    pub(super) async fn unfinished(&self, ground: &Ground) -> Result<Option<Earlier>, EngineError> {
        let earlier = Earlier::unfinished(&self.runs(ground)).await?;
        if let Some(earlier) = &earlier {
            self.is_here(ground, earlier.target())?;
        }
        Ok(earlier)
    }

    /// Whether a run that was cut off has to be undone before another one begins.
    pub(super) fn is_undone_first(&self, earlier: &Earlier) -> bool {
        earlier.recovered.prospect(self.pipeline.inner.on_failure) == Prospect::IsUndone
    }

    async fn begin_on(
        &self,
        ground: &mut Ground,
        command: RunCommand,
        saved: Option<&Plan>,
        notifiers: Vec<NamedNotifier>,
    ) -> Result<Run, EngineError> {
        let stages = self.pipeline.stages().map(|(name, _)| name.clone()).collect();
        let earlier = self.unfinished(ground).await?;
        if let Some(saved) = saved {
            self.check_saved(saved, &ground.state, earlier.as_ref())?;
        }
        let plain = |ground: &Ground| Start {
            command,
            stages,
            before: ground.state.clone(),
            inherits: None,
            redeploys: None,
            last: true,
        };
        let Some(earlier) = earlier else { return self.start(ground, plain(ground), notifiers) };
        let undone = self.is_undone_first(&earlier);
        if command == RunCommand::Plan {
            earlier.bring_up_to_date(&mut ground.state);
            let mut run = self.start(ground, plain(ground), notifiers)?;
            run.undone_first = undone.then_some(earlier.run);
            let what = if undone {
                "undoes it first, and may have something else to do then than this plan shows"
            } else {
                "goes on from what it did"
            };
            run.session.emitter.warn(format!(
                "run {} was cut off: `pipeline status` explains it, and the next `pipeline run` {what}",
                earlier.run
            ));
            return Ok(run);
        }
        if undone {
            self.undo_first(ground, &earlier).await?;
            return self.start(ground, plain(ground), notifiers);
        }
        self.take_over(ground, &earlier).await?;
        let mut start = plain(ground);
        // What is removed is not brought back, so a destruction leaves nothing to inherit.
        if !earlier.recovered.is_destruction() {
            start.before = earlier.before(&ground.state);
            start.inherits = Some(earlier.inheritance(false));
        }
        self.start(ground, start, notifiers)
    }

    /// Undoes a run that was cut off while it failed, before a new one begins.
    pub(super) async fn undo_first(&self, ground: &mut Ground, earlier: &Earlier) -> Result<(), EngineError> {
        let notifiers = self.notifiers(RunCommand::Rollback)?;
        let report = self.undo(ground, earlier, false, notifiers).await?.apply().await;
        self.load(ground).await?;
        match report.outcome {
            RunOutcome::Succeeded => Ok(()),
            _ => Err(EngineError::NotUndone {
                run: earlier.run,
                reason: report.error.unwrap_or_else(|| report.left_over.join("; ")),
            }),
        }
    }

    /// Keeps the process of an earlier run from going on, and saves what that run had come to.
    pub(super) async fn take_over(&self, ground: &mut Ground, earlier: &Earlier) -> Result<(), EngineError> {
        let redactor = &self.pipeline.inner.scope.redactor;
        let next = (ground.lock.epoch(), ground.holder.clone());
        earlier.fence(&self.runs(ground), redactor.clone(), next).await?;
        let before = ground.state.clone();
        earlier.bring_up_to_date(&mut ground.state);
        if ground.state != before {
            ground.lock.save(encode(&ground.state, redactor)?).await?;
        }
        Ok(())
    }

    pub(super) fn runs<'a>(&'a self, ground: &'a Ground) -> Runs<'a> {
        let environment = &self.pipeline.inner.id.environment;
        let State { run: last, missing: missed, .. } = ground.state;
        Runs { store: self.store.as_ref(), environment, ids: &ground.runs, last, missed }
    }

    pub(super) fn start(
        &self,
        ground: &mut Ground,
        start: Start,
        notifiers: Vec<NamedNotifier>,
    ) -> Result<Run, EngineError> {
        let Ground { lock, holder, runs, state, target, cancel } = ground;
        let newest = runs.last().copied().max(state.run);
        let id = newest.map_or(holder.run, |newest| holder.run.after(newest));
        runs.push(id);
        let definition = self.pipeline.inner.clone();
        let redactor = definition.scope.redactor.clone();
        let emitter = Emitter::new(id, redactor.clone(), self.sink.clone());
        let complaint = emitter.complaint(cancel);
        emitter.notify(Notifications::start(notifiers, self.limits, self.jitter, &complaint));
        emitter.emit(Event::RunStarted {
            pipeline: definition.id.clone(),
            command: start.command,
            target: target.name.clone(),
            link: target.link.clone(),
            stages: start.stages,
        });
        if matches!(start.command, RunCommand::Plan | RunCommand::Run) {
            definition.warnings.iter().for_each(|amiss| emitter.warn(amiss));
        }
        let journal = match start.command {
            RunCommand::Plan => None,
            _ => Some(
                Journal::create(self.store.journal(&definition.id.environment, id), id, redactor)
                    .map_err(crate::recorder::Unrecordable::from)?,
            ),
        };
        let inherited = start.inherits.as_ref().map(|inherits| inherits.done.clone()).unwrap_or_default();
        let recorder = Arc::new(RunRecorder::new(emitter.clone(), lock.clone(), journal, inherited));
        recorder.note(|| Entry::Fence { epoch: lock.epoch(), holder: holder.clone() });
        recorder.note(|| {
            Entry::Began(Began {
                pipeline: definition.id.clone(),
                command: start.command,
                target: target.name.clone(),
                holder: holder.clone(),
                before: start.before.clone(),
                inherits: start.inherits,
                redeploys: start.redeploys.as_ref().map(|deployed| deployed.run),
            })
        });
        Ok(Run {
            session: Session { run: id, definition, emitter, recorder, jitter: self.jitter },
            registry: self.registry.clone(),
            lock: lock.clone(),
            state: state.clone(),
            before: start.before,
            redeploys: start.redeploys,
            cancel: cancel.clone(),
            life: RunState::Begun,
            undone_first: None,
            since: Instant::now(),
            last: start.last,
        })
    }

    pub(super) fn notifiers(&self, command: RunCommand) -> Result<Vec<NamedNotifier>, EngineError> {
        if command == RunCommand::Plan {
            return Ok(Vec::new());
        }
        let make = |config: &crate::config::NotifierConfig| {
            let refused =
                |input, message| EngineError::Notifier { name: config.name.clone(), input, message };
            let kind = self.registry.notifier(&config.kind, config.isolation);
            let kind = kind.map_err(|error| refused(false, format!("`{}`: {error}", config.kind)))?;
            let notifier = match (kind.create)(&config.inputs) {
                Ok(notifier) => notifier,
                // What the file says of it is wrong, or nothing may happen without it.
                Err(error) if config.required || matches!(error, StageError::Input { .. }) => {
                    let input = matches!(error, StageError::Input { .. });
                    return Err(refused(input, with_causes(&error)));
                }
                Err(error) => Arc::new(Unopened(with_causes(&error))),
            };
            Ok(NamedNotifier { name: config.name.clone(), notifier, required: config.required })
        };
        self.pipeline.inner.notifiers.iter().map(make).collect()
    }
}
