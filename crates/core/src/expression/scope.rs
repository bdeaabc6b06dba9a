//! Where the names in expressions get their values.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use pipeline_sdk::{Map, PipelineId, Redactor, Value};

use super::Reference;
use crate::git::Commit;

/// Gives the value of an output of a stage, which may be unknown.
pub(crate) type OutputsOf<'a> = &'a dyn Fn(&str, &str) -> Option<Value>;

/// The values that do not come from stages.
pub(crate) struct Scope {
    pub(crate) vars: Map<String, Value>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) pipeline: PipelineId,
    pub(crate) directory: PathBuf,
    pub(crate) redactor: Redactor,
    commit: OnceLock<Result<Commit, String>>,
}

impl Scope {
    pub(crate) fn new(
        pipeline: PipelineId,
        directory: PathBuf,
        vars: Map<String, Value>,
        env: BTreeMap<String, String>,
    ) -> Self {
        Self { vars, env, pipeline, directory, redactor: Redactor::default(), commit: OnceLock::new() }
    }

    /// The value of `reference`.
    ///
    /// # Errors
    /// There is none; the error says why.
    pub(crate) fn value(&self, reference: &Reference, outputs: OutputsOf<'_>) -> Result<Value, String> {
        let found = match reference {
            Reference::Output { stage, output } => outputs(stage, output),
            Reference::Var(name) => self.vars.get(name).cloned(),
            Reference::Env(name) => self.env.get(name).cloned().map(Value::String),
            Reference::Pipeline(field) => self.pipeline_field(field).map(Value::from),
            Reference::Git(field) => self.commit()?.field(field).map(Value::from),
        };
        found.ok_or_else(|| format!("`{reference}` has no value"))
    }

    fn pipeline_field(&self, field: &str) -> Option<&str> {
        match field {
            "name" => Some(&self.pipeline.name),
            "environment" => Some(&self.pipeline.environment),
            _ => None,
        }
    }

    /// The commit of the folder; git is asked when this is first called.
    pub(crate) fn commit(&self) -> Result<&Commit, String> {
        self.commit.get_or_init(|| Commit::read(&self.directory)).as_ref().map_err(Clone::clone)
    }
}
