//! The AWS CLI deploys to a service under CodeDeploy and looks around.

use std::path::Path;

use pipeline_tests::{LocalCloud, LocalCloudOptions, Pipeline, binary};
use serde_json::{Value, json};

use crate::outside::{aws, aws_command, fail, make, succeed, text};

fn write(folder: &Path, name: &str, content: &Value) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content.to_string()).expect("is written");
    path.to_str().expect("UTF-8").to_owned()
}

/// `aws ecs deploy`, which waits to success; the answer is the id of the deployment.
fn deploy(cloud: &LocalCloud, name: &str, made: &Value) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let definition = write(folder.path(), "definition.json", &made["definition"]);
    let appspec = write(folder.path(), "appspec.json", &made["appspec"]);
    let said = succeed(&mut aws_command(
        cloud,
        &[
            "ecs",
            "deploy",
            "--cluster",
            name,
            "--service",
            name,
            "--task-definition",
            &definition,
            "--codedeploy-appspec",
            &appspec,
            "--codedeploy-application",
            name,
            "--codedeploy-deployment-group",
            name,
        ],
    ));
    assert!(said.contains("Successfully deployed"), "{said}");
    let id = said.split_whitespace().find(|word| word.starts_with("d-"));
    id.unwrap_or_else(|| panic!("no deployment id in {said}")).trim_end_matches('.').to_owned()
}

#[test]
fn aws_cli_deploys_and_sees_the_truth() {
    let cloud = LocalCloud::start(&LocalCloudOptions::default()).expect("starts");
    let made = make(&cloud, &["cli", "sample:1"]);
    let id = deploy(&cloud, "cli", &made);

    let deployment = aws(&cloud, &["deploy", "get-deployment", "--deployment-id", &id]);
    assert_eq!(text(&deployment, "/deploymentInfo/status"), "Succeeded");
    assert_eq!(text(&deployment, "/deploymentInfo/computePlatform"), "ECS");

    let green = text(&made, "/green");
    let health = aws(&cloud, &["elbv2", "describe-target-health", "--target-group-arn", green]);
    assert_eq!(text(&health, "/TargetHealthDescriptions/0/TargetHealth/State"), "healthy");
    let listeners =
        aws(&cloud, &["elbv2", "describe-listeners", "--listener-arns", text(&made, "/listener")]);
    let weights = &listeners["Listeners"][0]["DefaultActions"][0]["ForwardConfig"]["TargetGroups"];
    let live = weights.as_array().into_iter().flatten().find(|group| group["TargetGroupArn"] == green);
    assert_eq!(live.map(|group| &group["Weight"]), Some(&json!(100)), "{weights}");

    let service = aws(&cloud, &["ecs", "describe-services", "--cluster", "cli", "--services", "cli"]);
    assert_eq!(service["services"][0]["deployments"], json!([]));
    let definition = text(&service, "/services/0/taskSets/0/taskDefinition");
    assert!(definition.ends_with(":2"), "{definition}");

    let group = text(&made, "/log_group");
    let logs = aws(&cloud, &["logs", "filter-log-events", "--log-group-name", group]);
    assert!(text(&logs, "/events/0/message").contains("simulated app"), "{logs}");
}

/// What a pipeline made is a service like any other, and what others deploy on it is seen by the next plan.
#[test]
fn aws_cli_deploys_on_what_a_pipeline_made() {
    let cloud = LocalCloud::start(&LocalCloudOptions::default()).expect("starts");
    let state = tempfile::tempdir().expect("a folder");
    let pipeline = |args: &[&str], code| {
        let pipeline = Pipeline::new(&binary::repository()).args(args).env("PIPELINE_STATE", state.path());
        let finished = pipeline.env("PIPELINE_CLOUD_DIR", cloud.directory()).run();
        finished.expect("runs").expect_code(code)
    };
    pipeline(&["run"], 0);
    let name = "hello-local";
    let images = aws(&cloud, &["ecr", "describe-images", "--repository-name", name]);
    let digest = text(&images, "/imageDetails/0/imageDigest");
    let family = ["ecs", "describe-task-definition", "--task-definition", name];
    let definition = aws(&cloud, &family)["taskDefinition"].clone();
    assert!(text(&definition, "/containerDefinitions/0/image").ends_with(digest), "{definition}");

    let port = &definition["containerDefinitions"][0]["portMappings"][0]["containerPort"];
    let balancer = json!({ "ContainerName": "hello", "ContainerPort": port });
    let properties = json!({ "TaskDefinition": "<TASK_DEFINITION>", "LoadBalancerInfo": balancer });
    let service = json!({ "TargetService": { "Type": "AWS::ECS::Service", "Properties": properties } });
    let mut given = definition;
    let assigned = ["taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities"];
    let fields = given.as_object_mut().expect("an object");
    fields.retain(|key, _| !assigned.contains(&key.as_str()) && !key.starts_with("registered"));
    fields.insert("cpu".to_owned(), json!("512"));
    fields.insert("memory".to_owned(), json!("1024"));
    let appspec = json!({ "version": 0.0, "Resources": [service] });
    deploy(&cloud, name, &json!({ "definition": given, "appspec": appspec }));

    let seen = pipeline(&["plan", "--detailed-exit-code"], 10);
    assert!(seen.stdout.contains("512 \u{2192} 256"), "{}", seen.stdout);
    pipeline(&["run"], 0);
    pipeline(&["plan", "--detailed-exit-code"], 0);
}

#[test]
fn aws_cli_reads_what_there_is_from_the_start() {
    let cloud = LocalCloud::start(&LocalCloudOptions::default()).expect("starts");
    let identity = aws(&cloud, &["sts", "get-caller-identity"]);
    assert_eq!(identity["Account"], "123456789012");
    let zones = aws(&cloud, &["route53", "list-hosted-zones"]);
    assert_eq!(text(&zones, "/HostedZones/0/Name"), "pipeline.test.");
    let vpcs = aws(&cloud, &["ec2", "describe-vpcs", "--filters", "Name=is-default,Values=true"]);
    assert_eq!(vpcs["Vpcs"].as_array().map(Vec::len), Some(1));
    let certificates = aws(&cloud, &["acm", "list-certificates"]);
    assert!(certificates["CertificateSummaryList"][0]["CertificateArn"].is_string(), "{certificates}");

    let name = ["--repository-name", "hello"];
    aws(&cloud, &[["ecr", "create-repository"], name, ["--image-tag-mutability", "IMMUTABLE"]].concat());
    let images = aws(&cloud, &[["ecr", "describe-images"], name].concat());
    assert_eq!(images["imageDetails"], json!([]));
    let said = fail(&mut aws_command(&cloud, &[["ecr", "create-repository"], name].concat()));
    assert!(said.contains("RepositoryAlreadyExistsException"), "{said}");
}
