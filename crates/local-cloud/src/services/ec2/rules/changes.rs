//! Changing rules in place: ModifySecurityGroupRules and the two operations on descriptions.

use serde::Deserialize;

use super::{
    Direction, PeerInput, RulesInput, asked, invalid_value, missing_parameter, no_group, no_rule, peer_of,
    ports, rule,
};
use crate::services::Call;
use crate::services::ec2::done;
use crate::wire::{ApiError, Output};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::services::ec2) struct ModifyInput {
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

/// Each rule is replaced as a whole and keeps its id and direction.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifySecurityGroupRules.html>
pub(in crate::services::ec2) fn modify(call: &mut Call<'_>, input: &ModifyInput) -> Result<Output, ApiError> {
    let ec2 = &mut call.region().ec2;
    let id = ec2.named_group(input.group_id.as_deref(), None)?;
    if input.security_group_rule.is_empty() {
        return Err(missing_parameter("SecurityGroupRule"));
    }
    let mut changed = ec2.groups.get(&id).ok_or_else(|| no_group(&id))?.rules.clone();
    for update in &input.security_group_rule {
        let rule_id = update.security_group_rule_id.as_deref().unwrap_or_default();
        let position = changed.iter().position(|rule| rule.id == rule_id).ok_or_else(|| no_rule(rule_id))?;
        let request =
            update.security_group_rule.as_ref().ok_or_else(|| missing_parameter("SecurityGroupRule"))?;
        let ports = ports(&request.ip_protocol, request.from_port, request.to_port)?;
        let direction = if changed[position].egress { Direction::Egress } else { Direction::Ingress };
        let peer = peer_of(ec2, &request.peer())?;
        let mut new = rule(&ports, direction, peer, request.description.clone());
        new.id = rule_id.to_owned();
        if changed.iter().any(|other| other.id != rule_id && other.same_as(&new)) {
            let message = format!("the specified rule \"{}\" already exists", new.describe_in_words());
            return Err(ApiError::sender("InvalidPermission.Duplicate", message));
        }
        changed[position] = new;
    }
    if let Some(group) = ec2.groups.get_mut(&id) {
        group.rules = changed;
    }
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::services::ec2) struct DescriptionsInput {
    #[serde(default)]
    security_group_rule_description: Vec<RuleDescription>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RuleDescription {
    security_group_rule_id: Option<String>,
    description: Option<String>,
}

/// UpdateSecurityGroupRuleDescriptionsIngress and …Egress: by the rules themselves or by their ids.
pub(in crate::services::ec2) fn update_descriptions(
    call: &mut Call<'_>,
    rules: &RulesInput,
    input: &DescriptionsInput,
    direction: Direction,
) -> Result<Output, ApiError> {
    let ec2 = &mut call.region().ec2;
    let id = ec2.named_group(rules.group_id.as_deref(), rules.group_name.as_deref())?;
    let asked = asked(ec2, rules, direction)?;
    if asked.is_empty() && input.security_group_rule_description.is_empty() {
        return Err(invalid_value("Either rules or descriptions of rules must be given."));
    }
    let group = ec2.groups.get_mut(&id).ok_or_else(|| no_group(&id))?;
    for new in asked {
        let known = group.rules.iter_mut().find(|rule| rule.same_as(&new));
        let message = "The specified rule does not exist in this security group.";
        let known = known.ok_or_else(|| ApiError::sender("InvalidPermission.NotFound", message))?;
        known.description = new.description;
    }
    for described in &input.security_group_rule_description {
        let rule_id = described.security_group_rule_id.as_deref().unwrap_or_default();
        let known = group.rules.iter_mut().find(|rule| rule.id == rule_id);
        known.ok_or_else(|| no_rule(rule_id))?.description = described.description.clone();
    }
    done()
}
