//! What a pipeline works with: every built-in stage and notifier, and the cloud that `[cloud]` names.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pipeline_aws::{Access, Aws, Keys, Settings, has_no_credentials};
use pipeline_plugin_host::{Options, Plugins, Trust};
use pipeline_sdk::wire::AwsAccess;
use pipeline_sdk::{HostServices, JsonSchema, Registry, Schema, StageError, Value};
use serde::Deserialize;

use crate::arguments::StartOptions;
use crate::cloud::{self, CloudCommandError};

/// The region of the embedded cloud unless `[cloud]` names one.
const LOCAL_REGION: &str = "eu-central-1";

/// The table `[cloud]`: where the pipeline works.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CloudTable {
    /// `local` is the embedded cloud on this machine, `aws` is AWS.
    target: Target,
    /// The region. Default on AWS: that of the profile or `AWS_REGION`.
    region: Option<String>,
    /// The profile of `~/.aws/config`. Default: `AWS_PROFILE`.
    profile: Option<String>,
    /// The account that the credentials must belong to; a run elsewhere is refused.
    account: Option<String>,
    /// An endpoint that replaces those of AWS. Default: `AWS_ENDPOINT_URL`.
    endpoint_url: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Target {
    Local,
    Aws,
}

impl CloudTable {
    /// Checks what the schema cannot, before a library says it in its own words.
    fn check(&self) -> Result<(), HostError> {
        let refuse =
            |key, value: &str, wanted| Err(HostError::Value { key, value: value.to_owned(), wanted });
        match (&self.region, &self.endpoint_url) {
            (Some(region), _) if !region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') => {
                refuse("region", region, "a region as `eu-central-1`")
            }
            (_, Some(url)) if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) => {
                refuse("endpoint_url", url, "a URL as `https://host:port`")
            }
            _ => Ok(()),
        }
    }

    /// An error of the first call, with the profile that the table names.
    fn blame(&self, error: StageError) -> StageError {
        match &self.profile {
            Some(profile) if has_no_credentials(&error) => StageError::failed(format!(
                "with the profile `{profile}` of [cloud]: {error}"
            ))
            .with_help("`aws configure list-profiles` lists the profiles, `aws sso login` signs in again"),
            _ => error,
        }
    }

    /// Who the table says we are, and in which region. Its endpoint is that of what is deployed.
    fn settings(&self) -> Settings {
        let region = self.region.clone();
        Settings { region, profile: self.profile.clone(), ..Settings::default() }
    }
}

/// The region and the profile that `[cloud]` names.
pub(crate) fn settings(table: &Value) -> Result<Settings, HostError> {
    let table: CloudTable = serde_json::from_value(table.clone())?;
    Ok(table.settings())
}

/// The JSON schema of `[cloud]`, for the engine to check the file against.
pub(crate) fn cloud_schema() -> Schema {
    Schema::of::<CloudTable>()
}

/// The plugins of the pipeline in `directory`.
pub(crate) fn plugins(directory: PathBuf, trust: Trust) -> Arc<Plugins> {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("pipeline"));
    Arc::new(Plugins::new(Options { directory, trust, program }))
}

/// What plugins get from this program.
struct Services(Access);

#[async_trait]
impl HostServices for Services {
    async fn aws(&self) -> Result<AwsAccess, StageError> {
        let Keys { access_key_id, secret_access_key, session_token } = self.0.keys().await?;
        let (region, endpoint_url) = (self.0.region.clone(), self.0.endpoint_url.clone());
        Ok(AwsAccess { region, endpoint_url, access_key_id, secret_access_key, session_token })
    }
}

/// What a plugin gets while it is checked: the embedded cloud, started when it is asked for. Nothing that somebody
/// only tries out reaches AWS.
struct ServicesOfChecks;

#[async_trait]
impl HostServices for ServicesOfChecks {
    async fn aws(&self) -> Result<AwsAccess, StageError> {
        let started = cloud::start(&cloud::directory(), &StartOptions::default()).await;
        let started = started.map_err(|error| StageError::failed(error.to_string()))?;
        Services(Aws::embedded(started.record.endpoint, LOCAL_REGION).access()).aws().await
    }
}

/// What plugins get while they are checked.
pub(crate) fn services_of_checks() -> Arc<dyn HostServices> {
    Arc::new(ServicesOfChecks)
}

/// Every built-in stage and notifier, working over `aws`, and `plugins` that reach it in their own way.
pub(crate) fn registry(aws: &Arc<Aws>, plugins: &Arc<Plugins>) -> Registry {
    plugins.set_services(Arc::new(Services(aws.access())));
    let mut registry = built_in(aws);
    registry.set_plugins(plugins.clone());
    registry
}

