//! The inputs of one stage or notifier: expressions, what they refer to, and the kind's schema.

use std::collections::HashSet;

use indexmap::IndexMap;
use pipeline_sdk::{Manifest, Map, Unknown, Value};

use super::document::{Content, Node, Span, Table};
use super::error::ConfigError;
use super::schema::{self, Place, Step, Written};
use super::suggestion;
use crate::expression::{ROOTS, Reference, Scope, Template};
use crate::git;

/// What an output's schema says will be amiss if nobody uses it.
const IF_UNUSED: &str = "x-if-unused";

/// The stages of the file by name, with what is known of their kind.
pub(super) type Kinds<'a> = IndexMap<String, Option<&'a Manifest>>;

/// What reading finds besides the inputs.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) errors: Vec<ConfigError>,
    /// The stages that the node at hand refers to, and where.
    pub(super) upstream: Vec<(String, Span)>,
    /// The outputs that are used of those that somebody has to use: stage and output.
    pub(super) used: HashSet<(String, String)>,
    /// Every variable that is used anywhere.
    pub(super) vars: HashSet<String>,
    /// What is amiss and no reason to stop.
    pub(super) warnings: Vec<String>,
}

/// Reads the inputs of nodes.
pub(super) struct Site<'a> {
    pub(super) text: &'a str,
    pub(super) scope: &'a Scope,
    /// `None` where no stage can be referred to.
    pub(super) kinds: Option<&'a Kinds<'a>>,
}

/// Inputs as written and as far as they are known before any stage was planned.
pub(super) struct ReadInputs {
    pub(super) templates: IndexMap<String, Template>,
    pub(super) values: Map<String, Value>,
}

impl Site<'_> {
    /// Reads the inputs in `table`, apart from the keys in `reserved`. `header` names the table and
    /// says where it is.
    pub(super) fn inputs(
        &self,
        table: &Table,
        reserved: &[&str],
        schema: &Value,
        header: (&str, Span),
        found: &mut Findings,
    ) -> ReadInputs {
        let mut read = ReadInputs { templates: IndexMap::new(), values: Map::new() };
        for (key, entry) in table.iter().filter(|(key, _)| !reserved.contains(&key.as_str())) {
            let user = format!("{}.{key}", header.0);
            let value = match self.input(&entry.node, schema::property(schema, key), &user, found) {
                Some((template, value)) => {
                    read.templates.insert(key.clone(), template);
                    value
                }
                // Already reported; the rest of the schema can still be checked.
                None => Unknown::new(user).to_value(),
            };
            read.values.insert(key.clone(), value);
        }
        let value = Value::Object(read.values.clone());
        let written = Written { reserved, templates: Some(&read.templates) };
        report_violations(schema, (&value, written), table, header.1, &mut found.errors);
        read
    }

    fn input(
        &self,
        node: &Node,
        schema: &Value,
        user: &str,
        found: &mut Findings,
    ) -> Option<(Template, Value)> {
        let errors_before = found.errors.len();
        self.expressions(node, user, found);
        if found.errors.len() > errors_before {
            return None;
        }
        let outputs =
            |stage: &str, output: &str| Some(Unknown::new(format!("stages.{stage}.{output}")).to_value());
        let resolved = Template::parse(&node.to_value(), schema)
            .and_then(|template| template.resolve(self.scope, &outputs).map(|value| (template, value.value)));
        resolved.map_err(|error| found.errors.push(expression_error(&error, node.span.clone()))).ok()
    }

    /// Checks every expression inside `node` and what it refers to.
    fn expressions(&self, node: &Node, user: &str, found: &mut Findings) {
        match &node.content {
            Content::List(items) => items.iter().for_each(|item| self.expressions(item, user, found)),
            Content::Table(table) => {
                table.values().for_each(|entry| self.expressions(&entry.node, user, found));
            }
            Content::Scalar(value) => match Template::parse(value, &Value::Null) {
                Ok(template) => template.visit(&mut |reference| {
                    let span = self.narrow(&node.span, &reference.to_string());
                    self.reference(reference, span, user, found);
                }),
                Err(error) => found.errors.push(expression_error(&error, node.span.clone())),
            },
        }
    }

    /// Where `needle` is inside `span`, if it is written there as it is.
    fn narrow(&self, span: &Span, needle: &str) -> Span {
        let inside = self.text.get(span.clone()).and_then(|text| text.find(needle));
        inside.map_or_else(|| span.clone(), |at| span.start + at..span.start + at + needle.len())
    }

    fn reference(&self, reference: &Reference, span: Span, user: &str, found: &mut Findings) {
        let problem = match reference {
            Reference::Output { stage, output } => self.output(stage, output, &span, found),
            Reference::Var(name) => {
                found.vars.insert(name.clone());
                (!self.scope.vars.contains_key(name)).then(|| {
                    let names = self.scope.vars.keys().map(String::as_str);
                    let help = suggestion::nearest(name, names).map_or_else(
                        || format!("define it in `[vars]`, or give `--var {name}=VALUE`"),
                        |near| format!("did you mean `var.{near}`?"),
                    );
                    (format!("the variable `{name}` is not defined"), help)
                })
            }
            Reference::Env(name) => (!self.scope.env.contains_key(name)).then(|| {
                let message = format!("the environment variable `{name}` is not set; `{user}` uses it");
                (message, format!("set it before the command: `{name}=… pipeline …`"))
            }),
            Reference::Git(field) => self.git(field),
            Reference::Pipeline(field) => unknown_field("pipeline", field, &["name", "environment"]),
        };
        if let Some((message, help)) = problem {
            found.errors.push(ConfigError::new(message, span, "used here").with_help(help));
        }
    }

    fn output(
        &self,
        stage: &str,
        output: &str,
        span: &Span,
        found: &mut Findings,
    ) -> Option<(String, String)> {
        let Some(kinds) = self.kinds else {
            let help = format!("`{}` can be used here", ROOTS[1..].join("`, `"));
            return Some(("this cannot refer to a stage".to_owned(), help));
        };
        let Some(kind) = kinds.get(stage) else {
            let help = suggestion::help("stages", stage, kinds.keys().map(String::as_str));
            return Some((format!("there is no stage `{stage}`"), help));
        };
        found.upstream.push((stage.to_owned(), span.clone()));
        // A stage of an unknown kind was reported where it is declared.
        let manifest = (*kind)?;
        if let Some((_, schema)) = outputs(manifest).find(|(name, _)| *name == output) {
            if schema.get(IF_UNUSED).is_some() {
                found.used.insert((stage.to_owned(), output.to_owned()));
            }
            return None;
        }
        let names = outputs(manifest).map(|(name, _)| name.as_str());
        let help = suggestion::help(&format!("outputs of `{}`", manifest.kind), output, names);
        Some((format!("the stage `{stage}` has no output `{output}`"), help))
    }

    fn git(&self, field: &str) -> Option<(String, String)> {
        unknown_field("git", field, &git::FIELDS).or_else(|| {
            let error = self.scope.commit().err()?;
            let help = "run it in a git repository with at least one commit, or use `var` instead".to_owned();
            Some((format!("git does not know the commit: {error}"), help))
        })
    }
}

