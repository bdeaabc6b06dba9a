use serde_json::{Value, json};

use crate::clock::Clock;
use crate::services::{self, Call, Settings};
use crate::wire::{ApiError, Input, Output, Service};
use crate::world::{Partition, State};

const ROLE: &str = "arn:aws:iam::123456789012:role/deploy";

/// A region of its own, asked over and over.
struct Region {
    state: State,
    settings: Settings,
}

impl Region {
    fn new() -> Self {
        let settings = Settings {
            endpoint: ([127, 0, 0, 1], 4580).into(),
            inert: false,
            clock: Clock::new(1.0),
            uploads: pipeline_data_plane::registry::Uploads::default(),
        };
        Self { state: State::default(), settings }
    }

    fn ask(&mut self, operation: &str, parameters: Value) -> Result<Value, ApiError> {
        let mut call = Call {
            access_key: None,
            place: Partition { account: "123456789012".into(), region: "eu-central-1".into() },
            now: self.settings.clock.now(),
            settings: &self.settings,
            state: &mut self.state,
        };
        let input = Input::from_value(Service::CodeDeploy, parameters);
        services::call(&mut call, Service::CodeDeploy, operation, &input).map(Output::into_body)
    }

    fn refused(&mut self, operation: &str, parameters: Value) -> ApiError {
        self.ask(operation, parameters).expect_err("refused")
    }

    fn application(&mut self, name: &str, platform: &str) {
        self.ask("CreateApplication", json!({ "applicationName": name, "computePlatform": platform }))
            .expect("made");
    }

    /// A group of the Server platform, which needs nothing else.
    fn server_group(&mut self) {
        self.application("app", "Server");
        let group =
            json!({ "applicationName": "app", "deploymentGroupName": "group", "serviceRoleArn": ROLE });
        self.ask("CreateDeploymentGroup", group).expect("made");
    }
}

fn ecs_group() -> Value {
    let listener = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener/app/a/1/2";
    json!({
        "applicationName": "app",
        "deploymentGroupName": "group",
        "serviceRoleArn": ROLE,
        "deploymentStyle": { "deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL" },
        "blueGreenDeploymentConfiguration": {
            "terminateBlueInstancesOnDeploymentSuccess": { "action": "TERMINATE", "terminationWaitTimeInMinutes": 1 },
        },
        "loadBalancerInfo": { "targetGroupPairInfoList": [{
            "targetGroups": [{ "name": "blue" }, { "name": "green" }],
            "prodTrafficRoute": { "listenerArns": [listener] },
        }] },
        "ecsServices": [{ "serviceName": "service", "clusterName": "cluster" }],
    })
}

/// `value` with the field at `path` set, or removed by null.
fn with(mut value: Value, path: &str, new: Value) -> Value {
    match value.pointer_mut(path) {
        Some(place) => *place = new,
        None => {
            let (parent, name) = path.rsplit_once('/').expect("a path");
            value.pointer_mut(parent).expect("a parent")[name] = new;
        }
    }
    value
}

#[test]
fn applications_are_made_once_and_found() {
    let mut region = Region::new();
    region.application("app", "ECS");
    let again = region.refused("CreateApplication", json!({ "applicationName": "app" }));
    assert_eq!(again.code, "ApplicationAlreadyExistsException");
    let shown = region.ask("GetApplication", json!({ "applicationName": "app" })).expect("shown");
    assert_eq!(shown["application"]["computePlatform"], "ECS");
    assert!(shown["application"]["createTime"].is_f64());
    region
        .ask("UpdateApplication", json!({ "applicationName": "app", "newApplicationName": "new" }))
        .expect("renamed");
    let listed = region.ask("ListApplications", json!({})).expect("listed");
    assert_eq!(listed["applications"], json!(["new"]));
    let none = region.refused("BatchGetApplications", json!({ "applicationNames": ["app"] }));
    assert_eq!(none.code, "ApplicationDoesNotExistException");
    region.ask("DeleteApplication", json!({ "applicationName": "new" })).expect("deleted");
    region.ask("DeleteApplication", json!({ "applicationName": "new" })).expect("deleted again");
    let bad = region
        .refused("CreateApplication", json!({ "applicationName": "x", "computePlatform": "Mainframe" }));
    assert_eq!(bad.code, "InvalidComputePlatformException");
    assert_eq!(region.refused("GetApplication", json!({})).code, "ApplicationNameRequiredException");
}

