//! Regions, availability zones and what an account may do.

use serde::{Deserialize, Serialize};

use super::error::invalid_value;
use super::filter::{Filter, Filtered, passes};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// Regions that are enabled by default
/// (docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html).
const REGIONS: [&str; 17] = [
    "ap-south-1",
    "eu-north-1",
    "eu-west-3",
    "eu-west-2",
    "eu-west-1",
    "ap-northeast-3",
    "ap-northeast-2",
    "ap-northeast-1",
    "ca-central-1",
    "sa-east-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "eu-central-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// Names of the availability zones of a region: three, and six in the largest.
pub(crate) fn zones(region: &str) -> Vec<String> {
    let letters = if region == "us-east-1" { "abcdef" } else { "abc" };
    letters.chars().map(|letter| format!("{region}{letter}")).collect()
}

/// The id of a zone, which is the same for all accounts: `euc1-az2` for `eu-central-1b`.
pub(super) fn zone_id(zone: &str) -> String {
    let letter = zone.chars().last().unwrap_or('a');
    let region = &zone[..zone.len() - letter.len_utf8().min(zone.len())];
    let mut short = String::new();
    for part in region.split('-') {
        match part {
            "northeast" => short.push_str("ne"),
            "northwest" => short.push_str("nw"),
            "southeast" => short.push_str("se"),
            "southwest" => short.push_str("sw"),
            "north" | "south" | "east" | "west" | "central" => short.push_str(&part[..1]),
            "gov" => short.push('g'),
            other => short.push_str(other),
        }
    }
    let number = u32::from(letter).saturating_sub(u32::from('a')) + 1;
    format!("{short}-az{number}")
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ZonesInput {
    #[serde(default)]
    zone_name: Vec<String>,
    #[serde(default)]
    zone_id: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Zone {
    zone_name: String,
    zone_id: String,
    zone_state: &'static str,
    region_name: String,
    zone_type: &'static str,
    opt_in_status: &'static str,
    group_name: String,
    network_border_group: String,
    message_set: [String; 0],
}

impl Filtered for Zone {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        Some(vec![match filter {
            "zone-name" => self.zone_name.clone(),
            "zone-id" => self.zone_id.clone(),
            "state" => self.zone_state.to_owned(),
            "region-name" => self.region_name.clone(),
            "zone-type" => self.zone_type.to_owned(),
            "opt-in-status" => self.opt_in_status.to_owned(),
            "group-name" | "network-border-group" => self.group_name.clone(),
            "message" | "group-long-name" | "parent-zone-id" | "parent-zone-name" => return Some(vec![]),
            _ => return None,
        }])
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ZonesOutput {
    availability_zone_info: Vec<Zone>,
}

pub(super) fn describe_zones(call: &mut Call<'_>, input: &ZonesInput) -> Result<Output, ApiError> {
    let region = call.place.region.clone();
    let names = zones(&region);
    if let Some(unknown) = input.zone_name.iter().find(|name| !names.contains(name)) {
        return Err(invalid_value(format!("Invalid availability zone: [{unknown}]")));
    }
    let mut found = Vec::new();
    for name in names {
        let zone = Zone {
            zone_id: zone_id(&name),
            zone_name: name,
            zone_state: "available",
            region_name: region.clone(),
            zone_type: "availability-zone",
            opt_in_status: "opt-in-not-required",
            group_name: format!("{region}-zg-1"),
            network_border_group: region.clone(),
            message_set: [],
        };
        let named = input.zone_name.is_empty() || input.zone_name.contains(&zone.zone_name);
        let with_id = input.zone_id.is_empty() || input.zone_id.contains(&zone.zone_id);
        if named && with_id && passes(&input.filter, &zone, None)? {
            found.push(zone);
        }
    }
    Output::of(&ZonesOutput { availability_zone_info: found })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RegionsInput {
    #[serde(default)]
    region_name: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RegionItem {
    region_name: String,
    region_endpoint: String,
    opt_in_status: &'static str,
}

impl Filtered for RegionItem {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        Some(vec![match filter {
            "region-name" => self.region_name.clone(),
            "endpoint" => self.region_endpoint.clone(),
            "opt-in-status" => self.opt_in_status.to_owned(),
            _ => return None,
        }])
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RegionsOutput {
    region_info: Vec<RegionItem>,
}

pub(super) fn describe_regions(input: &RegionsInput) -> Result<Output, ApiError> {
    if let Some(unknown) = input.region_name.iter().find(|name| !REGIONS.contains(&name.as_str())) {
        return Err(invalid_value(format!("Invalid region provided: {unknown}")));
    }
    let mut found = Vec::new();
    for name in REGIONS {
        let region = RegionItem {
            region_name: name.to_owned(),
            region_endpoint: format!("ec2.{name}.amazonaws.com"),
            opt_in_status: "opt-in-not-required",
        };
        let named = input.region_name.is_empty() || input.region_name.contains(&region.region_name);
        if named && passes(&input.filter, &region, None)? {
            found.push(region);
        }
    }
    Output::of(&RegionsOutput { region_info: found })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AttributesInput {
    #[serde(default)]
    attribute_name: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Attribute {
    attribute_name: &'static str,
    attribute_value_set: Vec<AttributeValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttributeValue {
    attribute_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttributesOutput {
    account_attribute_set: Vec<Attribute>,
}

pub(super) fn describe_account_attributes(
    call: &mut Call<'_>,
    input: &AttributesInput,
) -> Result<Output, ApiError> {
    let default_vpc = call.region().ec2.default_vpc().map_or("none".to_owned(), |vpc| vpc.vpc_id.clone());
    let all = [
        ("supported-platforms", "VPC".to_owned()),
        ("default-vpc", default_vpc),
        ("max-instances", "20".to_owned()),
        ("vpc-max-security-groups-per-interface", "5".to_owned()),
        ("max-elastic-ips", "5".to_owned()),
        ("vpc-max-elastic-ips", "5".to_owned()),
    ];
    let wanted = |name: &str| {
        input.attribute_name.is_empty() || input.attribute_name.iter().any(|wanted| wanted == name)
    };
    let account_attribute_set = all
        .into_iter()
        .filter(|(name, _)| wanted(name))
        .map(|(attribute_name, attribute_value)| Attribute {
            attribute_name,
            attribute_value_set: vec![AttributeValue { attribute_value }],
        })
        .collect();
    Output::of(&AttributesOutput { account_attribute_set })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_ids_are_those_of_aws() {
        assert_eq!(zone_id("us-east-1a"), "use1-az1");
        assert_eq!(zone_id("eu-central-1b"), "euc1-az2");
        assert_eq!(zone_id("ap-southeast-2c"), "apse2-az3");
        assert_eq!(zone_id("us-gov-west-1a"), "usgw1-az1");
    }
}
