//! A Dockerfile, parsed, with errors that say where.

use std::path::{Path, PathBuf};

use parse_dockerfile::{Instruction, Span};
use pipeline_sdk::StageError;

/// What is wrong with a Dockerfile, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}:{line}: {message}", path.display())]
pub(crate) struct DockerfileError {
    pub(crate) path: PathBuf,
    /// From 1.
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl From<DockerfileError> for StageError {
    fn from(error: DockerfileError) -> Self {
        StageError::input("dockerfile", error.to_string())
    }
}

/// A Dockerfile.
pub(crate) struct Dockerfile<'a> {
    path: PathBuf,
    text: &'a str,
    pub(crate) parsed: parse_dockerfile::Dockerfile<'a>,
}

impl<'a> Dockerfile<'a> {
    pub(crate) fn parse(path: &Path, text: &'a str) -> Result<Self, DockerfileError> {
        let parsed = parse_dockerfile::parse(text).map_err(|error| DockerfileError {
            path: path.to_owned(),
            line: error.line().max(1),
            // The alternate form leaves out the place, which stands in front.
            message: format!("{error:#}"),
        })?;
        Ok(Self { path: path.to_owned(), text, parsed })
    }

    /// An error about the instruction at `span`.
    pub(crate) fn error(&self, span: &Span, message: impl Into<String>) -> DockerfileError {
        DockerfileError { path: self.path.clone(), line: self.line(span), message: message.into() }
    }

    /// An error about an instruction whose line is known.
    pub(crate) fn error_at(path: &Path, line: usize, message: String) -> DockerfileError {
        DockerfileError { path: path.to_owned(), line, message }
    }

    pub(crate) fn line(&self, span: &Span) -> usize {
        self.text.as_bytes()[..span.start].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    pub(crate) fn escape(&self) -> char {
        self.parsed.parser_directives.escape.as_ref().map_or('\\', |directive| directive.value.value)
    }

    /// The name of every `ARG`, wherever it stands.
    pub(crate) fn declared_args(&self) -> Vec<&str> {
        let arguments = self.parsed.instructions.iter().filter_map(|instruction| match instruction {
            Instruction::Arg(arg) => Some(&*arg.arguments.value),
            _ => None,
        });
        let words = arguments.flat_map(str::split_ascii_whitespace);
        words.filter_map(|word| word.split('=').next()).collect()
    }

    /// The images that stages start from, as far as they are written without variables.
    pub(crate) fn base_images(&self) -> impl Iterator<Item = &str> {
        self.parsed.stages().map(|stage| &*stage.from.image.value).filter(|image| !image.contains('$'))
    }
}
