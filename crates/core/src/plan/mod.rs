//! What a run is going to do: made by reading only, frozen, and kept to.

mod approval;
mod encoding;
mod planner;

use pipeline_sdk::{Action, Change, Inputs, Mode, PipelineId, RunId, StageName, StagePlan};

pub(crate) use approval::check_approved;
pub use encoding::PlanError;
pub(crate) use encoding::WrittenPlan;
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
    /// SHA-256 of the file it was made from, in hexadecimal digits. Empty in a plan of an earlier release.
    pub configuration: String,
    /// Where it was made, as [`Target::identity`](crate::Target::identity) tells. Nothing in a plan of an earlier release.
    pub target: Option<String>,
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

    /// Says in what another plan for the same thing differs, by its first difference.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        if self.stages.len() != other.stages.len() {
            return Some("there are other stages to plan".to_owned());
        }
        let mut pairs = self.stages.iter().zip(&other.stages);
        pairs.find_map(|(ours, theirs)| ours.difference(theirs))
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

impl PlannedStage {
    fn difference(&self, other: &Self) -> Option<String> {
        let name = &self.name;
        if (name, &self.kind, self.mode) != (&other.name, &other.kind, other.mode) {
            return Some(format!("there is `{}` in the place of stage `{name}`", other.name));
        }
        let inputs = self.inputs.0.iter();
        if let Some((key, _)) = inputs.clone().find(|(key, value)| other.inputs.0.get(*key) != Some(value)) {
            return Some(format!(
                "the input `{key}` of stage `{name}` is another one now, perhaps for want of the plan's `--var`"
            ));
        }
        if inputs.len() != other.inputs.0.len() {
            return Some(format!("stage `{name}` has other inputs now"));
        }
        let (ours, theirs) = (&self.plan.changes, &other.plan.changes);
        let gone = ours.iter().find(|change| !theirs.contains(change));
        let new = theirs.iter().find(|change| !ours.contains(change));
        let change = gone.or(new)?;
        Some(format!("in stage `{name}`, what would change of {} is something else now", change.resource))
    }
}
