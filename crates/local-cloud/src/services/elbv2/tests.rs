use serde_json::{Value, json};

use super::testing::{Cloud, forward};
use super::{forward_weights, listeners_forwarding_to, set_forward_weights};
use crate::wire::Service;

#[test]
fn a_name_belongs_to_one_load_balancer() {
    let cloud = Cloud::new();
    let first = cloud.load_balancer("web");
    assert_eq!(cloud.load_balancer("web"), first, "the same call twice makes one");
    let other = json!({ "Name": "web", "Subnets": cloud.subnets(), "Scheme": "internal" });
    insta::assert_snapshot!(cloud.err("CreateLoadBalancer", other), @"DuplicateLoadBalancerName: A load balancer with the same name 'web' exists, but with different settings");
}

#[test]
fn names_are_checked() {
    let cloud = Cloud::new();
    let name = |name: &str| {
        let group = json!({ "Name": name, "Protocol": "HTTP", "Port": 80, "VpcId": cloud.vpc() });
        cloud.err("CreateTargetGroup", group)
    };
    insta::assert_snapshot!(name(&"a".repeat(33)), @"ValidationError: Target group name 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' cannot be longer than '32' characters");
    insta::assert_snapshot!(name("a_b"), @"ValidationError: Target group name 'a_b' can only contain characters that are alphanumeric characters or hyphens(-)");
    let balancer =
        |name: &str| cloud.err("CreateLoadBalancer", json!({ "Name": name, "Subnets": cloud.subnets() }));
    insta::assert_snapshot!(balancer("internal-web"), @"ValidationError: The load balancer name 'internal-web' cannot begin with 'internal-'");
}

#[test]
fn a_group_in_use_cannot_be_deleted() {
    let cloud = Cloud::new();
    let balancer = cloud.load_balancer("web");
    let group = cloud.target_group("blue");
    let listener = cloud.listener(&balancer, 80, &[(&group, 0)]);
    let error = cloud.err("DeleteTargetGroup", json!({ "TargetGroupArn": group }));
    assert!(error.starts_with("ResourceInUse: Target group 'arn:"), "{error}");
    cloud.ok("DeleteListener", json!({ "ListenerArn": listener }));
    cloud.ok("DeleteTargetGroup", json!({ "TargetGroupArn": group }));
    cloud.ok("DeleteTargetGroup", json!({ "TargetGroupArn": group }));
}

#[test]
fn a_group_belongs_to_one_load_balancer() {
    let cloud = Cloud::new();
    let (web, api) = (cloud.load_balancer("web"), cloud.load_balancer("api"));
    let group = cloud.target_group("blue");
    cloud.listener(&web, 80, &[(&group, 1)]);
    let second = json!({
        "LoadBalancerArn": api, "Protocol": "HTTP", "Port": 80, "DefaultActions": [forward(&[(&group, 1)])]
    });
    let error = cloud.err("CreateListener", second);
    assert!(error.starts_with("TargetGroupAssociationLimit: "), "{error}");
}

#[test]
fn actions_are_answered_in_full() {
    let cloud = Cloud::new();
    let balancer = cloud.load_balancer("web");
    let group = cloud.target_group("blue");
    let listen = |port: u16, action: Value| {
        let listener = json!({
            "LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": port, "DefaultActions": [action]
        });
        cloud.ok("CreateListener", listener)["Listeners"][0]["DefaultActions"][0].clone()
    };
    let action = listen(80, json!({ "Type": "forward", "TargetGroupArn": group }));
    let expected = json!({
        "Type": "forward", "TargetGroupArn": group,
        "ForwardConfig": {
            "TargetGroups": [{ "TargetGroupArn": group, "Weight": 1 }],
            "TargetGroupStickinessConfig": { "Enabled": false }
        }
    });
    assert_eq!(action, expected);
    let redirect = json!({ "Type": "redirect", "RedirectConfig": { "Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301" } });
    let config = listen(81, redirect)["RedirectConfig"].clone();
    assert_eq!(
        (&config["Host"], &config["Path"], &config["Query"]),
        (&json!("#{host}"), &json!("/#{path}"), &json!("#{query}"))
    );
}

