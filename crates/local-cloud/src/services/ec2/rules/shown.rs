//! Rules as DescribeSecurityGroupRules shows them.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{GroupPair, Peer, Rule, no_rule};
use crate::services::Call;
use crate::services::ec2::Ec2State;
use crate::services::ec2::filter::{Filter, Filtered, page, passes};
use crate::services::ec2::tags::TagItem;
use crate::wire::{ApiError, Output};
use crate::world::{Arn, Partition};

/// A rule as DescribeSecurityGroupRules shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    pub(super) security_group_rule_id: String,
    pub(super) security_group_rule_arn: String,
    pub(super) group_id: String,
    pub(super) group_owner_id: String,
    pub(super) is_egress: bool,
    pub(super) ip_protocol: String,
    pub(super) from_port: i64,
    pub(super) to_port: i64,
    pub(super) cidr_ipv4: Option<String>,
    pub(super) cidr_ipv6: Option<String>,
    pub(super) prefix_list_id: Option<String>,
    pub(super) referenced_group_info: Option<GroupPair>,
    pub(super) description: Option<String>,
    pub(super) tag_set: Vec<TagItem>,
}

pub(super) fn shown(ec2: &Ec2State, place: &Partition, group: &str, rule: &Rule) -> Shown {
    let resource = format!("security-group-rule/{}", rule.id);
    let arn = Arn { service: "ec2", region: &place.region, account: &place.account, resource: &resource };
    let mut shown = Shown {
        security_group_rule_id: rule.id.clone(),
        security_group_rule_arn: arn.to_string(),
        group_id: group.to_owned(),
        group_owner_id: place.account.clone(),
        is_egress: rule.egress,
        ip_protocol: rule.protocol.clone(),
        from_port: rule.from_port.unwrap_or(-1),
        to_port: rule.to_port.unwrap_or(-1),
        cidr_ipv4: None,
        cidr_ipv6: None,
        prefix_list_id: None,
        referenced_group_info: None,
        description: rule.description.clone(),
        tag_set: ec2.tag_set(&rule.id),
    };
    match &rule.peer {
        Peer::Cidr(IpNet::V4(net)) => shown.cidr_ipv4 = Some(net.to_string()),
        Peer::Cidr(IpNet::V6(net)) => shown.cidr_ipv6 = Some(net.to_string()),
        Peer::PrefixList(list) => shown.prefix_list_id = Some(list.clone()),
        Peer::Group(other) => {
            let user_id = place.account.clone();
            shown.referenced_group_info =
                Some(GroupPair { user_id, group_id: other.clone(), description: None });
        }
    }
    shown
}

impl Filtered for Shown {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        Some(vec![match filter {
            "group-id" => self.group_id.clone(),
            "security-group-rule-id" => self.security_group_rule_id.clone(),
            _ => return None,
        }])
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::services::ec2) struct DescribeInput {
    #[serde(default)]
    security_group_rule_id: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DescribeOutput {
    security_group_rule_set: Vec<Shown>,
    next_token: Option<String>,
}

pub(in crate::services::ec2) fn describe(
    call: &mut Call<'_>,
    input: &DescribeInput,
) -> Result<Output, ApiError> {
    let place = call.place.clone();
    let ec2 = &call.region().ec2;
    let exists = |id: &str| ec2.groups.values().any(|group| group.has_rule(id));
    if let Some(unknown) = input.security_group_rule_id.iter().find(|id| !exists(id)) {
        return Err(no_rule(unknown));
    }
    let mut found = Vec::new();
    for group in ec2.groups.values() {
        for rule in &group.rules {
            let shown = shown(ec2, &place, &group.group_id, rule);
            let named =
                input.security_group_rule_id.is_empty() || input.security_group_rule_id.contains(&rule.id);
            if named && passes(&input.filter, &shown, ec2.tags_of(&rule.id))? {
                found.push(shown);
            }
        }
    }
    let (security_group_rule_set, next_token) = page(found, input.max_results, input.next_token.as_deref())?;
    Output::of(&DescribeOutput { security_group_rule_set, next_token })
}
