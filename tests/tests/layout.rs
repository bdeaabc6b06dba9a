//! Which crate may use which: the arrows of the design, and what may not come in from outside.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pipeline_tests::binary::repository;
use toml::Table;

/// The crates of this repository that each crate may use. `*` at the end stands for anything.
const ALLOWED: &[(&str, &[&str])] = &[
    ("pipeline-sdk", &[]),
    ("pipeline-core", &["pipeline-sdk"]),
    // What is written against the SDK runs in any host, and what hosts it knows no engine.
    ("pipeline-plugin", &["pipeline-sdk"]),
    ("pipeline-plugin-host", &["pipeline-sdk"]),
    ("notify-slack-plugin", &["pipeline-plugin", "notify-slack"]),
    ("notify-webhook-plugin", &["pipeline-plugin", "notify-webhook"]),
    ("log-group-plugin", &["pipeline-plugin"]),
    ("smoke-test-plugin", &["pipeline-plugin"]),
    ("pipeline-aws", &["pipeline-sdk"]),
    ("stage-*", &["pipeline-sdk", "pipeline-aws"]),
    ("notify-*", &["pipeline-sdk"]),
    // The cloud and the stages meet over HTTP alone.
    ("pipeline-balancer", &[]),
    ("pipeline-data-plane", &[]),
    ("pipeline-local-cloud", &["pipeline-balancer", "pipeline-data-plane"]),
    ("pipeline-cli", &["pipeline-*", "stage-*", "notify-*"]),
    ("pipeline-tests", &[]),
    ("xtask", &[]),
    ("trials", &["pipeline-tests", "xtask"]),
    ("hello", &[]),
];

/// Crates from outside that a crate must not use, whatever the reason.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("pipeline-sdk", &["aws-*", "clap", "petgraph"]),
    ("pipeline-core", &["aws-*", "clap", "indicatif", "libloading", "bollard"]),
    ("pipeline-balancer", &["aws-*", "axum", "clap"]),
    ("pipeline-data-plane", &["aws-*", "clap"]),
    ("pipeline-local-cloud", &["aws-*", "clap", "bollard", "hyper"]),
];

/// A second TLS stack, in any of its forms.
const SECOND_TLS: &[&str] = &["aws-lc-rs", "aws-lc-sys", "openssl-sys", "native-tls", "boring-sys"];

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

/// Every crate of the workspace with the names of its ordinary dependencies.
fn crates() -> BTreeMap<String, Vec<String>> {
    let root = repository();
    let single = ["xtask", "trials", "tests", "examples/hello"].map(|folder| root.join(folder));
    let below = |folder: &str| fs::read_dir(root.join(folder)).expect("a folder");
    let listed = ["crates", "examples/plugins"].into_iter().flat_map(below);
    listed
        .map(|entry| entry.expect("entry").path())
        .chain(single)
        .filter(|folder| folder.join("Cargo.toml").exists())
        .map(|folder| read(&folder))
        .collect()
}

fn read(folder: &Path) -> (String, Vec<String>) {
    let text = fs::read_to_string(folder.join("Cargo.toml")).expect("manifest");
    let manifest: Table = text.parse().expect("TOML");
    let name = manifest["package"]["name"].as_str().expect("name").to_owned();
    let dependencies = manifest.get("dependencies").and_then(|value| value.as_table());
    (name, dependencies.map(|table| table.keys().cloned().collect()).unwrap_or_default())
}

#[test]
fn crates_use_only_what_lies_below_them() {
    let crates = crates();
    assert!(crates.len() > 12, "found only {:?}", crates.keys());
    for (name, dependencies) in &crates {
        let allowed = ALLOWED.iter().find(|(pattern, _)| matches(pattern, name));
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{name} has no place in the layout"));
        for dependency in dependencies.iter().filter(|dependency| crates.contains_key(*dependency)) {
            let fine = allowed.iter().any(|pattern| matches(pattern, dependency));
            assert!(fine, "{name} may not use {dependency}");
        }
    }
}

#[test]
fn some_crates_stay_free_of_some_libraries() {
    let crates = crates();
    for (name, forbidden) in FORBIDDEN {
        for dependency in &crates[*name] {
            let hit = forbidden.iter().find(|pattern| matches(pattern, dependency));
            assert!(hit.is_none(), "{name} may not use {dependency}");
        }
    }
}

#[test]
fn there_is_one_tls_stack() {
    let lock: Table =
        fs::read_to_string(repository().join("Cargo.lock")).expect("lock file").parse().expect("TOML");
    let packages = lock["package"].as_array().expect("packages");
    for package in packages {
        let name = package["name"].as_str().expect("name");
        assert!(!SECOND_TLS.contains(&name), "{name} brings a second TLS stack: see `cargo tree -i {name}`");
    }
}
