//! The embedded builder: assembles an image without a daemon.
//!
//! It carries out a [`Program`] on files alone. The same recipe gives the same digest on every
//! machine: entries are sorted, times are fixed, owners are root unless the Dockerfile says otherwise.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use pipeline_sdk::{CancellationToken, StageError};
use serde_json::{Value, json};

use crate::copy;
use crate::dockerfile::{Dockerfile, DockerfileError};
use crate::image::{Image, ImageConfig, Layer, RunConfig, history};
use crate::inputs::Platform;
use crate::program::{Base, Op, Program, Run, Step, split_arg};
use crate::tree::{Node, Tree, normal};
use crate::words;

/// The environment's `PATH` where an image sets none, as Docker has it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A base image that was pulled.
#[derive(Clone, Debug, Default)]
pub(crate) struct PulledImage {
    pub(crate) config: ImageConfig,
    pub(crate) layers: Vec<Layer>,
    pub(crate) tree: Tree,
}

/// Assembles the image of `program`. `context` is what a `COPY` sees; `pulled` has every image that
/// the program names.
pub(crate) fn assemble(
    program: &Program,
    path: &Path,
    context: &Tree,
    pulled: &HashMap<String, PulledImage>,
    platform: Platform,
    cancel: &CancellationToken,
) -> Result<Image, StageError> {
    let mut finished: Vec<Workshop> = Vec::new();
    for stage in &program.stages {
        let mut workshop = match &stage.base {
            Base::Scratch => Workshop::default(),
            Base::Stage(index) => Workshop::upon(&finished[*index]),
            Base::Image(name) => Workshop::upon_image(pulled.get(name).ok_or_else(|| not_pulled(name))?),
        };
        for step in &stage.steps {
            if cancel.is_cancelled() {
                return Err(StageError::Cancelled);
            }
            let site = Site { program, context, pulled, finished: &finished };
            workshop.carry_out(step, &site).map_err(|error| match error {
                Problem::Wrong(message) => StageError::from(Dockerfile::error_at(path, step.line, message)),
                Problem::Io(error) => StageError::failed(format!("{}: {error}", describe(path, step))),
            })?;
        }
        finished.push(workshop);
    }
    let last = finished.pop().unwrap_or_default();
    Image::new(last.layers, &last.run, &last.history, last.author.as_deref(), platform)
        .map_err(|error| StageError::failed(format!("cannot write the image's configuration: {error}")))
}

fn describe(path: &Path, step: &Step) -> DockerfileError {
    Dockerfile::error_at(path, step.line, step.text.clone())
}

fn not_pulled(name: &str) -> StageError {
    StageError::failed(format!("the image {name} was not pulled"))
}

/// Why a step failed.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The Dockerfile is wrong.
    Wrong(String),
    Io(io::Error),
}

impl From<String> for Problem {
    fn from(message: String) -> Self {
        Self::Wrong(message)
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a step can see beside its own stage.
pub(crate) struct Site<'a> {
    pub(crate) program: &'a Program,
    pub(crate) context: &'a Tree,
    pub(crate) pulled: &'a HashMap<String, PulledImage>,
    pub(crate) finished: &'a [Workshop],
}

impl Site<'_> {
    /// The files that a `COPY --from` reads.
    pub(crate) fn files(&self, from: &Base) -> Result<&Tree, Problem> {
        match from {
            Base::Scratch => Ok(self.context),
            Base::Stage(index) => Ok(&self.finished[*index].tree),
            Base::Image(name) => {
                let image = self.pulled.get(name);
                image
                    .map(|image| &image.tree)
                    .ok_or_else(|| Problem::Wrong(format!("the image {name} was not pulled")))
            }
        }
    }
}

/// A stage while it is being made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workshop {
    pub(crate) run: RunConfig,
    pub(crate) tree: Tree,
    layers: Vec<Layer>,
    history: Vec<Value>,
    author: Option<String>,
    args: BTreeMap<String, String>,
    /// `ENTRYPOINT` drops a `CMD` that was inherited, not one of the same stage.
    has_own_cmd: bool,
}

impl Workshop {
    pub(crate) fn upon(stage: &Self) -> Self {
        Self { args: BTreeMap::new(), has_own_cmd: false, ..stage.clone() }
    }

