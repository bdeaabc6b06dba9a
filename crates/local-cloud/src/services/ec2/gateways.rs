//! Internet gateways.

use serde::{Deserialize, Serialize};

use super::error::{dependency, no_gateway, no_vpc, required};
use super::filter::{Filter, Filtered, Wanted, page};
use super::tags::{TagSpecification, Tagged, specified};
use super::{Ec2State, done, ids};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// An internet gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InternetGateway {
    pub(super) internet_gateway_id: String,
    pub(super) attachment_set: Vec<Attachment>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attachment {
    pub(super) vpc_id: String,
    pub(super) state: String,
}

impl InternetGateway {
    pub(super) fn is_attached_to(&self, vpc: &str) -> bool {
        self.attachment_set.iter().any(|attachment| attachment.vpc_id == vpc)
    }
}

impl Filtered for InternetGateway {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        let attachments = self.attachment_set.iter();
        Some(match filter {
            "internet-gateway-id" => vec![self.internet_gateway_id.clone()],
            "attachment.vpc-id" => attachments.map(|attachment| attachment.vpc_id.clone()).collect(),
            "attachment.state" => attachments.map(|attachment| attachment.state.clone()).collect(),
            _ => return None,
        })
    }
}

fn tagged(ec2: &Ec2State, account: &str, gateway: &InternetGateway) -> Tagged<InternetGateway> {
    let tag_set = ec2.tag_set(&gateway.internet_gateway_id);
    Tagged { resource: gateway.clone(), owner_id: account.to_owned(), tag_set }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInput {
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateOutput {
    internet_gateway: Tagged<InternetGateway>,
}

pub(super) fn create(call: &mut Call<'_>, input: &CreateInput) -> Result<Output, ApiError> {
    let tags = specified(&input.tag_specification, "internet-gateway")?;
    let account = call.place.account.clone();
    let ec2 = &mut call.region().ec2;
    let gateway = InternetGateway { internet_gateway_id: ids::fresh("igw"), attachment_set: vec![] };
    ec2.tag(&gateway.internet_gateway_id, &tags);
    ec2.gateways.insert(gateway.internet_gateway_id.clone(), gateway.clone());
    Output::of(&CreateOutput { internet_gateway: tagged(ec2, &account, &gateway) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GatewayInput {
    internet_gateway_id: Option<String>,
    vpc_id: Option<String>,
}

pub(super) fn delete(call: &mut Call<'_>, input: &GatewayInput) -> Result<Output, ApiError> {
    let id = required(&input.internet_gateway_id, "internetGatewayId")?;
    let ec2 = &mut call.region().ec2;
    let gateway = ec2.gateways.get(id).ok_or_else(|| no_gateway(id))?;
    if !gateway.attachment_set.is_empty() {
        let message = format!("The internetGateway '{id}' has dependencies and cannot be deleted.");
        return Err(dependency(message));
    }
    ec2.gateways.shift_remove(id);
    ec2.tags.remove(id);
    done()
}

pub(super) fn attach(call: &mut Call<'_>, input: &GatewayInput) -> Result<Output, ApiError> {
    let id = required(&input.internet_gateway_id, "internetGatewayId")?;
    let vpc = required(&input.vpc_id, "vpcId")?;
    let ec2 = &mut call.region().ec2;
    if !ec2.vpcs.contains_key(vpc) {
        return Err(no_vpc(vpc));
    }
    let vpc_has_one = ec2.gateways.values().any(|gateway| gateway.is_attached_to(vpc));
    let gateway = ec2.gateways.get_mut(id).ok_or_else(|| no_gateway(id))?;
    if !gateway.attachment_set.is_empty() {
        let message =
            format!("resource {id} is already attached to network {}", gateway.attachment_set[0].vpc_id);
        return Err(ApiError::sender("Resource.AlreadyAssociated", message));
    }
    if vpc_has_one {
        let message = format!("Network {vpc} already has an internet gateway attached");
        return Err(ApiError::sender("InvalidParameterValue", message));
    }
    gateway.attachment_set.push(Attachment { vpc_id: vpc.to_owned(), state: "available".to_owned() });
    done()
}

pub(super) fn detach(call: &mut Call<'_>, input: &GatewayInput) -> Result<Output, ApiError> {
    let id = required(&input.internet_gateway_id, "internetGatewayId")?;
    let vpc = required(&input.vpc_id, "vpcId")?;
    let gateway = call.region().ec2.gateways.get_mut(id).ok_or_else(|| no_gateway(id))?;
    if !gateway.is_attached_to(vpc) {
        let message = format!("resource {id} is not attached to network {vpc}");
        return Err(ApiError::sender("Gateway.NotAttached", message));
    }
    gateway.attachment_set.retain(|attachment| attachment.vpc_id != vpc);
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    #[serde(default)]
    internet_gateway_id: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeOutput {
    internet_gateway_set: Vec<Tagged<InternetGateway>>,
    next_token: Option<String>,
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let account = call.place.account.clone();
    let ec2 = &call.region().ec2;
    let wanted = Wanted { ids: &input.internet_gateway_id, filters: &input.filter, unknown: no_gateway };
    let found = wanted
        .owned(ec2, &account, &ec2.gateways)?
        .into_iter()
        .map(|gateway| tagged(ec2, &account, gateway))
        .collect();
    let (internet_gateway_set, next_token) = page(found, input.max_results, input.next_token.as_deref())?;
    Output::of(&DescribeOutput { internet_gateway_set, next_token })
}
