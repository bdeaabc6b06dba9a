//! A pipeline with one hostile plugin.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline_core::{
    Cancellation, Engine, EventSink, LoadOptions, MemoryStore, Pipeline, RunReport, State, StateStore, Wait,
};
use pipeline_plugin_host::{Options, Plugins, Trust};
use pipeline_sdk::{EventRecord, Mode, Registry, RunCommand, json};
use tempfile::TempDir;

/// What the C compiler makes of `plugin.c`, as `hostile.so`.
pub(crate) fn compile(folder: &Path, way: &str) {
    compile_file(folder, "tests/hostile/plugin.c", &format!("-DWAY={way}"));
}

/// What it makes of a file of this crate, as `hostile.so`.
pub(crate) fn compile_file(folder: &Path, source: &str, define: &str) {
    let library = folder.join("hostile.so");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let compiled = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-fPIC", "-shared", "-pthread", "-o"])
        .arg(&library)
        .arg(define)
        .arg("-I")
        .arg(here.join("templates/c"))
        .arg(here.join(source))
        .output()
        .expect("a C compiler");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}

/// The child of `isolation = "process"`: the example `relay`, which is built with the tests.
pub(crate) fn relay() -> PathBuf {
    built().join("examples/relay")
}

/// Where this build is.
pub(crate) fn built() -> PathBuf {
    let tests = std::env::current_exe().expect("this program");
    tests.parent().and_then(Path::parent).expect("the folder of the profile").to_owned()
}

/// Writes a program as the plugin `name`.
pub(crate) fn script(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("changed");
}

/// A pipeline whose one stage is a hostile plugin.
pub(crate) struct Lab {
    pub(crate) folder: TempDir,
    isolation: &'static str,
    pub(crate) store: MemoryStore,
    pub(crate) events: Arc<Mutex<Vec<EventRecord>>>,
    pub(crate) cancel: Cancellation,
    /// `timeout` of the stage.
    timeout: &'static str,
    /// Its inputs.
    pub(crate) inputs: &'static str,
}

impl Lab {
    pub(crate) fn new(way: &str, isolation: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        compile(folder.path(), way);
        Self::with(folder, isolation)
    }

    /// With the plugin that is in `folder`.
    pub(crate) fn with(folder: TempDir, isolation: &'static str) -> Self {
        Self {
            folder,
            isolation,
            store: MemoryStore::default(),
            events: Arc::default(),
            cancel: Cancellation::new(),
            timeout: "60s",
            inputs: "token = \"${{ env.TOKEN }}\"\n",
        }
    }

    pub(crate) fn with_timeout(self, timeout: &'static str) -> Self {
        Self { timeout, ..self }
    }

    /// What the plugin was asked to do.
    pub(crate) fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) async fn run(&self) -> RunReport {
        let options =
            Options { directory: self.folder.path().to_owned(), trust: Trust::FirstUse, program: relay() };
        let plugins = Arc::new(Plugins::new(options));
        let mut registry = Registry::default();
        registry.set_plugins(plugins.clone());
        let text = format!(
            "[pipeline]\nname = \"app\"\n[stages.it]\nuses = \"./hostile.so\"\nisolation = \"{}\"\ntimeout = \"{}\"\n{}",
            self.isolation, self.timeout, self.inputs
        );
        let options = LoadOptions {
            registry: registry.clone(),
            cloud_schema: json!({ "type": "object" }).into(),
            env: [("TOKEN".to_owned(), "hush-hush-hush".to_owned())].into(),
            ..LoadOptions::default()
        };
        let path = self.folder.path().join("pipeline.toml");
        let pipeline = Pipeline::parse(&text, &path, &options).unwrap_or_else(|errors| panic!("{errors:?}"));
        plugins.set_redactor(pipeline.redactor().clone());
        let events = self.events.clone();
        let sink: EventSink = Arc::new(move |record| events.lock().expect("events").push(record));
        let engine = Engine::new(pipeline, registry, Arc::new(self.store.clone()), sink);
        let begun = engine.begin(RunCommand::Run, "test", self.cancel.clone(), Wait::never()).await;
        let mut run = begun.expect("a run");
        let plan = run.plan(Mode::Converge).await.expect("a plan");
        let applied = tokio::time::timeout(Duration::from_secs(60), run.apply(plan)).await;
        applied.expect("a run ends, whatever a plugin does")
    }

    pub(crate) async fn state(&self) -> State {
        let bytes = self.store.peek("local").await.expect("a store").expect("a state");
        State::decode(&bytes).expect("readable")
    }
}
