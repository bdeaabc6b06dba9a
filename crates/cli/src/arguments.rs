//! The command line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pipeline_core::GivenVar;
use pipeline_plugin_host::Trust;
use serde::{Deserialize, Serialize};

use crate::exit;

/// Deploys a Dockerfile to AWS ECS without dropping a request: plan before, undo after, and the same
/// file against an embedded cloud on this machine.
#[derive(Debug, Parser)]
#[command(name = "pipeline", version, after_help = exit::HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows what a run would change, by reading only.
    Plan(PlanOptions),
    /// Makes the world as `pipeline.toml` says. On a failure it undoes what it did.
    Run(RunOptions),
    /// Does what a plan that was saved by `plan --out` says, if everything is still as it was then.
    Apply(ApplyOptions),
    /// Removes everything that the pipeline owns.
    Destroy(DestroyOptions),
    /// Undoes what the last run did, or brings back what an earlier run had deployed. A run that was cut
    /// off is undone as far as it had come.
    Rollback(RollbackOptions),
    /// Says how the last run ended, and what becomes of one that was cut off.
    Status(FileOptions),
    /// Lists the runs with what each changed and how it ended, or shows one of them step by step.
    History(HistoryOptions),
    /// Checks `pipeline.toml` without calling anything.
    Check(FileOptions),
    /// Shows what the stages gave, from the last run.
    Outputs(OutputsOptions),
    /// Lists the kinds of stages and notifiers, or shows one with its inputs and outputs.
    Stages(StagesOptions),
    /// Plugins: stages and notifiers that are loaded when a pipeline names them by their path.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Runs a library plugin in this process, for `isolation = "process"`.
    #[command(hide = true)]
    PluginHost {
        /// The library.
        library: PathBuf,
    },
    /// The lock that keeps two runs on one environment apart.
    #[command(subcommand)]
    Lock(LockCommand),
    /// The embedded cloud: an AWS-compatible endpoint on this machine, with real tasks and traffic.
    #[command(subcommand)]
    Cloud(CloudCommand),
}

/// Which pipeline, in which environment.
#[derive(Debug, Args)]
pub(crate) struct FileOptions {
    /// The pipeline's file.
    #[arg(short, long, default_value = DEFAULT_FILE, env = "PIPELINE_FILE")]
    pub(crate) file: PathBuf,
    /// The environment, in the place of the one in the file.
    #[arg(short, long, env = "PIPELINE_ENVIRONMENT")]
    pub(crate) environment: Option<String>,
    /// Sets a variable of `[vars]`; `PIPELINE_VAR_NAME=VALUE` in the environment does the same.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) vars: Vec<(String, String)>,
    /// How many stages may run at once.
    #[arg(long)]
    pub(crate) parallelism: Option<NonZeroUsize>,
    /// Print JSON, one event a line, instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Refuse plugins that `pipeline.lock` does not have, instead of adding them. Default: where `CI` is set.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) locked: Option<bool>,
}

/// The pipeline's file, unless another is named.
const DEFAULT_FILE: &str = "pipeline.toml";

/// What stands before the name of a variable in the environment.
const VARIABLE_PREFIX: &str = "PIPELINE_VAR_";

impl FileOptions {
    /// Which plugins may be loaded.
    pub(crate) fn trust(&self) -> Trust {
        let in_ci = || std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "false" | "0"));
        if self.locked.unwrap_or_else(in_ci) { Trust::Locked } else { Trust::FirstUse }
    }

    /// The folder of the pipeline's file.
    pub(crate) fn directory(&self) -> PathBuf {
        self.file.parent().map(PathBuf::from).unwrap_or_default()
    }

    /// The options that another command needs to mean the same, each after a space.
    pub(crate) fn words(&self) -> String {
        let file =
            (self.file != Path::new(DEFAULT_FILE)).then(|| ("--file", self.file.display().to_string()));
        let environment = self.environment.clone().map(|name| ("--environment", name));
        let vars = self.vars.iter().map(|(name, value)| ("--var", format!("{name}={value}")));
        let words = file.into_iter().chain(environment).chain(vars);
        words.map(|(option, value)| format!(" {option} {}", quoted(&value))).collect()
    }

    /// The variables from the environment and from the command line, which goes before it.
    pub(crate) fn variables(&self) -> BTreeMap<String, GivenVar> {
        given(std::env::vars(), &self.vars)
    }
}

/// `value` as a shell takes it for one word.
fn quoted(value: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    match !value.is_empty() && value.chars().all(is_plain) {
        true => Cow::Borrowed(value),
        false => Cow::Owned(format!("'{}'", value.replace('\'', "'\\''"))),
    }
}

