//! The example that owns something in AWS: made, changed, left alone if it is another's, put back, removed.

use serde_json::{Value, json};

use crate::access::logs;
use crate::place::Place;

fn place() -> Place {
    let place = Place::new();
    place.library("log_group");
    place
}

fn group(days: u32) -> String {
    format!(
        "region = \"eu-central-1\"\n[stages.audit]\nuses = \"./liblog_group.so\"\nname = \"/shop/audit\"\n\
         retention_days = {days}\n"
    )
}

/// A stage that fails once the group is as wanted.
const FAILS: &str = "[stages.check]\nuses = \"./libsmoke_test.so\"\nneeds = [\"audit\"]\nurl = \"http://127.0.0.1:9/\"\n\
                     attempts = 1\n";

/// How long the groups keep what is in them, as the AWS CLI tells.
fn retentions(place: &Place) -> Value {
    logs(place, &["describe-log-groups", "--query", "logGroups[].[logGroupName,retentionInDays]"])
}

#[test]
fn it_is_made_changed_and_removed() {
    let place = place();
    place.write(&group(3));
    assert!(place.run(&["plan"]).expect_code(0).stdout.contains("logs:log-group"));
    assert_eq!(retentions(&place), json!([]), "a plan changes nothing");
    let _ = place.run(&["run"]).expect_code(0);
    assert_eq!(retentions(&place), json!([["/shop/audit", 3]]));
    let _ = place.run(&["plan", "--detailed-exit-code"]).expect_code(0);

    place.write(&group(7));
    let shown = place.run(&["plan"]).expect_code(0).stdout;
    assert!(shown.contains("retention_days") && shown.contains('7'), "{shown}");
    let _ = place.run(&["run"]).expect_code(0);
    assert_eq!(retentions(&place), json!([["/shop/audit", 7]]));

    let _ = place.run(&["destroy", "--yes"]).expect_code(0);
    assert_eq!(retentions(&place), json!([]));
}

#[test]
fn what_was_there_before_comes_back_when_a_later_stage_fails() {
    let place = place();
    place.library("smoke_test");
    place.write(&group(3));
    let _ = place.run(&["run"]).expect_code(0);
    place.write(&format!("{}{FAILS}", group(7)));
    let _ = place.run(&["run"]).expect_code(3);
    assert_eq!(retentions(&place), json!([["/shop/audit", 3]]));
}

#[test]
fn what_belongs_to_others_is_left_alone() {
    let place = place();
    place.write(&group(3));
    logs(&place, &["create-log-group", "--log-group-name", "/shop/audit"]);
    let refused = place.run(&["run"]).expect_code(1);
    assert!(refused.stderr.contains("belongs to nobody who says so"), "{refused:?}");
    assert!(refused.stderr.contains("pipeline:owner=shop-test"), "{refused:?}");
    assert_eq!(retentions(&place), json!([["/shop/audit", null]]));
}