    fn upon_image(image: &PulledImage) -> Self {
        Self {
            run: image.config.config.clone(),
            tree: image.tree.clone(),
            layers: image.layers.clone(),
            history: image.config.history.clone(),
            author: image.config.author.clone(),
            ..Self::default()
        }
    }

    fn carry_out(&mut self, step: &Step, site: &Site<'_>) -> Result<(), Problem> {
        let mut layer = Tree::default();
        match &step.op {
            Op::Copy(copy) => layer = copy::layer(self, copy, site)?,
            Op::Workdir(path) => layer = self.workdir(&self.expand(path, site)?)?,
            op => self.configure(op, site)?,
        }
        let is_empty = layer.nodes.is_empty();
        if !is_empty {
            self.tree.merge(&layer);
            self.layers.push(Layer::pack(&layer)?);
        }
        self.history.push(history(&step.text, is_empty));
        Ok(())
    }

    /// The instructions that change only the configuration.
    pub(crate) fn configure(&mut self, op: &Op, site: &Site<'_>) -> Result<(), Problem> {
        match op {
            Op::Arg(text) => self.declare(text, site)?,
            Op::Env(text) => {
                // All values see the environment from before the instruction.
                for (name, value) in self.expanded_pairs(text, site)? {
                    self.set_env(&name, &value);
                }
            }
            Op::Label(text) => {
                let labels = self.expanded_pairs(text, site)?;
                self.run.labels.get_or_insert_default().extend(labels);
            }
            Op::User(text) => self.run.user = self.expand(text, site)?,
            Op::Expose(ports) => {
                for port in ports {
                    for port in exposed(&self.expand(port, site)?)? {
                        self.run.exposed_ports.get_or_insert_default().insert(port, json!({}));
                    }
                }
            }
            Op::Volume(paths) => {
                for path in paths {
                    let path = self.expand(path, site)?;
                    self.run.volumes.get_or_insert_default().insert(path, json!({}));
                }
            }
            Op::Entrypoint(run) => {
                self.run.entrypoint = Some(self.command(run));
                if !self.has_own_cmd {
                    self.run.cmd = None;
                }
            }
            Op::Cmd(run) => {
                self.run.cmd = Some(self.command(run));
                self.has_own_cmd = true;
            }
            Op::StopSignal(text) => self.run.stop_signal = self.expand(text, site)?,
            Op::Shell(shell) => self.run.shell = Some(shell.clone()),
            Op::Healthcheck(options, run) => {
                self.run.healthcheck = Some(self.healthcheck(options, run.as_ref())?)
            }
            Op::Author(name) => self.author = Some(name.clone()),
            Op::Copy(_) | Op::Workdir(_) => {}
        }
        Ok(())
    }

    /// `text` with variables replaced; the environment goes before build arguments.
    pub(crate) fn expand(&self, text: &str, site: &Site<'_>) -> Result<String, String> {
        let env = self.run.env.as_deref().unwrap_or_default();
        let variable = |name: &str| {
            let set = env.iter().filter_map(|line| line.split_once('=')).find(|(key, _)| *key == name);
            let path = (name == "PATH").then(|| DEFAULT_PATH.to_owned());
            set.map(|(_, value)| value.to_owned()).or_else(|| self.args.get(name).cloned()).or(path)
        };
        words::expand(text, site.program.escape, &variable)
    }

    fn expanded_pairs(&self, text: &str, site: &Site<'_>) -> Result<Vec<(String, String)>, String> {
        let pairs = words::pairs(text, site.program.escape)?;
        pairs
            .into_iter()
            .map(|(name, value)| Ok((self.expand(&name, site)?, self.expand(&value, site)?)))
            .collect()
    }

    fn declare(&mut self, text: &str, site: &Site<'_>) -> Result<(), String> {
        for word in words::split(text, site.program.escape) {
            let (name, default) = split_arg(&word);
            let given = site.program.build_args.get(name).cloned();
            let value = match (given, default) {
                (Some(given), _) => Some(given),
                (None, Some(default)) => Some(self.expand(default, site)?),
                (None, None) => site.program.global_args.get(name).cloned(),
            };
            if let Some(value) = value {
                self.args.insert(name.to_owned(), value);
            }
        }
        Ok(())
    }

