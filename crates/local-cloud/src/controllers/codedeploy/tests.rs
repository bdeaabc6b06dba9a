use jiff::Timestamp;
use serde_json::{Value, json};

use super::step;
use crate::services::ecs::testing::Caller;
use crate::services::ecs::{ServiceName, StabilityStatus, TaskSetStatus};
use crate::services::elbv2::{self, Health};
use crate::services::{self, Call, Settings};
use crate::wire::{ApiError, Input, Output, Service};
use crate::world::{Partition, Region, State};

const MINUTE: i64 = 60;

/// A service behind a load balancer and its deployment group, with time and tasks in the test's hands.
struct Stage {
    state: State,
    settings: Settings,
    now: Timestamp,
    listener: String,
    test_listener: String,
    groups: [String; 2],
}

fn place() -> Partition {
    Partition { account: "123456789012".into(), region: "eu-central-1".into() }
}

impl Stage {
    /// `settings` are laid over those of the deployment group.
    fn new(settings: Value) -> Self {
        let mut stage = Self {
            state: State::default(),
            settings: Caller::new(false, 1.0).settings,
            now: Timestamp::now(),
            listener: String::new(),
            test_listener: String::new(),
            groups: [String::new(), String::new()],
        };
        stage.build_load_balancer();
        stage.build_service();
        stage.build_group(settings);
        stage
    }

    fn call(&mut self, service: Service, operation: &str, parameters: Value) -> Result<Value, ApiError> {
        let mut call = Call {
            place: place(),
            access_key: None,
            now: self.now,
            settings: &self.settings,
            state: &mut self.state,
        };
        services::call(&mut call, service, operation, &Input::from_value(service, parameters))
            .map(Output::into_body)
    }

    fn ok(&mut self, service: Service, operation: &str, parameters: Value) -> Value {
        match self.call(service, operation, parameters) {
            Ok(answer) => answer,
            Err(error) => panic!("{operation}: {}: {}", error.code, error.message),
        }
    }

    fn deploy(&mut self, operation: &str, parameters: Value) -> Value {
        self.ok(Service::CodeDeploy, operation, parameters)
    }

    fn subnets(&mut self) -> (Vec<String>, String) {
        let subnets = self.ok(Service::Ec2, "DescribeSubnets", json!({}));
        let list =
            subnets.as_object().and_then(|fields| fields.values().find(|value| value.is_array())).cloned();
        let list = list.expect("subnets").as_array().cloned().expect("a list");
        let text = |subnet: &Value, field: &str| subnet[field].as_str().expect("text").to_owned();
        let vpc = text(&list[0], "vpcId");
        (list.iter().map(|subnet| text(subnet, "subnetId")).collect(), vpc)
    }

    fn build_load_balancer(&mut self) {
        let (subnets, vpc) = self.subnets();
        let made =
            self.ok(Service::Elbv2, "CreateLoadBalancer", json!({ "Name": "web", "Subnets": subnets }));
        let balancer = made["LoadBalancers"][0]["LoadBalancerArn"].clone();
        for (index, name) in ["blue", "green"].into_iter().enumerate() {
            let group =
                json!({ "Name": name, "Protocol": "HTTP", "Port": 80, "VpcId": vpc, "TargetType": "ip" });
            let made = self.ok(Service::Elbv2, "CreateTargetGroup", group);
            self.groups[index] =
                made["TargetGroups"][0]["TargetGroupArn"].as_str().expect("an ARN").to_owned();
        }
        let mut listener = |port: u16| {
            let actions = json!([{ "Type": "forward", "TargetGroupArn": self.groups[0] }]);
            let listener = json!({ "LoadBalancerArn": balancer, "Port": port, "Protocol": "HTTP", "DefaultActions": actions });
            let made = self.ok(Service::Elbv2, "CreateListener", listener);
            made["Listeners"][0]["ListenerArn"].as_str().expect("an ARN").to_owned()
        };
        (self.listener, self.test_listener) = (listener(80), listener(8080));
    }

    fn build_service(&mut self) {
        let (subnets, _) = self.subnets();
        self.ok(Service::Ecs, "CreateCluster", json!({ "clusterName": "main" }));
        for _ in 0..2 {
            self.ok(
                Service::Ecs,
                "RegisterTaskDefinition",
                services::ecs::testing::fargate_definition("app"),
            );
        }
        let service = json!({
            "cluster": "main", "serviceName": "web", "taskDefinition": "app:1", "desiredCount": 2,
            "launchType": "FARGATE", "deploymentController": { "type": "CODE_DEPLOY" },
            "networkConfiguration": { "awsvpcConfiguration": { "subnets": subnets } },
            "loadBalancers": [{ "targetGroupArn": self.groups[0], "containerName": "web", "containerPort": 8080 }],
        });
        self.ok(Service::Ecs, "CreateService", service);
        self.tasks("healthy");
    }

