//! `pipeline plugin new` makes projects that build, pass their own test, and keep to the contract; so do the examples.

use std::process::Command;

use pipeline_tests::binary;
use serde_json::json;

use crate::place::Place;
use crate::server::Server;

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
}

/// Checks the plugin, and that nothing was left out.
fn conforms(place: &Place, args: &[&str]) {
    let checked = place.run(&[&["plugin", "check"], args].concat());
    assert_eq!(checked.code, 0, "{}\n{}", checked.stdout, checked.stderr);
    assert!(!checked.stdout.contains("skipped"), "{}", checked.stdout);
    assert!(checked.stdout.lines().count() >= 3, "{}", checked.stdout);
}

#[test]
fn a_new_project_in_python_works_as_it_is() {
    let place = Place::new();
    let _ = place.run(&["plugin", "new", "--lang", "python", "data-check"]).expect_code(0);
    succeeds(Command::new("python3").args(["-m", "unittest", "-q"]).current_dir(place.path("data-check")));
    conforms(&place, &["data-check/plugin.py"]);
    let again = place.run(&["plugin", "new", "--lang", "python", "data-check"]);
    assert!(again.code == 1 && again.stderr.contains("exists already"), "{again:?}");
}

#[test]
fn a_new_project_in_c_works_as_it_is() {
    let place = Place::new();
    let _ = place.run(&["plugin", "new", "--lang", "c", "tell-file"]).expect_code(0);
    succeeds(Command::new("make").arg("test").current_dir(place.path("tell-file")));
    conforms(&place, &["tell-file/libtell-file.so"]);
    conforms(&place, &["--isolated", "tell-file/libtell-file.so"]);
}

#[test]
fn a_new_project_in_rust_works_as_it_is() {
    let place = Place::new();
    let _ = place.run(&["plugin", "new", "--lang", "rust", "keep-note"]).expect_code(0);
    let project = place.path("keep-note");
    // As the repository was resolved: nothing newer is looked for.
    std::fs::copy(binary::repository().join("Cargo.lock"), project.join("Cargo.lock")).expect("copied");
    let target = binary::built().join("new-plugin");
    let cargo = |args: &[&str]| {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_")) {
            command.env_remove(name);
        }
        command.args(args).env("CARGO_TARGET_DIR", &target).current_dir(&project);
        succeeds(&mut command);
    };
    cargo(&["test", "--quiet"]);
    cargo(&["build", "--quiet"]);
    let library = target.join("debug/libkeep_note.so");
    for isolated in [&[][..], &["--isolated"]] {
        conforms(&place, &[isolated, &[library.to_str().expect("a path")]].concat());
    }
}

#[test]
fn the_examples_keep_to_the_contract() {
    let (place, server) = (Place::new(), Server::start());
    place.python("migrate");
    place.library("smoke_test");
    place.library("log_group");
    place.library("notify_webhook_plugin");
    place.library("notify_slack_plugin");
    place.c("notify-file", "libnotify-file.so");
    let write = |name: &str, inputs: serde_json::Value| {
        std::fs::write(place.path(name), inputs.to_string()).expect("written");
    };
    write(
        "migrate.json",
        json!({
            "command": ["sh", "-c", "echo 2 > db"],
            "status_command": ["sh", "-c", "cat db 2>/dev/null || echo none"],
            "undo_command": ["sh", "-c", "echo $PREVIOUS_VERSION > db"],
            "version": "2",
            "database_url": "postgres://somewhere",
        }),
    );
    write("smoke.json", json!({ "url": server.url("/"), "attempts": 1 }));
    write("hook.json", json!({ "url": server.url("/hook") }));
    write("slack.json", json!({ "webhook": server.url("/hook") }));
    write("group.json", json!({ "name": "/checked", "retention_days": 3 }));
    let log = place.path("log");
    write("file.json", json!({ "path": log }));
    conforms(&place, &["--inputs", "migrate.json", "./migrate.py"]);
    conforms(&place, &["--inputs", "smoke.json", "./libsmoke_test.so"]);
    conforms(&place, &["--inputs", "group.json", "./liblog_group.so"]);
    conforms(&place, &["--inputs", "hook.json", "./libnotify_webhook_plugin.so"]);
    conforms(&place, &["--inputs", "slack.json", "./libnotify_slack_plugin.so"]);
    conforms(&place, &["--inputs", "file.json", "./libnotify-file.so"]);
    let executable = binary::built().join("smoke-test");
    conforms(&place, &["--inputs", "smoke.json", executable.to_str().expect("a path")]);
    let own = Command::new("python3").args(["-m", "unittest", "-q"]).current_dir(place.path("")).status();
    assert!(own.expect("python3").success(), "the tests of the example itself");
}
