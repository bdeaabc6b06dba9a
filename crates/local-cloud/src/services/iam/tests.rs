use serde_json::{Value, json};

use crate::clock::Clock;
use crate::services::elbv2::testing::Cloud;
use crate::services::{self, Call, Settings};
use crate::wire::{ApiError, Input, Output, Service};
use crate::world::{Partition, State};

struct Account {
    state: State,
    settings: Settings,
}

impl Account {
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
            place: Partition { account: "123456789012".into(), region: "eu-central-1".into() },
            now: self.settings.clock.now(),
            settings: &self.settings,
            state: &mut self.state,
        };
        let input = Input::from_value(Service::Iam, parameters);
        services::call(&mut call, Service::Iam, operation, &input).map(Output::into_body)
    }

    fn with_role(name: &str) -> Self {
        let mut account = Self::new();
        let role = json!({ "RoleName": name, "AssumeRolePolicyDocument": "{\"Version\": \"2012-10-17\"}" });
        account.ask("CreateRole", role).expect("made");
        account
    }
}

#[test]
fn a_role_is_made_found_and_only_made_once() {
    let mut account = Account::with_role("web");
    let role = account.ask("GetRole", json!({ "RoleName": "web" })).expect("found")["Role"].clone();
    assert_eq!(role["Arn"], "arn:aws:iam::123456789012:role/web");
    assert_eq!(role["AssumeRolePolicyDocument"], "%7B%22Version%22%3A%20%222012%2D10%2D17%22%7D");
    let again = json!({ "RoleName": "web", "AssumeRolePolicyDocument": "{}" });
    let error = account.ask("CreateRole", again).expect_err("refused");
    assert_eq!((error.code.as_str(), error.status.as_u16()), ("EntityAlreadyExists", 409));
}

#[test]
fn a_role_that_holds_policies_is_not_deleted() {
    let mut account = Account::with_role("web");
    let aws = "arn:aws:iam::aws:policy/AWSCodeDeployRoleForECS";
    account.ask("AttachRolePolicy", json!({ "RoleName": "web", "PolicyArn": aws })).expect("attached");
    let inline = json!({ "RoleName": "web", "PolicyName": "own", "PolicyDocument": "{}" });
    account.ask("PutRolePolicy", inline).expect("put");
    let delete = |account: &mut Account| account.ask("DeleteRole", json!({ "RoleName": "web" }));
    assert_eq!(delete(&mut account).expect_err("attached").code, "DeleteConflict");
    account.ask("DetachRolePolicy", json!({ "RoleName": "web", "PolicyArn": aws })).expect("detached");
    assert_eq!(delete(&mut account).expect_err("inline").code, "DeleteConflict");
    account.ask("DeleteRolePolicy", json!({ "RoleName": "web", "PolicyName": "own" })).expect("deleted");
    delete(&mut account).expect("deleted");
    let gone = account.ask("GetRole", json!({ "RoleName": "web" })).expect_err("gone");
    assert_eq!((gone.code.as_str(), gone.status.as_u16()), ("NoSuchEntity", 404));
}

#[test]
fn documents_and_policies_have_to_exist() {
    let mut account = Account::with_role("web");
    let inline = json!({ "RoleName": "web", "PolicyName": "own", "PolicyDocument": "not JSON" });
    assert_eq!(account.ask("PutRolePolicy", inline).expect_err("refused").code, "MalformedPolicyDocument");
    let missing = json!({ "RoleName": "web", "PolicyArn": "arn:aws:iam::123456789012:policy/none" });
    assert_eq!(account.ask("AttachRolePolicy", missing).expect_err("refused").code, "NoSuchEntity");
}

#[test]
fn lists_come_in_pages() {
    let mut account = Account::with_role("r0");
    for number in 1..5 {
        let role = json!({ "RoleName": format!("r{number}"), "AssumeRolePolicyDocument": "{}" });
        account.ask("CreateRole", role).expect("made");
    }
    let first = account.ask("ListRoles", json!({ "MaxItems": "3" })).expect("listed");
    assert_eq!((first["Roles"].as_array().map(Vec::len), &first["IsTruncated"]), (Some(3), &json!(true)));
    let rest = account.ask("ListRoles", json!({ "Marker": first["Marker"] })).expect("listed");
    assert_eq!((rest["Roles"].as_array().map(Vec::len), &rest["IsTruncated"]), (Some(2), &json!(false)));
}