/// The variables in `environment`, and those of the command line in their places.
fn given(
    environment: impl Iterator<Item = (String, String)>,
    options: &[(String, String)],
) -> BTreeMap<String, GivenVar> {
    let environment = environment.filter_map(|(origin, text)| {
        let name = origin.strip_prefix(VARIABLE_PREFIX)?.to_owned();
        Some((name, GivenVar { text, origin }))
    });
    let options = options
        .iter()
        .map(|(name, text)| (name.clone(), GivenVar { text: text.clone(), origin: format!("--var {name}") }));
    environment.chain(options).collect()
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".into()),
    }
}

/// What a command does while another run holds the environment.
#[derive(Debug, Args)]
pub(crate) struct LockOptions {
    /// How long to wait while another run holds the environment, such as `30s` or `10m`. At once it fails
    /// otherwise.
    #[arg(long, value_name = "DURATION", default_value = "0s", env = "PIPELINE_LOCK_TIMEOUT", value_parser = duration)]
    pub(crate) lock_timeout: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|duration| duration.try_into().ok());
    parsed.ok_or_else(|| "write it as a number and a unit, such as `30s`, `10m` or `1h`".into())
}

/// `pipeline plan`
#[derive(Debug, Args)]
pub(crate) struct PlanOptions {
    #[command(flatten)]
    pub(crate) file: FileOptions,
    #[command(flatten)]
    pub(crate) lock: LockOptions,
    /// Plan the removal of everything.
    #[arg(long)]
    pub(crate) destroy: bool,
    /// End with code 10 if there are changes.
    #[arg(long)]
    pub(crate) detailed_exit_code: bool,
    /// Save the plan to this file, for `pipeline apply`.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// `pipeline run`
#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) file: FileOptions,
    #[command(flatten)]
    pub(crate) lock: LockOptions,
}

/// `pipeline apply`
#[derive(Debug, Args)]
pub(crate) struct ApplyOptions {
    #[command(flatten)]
    pub(crate) file: FileOptions,
    #[command(flatten)]
    pub(crate) lock: LockOptions,
    /// The saved plan.
    pub(crate) plan: PathBuf,
}

