use std::net::SocketAddr;

use crate::services::elbv2::testing::Cloud;
use pipeline_balancer::{Action, ForwardedFor, GroupId, HeaderPolicy, ListenerProtocol, TargetState};
use serde_json::{Value, json};

use super::table::{build, target_id};
use super::{keep_report, next_drained};
use pipeline_balancer::{Health, HealthReason, HealthReport, HealthState};

#[test]
fn an_empty_world_routes_nothing() {
    let cloud = Cloud::new();
    let table = cloud.world.read(build);
    assert!(table.listeners.is_empty() && table.groups.is_empty());
}

#[test]
fn listeners_groups_and_targets_reach_the_data_plane() {
    let cloud = Cloud::new();
    let balancer = cloud.load_balancer("web");
    let (blue, green) = (cloud.target_group("blue"), cloud.target_group("green"));
    cloud.register(&blue, "172.31.5.6", None);
    cloud.listener(&balancer, 80, &[(&blue, 90), (&green, 0)]);
    cloud.https_listener(&balancer, 443, &blue);

    let table = cloud.world.read(build);
    let [http, https] = table.listeners.as_slice() else { panic!("two listeners: {table:?}") };
    assert_eq!(http.address, https.address);
    assert!(http.address.is_loopback());
    assert_eq!((http.port, &http.protocol), (80, &ListenerProtocol::Http));
    let groups = vec![(GroupId::from(&blue), 90), (GroupId::from(&green), 0)];
    assert_eq!(http.default_action, Action::Forward { groups, stickiness: None });
    let ListenerProtocol::Https { certificates } = &https.protocol else { panic!("HTTPS") };
    assert!(certificates[0].chain_pem.matches("BEGIN CERTIFICATE").count() == 2, "leaf and issuer");
    assert!(certificates[0].key_pem.contains("PRIVATE KEY"));
    let target = &table.groups[&GroupId::from(&blue)].targets[0];
    assert_eq!(target.address.port(), 8080);
    assert!(target.address.ip().is_loopback(), "{}", target.address);
}

#[test]
fn attributes_for_headers_reach_the_data_plane() {
    let cloud = Cloud::new();
    let balancer = cloud.load_balancer("web");
    let listener = cloud.listener(&balancer, 80, &[(&cloud.target_group("blue"), 1)]);
    let headers = || cloud.world.read(build).listeners[0].headers.clone();
    assert_eq!(headers(), HeaderPolicy::default());
    let attributes = |of: &[(&str, &str)]| -> Value {
        of.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
    };
    let own = attributes(&[
        ("routing.http.response.server.enabled", "false"),
        ("routing.http.response.x_frame_options.header_value", "DENY"),
    ]);
    cloud.ok("ModifyListenerAttributes", json!({ "ListenerArn": listener, "Attributes": own }));
    let of_all = attributes(&[
        ("routing.http.xff_header_processing.mode", "preserve"),
        ("routing.http.xff_client_port.enabled", "true"),
        ("routing.http.drop_invalid_header_fields.enabled", "true"),
    ]);
    cloud.ok("ModifyLoadBalancerAttributes", json!({ "LoadBalancerArn": balancer, "Attributes": of_all }));
    let response = vec![("x-frame-options".parse().expect("a name"), "DENY".parse().expect("a value"))];
    let forwarded_for = ForwardedFor::Preserve;
    let all =
        HeaderPolicy { forwarded_for, client_port: true, drop_invalid: true, hide_server: true, response };
    assert_eq!(headers(), all);
}

#[test]
fn a_deregistered_target_drains_and_then_goes() {
    let cloud = Cloud::new();
    let balancer = cloud.load_balancer("web");
    let blue = cloud.target_group("blue");
    cloud.register(&blue, "127.0.0.9", Some(9000));
    cloud.listener(&balancer, 80, &[(&blue, 1)]);
    assert_eq!(cloud.world.read(next_drained), None);
    cloud.deregister(&blue, "127.0.0.9");

    let table = cloud.world.read(build);
    let target = &table.groups[&GroupId::from(&blue)].targets[0];
    assert_eq!(target.state, TargetState::Draining);
    assert_eq!(target.address, SocketAddr::from(([127, 0, 0, 9], 9000)));
    let end = cloud.world.read(next_drained).expect("an end");
    cloud.world.write(|state| {
        let region = state.region_mut("123456789012", "eu-central-1");
        assert!(crate::services::elbv2::forget_drained(&mut region.elbv2, end));
    });
    assert!(cloud.world.read(build).groups[&GroupId::from(&blue)].targets.is_empty());
}

#[test]
fn a_report_is_kept_once_and_only_for_its_registration() {
    let cloud = Cloud::new();
    let balancer = cloud.load_balancer("web");
    let blue = cloud.target_group("blue");
    cloud.listener(&balancer, 80, &[(&blue, 1)]);
    cloud.register(&blue, "172.31.5.6", None);
    assert_eq!(cloud.health(&blue).0, "initial");
    let target = cloud.world.read(|state| {
        let region = state.regions().next().expect("a region").1;
        target_id(&region.elbv2.target_groups[&blue].targets[0])
    });
    let health = Health {
        state: HealthState::Unhealthy,
        reason: Some(HealthReason::Timeout),
        description: Some("Request timed out".into()),
    };
    let report = HealthReport { group: GroupId::from(&blue), target, health };
    assert!(cloud.world.write(|state| keep_report(state, &report)));
    assert!(!cloud.world.write(|state| keep_report(state, &report)), "no news");
    assert_eq!(cloud.health(&blue), ("unhealthy".into(), "Target.Timeout".into()));

    cloud.deregister(&blue, "172.31.5.6");
    assert_eq!(cloud.health(&blue).0, "draining");
    cloud.register(&blue, "172.31.5.6", None);
    assert_eq!(cloud.health(&blue).0, "initial", "it begins afresh");
    assert!(!cloud.world.write(|state| keep_report(state, &report)), "that was the one before");
}
