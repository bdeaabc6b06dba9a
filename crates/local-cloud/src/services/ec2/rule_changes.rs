//! Changes to rules of security groups that keep their ids.
//!
//! Source: docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifySecurityGroupRules.html

use serde::Deserialize;

use super::done;
use super::error::{missing_parameter, no_group, required};
use super::rules::{Direction, PeerInput, PermissionInput, RulesInput, asked, no_rule, peer_of, ports};
use crate::services::Call;
use crate::wire::{ApiError, Output};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyInput {
    group_id: Option<String>,
    #[serde(default)]
    security_group_rule: Vec<Update>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Update {
    security_group_rule_id: Option<String>,
    security_group_rule: Option<Request>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    ip_protocol: Option<String>,
    from_port: Option<i64>,
    to_port: Option<i64>,
    cidr_ipv4: Option<String>,
    cidr_ipv6: Option<String>,
    prefix_list_id: Option<String>,
    referenced_group_id: Option<String>,
    description: Option<String>,
}

impl Request {
    fn peer(&self) -> PeerInput {
        PeerInput {
            cidr_ip: self.cidr_ipv4.clone(),
            cidr_ipv6: self.cidr_ipv6.clone(),
            group_id: self.referenced_group_id.clone(),
            group_name: None,
            prefix_list_id: self.prefix_list_id.clone(),
            description: None,
        }
    }
}

/// Every rule is checked before the first is changed.
pub(super) fn modify(call: &mut Call<'_>, input: &ModifyInput) -> Result<Output, ApiError> {
    let id = required(&input.group_id, "GroupId")?;
    let ec2 = &mut call.region().ec2;
    let mut rules = ec2.groups.get(id).ok_or_else(|| no_group(id))?.rules.clone();
    if input.security_group_rule.is_empty() {
        return Err(missing_parameter("SecurityGroupRule"));
    }
    for update in &input.security_group_rule {
        let rule_id = required(&update.security_group_rule_id, "SecurityGroupRuleId")?;
        let new = update.security_group_rule.as_ref();
        let new = new.ok_or_else(|| missing_parameter("SecurityGroupRule"))?;
        let rule = rules.iter_mut().find(|rule| rule.id == rule_id).ok_or_else(|| no_rule(rule_id))?;
        let ports = ports(&new.ip_protocol, new.from_port, new.to_port)?;
        rule.change_to(&ports, peer_of(ec2, &new.peer())?, new.description.clone());
    }
    if let Some(group) = ec2.groups.get_mut(id) {
        group.rules = rules;
    }
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescriptionsInput {
    group_id: Option<String>,
    group_name: Option<String>,
    #[serde(default)]
    ip_permissions: Vec<PermissionInput>,
    #[serde(default)]
    security_group_rule_description: Vec<Description>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    security_group_rule_id: Option<String>,
    description: Option<String>,
}

/// UpdateSecurityGroupRuleDescriptionsIngress and …Egress: by the rule itself or by its id.
pub(super) fn describe(
    call: &mut Call<'_>,
    input: DescriptionsInput,
    direction: Direction,
) -> Result<Output, ApiError> {
    let ec2 = &mut call.region().ec2;
    let id = ec2.named_group(input.group_id.as_deref(), input.group_name.as_deref())?;
    if input.ip_permissions.is_empty() && input.security_group_rule_description.is_empty() {
        return Err(missing_parameter("ipPermissions"));
    }
    let wanted = asked(ec2, &RulesInput::of(input.ip_permissions), direction)?;
    let group = ec2.groups.get_mut(&id).ok_or_else(|| no_group(&id))?;
    for new in wanted {
        let message = "The specified rule does not exist in this security group.";
        let known = group.rules.iter_mut().find(|known| known.same_as(&new));
        known.ok_or_else(|| ApiError::sender("InvalidPermission.NotFound", message))?.description =
            new.description;
    }
    for new in &input.security_group_rule_description {
        let rule_id = required(&new.security_group_rule_id, "SecurityGroupRuleId")?;
        let egress = direction == Direction::Egress;
        let known = group.rules.iter_mut().find(|rule| rule.id == rule_id && rule.egress == egress);
        known.ok_or_else(|| no_rule(rule_id))?.description.clone_from(&new.description);
    }
    done()
}
