//! The task definition: revisions that are made and never changed.
//!
//! Because a revision never changes, it need not be compared field by field with what AWS made of it:
//! each carries the fingerprint of what was asked for as a tag. The newest active revision of the family
//! is the one that should get the traffic.

mod document;
mod shown;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_ecs::types::{ContainerDefinition, SortOrder, Tag, TaskDefinitionField, TaskDefinitionStatus};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use pipeline_aws::{Attributes, Aws, AwsError, AwsResult, Known, Ownership, Reading, Resource, Tags};
use pipeline_sdk::{
    Action, Context, Recorded, ResourceId, StageError, Unknown, Value, async_trait, contains_unknown, json,
};

use crate::cluster::{sdk_tags, tags_of};
use crate::{EcsInputs, Names, is_refused};
use document::{ARCHITECTURE, Document};

pub(crate) const KIND: &str = "ecs:taskdefinition";

/// The tag that holds the fingerprint.
const FINGERPRINT: &str = "pipeline:fingerprint";

/// How often a registration is tried, and the pauses between.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How many revisions back an undo looks for the one to return to.
const LOOK_BACK: i32 = 20;

/// How many revisions one call deletes:
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeleteTaskDefinitions.html>.
const DELETED_AT_ONCE: usize = 10;

pub(crate) struct TaskDefinition {
    aws: Arc<Aws>,
    id: ResourceId,
    wanted: Option<Wanted>,
}

struct Wanted {
    document: Document,
    tags: Value,
    /// The roles' ARNs, from when they were last known: they are part of what is registered and of the
    /// fingerprint, and too long to be shown.
    roles: Mutex<Option<(String, String)>>,
}

/// One revision as far as the stage looks at it.
struct Revision {
    arn: String,
    attributes: Attributes,
}

impl TaskDefinition {
    pub(crate) fn wanted(
        cx: &Context,
        aws: Arc<Aws>,
        names: &Names,
        inputs: &EcsInputs,
        tags: &Tags,
    ) -> Result<Self, StageError> {
        let region = aws.region().unwrap_or_default().to_owned();
        let document = Document::of(cx, names, inputs, &region)?;
        let id = ResourceId::new(KIND, &names.family);
        let wanted = Wanted { document, tags: tags.to_value(), roles: Mutex::default() };
        Ok(Self { aws, id, wanted: Some(wanted) })
    }

    pub(crate) fn recorded(aws: Arc<Aws>, recorded: &Recorded) -> Self {
        Self { aws, id: recorded.id.clone(), wanted: None }
    }

    fn family(&self) -> &str {
        &self.id.name
    }

    async fn revision(&self, name: &str) -> Result<Option<Revision>, StageError> {
        self.revision_of(name, &TaskDefinitionStatus::Active).await
    }

    /// A revision that was deregistered and not deleted.
    async fn inactive(&self) -> Result<Option<Revision>, StageError> {
        match self.list(TaskDefinitionStatus::Inactive, 1).await?.first() {
            Some(arn) => self.revision_of(arn, &TaskDefinitionStatus::Inactive).await,
            None => Ok(None),
        }
    }

    async fn revision_of(
        &self,
        name: &str,
        status: &TaskDefinitionStatus,
    ) -> Result<Option<Revision>, StageError> {
        let call = self.aws.ecs().describe_task_definition().task_definition(name);
        let answer = call.include(TaskDefinitionField::Tags).send().await;
        // A family without an active revision is a ClientException, as AWS has it.
        let answer = match answer.if_found("ecs:DescribeTaskDefinition") {
            Err(error) if is_missing(&error) => return Ok(None),
            answer => answer?,
        };
        let Some(answer) = answer else { return Ok(None) };
        let Some(found) = answer.task_definition() else { return Ok(None) };
        if found.status() != Some(status) {
            return Ok(None);
        }
        let mut tags = tags_of(answer.tags());
        let fingerprint = tags.as_object_mut().and_then(|tags| tags.remove(FINGERPRINT));
        let of_traffic = |one: &&ContainerDefinition| {
            let wanted = self.wanted.as_ref().map(|wanted| wanted.document.container());
            wanted.is_none_or(|container| one.name() == Some(container))
        };
        let containers = found.container_definitions();
        let container = containers.iter().find(of_traffic).or(containers.first());
        let arn = found.task_definition_arn().unwrap_or_default().to_owned();
        let mut attributes = Attributes::of(json!({
            "image": container.and_then(|container| container.image()),
            "cpu": found.cpu(),
            "memory": found.memory(),
            "fingerprint": fingerprint,
            "tags": tags,
            "arn": arn,
            ARCHITECTURE: found.runtime_platform().and_then(|it| it.cpu_architecture()).map(|it| it.as_str()),
        }));
        for (name, detail) in container.map(shown::registered).into_iter().flatten() {
            attributes.set(name, detail);
        }
        Ok(Some(Revision { arn, attributes }))
    }

