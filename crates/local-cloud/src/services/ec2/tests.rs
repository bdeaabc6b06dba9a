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
fn a_dry_run_says_so_and_does_nothing() {
    let cloud = Cloud::new();
    let error = ask(&cloud, "CreateVpc", json!({ "CidrBlock": "10.9.0.0/16", "DryRun": "true" }));
    let error = error.expect_err("refused");
    assert_eq!((error.code.as_str(), error.status.as_u16()), ("DryRunOperation", 412));
    assert_eq!(
        ask(&cloud, "DescribeVpcs", json!({})).expect("list")["vpcSet"].as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn rules_change_in_place_and_keep_their_ids() {
    let cloud = Cloud::new();
    let web = group(&cloud, "web");
    let made = ask(
        &cloud,
        "AuthorizeSecurityGroupIngress",
        json!({ "GroupId": web, "IpProtocol": "tcp", "FromPort": "80", "ToPort": "80", "CidrIp": "10.0.0.0/8" }),
    );
    let id = made.expect("authorised")["securityGroupRuleSet"][0]["securityGroupRuleId"].clone();
    let new = json!({ "IpProtocol": "tcp", "FromPort": "443", "ToPort": "443", "CidrIpv4": "10.0.0.0/8" });
    let change = json!([{ "SecurityGroupRuleId": id, "SecurityGroupRule": new }]);
    ask(&cloud, "ModifySecurityGroupRules", json!({ "GroupId": web, "SecurityGroupRule": change }))
        .expect("modified");
    let told = json!([{ "SecurityGroupRuleId": id, "Description": "for TLS" }]);
    ask(
        &cloud,
        "UpdateSecurityGroupRuleDescriptionsIngress",
        json!({ "GroupId": web, "SecurityGroupRuleDescription": told }),
    )
    .expect("described");
    let shown = ask(&cloud, "DescribeSecurityGroupRules", json!({ "SecurityGroupRuleId": [id] }));
    let shown = &shown.expect("rules")["securityGroupRuleSet"][0];
    assert_eq!((&shown["fromPort"], &shown["description"]), (&json!(443), &json!("for TLS")));
    let gone = json!([{ "SecurityGroupRuleId": "sgr-0", "SecurityGroupRule": new }]);
    let error =
        refused(&cloud, "ModifySecurityGroupRules", json!({ "GroupId": web, "SecurityGroupRule": gone }));
    assert!(error.starts_with("InvalidSecurityGroupRuleId.NotFound"), "{error}");
}

#[test]
fn a_nat_gateway_has_an_address_and_a_route_leads_to_it() {
    let cloud = Cloud::new();
    let allocation = ask(&cloud, "AllocateAddress", json!({})).expect("allocated")["allocationId"].clone();
    let subnet = cloud.subnets()[0].clone();
    let made = ask(&cloud, "CreateNatGateway", json!({ "SubnetId": subnet, "AllocationId": allocation }));
    let nat = made.expect("made")["natGateway"].clone();
    assert_eq!(nat["state"], "available");
    let error = refused(&cloud, "ReleaseAddress", json!({ "AllocationId": allocation }));
    assert!(error.starts_with("InvalidIPAddress.InUse"), "{error}");

    let table = ask(&cloud, "CreateRouteTable", json!({ "VpcId": cloud.vpc() })).expect("made")["routeTable"]
        ["routeTableId"]
        .clone();
    let route = |target: Value| {
        let mut route = json!({ "RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0" });
        route.as_object_mut().expect("object").extend(target.as_object().expect("object").clone());
        route
    };
    let none = refused(&cloud, "CreateRoute", route(json!({ "NatGatewayId": "nat-0" })));
    insta::assert_snapshot!(none, @"NatGatewayNotFound: NatGateway nat-0 was not found");
    let missing = refused(&cloud, "ReplaceRoute", route(json!({ "NatGatewayId": nat["natGatewayId"] })));
    assert!(missing.starts_with("InvalidRoute.NotFound"), "{missing}");
    ask(&cloud, "CreateRoute", route(json!({ "NatGatewayId": nat["natGatewayId"] }))).expect("made");
    let filter = json!([{ "Name": "route.nat-gateway-id", "Value": [nat["natGatewayId"]] }]);
    let tables = ask(&cloud, "DescribeRouteTables", json!({ "Filter": filter })).expect("tables");
    assert_eq!(tables["routeTableSet"][0]["routeTableId"], table);

    ask(&cloud, "DeleteNatGateway", json!({ "NatGatewayId": nat["natGatewayId"] })).expect("deleted");
    let shown = ask(&cloud, "DescribeNatGateways", json!({})).expect("gateways");
    assert_eq!(shown["natGatewaySet"][0]["state"], "deleted");
    ask(&cloud, "ReleaseAddress", json!({ "AllocationId": allocation })).expect("released");
}

#[test]
fn customers_make_interfaces_and_leave_those_of_services_alone() {
    let cloud = Cloud::new();
    let subnet = cloud.subnets()[0].clone();
    let one = json!({ "SubnetId": subnet, "PrivateIpAddress": "172.31.0.77", "Description": "mine" });
    let made = ask(&cloud, "CreateNetworkInterface", one.clone()).expect("made")["networkInterface"].clone();
    assert_eq!((&made["privateIpAddress"], &made["status"]), (&json!("172.31.0.77"), &json!("available")));
    let taken = refused(&cloud, "CreateNetworkInterface", one);
    assert!(taken.starts_with("InvalidIPAddress.InUse"), "{taken}");
    let id = &made["networkInterfaceId"];
    let change = json!({ "NetworkInterfaceId": id, "Description": { "Value": "still mine" } });
    ask(&cloud, "ModifyNetworkInterfaceAttribute", change).expect("modified");
    let asked = json!({ "NetworkInterfaceId": id, "Attribute": "description" });
    let shown = ask(&cloud, "DescribeNetworkInterfaceAttribute", asked).expect("described");
    assert_eq!(shown["description"]["value"], "still mine");
    ask(&cloud, "DeleteNetworkInterface", json!({ "NetworkInterfaceId": id })).expect("deleted");

    cloud.load_balancer("web");
    let all = ask(&cloud, "DescribeNetworkInterfaces", json!({})).expect("list");
    let managed = &all["networkInterfaceSet"][0]["networkInterfaceId"];
    let error = refused(&cloud, "DeleteNetworkInterface", json!({ "NetworkInterfaceId": managed }));
    assert!(error.starts_with("InvalidNetworkInterface.InUse"), "{error}");
}

#[test]
fn associations_move_between_route_tables() {
    let cloud = Cloud::new();
    let tables = ask(&cloud, "DescribeRouteTables", json!({})).expect("tables");
    let main = tables["routeTableSet"][0]["associationSet"][0]["routeTableAssociationId"].clone();
    let new = ask(&cloud, "CreateRouteTable", json!({ "VpcId": cloud.vpc() })).expect("made");
    let table = new["routeTable"]["routeTableId"].clone();
    let moved =
        ask(&cloud, "ReplaceRouteTableAssociation", json!({ "AssociationId": main, "RouteTableId": table }))
            .expect("moved");
    assert_ne!(moved["newAssociationId"], main);
    let filter = json!([{ "Name": "association.main", "Value": ["true"] }]);
    let tables = ask(&cloud, "DescribeRouteTables", json!({ "Filter": filter })).expect("tables");
    assert_eq!(tables["routeTableSet"][0]["routeTableId"], table);
}

#[test]
fn every_vpc_has_an_acl_and_lists_of_what_is_not_there_are_empty() {
    let cloud = Cloud::new();
    let acls = ask(&cloud, "DescribeNetworkAcls", json!({})).expect("ACLs");
    let acl = &acls["networkAclSet"][0];
    assert_eq!(acl["associationSet"].as_array().map(Vec::len), Some(3));
    assert_eq!(acl["entrySet"].as_array().map(Vec::len), Some(4));
    let vpcs = ask(&cloud, "DescribeVpcs", json!({})).expect("VPCs");
    let options = ask(&cloud, "DescribeDhcpOptions", json!({})).expect("options");
    assert_eq!(options["dhcpOptionsSet"][0]["dhcpOptionsId"], vpcs["vpcSet"][0]["dhcpOptionsId"]);
    assert_eq!(ask(&cloud, "DescribeVpcEndpoints", json!({})).expect("list")["vpcEndpointSet"], json!([]));
    let gone = refused(&cloud, "DescribeInstances", json!({ "InstanceId": { "1": "i-0" } }));
    insta::assert_snapshot!(gone, @"InvalidInstanceID.NotFound: The instance ID 'i-0' does not exist");
    let unknown = refused(&cloud, "DescribeSpotFleetRequests", json!({}));
    assert!(
        unknown.starts_with("InvalidAction") && unknown.contains("DescribeSpotFleetRequests"),
        "{unknown}"
    );
}
