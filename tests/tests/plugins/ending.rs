//! A library that ends the process it is loaded into: the run is cut off, as by any other end.

use std::fs;
use std::process::Command;

use pipeline_tests::binary;

use crate::place::Place;

/// Compiles the plugin that misbehaves in many ways, to do so in this one.
fn compile(place: &Place, way: &str) {
    let host = binary::repository().join("crates/plugin-host");
    let compiled = Command::new("cc")
        .args(["-std=c11", "-O1", "-fPIC", "-shared", "-pthread", &format!("-DWAY={way}"), "-o"])
        .arg(place.path("hostile.so"))
        .arg("-I")
        .arg(host.join("templates/c"))
        .arg(host.join("tests/hostile/plugin.c"))
        .output()
        .expect("a C compiler");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}

#[test]
fn a_library_that_ends_the_process_leaves_a_run_that_the_next_command_undoes() {
    for way in ["EXITS", "CRASHES"] {
        let place = Place::new();
        compile(&place, way);
        place.write("[stages.thing]\nuses = \"./hostile.so\"\n");
        let ended = place.command(&["run"]).into_command().output().expect("runs").status;
        let wanted = if way == "EXITS" { "exit status: 7" } else { "signal: 11" };
        assert!(ended.to_string().contains(wanted), "{way}: {ended}");

        let status = place.run(&["status"]).expect_code(0).stdout;
        assert!(status.contains("cut off") && status.contains("thing  begun"), "{status}");

        // A build of the plugin that behaves undoes it.
        compile(&place, "GOOD");
        let _ = place.run(&["plugin", "update"]).expect_code(0);
        let _ = place.run(&["rollback"]).expect_code(0);
        assert_eq!(fs::read_to_string(place.path("calls")).expect("calls"), "apply\nrollback\n", "{way}");
        let _ = place.run(&["run"]).expect_code(0);
    }
}
