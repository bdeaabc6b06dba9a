//! The life of a run and of a stage: which states there are, and what leads from one to the next.
//!
//! Both functions are pure. Everything that happens goes through them, so an order of events that
//! was not thought of is an error and not a corrupted run.

use pipeline_sdk::RunOutcome;

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It holds the lock and has done nothing.
    Begun,
    /// Its stages are being planned.
    Planning,
    /// Its plan is known.
    Planned,
    /// Its stages are being applied.
    Applying,
    /// No stage is started any more; running ones are waited for.
    Stopping(Stop),
    /// What it did is being undone.
    RollingBack(Stop),
    /// It ended.
    Ended(RunOutcome),
}

/// Why a run stops early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A stage failed.
    Failed,
    /// Somebody asked for it.
    Cancelled,
    /// It is there to undo an earlier run: that is all it does.
    ByHand,
}

/// What happens to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunEvent {
    /// Planning starts.
    Plan,
    /// Every stage is planned.
    PlanReady,
    /// At least one stage could not be planned.
    PlanFailed,
    /// Applying starts.
    Apply,
    /// A stage failed, or the state could not be saved.
    StageFailed,
    /// Somebody asked the run to stop.
    CancelRequested,
    /// Every stage ended, and none failed or was skipped.
    AllDone {
        /// Whether anything was changed.
        changed: bool,
    },
    /// The last running stage ended while stopping, and there is something to undo; or the run is there to
    /// undo an earlier one.
    Undo,
    /// The last running stage ended while stopping, and there is nothing to undo, or it is kept.
    Settle {
        /// The cloud undid a failed deployment by itself.
        undone: bool,
    },
    /// Everything that could be undone was.
    Undone {
        /// Whether nothing is left over.
        clean: bool,
    },
    /// The run is given up before it was applied.
    Close {
        /// Whether there would have been something to apply.
        changes: bool,
    },
    /// Everything was done, and the state that should remember it could not be saved.
    NotSaved,
    /// The process that carried it out is gone, and another one looks after it.
    Interrupted,
}

/// An event in a state that it cannot happen in.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{event} cannot happen to what is {state}; this is a defect of the engine")]
pub(crate) struct IllegalTransition {
    state: String,
    event: String,
}

impl RunState {
    /// The state after `event`.
    pub(crate) fn next(self, event: RunEvent) -> Result<Self, IllegalTransition> {
        use RunEvent as E;
        use RunState as S;
        Ok(match (self, event) {
            (S::Begun, E::Plan) => S::Planning,
            (S::Planning, E::PlanReady) => S::Planned,
            (S::Planning, E::PlanFailed) => S::Ended(RunOutcome::Failed),
            (S::Planning | S::Planned | S::Begun, E::CancelRequested) => S::Ended(RunOutcome::Cancelled),
            (S::Planned, E::Apply) => S::Applying,
            (S::Planned, E::Close { changes: false }) => S::Ended(RunOutcome::Unchanged),
            (S::Planned, E::Close { changes: true }) => S::Ended(RunOutcome::Succeeded),
            (S::Begun, E::Close { .. }) => S::Ended(RunOutcome::Failed),
            (S::Applying, E::StageFailed) => S::Stopping(Stop::Failed),
            (S::Applying, E::CancelRequested) => S::Stopping(Stop::Cancelled),
            // What ended well although it was asked to stop is not undone.
            (S::Applying | S::Stopping(Stop::Cancelled), E::AllDone { changed: true }) => {
                S::Ended(RunOutcome::Succeeded)
            }
            (S::Applying | S::Stopping(Stop::Cancelled), E::AllDone { changed: false }) => {
                S::Ended(RunOutcome::Unchanged)
            }
            // The first reason stays: what failed stays failed, what was cancelled may fail by that.
            (S::Stopping(stop), E::StageFailed | E::CancelRequested) => S::Stopping(stop),
            (S::Stopping(stop), E::Undo) => S::RollingBack(stop),
            (S::Planned, E::Undo) => S::RollingBack(Stop::ByHand),
            (S::Stopping(Stop::Failed), E::Settle { undone: false }) => S::Ended(RunOutcome::Failed),
            (S::Stopping(Stop::Failed), E::Settle { undone: true }) => S::Ended(RunOutcome::RolledBack),
            (S::Stopping(Stop::Cancelled), E::Settle { .. }) => S::Ended(RunOutcome::Cancelled),
            (S::Stopping(Stop::ByHand), E::Settle { .. }) => S::Ended(RunOutcome::Succeeded),
            (S::RollingBack(stop), E::CancelRequested) => S::RollingBack(stop),
            (S::Applying | S::Stopping(Stop::Cancelled), E::NotSaved) => S::Ended(RunOutcome::Stuck),
            // Nothing was done yet, so there is nothing to look after.
            (S::Begun | S::Planning | S::Planned, E::Interrupted) => S::Ended(RunOutcome::Failed),
            (S::Applying, E::Interrupted) => S::Stopping(Stop::Failed),
            (S::Stopping(stop) | S::RollingBack(stop), E::Interrupted) => S::Stopping(stop),
            (S::RollingBack(_), E::Undone { clean: false }) => S::Ended(RunOutcome::Stuck),
            (S::RollingBack(Stop::Failed), E::Undone { clean: true }) => S::Ended(RunOutcome::RolledBack),
            (S::RollingBack(Stop::Cancelled), E::Undone { clean: true }) => S::Ended(RunOutcome::Cancelled),
            (S::RollingBack(Stop::ByHand), E::Undone { clean: true }) => S::Ended(RunOutcome::Succeeded),
            (state, event) => {
                return Err(IllegalTransition { state: format!("{state:?}"), event: format!("{event:?}") });
            }
        })
    }
}