    fn build_group(&mut self, settings: Value) {
        self.deploy("CreateApplication", json!({ "applicationName": "app", "computePlatform": "ECS" }));
        let mut group = json!({
            "applicationName": "app", "deploymentGroupName": "group",
            "serviceRoleArn": "arn:aws:iam::123456789012:role/deploy",
            "deploymentStyle": { "deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL" },
            "autoRollbackConfiguration": { "enabled": true, "events": ["DEPLOYMENT_FAILURE"] },
            "blueGreenDeploymentConfiguration": {
                "terminateBlueInstancesOnDeploymentSuccess": { "terminationWaitTimeInMinutes": 5 },
            },
            "loadBalancerInfo": { "targetGroupPairInfoList": [{
                "targetGroups": [{ "name": "blue" }, { "name": "green" }],
                "prodTrafficRoute": { "listenerArns": [self.listener] },
            }] },
            "ecsServices": [{ "serviceName": "web", "clusterName": "main" }],
        });
        if settings["test"] == true {
            group["loadBalancerInfo"]["targetGroupPairInfoList"][0]["testTrafficRoute"] =
                json!({ "listenerArns": [self.test_listener] });
        }
        for (name, value) in settings.as_object().into_iter().flatten().filter(|(name, _)| *name != "test") {
            group[name] = value.clone();
        }
        self.deploy("CreateDeploymentGroup", group);
    }

    fn begin(&mut self, hooks: Value) -> String {
        let spec = json!({
            "version": 0.0,
            "Resources": [{ "TargetService": { "Type": "AWS::ECS::Service", "Properties": {
                "TaskDefinition": "app:2",
                "LoadBalancerInfo": { "ContainerName": "web", "ContainerPort": 8080 },
            } } }],
            "Hooks": hooks,
        });
        let revision =
            json!({ "revisionType": "AppSpecContent", "appSpecContent": { "content": spec.to_string() } });
        let deployment =
            json!({ "applicationName": "app", "deploymentGroupName": "group", "revision": revision });
        let made = self.deploy("CreateDeployment", deployment);
        self.step();
        made["deploymentId"].as_str().expect("an id").to_owned()
    }

    fn region(&mut self) -> &mut Region {
        self.state.region_mut("123456789012", "eu-central-1")
    }

    /// A restart between any two steps changes nothing: the state is written and read back.
    fn step(&mut self) {
        let kept = serde_json::to_string(&self.state).expect("written");
        self.state = serde_json::from_str(&kept).expect("read");
        step(&mut self.state, &self.settings, self.now);
    }

    fn pass(&mut self, minutes: i64) {
        self.now += jiff::SignedDuration::from_secs(minutes * MINUTE);
        self.step();
    }

