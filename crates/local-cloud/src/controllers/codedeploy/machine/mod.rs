//! The life of a deployment, as one pure function: where it is and what is seen in, where it goes
//! and what is to be done out.
//!
//! It waits for nothing and changes nothing, so a deployment goes on after a restart from what was
//! saved. Times are nominal: the cloud's clock may pass them faster.
//!
//! Limits of AWS: docs.aws.amazon.com/codedeploy/latest/userguide/limits.html. Messages:
//! docs.aws.amazon.com/codedeploy/latest/userguide/troubleshooting-ecs.html.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::services::codedeploy::{ErrorInformation, HookResult, LifecycleEvent, Routing};

/// How long the replacement may take to become healthy.
const INSTALL_LIMIT: Duration = Duration::from_secs(60 * 60);
/// How long a hook may take to report.
const HOOK_LIMIT: Duration = Duration::from_secs(60 * 60);
/// How long a step of the shift waits for a replacement that is not steady.
const UNSTEADY_LIMIT: Duration = Duration::from_secs(5 * 60);

/// Where a deployment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Not begun.
    Created,
    /// In an event that a hook may check.
    Hook(LifecycleEvent),
    /// The replacement starts and becomes healthy.
    Install,
    /// The test listener is turned to the replacement.
    AllowTestTraffic,
    /// Waits for the word to shift.
    ReadyWait,
    /// `shifted` percent of production traffic go to the replacement.
    AllowTraffic { shifted: u32 },
    /// The replacement has everything; the original still runs.
    TerminationWait,
    /// The original ends.
    Termination,
    /// Of a rollback: traffic is back, the replacement ends.
    Removal,
    /// Over.
    Ended(Outcome),
}

/// How a deployment ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// As it should.
    Succeeded,
    /// It could not go on.
    Failed(ErrorInformation),
    /// Someone ended it, or nobody let it go on.
    Stopped(ErrorInformation),
}

/// What is settled when a deployment begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How traffic moves.
    pub(crate) routing: Routing,
    /// Events that wait for a verdict.
    pub(crate) hooks: BTreeSet<LifecycleEvent>,
    /// There is a test listener.
    pub(crate) test_listener: bool,
    /// Wait for a word before the shift, this long.
    pub(crate) ready_wait: Option<Duration>,
    /// How long the original runs on after the shift; for ever if nothing.
    pub(crate) termination_wait: Option<Duration>,
    /// Failures are undone.
    pub(crate) undo_failure: bool,
    /// This deployment undoes another one.
    pub(crate) is_rollback: bool,
}

/// What is seen of the world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Observation {
    /// Since the phase, or its last step, began.
    pub(crate) elapsed: Duration,
    /// Something that the deployment cannot do without is gone or wrong.
    pub(crate) trouble: Option<ErrorInformation>,
    /// The replacement, once it was made.
    pub(crate) replacement: Option<Health>,
    /// Nothing runs any more in the task set that is being ended.
    pub(crate) emptied: bool,
    /// The verdict of the current event's hook.
    pub(crate) verdict: Option<HookResult>,
    /// Stop; and whether to roll back.
    pub(crate) stop: Option<bool>,
    /// An alarm fires; and whether that is undone.
    pub(crate) alarm: Option<Alarm>,
    /// Shift now.
    pub(crate) shift: bool,
    /// End the original now.
    pub(crate) terminate: bool,
}

/// An alarm that ends the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alarm {
    /// What it is called.
    pub(crate) name: String,
    /// Roll back.
    pub(crate) undo: bool,
}

/// How the replacement is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// How many tasks it should have.
    pub(crate) desired: u32,
    /// ECS says it is steady.
    pub(crate) steady: bool,
    /// Targets that the load balancer calls healthy.
    pub(crate) healthy: u32,
    /// Targets that the load balancer calls unhealthy, after the service's grace period.
    pub(crate) unhealthy: u32,
    /// Tasks in a row that ended without having been healthy.
    pub(crate) failures: u32,
}

