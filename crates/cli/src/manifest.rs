//! What a kind of stage or notifier takes and gives, from its schemas, as people read it.

use std::io::{self, Write};

use pipeline_sdk::{Manifest, Value};

/// One property of a schema, as people read it.
#[derive(Debug)]
struct Property<'a> {
    /// Dotted where it is inside another one.
    name: String,
    required: bool,
    default: Option<&'a Value>,
    description: String,
    /// What it can be, where the description does not say it.
    possible: String,
}

impl<'a> Property<'a> {
    fn new(name: String, schema: &'a Value) -> Self {
        let description = description(schema);
        let possible = possible(schema, &description);
        Self { name, required: false, default: default(schema), description, possible }
    }

    fn meaning(&self) -> String {
        [self.description.as_str(), self.possible.as_str()].join(" ").trim().to_owned()
    }
}

/// What a kind takes or gives, with what it is called.
struct Section<'a> {
    title: &'static str,
    properties: Vec<Property<'a>>,
}

/// Those of inputs and outputs that the kind has.
fn sections(manifest: &Manifest) -> impl Iterator<Item = Section<'_>> {
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    collect("", &manifest.inputs, &mut inputs);
    collect("", &manifest.outputs, &mut outputs);
    for output in &mut outputs {
        // Nobody writes it, so nobody has to know what is required, nor what its type could hold.
        (output.required, output.possible) = (false, String::new());
    }
    let sections = [("Input", inputs), ("Output", outputs)];
    let sections = sections.into_iter().map(|(title, properties)| Section { title, properties });
    sections.filter(|section| !section.properties.is_empty())
}

/// Every property of a table, and below each what can be inside of it.
fn collect<'a>(prefix: &str, schema: &'a Value, found: &mut Vec<Property<'a>>) {
    let required =
        |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let name = format!("{prefix}{key}");
        found.push(Property { required: required(key), ..Property::new(name.clone(), property) });
        inside(&name, property, found);
    }
}

/// What can be inside of the value `name`: keys of a table, and words where there can also be one.
fn inside<'a>(name: &str, schema: &'a Value, found: &mut Vec<Property<'a>>) {
    let alternatives = alternatives(schema);
    let tables = alternatives.iter().any(|one| one["properties"].is_object());
    let several = alternatives.len() > 1;
    for one in alternatives {
        for word in words(one).into_iter().filter(|_| tables) {
            let name = format!("{name} = {word}");
            found.push(Property { possible: String::new(), ..Property::new(name, one) });
        }
        let first = found.len();
        collect(&format!("{name}."), one, found);
        collect(&format!("{name}[]."), &one["items"], found);
        collect(&format!("{name}.NAME."), &one["additionalProperties"], found);
        // The only key of an alternative stands for it: it says what it means, and there are others.
        let only = one["properties"].as_object().is_some_and(|keys| keys.len() == 1);
        if let Some(key) = found.get_mut(first).filter(|_| several && only) {
            key.required = false;
            let meaning = description(one);
            if !meaning.is_empty() {
                key.description = meaning;
            }
        }
    }
}

/// What a value can be besides nothing: the alternatives of a schema, or the schema itself.
fn alternatives(schema: &Value) -> Vec<&Value> {
    match ["oneOf", "anyOf"].into_iter().find_map(|keyword| schema[keyword].as_array()) {
        Some(branches) => branches.iter().flat_map(alternatives).collect(),
        None if schema["type"] == "null" => Vec::new(),
        None => vec![schema],
    }
}

/// The values that a schema lists.
fn words(schema: &Value) -> Vec<&Value> {
    let listed = schema["enum"].as_array().into_iter().flatten();
    schema.get("const").into_iter().chain(listed).filter(|word| !word.is_null()).collect()
}

/// The values that a schema lists, if it takes no others.
fn only_words(schema: &Value) -> Vec<String> {
    let alternatives = alternatives(schema);
    if alternatives.iter().any(|one| words(one).is_empty()) {
        return Vec::new();
    }
    let text = |word: &Value| word.as_str().map_or_else(|| word.to_string(), str::to_owned);
    alternatives.into_iter().flat_map(words).map(|word| format!("`{}`", text(word))).collect()
}

/// The default of a value, unless it is a table whose keys have the same ones.
fn default(schema: &Value) -> Option<&Value> {
    let default = schema.get("default").filter(|value| !value.is_null())?;
    let of_key = |key: &str| schema["properties"][key].get("default");
    let said_inside = default.as_object().is_some_and(|fields| {
        !fields.is_empty() && fields.iter().all(|(key, value)| of_key(key) == Some(value))
    });
    (!said_inside).then_some(default)
}

fn description(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ")
}

/// The words or the numbers that a value can be, unless its description says them already.
fn possible(schema: &Value, description: &str) -> String {
    let unsaid = |words: &[String]| words.iter().any(|word| !description.contains(word.as_str()));
    let (one, several) = (only_words(schema), only_words(&schema["items"]));
    // What every number of 8 or 16 bits can be says nothing of this one.
    let of_its_type = |least: &Value, most: &Value| *least == 0 && (*most == u8::MAX || *most == u16::MAX);
    match (schema.get("minimum"), schema.get("maximum")) {
        _ if unsaid(&one) => format!("One of {}.", one.join(", ")),
        _ if unsaid(&several) => format!("Any of {}.", several.join(", ")),
        (Some(least), Some(most)) if of_its_type(least, most) => String::new(),
        (Some(least), Some(most)) if !description.contains(&most.to_string()) => {
            format!("From {least} to {most}.")
        }
        _ => String::new(),
    }
}