    /// What the ECS controller and the load balancer would come to: every task set runs what it should, and
    /// the targets of those that are not primary are in `state`.
    fn tasks(&mut self, state: &str) {
        let name = ServiceName::new(Some("main"), "web");
        let region = self.region();
        let sets: Vec<_> = region
            .ecs
            .service(&name)
            .expect("there")
            .task_sets
            .iter()
            .map(|set| set.task_set.clone())
            .collect();
        for (index, set) in sets.iter().enumerate() {
            let state = if set.status == TaskSetStatus::Primary { "healthy" } else { state };
            let group = set.target_group().expect("a group").to_owned();
            for task in 0..2_u8 {
                let address = std::net::Ipv4Addr::new(172, 31, u8::try_from(index).expect("few"), 10 + task);
                let wanted = u32::from(task) < set.computed_desired_count;
                let cluster = region.ecs.clusters.get_mut("main").expect("there");
                let id = format!("{}-{task}", set.id.trim_start_matches("ecs-svc/"));
                if !wanted {
                    cluster.tasks.remove(&id);
                    continue;
                }
                let entry = json!({
                    "task": {
                        "taskArn": id, "clusterArn": "", "taskDefinitionArn": set.task_definition,
                        "lastStatus": "RUNNING", "desiredStatus": "RUNNING", "containers": [], "attachments": [],
                        "attributes": [], "overrides": {}, "group": "service:web", "startedBy": set.id,
                        "enableExecuteCommand": false, "healthStatus": "UNKNOWN", "createdAt": 1.0, "startedAt": 1.0,
                        "version": 1,
                    },
                    "id": id, "tags": [], "address": address, "service": "web", "clientToken": null, "client_token": null,
                    "essential": ["web"], "launch": set.launch, "interface": null, "registered": true,
                    "deregistered": false, "proven": true, "seen_failed": false,
                });
                cluster.tasks.insert(id, serde_json::from_value(entry).expect("a task"));
                elbv2::register_target(region, &group, address, 8080).expect("registered");
                let targets = &mut region.elbv2.target_groups.get_mut(&group).expect("there").targets;
                for target in targets.iter_mut().filter(|target| target.id == address.to_string()) {
                    target.reported =
                        Some(Health { state: state.to_owned(), reason: None, description: None });
                }
            }
            let service = region.ecs.service_mut(&name).expect("there");
            for known in service.task_sets.iter_mut().filter(|known| known.task_set.id == set.id) {
                known.task_set.running_count = set.computed_desired_count;
                known.task_set.pending_count = 0;
                let steady = state == "healthy";
                known.task_set.stability_status =
                    if steady { StabilityStatus::SteadyState } else { StabilityStatus::Stabilizing };
            }
            service.task_sets.retain(|known| {
                known.task_set.status != TaskSetStatus::Draining || known.task_set.running_count > 0
            });
        }
        self.step();
    }

    fn info(&mut self, id: &str) -> Value {
        self.deploy("GetDeployment", json!({ "deploymentId": id }))["deploymentInfo"].clone()
    }

    fn status(&mut self, id: &str) -> String {
        self.info(id)["status"].as_str().expect("a status").to_owned()
    }

    fn events(&mut self, id: &str) -> Vec<String> {
        let target =
            self.deploy("GetDeploymentTarget", json!({ "deploymentId": id, "targetId": "main:web" }));
        let events =
            target["deploymentTarget"]["ecsTarget"]["lifecycleEvents"].as_array().cloned().expect("events");
        let text = |event: &Value, field: &str| event[field].as_str().expect("text").to_owned();
        events
            .iter()
            .map(|event| format!("{} {}", text(event, "lifecycleEventName"), text(event, "status")))
            .collect()
    }

    /// Shares of blue and green behind a listener.
    fn shares(&mut self, listener: &str) -> [u32; 2] {
        let (groups, listener) = (self.groups.clone(), listener.to_owned());
        let weights = elbv2::forward_weights(self.region(), &listener).expect("there");
        let share =
            |group: &String| weights.iter().find(|(arn, _)| arn == group).map_or(0, |(_, weight)| *weight);
        let shares = [share(&groups[0]), share(&groups[1])];
        let total = shares[0] + shares[1];
        shares.map(|share| share * 100 / total.max(1))
    }

    fn production(&mut self) -> [u32; 2] {
        let listener = self.listener.clone();
        self.shares(&listener)
    }

    fn sets(&mut self) -> Vec<(String, u32)> {
        let name = ServiceName::new(Some("main"), "web");
        let sets = &self.region().ecs.service(&name).expect("there").task_sets;
        sets.iter()
            .map(|set| (format!("{:?}", set.task_set.status), set.task_set.computed_desired_count))
            .collect()
    }
}

