use serde_json::{Value, json};

use crate::services::elbv2::testing::Cloud;
use crate::wire::Service;

fn ok(cloud: &Cloud, operation: &str, parameters: Value) -> Value {
    cloud.ask(Service::CloudWatch, operation, parameters).expect(operation)
}

fn refused(cloud: &Cloud, operation: &str, parameters: Value) -> String {
    let error = cloud.ask(Service::CloudWatch, operation, parameters).expect_err(operation);
    format!("{}: {}", error.code, error.message)
}

fn alarm(name: &str) -> Value {
    json!({
        "AlarmName": name, "Namespace": "AWS/ApplicationELB", "MetricName": "HTTPCode_Target_5XX_Count",
        "Statistic": "Sum", "Period": "60", "EvaluationPeriods": "1", "Threshold": "10",
        "ComparisonOperator": "GreaterThanThreshold", "Tags": [{ "Key": "a", "Value": "b" }],
    })
}

#[test]
fn an_alarm_goes_from_state_to_state() {
    let cloud = Cloud::new();
    ok(&cloud, "PutMetricAlarm", alarm("errors"));
    let shown = ok(&cloud, "DescribeAlarms", json!({}))["MetricAlarms"][0].clone();
    assert_eq!(shown["StateValue"], "INSUFFICIENT_DATA");
    assert_eq!((&shown["Threshold"], &shown["Period"]), (&json!(10.0), &json!(60)));
    assert_eq!(shown["AlarmArn"], "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:errors");
    assert_eq!(shown["ActionsEnabled"], true);
    let fire = json!({ "AlarmName": "errors", "StateValue": "ALARM", "StateReason": "a test" });
    ok(&cloud, "SetAlarmState", fire);
    // What is put again keeps its state.
    ok(&cloud, "PutMetricAlarm", alarm("errors"));
    ok(&cloud, "PutMetricAlarm", alarm("other"));
    let firing = ok(&cloud, "DescribeAlarms", json!({ "StateValue": "ALARM" }));
    assert_eq!(firing["MetricAlarms"][0]["AlarmName"], "errors");
    assert_eq!(firing["MetricAlarms"].as_array().map(Vec::len), Some(1));
    let history = ok(&cloud, "DescribeAlarmHistory", json!({ "HistoryItemType": "StateUpdate" }));
    assert_eq!(
        history["AlarmHistoryItems"][0]["HistorySummary"],
        "Alarm updated from INSUFFICIENT_DATA to ALARM"
    );
    let tags = ok(&cloud, "ListTagsForResource", json!({ "ResourceARN": shown["AlarmArn"] }));
    assert_eq!(tags["Tags"], json!([{ "Key": "a", "Value": "b" }]));
}

#[test]
fn what_is_wrong_is_named() {
    let cloud = Cloud::new();
    let mut wrong = alarm("errors");
    wrong["ComparisonOperator"] = json!("Near");
    assert!(refused(&cloud, "PutMetricAlarm", wrong).starts_with("ValidationError: 1 validation error"));
    let mut wrong = alarm("errors");
    wrong["EvaluationPeriods"] = Value::Null;
    insta::assert_snapshot!(
        refused(&cloud, "PutMetricAlarm", wrong),
        @"MissingParameter: The parameter EvaluationPeriods is required."
    );
    let none = json!({ "AlarmName": "none", "StateValue": "OK", "StateReason": "" });
    insta::assert_snapshot!(
        refused(&cloud, "SetAlarmState", none),
        @"ResourceNotFound: Alarm none does not exist"
    );
}

#[test]
fn alarms_are_deleted_all_or_none() {
    let cloud = Cloud::new();
    ok(&cloud, "PutMetricAlarm", alarm("one"));
    let error = refused(&cloud, "DeleteAlarms", json!({ "AlarmNames": ["one", "two"] }));
    insta::assert_snapshot!(error, @"ResourceNotFound: Alarms not found: two");
    assert_eq!(ok(&cloud, "DescribeAlarms", json!({}))["MetricAlarms"].as_array().map(Vec::len), Some(1));
    ok(&cloud, "DeleteAlarms", json!({ "AlarmNames": ["one"] }));
    assert_eq!(ok(&cloud, "DescribeAlarms", json!({}))["MetricAlarms"], json!([]));
}
