//! Applying a plan that was saved before, if what it was made from is still the same.

use pipeline_sdk::{Mode, RunCommand, RunId};

use super::begin::Engine;
use super::takeover::Earlier;
use super::{EngineError, Run, Target};
use crate::cancel::Cancellation;
use crate::config::Definition;
use crate::plan::Plan;
use crate::state::State;
use crate::store::Wait;

impl Engine {
    /// As [`Engine::begin`], for a run that applies `saved`: what is known to be stale is refused before anything is
    /// done. So is a plan that would have to wait for another run to be undone, which it does not tell of.
    ///
    /// # Errors
    /// As [`Engine::begin`]; [`EngineError::StalePlan`].
    pub async fn begin_saved(
        &self,
        saved: &Plan,
        target: impl Into<Target>,
        cancel: Cancellation,
        wait: Wait<'_>,
    ) -> Result<Run, EngineError> {
        let command = if saved.mode == Mode::Destroy { RunCommand::Destroy } else { RunCommand::Run };
        self.begin_as(command, Some(saved), target.into(), cancel, wait).await
    }

    /// Checks what can be known of `saved` before anything is done about the run that was cut off, if one was.
    pub(super) fn check_saved(
        &self,
        saved: &Plan,
        state: &State,
        earlier: Option<&Earlier>,
    ) -> Result<(), EngineError> {
        let definition = &self.pipeline.inner;
        match earlier {
            None => saved.check_origin(definition, state),
            Some(earlier) if self.is_undone_first(earlier) => Err(undo_first(earlier.run)),
            Some(earlier) => {
                let mut state = state.clone();
                earlier.bring_up_to_date(&mut state);
                saved.check_origin(definition, &state)
            }
        }
    }
}

fn undo_first(run: RunId) -> EngineError {
    EngineError::StalePlan(format!(
        "run {run} was cut off and has to be undone first, by `pipeline rollback`"
    ))
}

impl Run {
    /// Checks that what this run plans can be saved, and applied by another one.
    ///
    /// # Errors
    /// [`EngineError::StalePlan`]: a run that was cut off has to be undone first.
    pub fn can_be_saved(&self) -> Result<(), EngineError> {
        self.undone_first.map_or(Ok(()), |run| Err(undo_first(run)))
    }

    /// Plans every stage again, as `saved` did, and checks that nothing came of it but what `saved` says: what a
    /// plan was made from may have become another.
    ///
    /// # Errors
    /// As [`Run::plan`]; [`EngineError::StalePlan`].
    pub async fn plan_again(&mut self, saved: &Plan) -> Result<Plan, EngineError> {
        self.plan_like(saved.mode, Some(saved)).await
    }
}

impl Plan {
    /// Checks that the plan was made from this file and this state, for the place where the state is, to be applied.
    pub(super) fn check_origin(&self, definition: &Definition, state: &State) -> Result<(), EngineError> {
        let stale = |why: &str| Err(EngineError::StalePlan(why.to_owned()));
        if self.mode == Mode::Refresh {
            return stale("a plan that only reports drift cannot be applied");
        }
        if self.pipeline != definition.id {
            let (found, wanted) = (self.pipeline.canonical(), definition.id.canonical());
            return stale(&format!("the plan is for `{found}`, not for `{wanted}` (see `--environment`)"));
        }
        if self.configuration != definition.fingerprint {
            return stale("the file was changed since the plan was made");
        }
        if self.target != state.target {
            let found = self.target.as_deref().unwrap_or("a place that it does not name");
            let here = state.target.as_deref().unwrap_or_default();
            return stale(&format!("the plan is for {found}, and this is {here}"));
        }
        if self.serial != state.serial {
            return stale("the environment was changed since the plan was made");
        }
        Ok(())
    }
}
