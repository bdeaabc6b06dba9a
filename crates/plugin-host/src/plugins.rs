//! Where a program asks for plugins.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pipeline_sdk::wire::Welcome;
use pipeline_sdk::{
    HostServices, Isolation, KindError, Manifest, NotifierKind, PluginSource, Redactor, StageError, StageKind,
};
use tokio::runtime::Handle;

use crate::call::Access;
use crate::file::{PluginError, PluginFile};
use crate::loaded::{LoadedPlugin, Loading};
use crate::lock::{self, LockFile, LockState};
use crate::notifier::PluginNotifier;
use crate::stage::PluginStage;

/// What plugins are loaded with.
pub struct Options {
    /// The folder of `pipeline.toml`: paths of plugins start here, and `pipeline.lock` is here.
    pub directory: PathBuf,
    /// Which plugins may be loaded.
    pub trust: Trust,
    /// This program, which is called for libraries that run in a process of their own.
    pub program: PathBuf,
}

/// Which plugins may be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those that `pipeline.lock` has.
    Locked,
    /// Those too that it does not have: it has them from then on.
    FirstUse,
    /// Whatever is asked for, for commands that look at one plugin. `pipeline.lock` is left alone.
    Asked,
}

/// What came of loading each plugin that was asked for.
type LoadedPlugins = HashMap<(String, Isolation), Result<Arc<LoadedPlugin>, PluginError>>;

/// The plugins of a pipeline. Each is loaded when it is first asked for.
pub struct Plugins {
    options: Options,
    runtime: Handle,
    access: Arc<Access>,
    loaded: Mutex<LoadedPlugins>,
    /// The stages that were asked for: the same question has the same answer.
    stages: Mutex<HashMap<(String, Isolation), Arc<StageKind>>>,
    lock: Mutex<()>,
}

/// What is known of a plugin.
pub struct Listed {
    /// The plugin, as `uses` names it.
    pub plugin: String,
    /// SHA-256 of its file, in hexadecimal digits.
    pub sha256: String,
    /// What `pipeline.lock` says of it.
    pub state: LockState,
}

/// Whether `uses` has the form of a plugin's name: a path, such as `./libteams.so` or `./plugins/migrate.py`.
pub fn is_plugin(uses: &str) -> bool {
    uses.contains('/')
}

/// The plugin that `uses` names, without the kind that it may ask for.
pub fn plugin_of(uses: &str) -> Option<&str> {
    is_plugin(uses).then(|| split(uses).0)
}

/// The kind that `uses` asks for, where it names a plugin and says which of its kinds.
pub fn kind_of(uses: &str) -> Option<&str> {
    if is_plugin(uses) { split(uses).1 } else { None }
}

impl Plugins {
    /// Loads nothing yet. Has to be called in a tokio runtime, on which questions of plugins are answered.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            runtime: Handle::current(),
            access: Arc::default(),
            loaded: Mutex::default(),
            stages: Mutex::default(),
            lock: Mutex::default(),
        }
    }

    /// Gives plugins what only this program has. The first one stays.
    pub fn set_services(&self, services: Arc<dyn HostServices>) {
        let _ = self.access.services.set(services);
    }

    /// Learns the secrets that plugins get. The first one stays.
    pub fn set_redactor(&self, redactor: Redactor) {
        let _ = self.access.redactor.set(redactor);
    }

    /// Where the lock file is.
    pub fn lock_file(&self) -> PathBuf {
        lock::place(&self.options.directory)
    }

    /// What is known of the plugin that `uses` names, without carrying out anything of it.
    ///
    /// # Errors
    /// It cannot be read, or `pipeline.lock` cannot.
    pub fn look(&self, uses: &str) -> Result<Listed, PluginError> {
        let (plugin, _) = split(uses);
        let file = PluginFile::read(plugin, &self.options.directory)?;
        let state = LockFile::read(&self.lock_file())?.state(plugin, &file.sha256);
        Ok(Listed { plugin: plugin.to_owned(), sha256: file.sha256, state })
    }

    /// Trusts a plugin as it was when it was looked at.
    ///
    /// # Errors
    /// `pipeline.lock` cannot be written.
    pub fn trust(&self, listed: &Listed) -> Result<(), PluginError> {
        self.write_lock(&listed.plugin, &listed.sha256)
    }

    /// What the plugin that `uses` names says of itself. It is loaded.
    ///
    /// # Errors
    /// It cannot be loaded, or is not trusted.
    pub fn welcome(&self, uses: &str, isolation: Isolation) -> Result<Welcome, PluginError> {
        self.loaded(uses, isolation).map(|plugin| plugin.welcome.clone())
    }

    fn all(&self) -> MutexGuard<'_, LoadedPlugins> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loaded(&self, uses: &str, isolation: Isolation) -> Result<Arc<LoadedPlugin>, PluginError> {
        let (plugin, _) = split(uses);
        let mut loaded = self.all();
        let known = loaded.entry((plugin.to_owned(), isolation));
        known.or_insert_with(|| self.load(plugin, isolation).map(Arc::new)).clone()
    }

    fn load(&self, plugin: &str, isolation: Isolation) -> Result<LoadedPlugin, PluginError> {
        let file = PluginFile::read(plugin, &self.options.directory)?;
        let is_new = self.check_trust(&file)?;
        let directory = &self.options.directory;
        // A process cannot work in an empty path.
        let directory = if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory.clone() };
        let loading = Loading {
            isolation,
            directory,
            program: self.options.program.clone(),
            runtime: self.runtime.clone(),
            access: Arc::clone(&self.access),
        };
        let loaded = LoadedPlugin::load(&file, loading)?;
        // Only now: a broken file would be trusted otherwise, and the one that works in its place refused.
        if is_new {
            self.write_lock(plugin, &file.sha256)?;
        }
        Ok(loaded)
    }

    /// Refuses what is not the plugin that was trusted. Whether it is to be trusted from now on: it was never seen,
    /// and the lock file may change.
    fn check_trust(&self, file: &PluginFile) -> Result<bool, PluginError> {
        let failed = |reason: String, help: String| Err(PluginError::new(&file.plugin, reason, help));
        let plugin = &file.plugin;
        if self.options.trust == Trust::Asked {
            return Ok(false);
        }
        match LockFile::read(&self.lock_file())?.state(plugin, &file.sha256) {
            LockState::Trusted => Ok(false),
            LockState::Changed(trusted) => failed(
                format!(
                    "it is not the one that pipeline.lock trusts: its SHA-256 is {}, not {trusted}",
                    file.sha256
                ),
                format!("if it was changed on purpose: `pipeline plugin update {plugin}`"),
            ),
            LockState::Unknown if self.options.trust == Trust::Locked => failed(
                format!("pipeline.lock does not have it for {}", lock::platform()),
                format!("`pipeline plugin add {plugin}` on a machine of this kind, and commit pipeline.lock"),
            ),
            LockState::Unknown => Ok(true),
        }
    }

    fn write_lock(&self, plugin: &str, sha256: &str) -> Result<(), PluginError> {
        let _one_at_a_time = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.lock_file();
        let mut lock = LockFile::read(&path)?;
        lock.trust(plugin, sha256);
        lock.write(&path).map_err(|error| {
            PluginError::new(plugin, format!("{} cannot be written: {error}", path.display()), "")
        })
    }
}