/// The text of `pipeline stages KIND`.
pub(crate) fn write_text(out: &mut dyn Write, manifest: &Manifest) -> io::Result<()> {
    writeln!(out, "{}: {}", manifest.kind, manifest.summary)?;
    for Section { title, properties } in sections(manifest) {
        writeln!(out, "\n{title}s")?;
        let width = properties.iter().map(|property| property.name.len()).max().unwrap_or(0);
        for property in properties {
            let needed = if property.required { " (required)" } else { "" };
            let default = property.default.map(|value| format!(" [{value}]")).unwrap_or_default();
            writeln!(out, "  {:width$}  {}{default}{needed}", property.name, property.meaning())?;
        }
    }
    Ok(())
}

/// The same as a section of `docs/stages.md`.
pub(crate) fn write_markdown(out: &mut dyn Write, manifest: &Manifest) -> io::Result<()> {
    writeln!(out, "## `{}`\n\n{}.", manifest.kind, manifest.summary)?;
    for Section { title, properties } in sections(manifest) {
        writeln!(out, "\n| {title} | Default | Meaning |\n| --- | --- | --- |")?;
        for property in properties {
            let default = match property.default {
                Some(value) => format!("`{value}`"),
                None if property.required => "required".into(),
                None => String::new(),
            };
            let meaning = property.meaning().replace('|', "\\|");
            writeln!(out, "| `{}` | {default} | {meaning} |", property.name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pipeline_sdk::json;

    use super::*;
    use crate::host;

    /// The inputs of a built-in kind as lines, of which those that begin with `prefix`.
    fn shown(kind: &str, prefix: &str) -> Vec<String> {
        let registry = host::manifests();
        let stages = registry.stages().map(|kind| &kind.manifest);
        let mut all = stages.chain(registry.notifiers().map(|kind| &kind.manifest));
        let manifest = all.find(|manifest| manifest.kind == kind).expect("a kind");
        let mut text = Vec::new();
        write_text(&mut text, manifest).expect("written");
        let text = String::from_utf8(text).expect("text");
        let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.filter(|line| line.starts_with(prefix)).collect()
    }

    #[test]
    fn the_keys_of_a_table_are_shown_with_what_they_can_be() {
        assert_eq!(
            shown("ecs", "scaling"),
            [
                "scaling Auto scaling by CPU.",
                "scaling.min The fewest tasks. (required)",
                "scaling.max The most tasks. (required)",
                "scaling.cpu_percent The average CPU utilisation to hold, in percent. From 1 to 100. [60]",
            ]
        );
        let check = shown("alb", "health_check");
        assert_eq!(check[0], "health_check How the load balancer finds out whether a target works.");
        assert_eq!(check[2], "health_check.interval_seconds Seconds between two questions: 5 to 300. [5]");
    }

    #[test]
    fn each_alternative_is_shown_with_its_own_meaning() {
        assert_eq!(
            shown("codedeploy", "traffic"),
            [
                "traffic How traffic is shifted. [{\"canary\":{\"percent\":10,\"minutes\":5}}]",
                "traffic.canary A first part, then after a while all of it.",
                "traffic.canary.percent How much of the traffic, in percent: 1 to 99. (required)",
                "traffic.canary.minutes Minutes until the next step: 1 to 2880. (required)",
                "traffic.linear In equal parts at equal intervals.",
                "traffic.linear.percent How much of the traffic, in percent: 1 to 99. (required)",
                "traffic.linear.minutes Minutes until the next step: 1 to 2880. (required)",
                "traffic = \"all_at_once\" All at once. Health checks of the new version may begin only \
                 after the shift: prefer a canary.",
                "traffic.configuration A configuration that exists, such as \
                 `CodeDeployDefault.ECSCanary10Percent15Minutes`.",
            ]
        );
    }

    #[test]
    fn words_are_listed_unless_the_description_has_them() {
        let protocol = "protocol Protocol that the targets speak: `HTTP` or `HTTPS`. [\"HTTP\"]";
        assert_eq!(shown("alb", "protocol"), [protocol]);
        assert_eq!(
            shown("image", "platform"),
            ["platform Operating system and processor of the image. Must match what the tasks run on. \
                 One of `linux/amd64`, `linux/arm64`. [\"linux/amd64\"]"]
        );
        assert_eq!(
            shown("slack", "events"),
            ["events What to tell; everything unless given. Any of `start`, `progress`, `success`, \
                 `failure`, `rollback`, `stop`."]
        );
    }

    #[test]
    fn tables_in_lists_and_under_any_name_are_shown_too() {
        let rule = json!({ "type": "object", "properties": { "port": { "type": "integer" } } });
        let inputs = json!({ "properties": {
            "rules": { "type": "array", "items": rule },
            "named": { "type": "object", "additionalProperties": rule },
        }});
        let mut found = Vec::new();
        collect("", &inputs, &mut found);
        let names: Vec<_> = found.iter().map(|property| property.name.as_str()).collect();
        assert_eq!(names, ["rules", "rules[].port", "named", "named.NAME.port"]);
    }
}