impl Health {
    fn is_ready(&self) -> bool {
        self.steady && self.healthy >= self.desired
    }

    /// Nothing in it can serve, and the load balancer is sure of that.
    fn is_broken(&self) -> bool {
        self.desired > 0 && self.healthy == 0 && self.unhealthy >= self.desired
    }

    /// Whether it is pointless to wait on: every target is unhealthy, or tasks ended again and again.
    ///
    /// AWS waits an hour in both cases. The number of tasks is that of ECS's circuit breaker, half of
    /// the desired count but at least 3 and at most 200
    /// (docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html).
    fn hopeless(&self) -> Option<String> {
        if self.is_broken() {
            let message = format!(
                "all {} targets of the replacement task set fail the load balancer's health check",
                self.unhealthy
            );
            return Some(message);
        }
        let patience = self.desired.div_ceil(2).clamp(3, 200);
        (self.healthy == 0 && self.failures >= patience).then(|| {
            format!("{} tasks of the replacement task set ended before they were healthy", self.failures)
        })
    }
}

/// Something to do. Each can be done again without harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make the replacement behind the idle target group.
    Install,
    /// Turn the test listener to the replacement.
    RouteTest,
    /// Give the replacement this percentage of production traffic.
    Shift(u32),
    /// Make the replacement the primary task set.
    Promote,
    /// Scale the original to zero, which drains its targets.
    EmptyOriginal,
    /// Delete the original.
    DeleteOriginal,
    /// Start the deployment that undoes this one.
    RollBack,
    /// Give all traffic, and the primary role, back to the original.
    Restore,
    /// Scale the replacement to zero.
    EmptyReplacement,
    /// Delete the replacement.
    DeleteReplacement,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// Where the deployment is now.
    pub(crate) phase: Phase,
    /// What is to be done, in order.
    pub(crate) actions: Vec<Action>,
}

impl Step {
    fn to(phase: Phase) -> Self {
        Self { phase, actions: Vec::new() }
    }

    fn with(phase: Phase, actions: impl Into<Vec<Action>>) -> Self {
        Self { phase, actions: actions.into() }
    }
}

/// Where a deployment goes from `phase`, given what is seen. Staying is the same phase and no action.
pub(crate) fn next(plan: &Plan, phase: &Phase, seen: &Observation) -> Step {
    let over = matches!(phase, Phase::Ended(_));
    // The original is ending: there is nothing left to go back to.
    let committed = over || *phase == Phase::Termination;
    if let Some(undo) = seen.stop.filter(|_| !committed) {
        let message = "The deployment was stopped by a call of StopDeployment.";
        return stopped(plan, phase, undo, ErrorInformation::new("MANUAL_STOP", message));
    }
    // A rollback goes on: the alarm may well be what began it.
    if let Some(alarm) = seen.alarm.as_ref().filter(|_| !committed && !plan.is_rollback) {
        let message = format!(
            "One or more alarms have been activated according to the Amazon CloudWatch metrics you selected, and the \
             affected deployments have been stopped. Activated alarms: <{}>",
            alarm.name
        );
        return stopped(plan, phase, alarm.undo, ErrorInformation::new("ALARM_ACTIVE", message));
    }
    if let Some(trouble) = seen.trouble.clone().filter(|_| !over) {
        return failed(plan, phase, trouble);
    }
    match phase {
        Phase::Created if plan.is_rollback => {
            Step::with(Phase::Removal, [Action::Restore, Action::EmptyReplacement])
        }
        Phase::Created => Step::to(Phase::Hook(LifecycleEvent::BeforeInstall)),
        Phase::Hook(event) => hook(plan, *event, seen),
        Phase::Install => install(plan, seen),
        Phase::AllowTestTraffic => Step::to(Phase::Hook(LifecycleEvent::AfterAllowTestTraffic)),
        Phase::ReadyWait => ready_wait(plan, seen),
        Phase::AllowTraffic { shifted } => allow_traffic(plan, *shifted, seen),
        Phase::TerminationWait => termination_wait(plan, seen),
        Phase::Termination if seen.emptied => {
            Step::with(Phase::Ended(Outcome::Succeeded), [Action::DeleteOriginal])
        }
        Phase::Removal if seen.emptied => {
            Step::with(Phase::Ended(Outcome::Succeeded), [Action::DeleteReplacement])
        }
        Phase::Termination | Phase::Removal | Phase::Ended(_) => Step::to(phase.clone()),
    }
}

