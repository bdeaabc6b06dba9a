//! What a run is going to do: made by reading only, frozen, and kept to.

mod approval;
mod encoding;
mod planner;

use pipeline_sdk::{Action, Change, Inputs, Mode, PipelineId, RunId, StageName, StagePlan};

pub(crate) use approval::check_approved;
pub use encoding::PlanError;
pub(crate) use planner::{PlanFailure, plan_all};

/// A frozen plan. Secrets in it are references, never values.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The run that made it.
    pub run: RunId,
    /// What it is for.
    pub mode: Mode,
    /// Which app and environment.
    pub pipeline: PipelineId,
    /// The state it was made from.
    pub serial: u64,
    /// The stages; each comes after all it waits for.
    pub stages: Vec<PlannedStage>,
}

/// The plan of one stage.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PlannedStage {
    /// The stage.
    pub name: StageName,
    /// Its kind.
    pub kind: String,
    /// What happens to it: a stage that is no longer in the file is destroyed by a converging run.
    pub mode: Mode,
    /// What it was planned with; unknown values, secrets and environment variables as references.
    pub inputs: Inputs,
    /// The stages it waits for.
    pub needs: Vec<StageName>,
    /// What will change. Its `detail` is empty: the stage is planned again before it is applied.
    pub plan: StagePlan,
}

impl Plan {
    /// Every change of every stage.
    pub fn changes(&self) -> impl Iterator<Item = (&StageName, &Change)> {
        self.stages
            .iter()
            .flat_map(|stage| stage.plan.changes.iter().map(move |change| (&stage.name, change)))
    }

    /// How many changes are of this kind.
    pub fn count(&self, action: Action) -> usize {
        self.changes().filter(|(_, change)| change.action == action).count()
    }

    /// Whether nothing will change.
    pub fn is_empty(&self) -> bool {
        self.changes().next().is_none()
    }
}
