//! Repositories and their settings.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::errors;
use super::input::{Name, Page};
use super::state::{Encryption, Mutability, Repository};
use crate::services::Call;
use crate::services::tag::{self, Tag, TagFault};
use crate::wire::{ApiError, EpochSeconds, Output};
use pipeline_data_plane::image::valid_repository;

/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html>
const NAME_PATTERN: &str = "must satisfy regular expression \
                            '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*'";
const MODES: [&str; 4] = ["IMMUTABLE", "MUTABLE", "MUTABLE_WITH_EXCLUSION", "IMMUTABLE_WITH_EXCLUSION"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    registry_id: Option<String>,
    repository_name: String,
    #[serde(default)]
    tags: Vec<Tag>,
    image_tag_mutability: Option<String>,
    #[serde(default)]
    image_tag_mutability_exclusion_filters: Vec<super::state::Exclusion>,
    image_scanning_configuration: Option<Scanning>,
    encryption_configuration: Option<Encryption>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Scanning {
    scan_on_push: bool,
}

/// A repository as answers show it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    repository_arn: String,
    registry_id: String,
    repository_name: String,
    repository_uri: String,
    created_at: EpochSeconds,
    #[serde(flatten)]
    mutability: Mutability,
    image_scanning_configuration: Scanning,
    encryption_configuration: Encryption,
}

impl Shown {
    fn of(call: &Call<'_>, account: &str, repository: &Repository) -> Self {
        let name = &repository.name;
        Self {
            repository_arn: arn(&call.place.region, account, name),
            registry_id: account.to_owned(),
            repository_name: name.clone(),
            // Docker treats loopback registries as trusted without TLS, so the endpoint itself is the host.
            repository_uri: format!("{}/{name}", call.settings.endpoint),
            created_at: EpochSeconds(repository.created_at),
            mutability: repository.mutability.clone(),
            image_scanning_configuration: Scanning { scan_on_push: repository.scan_on_push },
            encryption_configuration: repository.encryption.clone(),
        }
    }
}

pub(super) fn arn(region: &str, account: &str, name: &str) -> String {
    let resource = format!("repository/{name}");
    crate::world::Arn { service: "ecr", region, account, resource: &resource }.to_string()
}

pub(super) fn create(call: &mut Call<'_>, input: Create) -> Result<Output, ApiError> {
    let name = input.repository_name;
    if !(2..=256).contains(&name.len()) {
        return Err(errors::invalid("repositoryName", "must have length between 2 and 256"));
    }
    if !valid_repository(&name) {
        return Err(errors::invalid("repositoryName", NAME_PATTERN));
    }
    check_tags(&input.tags)?;
    let mutability = Mutability {
        mode: input.image_tag_mutability.unwrap_or_else(|| "MUTABLE".to_owned()),
        exclusions: input.image_tag_mutability_exclusion_filters,
    };
    check_mutability(&mutability)?;
    let account = input.registry_id.unwrap_or_else(|| call.place.account.clone());
    let region = call.place.region.clone();
    let mut repository = Repository {
        name: name.clone(),
        created_at: call.now,
        mutability,
        scan_on_push: input.image_scanning_configuration.unwrap_or_default().scan_on_push,
        encryption: encryption(input.encryption_configuration, &region, &account),
        lifecycle_policy: None,
        lifecycle_policy_at: None,
        lifecycle_preview: None,
        policy: None,
        tags: Default::default(),
        layers: BTreeSet::new(),
        images: BTreeMap::new(),
        image_tags: BTreeMap::new(),
    };
    tag::add(&mut repository.tags, &input.tags);
    let existing = &mut call.state.region_mut(&account, &region).ecr.repositories;
    if existing.contains_key(&name) {
        let text =
            format!("The repository with name '{name}' already exists in the registry with id '{account}'");
        return Err(ApiError::sender("RepositoryAlreadyExistsException", text));
    }
    existing.insert(name, repository.clone());
    Output::of(&json!({ "repository": Shown::of(call, &account, &repository) }))
}

/// With KMS and no key named, ECR takes the account's key that AWS manages.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_EncryptionConfiguration.html>
fn encryption(asked: Option<Encryption>, region: &str, account: &str) -> Encryption {
    let mut encryption = asked.unwrap_or_default();
    if encryption.encryption_type.starts_with("KMS") && encryption.kms_key.is_none() {
        let resource = format!("key/{}", uuid::Uuid::new_v4());
        let key = crate::world::Arn { service: "kms", region, account, resource: &resource };
        encryption.kms_key = Some(key.to_string());
    }
    encryption
}

fn check_mutability(mutability: &Mutability) -> Result<(), ApiError> {
    if MODES.contains(&mutability.mode.as_str()) {
        return Ok(());
    }
    let allowed = format!("Member must satisfy enum value set: [{}]", MODES.join(", "));
    Err(errors::invalid("imageTagMutability", &allowed))
}