/// Where a deployment goes when it cannot go on.
pub(crate) fn failed(plan: &Plan, phase: &Phase, error: ErrorInformation) -> Step {
    let undo = plan.undo_failure && can_be_undone(plan, phase);
    let actions = if undo { vec![Action::RollBack] } else { Vec::new() };
    Step { phase: Phase::Ended(Outcome::Failed(error)), actions }
}

fn stopped(plan: &Plan, phase: &Phase, undo: bool, error: ErrorInformation) -> Step {
    let actions = if undo && can_be_undone(plan, phase) { vec![Action::RollBack] } else { Vec::new() };
    Step { phase: Phase::Ended(Outcome::Stopped(error)), actions }
}

/// Until the replacement is made there is nothing to undo, and once the original ends no way back.
fn can_be_undone(plan: &Plan, phase: &Phase) -> bool {
    let nothing_done = matches!(phase, Phase::Created | Phase::Hook(LifecycleEvent::BeforeInstall));
    let no_way_back = matches!(phase, Phase::Termination | Phase::Ended(_));
    !plan.is_rollback && !nothing_done && !no_way_back
}

fn hook(plan: &Plan, event: LifecycleEvent, seen: &Observation) -> Step {
    let phase = Phase::Hook(event);
    if let Some(message) = lost(event, seen) {
        return failed(plan, &phase, ErrorInformation::new("ECS_UPDATE_ERROR", message));
    }
    if plan.hooks.contains(&event) {
        match seen.verdict {
            Some(HookResult::Succeeded) => {}
            Some(HookResult::Failed) => {
                let message = "The deployment failed because one or more of the lifecycle event validation functions failed.";
                return failed(plan, &phase, ErrorInformation::new("HOOK_EXECUTION_FAILURE", message));
            }
            None if seen.elapsed >= HOOK_LIMIT => {
                let message = "The deployment timed out while waiting for a status callback. CodeDeploy expects \
                               a status callback within one hour after a deployment hook is invoked.";
                return failed(plan, &phase, ErrorInformation::new("HOOK_EXECUTION_FAILURE", message));
            }
            None => return Step::to(phase),
        }
    }
    after(plan, event)
}

/// A replacement that was healthy and no longer is must not get, or keep, traffic.
fn lost(event: LifecycleEvent, seen: &Observation) -> Option<String> {
    if event == LifecycleEvent::BeforeInstall {
        return None;
    }
    seen.replacement.filter(Health::is_broken).and_then(|health| health.hopeless())
}

/// What follows a scriptable event that went well.
fn after(plan: &Plan, event: LifecycleEvent) -> Step {
    match event {
        LifecycleEvent::BeforeInstall => Step::to(Phase::Install),
        LifecycleEvent::AfterInstall if plan.test_listener => {
            Step::with(Phase::AllowTestTraffic, [Action::RouteTest])
        }
        LifecycleEvent::AfterInstall | LifecycleEvent::AfterAllowTestTraffic => match plan.ready_wait {
            Some(_) => Step::to(Phase::ReadyWait),
            None => Step::to(Phase::Hook(LifecycleEvent::BeforeAllowTraffic)),
        },
        LifecycleEvent::BeforeAllowTraffic => shift(plan, 0),
        LifecycleEvent::AfterAllowTraffic => match plan.termination_wait {
            Some(_) => Step::with(Phase::TerminationWait, [Action::Promote]),
            None => Step::with(Phase::Ended(Outcome::Succeeded), [Action::Promote]),
        },
        LifecycleEvent::Install | LifecycleEvent::AllowTestTraffic | LifecycleEvent::AllowTraffic => {
            Step::to(Phase::Hook(event))
        }
    }
}

