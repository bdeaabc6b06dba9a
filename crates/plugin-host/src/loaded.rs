//! One plugin in use: its conversation, which is begun again if it broke.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use pipeline_sdk::wire::{Hello, MessageType, PROTOCOL, Welcome};
use pipeline_sdk::{Isolation, Manifest, StageError};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::call::{Access, CallHost};
use crate::copy::PrivateCopy;
use crate::file::{Form, PluginError, PluginFile};
use crate::library::Loaded;
use crate::link::{Link, named};
use crate::process::Process;

/// How long a plugin may take to start and to say what it has.
const START: Duration = Duration::from_secs(10);

/// The oldest version of the protocol that this program still speaks.
const OLDEST_PROTOCOL: u32 = 1;

/// Begins conversations with a plugin.
struct Starter {
    /// As `uses` names it.
    name: String,
    form: StartForm,
    /// Where the file that was copied is.
    folder: PathBuf,
    /// Where the process works, and relative paths in inputs start.
    directory: PathBuf,
    runtime: Handle,
}

enum StartForm {
    /// In this process.
    Library(Loaded),
    /// This program and its arguments.
    Process { program: PathBuf, arguments: Vec<PathBuf> },
}

/// A plugin that has said what it has.
pub(crate) struct LoadedPlugin {
    pub(crate) welcome: Welcome,
    pub(crate) access: Arc<Access>,
    starter: Starter,
    conversation: Mutex<Conversation>,
    _copy: PrivateCopy,
}

/// The conversation with a plugin, and the next one while that begins. Never locked while anything is waited for.
struct Conversation {
    link: Arc<Link>,
    beginning: Option<Beginning>,
}

/// What comes of beginning again.
type Beginning = watch::Receiver<Option<Result<Arc<Link>, PluginError>>>;

enum Going {
    On(Arc<Link>),
    Beginning(Beginning),
}

/// What a plugin is loaded with.
pub(crate) struct Loading {
    pub(crate) isolation: Isolation,
    /// The folder of `pipeline.toml`.
    pub(crate) directory: PathBuf,
    /// This program, for a library in a process of its own.
    pub(crate) program: PathBuf,
    pub(crate) runtime: Handle,
    pub(crate) access: Arc<Access>,
}

impl LoadedPlugin {
    /// Loads what was read, and asks it what it has.
    pub(crate) fn load(file: &PluginFile, loading: Loading) -> Result<Self, PluginError> {
        let failed = |reason: String, help: &str| PluginError::new(&file.plugin, reason, help);
        let copy = file.copy()?;
        let Loading { isolation, directory, program, runtime, access } = loading;
        let form = match (file.form, isolation) {
            (Form::Library, Isolation::None) => {
                StartForm::Library(Loaded::load(&copy.path).map_err(|(reason, help)| failed(reason, help))?)
            }
            (Form::Library, Isolation::Process) => {
                StartForm::Process { program, arguments: vec!["plugin-host".into(), copy.path.clone()] }
            }
            (Form::Executable, _) => StartForm::Process { program: copy.path.clone(), arguments: Vec::new() },
        };
        let folder = file.path.parent().map(PathBuf::from).unwrap_or_default();
        let (folder, directory) = (absolute(folder), absolute(directory));
        let starter = Starter { name: file.plugin.clone(), form, folder, directory, runtime };
        let (link, welcome) = starter.begin()?;
        check(&starter.name, &welcome)?;
        let conversation = Mutex::new(Conversation { link, beginning: None });
        Ok(Self { welcome, access, starter, conversation, _copy: copy })
    }

    /// As `uses` names it.
    pub(crate) fn name(&self) -> &str {
        &self.starter.name
    }

    /// Where relative paths in inputs start.
    pub(crate) fn directory(&self) -> &Path {
        &self.starter.directory
    }

    /// The conversation, begun again if it broke: what is to be undone needs the plugin.
    pub(crate) async fn link(self: &Arc<Self>) -> Result<Arc<Link>, StageError> {
        let mut beginning = match self.going_or_begun() {
            Going::On(link) => return Ok(link),
            Going::Beginning(beginning) => beginning,
        };
        let failed = |error: &dyn std::fmt::Display| StageError::failed(format!("{}: {error}", self.name()));
        let begun = beginning.wait_for(Option::is_some).await.map_err(|error| failed(&error))?;
        let begun = begun.clone().ok_or_else(|| failed(&"it was not started"))?;
        begun.map_err(StageError::from)
    }

    /// A conversation that can go on, or the next one, which a thread of its own begins: a plugin may take its time
    /// to start, and nobody else is to stand still meanwhile. Whoever asks then waits for the same one.
    fn going_or_begun(self: &Arc<Self>) -> Going {
        let mut now = self.conversation();
        if now.link.is_sound() {
            return Going::On(Arc::clone(&now.link));
        }
        if let Some(beginning) = &now.beginning {
            return Going::Beginning(beginning.clone());
        }
        let (says, beginning) = watch::channel(None);
        let plugin = Arc::clone(self);
        let spawned = thread::Builder::new().name("plugin start".to_owned()).spawn(move || {
            let begun = plugin.starter.begin().map(|(link, _)| link);
            let mut now = plugin.conversation();
            now.beginning = None;
            if let Ok(link) = &begun {
                now.link = Arc::clone(link);
            }
            drop(now);
            says.send_replace(Some(begun));
        });
        if spawned.is_ok() {
            now.beginning = Some(beginning.clone());
        }
        Going::Beginning(beginning)
    }

