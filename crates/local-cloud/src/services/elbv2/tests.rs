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
fn the_order_of_subnets_and_groups_makes_no_other_load_balancer() {
    let cloud = Cloud::new();
    let make = |subnets: Vec<String>| {
        cloud.ok("CreateLoadBalancer", json!({ "Name": "web", "Subnets": subnets }))["LoadBalancers"][0]
            .clone()
    };
    let first = make(cloud.subnets());
    let again = make(cloud.subnets().into_iter().rev().collect());
    assert_eq!(first["LoadBalancerArn"], again["LoadBalancerArn"]);
}

#[test]
fn security_groups_are_those_of_the_vpc() {
    let cloud = Cloud::new();
    let ec2 = |operation: &str, asked: Value| cloud.ask(Service::Ec2, operation, asked).expect("made");
    let vpc = ec2("CreateVpc", json!({ "CidrBlock": "10.0.0.0/16" }))["vpc"]["vpcId"].clone();
    let group = json!({ "GroupName": "far", "GroupDescription": "far", "VpcId": vpc });
    let group = ec2("CreateSecurityGroup", group)["groupId"].clone();
    let far = json!({ "Name": "web", "Subnets": cloud.subnets(), "SecurityGroups": [group] });
    let refused = "InvalidConfigurationRequest: One or more security groups are invalid";
    assert_eq!(cloud.err("CreateLoadBalancer", far), refused);
    let set = json!({ "LoadBalancerArn": cloud.load_balancer("web"), "SecurityGroups": [group] });
    assert_eq!(cloud.err("SetSecurityGroups", set), refused);
}

#[test]
fn arns_are_of_what_is_asked_for() {
    let cloud = Cloud::new();
    let balancer = cloud.load_balancer("web");
    for operation in ["DeleteLoadBalancer", "DescribeLoadBalancerAttributes"] {
        let error = cloud.err(operation, json!({ "LoadBalancerArn": "foo" }));
        assert_eq!(error, "ValidationError: 'foo' is not a valid load balancer ARN", "{operation}");
    }
    let other = |kind: &str| format!("ValidationError: '{balancer}' is not a valid {kind} ARN");
    for operation in ["DeleteTargetGroup", "DescribeTargetHealth", "DeregisterTargets"] {
        let error = cloud.err(operation, json!({ "TargetGroupArn": balancer }));
        assert_eq!(error, other("target group"), "{operation}");
    }
    for operation in ["DeleteListener", "DescribeRules", "DescribeListenerCertificates", "CreateRule"] {
        assert_eq!(
            cloud.err(operation, json!({ "ListenerArn": balancer })),
            other("listener"),
            "{operation}"
        );
    }
    assert_eq!(cloud.err("DeleteRule", json!({ "RuleArn": balancer })), other("listener rule"));
    assert_eq!(cloud.err("DescribeListeners", json!({ "ListenerArns": [balancer] })), other("listener"));
    let forward = json!([{ "Type": "forward", "TargetGroupArn": balancer }]);
    let listener =
        json!({ "LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 80, "DefaultActions": forward });
    assert_eq!(cloud.err("CreateListener", listener), other("target group"));
}

#[test]
fn groups_that_speak_http_are_checked_over_it() {
    let cloud = Cloud::new();
    let group = |protocol: &str, check: &str| {
        json!({
            "Name": "blue", "Protocol": protocol, "Port": 80, "VpcId": cloud.vpc(), "HealthCheckProtocol": check
        })
    };
    insta::assert_snapshot!(cloud.err("CreateTargetGroup", group("HTTP", "TCP")), @"ValidationError: Health check protocol 'TCP' must be one of 'HTTP, HTTPS'");
    insta::assert_snapshot!(cloud.err("CreateTargetGroup", group("TCP", "UDP")), @"ValidationError: Health check protocol 'UDP' must be one of 'HTTP, HTTPS, TCP'");
    cloud.ok("CreateTargetGroup", group("TCP", "TCP"));
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
fn rules_have_the_conditions_that_the_load_balancer_knows() {
    let cloud = Cloud::new();
    let balancer = cloud.load_balancer("web");
    let group = cloud.target_group("blue");
    let listener = cloud.listener(&balancer, 80, &[(&group, 1)]);
    let rule = |conditions: Value| {
        json!({
            "ListenerArn": listener, "Priority": 1, "Actions": [forward(&[(&group, 1)])], "Conditions": conditions
        })
    };
    let path = json!({ "Field": "path-pattern", "Values": ["/a"] });
    insta::assert_snapshot!(cloud.err("CreateRule", rule(json!([path, path]))), @"ValidationError: A rule can only have one 'path-pattern' condition");
    let host = json!([{ "Field": "http-header", "HttpHeaderConfig": { "HttpHeaderName": "host", "Values": ["a"] } }]);
    insta::assert_snapshot!(cloud.err("CreateRule", rule(host)), @"ValidationError: The 'HttpHeaderName' value must not be 'Host'; use a 'host-header' condition instead");
    let pattern = json!([{ "Field": "path-pattern", "PathPatternConfig": { "RegexValues": ["^/a$"] } }]);
    insta::assert_snapshot!(cloud.err("CreateRule", rule(pattern)), @"ValidationError: the embedded cloud does not implement 'RegexValues' of 'path-pattern' conditions");
    let mut transformed = rule(json!([path]));
    transformed["Transforms"] = json!([{ "Type": "url-rewrite" }]);
    insta::assert_snapshot!(cloud.err("CreateRule", transformed), @"ValidationError: the embedded cloud does not implement the 'Transforms' of rules");
}

#[test]
fn listeners_of_network_load_balancers_have_no_rules() {
    let cloud = Cloud::new();
    let balancer = json!({ "Name": "net", "Type": "network", "Subnets": cloud.subnets() });
    let balancer = cloud.ok("CreateLoadBalancer", balancer)["LoadBalancers"][0]["LoadBalancerArn"].clone();
    let group = json!({ "Name": "tcp", "Protocol": "TCP", "Port": 80, "VpcId": cloud.vpc() });
    let group = cloud.ok("CreateTargetGroup", group)["TargetGroups"][0]["TargetGroupArn"].clone();
    let actions = json!([{ "Type": "forward", "TargetGroupArn": group }]);
    let listener =
        json!({ "LoadBalancerArn": balancer, "Protocol": "TCP", "Port": 80, "DefaultActions": actions });
    let listener = cloud.ok("CreateListener", listener)["Listeners"][0]["ListenerArn"].clone();
    let path = json!([{ "Field": "path-pattern", "Values": ["/a"] }]);
    let rule = json!({ "ListenerArn": listener, "Priority": 1, "Actions": actions, "Conditions": path });
    insta::assert_snapshot!(cloud.err("CreateRule", rule), @"InvalidConfigurationRequest: Rules are only supported by listeners of application load balancers");
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