#[test]
fn traffic_moves_to_what_is_healthy_and_back_with_the_next_deployment() {
    let mut stage = Stage::new(json!({}));
    let id = stage.begin(json!([]));
    assert_eq!((stage.status(&id).as_str(), stage.production()), ("InProgress", [100, 0]));
    assert_eq!(stage.sets(), [("Primary".into(), 2), ("Active".into(), 2)]);
    stage.tasks("initial");
    assert_eq!(stage.production(), [100, 0], "nothing moves to what was not healthy yet");
    stage.tasks("healthy");
    assert_eq!(stage.production(), [0, 100]);
    assert_eq!(stage.sets(), [("Active".into(), 2), ("Primary".into(), 2)]);
    let info = stage.info(&id);
    assert_eq!(
        (&info["status"], &info["instanceTerminationWaitTimeStarted"]),
        (&json!("InProgress"), &json!(true))
    );
    let busy = json!({ "applicationName": "app", "deploymentGroupName": "group", "revision":
        { "revisionType": "AppSpecContent", "appSpecContent": { "sha256": info["revision"]["appSpecContent"]["sha256"] } } });
    let error = stage.call(Service::CodeDeploy, "CreateDeployment", busy.clone()).expect_err("busy");
    assert_eq!(error.code, "DeploymentLimitExceededException");
    assert_eq!(
        error.message,
        format!("The Deployment Group 'group' already has an active Deployment '{id}'")
    );
    stage.pass(4);
    assert_eq!(stage.sets()[0], ("Active".into(), 2), "the original waits");
    stage.pass(1);
    stage.tasks("healthy");
    stage.tasks("healthy");
    assert_eq!(stage.status(&id), "Succeeded");
    assert_eq!(stage.sets(), [("Primary".into(), 2)]);
    let events = stage.events(&id);
    assert_eq!(events.len(), 6);
    assert!(events.iter().all(|event| event.ends_with("Succeeded")), "{events:?}");

    let next = stage.deploy("CreateDeployment", busy)["deploymentId"].as_str().expect("an id").to_owned();
    stage.step();
    stage.tasks("healthy");
    assert_eq!(stage.production(), [100, 0], "the roles of the groups have swapped");
    stage.deploy(
        "ContinueDeployment",
        json!({ "deploymentId": next, "deploymentWaitType": "TERMINATION_WAIT" }),
    );
    stage.step();
    stage.tasks("healthy");
    assert_eq!(stage.status(&next), "Succeeded");
}

#[test]
fn a_canary_takes_its_steps() {
    let mut stage =
        Stage::new(json!({ "deploymentConfigName": "CodeDeployDefault.ECSCanary10Percent5Minutes" }));
    let id = stage.begin(json!([]));
    stage.tasks("healthy");
    assert_eq!(stage.production(), [90, 10]);
    stage.pass(4);
    assert_eq!(stage.production(), [90, 10]);
    stage.pass(1);
    assert_eq!(stage.production(), [0, 100]);
    assert_eq!(stage.status(&id), "InProgress");
}

#[test]
fn an_unhealthy_replacement_is_rolled_back_by_a_deployment_of_its_own() {
    let mut stage = Stage::new(json!({}));
    let id = stage.begin(json!([]));
    stage.tasks("unhealthy");
    let failed = stage.info(&id);
    assert_eq!(
        (&failed["status"], &failed["errorInformation"]["code"]),
        (&json!("Failed"), &json!("ECS_UPDATE_ERROR"))
    );
    assert!(stage.events(&id).contains(&"Install Failed".to_owned()));
    let rollback = failed["rollbackInfo"]["rollbackDeploymentId"].as_str().expect("an id").to_owned();
    stage.step();
    stage.tasks("unhealthy");
    stage.tasks("unhealthy");
    let undone = stage.info(&rollback);
    assert_eq!((&undone["status"], &undone["creator"]), (&json!("Succeeded"), &json!("codeDeployRollback")));
    assert_eq!(undone["rollbackInfo"]["rollbackTriggeringDeploymentId"], json!(id));
    assert_eq!(stage.production(), [100, 0]);
    assert_eq!(stage.sets(), [("Primary".into(), 2)], "the original was never touched");
}

#[test]
fn a_canary_that_turns_unhealthy_gives_its_traffic_back() {
    let mut stage =
        Stage::new(json!({ "deploymentConfigName": "CodeDeployDefault.ECSCanary10Percent5Minutes" }));
    let id = stage.begin(json!([]));
    stage.tasks("healthy");
    assert_eq!(stage.production(), [90, 10]);
    stage.tasks("unhealthy");
    stage.step();
    assert_eq!((stage.status(&id).as_str(), stage.production()), ("Failed", [100, 0]));
}

#[test]
fn without_automatic_rollback_a_failure_leaves_everything() {
    let off = json!({ "enabled": false });
    let mut stage = Stage::new(json!({ "autoRollbackConfiguration": off }));
    let id = stage.begin(json!([]));
    stage.tasks("unhealthy");
    assert_eq!(stage.status(&id), "Failed");
    assert_eq!(stage.info(&id)["rollbackInfo"], json!({}));
    assert_eq!(stage.sets(), [("Primary".into(), 2), ("Active".into(), 2)]);
    // The next deployment clears it away.
    let next = stage.begin(json!([]));
    stage.tasks("healthy");
    stage.tasks("healthy");
    assert_eq!(stage.production(), [0, 100]);
    assert_eq!(stage.status(&next), "InProgress");
    assert_eq!(stage.sets().iter().filter(|(status, _)| status == "Active").count(), 1);
}

