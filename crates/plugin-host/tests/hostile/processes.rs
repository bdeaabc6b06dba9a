//! When processes of plugins end, and what ends them.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use pipeline_plugin_host::{Options, Plugins, Trust};
use pipeline_sdk::{Inputs, Isolation, PluginSource, StageKind};

use crate::lab::{compile, relay, script};
use crate::panicking::context;

/// How a plugin in the shell begins: it greets.
const GREETS: &str = r#"#!/bin/sh
cd "$PIPELINE_PLUGIN_DIR"
read -r hello
echo '{"type":"result","id":1,"body":{"ok":{"protocol":1,"name":"shell","stages":[{"kind":"shell","summary":"-","inputs":{"type":"object"},"outputs":{}}]}}}'
"#;

/// How long something may take that is to happen at once.
const SOON: Duration = Duration::from_secs(5);

/// Tells the host that is to be killed its plugin, the isolation of that, and their folder.
const HOSTED: &str = "PIPELINE_TEST_HOSTED";

fn load(folder: &Path) -> (Plugins, Arc<StageKind>) {
    let options = Options { directory: folder.to_owned(), trust: Trust::FirstUse, program: relay() };
    let plugins = Plugins::new(options);
    let kind = plugins.stage("./plugin", Isolation::None).unwrap_or_else(|error| panic!("{error}"));
    (plugins, kind)
}

async fn plan(kind: &StageKind) -> String {
    kind.stage.plan(&context(), &Inputs::default()).await.expect_err("no plan").to_string()
}

/// The number that a plugin has written into the file `name`.
async fn number(folder: &Path, name: &str) -> u32 {
    let read = || std::fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok();
    eventually(read).await.unwrap_or_else(|| panic!("the plugin did not write {name}"))
}

async fn ends(process: u32) -> bool {
    let gone = || {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // One that has ended may wait for its parent.
        stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z')).then_some(())
    };
    eventually(gone).await.is_some()
}

async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    while begun.elapsed() < SOON {
        if let Some(found) = look() {
            return Some(found);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    None
}

#[tokio::test]
async fn nobody_stands_still_while_a_plugin_hangs_that_is_started_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let hangs = GREETS.replace(
        "read -r hello\n",
        "if [ -e again ]; then echo $$ > hangs; exec sleep 1000; fi\ntouch again\nread -r hello\n",
    );
    script(folder.path(), "plugin", &format!("{hangs}read -r call\nexit 3\n"));
    let (_plugins, kind) = load(folder.path());
    assert!(plan(&kind).await.contains("exit status: 3"));

    let begun = Instant::now();
    let mut longest = Duration::ZERO;
    let ticks = async {
        loop {
            let tick = Instant::now();
            tokio::time::sleep(Duration::from_millis(10)).await;
            longest = longest.max(tick.elapsed());
        }
    };
    let errors = tokio::select! {
        errors = join_all((0..4).map(|_| plan(&kind))) => errors,
        () = ticks => Vec::new(),
    };
    assert!(errors.iter().all(|error| error.contains("did not answer within")), "{errors:?}");
    assert!(begun.elapsed() < Duration::from_secs(15), "they wait for the same start: {:?}", begun.elapsed());
    assert!(longest < Duration::from_secs(2), "nothing else went on for {longest:?}");
    assert!(ends(number(folder.path(), "hangs").await).await, "what hung is ended");
}

#[tokio::test]
async fn the_end_of_a_process_is_noticed_though_a_child_of_it_keeps_its_output() {
    let folder = tempfile::tempdir().expect("a folder");
    let text =
        format!("{GREETS}read -r call\nsleep 1000 &\necho $! > child\necho 'no database' >&2\nexit 3\n");
    script(folder.path(), "plugin", &text);
    let (_plugins, kind) = load(folder.path());
    let begun = Instant::now();
    let error = plan(&kind).await;
    assert!(error.contains("exit status: 3"), "{error}");
    assert!(error.ends_with("its last words:\n  no database"), "{error}");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(ends(number(folder.path(), "child").await).await, "its child ends too");
}

