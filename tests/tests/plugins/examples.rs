//! The four examples in one pipeline: a stage in Python, a stage in Rust, a notifier in C, a notifier in Rust.

use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pipeline_tests::cloud::eventually;
use serde_json::json;

use crate::place::Place;
use crate::server::Server;

const TOKEN: &str = "postgres://shop:correct-horse@db/shop";

/// A shop whose database is a file.
fn pipeline(server: &Server, command: &str, isolation: &str) -> String {
    format!(
        r#"
[vars]
version = "1"

[stages.migrate]
uses = "./migrate.py"
command = ["sh", "-c", "{command}"]
status_command = ["sh", "-c", "cat db 2>/dev/null || echo none"]
undo_command = ["sh", "-c", "echo $PREVIOUS_VERSION > db"]
version = "${{{{ var.version }}}}"
database_url = "${{{{ env.DATABASE_URL }}}}"

[stages.smoke]
uses = "./libsmoke_test.so"
{isolation}
url = "{url}"
version = "${{{{ stages.migrate.version }}}}"
attempts = 2
interval_seconds = 0

[notify.log]
uses = "./libnotify-file.so"
{isolation}
path = "runs.log"

[notify.hook]
uses = "./libnotify_webhook_plugin.so"
{isolation}
url = "${{{{ env.HOOK }}}}"
"#,
        url = server.url("/health"),
    )
}

fn place() -> Place {
    let place = Place::new();
    place.python("migrate");
    place.library("smoke_test");
    place.library("notify_webhook_plugin");
    place.c("notify-file", "libnotify-file.so");
    place
}

fn run(place: &Place, server: &Server, args: &[&str]) -> pipeline_tests::Finished {
    let command = place.command(args).env("DATABASE_URL", TOKEN).env("HOOK", server.url("/hook"));
    command.run().expect("runs")
}

fn database(place: &Place) -> String {
    fs::read_to_string(place.path("db")).unwrap_or_default().trim().to_owned()
}

#[test]
fn all_four_take_full_part() {
    for isolation in ["", "isolation = \"process\""] {
        let (place, server) = (place(), Server::start());
        place.write(&pipeline(&server, "echo ${{ var.version }} > db", isolation));

        let planned = run(&place, &server, &["plan"]).expect_code(0).stdout;
        assert!(planned.contains("db:migration") && planned.contains("http:check"), "{planned}");
        assert_eq!(database(&place), "", "a plan changes nothing");

        let _ = run(&place, &server, &["run"]).expect_code(0);
        assert_eq!(database(&place), "1");
        let log = fs::read_to_string(place.path("runs.log")).expect("the log of the notifier in C");
        assert!(log.contains("succeeded"), "{log}");
        let posted = server.take();
        let last = posted.last().expect("the notifier in Rust has posted");
        assert_eq!((&last["event"], &last["outcome"]), (&json!("run_finished"), &json!("succeeded")));

        let again = run(&place, &server, &["plan", "--detailed-exit-code"]);
        assert_eq!(again.code, 0, "nothing is left to do: {again:?}");

        // The check fails: what was migrated is undone.
        server.status.store(500, Ordering::SeqCst);
        let failed = run(&place, &server, &["run", "--var", "version=2"]).expect_code(3);
        assert!(failed.stdout.contains("500"), "{failed:?}");
        assert_eq!(database(&place), "1");
        let log = fs::read_to_string(place.path("runs.log")).expect("the log");
        assert!(log.contains("rolled_back") || log.contains("rolled back"), "{log}");

        let kept = place.kept();
        assert!(kept.contains("migrate") && !kept.contains("correct-horse"), "no secret is kept");
        let lock = fs::read_to_string(place.path("pipeline.lock")).expect("a lock file");
        assert_eq!(lock.matches("x86_64-linux").count() + lock.matches("aarch64-linux").count(), 4, "{lock}");
    }
}

#[test]
fn a_plugin_stage_of_a_run_that_was_killed_is_undone() {
    let (place, server) = (place(), Server::start());
    place.write(&pipeline(&server, "echo ${{ var.version }} > db", ""));
    let _ = run(&place, &server, &["run"]).expect_code(0);
    // It changes something and does not come back.
    place.write(&pipeline(&server, "echo ${{ var.version }} > db; exec sleep 600", ""));
    let command = place.command(&["run", "--var", "version=2"]).env("DATABASE_URL", TOKEN);
    let mut child = command.env("HOOK", server.url("/hook")).into_command().spawn().expect("starts");
    let begun = || if database(&place) == "2" { Ok(()) } else { Err("it has not begun".to_owned()) };
    eventually(Duration::from_secs(30), begun).expect("the command runs");
    child.kill().expect("killed");
    child.wait().expect("ended");
    let undone = run(&place, &server, &["rollback"]);
    assert_eq!(undone.code, 0, "{undone:?}");
    assert_eq!(database(&place), "1");
}

#[test]
fn a_plugin_that_is_interrupted_stops_and_is_undone() {
    let (place, server) = (place(), Server::start());
    place.write(&pipeline(&server, "echo ${{ var.version }} > db; exec sleep 600", ""));
    let command = place.command(&["run"]).env("DATABASE_URL", TOKEN).env("HOOK", server.url("/hook"));
    let mut child = command.into_command().spawn().expect("starts");
    let begun = || if database(&place) == "1" { Ok(()) } else { Err("it has not begun".to_owned()) };
    eventually(Duration::from_secs(30), begun).expect("the command runs");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("interrupted");
    assert_eq!(child.wait().expect("ended").code(), Some(5), "cancelled and rolled back");
    assert_eq!(database(&place), "none");
}
