use serde_json::{Value, json};

use crate::services::elbv2::testing::Cloud;
use crate::wire::{ApiError, Service};

fn ask(cloud: &Cloud, operation: &str, parameters: Value) -> Result<Value, ApiError> {
    cloud.ask(Service::Ec2, operation, parameters)
}

fn refused(cloud: &Cloud, operation: &str, parameters: Value) -> String {
    let error = ask(cloud, operation, parameters).expect_err("refused");
    format!("{}: {}", error.code, error.message)
}

fn group(cloud: &Cloud, name: &str) -> Value {
    let group = json!({ "GroupName": name, "GroupDescription": name });
    ask(cloud, "CreateSecurityGroup", group).expect("made")["groupId"].clone()
}

#[test]
fn a_region_begins_with_a_default_vpc_that_a_reset_does_not_move() {
    let cloud = Cloud::new();
    let before = (cloud.vpc(), cloud.subnets());
    assert_eq!(before.1.len(), 3);
    cloud.world.reset();
    assert_eq!((cloud.vpc(), cloud.subnets()), before);
    let subnets = ask(&cloud, "DescribeSubnets", json!({})).expect("subnets");
    let zones: Vec<_> =
        subnets["subnetSet"].as_array().expect("list").iter().map(|s| &s["availabilityZone"]).collect();
    assert_eq!(zones, ["eu-central-1a", "eu-central-1b", "eu-central-1c"]);
}

#[test]
fn filters_are_joined_and_unknown_ones_refused() {
    let cloud = Cloud::new();
    let vpcs = |filters: Value| ask(&cloud, "DescribeVpcs", json!({ "Filter": filters }));
    let is_default = json!({ "Name": "isDefault", "Value": ["true"] });
    let tagged = json!({ "Name": "tag:Name", "Value": ["main*"] });
    assert_eq!(vpcs(json!([is_default, tagged])).expect("list")["vpcSet"], json!([]));
    let tag = json!({ "ResourceId": [cloud.vpc()], "Tag": [{ "Key": "Name", "Value": "main-1" }] });
    ask(&cloud, "CreateTags", tag).expect("tagged");
    assert_eq!(vpcs(json!([is_default, tagged])).expect("list")["vpcSet"][0]["vpcId"], cloud.vpc());
    let error = vpcs(json!([{ "Name": "colour", "Value": ["red"] }])).expect_err("refused");
    assert_eq!(error.message, "The filter 'colour' is invalid");
}

/// How many resources `operation` shows to a filter with one value.
fn found(cloud: &Cloud, operation: &str, set: &str, filter: &str, value: &str) -> usize {
    let filter = json!({ "Filter": [{ "Name": filter, "Value": [value] }] });
    ask(cloud, operation, filter).expect("list")[set].as_array().map_or(0, Vec::len)
}

#[test]
fn whose_it_is_can_be_filtered_for() {
    let cloud = Cloud::new();
    for (operation, set) in [
        ("DescribeVpcs", "vpcSet"),
        ("DescribeSubnets", "subnetSet"),
        ("DescribeSecurityGroups", "securityGroupInfo"),
        ("DescribeRouteTables", "routeTableSet"),
        ("DescribeInternetGateways", "internetGatewaySet"),
    ] {
        assert!(found(&cloud, operation, set, "owner-id", "123456789012") > 0, "{operation}");
        assert_eq!(found(&cloud, operation, set, "owner-id", "210987654321"), 0, "{operation}");
    }
}

