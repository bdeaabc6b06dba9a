//! One deployment, from its start to its end, whatever the end is.

use std::time::Duration;

use aws_sdk_codedeploy::types::{
    AppSpecContent, AutoRollbackConfiguration, DeploymentInfo, DeploymentStatus, EcsTarget, EcsTaskSet,
    ErrorCode, LifecycleEventStatus, RevisionLocation, RevisionLocationType, RollbackInfo, TargetLabel,
};
use aws_sdk_ecs::types::Task;
use pipeline_aws::wait::{self, WaitOptions};
use pipeline_aws::{Aws, AwsError, AwsResult, tasks};
use tokio::time::Instant;

use pipeline_sdk::{Context, Link, Progress, ProgressLevel, StageError, TrafficShare};

use super::appspec::{self, Target};
use super::{Plan, scaling, short};

/// How often a deployment is looked at: often enough that its end is seen within a second.
const PAUSE: Duration = Duration::from_millis(700);

/// How long a rollback by CodeDeploy may take.
const ROLLBACK: Duration = Duration::from_secs(3600);

/// How long after a failure CodeDeploy may take to begin its rollback.
const ROLLBACK_BEGINS: Duration = Duration::from_secs(30);

/// For how long nothing may be heard of a deployment until it is stopped.
const SILENCE: Duration = Duration::from_secs(60);

/// The statuses of a deployment that still holds its group.
const ACTIVE: [DeploymentStatus; 5] = [
    DeploymentStatus::Created,
    DeploymentStatus::Queued,
    DeploymentStatus::InProgress,
    DeploymentStatus::Baking,
    DeploymentStatus::Ready,
];

/// How the descriptions of all deployments begin that runs of pipelines create.
const BY_A_RUN: &str = "pipeline run ";

/// Deploys on behalf of one stage.
pub(super) struct Deploying<'a> {
    pub(super) aws: &'a Aws,
    pub(super) cx: &'a Context,
    pub(super) plan: &'a Plan,
}

/// How a deployment ended.
enum End {
    Succeeded,
    Failed(Box<DeploymentInfo>),
    Cancelled,
}

