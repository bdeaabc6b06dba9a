//! What a deployment remembers of its steps: status, times, events; and the deployment that undoes it.

use jiff::Timestamp;

use super::machine::{Outcome, Phase};
use crate::services::codedeploy::{
    Deployment, DeploymentStatus, EventStatus, LifecycleEvent, Requests, RollbackInfo, new_deployment_id,
};

/// Notes that `deployment` is in `phase` from `now` on.
pub(super) fn enter(deployment: &mut Deployment, phase: Phase, now: Timestamp) {
    let before = event_of(&deployment.phase, deployment.is_rollback());
    let after = event_of(&phase, deployment.is_rollback());
    if before != after {
        let end = match &phase {
            Phase::Ended(Outcome::Failed(_)) => EventStatus::Failed,
            Phase::Ended(Outcome::Stopped(_)) => EventStatus::Skipped,
            _ => EventStatus::Succeeded,
        };
        mark(deployment, before, end, now);
        mark(deployment, after, EventStatus::InProgress, now);
    }
    deployment.status = match &phase {
        Phase::Created => DeploymentStatus::Created,
        Phase::ReadyWait => DeploymentStatus::Ready,
        Phase::Ended(Outcome::Succeeded) => DeploymentStatus::Succeeded,
        Phase::Ended(Outcome::Failed(_)) => DeploymentStatus::Failed,
        Phase::Ended(Outcome::Stopped(_)) => DeploymentStatus::Stopped,
        _ => DeploymentStatus::InProgress,
    };
    if let Phase::Ended(outcome) = &phase {
        deployment.completed = Some(now);
        if let Outcome::Failed(error) | Outcome::Stopped(error) = outcome {
            deployment.error = Some(error.clone());
        }
        for event in &mut deployment.events {
            if event.status == EventStatus::Pending {
                event.status = EventStatus::Skipped;
            }
        }
    }
    deployment.started.get_or_insert(now);
    deployment.phase = phase;
    deployment.phase_began = now;
    deployment.updated = now;
}

/// The event that a phase belongs to. A rollback has one: its traffic.
fn event_of(phase: &Phase, is_rollback: bool) -> Option<LifecycleEvent> {
    match phase {
        Phase::Hook(event) => Some(*event),
        Phase::Install => Some(LifecycleEvent::Install),
        Phase::AllowTestTraffic => Some(LifecycleEvent::AllowTestTraffic),
        Phase::AllowTraffic { .. } => Some(LifecycleEvent::AllowTraffic),
        Phase::Removal if is_rollback => Some(LifecycleEvent::AllowTraffic),
        _ => None,
    }
}

fn mark(deployment: &mut Deployment, event: Option<LifecycleEvent>, status: EventStatus, now: Timestamp) {
    let Some(record) = deployment.events.iter_mut().find(|record| Some(record.event) == event) else {
        return;
    };
    record.status = status;
    match status {
        EventStatus::InProgress => record.started = Some(now),
        _ => record.ended = Some(now),
    }
}

/// The deployment that undoes `failed`; both know each other from here on.
pub(super) fn rollback_of(failed: &mut Deployment, now: Timestamp) -> Deployment {
    let id = new_deployment_id();
    let why = failed.error.as_ref().map_or("", |error| error.message.as_str());
    let message = format!("Deployment {} is rolled back by deployment {id}. {why}", failed.id);
    failed.rollback = Some(RollbackInfo {
        rollback_deployment_id: Some(id.clone()),
        rollback_triggering_deployment_id: None,
        rollback_message: Some(message.clone()),
    });
    Deployment {
        rollback: Some(RollbackInfo {
            rollback_deployment_id: None,
            rollback_triggering_deployment_id: Some(failed.id.clone()),
            rollback_message: Some(message),
        }),
        id,
        creator: "codeDeployRollback".into(),
        description: Some(format!("Rollback of deployment {}", failed.id)),
        revision: failed.previous_revision.clone().unwrap_or_default(),
        previous_revision: Some(failed.revision.clone()),
        app_spec: None,
        status: DeploymentStatus::Created,
        error: None,
        created: now,
        started: None,
        completed: None,
        updated: now,
        phase: Phase::Created,
        phase_began: now,
        events: Deployment::fresh_events(false),
        requests: Requests::default(),
        ..failed.clone()
    }
}