#[tokio::test]
async fn a_plugin_that_does_not_end_with_its_input_is_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    script(
        folder.path(),
        "plugin",
        &format!("{GREETS}sleep 1000 &\necho $! > child\necho $$ > itself\nwait\n"),
    );
    let (plugins, kind) = load(folder.path());
    let processes = [number(folder.path(), "itself").await, number(folder.path(), "child").await];
    drop((plugins, kind));
    for process in processes {
        assert!(ends(process).await);
    }
}

/// The children of a process.
fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_child = |process: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let parent_of = |(_, rest): (&str, &str)| rest.split_whitespace().nth(1)?.parse::<u32>().ok();
        stat.rsplit_once(')').and_then(parent_of) == Some(parent)
    };
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_child).collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_plugin_ends_with_a_host_that_is_killed() {
    for (uses, isolation) in [("./plugin", "none"), ("./hostile.so", "process")] {
        let folder = tempfile::tempdir().expect("a folder");
        // What does not listen to its input.
        script(folder.path(), "plugin", &format!("{GREETS}exec sleep 1000\n"));
        compile(folder.path(), "GOOD");
        let mut host = Command::new(std::env::current_exe().expect("this program"));
        host.args(["--exact", "processes::a_host_until_it_is_killed", "--ignored"]);
        let wanted = format!("{uses} {isolation} {}", folder.path().display());
        let mut host = host.env(HOSTED, wanted).stdout(Stdio::null()).spawn().expect("a host");
        eventually(|| folder.path().join("loaded").exists().then_some(())).await.expect("a plugin");
        let plugins = children(host.id());
        assert_eq!(plugins.len(), 1, "{uses}");
        host.kill().expect("killed");
        host.wait().expect("its end");
        assert!(ends(plugins[0]).await, "{uses}");
    }
}

#[tokio::test]
#[ignore = "a part of the test above"]
async fn a_host_until_it_is_killed() {
    let Ok(wanted) = std::env::var(HOSTED) else { return };
    let [uses, isolation, folder] = wanted.splitn(3, ' ').collect::<Vec<_>>()[..] else { return };
    let isolation = if isolation == "process" { Isolation::Process } else { Isolation::None };
    let options = Options { directory: folder.into(), trust: Trust::FirstUse, program: relay() };
    let plugins = Plugins::new(options);
    let _kind = plugins.stage(uses, isolation).unwrap_or_else(|error| panic!("{error}"));
    std::fs::write(Path::new(folder).join("loaded"), "").expect("written");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_plugin_in_python_ends_soon_after_its_input_whatever_it_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = r#"import os, subprocess
from pathlib import Path
from pipeline_plugin import Plugin

plugin = Plugin("busy", "1")

@plugin.stage("busy", "Works", inputs={"type": "object"}, outputs={})
class Busy:
    def plan(self, cx, inputs):
        child = subprocess.Popen(["sleep", "1000"])
        Path("child").write_text(str(child.pid))
        child.wait()

plugin.run()
"#;
    script(folder.path(), "plugin.py", text);
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/python");
    let mut python = Command::new("python3");
    python
        .arg("plugin.py")
        .current_dir(folder.path())
        .env("PYTHONPATH", module)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let mut plugin = python.process_group(0).stdin(Stdio::piped()).spawn().expect("python3");
    let context = r#"{"stage":"it","run":"01932d07-4a00-7000-8000-000000000001","pipeline":{"name":"a","environment":"b"},
        "directory":"/","mode":"converge","idempotency_key":"0"}"#;
    let call =
        format!(r#"{{"type":"plan","id":1,"body":{{"kind":"busy","context":{context},"inputs":{{}}}}}}"#);
    let mut input = plugin.stdin.take().expect("piped");
    input.write_all(format!("{}\n", call.replace('\n', "")).as_bytes()).expect("written");
    let child = number(folder.path(), "child").await;
    drop(input);
    assert!(ends(plugin.id()).await, "it does not wait for its call");
    assert!(ends(child).await, "what it has started ends too");
    let _ = plugin.wait().expect("its end");
}
