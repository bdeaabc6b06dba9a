use serde_json::{Value, json};

use crate::services::ecs::testing::{Caller, fargate_definition, place};

fn caller() -> Caller {
    Caller::new(true, 1.0)
}

#[test]
fn a_definition_comes_back_with_the_defaults_of_aws() {
    let answer = caller().ok("RegisterTaskDefinition", fargate_definition("app"));
    let mut definition = answer["taskDefinition"].clone();
    definition["registeredAt"] = json!(0);
    insta::assert_json_snapshot!(definition);
}

#[test]
fn revisions_count_up_and_are_never_used_again() {
    let caller = caller();
    for revision in 1..=3 {
        let answer = caller.ok("RegisterTaskDefinition", fargate_definition("app"));
        assert_eq!(answer["taskDefinition"]["revision"], revision);
    }
    caller.ok("DeregisterTaskDefinition", json!({ "taskDefinition": "app:3" }));
    let latest = caller.ok("DescribeTaskDefinition", json!({ "taskDefinition": "app" }));
    assert_eq!(latest["taskDefinition"]["revision"], 2);
    let third = caller.ok("DescribeTaskDefinition", json!({ "taskDefinition": "app:3" }));
    assert_eq!(third["taskDefinition"]["status"], "INACTIVE");
    assert!(third["taskDefinition"]["deregisteredAt"].is_number());
    let gone = caller.ok("DeleteTaskDefinitions", json!({ "taskDefinitions": ["app:3", "app:2", "app:9"] }));
    assert_eq!(gone["taskDefinitions"][0]["status"], "DELETE_IN_PROGRESS");
    assert_eq!(gone["failures"].as_array().map(Vec::len), Some(2));
    let next = caller.ok("RegisterTaskDefinition", fargate_definition("app"));
    assert_eq!(next["taskDefinition"]["revision"], 4);
}

#[test]
fn lists_are_by_family_status_and_page() {
    let caller = caller();
    for family in ["a", "app", "app-b"] {
        for _ in 0..11 {
            caller.ok("RegisterTaskDefinition", fargate_definition(family));
        }
    }
    let list = |parameters: Value| {
        let answer = caller.ok("ListTaskDefinitions", parameters);
        let arns = answer["taskDefinitionArns"].as_array().expect("a list").clone();
        let names: Vec<_> = arns
            .iter()
            .map(|arn| arn.as_str().expect("text").rsplit('/').next().expect("a name").to_owned())
            .collect();
        (names, answer["nextToken"].as_str().map(str::to_owned))
    };
    let (names, token) = list(json!({ "familyPrefix": "app", "sort": "DESC", "maxResults": 2 }));
    assert_eq!(names, ["app:11", "app:10"]);
    let (names, _) =
        list(json!({ "familyPrefix": "app", "sort": "DESC", "maxResults": 2, "nextToken": token }));
    assert_eq!(names, ["app:9", "app:8"]);
    assert_eq!(list(json!({})).0.len(), 33);
    assert!(list(json!({ "status": "INACTIVE" })).0.is_empty());
    let families = caller.ok("ListTaskDefinitionFamilies", json!({ "familyPrefix": "app" }));
    assert_eq!(families["families"], json!(["app", "app-b"]));
}

#[test]
fn wrong_definitions_are_refused_in_the_words_of_aws() {
    let caller = caller();
    let with = |field: &str, value: Value| {
        let mut definition = fargate_definition("app");
        definition[field] = value;
        caller.err("RegisterTaskDefinition", definition)
    };
    let client = |message: &str| ("ClientException".to_owned(), message.to_owned());
    assert_eq!(
        with("memory", json!("4096")),
        client(
            "No Fargate configuration exists for given values: 256 CPU, 4096 memory. See the Amazon ECS \
             documentation for the valid values."
        )
    );
    assert_eq!(with("networkMode", json!("bridge")), client("Fargate only supports network mode 'awsvpc'."));
    assert_eq!(with("containerDefinitions", json!([])), client("Container list cannot be empty."));
    assert_eq!(
        with(
            "containerDefinitions",
            json!([{ "name": "web", "image": "1.dkr.ecr.us-east-1.amazonaws.com/a" }])
        ),
        client("Fargate requires task definition to have execution role ARN to support ECR images.")
    );
    assert_eq!(
        with(
            "containerDefinitions",
            json!([{ "name": "web", "image": "a", "portMappings": [{ "containerPort": 80, "hostPort": 81 }] }])
        ),
        client("When networkMode=awsvpc, the host ports and container ports in port mappings must match.")
    );
    assert_eq!(
        caller.err("DescribeTaskDefinition", json!({ "taskDefinition": "nothing" })),
        client("Unable to describe task definition.")
    );
}

#[test]
fn tags_are_shown_on_request() {
    let caller = caller();
    let mut definition = fargate_definition("app");
    definition["tags"] = json!([{ "key": "team", "value": "a" }]);
    caller.ok("RegisterTaskDefinition", definition);
    let plain = caller.ok("DescribeTaskDefinition", json!({ "taskDefinition": "app" }));
    assert_eq!(plain.get("tags"), None);
    let tagged = caller.ok("DescribeTaskDefinition", json!({ "taskDefinition": "app", "include": ["TAGS"] }));
    assert_eq!(tagged["tags"], json!([{ "key": "team", "value": "a" }]));
}

#[test]
fn a_family_whose_revisions_are_all_deleted_is_not_listed() {
    let caller = caller();
    caller.ok("RegisterTaskDefinition", fargate_definition("app"));
    caller.ok("DeregisterTaskDefinition", json!({ "taskDefinition": "app:1" }));
    let families = |status: &str| {
        caller.ok("ListTaskDefinitionFamilies", json!({ "status": status }))["families"].clone()
    };
    assert_eq!(families("INACTIVE"), json!(["app"]));
    caller.ok("DeleteTaskDefinitions", json!({ "taskDefinitions": ["app:1"] }));
    assert_eq!((families("INACTIVE"), families("ALL")), (json!([]), json!([])));
    let next = caller.ok("RegisterTaskDefinition", fargate_definition("app"));
    assert_eq!(next["taskDefinition"]["revision"], 2);
}

#[test]
fn a_deleted_revision_goes_with_its_last_use() {
    let caller = caller();
    caller.furnish();
    caller.ok("CreateService", caller.service("web", 0));
    caller.ok("DeregisterTaskDefinition", json!({ "taskDefinition": "app:1" }));
    caller.ok("DeleteTaskDefinitions", json!({ "taskDefinitions": ["app:1"] }));
    let forget = || {
        caller.world.write(|state| {
            let place = place();
            super::forget_deleted(&mut state.region_mut(&place.account, &place.region).ecs)
        })
    };
    assert!(!forget());
    let shown = caller.ok("DescribeTaskDefinition", json!({ "taskDefinition": "app:1" }));
    assert_eq!(shown["taskDefinition"]["status"], "DELETE_IN_PROGRESS");
    caller.ok("DeleteService", json!({ "cluster": "main", "service": "web" }));
    assert!(forget());
    assert_eq!(
        caller.err("DescribeTaskDefinition", json!({ "taskDefinition": "app:1" })).0,
        "ClientException"
    );
}
