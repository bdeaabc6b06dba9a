//! Providers of OpenID Connect: whose tokens may become roles. Kept and shown; tokens are not checked.
//!
//! Source: docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::{already_exists, no_such_entity};
use super::tags::Tag;
use crate::services::Call;
use crate::wire::{ApiError, Iso8601, Output};

/// A provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OidcProvider {
    /// Without its scheme.
    url: String,
    clients: Vec<String>,
    thumbprints: Vec<String>,
    created: Timestamp,
    tags: Vec<Tag>,
}

/// Thumbprints that a provider may have.
const MOST_THUMBPRINTS: usize = 5;
/// Clients that a provider may have.
const MOST_CLIENTS: usize = 100;

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct CreateInput {
    url: String,
    #[serde(rename = "ClientIDList")]
    clients: Vec<String>,
    thumbprint_list: Vec<String>,
    tags: Vec<Tag>,
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::sender("ValidationError", message)
}

/// A thumbprint is the SHA-1 of a certificate in hexadecimal digits.
fn check_thumbprints(thumbprints: &[String]) -> Result<(), ApiError> {
    if thumbprints.len() > MOST_THUMBPRINTS {
        return Err(ApiError::sender("InvalidInput", "Thumbprint list must contain fewer than 5 entries."));
    }
    match thumbprints.iter().find(|thumbprint| thumbprint.len() != 40) {
        Some(wrong) => Err(invalid(format!("The thumbprint {wrong} does not have 40 characters."))),
        None => Ok(()),
    }
}

pub(super) fn create(call: &mut Call<'_>, input: CreateInput) -> Result<Output, ApiError> {
    let url = input.url.trim_start_matches("https://").trim_start_matches("http://").to_owned();
    if url.is_empty() || url.len() == input.url.len() {
        return Err(invalid("Invalid Open ID Connect Provider URL"));
    }
    check_thumbprints(&input.thumbprint_list)?;
    if input.clients.len() > MOST_CLIENTS {
        let message = "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100";
        return Err(ApiError::sender("LimitExceeded", message).with_status(http::StatusCode::CONFLICT));
    }
    let arn = call.global_arn("iam", &format!("oidc-provider/{}", url.trim_end_matches('/')));
    let created = call.now;
    let providers = &mut call.account().iam.oidc_providers;
    if providers.contains_key(&arn) {
        return Err(already_exists(format!("Provider with url {} already exists.", input.url)));
    }
    let provider = OidcProvider {
        url,
        clients: input.clients,
        thumbprints: input.thumbprint_list,
        created,
        tags: input.tags,
    };
    let answer = json!({ "OpenIDConnectProviderArn": arn, "Tags": provider.tags });
    providers.insert(arn, provider);
    Output::of(&answer)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ProviderInput {
    #[serde(rename = "OpenIDConnectProviderArn")]
    arn: String,
    #[serde(rename = "ClientID")]
    client: String,
    thumbprint_list: Vec<String>,
    tags: Vec<Tag>,
    tag_keys: Vec<String>,
}

impl ProviderInput {
    fn find<'a>(&self, call: &'a mut Call<'_>) -> Result<&'a mut OidcProvider, ApiError> {
        let found = call.account().iam.oidc_providers.get_mut(&self.arn);
        found.ok_or_else(|| no_such_entity(format!("OpenIDConnect Provider not found for arn {}", self.arn)))
    }
}

pub(super) fn get(call: &mut Call<'_>, input: &ProviderInput) -> Result<Output, ApiError> {
    let provider = input.find(call)?;
    Output::of(&json!({
        "Url": provider.url, "ClientIDList": provider.clients, "ThumbprintList": provider.thumbprints,
        "CreateDate": Iso8601(provider.created), "Tags": provider.tags,
    }))
}

pub(super) fn list(call: &mut Call<'_>) -> Result<Output, ApiError> {
    let arns = call.account().iam.oidc_providers.keys();
    let shown: Vec<Value> = arns.map(|arn| json!({ "Arn": arn })).collect();
    Output::of(&json!({ "OpenIDConnectProviderList": shown }))
}

/// Deleting one that is not there is no error, as on AWS.
pub(super) fn delete(call: &mut Call<'_>, input: &ProviderInput) -> Result<Output, ApiError> {
    call.account().iam.oidc_providers.shift_remove(&input.arn);
    Ok(Output::empty())
}

pub(super) fn update_thumbprint(call: &mut Call<'_>, input: &ProviderInput) -> Result<Output, ApiError> {
    check_thumbprints(&input.thumbprint_list)?;
    input.find(call)?.thumbprints.clone_from(&input.thumbprint_list);
    Ok(Output::empty())
}

/// Adding one that is there, or removing one that is not, changes nothing.
pub(super) fn add_client(call: &mut Call<'_>, input: &ProviderInput) -> Result<Output, ApiError> {
    let clients = &mut input.find(call)?.clients;
    if !clients.contains(&input.client) {
        clients.push(input.client.clone());
    }
    Ok(Output::empty())
}

pub(super) fn remove_client(call: &mut Call<'_>, input: &ProviderInput) -> Result<Output, ApiError> {
    input.find(call)?.clients.retain(|client| *client != input.client);
    Ok(Output::empty())
}

pub(super) fn tag(call: &mut Call<'_>, input: &ProviderInput) -> Result<Output, ApiError> {
    let tags = &mut input.find(call)?.tags;
    tags.retain(|known| !input.tags.iter().any(|tag| tag.key == known.key));
    tags.extend(input.tags.iter().cloned());
    Ok(Output::empty())
}

pub(super) fn untag(call: &mut Call<'_>, input: &ProviderInput) -> Result<Output, ApiError> {
    input.find(call)?.tags.retain(|tag| !input.tag_keys.contains(&tag.key));
    Ok(Output::empty())
}

pub(super) fn list_tags(call: &mut Call<'_>, input: &ProviderInput) -> Result<Output, ApiError> {
    Output::of(&json!({ "Tags": input.find(call)?.tags, "IsTruncated": false }))
}
