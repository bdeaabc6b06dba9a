//! A disk that is full, before a run and in the middle of one.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::place::{Keep, Place, finish};

const FAILED: i32 = 1;
const STUCK: i32 = 4;

/// A file system of its own, on which little fits.
struct Disk(PathBuf);

impl Disk {
    /// Only root can mount one.
    fn mount(folder: PathBuf) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        fs::create_dir_all(&folder).expect("folder");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&folder).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file");
        loop {
            match file.write_all(&[0; 4096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn clear(&self) {
        fs::remove_file(self.filler()).expect("removed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_a_run_which_says_what_it_knows_and_is_gone_on_with() {
    let place = Place::sample(Keep::Folder);
    let Some(disk) = Disk::mount(place.state()) else {
        eprintln!("skipped: a small disk can only be mounted as root");
        return;
    };
    disk.fill();
    let refused = place.run(&["run"]).expect_code(FAILED);
    assert!(refused.stderr.contains("No space left on device"), "{}", refused.stderr);
    disk.clear();
    let _ = place.run(&["run"]).expect_code(0);

    let update = place.spawn_until("deployment", &["run", "--var", "version=2"]);
    disk.fill();
    let cut = finish(update).expect_code(STUCK);
    let told = cut.stderr.lines().find_map(|line| {
        line.strip_prefix("what the run knows could not be kept where it belongs; it is in ")
    });
    let emergency = place.path().join(told.unwrap_or_else(|| panic!("{}{}", cut.stdout, cut.stderr)));
    let known: Value = serde_json::from_slice(&fs::read(emergency).expect("a file")).expect("JSON");
    assert!(known.to_string().contains("deployment"), "{known}");

    disk.clear();
    let _ = place.run(&["run", "--var", "version=2"]).expect_code(0);
    let _ = place.run(&["plan", "--detailed-exit-code", "--var", "version=2"]).expect_code(0);
}
