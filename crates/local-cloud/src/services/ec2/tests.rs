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