/// `pipeline rollback`
#[derive(Debug, Args)]
pub(crate) struct RollbackOptions {
    #[command(flatten)]
    pub(crate) file: FileOptions,
    #[command(flatten)]
    pub(crate) lock: LockOptions,
    /// Deploy what this run had deployed, and change nothing else: its id, or the beginning or end of it.
    #[arg(long, value_name = "RUN")]
    pub(crate) to: Option<String>,
    /// Do not ask, also where nothing would be left: the run to undo was the first.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `pipeline history`
#[derive(Debug, Args)]
pub(crate) struct HistoryOptions {
    #[command(flatten)]
    pub(crate) file: FileOptions,
    /// Only this run, step by step: its id, or the beginning or end of it.
    pub(crate) run: Option<String>,
    /// How many runs, from the newest.
    #[arg(long, default_value = "20")]
    pub(crate) limit: NonZeroUsize,
}

/// `pipeline destroy`
#[derive(Debug, Args)]
pub(crate) struct DestroyOptions {
    #[command(flatten)]
    pub(crate) file: FileOptions,
    #[command(flatten)]
    pub(crate) lock: LockOptions,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `pipeline outputs`
#[derive(Debug, Args)]
pub(crate) struct OutputsOptions {
    #[command(flatten)]
    pub(crate) file: FileOptions,
    /// Only this one, as STAGE.OUTPUT.
    pub(crate) name: Option<String>,
}

/// `pipeline stages`
#[derive(Debug, Args)]
pub(crate) struct StagesOptions {
    /// The kind to show.
    pub(crate) kind: Option<String>,
    /// As Markdown, for the documentation.
    #[arg(long, hide = true)]
    pub(crate) markdown: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Makes a project for a new plugin that builds and passes its own test.
    New(NewPlugin),
    /// Checks whether a plugin keeps to the contract: it is called with the example of its inputs. Where it works on
    /// AWS, it gets the embedded cloud.
    Check(CheckPlugin),
    /// Lists the plugins that the pipeline uses, and whether `pipeline.lock` trusts them. None is loaded.
    List(PluginOptions),
    /// Trusts plugins that `pipeline.lock` does not have for this platform: the named ones, or all that the
    /// pipeline uses.
    Add(PluginOptions),
    /// Trusts plugins as they are now: the named ones, or all that the pipeline uses. Forgets what it does not use.
    Update(PluginOptions),
    /// Fails if a plugin of the pipeline is not the one that `pipeline.lock` trusts.
    Verify(PluginOptions),
}

/// `pipeline plugin new`
#[derive(Debug, Args)]
pub(crate) struct NewPlugin {
    /// The language to write it in.
    #[arg(long, value_enum, default_value_t = PluginLanguage::Rust)]
    pub(crate) lang: PluginLanguage,
    /// What the plugin and its first kind are called, such as `smoke-test`; also the new folder.
    pub(crate) name: String,
    /// Use the SDK of this checkout of pipeline's repository, in the place of a copy of this program's (Rust only).
    #[arg(long, value_name = "FOLDER")]
    pub(crate) sdk: Option<PathBuf>,
}

/// The language of a new plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PluginLanguage {
    /// A stage as a library.
    Rust,
    /// A stage as an executable.
    Python,
    /// A notifier as a library.
    C,
}

/// `pipeline plugin check`
#[derive(Debug, Args)]
pub(crate) struct CheckPlugin {
    /// The plugin.
    pub(crate) plugin: PathBuf,
    /// Inputs to check with, in the place of the plugin's own example: a JSON file with an object of inputs, or
    /// of inputs by kind if the plugin has several.
    #[arg(long, value_name = "FILE")]
    pub(crate) inputs: Option<PathBuf>,
    /// Load a library into a process of its own.
    #[arg(long)]
    pub(crate) isolated: bool,
}

/// Which plugins of a pipeline.
#[derive(Debug, Args)]
pub(crate) struct PluginOptions {
    /// The pipeline's file.
    #[arg(short, long, default_value = "pipeline.toml", env = "PIPELINE_FILE")]
    pub(crate) file: PathBuf,
    /// The plugins, as `uses` names them.
    pub(crate) plugins: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LockCommand {
    /// Says whether a run holds the environment, which one, since when and from where.
    Status(FileOptions),
    /// Takes the lock from a run that is gone, and says whom it took it from.
    Break(FileOptions),
}

#[derive(Debug, Subcommand)]
pub(crate) enum CloudCommand {
    /// Starts it in the background. It goes on when this command ends.
    Start(StartOptions),
    /// Stops it; what exists is kept for the next start.
    Stop,
    /// Says where it listens and what runs in it.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Removes everything in it.
    Reset,
    /// Runs it in this process.
    Serve(Serving),
}

/// The port of the endpoint unless told otherwise.
const DEFAULT_PORT: u16 = 4580;

/// How to start the embedded cloud.
#[derive(Debug, Clone, Args, PartialEq, Serialize, Deserialize)]
pub(crate) struct StartOptions {
    /// Port of the AWS endpoint on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = DEFAULT_PORT)]
    pub(crate) port: u16,
    /// How many times faster than real time its waits pass.
    #[arg(long, default_value_t = 1.0, value_parser = speed)]
    pub(crate) speed: f64,
    /// What runs the tasks; `auto` takes Docker if its daemon answers, else processes.
    #[arg(long, value_enum, default_value_t = Runtime::Auto)]
    pub(crate) runtime: Runtime,
    /// Nothing moves by itself: services stay pending, targets healthy, deployments Created.
    #[arg(long)]
    pub(crate) inert: bool,
}

impl Default for StartOptions {
    fn default() -> Self {
        Self { port: DEFAULT_PORT, speed: 1.0, runtime: Runtime::Auto, inert: false }
    }
}

impl fmt::Display for StartOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--port {} --speed {} --runtime {}", self.port, self.speed, self.runtime)?;
        if self.inert { write!(f, " --inert") } else { Ok(()) }
    }
}

/// How to serve it in this process.
#[derive(Debug, Clone, Args)]
pub(crate) struct Serving {
    #[command(flatten)]
    pub(crate) options: StartOptions,
    /// Leave the terminal's session.
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

/// What runs tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Runtime {
    /// Docker if its daemon answers, else processes.
    Auto,
    /// Containers of the Docker daemon.
    Docker,
    /// Processes in the unpacked image.
    Process,
    /// Tasks that only answer HTTP, made by the cloud itself.
    Simulated,
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Runtime::Auto => "auto",
            Runtime::Docker => "docker",
            Runtime::Process => "process",
            Runtime::Simulated => "simulated",
        })
    }
}
/// A factor of time: more than nothing, and finite.
fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && speed > 0.0 => Ok(speed),
        _ => Err("has to be a number above 0, such as 1, 0.5 or 60".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_says_where_it_was_given() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let environment = [pair("PIPELINE_VAR_a", "1"), pair("PIPELINE_VAR_b", "2"), pair("HOME", "/")];
        let given = given(environment.into_iter(), &[pair("b", "3")]);
        let given: Vec<_> =
            given.iter().map(|(name, var)| (name.as_str(), var.origin.as_str(), var.text.as_str())).collect();
        assert_eq!(given, [("a", "PIPELINE_VAR_a", "1"), ("b", "--var b", "3")]);
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        for wrong in ["", "10", "-5s", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_words_mean_the_same_to_another_command() {
        let line = ["pipeline", "plan", "-e", "one", "--var", "a=it's 1", "--var", "b=2", "-f", "other.toml"];
        let Command::Plan(options) = Arguments::parse_from(line).command else { panic!("a plan") };
        assert_eq!(
            options.file.words(),
            r" --file other.toml --environment one --var 'a=it'\''s 1' --var b=2"
        );
    }
}