/// The outputs of a kind, by name, with their schemas.
fn outputs(manifest: &Manifest) -> impl Iterator<Item = (&String, &Value)> {
    manifest.outputs.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// What is amiss because no stage uses an output that somebody has to use.
pub(super) fn unused_outputs(kinds: &Kinds<'_>, found: &Findings) -> Vec<String> {
    let mut warnings = Vec::new();
    for (stage, manifest) in kinds.iter().filter_map(|(stage, manifest)| Some((stage, (*manifest)?))) {
        for (output, schema) in outputs(manifest) {
            let Some(amiss) = schema.get(IF_UNUSED).and_then(Value::as_str) else { continue };
            if !found.used.contains(&(stage.clone(), output.clone())) {
                warnings.push(format!("no stage uses `stages.{stage}.{output}`: {amiss}"));
            }
        }
    }
    warnings
}

fn unknown_field(root: &str, field: &str, known: &[&str]) -> Option<(String, String)> {
    (!known.contains(&field)).then(|| {
        let help = suggestion::help("fields", field, known.iter().copied());
        (format!("there is no `{root}.{field}`"), help)
    })
}

fn expression_error(error: &str, span: Span) -> ConfigError {
    ConfigError::new(format!("the expression is not valid: {error}"), span, "in this value")
        .with_help("an expression is `${{ stages.NAME.OUTPUT }}`, or uses `var`, `env`, `git` or `pipeline`")
}

/// Reports how `value`, which was made from `table`, breaks `schema`. `header` is where the table
/// itself is named.
pub(super) fn report_violations(
    schema: &Value,
    (value, written): (&Value, Written<'_>),
    table: &Table,
    header: Span,
    errors: &mut Vec<ConfigError>,
) {
    for violation in schema::check(schema, value, written) {
        let (span, label) = match violation.place {
            Place::Value => (locate(table, &violation.path, false, &header), "this value"),
            Place::Key => (locate(table, &violation.path, true, &header), "this key"),
            Place::Inside => (locate(table, &violation.path, true, &header), "in this table"),
        };
        let error = ConfigError::new(violation.message, span, label);
        errors.push(match violation.help {
            Some(help) => error.with_help(help),
            None => error,
        });
    }
}

fn locate(table: &Table, path: &[Step], key: bool, header: &Span) -> Span {
    let Some((Step::Key(first), rest)) = path.split_first() else { return header.clone() };
    let Some(entry) = table.get(first) else { return header.clone() };
    if rest.is_empty() && key { entry.key.clone() } else { entry.node.locate(rest, key) }
}