#[test]
fn a_group_on_ecs_must_be_complete() {
    let mut region = Region::new();
    region.application("app", "ECS");
    let pair = "/loadBalancerInfo/targetGroupPairInfoList/0";
    let cases = [
        ("/serviceRoleArn", Value::Null, "RoleRequiredException"),
        ("/serviceRoleArn", json!("role"), "InvalidRoleException"),
        ("/applicationName", json!("none"), "ApplicationDoesNotExistException"),
        ("/deploymentGroupName", Value::Null, "DeploymentGroupNameRequiredException"),
        ("/deploymentConfigName", json!("none"), "DeploymentConfigDoesNotExistException"),
        (
            "/deploymentConfigName",
            json!("CodeDeployDefault.OneAtATime"),
            "InvalidDeploymentConfigNameException",
        ),
        ("/deploymentStyle", Value::Null, "InvalidDeploymentStyleException"),
        (
            "/blueGreenDeploymentConfiguration",
            Value::Null,
            "InvalidBlueGreenDeploymentConfigurationException",
        ),
        (
            "/blueGreenDeploymentConfiguration/deploymentReadyOption",
            json!({ "actionOnTimeout": "STOP_DEPLOYMENT" }),
            "InvalidBlueGreenDeploymentConfigurationException",
        ),
        (
            "/blueGreenDeploymentConfiguration/terminateBlueInstancesOnDeploymentSuccess/terminationWaitTimeInMinutes",
            json!(2881),
            "InvalidBlueGreenDeploymentConfigurationException",
        ),
        ("/loadBalancerInfo", Value::Null, "InvalidLoadBalancerInfoException"),
        (
            "/loadBalancerInfo/targetGroupInfoList",
            json!([{ "name": "blue" }]),
            "InvalidLoadBalancerInfoException",
        ),
        (&format!("{pair}/targetGroups"), json!([{ "name": "blue" }]), "InvalidTargetGroupPairException"),
        (
            &format!("{pair}/prodTrafficRoute/listenerArns"),
            json!(["a", "b"]),
            "InvalidTrafficRoutingConfigurationException",
        ),
        (
            &format!("{pair}/testTrafficRoute"),
            json!({ "listenerArns": ["a", "b"] }),
            "InvalidTrafficRoutingConfigurationException",
        ),
        ("/autoRollbackConfiguration", json!({ "enabled": true }), "InvalidAutoRollbackConfigException"),
        (
            "/autoRollbackConfiguration",
            json!({ "enabled": true, "events": ["X"] }),
            "InvalidAutoRollbackConfigException",
        ),
        ("/alarmConfiguration", json!({ "enabled": true, "alarms": [] }), "InvalidAlarmConfigException"),
        ("/triggerConfigurations", json!([{ "triggerName": "t" }]), "InvalidTriggerConfigException"),
        ("/ecsServices", json!([]), "InvalidECSServiceException"),
        // The service does not exist.
        ("/outdatedInstancesStrategy", json!("UPDATE"), "InvalidECSServiceException"),
    ];
    for (path, value, code) in cases {
        let error = region.refused("CreateDeploymentGroup", with(ecs_group(), path, value));
        assert_eq!(error.code, code, "{path}: {}", error.message);
    }
}

