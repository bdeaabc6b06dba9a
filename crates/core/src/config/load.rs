//! From the text of a file to a [`Definition`].

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use jiff::SignedDuration;
use pipeline_sdk::{Inputs, Isolation, KindError, PipelineId, StageKind, StageName, Value};
use sha2::{Digest, Sha256};

use super::document::{self, Entry, Span, Table, table_value};
use super::error::ConfigError;
use super::nodes::{Findings, Kinds, Site, report_violations, unused_outputs};
use super::outline::OUTLINE;
use super::schema::Written;
use super::{
    Definition, LoadOptions, NotifierConfig, OnFailure, Source, StageConfig, StageLimits, environment,
    suggestion,
};
use crate::expression::Scope;
use crate::graph::Graph;

/// How many stages run at once unless the file says otherwise.
const PARALLELISM: usize = 8;

/// Keys of a stage that are not inputs of its kind.
const STAGE_KEYS: [&str; 5] = ["uses", "needs", "timeout", "retry", "isolation"];

/// Keys of a notifier that are not inputs of its kind.
const NOTIFIER_KEYS: [&str; 3] = ["uses", "isolation", "required"];

pub(super) fn load(text: &str, path: &Path, options: &LoadOptions) -> Result<Definition, Vec<ConfigError>> {
    let root = document::parse(text)?;
    let mut found = Findings::default();
    let whole = Value::Object(table_value(&root));
    report_violations(&OUTLINE, (&whole, Written::default()), &root, 0..0, &mut found.errors);
    let pipeline = root.get("pipeline");
    let setting = |key: &str| pipeline.and_then(|entry| Some(&entry.node.table()?.get(key)?.node));
    let environment = environment::select(&root, pipeline, options, &mut found.errors);
    let vars = environment::variables(
        &environment::overlaid(&root, &environment, "vars"),
        &options.vars,
        &mut found.errors,
    );
    let name = setting("name").and_then(|node| node.text()).unwrap_or_default().to_owned();
    if let Some(node) = setting("name").filter(|node| node.text().is_some_and(|n| StageName::new(n).is_err()))
    {
        let error = ConfigError::new(
            format!("`{name}` cannot be the name of a pipeline"),
            node.span.clone(),
            "this name",
        );
        let help = "use 1 to 64 letters, digits, `-` and `_`, starting with a letter";
        found.errors.push(error.with_help(help));
    }
    let id = PipelineId { name, environment };
    let directory = path.parent().unwrap_or(Path::new("")).to_owned();
    let scope = Scope::new(id.clone(), directory.clone(), vars, options.env.clone());

    let cloud = read_cloud(&root, text, &scope, options, &mut found);
    let (stages, graph, references, notifiers) = if options.only_where {
        let none = || Some(Graph::without_cycles(Vec::new()));
        (Vec::new(), none(), none(), Vec::new())
    } else {
        let stages = Stages { root: &root, text, scope: &scope, options };
        let (stages, graph, references) = stages.read(&mut found);
        let notifiers = read_notifiers(&root, text, &scope, options, &mut found);
        report_unused_vars(&root, &scope, options, &mut found);
        (stages, graph, references, notifiers)
    };

    let (Some((graph, references)), true) = (graph.zip(references), found.errors.is_empty()) else {
        return Err(found.errors);
    };
    let keep = setting("on_failure").and_then(|node| node.text()) == Some("keep");
    let written = setting("parallelism").and_then(|node| node.to_value().as_u64()).map(|n| n as usize);
    let state = setting("state").and_then(|node| node.text()).map(str::to_owned);
    Ok(Definition {
        id,
        state,
        source: Source { path: path.display().to_string(), text: text.to_owned() },
        fingerprint: sha256(text),
        directory,
        on_failure: if keep { OnFailure::Keep } else { OnFailure::Rollback },
        parallelism: options.parallelism.or(written).unwrap_or(PARALLELISM).max(1),
        cloud,
        scope,
        by_name: stages.iter().enumerate().map(|(i, stage)| (stage.name.clone(), i)).collect(),
        stages,
        graph,
        references,
        notifiers,
        warnings: found.warnings,
    })
}