    /// The ARNs of the active revisions, newest first.
    async fn active(&self, most: i32) -> Result<Vec<String>, StageError> {
        self.list(TaskDefinitionStatus::Active, most).await
    }

    async fn list(&self, status: TaskDefinitionStatus, most: i32) -> Result<Vec<String>, StageError> {
        let call = self.aws.ecs().list_task_definitions().family_prefix(self.family());
        let call = call.status(status).sort(SortOrder::Desc).max_results(most);
        let answer = call.send().await.or_fail("ecs:ListTaskDefinitions")?;
        Ok(answer.task_definition_arns.unwrap_or_default())
    }

    /// Registers what is wanted, as JSON: the user's own file may hold any field that AWS knows, also
    /// one that this version of the SDK does not.
    ///
    /// ECS takes no token that would make a second request the same as the first, and would register a second
    /// revision. So the SDK does not repeat it by itself: after a failure that may hide a success the newest
    /// revision is looked at before.
    async fn register(&self, desired: &Attributes) -> Result<(), StageError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            match self.register_once(desired).await {
                Err(error) if AwsError::behind(&error).is_some_and(AwsError::is_temporary) => {}
                ended => return ended,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let newest = self.revision(self.family()).await?;
            let fingerprint = newest.as_ref().and_then(|newest| newest.attributes.text("fingerprint"));
            if fingerprint == Some(desired.need("fingerprint")?) {
                return Ok(());
            }
        }
        self.register_once(desired).await
    }

    async fn register_once(&self, desired: &Attributes) -> Result<(), StageError> {
        let Some(Wanted { document, roles, .. }) = &self.wanted else {
            return Err(StageError::failed(
                "an older revision is no longer there, so it cannot be brought back",
            ));
        };
        let mut tags = sdk_tags(&Tags::from(desired.value("tags")));
        let fingerprint = desired.need("fingerprint")?;
        tags.push(Tag::builder().key(FINGERPRINT).value(fingerprint).build());
        let roles = roles.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((execution, task)) = roles else {
            return Err(StageError::failed("the roles of the task definition are not known"));
        };
        let body = document.body(&execution, &task, &tags)?;
        let once = aws_sdk_ecs::Config::builder().retry_config(RetryConfig::disabled());
        let call = self.aws.ecs().register_task_definition().customize().config_override(once);
        let call = call.mutate_request(move |request| {
            let length = body.len();
            request.headers_mut().insert("content-length", length.to_string());
            *request.body_mut() = SdkBody::from(body.clone());
        });
        call.send().await.or_fail("ecs:RegisterTaskDefinition").map(|_| ())
    }

    async fn deregister(&self, arn: &str) -> Result<(), StageError> {
        let call = self.aws.ecs().deregister_task_definition().task_definition(arn);
        match call.send().await.or_gone("ecs:DeregisterTaskDefinition") {
            // A repetition after a lost answer meets its own work.
            Err(error) if is_inactive(&error) => Ok(()),
            ended => ended,
        }
    }

    /// Makes the newest revision with this fingerprint the newest active one, by deregistering those
    /// after it; the answer is whether there is one.
    async fn return_to(&self, fingerprint: &str) -> Result<bool, StageError> {
        let mut newer: Vec<String> = Vec::new();
        for arn in self.active(LOOK_BACK).await? {
            let Some(revision) = self.revision(&arn).await? else { continue };
            if revision.attributes.text("fingerprint") == Some(fingerprint) {
                for arn in &newer {
                    self.deregister(arn).await?;
                }
                return Ok(true);
            }
            newer.push(revision.arn);
        }
        Ok(false)
    }
}

