//! The documentation says what the binary says.

use std::collections::BTreeSet;
use std::path::Path;

use pipeline_tests::{Pipeline, binary};

const HEAD: &str = "# Stages and notifiers\n\n\
    What `uses` can name, made from what the binary says of itself (`pipeline stages KIND`). To bring this page up\n\
    to date: `UPDATE_DOCS=1 cargo test --package pipeline-tests --test docs`.\n";

fn says(args: &[&str]) -> String {
    Pipeline::new(Path::new(".")).args(args).run().expect("runs").expect_code(0).stdout
}

#[test]
fn stages_md_is_what_the_binary_says() {
    let list = says(&["stages"]);
    let kinds = list.lines().filter_map(|line| line.split_whitespace().next());
    let sections = kinds.map(|kind| says(&["stages", kind, "--markdown"]));
    let page = std::iter::once(HEAD.to_owned()).chain(sections).collect::<Vec<_>>().join("\n");
    let path = binary::repository().join("docs/stages.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("written");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == page, "docs/stages.md is out of date: its head says how to renew it");
}

#[test]
fn the_readme_lists_every_exit_code() {
    let help = says(&["help"]);
    let codes = help.split("Exit codes:").nth(1).expect("exit codes").lines().filter_map(|line| {
        let (code, meaning) = line.trim().split_once("  ")?;
        Some((code.trim().parse::<u8>().ok()?, meaning.trim().to_owned()))
    });
    let readme = std::fs::read_to_string(binary::repository().join("README.md")).expect("README");
    let readme = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    for (code, meaning) in codes.filter(|(code, _)| *code < 10) {
        assert!(readme.contains(&format!("{code} ")), "exit code {code} ({meaning}) is missing");
    }
}

/// The operations that a crate names in its errors are those that it calls.
fn operations(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(operations(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("source");
            let quoted = text.split(['"', '\n']).filter(|part| {
                let Some((service, operation)) = part.split_once(':') else { return false };
                let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                !service.is_empty()
                    && service.chars().all(lower)
                    && operation.starts_with(|c: char| c.is_ascii_uppercase())
                    && operation.chars().all(|c| c.is_ascii_alphanumeric())
            });
            found.extend(quoted.map(str::to_owned));
        }
    }
    found
}

#[test]
fn the_permissions_of_every_stage_are_listed() {
    let page = std::fs::read_to_string(binary::repository().join("docs/aws.md")).expect("docs/aws.md");
    for kind in ["ecr", "image", "network", "alb", "ecs", "codedeploy", "route53"] {
        let section = page.split(&format!("\n### `{kind}`\n")).nth(1).expect("a section");
        let section = section.split("\n### ").next().unwrap_or_default();
        let called = operations(&binary::repository().join(format!("crates/stage-{kind}/src")));
        assert!(!called.is_empty(), "{kind} calls nothing?");
        for operation in called.iter().filter(|one| !ONLY_TASKS.contains(&one.as_str())) {
            assert!(section.contains(&format!("{operation}\n")), "{kind} calls {operation}");
        }
    }
}

/// What the tasks' roles may do; the pipeline itself does not.
const ONLY_TASKS: [&str; 2] = ["secretsmanager:GetSecretValue", "ssm:GetParameters"];