/// Every `uses` of stages and notifiers.
pub(super) fn all_uses(text: &str) -> Result<Vec<String>, Vec<ConfigError>> {
    let root = document::parse(text)?;
    let nodes = ["stages", "notify"].into_iter().flat_map(|name| section(&root, name));
    Ok(nodes.filter_map(|(_, entry)| uses(entry)).map(|(_, (_, uses))| uses.to_owned()).collect())
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_cloud(root: &Table, text: &str, scope: &Scope, options: &LoadOptions, found: &mut Findings) -> Value {
    let table = environment::overlaid(root, &scope.pipeline.environment, "cloud");
    let header = root.get("cloud").or_else(|| root.get("pipeline")).map_or(0..0, |entry| entry.key.clone());
    let site = Site { text, scope, kinds: None };
    Value::Object(site.inputs(&table, &[], &options.cloud_schema, ("cloud", header), found).values)
}

fn read_notifiers(
    root: &Table,
    text: &str,
    scope: &Scope,
    options: &LoadOptions,
    found: &mut Findings,
) -> Vec<NotifierConfig> {
    let site = Site { text, scope, kinds: None };
    let known = || options.registry.notifiers().map(|kind| kind.manifest.kind.as_str());
    let mut notifiers = Vec::new();
    for (name, entry) in section(root, "notify") {
        let Some((table, uses)) = uses(entry) else { continue };
        let isolation = isolation(table, options, &uses, found);
        let kind = match options.registry.notifier(uses.1, isolation) {
            Ok(kind) => kind,
            Err(error) => {
                found.errors.push(no_kind(error, "notifier", uses, known()));
                continue;
            }
        };
        let header = (format!("notify.{name}"), entry.key.clone());
        let schema = &kind.manifest.inputs;
        let read = site.inputs(table, &NOTIFIER_KEYS, schema, (&header.0, header.1), found);
        notifiers.push(NotifierConfig {
            name: name.clone(),
            kind: uses.1.to_owned(),
            inputs: Inputs(read.values.into_iter().collect()),
            isolation,
            required: table.get("required").is_some_and(|entry| entry.node.to_value() == Value::Bool(true)),
        });
    }
    notifiers
}

/// Reads `[stages]`.
struct Stages<'a> {
    root: &'a Table,
    text: &'a str,
    scope: &'a Scope,
    options: &'a LoadOptions,
}

/// Which stage waits for which, and where the file says so.
type Edges = HashMap<(usize, usize), Span>;

