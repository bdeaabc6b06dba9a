//! What is no plugin, or one of another version.

use pipeline_plugin_host::{Options, PluginError, Plugins, Trust};
use pipeline_sdk::{Isolation, PluginSource};

use crate::lab::{compile, relay, script};

fn load(folder: &std::path::Path, uses: &str, isolation: Isolation) -> Result<String, PluginError> {
    let program = relay();
    let plugins = Plugins::new(Options { directory: folder.to_owned(), trust: Trust::FirstUse, program });
    plugins.welcome(uses, isolation).map(|welcome| welcome.name)
}

#[tokio::test]
async fn a_table_that_is_not_as_it_should_be_is_refused() {
    let cases = [
        ("WRONG_MAGIC", "wrong magic"),
        ("TRUNCATED", "cut off: 24 bytes"),
        ("OLDER_MAJOR", "it has version 0.0 of the plugin interface, and this program has 1.0"),
        ("NEWER_MAJOR", "it has version 2.0 of the plugin interface"),
        ("NO_FUNCTION", "lacks a function"),
        ("REFUSES", "refused to open"),
    ];
    for (way, wanted) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        compile(folder.path(), way);
        for isolation in [Isolation::None, Isolation::Process] {
            let error = load(folder.path(), "./hostile.so", isolation).expect_err(way);
            assert!(error.reason.contains(wanted), "{way}: {error}");
        }
    }
}

#[tokio::test]
async fn a_longer_table_of_a_later_version_is_fine() {
    let folder = tempfile::tempdir().expect("a folder");
    compile(folder.path(), "NEWER_MINOR");
    assert_eq!(load(folder.path(), "./hostile.so", Isolation::None).expect("loads"), "hostile");
}

#[tokio::test]
async fn what_never_greets_is_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    compile(folder.path(), "MUTE");
    let error = load(folder.path(), "./hostile.so", Isolation::Process).expect_err("silence");
    assert!(error.reason.contains("did not answer within"), "{error}");
}

#[tokio::test]
async fn what_is_no_plugin_is_said_to_be_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("text.so"), "hello").expect("written");
    std::fs::write(path("plain"), "hello").expect("written");
    let empty = path("empty.c");
    std::fs::write(&empty, "int nothing;\n").expect("written");
    let mut compiler = std::process::Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(path("empty.so")).arg(empty);
    assert!(compiler.status().expect("a C compiler").success());
    let mut compiler = std::process::Command::new("cc");
    std::fs::write(
        path("lacks.c"),
        "int no_such_function(void);\nint f(void) { return no_such_function(); }\n",
    )
    .expect("written");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(path("lacks.so")).arg(path("lacks.c"));
    assert!(compiler.status().expect("a C compiler").success());
    let quits = "#!/bin/sh\necho 'no database' >&2\nexit 3\n";
    let prints = "#!/bin/sh\nread line\necho Hello\nread line\n";
    let old = "#!/bin/sh\nread line\necho '{\"type\":\"result\",\"id\":1,\"body\":{\"ok\":{\"protocol\":0,\"name\":\"old\"}}}'\nread line\n";
    for (name, text) in
        [("quits", quits), ("prints", prints), ("old", old), ("nothing", "#!/no/such/program\n")]
    {
        script(folder.path(), name, text);
    }
    let cases = [
        ("./missing.so", "cannot be read"),
        ("./text.so", "it is no library"),
        ("./plain", "neither a library nor executable"),
        ("./empty.so", "does not export PIPELINE_PLUGIN_ENTRY_V1"),
        ("./lacks.so", "undefined symbol: no_such_function"),
        ("./old", "it speaks version 0 of the protocol, and the oldest that this program knows is 1"),
        ("./quits", "exit status: 3); its last words:\n  no database"),
        ("./prints", "what is no message"),
        ("./nothing", "cannot be started"),
    ];
    for (name, wanted) in cases {
        let error = load(folder.path(), name, Isolation::None).expect_err(name);
        assert!(error.to_string().contains(wanted), "{name}: {error}");
        assert!(!error.help.is_empty(), "{name}: says what to do");
    }
    assert!(!path("pipeline.lock").exists(), "what was never loaded is not trusted");
}

#[tokio::test]
async fn a_library_that_was_cut_off_is_refused_and_the_whole_one_taken_in_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    compile(folder.path(), "GOOD");
    let path = folder.path().join("hostile.so");
    let whole = std::fs::read(&path).expect("built");
    for length in [20, 100, 4000, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).expect("written");
        let error = load(folder.path(), "./hostile.so", Isolation::None).expect_err("cut off");
        assert!(error.reason.starts_with("it is cut off"), "{length}: {error}");
        assert!(error.help.contains("copy it again"), "{error:?}");
    }
    // No library has text in the place of its dynamic section.
    let mut damaged = whole.clone();
    damaged[64..].fill(b'x');
    std::fs::write(&path, &damaged).expect("written");
    load(folder.path(), "./hostile.so", Isolation::None).expect_err("damaged");
    std::fs::write(&path, &whole).expect("written");
    assert_eq!(load(folder.path(), "./hostile.so", Isolation::None).expect("loads"), "hostile");
}

#[tokio::test]
async fn a_plugin_that_was_changed_is_refused_and_one_that_is_new_where_the_lock_is_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    compile(folder.path(), "GOOD");
    let plugins = |locked| {
        let trust = if locked { Trust::Locked } else { Trust::FirstUse };
        let program = relay();
        Plugins::new(Options { directory: folder.path().to_owned(), trust, program })
    };
    let error = plugins(true).stage("./hostile.so", Isolation::None).err().expect("not trusted").to_string();
    assert!(error.contains("pipeline.lock does not have it"), "{error}");
    assert!(plugins(false).stage("./hostile.so", Isolation::None).is_ok(), "trusted on first use");
    assert!(plugins(true).stage("./hostile.so", Isolation::None).is_ok(), "known by now");
    compile(folder.path(), "NEVER");
    for locked in [true, false] {
        let error =
            plugins(locked).stage("./hostile.so", Isolation::None).err().expect("changed").to_string();
        assert!(error.contains("not the one that pipeline.lock trusts"), "{error}");
    }
    let changed = plugins(true).look("./hostile.so").expect("looked at");
    plugins(true).trust(&changed).expect("updated");
    assert!(plugins(true).stage("./hostile.so", Isolation::None).is_ok());
}

#[tokio::test]
async fn the_kind_is_chosen_by_its_role_and_name() {
    let folder = tempfile::tempdir().expect("a folder");
    compile(folder.path(), "GOOD");
    let program = relay();
    let plugins =
        Plugins::new(Options { directory: folder.path().to_owned(), trust: Trust::FirstUse, program });
    assert!(plugins.stage("./hostile.so#hostile", Isolation::None).is_ok());
    let error =
        plugins.stage("./hostile.so#other", Isolation::None).err().expect("no such stage").to_string();
    assert!(error.contains("it has no stage `other`"), "{error}");
    let error = plugins.notifier("./hostile.so", Isolation::None).err().expect("no notifier").to_string();
    assert!(error.contains("it has no notifier"), "{error}");
}
