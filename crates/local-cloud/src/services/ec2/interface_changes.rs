//! Network interfaces that clients make, and changes to any.

use std::net::Ipv4Addr;

use serde::Deserialize;
use serde_json::json;

use super::error::{invalid_value, no_group, no_interface, required};
use super::interfaces::shown;
use super::tags::{TagSpecification, specified};
use super::{NewInterface, done};
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

/// Makes an interface that hangs on nothing yet.
pub(super) fn create(call: &mut Call<'_>, input: &CreateInput) -> Result<Output, ApiError> {
    let subnet = required(&input.subnet_id, "subnetId")?;
    let tags = specified(&input.tag_specification, "network-interface")?;
    let account = call.place.account.clone();
    let ec2 = &mut call.region().ec2;
    if let Some(wanted) = input.private_ip_address {
        ec2.check_free(subnet, wanted)?;
    }
    let made = ec2.add_interface(NewInterface {
        subnet_id: subnet,
        groups: &input.security_group_id,
        description: input.description.clone().unwrap_or_default(),
        requester: "",
        public_ip: false,
    })?;
    let id = made.network_interface_id;
    ec2.tag(&id, &tags);
    let interface = ec2.interfaces.get_mut(&id).ok_or_else(|| no_interface(&id))?;
    if let Some(wanted) = input.private_ip_address {
        interface.private_ip_address = wanted;
    }
    let interface = interface.clone();
    Output::of(&json!({ "networkInterface": shown(ec2, &account, &interface) }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteInput {
    network_interface_id: Option<String>,
}

pub(super) fn delete(call: &mut Call<'_>, input: &DeleteInput) -> Result<Output, ApiError> {
    let id = required(&input.network_interface_id, "networkInterfaceId")?;
    let ec2 = &mut call.region().ec2;
    let interface = ec2.interfaces.get(id).ok_or_else(|| no_interface(id))?;
    if interface.is_managed() {
        let message = format!("Network interface '{id}' is currently in use.");
        return Err(ApiError::sender("InvalidNetworkInterface.InUse", message));
    }
    ec2.remove_interface(id);
    for address in ec2.elastic_ips.values_mut() {
        address.association.take_if(|association| association.interface_id == id);
    }
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyInput {
    network_interface_id: Option<String>,
    description: Option<Text>,
    source_dest_check: Option<Flag>,
    #[serde(default)]
    security_group_id: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Text {
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Flag {
    value: bool,
}

pub(super) fn modify(call: &mut Call<'_>, input: &ModifyInput) -> Result<Output, ApiError> {
    let id = required(&input.network_interface_id, "networkInterfaceId")?;
    let ec2 = &mut call.region().ec2;
    if let Some(unknown) = input.security_group_id.iter().find(|id| !ec2.groups.contains_key(*id)) {
        return Err(no_group(unknown));
    }
    let interface = ec2.interfaces.get_mut(id).ok_or_else(|| no_interface(id))?;
    if let Some(description) = &input.description {
        if description.value.len() > 255 {
            return Err(invalid_value("The description is longer than 255 characters."));
        }
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