#[test]
fn a_stop_rolls_back_even_after_the_shift() {
    let mut stage = Stage::new(json!({}));
    let id = stage.begin(json!([]));
    stage.tasks("healthy");
    assert_eq!(stage.production(), [0, 100]);
    let stopped = stage.deploy("StopDeployment", json!({ "deploymentId": id, "autoRollbackEnabled": true }));
    assert_eq!(stopped["status"], "Pending");
    stage.step();
    stage.step();
    let info = stage.info(&id);
    assert_eq!(
        (&info["status"], &info["errorInformation"]["code"]),
        (&json!("Stopped"), &json!("MANUAL_STOP"))
    );
    assert_eq!(stage.production(), [100, 0]);
    stage.tasks("healthy");
    stage.tasks("healthy");
    assert_eq!(stage.sets(), [("Primary".into(), 2)]);
    let again =
        stage.call(Service::CodeDeploy, "StopDeployment", json!({ "deploymentId": id })).expect_err("over");
    assert_eq!(again.code, "DeploymentAlreadyCompletedException");
}

#[test]
fn an_alarm_that_fires_stops_a_deployment() {
    let settings = |events: Value| {
        json!({
            "alarmConfiguration": { "enabled": true, "alarms": [{ "name": "none" }, { "name": "errors" }] },
            "autoRollbackConfiguration": { "enabled": true, "events": events },
        })
    };
    for (events, share) in
        [(json!(["DEPLOYMENT_STOP_ON_ALARM"]), [100, 0]), (json!(["DEPLOYMENT_FAILURE"]), [0, 100])]
    {
        let mut stage = Stage::new(settings(events));
        let alarm = json!({
            "AlarmName": "errors", "Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 60,
            "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
        });
        stage.ok(Service::CloudWatch, "PutMetricAlarm", alarm);
        let id = stage.begin(json!([]));
        stage.tasks("healthy");
        assert_eq!((stage.status(&id).as_str(), stage.production()), ("InProgress", [0, 100]));
        let fire = json!({ "AlarmName": "errors", "StateValue": "ALARM", "StateReason": "a test" });
        stage.ok(Service::CloudWatch, "SetAlarmState", fire);
        stage.step();
        stage.step();
        let info = stage.info(&id);
        assert_eq!(
            (&info["status"], &info["errorInformation"]["code"]),
            (&json!("Stopped"), &json!("ALARM_ACTIVE"))
        );
        assert_eq!(stage.production(), share, "undone, although the alarm still fires, or left");
    }
}

#[test]
fn hooks_and_the_test_listener_come_before_production() {
    let mut stage = Stage::new(json!({ "test": true }));
    let id = stage.begin(json!([{ "AfterAllowTestTraffic": "check" }]));
    stage.tasks("healthy");
    let test = stage.test_listener.clone();
    assert_eq!((stage.shares(&test), stage.production()), ([0, 100], [100, 0]));
    let target = json!({ "deploymentId": id, "targetIds": ["main:web"] });
    let target = stage.deploy("BatchGetDeploymentTargets", target);
    let events =
        target["deploymentTargets"][0]["ecsTarget"]["lifecycleEvents"].as_array().cloned().expect("events");
    let waiting = events.iter().find(|event| event["status"] == "InProgress").expect("one waits");
    let message = waiting["diagnostics"]["message"].as_str().expect("text");
    let execution = message.rsplit(' ').next().expect("the id").to_owned();
    let verdict = |status: &str| json!({ "deploymentId": id, "lifecycleEventHookExecutionId": execution, "status": status });
    let put = "PutLifecycleEventHookExecutionStatus";
    let odd = stage.call(Service::CodeDeploy, put, verdict("Pending")).expect_err("refused");
    assert_eq!(odd.code, "InvalidLifecycleEventHookExecutionStatusException");
    stage.deploy(put, verdict("Failed"));
    stage.step();
    stage.step();
    let info = stage.info(&id);
    assert_eq!(
        (&info["status"], &info["errorInformation"]["code"]),
        (&json!("Failed"), &json!("HOOK_EXECUTION_FAILURE"))
    );
    assert_eq!((stage.shares(&test), stage.production()), ([100, 0], [100, 0]));
}

