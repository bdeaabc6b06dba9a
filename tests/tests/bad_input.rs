//! Wrong input: each kind ends with a clear error, before anything is changed.

use std::path::Path;

use pipeline_tests::{Finished, LocalCloud, LocalCloudOptions, Pipeline};
use tempfile::TempDir;

/// The exit code of a wrong configuration, and of a failure before anything was changed.
const USAGE: i32 = 2;
const FAILED: i32 = 1;

const HEAD: &str = "[pipeline]\nname = \"hello\"\nenvironment = \"local\"\n\n[cloud]\ntarget = \"local\"\n";

fn folder(stages: &str) -> TempDir {
    with_head(HEAD, stages)
}

fn with_head(head: &str, stages: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("pipeline.toml"), format!("{head}\n{stages}")).expect("written");
    folder
}

/// What `pipeline ARGS` says of a file with these stages. No cloud runs: what is wrong in the file is
/// found without one.
fn said(stages: &str) -> String {
    let folder = folder(stages);
    let finished = Pipeline::new(folder.path()).args(["plan"]).run().expect("runs");
    shown(finished.expect_code(USAGE), folder.path())
}

fn shown(finished: Finished, folder: &Path) -> String {
    assert_eq!(finished.stdout.lines().filter(|line| line.starts_with("Planning")).count(), 0);
    finished.stderr.replace(&folder.display().to_string(), "DIR").trim_end().to_owned()
}

#[test]
fn a_wrong_type() {
    insta::assert_snapshot!(said("[stages.registry]\nuses = \"ecr\"\nkeep_images = \"many\"\n"));
}

/// A stage that shifts traffic in this way.
fn deployment(traffic: &str) -> String {
    format!(
        "[stages.deployment]\nuses = \"codedeploy\"\ncluster = \"c\"\nservice = \"s\"\n\
         task_definition = \"t\"\ncontainer_name = \"app\"\nproduction_listener_arn = \"l\"\n\
         target_groups = [\"blue\", \"green\"]\ntraffic = {traffic}\n"
    )
}

#[test]
fn a_number_that_aws_does_not_take() {
    insta::assert_snapshot!(said(&deployment("{ canary = { percent = 200, minutes = 5 } }")));
}

#[test]
fn a_word_where_a_table_could_be() {
    insta::assert_snapshot!(said(&deployment("\"linear\"")));
}

#[test]
fn an_unknown_key() {
    insta::assert_snapshot!(said("[stages.registry]\nuses = \"ecr\"\nscan_on_puhs = true\n"));
}

#[test]
fn an_unknown_key_that_is_none_of_the_kind() {
    insta::assert_snapshot!(said("[stages.registry]\nuses = \"ecr\"\ntimout = \"10m\"\n"));
}

#[test]
fn an_unknown_stage() {
    insta::assert_snapshot!(said("[stages.registry]\nuses = \"ecrr\"\n"));
}

#[test]
fn a_cycle() {
    insta::assert_snapshot!(said(
        "[stages.a]\nuses = \"ecr\"\nname = \"${{ stages.b.repository_name }}\"\n\n\
         [stages.b]\nuses = \"ecr\"\nname = \"${{ stages.a.repository_name }}\"\n"
    ));
}

#[test]
fn an_output_that_does_not_exist() {
    insta::assert_snapshot!(said(
        "[stages.registry]\nuses = \"ecr\"\n\n\
         [stages.image]\nuses = \"image\"\nrepository_url = \"${{ stages.registry.repo_url }}\"\n"
    ));
}

#[test]
fn a_service_whose_new_versions_nobody_deploys() {
    let service = "[stages.service]\nuses = \"ecs\"\nimage = \"i\"\nport = 8080\nsubnets = [\"subnet-1\"]\n\
                   security_groups = [\"sg-1\"]\ntarget_group_arn = \"t\"\n";
    let folder = folder(service);
    let finished = Pipeline::new(folder.path()).args(["check"]).run().expect("runs");
    insta::assert_snapshot!(shown(finished.expect_code(0), folder.path()));
}

#[test]
fn a_missing_webhook_variable() {
    insta::assert_snapshot!(said(
        "[stages.registry]\nuses = \"ecr\"\n\n\
         [notify.slack]\nuses = \"slack\"\nwebhook = \"${{ env.SLACK_WEBHOOK_URL_THAT_NOBODY_SET }}\"\n"
    ));
}

#[test]
fn a_file_that_is_not_there() {
    let folder = tempfile::tempdir().expect("folder");
    let finished = Pipeline::new(folder.path()).args(["plan"]).run().expect("runs");
    insta::assert_snapshot!(shown(finished.expect_code(USAGE), folder.path()));
}

#[test]
fn an_unreachable_endpoint() {
    let head = "[pipeline]\nname = \"hello\"\nenvironment = \"test\"\n\n\
                [cloud]\ntarget = \"aws\"\nregion = \"eu-central-1\"\nendpoint_url = \"http://127.0.0.1:9\"\n";
    let folder = with_head(head, "[stages.registry]\nuses = \"ecr\"\n");
    let finished = Pipeline::new(folder.path())
        .args(["plan"])
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .run()
        .expect("runs");
    insta::assert_snapshot!(shown(finished.expect_code(FAILED), folder.path()));
}

#[test]
fn missing_credentials() {
    let head = "[pipeline]\nname = \"hello\"\nenvironment = \"test\"\n\n\
                [cloud]\ntarget = \"aws\"\nregion = \"eu-central-1\"\n";
    let folder = with_head(head, "[stages.registry]\nuses = \"ecr\"\n");
    let finished = Pipeline::new(folder.path())
        .args(["plan"])
        .env("HOME", folder.path())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .run()
        .expect("runs");
    insta::assert_snapshot!(shown(finished.expect_code(FAILED), folder.path()));
}

/// What a plan on a running cloud says; nothing may have been changed.
fn said_on_a_cloud(stages: &str) -> String {
    let cloud = LocalCloud::start(&LocalCloudOptions::default()).expect("a cloud");
    let folder = folder(stages);
    let finished = Pipeline::new(folder.path())
        .args(["run"])
        .env("PIPELINE_CLOUD_DIR", cloud.directory())
        .run()
        .expect("runs")
        .expect_code(USAGE);
    let left = cloud.status().expect("status")["resources"].clone();
    assert!(left.as_object().is_none_or(serde_json::Map::is_empty), "{left}");
    finished.stderr.replace(&folder.path().display().to_string(), "DIR").trim_end().to_owned()
}

#[test]
fn a_missing_dockerfile() {
    insta::assert_snapshot!(said_on_a_cloud(
        "[stages.registry]\nuses = \"ecr\"\n\n\
         [stages.image]\nuses = \"image\"\nrepository_url = \"${{ stages.registry.repository_url }}\"\n"
    ));
}

#[test]
fn a_name_that_is_too_long() {
    insta::assert_snapshot!(said_on_a_cloud(
        "[stages.registry]\nuses = \"ecr\"\n\n\
         [stages.network]\nuses = \"network\"\n\n\
         [stages.balancer]\nuses = \"alb\"\nname = \"an-application-with-a-very-long-name\"\n\
         vpc_id = \"${{ stages.network.vpc_id }}\"\n\
         subnets = \"${{ stages.network.load_balancer_subnets }}\"\n\
         security_groups = [\"${{ stages.network.load_balancer_security_group }}\"]\n"
    ));
}
