//! The shape of `pipeline.toml` apart from what stages, notifiers and the host add.

use std::sync::LazyLock;

use pipeline_sdk::{Value, json};

/// The JSON schema of the file.
pub(crate) static OUTLINE: LazyLock<Value> = LazyLock::new(|| {
    let table = json!({ "type": "object", "additionalProperties": true });
    let named = |properties: Value| {
        json!({ "type": "object", "additionalProperties": {
            "type": "object", "properties": properties, "required": ["uses"], "additionalProperties": true,
        }})
    };
    let uses = json!({ "type": "string", "description": "what kind it is, such as `uses = \"ecr\"`" });
    let needs = json!({ "type": "array", "items": { "type": "string" } });
    let timeout = json!({ "type": "string" });
    let retry = json!({ "type": "integer", "minimum": 0, "maximum": 10 });
    let isolation = json!({ "type": "string", "enum": ["none", "process"] });
    let stage = json!({
        "uses": uses, "needs": needs, "timeout": timeout, "retry": retry, "isolation": isolation,
    });
    let notifier = json!({ "uses": uses, "isolation": isolation, "required": { "type": "boolean" } });
    json!({
        "type": "object",
        "properties": {
            "pipeline": {
                "type": "object",
                "description": "write `[pipeline]` and below it `name = \"…\"`",
                "properties": {
                    "name": { "type": "string", "description": "the name of the app" },
                    "environment": { "type": "string" },
                    "on_failure": { "type": "string", "enum": ["rollback", "keep"] },
                    "state": { "type": "string", "minLength": 1 },
                    "parallelism": { "type": "integer", "minimum": 1, "maximum": 1000 },
                },
                "required": ["name"],
            },
            "cloud": table,
            "vars": table,
            "environments": { "type": "object", "additionalProperties": {
                "type": "object", "properties": { "vars": table, "cloud": table },
            }},
            "stages": named(stage),
            "notify": named(notifier),
        },
        "required": ["pipeline"],
    })
});