fn check_tags(tags: &[Tag]) -> Result<(), ApiError> {
    let fault = match tag::check(tags) {
        Ok(()) if tags.len() > 50 => {
            let text = "Too many tags were requested: a repository has at most 50";
            return Err(ApiError::sender("TooManyTagsException", text));
        }
        Ok(()) => return Ok(()),
        Err(fault) => fault,
    };
    let text = match fault {
        TagFault::Duplicate(key) => format!("Duplicate tag key '{key}'"),
        TagFault::KeyLength(key) => format!("Tag key '{key}' must have length between 1 and 128"),
        TagFault::ValueLength(key) => format!("The value of tag '{key}' must have length of at most 256"),
        TagFault::Reserved(key) => format!("Tag key '{key}' begins with 'aws:', which is reserved"),
    };
    Err(ApiError::sender("InvalidTagParameterException", text))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Describe {
    registry_id: Option<String>,
    repository_names: Option<Vec<String>>,
    #[serde(flatten)]
    page: Page,
}

pub(super) fn describe(call: &mut Call<'_>, input: &Describe) -> Result<Output, ApiError> {
    let account = input.registry_id.clone().unwrap_or_else(|| call.place.account.clone());
    let region = call.place.region.clone();
    let ecr = &call.state.region_mut(&account, &region).ecr;
    let found: Vec<Repository> = match &input.repository_names {
        Some(names) => {
            let found: Result<_, _> =
                names.iter().map(|name| ecr.repository(&account, name).cloned()).collect();
            found?
        }
        None => ecr.repositories.values().cloned().collect(),
    };
    let (found, next_token) = input.page.of(found)?;
    let shown: Vec<Shown> = found.iter().map(|repository| Shown::of(call, &account, repository)).collect();
    Output::of(&json!({ "repositories": shown, "nextToken": next_token }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delete {
    #[serde(flatten)]
    name: Name,
    #[serde(default)]
    force: bool,
}

pub(super) fn delete(call: &mut Call<'_>, input: &Delete) -> Result<Output, ApiError> {
    let account = input.name.account(call);
    let repository = input.name.find(call)?.clone();
    if !repository.images.is_empty() && !input.force {
        let text = format!(
            "The repository with name '{}' in registry with id '{account}' cannot be deleted because it still \
             contains images",
            repository.name
        );
        return Err(ApiError::sender("RepositoryNotEmptyException", text));
    }
    let region = call.place.region.clone();
    call.state.region_mut(&account, &region).ecr.repositories.remove(&repository.name);
    Output::of(&json!({ "repository": Shown::of(call, &account, &repository) }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutMutability {
    #[serde(flatten)]
    name: Name,
    #[serde(flatten)]
    mutability: Mutability,
}

pub(super) fn put_mutability(call: &mut Call<'_>, input: PutMutability) -> Result<Output, ApiError> {
    check_mutability(&input.mutability)?;
    let account = input.name.account(call);
    let repository = input.name.find(call)?;
    repository.mutability = input.mutability;
    Output::of(&json!({
        "registryId": account,
        "repositoryName": repository.name,
        "imageTagMutability": repository.mutability.mode,
        "imageTagMutabilityExclusionFilters": repository.mutability.exclusions,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutScanning {
    #[serde(flatten)]
    name: Name,
    image_scanning_configuration: Scanning,
}

pub(super) fn put_scanning(call: &mut Call<'_>, input: PutScanning) -> Result<Output, ApiError> {
    let account = input.name.account(call);
    let repository = input.name.find(call)?;
    repository.scan_on_push = input.image_scanning_configuration.scan_on_push;
    Output::of(&json!({
        "registryId": account,
        "repositoryName": repository.name,
        "imageScanningConfiguration": input.image_scanning_configuration,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource {
    resource_arn: String,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

impl Resource {
    fn find<'a>(&self, call: &'a mut Call<'_>) -> Result<&'a mut Repository, ApiError> {
        let arn = crate::world::Arn::parse(&self.resource_arn).filter(|arn| arn.service == "ecr");
        let name = arn.as_ref().and_then(|arn| arn.resource.strip_prefix("repository/"));
        let (Some(arn), Some(name)) = (&arn, name) else {
            return Err(errors::invalid("resourceArn", "Invalid ARN"));
        };
        call.state.region_mut(arn.account, arn.region).ecr.repository_mut(arn.account, name)
    }
}

pub(super) fn list_tags(call: &mut Call<'_>, input: &Resource) -> Result<Output, ApiError> {
    Output::of(&json!({ "tags": tag::list(&input.find(call)?.tags) }))
}

pub(super) fn tag(call: &mut Call<'_>, input: &Resource) -> Result<Output, ApiError> {
    check_tags(&input.tags)?;
    tag::add(&mut input.find(call)?.tags, &input.tags);
    Ok(Output::empty())
}

pub(super) fn untag(call: &mut Call<'_>, input: &Resource) -> Result<Output, ApiError> {
    input.find(call)?.tags.retain(|key, _| !input.tag_keys.contains(key));
    Ok(Output::empty())
}
