//! VPC endpoints, as records: nothing is reached through them.
//!
//! Source: docs.aws.amazon.com/AWSEC2/latest/APIReference/API_VpcEndpoint.html

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::{invalid_value, no_group, no_route_table, no_subnet, no_vpc, required};
use super::filter::{Filter, Filtered, Wanted, page};
use super::tags::{TagSpecification, specified};
use super::{Ec2State, NewInterface, done, ids};
use crate::services::Call;
use crate::wire::{ApiError, Iso8601, Output};

/// A VPC endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct VpcEndpoint {
    id: String,
    pub(super) vpc_id: String,
    service_name: String,
    kind: String,
    policy: String,
    private_dns: bool,
    created: Timestamp,
    route_tables: BTreeSet<String>,
    groups: BTreeSet<String>,
    /// Ids of interfaces by subnet.
    interfaces: Vec<(String, String)>,
}

impl Filtered for VpcEndpoint {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        Some(vec![match filter {
            "vpc-endpoint-id" => self.id.clone(),
            "vpc-id" => self.vpc_id.clone(),
            "service-name" => self.service_name.clone(),
            "vpc-endpoint-type" => self.kind.clone(),
            "vpc-endpoint-state" => "available".to_owned(),
            "ip-address-type" => "ipv4".to_owned(),
            // Only an endpoint of a service in another region has it.
            "service-region" => return Some(vec![]),
            _ => return None,
        }])
    }
}

fn shown(ec2: &Ec2State, account: &str, endpoint: &VpcEndpoint) -> Value {
    let name = |id: &str| ec2.groups.get(id).map(|group| group.group_name.clone());
    let groups: Vec<Value> =
        endpoint.groups.iter().map(|id| json!({ "groupId": id, "groupName": name(id) })).collect();
    let dns = format!("{}.{}", endpoint.id, endpoint.service_name);
    let has_dns = endpoint.kind == "Interface";
    json!({
        "vpcEndpointId": endpoint.id, "vpcEndpointType": endpoint.kind, "vpcId": endpoint.vpc_id,
        "serviceName": endpoint.service_name, "state": "available", "policyDocument": endpoint.policy,
        "routeTableIdSet": endpoint.route_tables,
        "subnetIdSet": endpoint.interfaces.iter().map(|(subnet, _)| subnet).collect::<Vec<_>>(),
        "networkInterfaceIdSet": endpoint.interfaces.iter().map(|(_, id)| id).collect::<Vec<_>>(),
        "groupSet": groups, "privateDnsEnabled": endpoint.private_dns, "requesterManaged": false,
        "ipAddressType": "ipv4", "dnsOptions": { "dnsRecordIpType": "ipv4" },
        "dnsEntrySet": if has_dns { vec![json!({ "dnsName": dns })] } else { vec![] },
        "creationTimestamp": Iso8601(endpoint.created), "ownerId": account,
        "tagSet": ec2.tag_set(&endpoint.id),
    })
}

/// What an endpoint without a policy of its own allows.
const OPEN: &str = r#"{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInput {
    vpc_id: Option<String>,
    service_name: Option<String>,
    vpc_endpoint_type: Option<String>,
    policy_document: Option<String>,
    private_dns_enabled: Option<bool>,
    #[serde(default)]
    route_table_id: Vec<String>,
    #[serde(default)]
    subnet_id: Vec<String>,
    #[serde(default)]
    security_group_id: Vec<String>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

