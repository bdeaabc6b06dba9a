//! `pipeline plan`, `run`, `apply`, `rollback` and `destroy`.

use std::io::{self, BufRead, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{GraphicalReportHandler, GraphicalTheme};
use pipeline_aws::Aws;
use pipeline_core::{
    Cancellation, ConfigError, ConfigErrors, Engine, EngineError, LoadOptions, Pipeline, Plan, Run,
    RunReport, StageFailure, StateStore, StoreError, Target, Wait,
};
use pipeline_plugin_host::Plugins;
use pipeline_plugin_host::TemplateError;
use pipeline_sdk::{Mode, Registry, RunCommand, RunOutcome};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{
    ApplyOptions, DestroyOptions, FileOptions, LockOptions, PlanOptions, RollbackOptions, RunOptions,
};
use crate::exit::Exit;
use crate::history;
use crate::host::{self, Connection, HostError};
use crate::plugin::PluginCommandError;
use crate::private;
use crate::render::{self, JsonLines, Shown, Style, Text};
use crate::state;

/// The exit code of a process that a second signal ends at once, as shells give it: 128 + SIGINT.
const AT_ONCE: i32 = 130;

/// Why a command ended before there was a run, or without a report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// There is no cloud to work on.
    #[error(transparent)]
    Host(#[from] HostError),
    /// There is nowhere to keep a state.
    #[error(transparent)]
    State(#[from] state::StateError),
    /// The run could not begin or plan.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A plugin, or what keeps it, cannot be used.
    #[error(transparent)]
    Plugin(#[from] PluginCommandError),
    /// The terminal or a pipe failed.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
    /// A command that removes everything was not confirmed.
    #[error("nothing was removed: confirm with `--yes` where there is no terminal to ask on")]
    NotConfirmed,
    /// The user was asked, and typed something else.
    #[error("nothing was removed: the answer was not {wanted}")]
    Declined { wanted: String },
    /// A plan cannot be saved.
    #[error("the plan {} cannot be written: {source}", path.display())]
    SavedPlan { path: PathBuf, source: io::Error },
    /// What was named is no plan that was saved.
    #[error("the plan {}: {reason}", path.display())]
    UnreadablePlan { path: PathBuf, reason: String },
    /// A run that was named cannot be told.
    #[error("`{wanted}`: {why}; `pipeline history` lists them")]
    NoSuchRun { wanted: String, why: &'static str },
}

impl CommandError {
    fn exit(&self) -> Exit {
        match self {
            Self::Config(_) => Exit::Usage,
            Self::Engine(EngineError::Plan(failures)) if failures.iter().all(|one| one.input.is_some()) => {
                Exit::Usage
            }
            Self::Engine(EngineError::Store(StoreError::Locked { .. })) => Exit::Locked,
            Self::Engine(EngineError::NotUndone { .. }) => Exit::Stuck,
            Self::NoSuchRun { .. }
            | Self::Host(HostError::Value { .. })
            | Self::State(state::StateError::Place(_) | state::StateError::Endpoint(_))
            | Self::UnreadablePlan { .. }
            | Self::Plugin(PluginCommandError::Template(TemplateError::Name(_)))
            | Self::Engine(EngineError::Notifier { input: true, .. }) => Exit::Usage,
            Self::Engine(EngineError::Cancelled) | Self::Declined { .. } => Exit::Cancelled,
            _ => Exit::Failed,
        }
    }
}

/// `pipeline plan`
pub(crate) async fn plan(options: PlanOptions) -> Exit {
    finish(try_plan(&options).await, options.file.json)
}

/// `pipeline run`
pub(crate) async fn run(options: RunOptions) -> Exit {
    finish(try_run(&options).await, options.file.json)
}

/// `pipeline apply`
pub(crate) async fn apply(options: ApplyOptions) -> Exit {
    finish(try_apply(&options).await, options.file.json)
}

/// `pipeline rollback`
pub(crate) async fn rollback(options: RollbackOptions) -> Exit {
    finish(try_rollback(&options).await, options.file.json)
}

/// `pipeline destroy`
pub(crate) async fn destroy(options: DestroyOptions) -> Exit {
    finish(try_destroy(&options).await, options.file.json)
}

/// Reads and checks the file that `options` names.
pub(crate) fn load(options: &FileOptions) -> Result<Pipeline, ConfigErrors> {
    load_with(options, &host::plugins(options.directory(), options.trust()))
}

/// Reads what tells which environment is meant and where its state is: nothing of stages and notifiers, whose plugins
/// and secrets whoever only looks may not have.
pub(crate) fn load_where(options: &FileOptions) -> Result<Pipeline, ConfigErrors> {
    Pipeline::load(
        &options.file,
        &LoadOptions { only_where: true, ..load_options(options, Registry::default()) },
    )
}

fn load_with(options: &FileOptions, plugins: &Arc<Plugins>) -> Result<Pipeline, ConfigErrors> {
    Pipeline::load(&options.file, &load_options(options, host::manifests_with(plugins)))
}

fn load_options(options: &FileOptions, registry: Registry) -> LoadOptions {
    LoadOptions {
        registry,
        cloud_schema: host::cloud_schema(),
        environment: options.environment.clone(),
        vars: options.variables(),
        env: std::env::vars().collect(),
        parallelism: options.parallelism.map(NonZeroUsize::get),
        only_where: false,
    }
}

/// Where a run works, and what is needed to show how it goes on.
struct Site {
    pipeline: Pipeline,
    store: Arc<dyn StateStore>,
    aws: Arc<Aws>,
    target: Target,
    engine: Engine,
    cancel: Cancellation,
    json: bool,
    style: Style,
}

async fn site(options: &FileOptions) -> Result<Site, CommandError> {
    let plugins = host::plugins(options.directory(), options.trust());
    let pipeline = load_with(options, &plugins)?;
    plugins.set_redactor(pipeline.redactor().clone());
    let store = state::open(&pipeline).await?;
    let Connection { aws, target } = host::connect(pipeline.cloud()).await?;
    // Its connections are closed by the end of the process, all at once, and not each by a task that has to be woken.
    std::mem::forget(Arc::clone(&aws));
    let style = Style::of_stdout();
    let sink = if options.json {
        render::sink(Box::new(JsonLines(io::stdout())))
    } else {
        render::sink(Box::new(Text::new(io::stdout(), style)))
    };
    let engine = Engine::new(pipeline.clone(), host::registry(&aws, &plugins), store.clone(), sink);
    let cancel = Cancellation::new();
    listen_for_signals(cancel.clone())?;
    Ok(Site { pipeline, store, aws, target, engine, cancel, json: options.json, style })
}

/// Waits for the lock as long as the user wants, and says for whom.
fn waiting(options: &LockOptions) -> Wait<'static> {
    let timeout = options.lock_timeout;
    Wait::at_most(timeout, move |holder| {
        let whom = holder.map(|holder| format!(" ({holder})")).unwrap_or_default();
        // With nobody to read it there is still somebody to wait for.
        let _ = writeln!(io::stderr(), "another run holds the environment{whom}; waiting up to {timeout:?}");
    })
}

/// The first signal asks the run to stop and roll back. The same one again ends the process at once. A
/// different one does not: CI systems send SIGINT and, a moment later, SIGTERM, and mean one wish.
fn listen_for_signals(cancel: Cancellation) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // `nohup` means it: listening would undo that.
    let mut hang_up = if hang_ups_are_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
    tokio::spawn(async move {
        let mut seen = Vec::new();
        loop {
            let cause = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
                Some(_) = async { hang_up.as_mut()?.recv().await } => "SIGHUP",
            };
            if seen.contains(&cause) {
                std::process::exit(AT_ONCE);
            }
            seen.push(cause);
            cancel.request(cause);
        }
    });
    Ok(())
}

/// Whether the process was started to ignore SIGHUP, as far as that can be told: Linux says it in
/// `/proc/self/status`, a bit for each signal from 1.
fn hang_ups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

async fn try_plan(options: &PlanOptions) -> Result<Exit, CommandError> {
    let mode = if options.destroy { Mode::Destroy } else { Mode::Converge };
    let site = site(&options.file).await?;
    let mut run = site.begin(RunCommand::Plan, &options.lock).await?;
    let plan = run.plan(mode).await?;
    site.show(&plan)?;
    let (changes, can_be_saved) = (!plan.is_empty(), run.can_be_saved());
    run.close(Some(&plan)).await;
    if let Some(path) = &options.out {
        can_be_saved?;
        save_plan(path, &options.file, &plan, &site)?;
    }
    Ok(if changes && options.detailed_exit_code { Exit::Changes } else { Exit::Succeeded })
}

async fn try_run(options: &RunOptions) -> Result<Exit, CommandError> {
    let site = site(&options.file).await?;
    let mut run = site.begin(RunCommand::Run, &options.lock).await?;
    let plan = run.plan(Mode::Converge).await?;
    site.show(&plan)?;
    site.conclude(run.apply(plan).await)
}

fn save_plan(path: &Path, file: &FileOptions, plan: &Plan, site: &Site) -> Result<(), CommandError> {
    let failed = |source| CommandError::SavedPlan { path: path.to_owned(), source };
    let bytes = plan.encode(site.pipeline.redactor()).map_err(|error| failed(io::Error::other(error)))?;
    private::write(path, &bytes).map_err(failed)?;
    if site.json {
        return Ok(());
    }
    let path = path.display();
    let words = site.pipeline.redactor().text(&file.words());
    let told =
        writeln!(io::stdout(), "saved as {path}; `pipeline apply {path}{words}` does this and nothing else");
    Ok(unless_unread(told)?)
}

async fn try_apply(options: &ApplyOptions) -> Result<Exit, CommandError> {
    let path = &options.plan;
    let failed = |reason: String| CommandError::UnreadablePlan { path: path.clone(), reason };
    let bytes = std::fs::read(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
    let saved = Plan::decode(&bytes).map_err(|error| failed(error.to_string()))?;
    let site = site(&options.file).await?;
    let (target, cancel, wait) = (site.target.clone(), site.cancel.clone(), waiting(&options.lock));
    let mut run = site.engine.begin_saved(&saved, target, cancel, wait).await?;
    let plan = run.plan_again(&saved).await?;
    site.show(&plan)?;
    site.conclude(run.apply(plan).await)
}

async fn try_rollback(options: &RollbackOptions) -> Result<Exit, CommandError> {
    let site = site(&options.file).await?;
    let (target, cancel) = (site.target.clone(), site.cancel.clone());
    let wait = waiting(&options.lock);
    if let Some(wanted) = &options.to {
        let earlier = history::find_in(site.store.as_ref(), &site.pipeline, wanted).await?;
        let mut run = site.engine.begin_redeployment(earlier, target, cancel, wait).await?;
        let plan = run.plan(Mode::Converge).await?;
        site.show(&plan)?;
        return site.conclude(run.apply(plan).await);
    }
    let undoing = site.engine.begin_rollback(target, cancel, wait).await?;
    site.show(undoing.plan())?;
    if undoing.removes_everything()
        && !options.yes
        && let Err(error) = confirm(&site).await
    {
        undoing.decline().await;
        return Err(error);
    }
    site.conclude(undoing.apply().await)
}

async fn try_destroy(options: &DestroyOptions) -> Result<Exit, CommandError> {
    if !options.yes {
        // Before a run that was cut off is undone for it.
        can_ask()?;
    }
    let site = site(&options.file).await?;
    let mut run = site.begin(RunCommand::Destroy, &options.lock).await?;
    let plan = run.plan(Mode::Destroy).await?;
    site.show(&plan)?;
    if !plan.is_empty()
        && !options.yes
        && let Err(error) = confirm(&site).await
    {
        run.decline().await;
        return Err(error);
    }
    site.conclude(run.apply(plan).await)
}

fn can_ask() -> Result<(), CommandError> {
    if io::stdin().is_terminal() { Ok(()) } else { Err(CommandError::NotConfirmed) }
}

/// Asks for the name of what is to be removed: a `y` is typed too quickly. The question goes to standard
/// error, where it is seen also when standard output is a file.
async fn confirm(site: &Site) -> Result<(), CommandError> {
    can_ask()?;
    let wanted = site.pipeline.id().canonical();
    write!(io::stderr(), "Type {wanted} to remove all of this: ")?;
    let typed = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map(|_| answer)
    });
    let answer = tokio::select! {
        typed = typed => typed.map_err(io::Error::other)??,
        () = site.cancel.requested() => {
            writeln!(io::stderr())?;
            return Err(EngineError::Cancelled.into());
        }
    };
    if answer.trim() == wanted { Ok(()) } else { Err(CommandError::Declined { wanted }) }
}