fn is_missing(error: &StageError) -> bool {
    is_refused(error, "ClientException", "Unable to describe")
}

fn is_inactive(error: &StageError) -> bool {
    is_refused(error, "ClientException", "is inactive")
}

#[async_trait]
impl Resource for TaskDefinition {
    fn id(&self) -> &ResourceId {
        &self.id
    }

    fn ownership(&self) -> Ownership {
        Ownership::TagsOrState
    }

    fn assigned_anew(&self) -> &'static [&'static str] {
        &["arn"]
    }

    fn desired(&self, known: &Known) -> Result<Option<Attributes>, StageError> {
        let Some(Wanted { document, tags, roles: known_roles }) = &self.wanted else { return Ok(None) };
        let roles = document.roles(known);
        *known_roles.lock().unwrap_or_else(PoisonError::into_inner) = roles.clone();
        let mut desired = document.shown();
        desired.set("tags", tags.clone());
        let origin = format!("{KIND}.{}.fingerprint", self.family());
        let details = document.details();
        let unknown = roles.is_none()
            || contains_unknown(&desired.to_value())
            || details.iter().any(|(_, detail)| contains_unknown(detail));
        let fingerprint = match roles {
            Some((execution, task)) if !unknown => json!(document.fingerprint(&execution, &task)?),
            _ => Unknown::new(origin).to_value(),
        };
        let registered =
            known.existing(&self.id).filter(|newest| *newest.value("fingerprint") == fingerprint);
        for (name, detail) in details {
            // What AWS tells of it in other words than it was told is no change.
            desired.set(name, registered.map_or(detail, |newest| newest.value(name).clone()));
        }
        desired.set("fingerprint", fingerprint);
        Ok(Some(desired))
    }

    async fn read(&self, _: &Reading<'_>) -> Result<Option<Attributes>, StageError> {
        let mut attributes = self.revision(self.family()).await?.map(|revision| revision.attributes);
        if attributes.is_none() && self.wanted.is_none() {
            // What is to be removed may be half removed, by a run that was cut off. Without a fingerprint: it
            // is not what an undo brings back.
            attributes = self.inactive().await?.map(|revision| revision.attributes);
            attributes.as_mut().and_then(|attributes| attributes.remove("fingerprint"));
        }
        Ok(attributes)
    }

    async fn create(&self, _cx: &Context, desired: &Attributes) -> Result<(), StageError> {
        self.register(desired).await
    }

    /// A new revision; or, to undo that, the one before it.
    async fn update(
        &self,
        _: &Context,
        observed: &Attributes,
        desired: &Attributes,
    ) -> Result<(), StageError> {
        if self.wanted.is_some() {
            return self.register(desired).await;
        }
        match desired.text("fingerprint") {
            Some(fingerprint) if self.return_to(fingerprint).await? => Ok(()),
            Some(_) => self.register(desired).await,
            // The one before was not made by a pipeline and has no fingerprint; it is newest again once
            // ours is gone.
            None => self.deregister(observed.need("arn")?).await,
        }
    }

    /// Deregisters and deletes every revision of the family, in portions.
    async fn delete(&self, _cx: &Context, _observed: &Attributes) -> Result<(), StageError> {
        loop {
            let active = self.active(100).await?;
            if active.is_empty() {
                break;
            }
            for arn in &active {
                self.deregister(arn).await?;
            }
        }
        let inactive = self.list(TaskDefinitionStatus::Inactive, 100).await?;
        for portion in inactive.chunks(DELETED_AT_ONCE) {
            let call = self.aws.ecs().delete_task_definitions();
            let call = call.set_task_definitions(Some(portion.to_vec()));
            call.send().await.or_gone("ecs:DeleteTaskDefinitions")?;
        }
        Ok(())
    }

    fn irreversible(&self, action: Action, _observed: &Attributes) -> Option<String> {
        (action == Action::Delete).then(|| "its revisions are deleted".to_owned())
    }
}