    fn conversation(&self) -> MutexGuard<'_, Conversation> {
        self.conversation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The conversation as it is, for a caller that cannot wait for a new one.
    pub(crate) fn current(&self) -> Arc<Link> {
        Arc::clone(&self.conversation().link)
    }

    pub(crate) fn named(&self, error: pipeline_sdk::wire::WireError) -> StageError {
        named(self.name(), error)
    }

    /// A host for calls that need nothing of it but secrets.
    pub(crate) fn notifier_host(&self, secrets: crate::secrets::Secrets) -> Arc<CallHost> {
        Arc::new(CallHost::of_notifier(Arc::new(secrets), Arc::clone(&self.access)))
    }
}

impl Starter {
    /// Starts the plugin and greets it.
    fn begin(&self) -> Result<(Arc<Link>, Welcome), PluginError> {
        let failed = |reason: String, help: &str| PluginError::new(&self.name, reason, help);
        let link = Link::new(self.runtime.clone());
        match &self.form {
            StartForm::Library(library) => {
                let takes = Arc::clone(&link);
                let transport = library.open(Arc::new(move |message: &[u8]| takes.receive(message)));
                let transport = transport.map_err(|reason| failed(reason, "its log may say why"))?;
                link.connect(Box::new(transport));
            }
            StartForm::Process { program, arguments } => {
                let mut command = Command::new(program);
                command.args(arguments).current_dir(&self.directory).env("PIPELINE_PLUGIN_DIR", &self.folder);
                command.env("PYTHONPATH", python_path(&self.folder));
                let process = Process::start(command, &link).map_err(|error| {
                    let help = "an executable plugin is a program, or a script with a first line such as \
                                `#!/usr/bin/env python3` whose interpreter is there";
                    failed(format!("it cannot be started: {error}"), help)
                })?;
                link.connect(Box::new(process));
            }
        }
        let hello =
            Hello { protocol: PROTOCOL, host: concat!("pipeline ", env!("CARGO_PKG_VERSION")).to_owned() };
        let welcome = link.call_blocking(MessageType::Hello, &hello, Arc::default(), START);
        welcome.map(|welcome| (Arc::clone(&link), welcome)).map_err(|error| {
            link.fail("it did not greet");
            failed(error.message, "a plugin answers `hello` first: see docs/plugins.md")
        })
    }
}

impl Drop for LoadedPlugin {
    fn drop(&mut self) {
        self.current().close();
    }
}

/// A folder as a plugin gets it, which may work elsewhere. Nothing stands for the one that the program works in.
fn absolute(folder: PathBuf) -> PathBuf {
    std::path::absolute(Path::new(".").join(&folder)).unwrap_or(folder)
}

/// The plugin's own folder first: its file is a copy elsewhere, and looks for its siblings there.
fn python_path(folder: &Path) -> std::ffi::OsString {
    let mut path = folder.as_os_str().to_owned();
    if let Some(more) = std::env::var_os("PYTHONPATH").filter(|more| !more.is_empty()) {
        path.push(":");
        path.push(more);
    }
    path
}

/// What a plugin says of itself has to make sense before a pipeline relies on it.
fn check(plugin: &str, welcome: &Welcome) -> Result<(), PluginError> {
    let failed = |reason: String| {
        Err(PluginError::new(
            plugin,
            reason,
            "this is a defect of the plugin: `pipeline plugin check` tells more",
        ))
    };
    if welcome.protocol > PROTOCOL {
        let reason =
            format!("it speaks version {} of the protocol, this program {PROTOCOL}", welcome.protocol);
        return Err(PluginError::new(
            plugin,
            reason,
            "use a newer `pipeline`, or an older version of the plugin",
        ));
    }
    if welcome.protocol < OLDEST_PROTOCOL {
        let spoken = welcome.protocol;
        return failed(format!(
            "it speaks version {spoken} of the protocol, and the oldest that this program knows is {OLDEST_PROTOCOL}"
        ));
    }
    if welcome.stages.is_empty() && welcome.notifiers.is_empty() {
        return failed("it has neither stages nor notifiers".to_owned());
    }
    for manifest in welcome.stages.iter().chain(&welcome.notifiers) {
        let Manifest { kind, inputs, .. } = manifest;
        if inputs.get("type").and_then(|kind| kind.as_str()) != Some("object") {
            return failed(format!("the inputs of `{kind}` are no JSON Schema of an object"));
        }
        if has_reference(inputs) {
            return failed(format!(
                "the schema of `{kind}` has a `$ref`; every part has to stand where it is used"
            ));
        }
    }
    Ok(())
}

fn has_reference(schema: &pipeline_sdk::Value) -> bool {
    match schema {
        pipeline_sdk::Value::Object(fields) => {
            fields.contains_key("$ref") || fields.values().any(has_reference)
        }
        pipeline_sdk::Value::Array(items) => items.iter().any(has_reference),
        _ => false,
    }
}