#[test]
fn weights_are_set_as_a_caller_would() {
    let cloud = Cloud::new();
    let balancer = cloud.load_balancer("web");
    let (blue, green) = (cloud.target_group("blue"), cloud.target_group("green"));
    let listener = cloud.listener(&balancer, 80, &[(&blue, 1)]);
    cloud.world.write(|state| {
        let region = state.region_mut("123456789012", "eu-central-1");
        let weights = [(blue.clone(), 0), (green.clone(), 100)];
        set_forward_weights(region, &listener, &weights).expect("set");
        assert_eq!(forward_weights(region, &listener).expect("there"), weights);
        assert_eq!(listeners_forwarding_to(region, &blue), std::slice::from_ref(&listener));
        let missing = [("arn:nothing".to_owned(), 1)];
        assert_eq!(
            set_forward_weights(region, &listener, &missing).expect_err("refused").code,
            "TargetGroupNotFound"
        );
        assert_eq!(forward_weights(region, &listener).expect("there"), weights, "nothing changed");
    });
}

#[test]
fn rules_have_priorities_of_their_own() {
    let cloud = Cloud::new();
    let balancer = cloud.load_balancer("web");
    let group = cloud.target_group("blue");
    let listener = cloud.listener(&balancer, 80, &[(&group, 1)]);
    let rule = |priority: u32, path: &str| {
        json!({
            "ListenerArn": listener, "Priority": priority, "Actions": [forward(&[(&group, 1)])],
            "Conditions": [{ "Field": "path-pattern", "Values": [path] }]
        })
    };
    cloud.ok("CreateRule", rule(20, "/b"));
    let first = cloud.ok("CreateRule", rule(10, "/a"));
    insta::assert_snapshot!(cloud.err("CreateRule", rule(10, "/c")), @"PriorityInUse: Priority '10' is currently in use");
    let moved = json!({ "RulePriorities": [{ "RuleArn": first["Rules"][0]["RuleArn"], "Priority": 20 }] });
    insta::assert_snapshot!(cloud.err("SetRulePriorities", moved), @"PriorityInUse: Priority '20' is currently in use");
    let all = cloud.ok("DescribeRules", json!({ "ListenerArn": listener }));
    let priorities: Vec<_> =
        all["Rules"].as_array().expect("rules").iter().map(|rule| &rule["Priority"]).collect();
    assert_eq!(priorities, ["10", "20", "default"]);
}

#[test]
fn a_security_group_in_use_stays() {
    let cloud = Cloud::new();
    let made = cloud
        .ask(Service::Ec2, "CreateSecurityGroup", json!({ "GroupName": "lb", "GroupDescription": "lb" }))
        .expect("made");
    let group = &made["groupId"];
    let balancer = json!({ "Name": "web", "Subnets": cloud.subnets(), "SecurityGroups": [group] });
    let balancer = cloud.ok("CreateLoadBalancer", balancer)["LoadBalancers"][0]["LoadBalancerArn"].clone();
    let delete = || cloud.ask(Service::Ec2, "DeleteSecurityGroup", json!({ "GroupId": group }));
    assert_eq!(delete().expect_err("in use").code, "DependencyViolation");
    cloud.ok("DeleteLoadBalancer", json!({ "LoadBalancerArn": balancer }));
    delete().expect("deleted");
}

#[test]
fn targets_of_an_unused_group_are_unused_and_go_at_once() {
    let cloud = Cloud::new();
    let group = cloud.target_group("blue");
    cloud.register(&group, "172.31.0.9", None);
    assert_eq!(cloud.health(&group), ("unused".into(), "Target.NotInUse".into()));
    cloud.deregister(&group, "172.31.0.9");
    let health = cloud.ok("DescribeTargetHealth", json!({ "TargetGroupArn": group }));
    assert_eq!(health["TargetHealthDescriptions"], json!([]));
    let asked = json!({ "TargetGroupArn": group, "Targets": [{ "Id": "172.31.0.9" }] });
    let health = cloud.ok("DescribeTargetHealth", asked);
    assert_eq!(health["TargetHealthDescriptions"][0]["TargetHealth"]["Reason"], "Target.NotRegistered");
}