#[test]
fn a_policy_keeps_its_versions() {
    let mut account = Account::new();
    let made =
        account.ask("CreatePolicy", json!({ "PolicyName": "own", "PolicyDocument": "{}" })).expect("made");
    let arn = made["Policy"]["Arn"].clone();
    let version = json!({ "PolicyArn": arn, "PolicyDocument": "{\"a\": 1}", "SetAsDefault": "true" });
    account.ask("CreatePolicyVersion", version).expect("made");
    let policy = account.ask("GetPolicy", json!({ "PolicyArn": arn })).expect("found");
    assert_eq!(policy["Policy"]["DefaultVersionId"], "v2");
    let conflict = account.ask("DeletePolicy", json!({ "PolicyArn": arn })).expect_err("refused");
    assert_eq!(conflict.code, "DeleteConflict");
    account.ask("DeletePolicyVersion", json!({ "PolicyArn": arn, "VersionId": "v1" })).expect("deleted");
    account.ask("DeletePolicy", json!({ "PolicyArn": arn })).expect("deleted");
}

fn ok(cloud: &Cloud, operation: &str, parameters: Value) -> Value {
    cloud.ask(Service::Iam, operation, parameters).expect(operation)
}

fn refused(cloud: &Cloud, operation: &str, parameters: Value) -> String {
    let error = cloud.ask(Service::Iam, operation, parameters).expect_err(operation);
    format!("{}: {}", error.code, error.message)
}

#[test]
fn policies_and_profiles_have_tags() {
    let cloud = Cloud::new();
    let made = ok(&cloud, "CreatePolicy", json!({ "PolicyName": "p", "PolicyDocument": "{}" }));
    let policy = json!({ "PolicyArn": made["Policy"]["Arn"] });
    ok(&cloud, "CreateInstanceProfile", json!({ "InstanceProfileName": "i" }));
    for (kind, resource) in [("Policy", policy), ("InstanceProfile", json!({ "InstanceProfileName": "i" }))] {
        let with = |more: Value| {
            let mut all = resource.clone();
            all.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
            all
        };
        let tags = json!([{ "Key": "a", "Value": "1" }, { "Key": "b", "Value": "" }]);
        ok(&cloud, &format!("Tag{kind}"), with(json!({ "Tags": tags })));
        ok(&cloud, &format!("Tag{kind}"), with(json!({ "Tags": [{ "Key": "A", "Value": "2" }] })));
        ok(&cloud, &format!("Untag{kind}"), with(json!({ "TagKeys": ["b"] })));
        let shown = ok(&cloud, &format!("List{kind}Tags"), with(json!({})));
        assert_eq!(shown["Tags"], json!([{ "Key": "A", "Value": "2" }]), "{kind}");
        let twice = json!([{ "Key": "a", "Value": "" }, { "Key": "A", "Value": "" }]);
        let error = refused(&cloud, &format!("Tag{kind}"), with(json!({ "Tags": twice })));
        assert!(error.contains("Tag keys are case insensitive"), "{error}");
    }
}

#[test]
fn service_linked_roles_have_the_names_of_their_services() {
    let cloud = Cloud::new();
    let made = ok(&cloud, "CreateServiceLinkedRole", json!({ "AWSServiceName": "ecs.amazonaws.com" }));
    assert_eq!(made["Role"]["RoleName"], "AWSServiceRoleForECS");
    let suffixed = json!({ "AWSServiceName": "autoscaling.amazonaws.com", "CustomSuffix": "mine" });
    let made = ok(&cloud, "CreateServiceLinkedRole", suffixed);
    assert_eq!(made["Role"]["RoleName"], "AWSServiceRoleForAutoScaling_mine");
    let which = json!({ "RoleName": "AWSServiceRoleForECS" });
    assert!(refused(&cloud, "DeleteRole", which.clone()).starts_with("UnmodifiableEntity"));
    let task = ok(&cloud, "DeleteServiceLinkedRole", which.clone())["DeletionTaskId"].clone();
    let status = ok(&cloud, "GetServiceLinkedRoleDeletionStatus", json!({ "DeletionTaskId": task }));
    assert_eq!(status["Status"], "SUCCEEDED");
    assert!(refused(&cloud, "GetRole", which).starts_with("NoSuchEntity"));
}

#[test]
fn another_version_becomes_the_default() {
    let cloud = Cloud::new();
    let made = ok(&cloud, "CreatePolicy", json!({ "PolicyName": "p", "PolicyDocument": "{}" }));
    let arn = made["Policy"]["Arn"].clone();
    ok(&cloud, "CreatePolicyVersion", json!({ "PolicyArn": arn, "PolicyDocument": "{}" }));
    let set = |version: &str| json!({ "PolicyArn": arn, "VersionId": version });
    ok(&cloud, "SetDefaultPolicyVersion", set("v2"));
    let shown = ok(&cloud, "GetPolicy", json!({ "PolicyArn": arn }));
    assert_eq!(shown["Policy"]["DefaultVersionId"], "v2");
    assert!(refused(&cloud, "SetDefaultPolicyVersion", set("v9")).starts_with("NoSuchEntity"));
}
