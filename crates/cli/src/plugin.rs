//! `pipeline plugin`: making, checking and trusting plugins.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use pipeline_core::{ConfigErrors, Pipeline};
use pipeline_plugin_host::check::{Check, Outcome};
use pipeline_plugin_host::{
    Language, LockFile, LockState, PluginError, Plugins, TemplateError, Trust, check, kind_of, platform,
    plugin_of, serve, write_template,
};
use pipeline_sdk::{Isolation, Manifest, Value};

use crate::arguments::{CheckPlugin, NewPlugin, PluginCommand, PluginLanguage, PluginOptions};
use crate::exit::Exit;
use crate::host;
use crate::manifest;
use crate::run::{CommandError, finish};

/// How much of a hash is shown.
const SHOWN: usize = 16;

/// Why a command on plugins failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginCommandError {
    /// A plugin cannot be used.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// There is no new project.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The inputs to check with cannot be read.
    #[error("the inputs {}: {reason}", path.display())]
    Inputs { path: PathBuf, reason: String },
    /// The lock file cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Lock { path: PathBuf, source: io::Error },
}

impl PluginCommandError {
    /// What to do about it, where the message does not say it.
    pub(crate) fn help(&self) -> Option<&str> {
        match self {
            Self::Plugin(error) => Some(error.help.as_str()).filter(|help| !help.is_empty()),
            _ => None,
        }
    }
}

/// Carries out a command on plugins.
pub(crate) async fn run(command: PluginCommand) -> Exit {
    let result = match command {
        PluginCommand::New(options) => make(&options),
        PluginCommand::Check(options) => conform(&options).await,
        PluginCommand::List(options) => list(&options),
        PluginCommand::Add(options) => add(&options),
        PluginCommand::Update(options) => update(&options),
        PluginCommand::Verify(options) => verify(&options),
    };
    finish(result, false)
}

/// Passes messages between a library and standard input and output.
pub(crate) fn host(library: &Path) -> Exit {
    match serve(library) {
        Ok(()) => Exit::Succeeded,
        Err(error) => {
            eprintln!("{error}");
            Exit::Failed
        }
    }
}

/// Shows what a plugin has, or the one kind of it that `plugin` asks for.
pub(crate) fn describe(plugin: &str) -> io::Result<Exit> {
    let plugins = host::plugins(PathBuf::new(), Trust::Asked);
    let welcome = match plugins.welcome(plugin, Isolation::Process) {
        Ok(welcome) => welcome,
        Err(error) => return Ok(finish(Err(PluginCommandError::from(error).into()), false)),
    };
    let all = welcome.stages.iter().chain(&welcome.notifiers).collect();
    let kinds = match asked_for(plugin, all) {
        Ok(kinds) => kinds,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(Exit::Usage);
        }
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{} {}", welcome.name, welcome.version)?;
    for kind in kinds {
        writeln!(out)?;
        manifest::write_text(&mut out, kind)?;
    }
    Ok(Exit::Succeeded)
}

/// Of `all` kinds of a plugin the one that `uses` asks for, if it asks for one.
///
/// # Errors
/// The plugin does not have it; the error says what it has.
fn asked_for<'a>(uses: &str, all: Vec<&'a Manifest>) -> Result<Vec<&'a Manifest>, String> {
    let (Some(plugin), Some(kind)) = (plugin_of(uses), kind_of(uses)) else { return Ok(all) };
    if let Some(manifest) = all.iter().find(|manifest| manifest.kind == kind) {
        return Ok(vec![*manifest]);
    }
    let help = pipeline_core::suggestion("kinds", kind, all.iter().map(|manifest| manifest.kind.as_str()));
    Err(format!("{plugin} has no kind `{kind}`\nhelp: {help}"))
}

fn make(options: &NewPlugin) -> Result<Exit, CommandError> {
    let language = match options.lang {
        PluginLanguage::Rust => Language::Rust,
        PluginLanguage::Python => Language::Python,
        PluginLanguage::C => Language::C,
    };
    let NewPlugin { name, sdk, .. } = options;
    write_template(Path::new(name), name, language, sdk.as_deref()).map_err(PluginCommandError::from)?;
    let next = match options.lang {
        PluginLanguage::Rust => "cargo test",
        PluginLanguage::Python => "python3 -m unittest",
        PluginLanguage::C => "make test",
    };
    writeln!(
        io::stdout(),
        "{name}/ is a plugin that works; README.md in it says what is where\n  cd {name} && {next}"
    )?;
    Ok(Exit::Succeeded)
}