#[test]
fn a_group_of_servers_is_kept_as_data() {
    let mut region = Region::new();
    region.server_group();
    let shown = region
        .ask("GetDeploymentGroup", json!({ "applicationName": "app", "deploymentGroupName": "group" }))
        .expect("shown");
    let group = &shown["deploymentGroupInfo"];
    assert_eq!(group["deploymentConfigName"], "CodeDeployDefault.OneAtATime");
    assert_eq!(group["deploymentStyle"]["deploymentType"], "IN_PLACE");
    assert_eq!(group.get("ecsServices"), None);
    let update = json!({ "applicationName": "app", "currentDeploymentGroupName": "group",
        "newDeploymentGroupName": "other", "deploymentConfigName": "CodeDeployDefault.AllAtOnce" });
    region.ask("UpdateDeploymentGroup", update).expect("updated");
    let groups = region.ask("ListDeploymentGroups", json!({ "applicationName": "app" })).expect("listed");
    assert_eq!(groups["deploymentGroups"], json!(["other"]));
    let batch = json!({ "applicationName": "app", "deploymentGroupNames": ["other", "gone"] });
    let batch = region.ask("BatchGetDeploymentGroups", batch).expect("shown");
    assert_eq!(batch["deploymentGroupsInfo"].as_array().map(Vec::len), Some(1));
    assert!(batch["errorMessage"].as_str().is_some_and(|text| text.contains("gone")));
    let ecs = json!({ "applicationName": "app", "deploymentGroupName": "g", "serviceRoleArn": ROLE,
        "ecsServices": [{ "serviceName": "s", "clusterName": "c" }] });
    let error = region.refused("CreateDeploymentGroup", ecs);
    assert_eq!(error.message, "Should not specify ECS services parameter for Server deployment group");
}

#[test]
fn configurations_are_predefined_or_own() {
    let mut region = Region::new();
    let get = |region: &mut Region, name: &str| {
        region.ask("GetDeploymentConfig", json!({ "deploymentConfigName": name })).expect("shown")["deploymentConfigInfo"]
            .clone()
    };
    let canary = get(&mut region, "CodeDeployDefault.ECSCanary10Percent5Minutes");
    assert_eq!(
        canary["trafficRoutingConfig"],
        json!({ "type": "TimeBasedCanary", "timeBasedCanary": { "canaryPercentage": 10, "canaryInterval": 5 } })
    );
    let linear = json!({ "type": "TimeBasedLinear", "timeBasedLinear": { "linearPercentage": 20, "linearInterval": 2 } });
    let own =
        json!({ "deploymentConfigName": "own", "computePlatform": "ECS", "trafficRoutingConfig": linear });
    region.ask("CreateDeploymentConfig", own.clone()).expect("made");
    assert_eq!(region.refused("CreateDeploymentConfig", own).code, "DeploymentConfigAlreadyExistsException");
    assert_eq!(get(&mut region, "own")["trafficRoutingConfig"], linear);
    let wrong = json!({ "deploymentConfigName": "wrong", "computePlatform": "ECS",
        "trafficRoutingConfig": { "type": "TimeBasedCanary" } });
    assert_eq!(
        region.refused("CreateDeploymentConfig", wrong).code,
        "InvalidTrafficRoutingConfigurationException"
    );
    let listed = region.ask("ListDeploymentConfigs", json!({})).expect("listed");
    let names = listed["deploymentConfigsList"].as_array().expect("names");
    assert!(names.contains(&json!("own")) && names.contains(&json!("CodeDeployDefault.ECSAllAtOnce")));
    region.ask("DeleteDeploymentConfig", json!({ "deploymentConfigName": "own" })).expect("deleted");
    let predefined = json!({ "deploymentConfigName": "CodeDeployDefault.ECSAllAtOnce" });
    assert_eq!(region.refused("DeleteDeploymentConfig", predefined).code, "InvalidOperationException");
}

