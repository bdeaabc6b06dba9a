//! The documentation says what the binary says.

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
