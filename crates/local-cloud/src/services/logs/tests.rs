//! CloudWatch Logs' calls.

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::services::{self, Call, Settings};
use crate::wire::{self, Input, Service};
use crate::world::{Partition, World};
use pipeline_data_plane::registry::Uploads;

struct Bench {
    world: World,
    settings: Settings,
}

impl Bench {
    fn new() -> Self {
        let endpoint = ([127, 0, 0, 1], 4580).into();
        let settings =
            Settings { endpoint, inert: false, clock: Clock::new(1.0), uploads: Uploads::default() };
        Self { world: World::in_memory(), settings }
    }

    fn call(&self, operation: &str, input: Value) -> Result<Value, String> {
        let input = Input::from_value(Service::Logs, input);
        let result = self.world.write(|state| {
            let place = Partition { account: "123456789012".to_owned(), region: "eu-west-1".to_owned() };
            let now = jiff::Timestamp::now();
            let mut call = Call { place, access_key: None, now, settings: &self.settings, state };
            services::call(&mut call, Service::Logs, operation, &input)
        });
        if let Err(error) = &result {
            return Err(format!("{}: {}", error.code, error.message));
        }
        let answer = wire::encode(Service::Logs, operation, "id", result);
        Ok(serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    fn ok(&self, operation: &str, input: Value) -> Value {
        self.call(operation, input).unwrap()
    }

    fn error(&self, operation: &str, input: Value) -> String {
        self.call(operation, input).unwrap_err()
    }
}

fn group() -> Value {
    json!({ "logGroupName": "/ecs/hello" })
}

#[test]
fn groups_have_a_retention_and_tags() {
    let bench = Bench::new();
    bench.ok("CreateLogGroup", json!({ "logGroupName": "/ecs/hello", "tags": {"a": "b"} }));
    let twice = bench.error("CreateLogGroup", group());
    insta::assert_snapshot!(twice, @"ResourceAlreadyExistsException: The specified log group already exists");
    bench.ok("PutRetentionPolicy", json!({ "logGroupName": "/ecs/hello", "retentionInDays": 14 }));
    let wrong =
        bench.error("PutRetentionPolicy", json!({ "logGroupName": "/ecs/hello", "retentionInDays": 2 }));
    insta::assert_snapshot!(wrong, @"InvalidParameterException: 1 validation error detected: Value '2' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]");
    let shown = bench.ok("DescribeLogGroups", json!({ "logGroupNamePrefix": "/ecs/" }));
    let shown = &shown["logGroups"][0];
    let arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/ecs/hello";
    assert_eq!((&shown["retentionInDays"], &shown["logGroupArn"]), (&json!(14), &json!(arn)));
    assert_eq!(shown["arn"], format!("{arn}:*"));
    bench.ok("TagResource", json!({ "resourceArn": arn, "tags": {"c": "d"} }));
    bench.ok("UntagLogGroup", json!({ "logGroupName": "/ecs/hello", "tags": ["a"] }));
    assert_eq!(bench.ok("ListTagsForResource", json!({ "resourceArn": arn }))["tags"], json!({"c": "d"}));
    bench.ok("DeleteRetentionPolicy", group());
    bench.ok("DeleteLogGroup", group());
    let gone = bench.error("DeleteLogGroup", group());
    insta::assert_snapshot!(gone, @"ResourceNotFoundException: The specified log group does not exist.");
}

#[test]
fn events_are_read_in_both_directions() {
    let bench = Bench::new();
    bench.ok("CreateLogGroup", group());
    let stream = json!({ "logGroupName": "/ecs/hello", "logStreamName": "app/1" });
    bench.ok("CreateLogStream", stream.clone());
    let now = jiff::Timestamp::now().as_millisecond();
    let with = |more: Value| {
        let mut input = stream.clone();
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let events: Vec<Value> =
        (0..5).map(|index| json!({ "timestamp": now + index, "message": format!("line {index}") })).collect();
    bench.ok("PutLogEvents", with(json!({ "logEvents": events })));
    let messages = |answer: &Value| -> Vec<String> {
        let events = answer["events"].as_array().unwrap();
        events.iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect()
    };
    let last = bench.ok("GetLogEvents", with(json!({ "limit": 2 })));
    assert_eq!(messages(&last), ["line 3", "line 4"]);
    let before =
        bench.ok("GetLogEvents", with(json!({ "limit": 2, "nextToken": last["nextBackwardToken"] })));
    assert_eq!(messages(&before), ["line 1", "line 2"]);
    let end = bench.ok("GetLogEvents", with(json!({ "nextToken": last["nextForwardToken"] })));
    assert_eq!((messages(&end).len(), &end["nextForwardToken"]), (0, &last["nextForwardToken"]));
    bench.world.write(|state| {
        let logs = &mut state.region_mut("123456789012", "eu-west-1").logs;
        logs.append("/ecs/hello", "app/2", jiff::Timestamp::now(), "ERROR here");
    });
    let found =
        bench.ok("FilterLogEvents", json!({ "logGroupName": "/ecs/hello", "filterPattern": "ERROR" }));
    assert_eq!(found["events"][0]["logStreamName"], "app/2");
    let streams = bench.ok(
        "DescribeLogStreams",
        json!({
            "logGroupName": "/ecs/hello", "orderBy": "LastEventTime", "descending": true, "limit": 1,
        }),
    );
    assert_eq!(streams["logStreams"].as_array().unwrap().len(), 1);
    let old = json!([{ "timestamp": 1, "message": "old" }]);
    let rejected = bench.ok("PutLogEvents", with(json!({ "logEvents": old })));
    assert_eq!(rejected["rejectedLogEventsInfo"], json!({ "tooOldLogEventEndIndex": 1 }));
}

#[test]
fn a_group_has_filters() {
    let bench = Bench::new();
    let metric = json!({
        "logGroupName": "/ecs/hello", "filterName": "errors", "filterPattern": "ERROR",
        "metricTransformations": [
            { "metricName": "Errors", "metricNamespace": "Hello", "metricValue": "1" }
        ],
    });
    let early = bench.error("PutMetricFilter", metric.clone());
    insta::assert_snapshot!(early, @"ResourceNotFoundException: The specified log group does not exist.");
    bench.ok("CreateLogGroup", group());
    bench.ok("PutMetricFilter", metric);
    assert_eq!(bench.ok("DescribeLogGroups", json!({}))["logGroups"][0]["metricFilterCount"], 1);
    let by_metric = json!({ "metricName": "Errors", "metricNamespace": "Other" });
    assert_eq!(bench.ok("DescribeMetricFilters", by_metric)["metricFilters"], json!([]));
    let subscribe = |name: &str| {
        json!({
            "logGroupName": "/ecs/hello", "filterName": name, "filterPattern": "",
            "destinationArn": "arn:aws:lambda:eu-west-1:123456789012:function:ship",
        })
    };
    bench.ok("PutSubscriptionFilter", subscribe("a"));
    bench.ok("PutSubscriptionFilter", subscribe("b"));
    let third = bench.error("PutSubscriptionFilter", subscribe("c"));
    insta::assert_snapshot!(third, @"LimitExceededException: Resource limit exceeded.");
    let shown = bench.ok("DescribeSubscriptionFilters", group());
    assert_eq!(shown["subscriptionFilters"][0]["distribution"], "ByLogStream");
    let which = json!({ "logGroupName": "/ecs/hello", "filterName": "errors" });
    bench.ok("DeleteMetricFilter", which.clone());
    let gone = bench.error("DeleteMetricFilter", which);
    insta::assert_snapshot!(gone, @"ResourceNotFoundException: The specified metric filter does not exist.");
}

#[test]
fn policies_of_a_region_are_kept() {
    let bench = Bench::new();
    let policy = json!({ "policyName": "route53", "policyDocument": "{}" });
    bench.ok("PutResourcePolicy", policy);
    assert_eq!(
        bench.ok("DescribeResourcePolicies", json!({}))["resourcePolicies"][0]["policyName"],
        "route53"
    );
    bench.ok("DeleteResourcePolicy", json!({ "policyName": "route53" }));
    let gone = bench.error("DeleteResourcePolicy", json!({ "policyName": "route53" }));
    insta::assert_snapshot!(gone, @"ResourceNotFoundException: Policy with name [route53] does not exist");
}

#[test]
fn groups_are_found_by_identifier_and_by_pattern() {
    let bench = Bench::new();
    for name in ["/aws/lambda/a", "/ecs/discovery", "/ecs/hello", "/ecs/aws/lambda"] {
        bench.ok("CreateLogGroup", json!({ "logGroupName": name }));
    }
    let names = |operation: &str, input: Value| -> Vec<String> {
        let answer = bench.ok(operation, input);
        let groups = answer["logGroups"].as_array().unwrap();
        groups.iter().map(|group| group["logGroupName"].as_str().unwrap().to_owned()).collect()
    };
    let arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/ecs/discovery";
    let identifiers = json!({ "logGroupIdentifiers": ["/ecs/hello", arn] });
    assert_eq!(names("DescribeLogGroups", identifiers), ["/ecs/discovery", "/ecs/hello"]);
    let both =
        bench.error("DescribeLogGroups", json!({ "logGroupIdentifiers": [arn], "logGroupNamePrefix": "/e" }));
    assert!(both.starts_with("InvalidParameterException"), "{both}");
    let pattern = json!({ "logGroupNamePattern": "^/aws/lambda|discovery" });
    assert_eq!(names("ListLogGroups", pattern.clone()), ["/aws/lambda/a", "/ecs/discovery"]);
    assert!(names("DescribeLogGroups", pattern).is_empty(), "there it is part of a name");
    let class = bench.error("CreateLogGroup", json!({ "logGroupName": "other", "logGroupClass": "COLD" }));
    insta::assert_snapshot!(class, @"InvalidParameterException: 1 validation error detected: Value 'COLD' at 'logGroupClass' failed to satisfy constraint: Member must satisfy enum value set: [STANDARD, INFREQUENT_ACCESS, DELIVERY, ESSENTIALS]");
}

#[test]
fn a_batch_of_events_is_of_one_day_and_not_too_heavy() {
    let bench = Bench::new();
    bench.ok("CreateLogGroup", group());
    let stream = json!({ "logGroupName": "/ecs/hello", "logStreamName": "app/1" });
    bench.ok("CreateLogStream", stream.clone());
    let with = |field: &str, value: Value| {
        let mut input = stream.clone();
        input[field] = value;
        input
    };
    let now = jiff::Timestamp::now().as_millisecond();
    let day = 24 * 60 * 60 * 1000;
    let at = |time: i64| json!({ "timestamp": time, "message": "a" });
    let long = bench.error("PutLogEvents", with("logEvents", json!([at(now - day - 1), at(now)])));
    insta::assert_snapshot!(long, @"InvalidParameterException: The batch of log events in a single PutLogEvents request cannot span more than 24 hours.");
    let half = json!({ "timestamp": now, "message": "a".repeat(524_263) });
    let heavy = bench.error("PutLogEvents", with("logEvents", json!([half, half])));
    insta::assert_snapshot!(heavy, @"InvalidParameterException: Upload too large: 1048578 bytes exceeds limit of 1048576");

    // The oldest is rejected, so that it does not count.
    let events = json!([at(now - 20 * day), at(now - day), at(now)]);
    bench.ok("PutLogEvents", with("logEvents", events));
    let streams = bench.ok("DescribeLogStreams", group());
    assert_eq!(streams["logStreams"][0]["storedBytes"], 0);
    let count = |answer: &Value| answer["events"].as_array().unwrap().len();
    assert_eq!(count(&bench.ok("GetLogEvents", with("endTime", json!(now)))), 1, "without the end");
    let search = json!({ "logGroupName": "/ecs/hello", "endTime": now });
    assert_eq!(count(&bench.ok("FilterLogEvents", search)), 2, "with the end");
}