/// A reader that went away (`pipeline run | head`) must not stop a deployment half way, nor make a run
/// that succeeded fail.
pub(crate) fn unless_unread(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

impl Site {
    async fn begin(&self, command: RunCommand, lock: &LockOptions) -> Result<Run, CommandError> {
        Ok(self.engine.begin(command, self.target.clone(), self.cancel.clone(), waiting(lock)).await?)
    }

    fn show(&self, plan: &Plan) -> io::Result<()> {
        if self.json || plan.is_empty() {
            return Ok(());
        }
        let stages: Vec<_> = plan
            .stages
            .iter()
            .map(|stage| Shown { name: &stage.name, changes: &stage.plan.changes })
            .collect();
        unless_unread(render::write_plan(&mut io::stdout().lock(), &stages, self.style))
    }

    /// Says what the events did not, and keeps what could not be kept where it belongs.
    fn conclude(&self, report: RunReport) -> Result<Exit, CommandError> {
        if let Some(known) = &report.emergency {
            keep_elsewhere(&report, known);
        }
        if !self.json {
            let written = write_report(&mut io::stdout().lock(), &report, &self.pipeline, &self.aws);
            if let Err(error) = unless_unread(written) {
                // How the run ended counts, not whether all of it could be told.
                let _ = writeln!(io::stderr(), "warning: cannot write: {error}");
            }
        }
        Ok(exit_of(report.outcome))
    }
}

/// Writes what a run knows into a file of the current or the temporary folder, or else to standard error.
fn keep_elsewhere(report: &RunReport, known: &str) {
    let name = format!("pipeline-emergency-{}.json", report.run);
    let folders = [PathBuf::from("."), std::env::temp_dir()];
    let written = folders
        .iter()
        .map(|folder| folder.join(&name))
        .find(|path| private::write(path, known.as_bytes()).is_ok());
    let text = match written {
        Some(path) => {
            format!("what the run knows could not be kept where it belongs; it is in {}\n", path.display())
        }
        None => format!("what the run knows could not be kept anywhere:\n{known}"),
    };
    // With nobody to read it, nothing is left to be done.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// What the events do not say: how much was asked of AWS, and where the app is.
fn write_report(out: &mut dyn Write, report: &RunReport, pipeline: &Pipeline, aws: &Aws) -> io::Result<()> {
    let calls = aws.calls();
    match calls.mutations() {
        0 => writeln!(out, "{} calls, all of them reads; no mutating call was made", calls.total())?,
        1 => writeln!(out, "{} calls: {} reads, 1 change", calls.total(), calls.reads())?,
        changes => writeln!(out, "{} calls: {} reads, {changes} changes", calls.total(), calls.reads())?,
    }
    if let Some(help) = &report.help {
        writeln!(out, "help: {help}")?;
    }
    if matches!(report.outcome, RunOutcome::Succeeded | RunOutcome::Unchanged) {
        for url in report.outputs.values().filter_map(|outputs| outputs.get("url")?.as_str()) {
            writeln!(out, "{}", pipeline.redactor().text(url))?;
        }
        if aws.is_embedded() && report.outputs.values().any(|outputs| outputs.contains_key("url")) {
            writeln!(
                out,
                "(names of the embedded cloud: `pipeline cloud status` says where they are reached)"
            )?;
        }
    }
    Ok(())
}

fn exit_of(outcome: RunOutcome) -> Exit {
    match outcome {
        RunOutcome::Succeeded | RunOutcome::Unchanged => Exit::Succeeded,
        RunOutcome::Failed => Exit::Failed,
        RunOutcome::RolledBack => Exit::RolledBack,
        RunOutcome::Cancelled => Exit::Cancelled,
        RunOutcome::Stuck => Exit::Stuck,
    }
}

/// Turns what came of a command into an exit code, and says what went wrong on standard error.
pub(crate) fn finish(result: Result<Exit, CommandError>, json: bool) -> Exit {
    let error = match result {
        Ok(exit) => return exit,
        Err(error) => error,
    };
    if json && matches!(error, CommandError::Engine(EngineError::Plan(_))) {
        // The last event said it.
        return error.exit();
    }
    // With nobody to read it, the exit code has to say it all.
    let _ = io::stderr().write_all(explain(&error).as_bytes());
    error.exit()
}

/// An error as it is shown: with its place in the file where it has one, and what to do.
fn explain(error: &CommandError) -> String {
    match error {
        CommandError::Config(errors) => diagnose(errors.errors()),
        CommandError::Engine(EngineError::Plan(failures)) => failures.iter().map(explain_stage).collect(),
        CommandError::Host(host) => with_help(&host.to_string(), host.help()),
        CommandError::Plugin(plugin) => with_help(&plugin.to_string(), plugin.help()),
        other => with_help(&other.to_string(), None),
    }
}

fn explain_stage(failure: &StageFailure) -> String {
    match &failure.place {
        Some(place) => diagnose(std::slice::from_ref(&**place)),
        None => with_help(&failure.to_string(), failure.help.as_deref()),
    }
}

fn with_help(message: &str, help: Option<&str>) -> String {
    let help = help.map(|help| format!("  help: {help}\n")).unwrap_or_default();
    format!("error: {message}\n{help}")
}

fn diagnose(errors: &[ConfigError]) -> String {
    let color = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme);
    let mut text = String::new();
    for error in errors {
        // Writing to a string cannot fail; a diagnostic that cannot be drawn is said in words.
        if handler.render_report(&mut text, error).is_err() {
            text.push_str(&with_help(&error.to_string(), None));
        }
    }
    text
}