#[test]
fn filters_look_at_what_is_around_a_resource() {
    let cloud = Cloud::new();
    let subnets = |filter: &str, value: &str| found(&cloud, "DescribeSubnets", "subnetSet", filter, value);
    assert_eq!(subnets("available-ip-address-count", "4091"), 3);
    assert_eq!(subnets("subnet-arn", &format!("*:subnet/{}", cloud.subnets()[0])), 1);
    let interface = json!({ "SubnetId": cloud.subnets()[0] });
    ask(&cloud, "CreateNetworkInterface", interface).expect("made");
    assert_eq!(subnets("available-ip-address-count", "4091"), 2);
    let interfaces = |filter: &str, value: &str| {
        found(&cloud, "DescribeNetworkInterfaces", "networkInterfaceSet", filter, value)
    };
    assert_eq!(interfaces("source-dest-check", "true"), 1);
    assert_eq!(interfaces("owner-id", "123456789012"), 1);
    assert_eq!(interfaces("attachment.status", "attached"), 0);
}

#[test]
fn filters_for_what_the_cloud_has_not_are_known() {
    let cloud = Cloud::new();
    for (operation, set, filter) in [
        ("DescribeVpcs", "vpcSet", "ipv6-cidr-block-association.state"),
        ("DescribeSubnets", "subnetSet", "outpost-arn"),
        ("DescribeRouteTables", "routeTableSet", "route.instance-id"),
        ("DescribeNetworkInterfaces", "networkInterfaceSet", "association.allocation-id"),
        ("DescribeNetworkAcls", "networkAclSet", "entry.icmp.type"),
        ("DescribeAvailabilityZones", "availabilityZoneInfo", "group-long-name"),
    ] {
        assert_eq!(found(&cloud, operation, set, filter, "some"), 0, "{operation}");
    }
}

#[test]
fn a_rule_is_there_once() {
    let cloud = Cloud::new();
    let web = group(&cloud, "web");
    let rule = json!({
        "GroupId": web,
        "IpPermissions": [{ "IpProtocol": "6", "FromPort": 80, "ToPort": 80, "IpRanges": [{ "CidrIp": "10.0.0.9/8" }] }]
    });
    ask(&cloud, "AuthorizeSecurityGroupIngress", rule.clone()).expect("authorised");
    insta::assert_snapshot!(
        refused(&cloud, "AuthorizeSecurityGroupIngress", rule.clone()),
        @r#"InvalidPermission.Duplicate: the specified rule "peer: 10.0.0.0/8, TCP, from port: 80, to port: 80, ALLOW" already exists"#
    );
    ask(&cloud, "RevokeSecurityGroupIngress", rule.clone()).expect("revoked");
    insta::assert_snapshot!(
        refused(&cloud, "RevokeSecurityGroupIngress", rule),
        @"InvalidPermission.NotFound: The specified rule does not exist in this security group."
    );
}

#[test]
fn a_referenced_group_stays() {
    let cloud = Cloud::new();
    let (web, app) = (group(&cloud, "web"), group(&cloud, "app"));
    let rule = json!({
        "GroupId": app, "IpPermissions": [{ "IpProtocol": "-1", "Groups": [{ "GroupId": web }] }]
    });
    ask(&cloud, "AuthorizeSecurityGroupIngress", rule).expect("authorised");
    let error = refused(&cloud, "DeleteSecurityGroup", json!({ "GroupId": web }));
    assert!(error.starts_with("DependencyViolation: "), "{error}");
    ask(&cloud, "DeleteSecurityGroup", json!({ "GroupId": app })).expect("deleted");
    ask(&cloud, "DeleteSecurityGroup", json!({ "GroupId": web })).expect("deleted");
}

#[test]
fn a_vpc_goes_only_when_it_is_empty() {
    let cloud = Cloud::new();
    let vpc = ask(&cloud, "CreateVpc", json!({ "CidrBlock": "10.9.0.0/16" })).expect("made")["vpc"]["vpcId"]
        .clone();
    let block = |block: &str| json!({ "VpcId": vpc, "CidrBlock": block });
    let subnet =
        ask(&cloud, "CreateSubnet", block("10.9.1.0/24")).expect("made")["subnet"]["subnetId"].clone();
    insta::assert_snapshot!(
        refused(&cloud, "CreateSubnet", block("10.9.1.128/25")),
        @"InvalidSubnet.Conflict: The CIDR '10.9.1.128/25' conflicts with another subnet"
    );
    let error = refused(&cloud, "DeleteVpc", json!({ "VpcId": vpc }));
    assert!(error.starts_with("DependencyViolation: The vpc 'vpc-"), "{error}");
    ask(&cloud, "DeleteSubnet", json!({ "SubnetId": subnet })).expect("deleted");
    ask(&cloud, "DeleteVpc", json!({ "VpcId": vpc })).expect("deleted");
    let groups = ask(&cloud, "DescribeSecurityGroups", json!({})).expect("list");
    assert_eq!(
        groups["securityGroupInfo"].as_array().expect("list").len(),
        1,
        "the default group went with it"
    );
}

