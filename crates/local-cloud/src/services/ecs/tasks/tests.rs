use serde_json::json;

use crate::services::ecs::testing::Caller;

fn caller() -> Caller {
    let caller = Caller::new(true, 1.0);
    caller.furnish();
    caller
}

fn run(caller: &Caller) -> String {
    let answer = caller.ok(
        "RunTask",
        json!({
            "cluster": "main", "taskDefinition": "app", "launchType": "FARGATE", "startedBy": "me",
            "overrides": { "containerOverrides": [{ "name": "web", "command": ["x"] }] },
            "networkConfiguration": { "awsvpcConfiguration": { "subnets": [caller.subnet()] } }
        }),
    );
    assert_eq!(answer["failures"], json!([]));
    let task = &answer["tasks"][0];
    assert_eq!((&task["lastStatus"], &task["desiredStatus"]), (&json!("PROVISIONING"), &json!("RUNNING")));
    assert_eq!(task["group"], "family:app");
    assert_eq!(task["attachments"][0]["status"], "PRECREATED");
    assert_eq!(task["overrides"]["containerOverrides"][0]["command"], json!(["x"]));
    assert_eq!(task["platformVersion"], "1.4.0");
    assert_eq!(task["containers"][0]["lastStatus"], "PENDING");
    task["taskArn"].as_str().expect("an ARN").to_owned()
}

#[test]
fn a_task_is_run_listed_and_stopped() {
    let caller = caller();
    let arn = run(&caller);
    let list = |more: serde_json::Value| {
        let mut all = json!({ "cluster": "main" });
        all.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
        caller.ok("ListTasks", all)["taskArns"].as_array().expect("list").len()
    };
    assert_eq!(list(json!({ "startedBy": "me", "family": "app" })), 1);
    assert_eq!(list(json!({ "startedBy": "you" })), 0);
    let stopped = caller.ok("StopTask", json!({ "cluster": "main", "task": arn, "reason": "done" }));
    assert_eq!(stopped["task"]["stopCode"], "UserInitiated");
    assert_eq!(stopped["task"]["stoppedReason"], "done");
    assert_eq!(list(json!({})), 0);
    assert_eq!(list(json!({ "desiredStatus": "STOPPED" })), 1);
    let shown = caller.ok("DescribeTasks", json!({ "cluster": "main", "tasks": [arn, "0123"] }));
    assert_eq!(shown["tasks"][0]["lastStatus"], "STOPPED");
    assert_eq!(
        shown["failures"],
        json!([{ "arn": "arn:aws:ecs:eu-central-1:123456789012:task/main/0123", "reason": "MISSING" }])
    );
}

#[test]
fn there_are_no_container_instances() {
    let caller = caller();
    let error = caller.err(
        "RunTask",
        json!({
            "cluster": "main", "taskDefinition": "app",
            "networkConfiguration": { "awsvpcConfiguration": { "subnets": [caller.subnet()] } }
        }),
    );
    assert_eq!(error.1, "No Container Instances were found in your cluster.");
    let started = caller.ok(
        "StartTask",
        json!({ "cluster": "main", "taskDefinition": "app", "containerInstances": ["i-1"] }),
    );
    assert_eq!(started["failures"][0]["reason"], "MISSING");
}

#[test]
fn wrong_calls_are_refused() {
    let caller = caller();
    assert_eq!(
        caller.err("StopTask", json!({ "cluster": "main", "task": "no" })).1,
        "The referenced task was not found."
    );
    assert_eq!(
        caller.err("RunTask", json!({ "cluster": "no", "taskDefinition": "app" })).0,
        "ClusterNotFoundException"
    );
    let many = json!({ "cluster": "main", "taskDefinition": "app", "count": 11 });
    assert_eq!(caller.err("RunTask", many).0, "InvalidParameterException");
}

#[test]
fn a_token_stands_for_one_request() {
    let caller = caller();
    let wish = |more: serde_json::Value| {
        let mut all = json!({
            "cluster": "main", "taskDefinition": "app", "launchType": "FARGATE", "clientToken": "t-1",
            "networkConfiguration": { "awsvpcConfiguration": { "subnets": [caller.subnet()] } }
        });
        all.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
        all
    };
    let first = caller.ok("RunTask", wish(json!({})));
    // The same in other words.
    let cluster = "arn:aws:ecs:eu-central-1:123456789012:cluster/main";
    assert_eq!(caller.ok("RunTask", wish(json!({ "cluster": cluster, "count": 1 }))), first);
    let error = caller.call("RunTask", wish(json!({ "startedBy": "you" }))).expect_err("refused");
    assert_eq!(error.code, "ConflictException");
    assert_eq!(error.fields["resourceIds"], json!([first["tasks"][0]["taskArn"]]));
    for (field, length) in [("clientToken", 65), ("startedBy", 129)] {
        let long = caller.err("RunTask", wish(json!({ field: "x".repeat(length) })));
        assert_eq!(long.0, "InvalidParameterException", "{field}");
    }
}

#[test]
fn a_task_of_another_cluster_is_not_looked_for_in_this_one() {
    let caller = caller();
    caller.ok("CreateCluster", json!({}));
    let arn = run(&caller);
    let message = "Invalid identifier: Identifier is for cluster main. Your cluster is default";
    assert_eq!(caller.err("DescribeTasks", json!({ "tasks": [arn] })).1, message);
    assert_eq!(caller.err("StopTask", json!({ "task": arn })).1, message);
    let service = "arn:aws:ecs:eu-central-1:123456789012:service/main/web";
    assert_eq!(caller.err("ListTasks", json!({ "serviceName": service })).1, message);
}
