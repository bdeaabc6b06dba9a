//! A stage of a plugin that works on AWS by itself, with the access that it asks its host for.

use pipeline_tests::python;
use serde_json::{Value, json};

use crate::place::Place;

/// What the AWS CLI says to a command of `aws logs`.
pub(crate) fn logs(place: &Place, args: &[&str]) -> Value {
    python::aws(&place.endpoint(), &[&["logs"], args].concat())
}

/// The log groups there are.
fn log_groups(place: &Place) -> Value {
    logs(place, &["describe-log-groups", "--query", "logGroups[].logGroupName"])
}

fn place() -> Place {
    let place = Place::new();
    place.python("migrate");
    let python = python::programs().join("python");
    let plugin = format!("#!{}\n{}", python.display(), include_str!("log_group.py"));
    place.executable("log_group.py", &plugin);
    place
}

const GROUP: &str =
    "region = \"eu-central-1\"\n[stages.group]\nuses = \"./log_group.py\"\nname = \"/shop/audit\"\n";

#[test]
fn a_plugin_makes_what_it_is_there_for_in_the_cloud_of_the_pipeline() {
    let place = place();
    place.write(GROUP);
    assert!(place.run(&["plan"]).expect_code(0).stdout.contains("logs:log-group"));
    assert_eq!(log_groups(&place), json!([]), "a plan changes nothing");

    let _ = place.run(&["run"]).expect_code(0);
    assert_eq!(log_groups(&place), json!(["/shop/audit"]));
    let _ = place.run(&["plan", "--detailed-exit-code"]).expect_code(0);

    let kept = place.kept();
    assert!(kept.contains("/shop/audit") && !kept.contains("secret_access_key"), "no access is kept");

    let _ = place.run(&["destroy", "--yes"]).expect_code(0);
    assert_eq!(log_groups(&place), json!([]));
}

#[test]
fn what_it_has_made_goes_when_a_later_stage_fails() {
    let place = place();
    place.write(&format!(
        "{GROUP}[stages.check]\nuses = \"./libsmoke_test.so\"\nneeds = [\"group\"]\nurl = \"http://127.0.0.1:9/\"\n\
         attempts = 1\n"
    ));
    place.library("smoke_test");
    let failed = place.run(&["run"]).expect_code(3);
    assert!(failed.stdout.contains("group"), "{failed:?}");
    assert_eq!(log_groups(&place), json!([]));
}
