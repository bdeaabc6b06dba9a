//! Settings of the registry itself: its policy, scanning, replication. Kept and given back; of these,
//! scanning says how each repository is scanned, and nothing is replicated.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::errors;
use super::policies::check_policy;
use super::repositories::arn;
use super::state::{self, Repository};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// Settings of a registry that were changed.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Registry {
    policy: Option<String>,
    replication: Option<Replication>,
    scanning: Scanning,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Replication {
    #[serde(default)]
    rules: Vec<ReplicationRule>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplicationRule {
    destinations: Vec<Destination>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    repository_filters: Vec<Filter>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Destination {
    region: String,
    registry_id: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    filter: String,
    filter_type: String,
}

/// Which repositories are scanned, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Scanning {
    scan_type: String,
    rules: Vec<ScanningRule>,
}

impl Default for Scanning {
    fn default() -> Self {
        Self { scan_type: "BASIC".to_owned(), rules: Vec::new() }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScanningRule {
    scan_frequency: String,
    repository_filters: Vec<Filter>,
}

pub(super) fn describe(call: &mut Call<'_>) -> Result<Output, ApiError> {
    let account = call.place.account.clone();
    let replication = call.region().ecr.registry.replication.clone();
    let replication = replication.unwrap_or(Replication { rules: Vec::new() });
    Output::of(&json!({ "registryId": account, "replicationConfiguration": replication }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutPolicy {
    policy_text: String,
}

pub(super) fn put_policy(call: &mut Call<'_>, input: PutPolicy) -> Result<Output, ApiError> {
    if !check_policy(&input.policy_text) {
        return Err(errors::invalid("PolicyText", "Invalid registry policy provided"));
    }
    call.region().ecr.registry.policy = Some(input.policy_text.clone());
    Output::of(&json!({ "registryId": call.place.account, "policyText": input.policy_text }))
}

pub(super) fn get_policy(call: &mut Call<'_>) -> Result<Output, ApiError> {
    let account = call.place.account.clone();
    let text = call.region().ecr.registry.policy.as_ref().ok_or_else(|| no_policy(&account))?;
    Output::of(&json!({ "registryId": account, "policyText": text }))
}

pub(super) fn delete_policy(call: &mut Call<'_>) -> Result<Output, ApiError> {
    let account = call.place.account.clone();
    let text = call.region().ecr.registry.policy.take().ok_or_else(|| no_policy(&account))?;
    Output::of(&json!({ "registryId": account, "policyText": text }))
}

fn no_policy(account: &str) -> ApiError {
    let text = format!("Registry policy does not exist in the registry with id '{account}'");
    ApiError::sender("RegistryPolicyNotFoundException", text)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutReplication {
    replication_configuration: Replication,
}

/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutReplicationConfiguration.html>
pub(super) fn put_replication(call: &mut Call<'_>, input: &PutReplication) -> Result<Output, ApiError> {
    let own = Destination { region: call.place.region.clone(), registry_id: call.place.account.clone() };
    let replication = &input.replication_configuration;
    if replication.rules.iter().any(|rule| rule.destinations.contains(&own)) {
        let text = "Replication destination cannot be the same as the source registry";
        return Err(errors::invalid("replicationConfiguration", text));
    }
    call.region().ecr.registry.replication = Some(replication.clone());
    Output::of(&json!({ "replicationConfiguration": replication }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutScanning {
    scan_type: Option<String>,
    rules: Option<Vec<ScanningRule>>,
}

pub(super) fn put_scanning(call: &mut Call<'_>, input: PutScanning) -> Result<Output, ApiError> {
    let scanning = &mut call.region().ecr.registry.scanning;
    if let Some(scan_type) = input.scan_type {
        if !["BASIC", "ENHANCED"].contains(&scan_type.as_str()) {
            let allowed = "Member must satisfy enum value set: [BASIC, ENHANCED]";
            return Err(errors::invalid("scanType", allowed));
        }
        scanning.scan_type = scan_type;
    }
    if let Some(rules) = input.rules {
        scanning.rules = rules;
    }
    Output::of(&json!({ "registryScanningConfiguration": scanning }))
}

pub(super) fn get_scanning(call: &mut Call<'_>) -> Result<Output, ApiError> {
    let account = call.place.account.clone();
    let scanning = &call.region().ecr.registry.scanning;
    Output::of(&json!({ "registryId": account, "scanningConfiguration": scanning }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchGetScanning {
    repository_names: Vec<String>,
}

/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchGetRepositoryScanningConfiguration.html>
pub(super) fn batch_get_scanning(call: &mut Call<'_>, input: &BatchGetScanning) -> Result<Output, ApiError> {
    let place = call.place.clone();
    let ecr = &call.region().ecr;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in &input.repository_names {
        match ecr.repositories.get(name) {
            Some(repository) => {
                let arn = arn(&place.region, &place.account, name);
                found.push(ecr.registry.scanning.of(&arn, repository));
            }
            None => failures.push(json!({
                "repositoryName": name, "failureCode": "REPOSITORY_NOT_FOUND",
                "failureReason": "REPOSITORY_NOT_FOUND",
            })),
        }
    }
    Output::of(&json!({ "scanningConfigurations": found, "failures": failures }))
}

impl Scanning {
    /// How one repository is scanned: the first rule that takes it counts, else its own setting.
    fn of(&self, arn: &str, repository: &Repository) -> Value {
        let takes = |filter: &&Filter| state::matches(&filter.filter, &repository.name);
        let rule = self.rules.iter().find(|rule| rule.repository_filters.iter().any(|one| takes(&one)));
        let filters: Vec<&Filter> =
            rule.map(|rule| rule.repository_filters.iter().filter(takes).collect()).unwrap_or_default();
        let own = if repository.scan_on_push { "SCAN_ON_PUSH" } else { "MANUAL" };
        json!({
            "repositoryArn": arn, "repositoryName": repository.name,
            "scanOnPush": repository.scan_on_push, "appliedScanFilters": filters,
            "scanFrequency": rule.map_or(own, |rule| rule.scan_frequency.as_str()),
        })
    }
}
