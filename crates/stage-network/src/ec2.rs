//! The shapes of EC2 that this stage reads and sends. Names are those of the API reference.

use pipeline_aws::direct::Items;
use serde::Deserialize;

/// Names and values of a request.
pub(crate) type Parameters = Vec<(String, String)>;

/// Filters as a request has them; each with one value.
pub(crate) fn filters(filters: &[(&str, &str)]) -> Parameters {
    let numbered = filters.iter().enumerate().flat_map(|(index, (name, value))| {
        let prefix = format!("Filter.{}", index + 1);
        [(format!("{prefix}.Name"), (*name).to_owned()), (format!("{prefix}.Value.1"), (*value).to_owned())]
    });
    numbered.collect()
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeVpcs {
    #[serde(default)]
    pub(crate) vpc_set: Items<Vpc>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Vpc {
    pub(crate) vpc_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeSubnets {
    #[serde(default)]
    pub(crate) subnet_set: Items<Subnet>,
    pub(crate) next_token: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subnet {
    pub(crate) subnet_id: String,
    pub(crate) availability_zone: String,
    #[serde(default)]
    pub(crate) default_for_az: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeSecurityGroups {
    #[serde(default)]
    pub(crate) security_group_info: Items<Description>,
}

/// A security group.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Description {
    pub(crate) group_id: String,
    pub(crate) vpc_id: Option<String>,
    pub(crate) security_group_arn: Option<String>,
    #[serde(default)]
    pub(crate) ip_permissions: Items<Permission>,
    #[serde(default)]
    pub(crate) tag_set: Items<Tag>,
}

/// What is let in: a protocol, its ports, and sources of several kinds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Permission {
    pub(crate) ip_protocol: String,
    pub(crate) from_port: Option<i32>,
    pub(crate) to_port: Option<i32>,
    #[serde(default)]
    pub(crate) ip_ranges: Items<IpRange>,
    #[serde(default)]
    pub(crate) ipv6_ranges: Items<Ipv6Range>,
    #[serde(default)]
    pub(crate) prefix_list_ids: Items<PrefixList>,
    #[serde(default)]
    pub(crate) groups: Items<Group>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IpRange {
    pub(crate) cidr_ip: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ipv6Range {
    pub(crate) cidr_ipv6: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PrefixList {
    pub(crate) prefix_list_id: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Group {
    pub(crate) group_id: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Tag {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateSecurityGroup {
    pub(crate) group_id: String,
}
