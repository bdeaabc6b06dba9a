use serde_json::{Value, json};

use crate::clock::Clock;
use crate::services::{self, Call, Settings};
use crate::wire::{ApiError, Identity, Input, Output, Service};
use crate::world::{Partition, State};

fn ask(state: &mut State, key: &str, operation: &str, parameters: Value) -> Result<Value, ApiError> {
    ask_of(Service::Sts, state, key, operation, parameters)
}

fn ask_of(
    service: Service,
    state: &mut State,
    key: &str,
    operation: &str,
    parameters: Value,
) -> Result<Value, ApiError> {
    let settings = Settings {
        endpoint: ([127, 0, 0, 1], 4580).into(),
        inert: false,
        clock: Clock::new(1.0),
        uploads: pipeline_data_plane::registry::Uploads::default(),
    };
    let identity = Identity { access_key: Some(key.to_owned()), ..Identity::default() };
    let account = identity.account().unwrap_or("123456789012").to_owned();
    let mut call = Call {
        place: Partition { account, region: "eu-central-1".into() },
        access_key: identity.access_key,
        now: settings.clock.now(),
        settings: &settings,
        state,
    };
    let input = Input::from_value(service, parameters);
    services::call(&mut call, service, operation, &input).map(Output::into_body)
}

const ROLE: &str = "arn:aws:iam::210987654321:role/team/deployer";

#[test]
fn whoever_assumes_a_role_is_in_its_account() {
    let mut state = State::default();
    let asked = json!({ "RoleArn": ROLE, "RoleSessionName": "ci" });
    let session = ask(&mut state, "test", "AssumeRole", asked).expect("assumed");
    let key = session["Credentials"]["AccessKeyId"].as_str().expect("a key");
    assert_eq!(key.len(), 20);
    let who = ask(&mut state, key, "GetCallerIdentity", json!({})).expect("known");
    assert_eq!(who["Account"], "210987654321");
    assert_eq!(who["Arn"], "arn:aws:sts::210987654321:assumed-role/deployer/ci");
    assert_eq!(who["UserId"], session["AssumedRoleUser"]["AssumedRoleId"]);
    let who = ask(&mut state, "test", "GetCallerIdentity", json!({})).expect("known");
    assert_eq!(who["Arn"], "arn:aws:iam::123456789012:root");
}

#[test]
fn a_session_of_a_role_has_its_id_and_its_limit() {
    let mut state = State::default();
    let trust = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}}"#;
    let role = json!({
        "RoleName": "deployer", "Path": "/team/", "AssumeRolePolicyDocument": trust, "MaxSessionDuration": 7200
    });
    let role = ask_of(Service::Iam, &mut state, "210987654321", "CreateRole", role).expect("made");
    let mut assume = |seconds: u64| {
        let asked = json!({ "RoleArn": ROLE, "RoleSessionName": "ci", "DurationSeconds": seconds });
        ask(&mut state, "test", "AssumeRole", asked)
    };
    let too_long = assume(7201).expect_err("refused");
    assert_eq!(too_long.code, "ValidationError");
    insta::assert_snapshot!(too_long.message, @"The requested DurationSeconds exceeds the MaxSessionDuration set for this role.");
    let session = assume(7200).expect("assumed");
    let id = format!("{}:ci", role["Role"]["RoleId"].as_str().expect("an id"));
    assert_eq!(session["AssumedRoleUser"]["AssumedRoleId"], id);
    let key = session["Credentials"]["AccessKeyId"].as_str().expect("a key");
    let who = ask(&mut state, key, "GetCallerIdentity", json!({})).expect("known");
    assert_eq!(who["UserId"], id);
}

#[test]
fn a_web_identity_is_what_its_token_says() {
    let mut state = State::default();
    // {"sub":"repo:me/hello","aud":"sts.amazonaws.com","iss":"https://issuer.test"}
    let token = "e30.eyJzdWIiOiJyZXBvOm1lL2hlbGxvIiwiYXVkIjoic3RzLmFtYXpvbmF3cy5jb20iLCJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0In0.x";
    let asked = json!({ "RoleArn": ROLE, "RoleSessionName": "ci", "WebIdentityToken": token });
    let session = ask(&mut state, "", "AssumeRoleWithWebIdentity", asked).expect("assumed");
    assert_eq!(session["SubjectFromWebIdentityToken"], "repo:me/hello");
    assert_eq!(
        (&session["Audience"], &session["Provider"]),
        (&json!("sts.amazonaws.com"), &json!("https://issuer.test"))
    );
}

#[test]
fn names_and_durations_have_limits() {
    let mut state = State::default();
    let mut refused = |name: &str, seconds: u64| {
        let asked = json!({ "RoleArn": ROLE, "RoleSessionName": name, "DurationSeconds": seconds });
        ask(&mut state, "test", "AssumeRole", asked).expect_err("refused").message
    };
    insta::assert_snapshot!(refused("a b", 900), @r"1 validation error detected: Value 'a b' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*");
    insta::assert_snapshot!(refused("ci", 60), @"1 validation error detected: Value '60' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900");
    assert!(refused(&"a".repeat(65), 900).ends_with("less than or equal to 64"));
}
