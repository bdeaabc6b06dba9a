//! Network interfaces that a customer makes. Without instances they stay unattached.
//!
//! Source: docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateNetworkInterface.html

use std::net::Ipv4Addr;

use serde::Deserialize;
use serde_json::json;

use super::error::{invalid_value, missing_parameter, no_group, no_interface, required};
use super::tags::{TagSpecification, specified};
use super::{Ec2State, NetworkInterface, NewInterface, done};
use crate::services::Call;
use crate::wire::{ApiError, Output};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInput {
    subnet_id: Option<String>,
    description: Option<String>,
    private_ip_address: Option<Ipv4Addr>,
    #[serde(default)]
    security_group_id: Vec<String>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

pub(super) fn create(call: &mut Call<'_>, input: &CreateInput) -> Result<Output, ApiError> {
    let subnet_id = required(&input.subnet_id, "subnetId")?;
    let tags = specified(&input.tag_specification, "network-interface")?;
    let account = call.place.account.clone();
    let ec2 = &mut call.region().ec2;
    if let Some(address) = input.private_ip_address {
        check_free(ec2, subnet_id, address)?;
    }
    let made = ec2.add_interface(NewInterface {
        subnet_id,
        groups: &input.security_group_id,
        description: input.description.clone().unwrap_or_default(),
        requester: "",
        public_ip: false,
    })?;
    let id = made.network_interface_id;
    if let (Some(address), Some(interface)) = (input.private_ip_address, ec2.interfaces.get_mut(&id)) {
        interface.private_ip_address = address;
    }
    ec2.tag(&id, &tags);
    Output::of(&json!({ "networkInterface": ec2.shown_interface(&account, &id)? }))
}

fn check_free(ec2: &Ec2State, subnet_id: &str, address: Ipv4Addr) -> Result<(), ApiError> {
    let subnet = ec2.subnets.get(subnet_id).ok_or_else(|| super::error::no_subnet(subnet_id))?;
    if !subnet.cidr_block.contains(&address) {
        let message = "Address does not fall within the subnet's address range";
        return Err(invalid_value(message));
    }
    let taken =
        |other: &NetworkInterface| other.subnet_id == subnet_id && other.private_ip_address == address;
    if ec2.interfaces.values().any(taken) {
        let message = format!("The specified address is already in use: {address}");
        return Err(ApiError::sender("InvalidIPAddress.InUse", message));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InterfaceInput {
    network_interface_id: Option<String>,
    attribute: Option<String>,
}

pub(super) fn delete(call: &mut Call<'_>, input: &InterfaceInput) -> Result<Output, ApiError> {
    let id = required(&input.network_interface_id, "networkInterfaceId")?;
    let ec2 = &mut call.region().ec2;
    let interface = ec2.interfaces.get(id).ok_or_else(|| no_interface(id))?;
    if interface.is_managed() {
        let message = format!("Network interface '{id}' is currently in use.");
        return Err(ApiError::sender("InvalidNetworkInterface.InUse", message));
    }
    ec2.remove_interface(id);
    done()
}

#[derive(Deserialize)]
struct Text {
    #[serde(rename = "Value")]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyInput {
    network_interface_id: Option<String>,
    description: Option<Text>,
    source_dest_check: Option<super::vpcs::Flag>,
    #[serde(default)]
    security_group_id: Vec<String>,
}

pub(super) fn modify_attribute(call: &mut Call<'_>, input: &ModifyInput) -> Result<Output, ApiError> {
    let id = required(&input.network_interface_id, "networkInterfaceId")?;
    let ec2 = &mut call.region().ec2;
    if let Some(unknown) = input.security_group_id.iter().find(|group| !ec2.groups.contains_key(*group)) {
        return Err(no_group(unknown));
    }
    let interface = ec2.interfaces.get_mut(id).ok_or_else(|| no_interface(id))?;
    if interface.is_managed() {
        let message = "You do not have permission to access the specified resource.";
        return Err(ApiError::sender("AuthFailure", message));
    }
    if let Some(description) = &input.description {
        interface.description.clone_from(&description.value);
    }
    if let Some(check) = &input.source_dest_check {
        interface.source_dest_check = check.value;
    }
    if !input.security_group_id.is_empty() {
        interface.groups.clone_from(&input.security_group_id);
    }
    done()
}

pub(super) fn describe_attribute(call: &mut Call<'_>, input: &InterfaceInput) -> Result<Output, ApiError> {
    let id = required(&input.network_interface_id, "networkInterfaceId")?;
    let ec2 = &call.region().ec2;
    let interface = ec2.interfaces.get(id).ok_or_else(|| no_interface(id))?;
    let name = |id: &String| ec2.groups.get(id).map(|group| group.group_name.clone());
    let groups: Vec<_> =
        interface.groups.iter().map(|id| json!({ "groupId": id, "groupName": name(id) })).collect();
    let (field, value) = match input.attribute.as_deref() {
        Some("description") => ("description", json!({ "value": interface.description })),
        Some("groupSet") => ("groupSet", json!(groups)),
        Some("sourceDestCheck") => ("sourceDestCheck", json!({ "value": interface.source_dest_check })),
        Some("attachment") => return Output::of(&json!({ "networkInterfaceId": id })),
        Some(other) => {
            return Err(invalid_value(format!("Value ({other}) for parameter attribute is invalid.")));
        }
        None => return Err(missing_parameter("attribute")),
    };
    Output::of(&json!({ "networkInterfaceId": id, field: value }))
}
