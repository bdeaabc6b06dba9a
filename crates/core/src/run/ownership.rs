//! That no two stages of a plan own the same resource.

use std::collections::HashMap;

use pipeline_sdk::{Action, Mode, StageError};

use crate::failure::StageFailure;
use crate::plan::{Plan, PlannedStage};

/// What two stages would own at the same time. They would take it from each other with every run.
pub(super) fn shared_resources(plan: &Plan) -> Vec<StageFailure> {
    let mut failures = if plan.mode == Mode::Converge { owned_twice(plan) } else { Vec::new() };
    failures.extend(renamed(plan));
    failures
}

fn owned_twice(plan: &Plan) -> Vec<StageFailure> {
    let mut owners = HashMap::new();
    let mut failures = Vec::new();
    for stage in plan.stages.iter().filter(|stage| stage.mode == Mode::Converge) {
        let made = stage.plan.changes.iter().filter(|change| {
            // What is deleted is left to others, and what is carried out once is nobody's.
            matches!(change.action, Action::Create | Action::Update | Action::Replace)
        });
        let kept = stage.plan.outputs.resources.iter().map(|recorded| &recorded.id);
        let owned = made.map(|change| &change.resource).chain(kept);
        let taken = owned.filter_map(|id| {
            let owner = *owners.entry(id).or_insert(&stage.name);
            (owner != &stage.name).then_some((id, owner))
        });
        // One is enough to say, but all have to be entered.
        if let Some((id, owner)) = taken.fold(None, |first, next| first.or(Some(next))) {
            let error = StageError::failed(format!("it would own {id}, which `{owner}` owns")).with_help(
                "two stages of the same kind need names of their own for what they make".to_owned(),
            );
            failures.push(StageFailure::of(&stage.name, &error));
        }
    }
    failures
}

/// A stage that was renamed would destroy what it owns under its old name.
fn renamed(plan: &Plan) -> Vec<StageFailure> {
    let removed = |stage: &&PlannedStage| plan.mode == Mode::Converge && stage.mode == Mode::Destroy;
    let mut failures = Vec::new();
    for stage in plan.stages.iter().filter(removed) {
        let deleted = stage.plan.changes.iter().filter(|change| change.action == Action::Delete);
        for change in deleted {
            let keeps = |other: &&PlannedStage| {
                other.mode == Mode::Converge
                    && (other.plan.outputs.resources.iter().any(|kept| kept.id == change.resource)
                        || other.plan.changes.iter().any(|kept| kept.resource == change.resource))
            };
            if let Some(keeper) = plan.stages.iter().find(keeps) {
                let (resource, name) = (&change.resource, &keeper.name);
                let error = StageError::failed(format!(
                    "it is no longer in the file and would delete {resource}, which `{name}` uses now"
                ))
                .with_help(format!(
                    "a stage cannot be renamed in place: call `{name}` `{}` again",
                    stage.name
                ));
                failures.push(StageFailure::of(&stage.name, &error));
                break;
            }
        }
    }
    failures
}

#[cfg(test)]
mod tests {
    use pipeline_sdk::{
        Change, Inputs, Outputs, PipelineId, Recorded, ResourceId, RunId, StageName, StagePlan, json,
    };

    use super::*;

    /// A stage that changes `table`, or has it already.
    fn stage(name: &str, mode: Mode, action: Option<Action>) -> PlannedStage {
        let resource = ResourceId::new("test:thing", "table");
        let change = |action| Change {
            resource: resource.clone(),
            action,
            attributes: Vec::new(),
            reason: None,
            irreversible: None,
        };
        let kept = Recorded { id: resource.clone(), attributes: json!({}) };
        let resources = if action.is_none() { vec![kept] } else { Vec::new() };
        PlannedStage {
            name: StageName::new(name).expect("legal"),
            kind: "thing".to_owned(),
            mode,
            inputs: Inputs::default(),
            needs: Vec::new(),
            plan: StagePlan {
                changes: action.map(change).into_iter().collect(),
                outputs: Outputs { resources, ..Outputs::default() },
                ..StagePlan::default()
            },
        }
    }

    fn refused(stages: Vec<PlannedStage>) -> Vec<String> {
        let pipeline = PipelineId { name: "hello".to_owned(), environment: "local".to_owned() };
        let (run, mode) = (RunId::generate(), Mode::Converge);
        let plan =
            Plan { run, mode, pipeline, serial: 0, configuration: String::new(), target: None, stages };
        shared_resources(&plan)
            .into_iter()
            .map(|failure| format!("{}: {}", failure.stage, failure.message))
            .collect()
    }

    #[test]
    fn a_resource_has_one_owner() {
        use Mode::{Converge, Destroy};
        let said = ["b: it would own test:thing table, which `a` owns"];
        for action in [Some(Action::Create), Some(Action::Update), None] {
            let both = vec![stage("a", Converge, Some(Action::Create)), stage("b", Converge, action)];
            assert_eq!(refused(both), said, "{action:?}");
        }
        let kept = vec![stage("a", Converge, None), stage("b", Converge, None)];
        assert_eq!(refused(kept), said);
        let once = vec![stage("a", Converge, Some(Action::Run)), stage("b", Converge, Some(Action::Run))];
        assert!(refused(once).is_empty(), "what is carried out once is nobody's");
        let renamed = vec![stage("new", Converge, None), stage("old", Destroy, Some(Action::Delete))];
        let said =
            ["old: it is no longer in the file and would delete test:thing table, which `new` uses now"];
        assert_eq!(refused(renamed), said);
    }
}