impl Stages<'_> {
    fn read(&self, found: &mut Findings) -> (Vec<StageConfig>, Option<Graph>, Option<Graph>) {
        let known: Vec<_> = section(self.root, "stages").map(|(_, entry)| self.kind(entry, found)).collect();
        let manifests = known.iter().map(|kind| kind.as_ref().map(|kind| &kind.manifest));
        let names = section(self.root, "stages").map(|(name, _)| name.clone());
        let kinds: Kinds<'_> = names.zip(manifests).collect();
        let site = Site { text: self.text, scope: self.scope, kinds: Some(&kinds) };
        let count = kinds.len();
        let (mut references, mut all) = (vec![Vec::new(); count], vec![Vec::new(); count]);
        let mut edges = Edges::new();
        let mut stages = Vec::with_capacity(count);
        for (index, (name, entry)) in section(self.root, "stages").enumerate() {
            found.upstream.clear();
            stages.extend(self.stage(&site, name, (entry, known[index].as_deref()), found));
            for (upstream, span) in std::mem::take(&mut found.upstream) {
                let Some(upstream) = kinds.get_index_of(&upstream) else { continue };
                references[index].push(upstream);
                edges.entry((index, upstream)).or_insert(span);
            }
            all[index].clone_from(&references[index]);
            for (upstream, span) in needs(name, entry, &kinds, found) {
                all[index].push(upstream);
                edges.entry((index, upstream)).or_insert(span);
            }
        }
        found.warnings = unused_outputs(&kinds, found);
        match Graph::new(all) {
            Ok(graph) => (stages, Some(graph), Graph::new(references).ok()),
            Err(cycles) => {
                found.errors.extend(cycles.iter().map(|cycle| cycle_error(cycle, &kinds, &edges)));
                (stages, None, None)
            }
        }
    }

    /// The kind of a stage, if there is one.
    fn kind(&self, entry: &Entry, found: &mut Findings) -> Option<Arc<StageKind>> {
        let (table, uses) = uses(entry)?;
        let registry = &self.options.registry;
        match registry.stage(uses.1, isolation(table, self.options, &uses, found)) {
            Ok(kind) => Some(kind),
            Err(error) => {
                let known = registry.stages().map(|kind| kind.manifest.kind.as_str());
                found.errors.push(no_kind(error, "stage", uses, known));
                None
            }
        }
    }

    fn stage(
        &self,
        site: &Site<'_>,
        name: &str,
        (entry, kind): (&Entry, Option<&StageKind>),
        found: &mut Findings,
    ) -> Option<StageConfig> {
        let valid = StageName::new(name);
        if let Err(error) = &valid {
            found.errors.push(ConfigError::new(error.to_string(), entry.key.clone(), "this name"));
        }
        let (table, uses) = uses(entry)?;
        let kind = kind?;
        let header = format!("stages.{name}");
        let schema = &kind.manifest.inputs;
        let read = site.inputs(table, &STAGE_KEYS, schema, (&header, entry.key.clone()), found);
        Some(StageConfig {
            name: valid.ok()?,
            kind: uses.1.to_owned(),
            inputs: read.templates,
            schema: schema.clone(),
            outputs: kind.manifest.outputs.clone(),
            limits: limits(table, found),
            isolation: written_isolation(table).unwrap_or_default(),
        })
    }
}

/// `timeout` and `retry`. A wrong type was already reported.
fn limits(table: &Table, found: &mut Findings) -> StageLimits {
    let retries = table.get("retry").and_then(|entry| entry.node.to_value().as_u64()).unwrap_or(0);
    let mut limits = StageLimits { timeout: None, retries: u32::try_from(retries).unwrap_or(0) };
    if let Some((node, text)) = table.get("timeout").and_then(|entry| Some((&entry.node, entry.node.text()?)))
    {
        limits.timeout = text.parse::<SignedDuration>().ok().and_then(|time| time.try_into().ok());
        if limits.timeout.is_none_or(|time| time.is_zero()) {
            let message = format!("`{text}` is no time that a stage could take");
            let error = ConfigError::new(message, node.span.clone(), "this time");
            found.errors.push(error.with_help("write a number and a unit, such as `30s`, `10m` or `1h`"));
        }
    }
    limits
}

fn needs(name: &str, entry: &Entry, kinds: &Kinds<'_>, found: &mut Findings) -> Vec<(usize, Span)> {
    let Some(needs) = entry.node.table().and_then(|table| table.get("needs")) else { return Vec::new() };
    let document::Content::List(items) = &needs.node.content else { return Vec::new() };
    let mut edges = Vec::new();
    for item in items {
        let Some(needed) = item.text() else { continue };
        match kinds.get_index_of(needed) {
            Some(index) => edges.push((index, item.span.clone())),
            None => {
                let others = kinds.keys().map(String::as_str).filter(|other| *other != name);
                let help = suggestion::help("stages", needed, others);
                let message = format!("`{name}` needs `{needed}`, and there is no such stage");
                found.errors.push(ConfigError::new(message, item.span.clone(), "this name").with_help(help));
            }
        }
    }
    edges
}

