//! Where the file says what a stage refuses.

use std::sync::Arc;

use miette::NamedSource;

use super::document::{self, Node, Span, Table};
use super::error::ConfigError;
use super::schema::Step;
use super::{Definition, Source};
use crate::failure::StageFailure;

impl Definition {
    /// The failures as they may be told: without secrets, and with the place of the input that one is about.
    pub(crate) fn tellable(&self, mut failures: Vec<StageFailure>) -> Vec<StageFailure> {
        let redactor = &self.scope.redactor;
        // The text was read before; where what lies was not kept, since hardly anybody asks.
        let root = document::parse(&self.source.text).unwrap_or_default();
        for failure in &mut failures {
            failure.message = redactor.text(&failure.message);
            failure.help = failure.help.as_ref().map(|help| redactor.text(help));
            failure.place = self.source.place(&root, failure).map(Box::new);
        }
        failures
    }
}

impl Source {
    fn place(&self, root: &Table, failure: &StageFailure) -> Option<ConfigError> {
        let input = failure.input.as_deref()?;
        let stage = root.get("stages")?.node.table()?.get(failure.stage.as_str())?;
        let (span, label) = match written(&stage.node, input) {
            Some(span) => (span, "this input"),
            None => (stage.key.clone(), "this stage"),
        };
        let error = ConfigError::new(failure.to_string(), span, label);
        let error = match &failure.help {
            Some(help) => error.with_help(help),
            None => error,
        };
        Some(error.in_file(&NamedSource::new(&self.path, Arc::from(self.text.as_str()))))
    }
}

/// Where `input` (dotted) is written, or the nearest thing around it; `None` if the stage leaves it out.
fn written(stage: &Node, input: &str) -> Option<Span> {
    let step = |part: &str| match part.parse() {
        Ok(index) => Step::Index(index),
        Err(_) => Step::Key(part.to_owned()),
    };
    let path: Vec<_> = input.split('.').map(step).collect();
    let Some(Step::Key(first)) = path.first() else { return None };
    stage.table()?.get(first)?;
    Some(stage.locate(&path, false))
}

#[cfg(test)]
mod tests {
    use pipeline_sdk::StageName;

    use super::*;

    const FILE: &str =
        "[stages.web]\nuses = \"ecs\"\nscaling = { min = 3 }\n\n[stages.web.check]\nports = [1, 2]\n";

    fn place(input: Option<&str>) -> Option<(usize, usize)> {
        let source = Source { path: "pipeline.toml".into(), text: FILE.into() };
        let failure = StageFailure {
            stage: StageName::new("web").unwrap(),
            message: "refused".into(),
            help: None,
            input: input.map(str::to_owned),
            place: None,
        };
        source.place(&document::parse(FILE).unwrap(), &failure)?.position()
    }

    #[test]
    fn an_input_is_found_where_it_is_written() {
        assert_eq!(place(Some("scaling.min")), Some((3, 19)));
        assert_eq!(place(Some("check.ports.1")), Some((6, 13)));
    }

    #[test]
    fn an_input_that_is_left_out_belongs_to_its_stage() {
        assert_eq!(place(Some("cpu")), Some((1, 9)));
    }

    #[test]
    fn a_part_that_is_left_out_belongs_to_what_is_around_it() {
        assert_eq!(place(Some("scaling.max")), Some((3, 11)));
    }

    #[test]
    fn what_names_no_input_has_no_place() {
        assert_eq!(place(None), None);
    }
}