impl Deploying<'_> {
    /// Shifts traffic to `task_definition`; returns when CodeDeploy has ended.
    ///
    /// # Errors
    /// [`StageError::RolledBack`] if CodeDeploy gave the traffic back to what was there before.
    pub(super) async fn deploy(&self, target: &Target<'_>) -> Result<(), StageError> {
        let suspended = scaling::suspend(self.aws, self.cx, self.plan).await?;
        let result = self.deploy_unscaled(target).await;
        suspended.resume(self.cx).await;
        result
    }

    async fn deploy_unscaled(&self, target: &Target<'_>) -> Result<(), StageError> {
        let task_definition = target.task_definition;
        let id = self.start(target).await?;
        self.cx.milestone(format!("deployment {id} of {} started", short(task_definition)), self.link(&id));
        let end = match self.follow(&id).await {
            Ok(end) => end,
            Err(error) => {
                // Nobody would see how it goes on: it must not shift traffic after it was called failed.
                self.stop(&id).await?;
                return Err(error);
            }
        };
        match end {
            End::Succeeded => {
                self.cx.milestone(format!("{} has all the traffic", short(task_definition)), self.link(&id));
                Ok(())
            }
            End::Cancelled => {
                self.stop(&id).await?;
                Err(StageError::Cancelled)
            }
            End::Failed(info) => Err(self.failed(&id, &info).await),
        }
    }

    /// Creates the deployment, or finds the one that an earlier attempt created.
    async fn start(&self, target: &Target<'_>) -> Result<String, StageError> {
        let (text, digest) = appspec::content(self.plan.app_spec.as_deref(), target)?;
        let revision = || {
            let spec = AppSpecContent::builder().content(&text).sha256(&digest).build();
            let kind = RevisionLocationType::AppSpecContent;
            RevisionLocation::builder().revision_type(kind).app_spec_content(spec).build()
        };
        let what = format!("the deployment group {} to be free", self.plan.application);
        let options = WaitOptions::within(self.patience());
        wait::until(self.cx, &what, options, || async {
            let call = self.aws.codedeploy().create_deployment();
            let call = call
                .application_name(&self.plan.application)
                .deployment_group_name(&self.plan.application)
                .description(self.description())
                .revision(revision());
            match call.send().await.or_fail("codedeploy:CreateDeployment") {
                Ok(created) => Ok(created.deployment_id),
                Err(error) if is_busy(&error) => self.active(&digest).await,
                Err(error) if AwsError::behind(&error).is_some_and(|aws| aws.unanswered) => {
                    // It may have been made all the same.
                    self.active(&digest).await?.map(Some).ok_or(error)
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    fn description(&self) -> String {
        format!("{BY_A_RUN}{}", self.cx.run())
    }

    /// The active deployment of the group, if it deploys the same thing: then it is ours, from an
    /// answer that was lost or a run that was killed. One of a run that was killed which deploys something else is
    /// stopped; one of somebody else is waited for.
    async fn active(&self, digest: &str) -> Result<Option<String>, StageError> {
        for (id, info) in self.all_active().await? {
            let spec = info.revision().and_then(RevisionLocation::app_spec_content);
            if spec.and_then(AppSpecContent::sha256) == Some(digest) {
                return Ok(Some(id));
            }
            if is_of_a_run(&info) {
                self.stop(&id).await?;
                continue;
            }
            self.cx.note(format!("waiting for deployment {id}, which holds the group"));
        }
        Ok(None)
    }

    /// Stops the deployments that runs of this pipeline have begun and nobody watches any more, waits until their
    /// traffic is back, and lets the service scale again.
    pub(super) async fn stop_abandoned(&self) -> Result<(), StageError> {
        for (id, info) in self.all_active().await? {
            if is_of_a_run(&info) {
                self.stop(&id).await?;
            }
        }
        scaling::resume_abandoned(self.aws, self.plan).await
    }

    /// The deployments that hold the group; none where the group is gone.
    async fn all_active(&self) -> Result<Vec<(String, DeploymentInfo)>, StageError> {
        let call = self.aws.codedeploy().list_deployments();
        let call = call
            .application_name(&self.plan.application)
            .deployment_group_name(&self.plan.application)
            .set_include_only_statuses(Some(ACTIVE.to_vec()));
        let listed = call.send().await.if_found("codedeploy:ListDeployments")?;
        let mut active = Vec::new();
        for id in listed.and_then(|listed| listed.deployments).unwrap_or_default() {
            let info = self.get(&id).await?;
            active.push((id, info));
        }
        Ok(active)
    }

    async fn get(&self, id: &str) -> Result<DeploymentInfo, StageError> {
        let call = self.aws.codedeploy().get_deployment().deployment_id(id);
        let answer = call.send().await.or_fail("codedeploy:GetDeployment")?;
        answer
            .deployment_info
            .ok_or_else(|| StageError::failed(format!("AWS says nothing of deployment {id}")))
    }

    /// Looks at the deployment until it has ended, and says what moves.
    async fn follow(&self, id: &str) -> Result<End, StageError> {
        let deadline = Instant::now() + self.patience();
        let mut told = Told::default();
        let mut silent_since = None;
        loop {
            let (info, target) = futures::join!(self.get(id), self.target(id));
            if let Some(target) = target {
                told.tell(self.cx, &target, || self.link(id));
            }
            match info {
                Ok(info) => match info.status() {
                    Some(DeploymentStatus::Succeeded) => return Ok(End::Succeeded),
                    Some(DeploymentStatus::Failed | DeploymentStatus::Stopped) => {
                        return Ok(End::Failed(Box::new(info)));
                    }
                    _ => silent_since = None,
                },
                Err(error) if silent_since.get_or_insert_with(Instant::now).elapsed() > SILENCE => {
                    return Err(error);
                }
                Err(_) => {}
            }
            if Instant::now() > deadline {
                let minutes = self.patience().as_secs() / 60;
                self.cx.note(format!("deployment {id} has not ended in {minutes} min: stopping it"));
                self.stop(id).await?;
                return Ok(End::Failed(Box::new(self.get(id).await?)));
            }
            tokio::select! {
                () = self.cx.cancel().cancelled() => return Ok(End::Cancelled),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// The deployment's view of the service; nothing before there is one. Only for telling: a failure
    /// to read it does not matter.
    async fn target(&self, id: &str) -> Option<EcsTarget> {
        let target = format!("{}:{}", self.plan.cluster, self.plan.service);
        let call = self.aws.codedeploy().get_deployment_target().deployment_id(id).target_id(target);
        call.send().await.ok()?.deployment_target?.ecs_target
    }

    /// Stops the deployment and waits until the traffic is back where it was.
    async fn stop(&self, id: &str) -> Result<(), StageError> {
        self.cx.milestone(format!("stopping deployment {id} and rolling it back"), self.link(id));
        let call = self.aws.codedeploy().stop_deployment().deployment_id(id).auto_rollback_enabled(true);
        match call.send().await.or_fail("codedeploy:StopDeployment") {
            Err(error) if !has_ended(&error) => return Err(error),
            _ => {}
        }
        let info = self.ended(id, self.patience()).await?;
        self.rolled_back(&info).await.map(|_| ())
    }

    /// Waits for the end without listening to the cancellation: it is what brought us here.
    async fn ended(&self, id: &str, patience: Duration) -> Result<DeploymentInfo, StageError> {
        let deadline = Instant::now() + patience;
        loop {
            let info = self.get(id).await?;
            let ended = [DeploymentStatus::Succeeded, DeploymentStatus::Failed, DeploymentStatus::Stopped];
            if info.status().is_some_and(|status| ended.contains(status)) {
                return Ok(info);
            }
            if Instant::now() > deadline {
                return Err(StageError::failed(format!("deployment {id} does not end"))
                    .with_help("stop it in the AWS console, then run again"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits for the rollback that CodeDeploy began after a failure, if it began one; the answer is
    /// whether the traffic is back.
    async fn rolled_back(&self, info: &DeploymentInfo) -> Result<bool, StageError> {
        let Some(rollback) = self.rollback_of(info).await? else { return Ok(false) };
        self.cx.milestone(format!("CodeDeploy rolls back by deployment {rollback}"), self.link(&rollback));
        let end = self.ended(&rollback, ROLLBACK).await?;
        Ok(end.status() == Some(&DeploymentStatus::Succeeded))
    }

    /// The id of the rollback's deployment, which may be there only a while after the failure.
    async fn rollback_of(&self, info: &DeploymentInfo) -> Result<Option<String>, StageError> {
        let expected = info.auto_rollback_configuration().is_some_and(AutoRollbackConfiguration::enabled);
        let id = |info: &DeploymentInfo| {
            info.rollback_info().and_then(RollbackInfo::rollback_deployment_id).map(str::to_owned)
        };
        // A message without an id says why there is no rollback.
        let said =
            |info: &DeploymentInfo| info.rollback_info().is_some_and(|it| it.rollback_message().is_some());
        let deadline = Instant::now() + ROLLBACK_BEGINS;
        let (mut found, mut told) = (id(info), said(info));
        while expected && found.is_none() && !told && Instant::now() < deadline {
            tokio::time::sleep(PAUSE).await;
            let info = self.get(info.deployment_id().unwrap_or_default()).await?;
            (found, told) = (id(&info), said(&info));
        }
        Ok(found)
    }

    /// The error of a deployment that failed or was stopped by somebody else.
    async fn failed(&self, id: &str, info: &DeploymentInfo) -> StageError {
        let mut why = why(info);
        if let Some(stopped) = self.why_tasks_stopped(id).await {
            why = format!("{why}; its last task to stop: {stopped}");
        }
        let help = match self.link(id) {
            Some(link) => format!("see {}", link.url),
            None => format!("`aws deploy get-deployment --deployment-id {id}` tells more"),
        };
        match self.rolled_back(info).await {
            Ok(true) => StageError::RolledBack {
                message: format!("deployment {id} failed and CodeDeploy rolled it back: {why}"),
                help: Some(help),
            },
            Ok(false) => StageError::failed(format!("deployment {id} failed: {why}")).with_help(help),
            Err(error) => StageError::failed(format!(
                "deployment {id} failed: {why}; its rollback could not be followed: {error}"
            ))
            .with_help(help),
        }
    }

    /// What the newest task of the replacement that stopped has to say. Only for telling: a failure to read it does
    /// not matter.
    async fn why_tasks_stopped(&self, id: &str) -> Option<String> {
        let target = self.target(id).await?;
        let replacement = |set: &&EcsTaskSet| set.task_set_label() == Some(&TargetLabel::Green);
        let replacement = target.task_sets_info().iter().find(replacement)?.identifer()?;
        let stopped = tasks::stopped(self.aws, &self.plan.cluster, &self.plan.service).await.ok()?;
        // Those that ECS itself takes away once the deployment has failed say nothing of why.
        let taken_away =
            |task: &Task| task.stopped_reason().is_some_and(|why| why.starts_with("Scaling activity"));
        let telling = |task: &&Task| task.started_by() == Some(replacement) && !taken_away(task);
        stopped.iter().find(telling).map(tasks::why_stopped)
    }

    /// Where the console shows it.
    fn link(&self, id: &str) -> Option<Link> {
        self.aws.console("Open the deployment", &format!("codesuite/codedeploy/deployments/{id}"))
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(u64::from(self.plan.timeout_minutes + self.plan.waits_minutes) * 60)
    }
}

/// Whether a run of this pipeline created it. Only one run of an environment goes on at a time: it is this one's, or that
/// of one that has ended.
fn is_of_a_run(deployment: &DeploymentInfo) -> bool {
    deployment.description().is_some_and(|description| description.starts_with(BY_A_RUN))
}

/// One deployment at a time per group; the code is matched, because the text names the deployment.
fn is_busy(error: &StageError) -> bool {
    AwsError::behind(error).is_some_and(|aws| aws.is(&["DeploymentLimitExceededException"]))
}

fn has_ended(error: &StageError) -> bool {
    AwsError::behind(error).is_some_and(|aws| aws.is(&["DeploymentAlreadyCompletedException"]))
}

fn why(info: &DeploymentInfo) -> String {
    let Some(error) = info.error_information() else { return "AWS gives no reason".into() };
    let code = error.code().map(ErrorCode::as_str).unwrap_or("no code");
    format!("{} ({code})", error.message().unwrap_or("no message"))
}

/// What was already said of a deployment, so that it is said once.
#[derive(Default)]
struct Told {
    events: Vec<(String, String)>,
    shares: Vec<TrafficShare>,
}

impl Told {
    fn tell(&mut self, cx: &Context, target: &EcsTarget, link: impl Fn() -> Option<Link>) {
        for event in target.lifecycle_events() {
            let name = event.lifecycle_event_name().unwrap_or_default();
            let status = event.status().map(LifecycleEventStatus::as_str).unwrap_or_default();
            let entry = (name.to_owned(), status.to_owned());
            let worth = !matches!(status, "" | "Pending" | "Skipped" | "Unknown");
            if worth && !self.events.contains(&entry) {
                cx.note(format!("{name}: {}", words(status)));
                self.events.push(entry);
            }
        }
        let shares = shares(target);
        if shares != self.shares && !shares.is_empty() {
            let text: Vec<_> =
                shares.iter().map(|share| format!("{} {:.0} %", share.label, share.percent)).collect();
            // A step of a shift is worth telling; the first look only says how things stand.
            let level = if self.shares.is_empty() { ProgressLevel::Note } else { ProgressLevel::Milestone };
            cx.report(Progress {
                level,
                message: format!("traffic: {}", text.join(", ")),
                link: link(),
                traffic: shares.clone(),
            });
            self.shares = shares;
        }
    }
}

fn words(status: &str) -> &str {
    match status {
        "InProgress" => "in progress",
        "Succeeded" => "done",
        "Failed" => "failed",
        other => other,
    }
}

/// Each version's share of the traffic. CodeDeploy calls the original task set blue and the
/// replacement green, whatever the target groups are called.
fn shares(target: &EcsTarget) -> Vec<TrafficShare> {
    let mut shares: Vec<_> = target
        .task_sets_info()
        .iter()
        .filter_map(|set| {
            let label = match set.task_set_label()? {
                TargetLabel::Blue => "original",
                TargetLabel::Green => "replacement",
                _ => return None,
            };
            Some(TrafficShare { label: label.into(), percent: set.traffic_weight() })
        })
        .collect();
    shares.sort_by(|a, b| a.label.cmp(&b.label));
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_named_by_their_part_in_the_deployment() {
        let set = |label, weight| EcsTaskSet::builder().task_set_label(label).traffic_weight(weight).build();
        let target = EcsTarget::builder()
            .task_sets_info(set(TargetLabel::Green, 10.0))
            .task_sets_info(set(TargetLabel::Blue, 90.0))
            .build();
        let shares: Vec<_> = shares(&target).into_iter().map(|share| (share.label, share.percent)).collect();
        assert_eq!(shares, [("original".to_owned(), 90.0), ("replacement".to_owned(), 10.0)]);
    }
}