async fn conform(options: &CheckPlugin) -> Result<Exit, CommandError> {
    let isolation = if options.isolated { Isolation::Process } else { Isolation::None };
    let program = std::env::current_exe()?;
    let samples = samples(options)?;
    let services = host::services_of_checks();
    let checks = check::check(&options.plugin, &program, isolation, samples.as_ref(), services).await;
    let checks = checks.map_err(PluginCommandError::from)?;
    write_checks(&mut io::stdout().lock(), &checks)?;
    let failed = checks.iter().filter(|check| matches!(check.outcome, Outcome::Failed(_))).count();
    Ok(if failed == 0 { Exit::Succeeded } else { Exit::Failed })
}

fn samples(options: &CheckPlugin) -> Result<Option<Value>, PluginCommandError> {
    let Some(path) = &options.inputs else { return Ok(None) };
    let failed = |reason: String| PluginCommandError::Inputs { path: path.clone(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
    if value.is_object() { Ok(Some(value)) } else { Err(failed("they are no JSON object".to_owned())) }
}

fn write_checks(out: &mut dyn Write, checks: &[Check]) -> io::Result<()> {
    for Check { kind, what, outcome } in checks {
        let subject = if kind.is_empty() { (*what).to_owned() } else { format!("{kind}: {what}") };
        let (sign, text) = match outcome {
            Outcome::Passed(text) => ("ok     ", text),
            Outcome::Failed(text) => ("FAILED ", text),
            Outcome::Skipped(text) => ("skipped", text),
        };
        let text = if text.is_empty() { String::new() } else { format!(": {text}") };
        writeln!(out, "{sign}  {subject}{text}")?;
    }
    Ok(())
}

/// The plugins that a command is about: the named ones, or those that the pipeline uses.
fn named_or_used(options: &PluginOptions) -> Result<Vec<String>, ConfigErrors> {
    if options.plugins.is_empty() {
        return used(options);
    }
    // Also where there is no pipeline yet.
    let used = used(options).unwrap_or_default();
    Ok(options.plugins.iter().map(|plugin| as_used(plugin, &used)).collect())
}

/// The plugin in the words in which a pipeline names it: the shell completes `./plugin.so` to `plugin.so`.
fn as_used(plugin: &str, used: &[String]) -> String {
    fn plain(path: &str) -> &str {
        path.strip_prefix("./").unwrap_or(path)
    }
    match used.iter().find(|known| plain(known) == plain(plugin)) {
        Some(known) => known.clone(),
        None if plugin.contains('/') => plugin.to_owned(),
        None => format!("./{plugin}"),
    }
}

/// The plugins that the pipeline uses, each once.
fn used(options: &PluginOptions) -> Result<Vec<String>, ConfigErrors> {
    let mut plugins: Vec<String> = Vec::new();
    let uses = Pipeline::uses(&options.file)?;
    for plugin in uses.iter().filter_map(|uses| plugin_of(uses)) {
        if !plugins.iter().any(|known| known == plugin) {
            plugins.push(plugin.to_owned());
        }
    }
    Ok(plugins)
}

fn plugins(options: &PluginOptions) -> std::sync::Arc<Plugins> {
    host::plugins(options.file.parent().map(PathBuf::from).unwrap_or_default(), Trust::Locked)
}

fn list(options: &PluginOptions) -> Result<Exit, CommandError> {
    let used = named_or_used(options)?;
    let plugins = plugins(options);
    let mut out = io::stdout().lock();
    let width = used.iter().map(String::len).max().unwrap_or(0);
    for plugin in &used {
        match plugins.look(plugin) {
            Ok(found) => {
                let state = match found.state {
                    LockState::Trusted => "trusted",
                    LockState::Unknown => "new",
                    LockState::Changed(_) => "changed",
                };
                writeln!(out, "{plugin:width$}  {state:8}  sha256 {}", short(&found.sha256))?;
            }
            Err(error) => writeln!(out, "{plugin:width$}  unusable  {}", error.reason)?,
        }
    }
    if used.is_empty() {
        writeln!(out, "{} uses no plugin", options.file.display())?;
    }
    Ok(Exit::Succeeded)
}

fn short(sha256: &str) -> &str {
    sha256.get(..SHOWN).unwrap_or(sha256)
}

fn add(options: &PluginOptions) -> Result<Exit, CommandError> {
    let (named, plugins) = (named_or_used(options)?, plugins(options));
    let mut out = io::stdout().lock();
    for plugin in &named {
        let found = plugins.look(plugin).map_err(PluginCommandError::from)?;
        match found.state {
            LockState::Trusted => writeln!(out, "{plugin} is trusted already")?,
            LockState::Unknown => {
                plugins.trust(&found).map_err(PluginCommandError::from)?;
                writeln!(out, "{plugin} is trusted on {}: sha256 {}", platform(), short(&found.sha256))?;
            }
            LockState::Changed(trusted) => {
                let reason = format!("another one is trusted: sha256 {}", short(&trusted));
                let help = format!("if it was changed on purpose: `pipeline plugin update {plugin}`");
                return Err(
                    PluginCommandError::from(PluginError { plugin: plugin.clone(), reason, help }).into()
                );
            }
        }
    }
    Ok(Exit::Succeeded)
}

fn update(options: &PluginOptions) -> Result<Exit, CommandError> {
    let (named, plugins) = (named_or_used(options)?, plugins(options));
    let mut out = io::stdout().lock();
    for plugin in &named {
        let found = plugins.look(plugin).map_err(PluginCommandError::from)?;
        if found.state == LockState::Trusted {
            writeln!(out, "{plugin} is as it was")?;
            continue;
        }
        plugins.trust(&found).map_err(PluginCommandError::from)?;
        writeln!(out, "{plugin} is trusted on {}: sha256 {}", platform(), short(&found.sha256))?;
    }
    if options.plugins.is_empty() {
        let path = plugins.lock_file();
        let mut lock = LockFile::read(&path).map_err(PluginCommandError::from)?;
        let gone = lock.retain(&named);
        if !gone.is_empty() {
            lock.write(&path).map_err(|source| PluginCommandError::Lock { path, source })?;
            writeln!(out, "{}", forgotten(&options.file, &gone))?;
        }
    }
    Ok(Exit::Succeeded)
}

/// What becomes of plugins that the pipeline does not name. The state may have stages of them all the same.
fn forgotten(file: &Path, gone: &[String]) -> String {
    format!(
        "forgotten, since {} does not name it: {}\n\
         until a stage of it that was deployed is removed, a run needs it: `pipeline plugin add {}`",
        file.display(),
        gone.join(", "),
        gone.join(" ")
    )
}

fn verify(options: &PluginOptions) -> Result<Exit, CommandError> {
    let (named, plugins) = (named_or_used(options)?, plugins(options));
    let mut out = io::stdout().lock();
    let mut wrong = 0;
    for plugin in &named {
        let problem = match plugins.look(plugin).map_err(|error| error.reason).map(|found| found.state) {
            Ok(LockState::Trusted) => {
                writeln!(out, "ok       {plugin}")?;
                continue;
            }
            Ok(LockState::Unknown) => format!("pipeline.lock does not have it for {}", platform()),
            Ok(LockState::Changed(trusted)) => {
                format!("it is not the trusted one, sha256 {}", short(&trusted))
            }
            Err(reason) => reason,
        };
        wrong += 1;
        writeln!(out, "FAILED   {plugin}: {problem}")?;
    }
    Ok(if wrong == 0 { Exit::Succeeded } else { Exit::Failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_shows_the_kind_that_is_asked_for_or_says_which_it_has() {
        let manifest = |kind: &str| Manifest { kind: kind.to_owned(), ..Manifest::default() };
        let all = [manifest("migrate"), manifest("teams")];
        let kinds = |uses: &str| {
            let manifests = asked_for(uses, all.iter().collect())?;
            Ok::<_, String>(manifests.iter().map(|manifest| manifest.kind.clone()).collect::<Vec<_>>())
        };
        assert_eq!(kinds("./a.py").expect("all"), ["migrate", "teams"]);
        assert_eq!(kinds("./a.py#teams").expect("one"), ["teams"]);
        let refused = |uses: &str| kinds(uses).expect_err("none");
        assert_eq!(refused("./a.py#nope"), "./a.py has no kind `nope`\nhelp: kinds: `migrate`, `teams`");
        assert_eq!(refused("./a.py#team"), "./a.py has no kind `team`\nhelp: did you mean `teams`?");
    }

    #[test]
    fn what_is_forgotten_can_be_had_back() {
        let gone = ["./a.so".to_owned(), "./b.py".to_owned()];
        assert_eq!(
            forgotten(Path::new("pipeline.toml"), &gone),
            "forgotten, since pipeline.toml does not name it: ./a.so, ./b.py\n\
             until a stage of it that was deployed is removed, a run needs it: \
             `pipeline plugin add ./a.so ./b.py`"
        );
    }

    #[test]
    fn a_plugin_is_called_as_the_pipeline_calls_it() {
        let used = ["./teams.so".to_owned(), "../lib/slack.so".to_owned(), "plain.py".to_owned()];
        let called = |plugin| as_used(plugin, &used);
        assert_eq!(called("teams.so"), "./teams.so");
        assert_eq!(called("./plain.py"), "plain.py");
        assert_eq!(called("../lib/slack.so"), "../lib/slack.so");
        assert_eq!(called("new.so"), "./new.so");
        assert_eq!(called("/opt/new.so"), "/opt/new.so");
    }
}