/// Where a stage is within a run that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageState {
    /// It waits for other stages.
    Waiting,
    /// It is being applied.
    Applying,
    /// Its changes were made.
    Applied,
    /// It had nothing to change.
    Unchanged,
    /// It failed.
    Failed,
    /// It was never started.
    Skipped,
    /// What it did is being undone.
    RollingBack,
    /// What it did was undone.
    RolledBack,
    /// What it did could not be undone.
    Stuck,
}

/// What happens to a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StageEvent {
    /// It is started.
    Start,
    /// There is nothing to do.
    NothingToDo,
    /// It ended well.
    Done,
    /// It failed.
    Fail,
    /// The run stops before it was started.
    Skip,
    /// It is being undone.
    Undo,
    /// It was undone.
    Undone,
    /// It could not be undone, or not be tried because another one could not.
    UndoFailed,
    /// The process that applied or undid it is gone: how far it came is unknown.
    Interrupted,
}

impl StageState {
    /// The state after `event`.
    pub(crate) fn next(self, event: StageEvent) -> Result<Self, IllegalTransition> {
        use StageEvent as E;
        use StageState as S;
        Ok(match (self, event) {
            (S::Waiting, E::Start) => S::Applying,
            (S::Waiting | S::Applying, E::NothingToDo) => S::Unchanged,
            (S::Waiting, E::Skip) => S::Skipped,
            (S::Waiting | S::Applying, E::Fail) => S::Failed,
            (S::Applying, E::Done) => S::Applied,
            (S::Applied | S::Failed, E::Undo) => S::RollingBack,
            (S::RollingBack, E::Undone) => S::RolledBack,
            (S::RollingBack | S::Applied | S::Failed, E::UndoFailed) => S::Stuck,
            (S::Applying | S::RollingBack, E::Interrupted) => S::Failed,
            (state, event) => {
                return Err(IllegalTransition { state: format!("{state:?}"), event: format!("{event:?}") });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RUN_EVENTS: [RunEvent; 17] = [
        RunEvent::Plan,
        RunEvent::PlanReady,
        RunEvent::PlanFailed,
        RunEvent::Apply,
        RunEvent::StageFailed,
        RunEvent::CancelRequested,
        RunEvent::AllDone { changed: true },
        RunEvent::AllDone { changed: false },
        RunEvent::Undo,
        RunEvent::Settle { undone: true },
        RunEvent::Settle { undone: false },
        RunEvent::Undone { clean: true },
        RunEvent::Undone { clean: false },
        RunEvent::Close { changes: true },
        RunEvent::Close { changes: false },
        RunEvent::NotSaved,
        RunEvent::Interrupted,
    ];

    const STAGE_EVENTS: [StageEvent; 9] = [
        StageEvent::Start,
        StageEvent::NothingToDo,
        StageEvent::Done,
        StageEvent::Fail,
        StageEvent::Skip,
        StageEvent::Undo,
        StageEvent::Undone,
        StageEvent::UndoFailed,
        StageEvent::Interrupted,
    ];

    /// How a run must have ended, told from all that happened to it and nothing else.
    fn oracle(history: &[RunEvent]) -> Option<RunOutcome> {
        use RunEvent as E;
        let last = *history.last()?;
        let applied = history.contains(&E::Apply);
        // The first reason to stop after applying began.
        let after_apply = history.iter().skip_while(|event| **event != E::Apply);
        let reason = after_apply
            .copied()
            .find(|event| matches!(event, E::StageFailed | E::CancelRequested | E::Interrupted));
        let cancelled = reason == Some(E::CancelRequested);
        let by_hand = !applied && history.contains(&E::Undo);
        match last {
            E::PlanFailed => Some(RunOutcome::Failed),
            E::CancelRequested if !applied && !by_hand => Some(RunOutcome::Cancelled),
            E::Interrupted if !applied && !by_hand => Some(RunOutcome::Failed),
            E::NotSaved => Some(RunOutcome::Stuck),
            E::Close { changes } if history.contains(&E::PlanReady) => {
                Some(if changes { RunOutcome::Succeeded } else { RunOutcome::Unchanged })
            }
            E::Close { .. } => Some(RunOutcome::Failed),
            E::AllDone { changed } => {
                Some(if changed { RunOutcome::Succeeded } else { RunOutcome::Unchanged })
            }
            E::Undone { clean: false } => Some(RunOutcome::Stuck),
            E::Undone { clean: true } | E::Settle { .. } if by_hand => Some(RunOutcome::Succeeded),
            E::Undone { clean: true } | E::Settle { .. } if cancelled => Some(RunOutcome::Cancelled),
            E::Undone { clean: true } | E::Settle { undone: true } => Some(RunOutcome::RolledBack),
            E::Settle { undone: false } => Some(RunOutcome::Failed),
            _ => None,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5000, ..ProptestConfig::default() })]
        #[test]
        fn a_run_ends_as_its_history_says_and_only_once(picks in prop::collection::vec(0..RUN_EVENTS.len(), 0..60)) {
            let (mut state, mut history) = (RunState::Begun, Vec::new());
            for event in picks.into_iter().map(|pick| RUN_EVENTS[pick]) {
                let ended = matches!(state, RunState::Ended(_));
                if let Ok(next) = state.next(event) {
                    prop_assert!(!ended, "nothing happens after the end");
                    history.push(event);
                    state = next;
                }
                let outcome = if let RunState::Ended(outcome) = state { Some(outcome) } else { None };
                prop_assert_eq!(outcome, oracle(&history), "{:?}", history);
            }
        }

        #[test]
        fn a_stage_is_undone_only_if_it_was_started(picks in prop::collection::vec(0..STAGE_EVENTS.len(), 0..40)) {
            let (mut state, mut history) = (StageState::Waiting, Vec::new());
            for event in picks.into_iter().map(|pick| STAGE_EVENTS[pick]) {
                if let Ok(next) = state.next(event) {
                    history.push(event);
                    state = next;
                }
            }
            let has = |event| history.contains(&event);
            let count = |event| history.iter().filter(|found| **found == event).count();
            // Only an undo that was interrupted is begun again.
            let interrupted = count(StageEvent::Interrupted);
            let most = |event| match event {
                StageEvent::Undo => 1 + interrupted,
                StageEvent::Interrupted => interrupted,
                _ => 1,
            };
            prop_assert!(STAGE_EVENTS.iter().all(|&event| count(event) <= most(event)), "nothing happens twice: {:?}", history);
            prop_assert_eq!(state == StageState::RolledBack, has(StageEvent::Undone));
            prop_assert_eq!(state == StageState::Stuck, has(StageEvent::UndoFailed));
            prop_assert!(!has(StageEvent::Undo) || has(StageEvent::Done) || has(StageEvent::Fail) || interrupted > 0);
            prop_assert!(!has(StageEvent::Skip) || history.len() == 1);
        }
    }

    #[test]
    fn from_every_state_some_event_leads_on_until_the_end() {
        let mut states = vec![RunState::Begun];
        let mut at = 0;
        while at < states.len() {
            let nexts: Vec<_> = RUN_EVENTS.iter().filter_map(|event| states[at].next(*event).ok()).collect();
            let leads_on = nexts.iter().any(|next| *next != states[at]);
            assert_eq!(leads_on, !matches!(states[at], RunState::Ended(_)), "{:?}", states[at]);
            for next in nexts {
                if !states.contains(&next) {
                    states.push(next);
                }
            }
            at += 1;
        }
        assert_eq!(states.iter().filter(|state| matches!(state, RunState::Ended(_))).count(), 6);
    }
}
