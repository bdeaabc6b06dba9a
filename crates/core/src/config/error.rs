//! What is wrong in a `pipeline.toml`, with its place.

use std::path::Path;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use super::document::Span;

/// One thing that is wrong in the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    message: String,
    labels: Vec<(Span, String)>,
    help: Option<String>,
    code: Option<NamedSource<Arc<str>>>,
}

impl ConfigError {
    pub(crate) fn new(message: impl Into<String>, span: Span, label: impl Into<String>) -> Self {
        Self { message: message.into(), labels: vec![(span, label.into())], help: None, code: None }
    }

    /// Something that has no place in the file, such as a wrong option.
    pub(crate) fn without_place(message: impl Into<String>) -> Self {
        Self { message: message.into(), labels: Vec::new(), help: None, code: None }
    }

    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn with_label(mut self, span: Span, label: impl Into<String>) -> Self {
        self.labels.push((span, label.into()));
        self
    }

    /// The same, with the text that its labels are about.
    pub(crate) fn in_file(mut self, source: &NamedSource<Arc<str>>) -> Self {
        self.code = Some(source.clone());
        self
    }

    /// Line and column of the first label, from 1.
    pub fn position(&self) -> Option<(usize, usize)> {
        let (span, _) = self.labels.first()?;
        let source = self.code.as_ref()?;
        let contents = source.read_span(&(span.start, 0).into(), 0, 0).ok()?;
        Some((contents.line() + 1, contents.column() + 1))
    }

    fn order(&self) -> usize {
        self.labels.first().map_or(0, |(span, _)| span.start)
    }
}

impl Diagnostic for ConfigError {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.code.as_ref().map(|source| source as &dyn SourceCode)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label =
            |(span, text): &(Span, String)| LabeledSpan::new_with_span(Some(text.clone()), span.clone());
        (!self.labels.is_empty()).then(|| Box::new(self.labels.iter().map(label)) as Box<_>)
    }
}

/// Everything that is wrong in a file, in the order of the file. Never empty.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{path} has {}", count(.errors.len()))]
pub struct ConfigErrors {
    path: String,
    errors: Vec<ConfigError>,
}

fn count(errors: usize) -> String {
    if errors == 1 { "an error".to_owned() } else { format!("{errors} errors") }
}

impl ConfigErrors {
    pub(crate) fn new(path: &Path, text: &str, mut errors: Vec<ConfigError>) -> Self {
        let path = path.display().to_string();
        let source = NamedSource::new(&path, Arc::<str>::from(text));
        errors.sort_by_key(ConfigError::order);
        let errors = errors.into_iter().map(|error| error.in_file(&source)).collect();
        Self { path, errors }
    }

    /// The file could not be read at all.
    pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        let shown = path.display();
        let problem = ConfigError::without_place(format!("cannot read {shown}: {error}")).with_help(
            "run the command in the folder of `pipeline.toml`, or name the file with `--file PATH`",
        );
        Self { path: shown.to_string(), errors: vec![problem] }
    }

    /// The errors one by one; each is a diagnostic with its source.
    pub fn errors(&self) -> &[ConfigError] {
        &self.errors
    }
}

impl Diagnostic for ConfigErrors {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.errors.iter().map(|error| error as &dyn Diagnostic)))
    }
}