fn cycle_error(cycle: &[usize], kinds: &Kinds<'_>, edges: &Edges) -> ConfigError {
    let name = |index: usize| kinds.get_index(index).map_or("", |(name, _)| name);
    let steps: Vec<usize> = cycle.iter().chain(cycle.first()).copied().collect();
    let path: Vec<&str> = steps.iter().map(|&step| name(step)).collect();
    let mut labels = steps.windows(2).map(|step| {
        let span = edges.get(&(step[0], step[1])).cloned().unwrap_or(0..0);
        (span, format!("`{}` waits for `{}`", name(step[0]), name(step[1])))
    });
    let (span, label) = labels.next().unwrap_or((0..0, String::new()));
    let message = format!("stages wait for each other in a cycle: {}", path.join(" → "));
    let error = ConfigError::new(message, span, label).with_help("remove one of these references");
    labels.fold(error, |error, (span, label)| error.with_label(span, label))
}

/// A variable that is given and never used is a slip of the pen.
fn report_unused_vars(root: &Table, scope: &Scope, options: &LoadOptions, found: &mut Findings) {
    let declared = environment::overlaid(root, &scope.pipeline.environment, "vars");
    let unused = |name: &String| !declared.contains_key(name) && !found.vars.contains(name);
    for (name, given) in options.vars.iter().filter(|(name, _)| unused(name)) {
        let names = declared.keys().map(String::as_str);
        let help = suggestion::help("variables", name, names);
        let message = format!("`{}=…` is given, and the file has no such variable", given.origin);
        found.errors.push(ConfigError::without_place(message).with_help(help));
    }
}

fn section<'a>(root: &'a Table, name: &str) -> impl Iterator<Item = (&'a String, &'a Entry)> {
    root.get(name).and_then(|entry| entry.node.table()).into_iter().flatten()
}

/// The table of a node and its `uses`, with where that is. A wrong shape was already reported.
fn uses(entry: &Entry) -> Option<(&Table, (Span, &str))> {
    let table = entry.node.table()?;
    let node = &table.get("uses")?.node;
    Some((table, (node.span.clone(), node.text()?)))
}

/// `isolation` as it is written. A wrong value was already reported.
fn written_isolation(table: &Table) -> Option<Isolation> {
    match table.get("isolation")?.node.text()? {
        "process" => Some(Isolation::Process),
        _ => Some(Isolation::None),
    }
}

/// Where a node runs. What is built in runs where the engine does.
fn isolation(table: &Table, options: &LoadOptions, uses: &(Span, &str), found: &mut Findings) -> Isolation {
    let written = written_isolation(table);
    if let (Some(_), Some(entry), true) =
        (written, table.get("isolation"), options.registry.is_built_in(uses.1))
    {
        let message = format!("`{}` is built in, and `isolation` is for plugins", uses.1);
        let error = ConfigError::new(message, entry.key.clone(), "this key");
        found.errors.push(error.with_help("remove it"));
    }
    written.unwrap_or_default()
}

fn no_kind<'a>(
    error: KindError,
    what: &str,
    (span, kind): (Span, &str),
    known: impl Iterator<Item = &'a str>,
) -> ConfigError {
    if let KindError::Plugin(error) = error {
        let plain = ConfigError::new(error.to_string(), span, "this plugin");
        return match error.help() {
            Some(help) => plain.with_help(help),
            None => plain,
        };
    }
    if [".so", ".dylib", ".py", ".sh"].iter().any(|end| kind.ends_with(end)) {
        let help = format!("a plugin is named by its path: `uses = \"./{kind}\"`");
        return ConfigError::new(format!("there is no kind of {what} called `{kind}`"), span, "this kind")
            .with_help(help);
    }
    let help = suggestion::help(&format!("kinds of {what}s"), kind, known);
    ConfigError::new(format!("there is no kind of {what} called `{kind}`"), span, "this kind").with_help(help)
}