fn install(plan: &Plan, seen: &Observation) -> Step {
    let Some(health) = seen.replacement else { return Step::with(Phase::Install, [Action::Install]) };
    if health.is_ready() {
        return Step::to(Phase::Hook(LifecycleEvent::AfterInstall));
    }
    if let Some(reason) = health.hopeless() {
        let message = format!("The replacement task set did not become healthy: {reason}.");
        return failed(plan, &Phase::Install, ErrorInformation::new("ECS_UPDATE_ERROR", message));
    }
    if seen.elapsed >= INSTALL_LIMIT {
        let message = "The deployment timed out while waiting for the replacement task set to become healthy. \
                       This time out period is 60 minutes.";
        return failed(plan, &Phase::Install, ErrorInformation::new("TIMEOUT", message));
    }
    Step::to(Phase::Install)
}

fn ready_wait(plan: &Plan, seen: &Observation) -> Step {
    let limit = plan.ready_wait.unwrap_or_default();
    if seen.shift {
        return Step::to(Phase::Hook(LifecycleEvent::BeforeAllowTraffic));
    }
    if seen.elapsed < limit {
        return Step::to(Phase::ReadyWait);
    }
    let message = format!(
        "The deployment timed out while waiting for a notification to continue. This time out period is {} minutes.",
        limit.as_secs() / 60
    );
    Step::to(Phase::Ended(Outcome::Stopped(ErrorInformation::new("TIMEOUT", message))))
}

fn allow_traffic(plan: &Plan, shifted: u32, seen: &Observation) -> Step {
    let phase = Phase::AllowTraffic { shifted };
    if let Some(message) = lost(LifecycleEvent::AllowTraffic, seen) {
        return failed(plan, &phase, ErrorInformation::new("ECS_UPDATE_ERROR", message));
    }
    if shifted >= 100 {
        return Step::to(Phase::Hook(LifecycleEvent::AfterAllowTraffic));
    }
    let due = interval(plan.routing);
    if seen.elapsed < due {
        return Step::to(phase);
    }
    if seen.replacement.is_some_and(|health| health.is_ready()) {
        return shift(plan, shifted);
    }
    if seen.elapsed >= due + UNSTEADY_LIMIT {
        let message =
            "The replacement task set was not steady for 5 minutes while traffic was being shifted.";
        return failed(plan, &phase, ErrorInformation::new("ECS_UPDATE_ERROR", message));
    }
    Step::to(phase)
}

fn shift(plan: &Plan, shifted: u32) -> Step {
    let shifted = more(plan.routing, shifted);
    Step::with(Phase::AllowTraffic { shifted }, [Action::Shift(shifted)])
}

/// The percentage that follows `shifted`.
fn more(routing: Routing, shifted: u32) -> u32 {
    match routing {
        Routing::AllAtOnce => 100,
        Routing::Canary { percent, .. } if shifted < percent => percent,
        Routing::Canary { .. } => 100,
        Routing::Linear { percent, .. } => shifted.saturating_add(percent.max(1)).min(100),
    }
}

fn interval(routing: Routing) -> Duration {
    match routing {
        Routing::AllAtOnce => Duration::ZERO,
        Routing::Canary { interval, .. } | Routing::Linear { interval, .. } => interval,
    }
}

fn termination_wait(plan: &Plan, seen: &Observation) -> Step {
    match plan.termination_wait {
        Some(wait) if seen.terminate || seen.elapsed >= wait => {
            Step::with(Phase::Termination, [Action::EmptyOriginal])
        }
        _ => Step::to(Phase::TerminationWait),
    }
}

#[cfg(test)]
mod tests;
