use serde_json::{Value, json};

use crate::services::ecs::testing::{Caller, place};
use crate::wire::{ApiError, Service};

fn caller() -> Caller {
    let caller = Caller::new(true, 1.0);
    caller.furnish();
    caller.ok("CreateService", caller.service("web", 1));
    caller
}

fn scaling(caller: &Caller, operation: &str, more: Value) -> Result<Value, ApiError> {
    let mut all = json!({
        "ServiceNamespace": "ecs", "ResourceId": "service/main/web",
        "ScalableDimension": "ecs:service:DesiredCount"
    });
    all.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
    caller.call_of(Service::ApplicationAutoScaling, operation, all)
}

#[test]
fn a_target_is_registered_updated_and_deregistered() {
    let caller = caller();
    let register = |more| scaling(&caller, "RegisterScalableTarget", more);
    assert_eq!(register(json!({ "MinCapacity": 1 })).expect_err("refused").code, "ValidationException");
    assert_eq!(
        register(json!({ "MinCapacity": 3, "MaxCapacity": 2 })).expect_err("refused").code,
        "ValidationException"
    );
    let first = register(json!({ "MinCapacity": 2, "MaxCapacity": 4, "Tags": { "a": "b" } })).expect("made");
    let suspended = json!({ "SuspendedState": { "DynamicScalingOutSuspended": true } });
    assert_eq!(register(suspended).expect("updated"), first);
    let shown = scaling(&caller, "DescribeScalableTargets", json!({})).expect("shown");
    let target = &shown["ScalableTargets"][0];
    assert_eq!((&target["MinCapacity"], &target["MaxCapacity"]), (&json!(2), &json!(4)));
    assert_eq!(
        target["SuspendedState"],
        json!({
            "DynamicScalingInSuspended": false, "DynamicScalingOutSuspended": true,
            "ScheduledScalingSuspended": false
        })
    );
    assert_eq!(target.get("limitsChanged"), None);
    let tags = scaling(&caller, "ListTagsForResource", json!({ "ResourceARN": first["ScalableTargetARN"] }));
    assert_eq!(tags.expect("shown")["Tags"], json!({ "a": "b" }));
    scaling(&caller, "DeregisterScalableTarget", json!({})).expect("gone");
    let error = scaling(&caller, "DeregisterScalableTarget", json!({})).expect_err("refused");
    assert_eq!(error.code, "ObjectNotFoundException");
    assert_eq!(
        error.message,
        "No scalable target found for service namespace: ecs, resource ID: service/main/web, scalable dimension: \
         ecs:service:DesiredCount"
    );
}

#[test]
fn limits_hold_when_they_are_set() {
    let caller = caller();
    let apply = || {
        caller.world.write(|state| {
            let place = place();
            let now = caller.settings.clock.now();
            super::apply_limits(state.region_mut(&place.account, &place.region), now)
        })
    };
    let desired = || {
        let shown = caller.ok("DescribeServices", json!({ "cluster": "main", "services": ["web"] }));
        shown["services"][0]["desiredCount"].clone()
    };
    let limits = json!({
        "MinCapacity": 2, "MaxCapacity": 4, "SuspendedState": { "DynamicScalingOutSuspended": true }
    });
    scaling(&caller, "RegisterScalableTarget", limits).expect("made");
    assert!(apply());
    assert_eq!(desired(), 1, "suspended");
    let resumed = json!({ "SuspendedState": { "DynamicScalingOutSuspended": false } });
    scaling(&caller, "RegisterScalableTarget", resumed).expect("updated");
    assert!(apply() && !apply());
    assert_eq!(desired(), 2);
    let activities = scaling(&caller, "DescribeScalingActivities", json!({})).expect("shown");
    assert_eq!(activities["ScalingActivities"][0]["Cause"], "minimum capacity was set to 2");
    caller.ok("UpdateService", json!({ "cluster": "main", "service": "web", "desiredCount": 0 }));
    assert!(!apply());
    assert_eq!(desired(), 0, "set by hand");
}

#[test]
fn policies_are_kept() {
    let caller = caller();
    let configuration = json!({
        "TargetValue": 60.0,
        "PredefinedMetricSpecification": { "PredefinedMetricType": "ECSServiceAverageCPUUtilization" }
    });
    let wish = json!({
        "PolicyName": "cpu", "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": configuration
    });
    let put = |wish: &Value| scaling(&caller, "PutScalingPolicy", wish.clone());
    assert_eq!(put(&wish).expect_err("refused").code, "ObjectNotFoundException");
    scaling(&caller, "RegisterScalableTarget", json!({ "MinCapacity": 1, "MaxCapacity": 4 })).expect("made");
    let made = put(&wish).expect("made");
    assert_eq!(made["Alarms"].as_array().map(Vec::len), Some(2));
    assert_eq!(put(&wish).expect("updated"), made);
    let shown = scaling(&caller, "DescribeScalingPolicies", json!({})).expect("shown");
    assert_eq!(
        shown["ScalingPolicies"][0]["TargetTrackingScalingPolicyConfiguration"]["TargetValue"],
        json!(60.0)
    );
    scaling(&caller, "DeleteScalingPolicy", json!({ "PolicyName": "cpu" })).expect("gone");
    let error = scaling(&caller, "DeleteScalingPolicy", json!({ "PolicyName": "cpu" })).expect_err("refused");
    assert_eq!(error.code, "ObjectNotFoundException");
}