fn built_in(aws: &Arc<Aws>) -> Registry {
    let mut registry = Registry::default();
    registry.add_stage(stage_ecr::kind(Arc::clone(aws)));
    registry.add_stage(stage_image::kind(Arc::clone(aws)));
    registry.add_stage(stage_network::kind(Arc::clone(aws)));
    registry.add_stage(stage_alb::kind(Arc::clone(aws)));
    registry.add_stage(stage_ecs::kind(Arc::clone(aws)));
    registry.add_stage(stage_codedeploy::kind(Arc::clone(aws)));
    registry.add_stage(stage_route53::kind(Arc::clone(aws)));
    registry.add_notifier(notify_slack::kind());
    registry.add_notifier(notify_webhook::kind());
    registry
}

/// The same kinds, for what is read before anything is connected: their manifests.
pub(crate) fn manifests() -> Registry {
    built_in(&Aws::embedded("http://127.0.0.1:0", LOCAL_REGION))
}

/// The same with `plugins`, of which those that are asked for are loaded.
pub(crate) fn manifests_with(plugins: &Arc<Plugins>) -> Registry {
    let mut registry = manifests();
    registry.set_plugins(plugins.clone());
    registry
}

/// Why there is no cloud to work on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostError {
    /// The embedded cloud did not start.
    #[error(transparent)]
    Cloud(#[from] CloudCommandError),
    /// AWS, or what stands in for it, does not let us in.
    #[error(transparent)]
    Aws(#[from] StageError),
    /// `[cloud]` is not what its schema says.
    #[error("[cloud] cannot be read: {0}")]
    Table(#[from] serde_json::Error),
    /// A value of `[cloud]` that cannot be meant.
    #[error("`{key}` in [cloud] is {value:?}; write {wanted}")]
    Value { key: &'static str, value: String, wanted: &'static str },
    /// The wrong account.
    #[error("the credentials belong to account {found}, and [cloud] wants {wanted}: choose another profile")]
    Account { found: String, wanted: String },
}

impl HostError {
    /// What to do about it, where the message does not say it.
    pub(crate) fn help(&self) -> Option<&str> {
        match self {
            Self::Aws(error) => error.help(),
            _ => None,
        }
    }
}

/// A cloud that answers.
pub(crate) struct Connection {
    /// The connection that all stages share.
    pub(crate) aws: Arc<Aws>,
    /// Where it is, in words.
    pub(crate) target: pipeline_core::Target,
}

/// Connects to what `[cloud]` names. The embedded cloud is started if it does not run.
pub(crate) async fn connect(table: &Value) -> Result<Connection, HostError> {
    let table: CloudTable = serde_json::from_value(table.clone())?;
    table.check()?;
    let aws = match table.target {
        Target::Local => {
            let region = table.region.as_deref().unwrap_or(LOCAL_REGION);
            let started = cloud::start(&cloud::directory(), &StartOptions::default()).await?;
            Aws::embedded(started.record.endpoint, region)
        }
        Target::Aws => {
            Aws::connect(Settings { endpoint_url: table.endpoint_url.clone(), ..table.settings() }).await
        }
    };
    // The embedded cloud is known to run and lets everybody in.
    let account = match (table.target, &table.account) {
        (Target::Local, None) => None,
        _ => Some(aws.check().await.map_err(|error| table.blame(error))?),
    };
    if let (Some(found), Some(wanted)) = (&account, table.account)
        && *found != wanted
    {
        return Err(HostError::Account { found: found.clone(), wanted });
    }
    let link = aws.console("Open the console", "codesuite/codedeploy/deployments");
    let (name, identity) = (describe(&aws, account.as_deref()), identity(&aws, account.as_deref()));
    let target = pipeline_core::Target { name, identity, link };
    Ok(Connection { aws, target })
}

fn describe(aws: &Aws, account: Option<&str>) -> String {
    let region = aws.region().unwrap_or("no region");
    let account = account.map(|account| format!(", account {account}")).unwrap_or_default();
    match aws.endpoint_url() {
        Some(endpoint) if aws.is_embedded() => format!("the embedded cloud ({region}, {endpoint})"),
        Some(endpoint) => format!("{endpoint} ({region}{account})"),
        None => format!("AWS ({region}{account})"),
    }
}

/// What stays the same as long as it is the same place: not where an endpoint listens.
fn identity(aws: &Aws, account: Option<&str>) -> String {
    let region = aws.region().unwrap_or("no region");
    match account {
        Some(account) if !aws.is_embedded() => format!("account {account}, {region}"),
        _ => format!("the embedded cloud, {region}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_of_the_cloud_table_knows_its_keys() {
        let schema = cloud_schema();
        let keys: Vec<_> = schema["properties"].as_object().expect("keys").keys().collect();
        assert_eq!(keys, ["target", "region", "profile", "account", "endpoint_url"]);
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn every_built_in_kind_describes_itself() {
        let registry = manifests();
        for kind in registry.stages() {
            assert!(kind.manifest.inputs["properties"].is_object(), "{}", kind.manifest.kind);
            assert!(!kind.manifest.summary.is_empty(), "{}", kind.manifest.kind);
        }
        assert_eq!(registry.stages().count(), 7);
    }
}