#[test]
fn missing_parameters_are_named() {
    let cloud = Cloud::new();
    insta::assert_snapshot!(
        refused(&cloud, "CreateVpc", json!({})),
        @"MissingParameter: The request must contain the parameter cidrBlock"
    );
}

mod addresses {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::services::ec2::NewInterface;

    proptest! {
        /// Whatever is taken and given back, nobody shares an address, and none is reserved.
        #[test]
        fn are_never_shared(steps in prop::collection::vec(any::<prop::sample::Index>(), 1..60), seed in any::<u64>()) {
            let cloud = Cloud::new();
            let vpc = ask(&cloud, "CreateVpc", json!({ "CidrBlock": "10.9.0.0/16" })).expect("made")["vpc"]["vpcId"].clone();
            let made = ask(&cloud, "CreateSubnet", json!({ "VpcId": vpc, "CidrBlock": "10.9.0.0/28" })).expect("made");
            let subnet = made["subnet"]["subnetId"].as_str().expect("an id").to_owned();
            cloud.world.write(|state| -> Result<(), TestCaseError> {
                let ec2 = &mut state.region_mut("123456789012", "eu-central-1").ec2;
                let mut held: Vec<(String, std::net::Ipv4Addr)> = Vec::new();
                for (turn, index) in steps.iter().enumerate() {
                    if (seed >> (turn % 64)) & 1 == 0 && !held.is_empty() {
                        let (id, _) = held.swap_remove(index.index(held.len()));
                        ec2.remove_interface(&id);
                        continue;
                    }
                    let new = NewInterface {
                        subnet_id: &subnet, groups: &[], description: String::new(), requester: "test", public_ip: false,
                    };
                    match ec2.add_interface(new) {
                        Ok(one) => held.push((one.network_interface_id, one.private_ip_address)),
                        Err(error) => {
                            prop_assert_eq!(error.code, "InsufficientFreeAddressesInSubnet");
                            // A /28 has sixteen addresses, five of them reserved.
                            prop_assert_eq!(held.len(), 11);
                        }
                    }
                }
                let addresses: HashSet<_> = held.iter().map(|(_, address)| *address).collect();
                prop_assert_eq!(addresses.len(), held.len());
                prop_assert!(addresses.iter().all(|address| (4..15).contains(&address.octets()[3])));
                Ok(())
            })?;
        }
    }
}

