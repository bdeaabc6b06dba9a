//! `pipeline.lock`: what was trusted once is what is loaded, and in CI nothing else.

use std::fs;

use crate::place::Place;

const PLUGIN: &str = "#!/bin/sh\n\
    while read line; do case $line in\n\
    *hello*) echo '{\"type\":\"result\",\"id\":1,\"body\":{\"ok\":{\"protocol\":1,\"name\":\"sh\",\"notifiers\":[{\"kind\":\"sh\",\
    \"summary\":\"In sh\",\"inputs\":{\"type\":\"object\"}}]}}}';;\n\
    esac; done\n";

fn place() -> Place {
    let place = Place::new();
    put(&place, PLUGIN);
    place.write("[stages.registry]\nuses = \"ecr\"\n[notify.sh]\nuses = \"./notify.sh\"\n");
    place
}

fn put(place: &Place, text: &str) {
    place.executable("notify.sh", text);
}

#[test]
fn a_new_plugin_is_trusted_on_first_use_and_not_in_ci() {
    let place = place();
    for refused in
        [place.command(&["check"]).env("CI", "true").run(), place.command(&["check", "--locked"]).run()]
    {
        let refused = refused.expect("runs").expect_code(2);
        assert!(refused.stderr.contains("pipeline.lock does not have it"), "{}", refused.stderr);
        assert!(refused.stderr.contains("pipeline plugin add ./notify.sh"), "{}", refused.stderr);
    }
    assert!(!place.path("pipeline.lock").exists());
    assert!(place.run(&["plugin", "list"]).expect_code(0).stdout.contains("./notify.sh  new"));
    let _ = place.run(&["check"]).expect_code(0);
    assert!(place.run(&["plugin", "list"]).expect_code(0).stdout.contains("./notify.sh  trusted"));
    let _ = place.command(&["check"]).env("CI", "true").run().expect("runs").expect_code(0);
}

#[test]
fn a_changed_plugin_is_refused_until_it_is_trusted_again() {
    let place = place();
    let _ = place.run(&["plugin", "add"]).expect_code(0);
    let _ = place.run(&["plugin", "verify"]).expect_code(0);
    put(&place, &PLUGIN.replace("In sh", "In another way"));
    let refused = place.run(&["check"]).expect_code(2).stderr;
    assert!(refused.contains("not the one that pipeline.lock trusts"), "{refused}");
    assert!(refused.contains("pipeline.toml:9:8"), "it has a place in the file: {refused}");
    assert!(place.run(&["plugin", "verify"]).expect_code(1).stdout.contains("FAILED   ./notify.sh"));
    let added = place.run(&["plugin", "add"]).expect_code(1).stderr;
    assert!(added.contains("another one is trusted"), "{added}");
    let _ = place.run(&["plugin", "update"]).expect_code(0);
    let _ = place.run(&["check"]).expect_code(0);
    // What is not named any more is forgotten.
    place.write("[stages.registry]\nuses = \"ecr\"\n");
    let updated = place.run(&["plugin", "update"]).expect_code(0).stdout;
    assert!(updated.contains("does not name it: ./notify.sh"), "{updated}");
}

#[test]
fn what_cannot_be_a_plugin_says_why() {
    let place = place();
    let library = std::env::current_exe().expect("this program");
    fs::copy(library, place.path("this.so")).expect("copied");
    fs::write(place.path("plain"), "text").expect("written");
    let says = |uses: &str, wanted: &str| {
        place.write(&format!("[stages.a]\nuses = \"{uses}\"\n"));
        let said = place.run(&["check"]).expect_code(2).stderr;
        assert!(said.contains(wanted) && said.contains("pipeline.toml:7:8"), "{uses}: {said}");
    };
    says("./missing.so", "cannot be read");
    says("./plain", "neither a library nor executable");
    says("./notify.sh", "it has no stage");
    says("./notify.sh#other", "it has no stage `other`");
    says("notify.sh", "a plugin is named by its path");
    says("./this.so", "it cannot be loaded");
    place.write("[stages.a]\nuses = \"ecr\"\nisolation = \"process\"\n");
    let said = place.run(&["check"]).expect_code(2).stderr;
    assert!(said.contains("`ecr` is built in"), "{said}");
}
