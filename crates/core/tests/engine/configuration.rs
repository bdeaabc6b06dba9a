//! What people read when `pipeline.toml` is wrong, and what a right one becomes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use miette::{GraphicalReportHandler, GraphicalTheme};
use pipeline_core::{GivenVar, LoadOptions, Pipeline};
use pipeline_sdk::{Isolation, Manifest, NotifierKind, Registry, StageError, StageKind, json};

use crate::world::Lab;

fn options() -> LoadOptions {
    let stage = Lab::default().registry().stage("thing", Isolation::None).unwrap().stage.clone();
    let mut registry = Registry::default();
    for (kind, inputs, outputs) in [
        (
            "ecr",
            json!({ "type": "object", "properties": {
                "scan_on_push": { "type": "boolean" },
                "mutability": { "oneOf": [{ "const": "immutable" }, { "const": "mutable" }] },
            }}),
            json!({ "type": "object", "properties": { "repository_url": { "type": "string" } } }),
        ),
        (
            "image",
            json!({ "type": "object", "required": ["repository_url"], "properties": {
                "repository_url": { "type": "string", "description": "Where the image is pushed." },
                "port": { "type": "integer", "minimum": 1, "maximum": 65535 },
                "labels": { "type": "object", "additionalProperties": { "type": "string" } },
                "tag": { "type": ["string", "null"] },
            }}),
            json!({ "type": "object", "properties": { "uri": { "type": "string", "x-if-unused": "nobody runs it" } } }),
        ),
    ] {
        let manifest = Manifest {
            kind: kind.to_owned(),
            inputs: inputs.into(),
            outputs: outputs.into(),
            ..Manifest::default()
        };
        registry.add_stage(StageKind { manifest, stage: stage.clone() });
    }
    registry.add_notifier(NotifierKind {
        manifest: Manifest {
            kind: "slack".to_owned(),
            summary: String::new(),
            inputs:
                json!({ "type": "object", "properties": { "webhook": { "type": "string", "x-secret": true } },
                            "required": ["webhook"] })
                .into(),
            ..Manifest::default()
        },
        create: Arc::new(|_| Err(StageError::failed("not used"))),
    });
    let cloud_schema = json!({ "type": "object", "properties": {
        "target": { "type": "string", "enum": ["local", "aws"] }, "region": { "type": "string" },
    }})
    .into();
    LoadOptions { registry, cloud_schema, ..LoadOptions::default() }
}

fn rendered(text: &str, options: &LoadOptions) -> String {
    let errors = Pipeline::parse(text, Path::new("pipeline.toml"), options).map(|_| ()).expect_err("wrong");
    let mut shown = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
    handler.render_report(&mut shown, &errors).unwrap();
    shown
}

/// Checks what is said about `text`, which stands below a right `[pipeline]`.
macro_rules! says {
    ($($name:ident: $text:expr;)*) => {$(
        #[test]
        fn $name() {
            let text = format!("[pipeline]\nname = \"hello\"\n\n{}", $text);
            insta::assert_snapshot!(rendered(&text, &options()));
        }
    )*};
}