#[test]
fn scheduled_actions_are_kept() {
    let caller = caller();
    scaling(&caller, "RegisterScalableTarget", json!({ "MinCapacity": 1, "MaxCapacity": 4 })).expect("made");
    let wish = json!({
        "ScheduledActionName": "night", "Schedule": "cron(0 22 * * ? *)",
        "ScalableTargetAction": { "MinCapacity": 0, "MaxCapacity": 0 }
    });
    scaling(&caller, "PutScheduledAction", wish).expect("made");
    let shown = scaling(&caller, "DescribeScheduledActions", json!({})).expect("shown");
    assert_eq!(shown["ScheduledActions"][0]["ScalableTargetAction"]["MaxCapacity"], 0);
    scaling(&caller, "DeleteScheduledAction", json!({ "ScheduledActionName": "night" })).expect("gone");
}

#[test]
fn a_new_action_says_when_and_what() {
    let caller = caller();
    scaling(&caller, "RegisterScalableTarget", json!({ "MinCapacity": 1, "MaxCapacity": 4 })).expect("made");
    let put = |more: Value| {
        let mut wish = json!({ "ScheduledActionName": "night" });
        wish.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
        scaling(&caller, "PutScheduledAction", wish)
    };
    let both =
        |schedule: &str, action: Value| put(json!({ "Schedule": schedule, "ScalableTargetAction": action }));
    for refused in [
        put(json!({ "Schedule": "rate(1 hour)" })),
        put(json!({ "ScalableTargetAction": { "MinCapacity": 0 } })),
        both("rate(1 hour)", json!({})),
        both("rate(1 hour)", json!({ "MinCapacity": 2, "MaxCapacity": 1 })),
        both("rate(1 moon)", json!({ "MinCapacity": 0 })),
    ] {
        assert_eq!(refused.expect_err("refused").code, "ValidationException");
    }
    both("rate(1 hour)", json!({ "MinCapacity": 0 })).expect("made");
    put(json!({ "Schedule": "rate(2 hours)" })).expect("updated");
}

#[test]
fn a_metric_is_known_and_followed_once() {
    let caller = caller();
    scaling(&caller, "RegisterScalableTarget", json!({ "MinCapacity": 1, "MaxCapacity": 4 })).expect("made");
    let put = |name: &str, metric: Value| {
        let configuration = json!({ "TargetValue": 60.0, "PredefinedMetricSpecification": metric });
        let wish = json!({
            "PolicyName": name, "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": configuration
        });
        scaling(&caller, "PutScalingPolicy", wish).map_err(|error| error.message)
    };
    let metric = |kind: &str| json!({ "PredefinedMetricType": kind });
    assert!(put("a", metric("Mood")).expect_err("refused").contains("at 'predefinedMetricType'"));
    let requests = put("a", metric("ALBRequestCountPerTarget")).expect_err("refused");
    assert!(requests.starts_with("ResourceLabel is required"), "{requests}");
    put("a", metric("ECSServiceAverageCPUUtilization")).expect("made");
    put("a", metric("ECSServiceAverageCPUUtilization")).expect("updated");
    put("b", metric("ECSServiceAverageMemoryUtilization")).expect("made");
    assert_eq!(
        put("b", metric("ECSServiceAverageCPUUtilization")).expect_err("refused"),
        "Only one TargetTrackingScaling policy for a given metric specification is allowed."
    );
}

#[test]
fn namespaces_dimensions_and_pages_are_checked() {
    let caller = caller();
    let limits = |namespace: &str, dimension: &str| {
        let target = json!({
            "ServiceNamespace": namespace, "ResourceId": "some/thing", "ScalableDimension": dimension,
            "MinCapacity": 1, "MaxCapacity": 2
        });
        scaling(&caller, "RegisterScalableTarget", target)
    };
    limits("workspaces", "workspaces:workspacespool:DesiredUserSessions").expect("made");
    for (namespace, dimension) in [("dynamodb", "ecs:service:DesiredCount"), ("ecs", "ecs:mood")] {
        assert_eq!(limits(namespace, dimension).expect_err("refused").code, "ValidationException");
    }
    for kind in ["ScalableTargets", "ScalingPolicies", "ScheduledActions", "ScalingActivities"] {
        for wrong in
            [json!({ "ServiceNamespace": "mood" }), json!({ "MaxResults": 51 }), json!({ "MaxResults": 0 })]
        {
            let refused = scaling(&caller, &format!("Describe{kind}"), wrong).expect_err("refused");
            assert_eq!(refused.code, "ValidationException", "{kind}");
        }
    }
}
