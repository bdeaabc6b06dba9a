use serde_json::{Value, json};

use crate::services::ecs::testing::Caller;

fn caller() -> Caller {
    let caller = Caller::new(true, 1.0);
    caller.furnish();
    caller
}

fn parameter(message: &str) -> (String, String) {
    ("InvalidParameterException".to_owned(), message.to_owned())
}

#[test]
fn an_inert_service_stays_pending() {
    let caller = caller();
    let made = caller.ok("CreateService", caller.service("web", 2));
    let service = &made["service"];
    assert_eq!(service["serviceArn"], "arn:aws:ecs:eu-central-1:123456789012:service/main/web");
    assert_eq!((&service["pendingCount"], &service["runningCount"]), (&json!(2), &json!(0)));
    assert_eq!(service["deployments"][0]["status"], "PRIMARY");
    assert_eq!(service["deployments"][0]["rolloutState"], "IN_PROGRESS");
    assert_eq!(service["deploymentController"]["type"], "ECS");
    assert_eq!(service["launchType"], "FARGATE");
    assert_eq!(service["schedulingStrategy"], "REPLICA");
    assert_eq!(
        caller.err("CreateService", caller.service("web", 2)),
        parameter("Creation of service was not idempotent.")
    );
}

#[test]
fn a_token_makes_creation_idempotent() {
    let caller = caller();
    let mut wish = caller.service("web", 1);
    wish["clientToken"] = json!("t-1");
    let first = caller.ok("CreateService", wish.clone());
    let second = caller.ok("CreateService", wish);
    assert_eq!(first, second);
}

#[test]
fn a_name_is_free_again_after_deletion() {
    let caller = caller();
    caller.ok("CreateService", caller.service("web", 1));
    assert_eq!(
        caller.err("DeleteService", json!({ "cluster": "main", "service": "web" })),
        parameter("The service cannot be stopped while it is scaled above 0.")
    );
    assert_eq!(
        caller.err("DeleteCluster", json!({ "cluster": "main" })).0,
        "ClusterContainsServicesException"
    );
    let gone = caller.ok("DeleteService", json!({ "cluster": "main", "service": "web", "force": true }));
    assert_eq!(gone["service"]["status"], "DRAINING");
    let shown = caller.ok("DescribeServices", json!({ "cluster": "main", "services": ["web"] }));
    assert_eq!(shown["services"][0]["status"], "INACTIVE");
    assert_eq!(caller.ok("ListServices", json!({ "cluster": "main" }))["serviceArns"], json!([]));
    assert_eq!(
        caller.err("UpdateService", json!({ "cluster": "main", "service": "web", "desiredCount": 1 })).0,
        "ServiceNotActiveException"
    );
    caller.ok("CreateService", caller.service("web", 1));
}

#[test]
fn what_is_missing_is_said() {
    let caller = caller();
    let shown = caller.ok("DescribeServices", json!({ "cluster": "main", "services": ["no"] }));
    assert_eq!(
        shown["failures"],
        json!([{ "arn": "arn:aws:ecs:eu-central-1:123456789012:service/main/no", "reason": "MISSING" }])
    );
    assert_eq!(
        caller.err("DescribeServices", json!({ "cluster": "no", "services": ["web"] })).0,
        "ClusterNotFoundException"
    );
    assert_eq!(
        caller.err("UpdateService", json!({ "cluster": "main", "service": "no" })).0,
        "ServiceNotFoundException"
    );
    assert_eq!(
        caller.err("DeleteService", json!({ "cluster": "main", "service": "no" })).0,
        "ServiceNotFoundException"
    );
}