#[test]
fn deployments_of_servers_are_kept_and_listed() {
    let mut region = Region::new();
    region.server_group();
    let revision =
        json!({ "revisionType": "S3", "s3Location": { "bucket": "b", "key": "k", "bundleType": "zip" } });
    let deployment = json!({ "applicationName": "app", "deploymentGroupName": "group", "revision": revision,
        "description": "first" });
    let id = region.ask("CreateDeployment", deployment).expect("made")["deploymentId"].clone();
    assert!(id.as_str().is_some_and(|id| id.starts_with("d-") && id.len() == 11));
    let shown = region.ask("GetDeployment", json!({ "deploymentId": id })).expect("shown");
    let info = &shown["deploymentInfo"];
    assert_eq!(
        (&info["status"], &info["creator"], &info["revision"]),
        (&json!("Created"), &json!("user"), &revision)
    );
    let listed =
        region.ask("ListDeployments", json!({ "includeOnlyStatuses": ["Created"] })).expect("listed");
    assert_eq!(listed["deployments"], json!([id]));
    let later = json!({ "createTimeRange": { "start": 4_102_444_800_u64 } });
    assert_eq!(region.ask("ListDeployments", later).expect("listed")["deployments"], json!([]));
    let lists = [
        (json!({ "applicationName": "app" }), "DeploymentGroupNameRequiredException"),
        (json!({ "deploymentGroupName": "g" }), "ApplicationNameRequiredException"),
        (json!({ "includeOnlyStatuses": ["Lost"] }), "InvalidDeploymentStatusException"),
        (json!({ "createTimeRange": { "start": 2, "end": 1 } }), "InvalidTimeRangeException"),
        (json!({ "nextToken": "x" }), "InvalidNextTokenException"),
    ];
    for (parameters, code) in lists {
        assert_eq!(region.refused("ListDeployments", parameters).code, code);
    }
    let stopped = region.ask("StopDeployment", json!({ "deploymentId": id })).expect("stopped");
    assert_eq!(stopped["status"], "Succeeded");
    let again = region.refused("StopDeployment", json!({ "deploymentId": id }));
    assert_eq!(again.code, "DeploymentAlreadyCompletedException");
    assert_eq!(
        region.refused("GetDeployment", json!({ "deploymentId": "none" })).code,
        "DeploymentDoesNotExistException"
    );
    assert_eq!(region.refused("GetDeployment", json!({})).code, "DeploymentIdRequiredException");
}

#[test]
fn revisions_are_registered_and_found_by_their_sum() {
    let mut region = Region::new();
    region.application("app", "ECS");
    let content = "version: 0.0";
    let revision = json!({ "revisionType": "AppSpecContent", "appSpecContent": { "content": content } });
    let register = json!({ "applicationName": "app", "revision": revision, "description": "d" });
    region.ask("RegisterApplicationRevision", register).expect("registered");
    let listed = region.ask("ListApplicationRevisions", json!({ "applicationName": "app" })).expect("listed");
    let sum = listed["revisions"][0]["appSpecContent"]["sha256"].clone();
    assert_eq!(listed["revisions"][0]["appSpecContent"].get("content"), None);
    let wanted = json!({ "revisionType": "AppSpecContent", "appSpecContent": { "sha256": sum } });
    let found = region
        .ask("GetApplicationRevision", json!({ "applicationName": "app", "revision": wanted }))
        .expect("found");
    assert_eq!(found["revision"]["appSpecContent"]["content"], content);
    let forged = with(revision, "/appSpecContent/sha256", json!("00"));
    let error = region
        .refused("RegisterApplicationRevision", json!({ "applicationName": "app", "revision": forged }));
    assert_eq!(error.code, "InvalidRevisionException");
}

#[test]
fn tags_are_kept() {
    let mut region = Region::new();
    region.application("app", "ECS");
    let arn = "arn:aws:codedeploy:eu-central-1:123456789012:application:app";
    let tags = json!([{ "Key": "a", "Value": "1" }]);
    region.ask("TagResource", json!({ "ResourceArn": arn, "Tags": tags })).expect("tagged");
    assert_eq!(
        region.ask("ListTagsForResource", json!({ "ResourceArn": arn })).expect("listed")["Tags"],
        tags
    );
    region.ask("UntagResource", json!({ "ResourceArn": arn, "TagKeys": ["a"] })).expect("untagged");
    assert_eq!(
        region.ask("ListTagsForResource", json!({ "ResourceArn": arn })).expect("listed")["Tags"],
        json!([])
    );
    assert_eq!(
        region.refused("ListTagsForResource", json!({ "ResourceArn": "x" })).code,
        "InvalidArnException"
    );
}
