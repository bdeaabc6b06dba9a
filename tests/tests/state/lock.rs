//! Two runs on one environment: who is told what, who waits, and who gets it in the end.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use pipeline_tests::cloud::eventually;

use crate::bucket::Bucket;
use crate::place::{FILE, Keep, Place};

const LOCKED: i32 = 6;
const FAILED: i32 = 1;

/// Holds the lock of the environment as another run on this machine does.
fn hold(folder: &Path) -> File {
    let place = folder.join(".pipeline/local");
    std::fs::create_dir_all(&place).expect("folder");
    let lock = File::options().create(true).truncate(false).read(true).write(true).open(place.join("lock"));
    let lock = lock.expect("the lock's file");
    lock.lock().expect("the lock");
    lock
}

#[test]
fn a_held_environment_is_refused_at_once_shown_and_not_taken_from_a_living_process() {
    let place = Place::new(FILE, Keep::Folder);
    let free = place.run(&["lock", "status"]).expect_code(0);
    assert_eq!(free.stdout, "nobody holds `local`\n");

    let _held = hold(place.path());
    let refused = place.run(&["run"]).expect_code(LOCKED);
    assert!(refused.stderr.contains("another run works on `local`"), "{}", refused.stderr);
    let status = place.run(&["lock", "status"]).expect_code(0);
    assert!(status.stdout.starts_with("`local` is held: "), "{}", status.stdout);
    let json = place.run(&["lock", "status", "--json"]).expect_code(0);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json["held"], true);
    let kept = place.run(&["lock", "break"]).expect_code(FAILED);
    assert!(kept.stderr.contains("belongs to a process that is alive"), "{}", kept.stderr);
}

#[test]
fn a_run_that_waits_says_so_and_begins_when_the_other_has_ended() {
    let place = Place::new(FILE, Keep::Folder);
    let held = hold(place.path());
    let mut waiting = place.spawn(&["run", "--lock-timeout", "1m"]);
    let mut said = waiting.stderr.take().expect("standard error");
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let mut byte = [0];
        assert!(said.read(&mut byte).expect("reads") > 0, "it ended: {}", String::from_utf8_lossy(&line));
        line.extend(byte);
    }
    let line = String::from_utf8_lossy(&line);
    assert!(line.starts_with("another run holds the environment"), "{line}");
    assert!(waiting.try_wait().expect("looks").is_none(), "it goes on waiting");

    drop(held);
    let ended = eventually(Duration::from_secs(60), || {
        waiting.try_wait().map_err(|error| error.to_string())?.ok_or_else(|| "it waits".to_owned())
    });
    assert!(ended.expect("it ends").success());
    assert!(place.path().join(".pipeline/local/state.json").exists());
}

#[test]
fn a_bucket_that_is_not_there_is_not_taken_for_an_empty_one() {
    let place = Place::new(FILE, Keep::Bucket(Bucket::missing("nobody-made-it")));
    for command in
        [&["run"][..], &["plan"], &["status"], &["history"], &["lock", "status"], &["lock", "break"]]
    {
        let said = place.run(command).expect_code(FAILED).stderr;
        let reason = "The specified bucket does not exist (NoSuchBucket); check that the bucket is there";
        assert!(said.contains(reason) && !said.contains("<Error>"), "{command:?}: {said}");
    }
}