#[test]
fn a_deployment_may_wait_for_a_word() {
    let waits =
        json!({ "deploymentReadyOption": { "actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 30 } });
    let mut stage = Stage::new(json!({ "blueGreenDeploymentConfiguration": waits }));
    let id = stage.begin(json!([]));
    stage.tasks("healthy");
    assert_eq!((stage.status(&id).as_str(), stage.production()), ("Ready", [100, 0]));
    stage.deploy("ContinueDeployment", json!({ "deploymentId": id, "deploymentWaitType": "READY_WAIT" }));
    stage.step();
    assert_eq!(stage.production(), [0, 100]);

    let mut stage = Stage::new(json!({ "blueGreenDeploymentConfiguration":
        { "deploymentReadyOption": { "actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 30 } } }));
    let id = stage.begin(json!([]));
    stage.tasks("healthy");
    stage.pass(30);
    assert_eq!((stage.status(&id).as_str(), stage.production()), ("Stopped", [100, 0]));
}

#[test]
fn what_is_deleted_meanwhile_has_its_code() {
    let cases = [
        ("ELASTIC_LOAD_BALANCING_INVALID", Service::Elbv2, "DeleteListener"),
        ("INVALID_ECS_SERVICE", Service::Ecs, "DeleteService"),
        ("DEPLOYMENT_GROUP_MISSING", Service::CodeDeploy, "DeleteDeploymentGroup"),
    ];
    for (code, service, operation) in cases {
        let mut stage = Stage::new(json!({}));
        let id = stage.begin(json!([]));
        let parameters = json!({ "ListenerArn": stage.listener, "cluster": "main", "service": "web", "force": true,
            "applicationName": "app", "deploymentGroupName": "group" });
        stage.ok(service, operation, parameters);
        stage.step();
        assert_eq!(stage.info(&id)["errorInformation"]["code"], code);
    }
}

#[test]
fn listeners_must_begin_with_the_primary_group() {
    let mut stage = Stage::new(json!({}));
    let actions = json!([{ "Type": "forward", "TargetGroupArn": stage.groups[1] }]);
    let listener = stage.listener.clone();
    stage.ok(Service::Elbv2, "ModifyListener", json!({ "ListenerArn": listener, "DefaultActions": actions }));
    let id = stage.begin(json!([]));
    let error = stage.info(&id)["errorInformation"].clone();
    assert_eq!(error["code"], "ELASTIC_LOAD_BALANCING_INVALID");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.contains("Primary taskset target group must be behind listener"))
    );
    assert_eq!(stage.sets(), [("Primary".into(), 2)]);
}

#[test]
fn rules_shift_and_other_actions_stay() {
    let mut stage = Stage::new(json!({}));
    let (listener, blue) = (stage.listener.clone(), stage.groups[0].clone());
    let rule = json!({ "ListenerArn": listener, "Priority": 1,
        "Conditions": [{ "Field": "path-pattern", "Values": ["/app/*"] }],
        "Actions": [{ "Type": "forward", "TargetGroupArn": blue }] });
    let made = stage.ok(Service::Elbv2, "CreateRule", rule);
    let arn = made["Rules"][0]["RuleArn"].as_str().expect("an ARN").to_owned();
    let fixed = json!([{ "Type": "fixed-response", "FixedResponseConfig": { "StatusCode": "404" } }]);
    stage.ok(Service::Elbv2, "ModifyListener", json!({ "ListenerArn": listener, "DefaultActions": fixed }));
    stage.begin(json!([]));
    stage.tasks("healthy");
    let elbv2 = &stage.region().elbv2;
    let weights: Vec<_> = elbv2.rules[&arn].actions[0].groups().iter().map(|group| group.weight).collect();
    assert_eq!(weights, [Some(0), Some(100)]);
    assert_eq!(elbv2.listeners[&listener].default_actions[0].r#type, "fixed-response");
}

#[test]
fn a_service_belongs_to_one_group() {
    let mut stage = Stage::new(json!({}));
    let shown = stage
        .deploy("GetDeploymentGroup", json!({ "applicationName": "app", "deploymentGroupName": "group" }));
    let mut group = shown["deploymentGroupInfo"].clone();
    // `aws ecs deploy` adds these up without looking whether they are there.
    assert_eq!(group["blueGreenDeploymentConfiguration"]["deploymentReadyOption"]["waitTimeInMinutes"], 0);
    group["deploymentGroupName"] = json!("other");
    let error = stage.call(Service::CodeDeploy, "CreateDeploymentGroup", group).expect_err("refused");
    assert_eq!(error.code, "ECSServiceMappingLimitExceededException");
}