pub(super) fn create(call: &mut Call<'_>, input: &CreateInput) -> Result<Output, ApiError> {
    let vpc = required(&input.vpc_id, "vpcId")?;
    let service = required(&input.service_name, "serviceName")?;
    let tags = specified(&input.tag_specification, "vpc-endpoint")?;
    let kind = input.vpc_endpoint_type.as_deref().unwrap_or("Gateway");
    if !["Gateway", "Interface", "GatewayLoadBalancer"].contains(&kind) {
        return Err(invalid_value(format!("Value ({kind}) for parameter vpcEndpointType is invalid.")));
    }
    let (account, created) = (call.place.account.clone(), call.now);
    let ec2 = &mut call.region().ec2;
    if !ec2.vpcs.contains_key(vpc) {
        return Err(no_vpc(vpc));
    }
    let mut endpoint = VpcEndpoint {
        id: ids::fresh("vpce"),
        vpc_id: vpc.to_owned(),
        service_name: service.to_owned(),
        kind: kind.to_owned(),
        policy: input.policy_document.clone().unwrap_or_else(|| OPEN.to_owned()),
        private_dns: input.private_dns_enabled.unwrap_or(kind == "Interface"),
        created,
        route_tables: BTreeSet::new(),
        groups: BTreeSet::new(),
        interfaces: vec![],
    };
    let change = Change {
        add_route_table_id: input.route_table_id.clone(),
        add_subnet_id: input.subnet_id.clone(),
        add_security_group_id: input.security_group_id.clone(),
        ..Change::default()
    };
    change.apply(ec2, &mut endpoint)?;
    if kind == "Interface" && endpoint.groups.is_empty() {
        endpoint.groups.extend(ec2.default_group(vpc).map(|group| group.group_id.clone()));
    }
    ec2.tag(&endpoint.id, &tags);
    let answer = shown(ec2, &account, &endpoint);
    ec2.endpoints.insert(endpoint.id.clone(), endpoint);
    Output::of(&json!({ "vpcEndpoint": answer }))
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Change {
    vpc_endpoint_id: Option<String>,
    policy_document: Option<String>,
    reset_policy: bool,
    private_dns_enabled: Option<bool>,
    add_route_table_id: Vec<String>,
    remove_route_table_id: Vec<String>,
    add_subnet_id: Vec<String>,
    remove_subnet_id: Vec<String>,
    add_security_group_id: Vec<String>,
    remove_security_group_id: Vec<String>,
}

impl Change {
    fn check(&self, ec2: &Ec2State) -> Result<(), ApiError> {
        if let Some(id) = self.add_route_table_id.iter().find(|id| !ec2.route_tables.contains_key(*id)) {
            return Err(no_route_table(id));
        }
        if let Some(id) = self.add_subnet_id.iter().find(|id| !ec2.subnets.contains_key(*id)) {
            return Err(no_subnet(id));
        }
        match self.add_security_group_id.iter().find(|id| !ec2.groups.contains_key(*id)) {
            Some(id) => Err(no_group(id)),
            None => Ok(()),
        }
    }

    fn apply(&self, ec2: &mut Ec2State, endpoint: &mut VpcEndpoint) -> Result<(), ApiError> {
        self.check(ec2)?;
        endpoint.route_tables.extend(self.add_route_table_id.iter().cloned());
        endpoint.route_tables.retain(|id| !self.remove_route_table_id.contains(id));
        endpoint.groups.extend(self.add_security_group_id.iter().cloned());
        endpoint.groups.retain(|id| !self.remove_security_group_id.contains(id));
        for subnet in &self.add_subnet_id {
            let groups: Vec<String> = endpoint.groups.iter().cloned().collect();
            let interface = ec2.add_interface(NewInterface {
                subnet_id: subnet,
                groups: &groups,
                description: format!("VPC Endpoint Interface {}", endpoint.id),
                requester: "amazon-vpc",
                public_ip: false,
            })?;
            endpoint.interfaces.push((subnet.clone(), interface.network_interface_id));
        }
        endpoint.interfaces.retain(|(subnet, id)| {
            let going = self.remove_subnet_id.contains(subnet);
            if going {
                ec2.remove_interface(id);
            }
            !going
        });
        endpoint.private_dns = self.private_dns_enabled.unwrap_or(endpoint.private_dns);
        if self.reset_policy {
            endpoint.policy = OPEN.to_owned();
        }
        if let Some(policy) = &self.policy_document {
            endpoint.policy.clone_from(policy);
        }
        Ok(())
    }
}

fn no_endpoint(id: &str) -> ApiError {
    let message = format!("The Vpc Endpoint Id '{id}' does not exist");
    ApiError::sender("InvalidVpcEndpointId.NotFound", message)
}

pub(super) fn modify(call: &mut Call<'_>, input: &Change) -> Result<Output, ApiError> {
    let id = required(&input.vpc_endpoint_id, "vpcEndpointId")?;
    let ec2 = &mut call.region().ec2;
    let mut endpoint = ec2.endpoints.get(id).cloned().ok_or_else(|| no_endpoint(id))?;
    input.apply(ec2, &mut endpoint)?;
    ec2.endpoints.insert(id.to_owned(), endpoint);
    done()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeInput {
    #[serde(default)]
    vpc_endpoint_id: Vec<String>,
    #[serde(default)]
    filter: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

/// Deletes those that exist and tells which do not.
pub(super) fn delete(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let ec2 = &mut call.region().ec2;
    let mut unsuccessful = Vec::new();
    for id in &input.vpc_endpoint_id {
        let Some(endpoint) = ec2.endpoints.shift_remove(id) else {
            let error = no_endpoint(id);
            let error = json!({ "code": error.code, "message": error.message });
            unsuccessful.push(json!({ "resourceId": id, "error": error }));
            continue;
        };
        ec2.tags.remove(id);
        endpoint.interfaces.iter().for_each(|(_, interface)| ec2.remove_interface(interface));
    }
    Output::of(&json!({ "unsuccessful": unsuccessful }))
}

pub(super) fn describe(call: &mut Call<'_>, input: &DescribeInput) -> Result<Output, ApiError> {
    let account = call.place.account.clone();
    let ec2 = &call.region().ec2;
    let wanted = Wanted { ids: &input.vpc_endpoint_id, filters: &input.filter, unknown: no_endpoint };
    let found =
        wanted.of(ec2, &ec2.endpoints)?.into_iter().map(|endpoint| shown(ec2, &account, endpoint)).collect();
    let (endpoints, next) = page(found, input.max_results, input.next_token.as_deref())?;
    Output::of(&json!({ "vpcEndpointSet": endpoints, "nextToken": next }))
}
