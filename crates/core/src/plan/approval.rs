//! Whether a plan that was made again stays within the one that was approved.

use std::collections::HashMap;

use pipeline_sdk::{Action, Change, ResourceId, StageError, StagePlan};

/// Checks that `again`, the changes of a later plan, does nothing that `approved` does not show.
///
/// Less is fine: what was already done by somebody else needs not be done.
///
/// # Errors
/// The first change that goes beyond; nothing was done yet.
pub(crate) fn check_approved<'a>(
    approved: &StagePlan,
    mut again: impl Iterator<Item = &'a Change>,
) -> Result<(), StageError> {
    let shown: HashMap<&ResourceId, Action> =
        approved.changes.iter().map(|change| (&change.resource, change.action)).collect();
    match again.find(|change| !is_within(shown.get(&change.resource).copied(), change.action)) {
        None => Ok(()),
        Some(change) => Err(beyond(change, shown.get(&change.resource).copied())),
    }
}

fn is_within(shown: Option<Action>, now: Action) -> bool {
    match (shown, now) {
        (Some(shown), now) if shown == now => true,
        // To replace is to delete and to create; either part alone, or a mere change, is less.
        (Some(Action::Replace), Action::Create | Action::Update | Action::Delete) => true,
        _ => false,
    }
}

fn beyond(change: &Change, shown: Option<Action>) -> StageError {
    let resource = &change.resource;
    let now = verb(change.action);
    let then = match shown {
        Some(shown) => format!("the plan says that it will be {}", verb(shown)),
        None => "the plan does not mention it".to_owned(),
    };
    StageError::failed(format!(
        "the world changed since the plan was made: {resource} would be {now}, and {then}; nothing was done"
    ))
    .with_help("plan again and look at the new plan")
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::Create => "created",
        Action::Update => "updated",
        Action::Replace => "replaced",
        Action::Delete => "deleted",
        Action::Run => "run",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(changes: &[(&str, Action)]) -> StagePlan {
        let change = |(name, action): &(&str, Action)| Change {
            resource: ResourceId::new("test:thing", *name),
            action: *action,
            attributes: Vec::new(),
            reason: None,
            irreversible: None,
        };
        StagePlan { changes: changes.iter().map(change).collect(), ..StagePlan::default() }
    }

    #[test]
    fn a_plan_may_shrink_and_never_grow() {
        let approved = plan(&[("a", Action::Create), ("b", Action::Update), ("c", Action::Replace)]);
        for fine in
            [plan(&[]), plan(&[("a", Action::Create)]), plan(&[("c", Action::Update)]), approved.clone()]
        {
            assert!(check_approved(&approved, fine.changes.iter()).is_ok(), "{fine:?}");
        }
        for beyond in [
            plan(&[("a", Action::Update)]),
            plan(&[("b", Action::Replace)]),
            plan(&[("b", Action::Delete)]),
            plan(&[("b", Action::Create)]),
            plan(&[("d", Action::Create)]),
        ] {
            let error = check_approved(&approved, beyond.changes.iter()).expect_err("beyond").to_string();
            assert!(error.starts_with("the world changed since the plan was made"), "{error}");
        }
    }
}