/// The plugin and the kind in `./plugin.so#kind`.
fn split(uses: &str) -> (&str, Option<&str>) {
    match uses.rsplit_once('#') {
        Some((plugin, kind)) => (plugin, Some(kind)),
        None => (uses, None),
    }
}

/// The manifest of the kind that `uses` names, among those of one role.
fn choose(
    uses: &str,
    role: &str,
    manifests: &[Manifest],
    others: &[Manifest],
) -> Result<Manifest, PluginError> {
    let (plugin, kind) = split(uses);
    let names = |manifests: &[Manifest]| {
        let names: Vec<_> = manifests.iter().map(|manifest| format!("`{}`", manifest.kind)).collect();
        names.join(", ")
    };
    let failed = |reason: String, help: String| Err(PluginError::new(plugin, reason, help));
    match (kind, manifests) {
        (None, [only]) => Ok(only.clone()),
        (None, []) => failed(format!("it has no {role}"), format!("it has {}", names(others))),
        (None, several) => failed(
            format!("it has several {role}s: {}", names(several)),
            format!("say which one: `uses = \"{plugin}#{}\"`", several[0].kind),
        ),
        (Some(kind), _) => match manifests.iter().find(|manifest| manifest.kind == kind) {
            Some(manifest) => Ok(manifest.clone()),
            None if manifests.is_empty() => {
                failed(format!("it has no {role} `{kind}`"), format!("it has {}", names(others)))
            }
            None => failed(format!("it has no {role} `{kind}`"), format!("it has {}", names(manifests))),
        },
    }
}

impl PluginSource for Plugins {
    fn stage(&self, uses: &str, isolation: Isolation) -> Result<Arc<StageKind>, KindError> {
        if !is_plugin(uses) {
            return Err(KindError::Unknown);
        }
        let question = (uses.to_owned(), isolation);
        let mut known = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kind) = known.get(&question) {
            return Ok(Arc::clone(kind));
        }
        let plugin = self.loaded(uses, isolation).map_err(StageError::from)?;
        let Welcome { stages, notifiers, .. } = &plugin.welcome;
        let manifest = choose(uses, "stage", stages, notifiers).map_err(StageError::from)?;
        let stage = Arc::new(PluginStage::new(plugin, manifest.clone()));
        let kind = Arc::new(StageKind { manifest, stage });
        known.insert(question, Arc::clone(&kind));
        Ok(kind)
    }

    fn notifier(&self, uses: &str, isolation: Isolation) -> Result<Arc<NotifierKind>, KindError> {
        if !is_plugin(uses) {
            return Err(KindError::Unknown);
        }
        let plugin = self.loaded(uses, isolation).map_err(StageError::from)?;
        let Welcome { stages, notifiers, .. } = &plugin.welcome;
        let manifest = choose(uses, "notifier", notifiers, stages).map_err(StageError::from)?;
        let described = manifest.clone();
        let create = move |inputs: &pipeline_sdk::Inputs| {
            let notifier = PluginNotifier::open(&plugin, &described, inputs)?;
            Ok(Arc::new(notifier) as Arc<dyn pipeline_sdk::Notifier>)
        };
        Ok(Arc::new(NotifierKind { manifest, create: Arc::new(create) }))
    }
}