#[test]
fn a_dry_run_changes_nothing() {
    let cloud = Cloud::new();
    let vpc = json!({ "CidrBlock": "10.0.0.0/16", "DryRun": "true" });
    insta::assert_snapshot!(
        refused(&cloud, "CreateVpc", vpc),
        @"DryRunOperation: Request would have succeeded, but DryRun flag is set."
    );
    let vpcs = ask(&cloud, "DescribeVpcs", json!({})).expect("list");
    assert_eq!(vpcs["vpcSet"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_subnet_moves_between_access_lists() {
    let cloud = Cloud::new();
    let lists =
        |filter: Value| ask(&cloud, "DescribeNetworkAcls", json!({ "Filter": [filter] })).expect("list");
    let default = lists(json!({ "Name": "default", "Value": ["true"] }))["networkAclSet"][0].clone();
    assert_eq!(default["associationSet"].as_array().map(Vec::len), Some(3));
    let acl = ask(&cloud, "CreateNetworkAcl", json!({ "VpcId": cloud.vpc() })).expect("made");
    let id = acl["networkAcl"]["networkAclId"].clone();
    let association = &default["associationSet"][0]["networkAclAssociationId"];
    let swap = json!({ "AssociationId": association, "NetworkAclId": id });
    ask(&cloud, "ReplaceNetworkAclAssociation", swap).expect("moved");
    let subnet = &default["associationSet"][0]["subnetId"];
    let covering = lists(json!({ "Name": "association.subnet-id", "Value": [subnet] }));
    assert_eq!(covering["networkAclSet"][0]["networkAclId"], id);
    let error = refused(&cloud, "DeleteNetworkAcl", json!({ "NetworkAclId": id }));
    assert!(error.starts_with("DependencyViolation: "), "{error}");
    let entry = json!({
        "NetworkAclId": id, "RuleNumber": "10", "Protocol": "tcp", "RuleAction": "allow", "Egress": "false",
        "CidrBlock": "0.0.0.0/0", "PortRange": { "From": "80", "To": "80" }
    });
    ask(&cloud, "CreateNetworkAclEntry", entry.clone()).expect("made");
    insta::assert_snapshot!(
        refused(&cloud, "CreateNetworkAclEntry", entry),
        @"NetworkAclEntryAlreadyExists: The network acl entry identified by 10 already exists."
    );
}

#[test]
fn a_nat_gateway_holds_its_address() {
    let cloud = Cloud::new();
    let address = ask(&cloud, "AllocateAddress", json!({ "Domain": "vpc" })).expect("allocated");
    let id = address["allocationId"].clone();
    let gateway = json!({ "SubnetId": cloud.subnets()[0], "AllocationId": id });
    let gateway = ask(&cloud, "CreateNatGateway", gateway).expect("made")["natGateway"].clone();
    assert_eq!(gateway["natGatewayAddressSet"][0]["publicIp"], address["publicIp"]);
    let error = refused(&cloud, "ReleaseAddress", json!({ "AllocationId": id }));
    assert!(error.starts_with("InvalidIPAddress.InUse: "), "{error}");
    let which = json!({ "NatGatewayId": gateway["natGatewayId"] });
    ask(&cloud, "DeleteNatGateway", which).expect("deleted");
    ask(&cloud, "ReleaseAddress", json!({ "AllocationId": id })).expect("released");
    let gateways = ask(&cloud, "DescribeNatGateways", json!({})).expect("list");
    assert_eq!(gateways["natGatewaySet"][0]["state"], "deleted");
}

#[test]
fn an_address_moves_to_an_interface_and_back() {
    let cloud = Cloud::new();
    let subnet = cloud.subnets()[0].clone();
    let made = ask(&cloud, "CreateNetworkInterface", json!({ "SubnetId": subnet })).expect("made");
    let interface = made["networkInterface"].clone();
    assert_eq!((&interface["status"], &interface["attachment"]), (&json!("available"), &Value::Null));
    let address = ask(&cloud, "AllocateAddress", json!({})).expect("allocated");
    let bind = json!({
        "AllocationId": address["allocationId"], "NetworkInterfaceId": interface["networkInterfaceId"]
    });
    let bound = ask(&cloud, "AssociateAddress", bind).expect("bound");
    let which = json!({ "NetworkInterfaceId": [interface["networkInterfaceId"]] });
    let seen = ask(&cloud, "DescribeNetworkInterfaces", which).expect("list");
    assert_eq!(seen["networkInterfaceSet"][0]["association"]["publicIp"], address["publicIp"]);
    ask(&cloud, "DisassociateAddress", json!({ "AssociationId": bound["associationId"] })).expect("free");
    let error = refused(&cloud, "DisassociateAddress", json!({ "AssociationId": bound["associationId"] }));
    assert!(error.starts_with("InvalidAssociationID.NotFound: "), "{error}");
    let id = json!({ "NetworkInterfaceId": interface["networkInterfaceId"] });
    ask(&cloud, "DeleteNetworkInterface", id).expect("deleted");
}

#[test]
fn a_changed_rule_keeps_its_id() {
    let cloud = Cloud::new();
    let web = group(&cloud, "web");
    let rule = json!({
        "GroupId": web, "IpProtocol": "tcp", "FromPort": "80", "ToPort": "80", "CidrIp": "10.0.0.0/8"
    });
    let made = ask(&cloud, "AuthorizeSecurityGroupIngress", rule).expect("authorised");
    let id = made["securityGroupRuleSet"][0]["securityGroupRuleId"].clone();
    let update = json!({ "GroupId": web, "SecurityGroupRule": [{
        "SecurityGroupRuleId": id,
        "SecurityGroupRule": { "IpProtocol": "tcp", "FromPort": "443", "ToPort": "443", "CidrIpv4": "10.0.0.0/8" },
    }] });
    ask(&cloud, "ModifySecurityGroupRules", update).expect("changed");
    let say = json!({ "GroupId": web, "SecurityGroupRuleDescription": [
        { "SecurityGroupRuleId": id, "Description": "https" }
    ] });
    ask(&cloud, "UpdateSecurityGroupRuleDescriptionsIngress", say).expect("described");
    let rules =
        ask(&cloud, "DescribeSecurityGroupRules", json!({ "SecurityGroupRuleId": [id] })).expect("list");
    let rule = &rules["securityGroupRuleSet"][0];
    assert_eq!((&rule["fromPort"], &rule["description"]), (&json!(443), &json!("https")));
}

#[test]
fn an_endpoint_has_interfaces_in_its_subnets() {
    let cloud = Cloud::new();
    let subnets = cloud.subnets();
    let made = json!({
        "VpcId": cloud.vpc(), "ServiceName": "com.amazonaws.eu-central-1.ecr.api",
        "VpcEndpointType": "Interface", "SubnetId": [subnets[0], subnets[1]]
    });
    let endpoint = ask(&cloud, "CreateVpcEndpoint", made).expect("made")["vpcEndpoint"].clone();
    assert_eq!(endpoint["networkInterfaceIdSet"].as_array().map(Vec::len), Some(2));
    let id = json!({ "VpcEndpointId": [endpoint["vpcEndpointId"], "vpce-0"] });
    let deleted = ask(&cloud, "DeleteVpcEndpoints", id).expect("answered");
    assert_eq!(deleted["unsuccessful"][0]["resourceId"], "vpce-0");
    let left = ask(&cloud, "DescribeNetworkInterfaces", json!({})).expect("list");
    assert_eq!(left["networkInterfaceSet"], json!([]));
}

#[test]
fn the_main_table_of_a_vpc_is_replaced() {
    let cloud = Cloud::new();
    let tables = ask(&cloud, "DescribeRouteTables", json!({})).expect("list");
    let main = tables["routeTableSet"][0]["associationSet"][0]["routeTableAssociationId"].clone();
    let made = ask(&cloud, "CreateRouteTable", json!({ "VpcId": cloud.vpc() })).expect("made");
    let id = made["routeTable"]["routeTableId"].clone();
    let swap = json!({ "AssociationId": main, "RouteTableId": id });
    ask(&cloud, "ReplaceRouteTableAssociation", swap).expect("replaced");
    let filter = json!({ "Filter": [{ "Name": "association.main", "Value": ["true"] }] });
    let tables = ask(&cloud, "DescribeRouteTables", filter).expect("list");
    assert_eq!(tables["routeTableSet"][0]["routeTableId"], id);
    let route = json!({ "RouteTableId": id, "DestinationCidrBlock": "nowhere", "GatewayId": "local" });
    let error = refused(&cloud, "CreateRoute", route);
    assert!(error.starts_with("InvalidParameterValue: "), "{error}");
}