#[test]
fn wrong_services_are_refused_in_the_words_of_aws() {
    let caller = caller();
    let with = |field: &str, value: Value| {
        let mut wish = caller.service("web", 1);
        wish[field] = value;
        caller.err("CreateService", wish)
    };
    assert_eq!(
        with("networkConfiguration", json!({})),
        parameter("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    );
    assert_eq!(with("taskDefinition", json!("no")).0, "ClientException");
    assert_eq!(
        with("healthCheckGracePeriodSeconds", json!(5)),
        parameter("Health check grace period is only valid for services configured to use load balancers")
    );
    assert_eq!(
        with("capacityProviderStrategy", json!([{ "capacityProvider": "FARGATE" }])),
        parameter(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try \
             again."
        )
    );
    assert_eq!(
        with(
            "loadBalancers",
            json!([{ "targetGroupArn": "arn:x", "containerName": "no", "containerPort": 1 }])
        ),
        parameter("The container no does not exist in the task definition.")
    );
    assert_eq!(
        with(
            "loadBalancers",
            json!([{ "targetGroupArn": "arn:x", "containerName": "web", "containerPort": 1 }])
        ),
        parameter("The container web did not have a container port 1 defined.")
    );
}

#[test]
fn a_change_begins_a_deployment_and_a_count_does_not() {
    let caller = caller();
    caller.ok("CreateService", caller.service("web", 1));
    let update = |parameters: Value| {
        let mut all = json!({ "cluster": "main", "service": "web" });
        all.as_object_mut().expect("object").extend(parameters.as_object().expect("object").clone());
        caller.ok("UpdateService", all)["service"]["deployments"].as_array().expect("list").len()
    };
    assert_eq!(update(json!({ "desiredCount": 3 })), 1);
    assert_eq!(update(json!({ "taskDefinition": "app" })), 1);
    assert_eq!(update(json!({ "forceNewDeployment": true })), 2);
    caller.ok("RegisterTaskDefinition", crate::services::ecs::testing::fargate_definition("app"));
    assert_eq!(update(json!({ "taskDefinition": "app" })), 3);
}

#[test]
fn external_services_have_task_sets() {
    let caller = caller();
    caller.ok(
        "CreateService",
        json!({
            "cluster": "main", "serviceName": "ext", "desiredCount": 3, "launchType": "FARGATE",
            "deploymentController": { "type": "EXTERNAL" }
        }),
    );
    let which = |more: Value| {
        let mut all = json!({ "cluster": "main", "service": "ext" });
        all.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
        all
    };
    let network = json!({ "awsvpcConfiguration": { "subnets": [caller.subnet()] } });
    let made = caller.ok(
        "CreateTaskSet",
        which(json!({
            "taskDefinition": "app:1", "externalId": "mine", "networkConfiguration": network,
            "scale": { "value": 50.0, "unit": "PERCENT" }
        })),
    );
    let set = &made["taskSet"];
    assert_eq!((&set["status"], &set["computedDesiredCount"]), (&json!("ACTIVE"), &json!(2)));
    assert_eq!(set["stabilityStatus"], "STABILIZING");
    assert_eq!(set["launchType"], "FARGATE");
    let id = set["taskSetArn"].clone();
    let primary = caller.ok("UpdateServicePrimaryTaskSet", which(json!({ "primaryTaskSet": id })));
    assert_eq!(primary["taskSet"]["status"], "PRIMARY");
    let scaled = caller
        .ok("UpdateTaskSet", which(json!({ "taskSet": id, "scale": { "value": 100, "unit": "PERCENT" } })));
    assert_eq!(scaled["taskSet"]["computedDesiredCount"], 3);
    let shown = caller.ok("DescribeTaskSets", which(json!({ "taskSets": [id, "ecs-svc/1"] })));
    assert_eq!(shown["taskSets"][0]["externalId"], "mine");
    assert_eq!(shown["failures"][0]["reason"], "MISSING");
    assert_eq!(caller.err("DeleteTaskSet", which(json!({ "taskSet": id }))).0, "InvalidParameterException");
    let gone = caller.ok("DeleteTaskSet", which(json!({ "taskSet": id, "force": true })));
    assert_eq!(gone["taskSet"]["status"], "DRAINING");
    assert_eq!(caller.ok("DescribeTaskSets", which(json!({})))["taskSets"], json!([]));
}

#[test]
fn task_sets_belong_to_external_services() {
    let caller = caller();
    caller.ok("CreateService", caller.service("web", 1));
    let error =
        caller.err("CreateTaskSet", json!({ "cluster": "main", "service": "web", "taskDefinition": "app" }));
    assert_eq!(error.0, "InvalidParameterException");
}

#[test]
fn a_service_of_another_cluster_is_not_looked_for_in_this_one() {
    let caller = caller();
    caller.ok("CreateCluster", json!({}));
    let arn = caller.ok("CreateService", caller.service("web", 1))["service"]["serviceArn"].clone();
    let error = parameter("Invalid identifier: Identifier is for cluster main. Your cluster is default");
    assert_eq!(caller.err("DescribeServices", json!({ "services": [arn] })), error);
    for operation in ["UpdateService", "DeleteService", "DescribeTaskSets"] {
        assert_eq!(caller.err(operation, json!({ "service": arn })), error, "{operation}");
    }
}

#[test]
fn values_that_aws_does_not_have_are_refused() {
    let caller = caller();
    caller.ok("CreateService", caller.service("web", 1));
    let network = json!({ "awsvpcConfiguration": { "subnets": [caller.subnet()], "assignPublicIp": "ON" } });
    for (field, value, code, message) in [
        ("propagateTags", json!("ALL"), "InvalidParameterException", "TASK_DEFINITION,SERVICE,NONE"),
        ("availabilityZoneRebalancing", json!("ON"), "InvalidParameterException", "ENABLED,DISABLED"),
        ("networkConfiguration", network, "InvalidParameterException", "assignPublicIp should be one of"),
        ("platformVersion", json!("9.9.9"), "PlatformUnknownException", "does not exist"),
    ] {
        let mut wish = caller.service("other", 1);
        wish[field] = value.clone();
        let change = json!({ "cluster": "main", "service": "web", field: value });
        for error in [caller.err("CreateService", wish), caller.err("UpdateService", change)] {
            assert!(error.0 == code && error.1.contains(message), "{field}: {error:?}");
        }
    }
    let include = json!({ "cluster": "main", "services": ["web"], "include": ["EVENTS"] });
    assert_eq!(caller.err("DescribeServices", include), parameter("include should be one of [TAGS]"));
    let kind = caller.err("ListServices", json!({ "cluster": "main", "launchType": "LAMBDA" }));
    assert_eq!(kind, parameter("launchType should be one of [EC2,FARGATE,EXTERNAL,MANAGED_INSTANCES]"));
}

#[test]
fn a_part_of_a_deployment_configuration_leaves_the_rest() {
    let caller = caller();
    let mut wish = caller.service("web", 1);
    wish["deploymentConfiguration"] = json!({
        "deploymentCircuitBreaker": { "enable": true, "rollback": true },
        "maximumPercent": 150, "minimumHealthyPercent": 50
    });
    caller.ok("CreateService", wish);
    let change =
        |change: Value| json!({ "cluster": "main", "service": "web", "deploymentConfiguration": change });
    let changed = caller.ok("UpdateService", change(json!({ "minimumHealthyPercent": 100 })));
    assert_eq!(
        changed["service"]["deploymentConfiguration"],
        json!({
            "deploymentCircuitBreaker": { "enable": true, "rollback": true },
            "maximumPercent": 150, "minimumHealthyPercent": 100
        })
    );
    let below = caller.err("UpdateService", change(json!({ "maximumPercent": 100 })));
    assert!(below.1.contains("must be greater than the minimum healthy percent"), "{}", below.1);
}

#[test]
fn task_sets_of_an_inert_cloud_may_name_networks_that_do_not_exist() {
    let network = json!({ "awsvpcConfiguration": { "subnets": ["subnet-1"], "securityGroups": ["sg-1"] } });
    for inert in [true, false] {
        let caller = Caller::new(inert, 1.0);
        caller.furnish();
        let external = json!({ "type": "EXTERNAL" });
        caller.ok(
            "CreateService",
            json!({ "cluster": "main", "serviceName": "ext", "deploymentController": external }),
        );
        let made = caller.call(
            "CreateTaskSet",
            json!({
                "cluster": "main", "service": "ext", "taskDefinition": "app", "launchType": "FARGATE",
                "networkConfiguration": network
            }),
        );
        assert_eq!(made.is_ok(), inert);
    }
}
