//! The stage.

use pipeline_plugin::{
    Action, ApplyError, AttributeChange, Change, Context, Done, Inputs, JsonSchema, Mode, Outputs, Recorded,
    ResourceId, Stage, StageError, StagePlan, async_trait,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::group::{Group, OWNER, Settings};
use crate::logs::Logs;

const KIND: &str = "logs:log-group";

/// The inputs of the stage `log-group`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogGroupInputs {
    /// Its name, such as `/shop/audit`.
    name: String,
    /// After how many days an event goes; one of the numbers that CloudWatch Logs knows. Default: never.
    #[serde(default)]
    retention_days: Option<u32>,
}

/// The outputs of the stage `log-group`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogGroupOutputs {
    /// Its name.
    name: String,
}

pub(crate) struct LogGroup;

#[async_trait]
impl Stage for LogGroup {
    async fn plan(&self, cx: &Context, inputs: &Inputs) -> Result<StagePlan, StageError> {
        let logs = Logs::of(cx).await?;
        let owned = cx.prior().into_iter().flat_map(|prior| &prior.outputs.resources);
        let owned: Vec<_> = owned.map(|resource| resource.id.name.clone()).collect();
        if cx.mode() == Mode::Destroy {
            let (changes, detail) = (removals(&logs, owned).await?, to_value(&Settings::default())?);
            return Ok(StagePlan { changes, detail, ..StagePlan::default() });
        }
        let wanted: LogGroupInputs = inputs.parse()?;
        let settings = Settings { retention_days: wanted.retention_days };
        let found = logs.find(&wanted.name).await?;
        let mut changes: Vec<_> = change(cx, &wanted.name, found.as_ref(), &settings)?.into_iter().collect();
        // One that had another name before.
        let others = owned.into_iter().filter(|name| *name != wanted.name).collect();
        changes.extend(removals(&logs, others).await?);
        let outputs = outputs(wanted.name, &settings)?;
        Ok(StagePlan { changes, outputs, detail: to_value(&settings)? })
    }

    async fn apply(&self, cx: &Context, plan: &StagePlan) -> Result<Outputs, ApplyError> {
        let logs = Logs::of(cx).await?;
        let settings: Settings = from_value(&plan.detail)?;
        let owner = cx.pipeline().canonical();
        for Change { resource, action, .. } in &plan.changes {
            let name = &resource.name;
            let before = logs.find(name).await?.map(|group| to_value(&group.settings)).transpose()?;
            let intent = cx.intent(resource.clone(), *action, before).await?;
            match action {
                Action::Create => logs.make(name, &owner, &settings).await?,
                Action::Delete => logs.remove(name).await?,
                _ => logs.set(name, &settings).await?,
            }
            cx.done(intent, to_value(&settings)?).await?;
        }
        Ok(plan.outputs.clone())
    }

    async fn rollback(&self, cx: &Context, done: &[Done]) -> Result<(), StageError> {
        let logs = Logs::of(cx).await?;
        let owner = cx.pipeline().canonical();
        for Done { resource, action, before, .. } in done.iter().rev() {
            let name = &resource.name;
            let before: Option<Settings> = before.as_ref().map(from_value).transpose()?;
            match (action, before) {
                (Action::Create, None) => logs.remove(name).await?,
                (Action::Delete, Some(before)) => logs.make(name, &owner, &before).await?,
                (_, Some(before)) => logs.put_back(name, &before).await?,
                (_, None) => {}
            }
        }
        Ok(())
    }
}

/// What has to be done to a group so that it is as wanted.
fn change(
    cx: &Context,
    name: &str,
    found: Option<&Group>,
    wanted: &Settings,
) -> Result<Option<Change>, StageError> {
    let retention = |settings: &Settings| json!(settings.retention_days);
    let Some(found) = found else {
        let attributes = vec![attribute(json!(null), retention(wanted))];
        return Ok(Some(planned(name, Action::Create, attributes)));
    };
    if found.owner.as_deref() != Some(&cx.pipeline().canonical()) {
        let owner = found.owner.as_deref().unwrap_or("nobody who says so");
        return Err(StageError::failed(format!(
            "the log group {name} is there already and belongs to {owner}"
        ))
        .with_help(format!("choose another name, or tag it with {OWNER}={}", cx.pipeline().canonical())));
    }
    if found.settings == *wanted {
        return Ok(None);
    }
    let attributes = vec![attribute(retention(&found.settings), retention(wanted))];
    Ok(Some(planned(name, Action::Update, attributes)))
}

async fn removals(logs: &Logs<'_>, names: Vec<String>) -> Result<Vec<Change>, StageError> {
    let mut changes = Vec::new();
    for name in names {
        if logs.find(&name).await?.is_some() {
            let lost = Some("the events in it are lost".to_owned());
            changes.push(Change { irreversible: lost, ..planned(&name, Action::Delete, Vec::new()) });
        }
    }
    Ok(changes)
}

fn planned(name: &str, action: Action, attributes: Vec<AttributeChange>) -> Change {
    Change { resource: ResourceId::new(KIND, name), action, attributes, reason: None, irreversible: None }
}

fn attribute(before: serde_json::Value, after: serde_json::Value) -> AttributeChange {
    AttributeChange { path: "retention_days".to_owned(), before, after }
}

fn outputs(name: String, settings: &Settings) -> Result<Outputs, StageError> {
    let resource = Recorded { id: ResourceId::new(KIND, &*name), attributes: to_value(settings)? };
    let outputs = Outputs::of(&LogGroupOutputs { name })?;
    Ok(Outputs { resources: vec![resource], ..outputs })
}

fn to_value(value: &impl Serialize) -> Result<serde_json::Value, StageError> {
    serde_json::to_value(value).map_err(|error| StageError::failed(format!("this is not JSON: {error}")))
}

fn from_value<T: serde::de::DeserializeOwned>(value: &serde_json::Value) -> Result<T, StageError> {
    T::deserialize(value).map_err(|error| StageError::failed(format!("this cannot be read: {error}")))
}
