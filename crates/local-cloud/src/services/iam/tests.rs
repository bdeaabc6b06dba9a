use serde_json::{Value, json};

use crate::clock::Clock;
use crate::services::{self, Call, Settings};
use crate::wire::{ApiError, Input, Output, Service};
use crate::world::{Partition, State};

const TRUST: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}"#;
const ALLOW: &str =
    r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}"#;

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
            access_key: None,
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
        let role = json!({ "RoleName": name, "AssumeRolePolicyDocument": TRUST });
        account.ask("CreateRole", role).expect("made");
        account
    }
}

#[test]
fn a_role_is_made_found_and_only_made_once() {
    let mut account = Account::with_role("web");
    let role = account.ask("GetRole", json!({ "RoleName": "web" })).expect("found")["Role"].clone();
    assert_eq!(role["Arn"], "arn:aws:iam::123456789012:role/web");
    let document = role["AssumeRolePolicyDocument"].as_str().expect("a document");
    assert!(document.starts_with("%7B%22Version%22%3A%20%222012%2D10%2D17%22%2C"), "{document}");
    for name in ["web", "Web"] {
        let again = json!({ "RoleName": name, "Path": "/team/", "AssumeRolePolicyDocument": TRUST });
        let error = account.ask("CreateRole", again).expect_err("refused");
        assert_eq!((error.code.as_str(), error.status.as_u16()), ("EntityAlreadyExists", 409));
    }
}

#[test]
fn names_are_unique_whatever_their_path_and_case() {
    let mut account = Account::new();
    let policy =
        |name: &str, path: &str| json!({ "PolicyName": name, "Path": path, "PolicyDocument": ALLOW });
    account.ask("CreatePolicy", policy("own", "/")).expect("made");
    let twice = account.ask("CreatePolicy", policy("Own", "/team/")).expect_err("refused");
    assert_eq!(twice.code, "EntityAlreadyExists");
    let profile = |name: &str| json!({ "InstanceProfileName": name });
    account.ask("CreateInstanceProfile", profile("web")).expect("made");
    let twice = account.ask("CreateInstanceProfile", profile("WEB")).expect_err("refused");
    assert_eq!(twice.code, "EntityAlreadyExists");
}

#[test]
fn sessions_last_an_hour_to_twelve() {
    let mut account = Account::with_role("web");
    let mut told = |seconds: i64| {
        let asked = json!({ "RoleName": "web", "MaxSessionDuration": seconds });
        account.ask("UpdateRole", asked).map_or_else(|error| error.message, |_| String::new())
    };
    assert_eq!(told(43_200), "");
    insta::assert_snapshot!(told(-1), @"1 validation error detected: Value '-1' at 'maxSessionDuration' failed to satisfy constraint: Member must have value greater than or equal to 3600");
    insta::assert_snapshot!(told(43_201), @"1 validation error detected: Value '43201' at 'maxSessionDuration' failed to satisfy constraint: Member must have value less than or equal to 43200");
}

#[test]
fn policies_are_found_by_scope_path_and_use() {
    let mut account = Account::with_role("web");
    let aws = "arn:aws:iam::aws:policy/service-role/AWSCodeDeployRoleForECS";
    account.ask("AttachRolePolicy", json!({ "RoleName": "web", "PolicyArn": aws })).expect("attached");
    for (name, path) in [("own", "/"), ("theirs", "/team/")] {
        let policy = json!({ "PolicyName": name, "Path": path, "PolicyDocument": ALLOW });
        account.ask("CreatePolicy", policy).expect("made");
    }
    let mut found = |asked: Value| -> Vec<String> {
        let listed = account.ask("ListPolicies", asked).expect("listed")["Policies"].clone();
        let listed = listed.as_array().into_iter().flatten();
        listed.filter_map(|policy| policy["PolicyName"].as_str()).map(str::to_owned).collect()
    };
    assert_eq!(found(json!({})), ["own", "theirs", "AWSCodeDeployRoleForECS"]);
    assert_eq!(found(json!({ "Scope": "Local" })), ["own", "theirs"]);
    assert_eq!(found(json!({ "Scope": "Local", "OnlyAttached": "true" })), [""; 0]);
    assert_eq!(found(json!({ "OnlyAttached": "true" })), ["AWSCodeDeployRoleForECS"]);
    assert_eq!(found(json!({ "PathPrefix": "/team/" })), ["theirs"]);
    let attached = json!({ "RoleName": "web", "PathPrefix": "/team/" });
    let attached = account.ask("ListAttachedRolePolicies", attached).expect("listed");
    assert_eq!(attached["AttachedPolicies"], json!([]));
}

