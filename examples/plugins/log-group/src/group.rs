//! One log group: found, made, changed, removed. Whatever is done may have been done before.

use pipeline_plugin::{StageError, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::logs::{CallError, Logs};

/// The tag that says to which pipeline a group belongs.
pub(crate) const OWNER: &str = "pipeline:owner";

/// A group as it is.
pub(crate) struct Group {
    /// The pipeline that made it.
    pub(crate) owner: Option<String>,
    pub(crate) settings: Settings,
}

/// What can be changed in it, and put back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// For ever if there is none.
    pub(crate) retention_days: Option<u32>,
}

impl Logs<'_> {
    /// The group of this very name.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Group>, StageError> {
        // The shortest name with a prefix comes first: it is on the first page.
        let answer = self.call("DescribeLogGroups", json!({ "logGroupNamePrefix": name })).await?;
        let listed = answer.get("logGroups").and_then(Value::as_array).into_iter().flatten();
        let Some(found) = listed.into_iter().find(|group| group["logGroupName"] == name) else {
            return Ok(None);
        };
        let arn = found["arn"].as_str().unwrap_or_default().trim_end_matches(":*");
        let owner = match self.call("ListTagsForResource", json!({ "resourceArn": arn })).await {
            Ok(answer) => answer["tags"][OWNER].as_str().map(str::to_owned),
            // It went in between.
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let retention_days = found["retentionInDays"].as_u64().and_then(|days| u32::try_from(days).ok());
        Ok(Some(Group { owner, settings: Settings { retention_days } }))
    }

    /// Makes the group if it is not there.
    pub(crate) async fn make(&self, name: &str, owner: &str, settings: &Settings) -> Result<(), StageError> {
        let made =
            self.call("CreateLogGroup", json!({ "logGroupName": name, "tags": { OWNER: owner } })).await;
        match made {
            Ok(_) => {}
            Err(CallError::Refused { code, .. }) if code == "ResourceAlreadyExistsException" => {}
            Err(error) => return Err(error.into()),
        }
        if settings == &Settings::default() { Ok(()) } else { self.set(name, settings).await }
    }

    /// Gives it these settings.
    pub(crate) async fn set(&self, name: &str, settings: &Settings) -> Result<(), StageError> {
        Ok(self.try_set(name, settings).await?)
    }

    /// Gives it these settings back, if it is there: the creation of one that is gone may be undone already.
    pub(crate) async fn put_back(&self, name: &str, settings: &Settings) -> Result<(), StageError> {
        match self.try_set(name, settings).await {
            Err(error) if !is_gone(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn try_set(&self, name: &str, settings: &Settings) -> Result<(), CallError> {
        let call = match settings.retention_days {
            Some(days) => {
                self.call("PutRetentionPolicy", json!({ "logGroupName": name, "retentionInDays": days }))
                    .await
            }
            None => self.call("DeleteRetentionPolicy", json!({ "logGroupName": name })).await,
        };
        call.map(drop)
    }

    /// Removes it if it is there.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), StageError> {
        match self.call("DeleteLogGroup", json!({ "logGroupName": name })).await {
            Err(error) if !is_gone(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn is_gone(error: &CallError) -> bool {
    matches!(error, CallError::Refused { code, .. } if code == "ResourceNotFoundException")
}