says! {
    syntax: "[stages.image\nuses = \"image\"\n";
    duplicate: "[stages.a]\nuses = \"ecr\"\nuses = \"ecr\"\n";
    wrong_type: "[stages.a]\nuses = \"image\"\nrepository_url = 5\nport = \"80\"\nlabels = { a = 1 }\n";
    wrong_type_of_an_expression: "[vars]\nport = 8080\ntext = \"80\"\n[stages.a]\nuses = \"image\"\n\
            repository_url = \"${{ var.port }}\"\nport = \"${{ var.text }}\"\n\
            labels = { a = \"${{ var.port + 1 }}\", b = 1 }\n";
    unknown_key: "[stage.a]\nuses = \"ecr\"\n[stages.b]\nuses = \"ecr\"\nscan_on_psuh = true\n";
    unknown_key_of_the_program: "[stages.a]\nuses = \"ecr\"\ntimout = \"1m\"\nned = []\nretries = 2\n\
            [notify.slack]\nuses = \"slack\"\nwebhook = \"x\"\nrequird = true\nisolaton = \"none\"\n";
    missing_input: "[stages.image]\nuses = \"image\"\n\n[stages.other]\nneeds = []\n";
    unknown_kinds: "[stages.a]\nuses = \"ecs\"\n[notify.b]\nuses = \"slak\"\n";
    unknown_needs: "[stages.registry]\nuses = \"ecr\"\n[stages.b]\nuses = \"ecr\"\nneeds = [\"registri\"]\n";
    cycle: "[stages.a]\nuses = \"image\"\nrepository_url = \"${{ stages.b.uri }}\"\n\
            [stages.b]\nuses = \"image\"\nrepository_url = \"x\"\nneeds = [\"c\"]\n\
            [stages.c]\nuses = \"image\"\nrepository_url = \"${{ stages.a.uri }}\"\n";
    self_cycle: "[stages.a]\nuses = \"image\"\nrepository_url = \"${{ stages.a.uri }}\"\n";
    unknown_reference: "[stages.registry]\nuses = \"ecr\"\n[stages.image]\nuses = \"image\"\n\
            repository_url = \"${{ stages.registry.repo_url }}\"\ntag = \"${{ stages.registri.repository_url }}\"\n";
    undefined_var: "[vars]\nversion = \"1\"\n[stages.image]\nuses = \"image\"\n\
            repository_url = \"x:${{ var.versoin }}\"\ntag = \"${{ var.qqq }}\"\n";
    missing_env: "[notify.slack]\nuses = \"slack\"\nwebhook = \"${{ env.SLACK_WEBHOOK_URL }}\"\n";
    bad_name: "[stages.\"a b\"]\nuses = \"ecr\"\n";
    wrong_choice: "[cloud]\ntarget = \"asw\"\n[stages.a]\nuses = \"ecr\"\nmutability = \"imutable\"\n";
    out_of_range: "[stages.a]\nuses = \"image\"\nrepository_url = \"x\"\nport = 70000\n";
    bad_expression: "[stages.a]\nuses = \"image\"\nrepository_url = \"${{ 1 + }}\"\ntag = \"${{ unknown.name }}\"\n";
    notifier_refers_to_a_stage: "[stages.a]\nuses = \"ecr\"\n[notify.slack]\nuses = \"slack\"\n\
            webhook = \"${{ stages.a.repository_url }}\"\n";
    several: "parallelism = 0\non_failure = \"undo\"\n[stages.a]\nuses = \"image\"\nport = -1\nneeds = \"b\"\n";
}

fn given(name: &str, text: &str, origin: &str) -> (String, GivenVar) {
    (name.to_owned(), GivenVar { text: text.to_owned(), origin: origin.to_owned() })
}

/// Somebody who looks after a dead CI job has neither its secrets nor its plugins.
#[test]
fn whoever_only_looks_needs_no_secrets_and_no_plugins() {
    let text = "[pipeline]\nname = \"hello\"\nstate = \"states\"\non_failure = \"keep\"\n[stages.a]\nuses = \"./gone.so\"\n\
                [notify.slack]\nuses = \"slack\"\nwebhook = \"${{ env.SLACK_WEBHOOK_URL }}\"\n";
    let load = |only_where| {
        Pipeline::parse(text, Path::new("pipeline.toml"), &LoadOptions { only_where, ..options() })
    };
    assert_eq!(load(false).err().map(|errors| errors.errors().len()), Some(2));
    let pipeline = load(true).unwrap_or_else(|errors| panic!("{:?}", errors.errors()));
    assert_eq!((pipeline.id().name.as_str(), pipeline.state()), ("hello", Some("states")));
    assert_eq!(pipeline.on_failure(), pipeline_core::OnFailure::Keep);
    let broken = text.replace("\"hello\"", "\"hel lo\"");
    let broken =
        Pipeline::parse(&broken, Path::new("pipeline.toml"), &LoadOptions { only_where: true, ..options() });
    assert!(broken.is_err(), "which pipeline it is has to be known");
}