    fn set_env(&mut self, name: &str, value: &str) {
        let env = self.run.env.get_or_insert_default();
        let line = format!("{name}={value}");
        let old = env.iter_mut().find(|old| old.split_once('=').is_some_and(|(key, _)| key == name));
        match old {
            Some(old) => *old = line,
            None => env.push(line),
        }
    }

    fn workdir(&mut self, path: &str) -> Result<Tree, Problem> {
        let absolute = format!("/{}", normal(&self.absolute(path)));
        let mut layer = Tree::default();
        let resolved = self.tree.resolve(&absolute, true)?;
        if !self.tree.is_directory(&resolved) {
            layer.insert(&resolved, Node::directory());
            // Folders that are there keep their own mode and owner.
            layer.nodes.retain(|path, _| !self.tree.is_directory(path));
        }
        self.run.working_dir = absolute;
        Ok(layer)
    }

    /// `path` from the root, where a relative one starts at the working directory.
    pub(crate) fn absolute(&self, path: &str) -> String {
        if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.run.working_dir) }
    }

    fn command(&self, run: &Run) -> Vec<String> {
        match run {
            Run::Exec(words) => words.clone(),
            Run::Shell(text) => {
                let shell = self.run.shell.clone().filter(|shell| !shell.is_empty());
                let mut words = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
                words.push(text.clone());
                words
            }
        }
    }

    fn healthcheck(&self, options: &[(String, String)], run: Option<&Run>) -> Result<Value, String> {
        let Some(run) = run else { return Ok(json!({ "Test": ["NONE"] })) };
        let test: Vec<String> = match run {
            Run::Exec(words) => std::iter::once("CMD".to_owned()).chain(words.iter().cloned()).collect(),
            Run::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
        };
        let mut check = json!({ "Test": test });
        for (name, value) in options {
            let (key, value) = match name.as_str() {
                "interval" => ("Interval", nanoseconds(value)?),
                "timeout" => ("Timeout", nanoseconds(value)?),
                "start-period" => ("StartPeriod", nanoseconds(value)?),
                "start-interval" => ("StartInterval", nanoseconds(value)?),
                "retries" => {
                    ("Retries", value.parse().map_err(|_| format!("--retries={value} is not a number"))?)
                }
                other => return Err(format!("HEALTHCHECK has no option --{other}")),
            };
            check[key] = value.into();
        }
        Ok(check)
    }
}

/// `80`, `80/udp`, `8000-8010` as an image names them.
fn exposed(port: &str) -> Result<Vec<String>, String> {
    let (ports, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) if first <= last => {
            Ok((first..=last).map(|port| format!("{port}/{}", protocol.to_ascii_lowercase())).collect())
        }
        _ => Err(format!("`{port}` is not a port, such as 8080 or 53/udp")),
    }
}

/// Reads Go's durations: `1m30s`, `500ms`.
fn nanoseconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a duration, such as 5s or 1m30s");
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let factor = match unit {
            "h" => 3.6e12,
            "m" => 6e10,
            "s" => 1e9,
            "ms" => 1e6,
            "us" => 1e3,
            "ns" => 1.0,
            _ => return Err(wrong()),
        };
        total += number.parse::<f64>().map_err(|_| wrong())? * factor;
        rest = tail;
    }
    // Far below the 2^53 from which a float skips integers matters: durations of months.
    Ok(total as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_durations_are_read_as_docker() {
        assert_eq!(exposed("80"), Ok(vec!["80/tcp".into()]));
        assert_eq!(exposed("53/UDP"), Ok(vec!["53/udp".into()]));
        assert_eq!(exposed("8000-8001"), Ok(vec!["8000/tcp".into(), "8001/tcp".into()]));
        assert!(exposed("http").is_err() && exposed("9-8").is_err());
        assert_eq!(nanoseconds("1m30s"), Ok(90_000_000_000));
        assert_eq!(nanoseconds("1.5s"), Ok(1_500_000_000));
        assert_eq!(nanoseconds("500ms"), Ok(500_000_000));
        assert!(nanoseconds("5").is_err() && nanoseconds("5 s").is_err());
    }
}