#[test]
fn whoever_has_a_policy_is_listed_with_its_id() {
    let mut account = Account::with_role("web");
    let aws = "arn:aws:iam::aws:policy/ReadOnlyAccess";
    account.ask("AttachRolePolicy", json!({ "RoleName": "web", "PolicyArn": aws })).expect("attached");
    let id = account.ask("GetRole", json!({ "RoleName": "web" })).expect("found")["Role"]["RoleId"].clone();
    let mut roles = |filter: &str| {
        let asked = json!({ "PolicyArn": aws, "EntityFilter": filter });
        account.ask("ListEntitiesForPolicy", asked).expect("listed")["PolicyRoles"].clone()
    };
    assert_eq!(roles("Role"), json!([{ "RoleName": "web", "RoleId": id }]));
    assert_eq!(roles("User"), json!([]));
    let version = json!({ "PolicyArn": aws, "VersionId": "v1" });
    let version = account.ask("GetPolicyVersion", version).expect("found");
    assert_eq!(version["PolicyVersion"]["IsDefaultVersion"], true);
    let versions = account.ask("ListPolicyVersions", json!({ "PolicyArn": aws })).expect("listed");
    assert_eq!(versions["Versions"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_role_that_holds_policies_is_not_deleted() {
    let mut account = Account::with_role("web");
    let aws = "arn:aws:iam::aws:policy/AWSCodeDeployRoleForECS";
    account.ask("AttachRolePolicy", json!({ "RoleName": "web", "PolicyArn": aws })).expect("attached");
    let inline = json!({ "RoleName": "web", "PolicyName": "own", "PolicyDocument": ALLOW });
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
        let role = json!({ "RoleName": format!("r{number}"), "AssumeRolePolicyDocument": TRUST });
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
        account.ask("CreatePolicy", json!({ "PolicyName": "own", "PolicyDocument": ALLOW })).expect("made");
    let arn = made["Policy"]["Arn"].clone();
    let version = json!({ "PolicyArn": arn, "PolicyDocument": ALLOW, "SetAsDefault": "true" });
    account.ask("CreatePolicyVersion", version).expect("made");
    let first = json!({ "PolicyArn": arn, "MaxItems": "1" });
    let first = account.ask("ListPolicyVersions", first).expect("listed");
    assert_eq!((&first["Versions"][0]["VersionId"], &first["IsTruncated"]), (&json!("v2"), &json!(true)));
    let policy = account.ask("GetPolicy", json!({ "PolicyArn": arn })).expect("found");
    assert_eq!(policy["Policy"]["DefaultVersionId"], "v2");
    let conflict = account.ask("DeletePolicy", json!({ "PolicyArn": arn })).expect_err("refused");
    assert_eq!(conflict.code, "DeleteConflict");
    account.ask("DeletePolicyVersion", json!({ "PolicyArn": arn, "VersionId": "v1" })).expect("deleted");
    account.ask("DeletePolicy", json!({ "PolicyArn": arn })).expect("deleted");
}

#[test]
fn an_identity_provider_is_known_by_its_host() {
    let mut account = Account::new();
    let asked = json!({
        "Url": "https://token.actions.githubusercontent.com", "ClientIDList": ["sts.amazonaws.com"],
        "ThumbprintList": ["6938fd4d98bab03faadb97b34396831e3780aea1"],
    });
    let made = account.ask("CreateOpenIDConnectProvider", asked.clone()).expect("made");
    let arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com";
    assert_eq!(made["OpenIDConnectProviderArn"], arn);
    let twice = account.ask("CreateOpenIDConnectProvider", asked).expect_err("refused");
    assert_eq!(twice.code, "EntityAlreadyExists");
    let client = json!({ "OpenIDConnectProviderArn": arn, "ClientID": "other" });
    account.ask("AddClientIDToOpenIDConnectProvider", client).expect("added");
    let which = json!({ "OpenIDConnectProviderArn": arn });
    let seen = account.ask("GetOpenIDConnectProvider", which.clone()).expect("seen");
    assert_eq!(seen["ClientIDList"], json!(["sts.amazonaws.com", "other"]));
    account.ask("DeleteOpenIDConnectProvider", which.clone()).expect("deleted");
    let gone = account.ask("GetOpenIDConnectProvider", which).expect_err("gone");
    assert_eq!(gone.code, "NoSuchEntity");
}
