//! Whose a state is, and who may read what is kept.

use std::os::unix::fs::PermissionsExt as _;

use crate::place::{FILE, Keep, Place};

const FAILED: i32 = 1;

#[test]
fn what_another_pipeline_has_is_not_shown_as_ones_own() {
    let place = Place::new(FILE, Keep::Folder);
    let _ = place.run(&["run"]).expect_code(0);
    let other = FILE.replace("\"hello\"", "\"other\"");
    std::fs::write(place.path().join("pipeline.toml"), other).expect("written");
    for command in ["status", "history", "outputs", "plan", "run"] {
        let said = place.run(&[command]).expect_code(FAILED);
        let whose = "the state of `local` belongs to the pipeline `hello-local`, not to `other-local`";
        assert!(said.stderr.contains(whose) && said.stdout.is_empty(), "{command}: {said:?}");
    }
}

#[test]
fn state_journals_and_plans_are_read_by_their_owner_alone() {
    let place = Place::new(FILE, Keep::Folder);
    let _ = place.run(&["plan", "--out", "saved.plan"]).expect_code(0);
    let _ = place.run(&["run"]).expect_code(0);
    let kept = place.state().join("local");
    let journals = std::fs::read_dir(kept.join("runs")).expect("journals");
    let journals: Vec<_> = journals.map(|entry| entry.expect("a journal").path()).collect();
    assert_eq!(journals.len(), 1);
    let files = [kept.join("state.json"), place.path().join("saved.plan"), journals[0].clone()];
    for file in files {
        let mode = file.metadata().expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}