#[test]
fn wrong_options() {
    let given = LoadOptions {
        environment: Some("prodution".to_owned()),
        vars: BTreeMap::from([
            given("verison", "2", "--var verison"),
            given("count", "many", "--var count"),
            given("size", "big", "PIPELINE_VAR_size"),
            given("vision", "3", "PIPELINE_VAR_vision"),
        ]),
        ..options()
    };
    let text = "[pipeline]\nname = \"hello\"\n[vars]\nversion = \"1\"\ncount = 1\nsize = 2\n\
                [environments.production]\n";
    insta::assert_snapshot!(rendered(text, &given));
}

#[test]
fn no_pipeline_at_all() {
    insta::assert_snapshot!(rendered("", &options()));
}

#[test]
fn an_environment_changes_vars_and_cloud_and_the_caller_comes_last() {
    let text = r#"
[pipeline]
name = "hello"
[cloud]
target = "local"
region = "${{ var.region }}"
[vars]
region = "eu-central-1"
port = 80
[environments.production]
vars = { region = "us-east-1" }
cloud = { target = "aws" }
[stages.load-balancer]
uses = "image"
repository_url = "${{ pipeline.name }}/${{ pipeline.environment }} }} {% {{ #}"
port = "${{ var.port }}"
[stages.b]
uses = "image"
repository_url = "${{ stages.load-balancer.uri | upper }}"
tag = "${{ 'stages.a-b.c' }}"
"#;
    let given = LoadOptions {
        environment: Some("production".to_owned()),
        vars: BTreeMap::from([given("port", "8080", "--var port")]),
        ..options()
    };
    let pipeline = Pipeline::parse(text, Path::new("pipeline.toml"), &given)
        .unwrap_or_else(|errors| panic!("{:?}", errors.errors()));
    assert_eq!(pipeline.cloud(), &json!({ "target": "aws", "region": "us-east-1" }));
    let order: Vec<_> = pipeline.stages().map(|(name, kind)| (name.as_str(), kind)).collect();
    assert_eq!(order, [("load-balancer", "image"), ("b", "image")]);
    assert_eq!(pipeline.id().canonical(), "hello-production");
}

#[test]
fn a_filter_gives_a_value_the_type_that_is_wanted() {
    let text = r#"
[pipeline]
name = "hello"
[vars]
port = 8080
text = "80"
[stages.a]
uses = "image"
repository_url = "${{ var.port | string }}"
port = "${{ var.text | int }}"
labels = { a = "${{ (var.port + 1) | string }}" }
"#;
    assert!(Pipeline::parse(text, Path::new("pipeline.toml"), &options()).is_ok());
}

#[test]
fn an_output_that_should_be_used_and_is_not_is_warned_about() {
    let image = "[stages.app]\nuses = \"image\"\nrepository_url = \"url\"\n";
    let user = "[stages.user]\nuses = \"image\"\nrepository_url = \"x/${{ stages.app.uri }}\"\n";
    let warnings = |stages: &str| {
        let text = format!("[pipeline]\nname = \"hello\"\n{stages}");
        let pipeline = Pipeline::parse(&text, Path::new("pipeline.toml"), &options()).expect("right");
        pipeline.warnings().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(warnings(image), ["no stage uses `stages.app.uri`: nobody runs it"]);
    assert_eq!(warnings(&format!("{image}{user}")), ["no stage uses `stages.user.uri`: nobody runs it"]);
}

#[test]
fn git_is_only_asked_if_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipeline.toml");
    let text = |tag: &str| {
        format!(
            "[pipeline]\nname = \"hello\"\n[stages.a]\nuses = \"image\"\nrepository_url = \"x\"\ntag = \"{tag}\"\n"
        )
    };
    assert!(Pipeline::parse(&text("latest"), &path, &options()).is_ok());
    let errors = Pipeline::parse(&text("${{ git.short_sha }}"), &path, &options()).map(|_| ()).unwrap_err();
    let error = &errors.errors()[0];
    assert!(error.to_string().contains("not a git repository"), "{error}");
    assert_eq!(error.position(), Some((6, 12)));
}

#[test]
fn a_file_that_is_not_there_is_said_to_be_missing() {
    let error = Pipeline::load(Path::new("/nowhere/pipeline.toml"), &options()).map(|_| ()).unwrap_err();
    assert!(error.errors()[0].to_string().starts_with("cannot read /nowhere/pipeline.toml"));
}
