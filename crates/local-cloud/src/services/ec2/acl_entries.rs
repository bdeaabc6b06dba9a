//! Entries of network access lists.
//!
//! Source: docs.aws.amazon.com/AWSEC2/latest/APIReference/API_NetworkAclEntry.html

use serde::{Deserialize, Serialize};

use super::done;
use super::error::{invalid_value, missing_parameter, required};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// The number of the entry that refuses what no other matched; it cannot be changed.
const LAST: u32 = 32_767;

/// An entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) rule_number: u32,
    protocol: String,
    rule_action: String,
    pub(super) egress: bool,
    cidr_block: Option<String>,
    ipv6_cidr_block: Option<String>,
    icmp_type_code: Option<Icmp>,
    port_range: Option<Ports>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Icmp {
    #[serde(alias = "Code")]
    code: Option<i32>,
    #[serde(alias = "Type")]
    r#type: Option<i32>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ports {
    #[serde(alias = "From")]
    from: Option<u16>,
    #[serde(alias = "To")]
    to: Option<u16>,
}

impl Entry {
    fn everything(rule_number: u32, action: &str, egress: bool) -> Self {
        Self {
            rule_number,
            protocol: "-1".to_owned(),
            rule_action: action.to_owned(),
            egress,
            cidr_block: Some("0.0.0.0/0".to_owned()),
            ipv6_cidr_block: None,
            icmp_type_code: None,
            port_range: None,
        }
    }

    /// Lets everything pass.
    pub(super) fn open(egress: bool) -> Self {
        Self::everything(100, "allow", egress)
    }

    /// Refuses what no other entry matched.
    pub(super) fn last(egress: bool) -> Self {
        Self::everything(LAST, "deny", egress)
    }

    /// What a filter on `entry.…` looks at; nothing if there is no such filter.
    pub(super) fn detail(&self, name: &str) -> Option<String> {
        let port = |port: fn(&Ports) -> Option<u16>| {
            self.port_range.as_ref().and_then(port).map(|port| port.to_string()).unwrap_or_default()
        };
        let icmp = |part: fn(&Icmp) -> Option<i32>| {
            self.icmp_type_code.as_ref().and_then(part).map(|part| part.to_string()).unwrap_or_default()
        };
        Some(match name {
            "cidr" => self.cidr_block.clone().unwrap_or_default(),
            "ipv6-cidr" => self.ipv6_cidr_block.clone().unwrap_or_default(),
            "egress" => self.egress.to_string(),
            "protocol" => self.protocol.clone(),
            "rule-action" => self.rule_action.clone(),
            "rule-number" => self.rule_number.to_string(),
            "port-range.from" => port(|ports| ports.from),
            "port-range.to" => port(|ports| ports.to),
            "icmp.code" => icmp(|icmp| icmp.code),
            "icmp.type" => icmp(|icmp| icmp.r#type),
            _ => return None,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EntryInput {
    network_acl_id: Option<String>,
    rule_number: Option<u32>,
    #[serde(default)]
    egress: bool,
    protocol: Option<String>,
    rule_action: Option<String>,
    cidr_block: Option<String>,
    ipv6_cidr_block: Option<String>,
    port_range: Option<Ports>,
    icmp: Option<Icmp>,
}

impl EntryInput {
    fn number(&self) -> Result<u32, ApiError> {
        let number = self.rule_number.ok_or_else(|| missing_parameter("ruleNumber"))?;
        if (1..LAST).contains(&number) {
            return Ok(number);
        }
        Err(invalid_value(format!(
            "Value ({number}) for parameter ruleNumber is invalid. Must be between 1 and 32766."
        )))
    }

    fn entry(&self) -> Result<Entry, ApiError> {
        let action = required(&self.rule_action, "ruleAction")?;
        if action != "allow" && action != "deny" {
            return Err(invalid_value(format!("Value ({action}) for parameter ruleAction is invalid.")));
        }
        if self.cidr_block.is_none() && self.ipv6_cidr_block.is_none() {
            return Err(missing_parameter("cidrBlock"));
        }
        let protocol = match required(&self.protocol, "protocol")? {
            "tcp" => "6",
            "udp" => "17",
            "icmp" => "1",
            "all" => "-1",
            other => other,
        };
        Ok(Entry {
            rule_number: self.number()?,
            protocol: protocol.to_owned(),
            rule_action: action.to_owned(),
            egress: self.egress,
            cidr_block: self.cidr_block.clone(),
            ipv6_cidr_block: self.ipv6_cidr_block.clone(),
            icmp_type_code: self.icmp.clone(),
            port_range: self.port_range.clone(),
        })
    }

    fn is(&self, entry: &Entry) -> bool {
        Some(entry.rule_number) == self.rule_number && entry.egress == self.egress
    }

    fn unknown(&self, id: &str) -> ApiError {
        let direction = if self.egress { "egress" } else { "ingress" };
        let number = self.rule_number.unwrap_or_default();
        let message =
            format!("The {direction} entry with number {number} in network ACL {id} does not exist");
        ApiError::sender("InvalidNetworkAclEntry.NotFound", message)
    }
}

pub(super) fn create(call: &mut Call<'_>, input: &EntryInput) -> Result<Output, ApiError> {
    let id = required(&input.network_acl_id, "networkAclId")?;
    let entry = input.entry()?;
    let entries = &mut call.region().ec2.acl_mut(id)?.entries;
    if entries.iter().any(|known| input.is(known)) {
        let message = format!("The network acl entry identified by {} already exists.", entry.rule_number);
        return Err(ApiError::sender("NetworkAclEntryAlreadyExists", message));
    }
    entries.push(entry);
    done()
}

pub(super) fn replace(call: &mut Call<'_>, input: &EntryInput) -> Result<Output, ApiError> {
    let id = required(&input.network_acl_id, "networkAclId")?;
    let entry = input.entry()?;
    let entries = &mut call.region().ec2.acl_mut(id)?.entries;
    let known = entries.iter_mut().find(|known| input.is(known)).ok_or_else(|| input.unknown(id))?;
    *known = entry;
    done()
}

pub(super) fn delete(call: &mut Call<'_>, input: &EntryInput) -> Result<Output, ApiError> {
    let id = required(&input.network_acl_id, "networkAclId")?;
    input.number()?;
    let entries = &mut call.region().ec2.acl_mut(id)?.entries;
    let index = entries.iter().position(|known| input.is(known)).ok_or_else(|| input.unknown(id))?;
    entries.remove(index);
    done()
}
