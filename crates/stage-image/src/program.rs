//! A Dockerfile as the embedded builder carries it out: only the stages that the target needs, and
//! only instructions that need no running container.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What is carried out, in this order; the last stage is the image.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) stages: Vec<Stage>,
    pub(crate) escape: char,
    /// `ARG`s before the first `FROM`, and those that say what is built for what.
    pub(crate) global_args: BTreeMap<String, String>,
    pub(crate) build_args: BTreeMap<String, String>,
}

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) base: Base,
    pub(crate) steps: Vec<Step>,
}

/// What a stage starts from or a `COPY` reads. A stage is given by its place in the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// Nothing; for a `COPY`, the build context.
    Scratch,
    Stage(usize),
    Image(String),
}

/// An instruction.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) line: usize,
    /// As it was written, on one line.
    pub(crate) text: String,
    pub(crate) op: Op,
}

/// What an instruction does. Texts are unexpanded.
#[derive(Debug)]
pub(crate) enum Op {
    Arg(String),
    Env(String),
    Label(String),
    Copy(Copy),
    Workdir(String),
    User(String),
    Expose(Vec<String>),
    Volume(Vec<String>),
    Entrypoint(Run),
    Cmd(Run),
    StopSignal(String),
    Shell(Vec<String>),
    /// No command: `HEALTHCHECK NONE`.
    Healthcheck(Vec<(String, String)>, Option<Run>),
    Author(String),
}

#[derive(Debug)]
pub(crate) enum Run {
    Exec(Vec<String>),
    Shell(String),
}

#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) from: Base,
    pub(crate) sources: Vec<CopySource>,
    pub(crate) destination: String,
    pub(crate) chown: Option<String>,
    pub(crate) chmod: Option<u32>,
    /// `ADD` unpacks local archives.
    pub(crate) unpack: bool,
}

#[derive(Debug)]
pub(crate) enum CopySource {
    Path(String),
    /// The text of a here-document, and whether its variables are expanded.
    Text(String, bool),
}

impl Program {
    /// The images in registries that it reads.
    pub(crate) fn images(&self) -> BTreeSet<&str> {
        let copies = self.stages.iter().flat_map(|stage| &stage.steps).filter_map(|step| match &step.op {
            Op::Copy(copy) => Some(&copy.from),
            _ => None,
        });
        let bases = self.stages.iter().map(|stage| &stage.base);
        bases
            .chain(copies)
            .filter_map(|base| if let Base::Image(name) = base { Some(name.as_str()) } else { None })
            .collect()
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exec(words) => write!(f, "{words:?}"),
            Self::Shell(text) => f.write_str(text),
        }
    }
}

/// The name of an `ARG`'s word and its default.
pub(crate) fn split_arg(word: &str) -> (&str, Option<&str>) {
    match word.split_once('=') {
        Some((name, default)) => (name, Some(default)),
        None => (word, None),
    }
}
