//! What a stage says it will do, and what it did.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ResourceId, StageError, contains_unknown};

/// The inputs of one stage after its expressions were evaluated. Some may be unknown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Inputs(#[schemars(with = "Map<String, Value>")] pub IndexMap<String, Value>);

impl Inputs {
    /// Reads the inputs into the stage's own type. A field that may be unknown is a
    /// [`Maybe`](crate::Maybe).
    ///
    /// # Errors
    /// [`StageError::Input`] names the field when a value has the wrong type, or is unknown where
    /// the stage needs it to plan at all.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, StageError> {
        let value = Value::Object(self.0.clone().into_iter().collect());
        serde_path_to_error::deserialize(value).map_err(|error| StageError::Input {
            field: Some(error.path().to_string())
                .filter(|path| path != ".")
                .unwrap_or_else(|| "inputs".into()),
            message: error.into_inner().to_string(),
        })
    }

    /// Whether every value is known.
    pub fn are_known(&self) -> bool {
        !self.0.values().any(contains_unknown)
    }
}

/// What a stage gives to the stages after it. While planning, some may be unknown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outputs {
    /// The values other stages refer to as `stages.NAME.KEY`.
    #[serde(default)]
    #[schemars(with = "Map<String, Value>")]
    pub values: IndexMap<String, Value>,
    /// The resources that exist for this stage, kept in the environment's state.
    #[serde(default)]
    pub resources: Vec<Recorded>,
}

impl Outputs {
    /// The fields of `values` as outputs, and no resources.
    ///
    /// # Errors
    /// `values` is not written as a JSON object; that is a defect of the stage.
    pub fn of(values: &impl Serialize) -> Result<Self, StageError> {
        match serde_json::to_value(values) {
            Ok(Value::Object(fields)) => {
                Ok(Self { values: fields.into_iter().collect(), resources: Vec::new() })
            }
            Ok(_) => Err(StageError::failed("outputs have to be an object")),
            Err(error) => Err(StageError::failed(format!("outputs are not JSON: {error}"))),
        }
    }
}

/// A resource as the state remembers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recorded {
    /// Which resource.
    #[serde(flatten)]
    pub id: ResourceId,
    /// What is needed to find it again: ARNs and ids.
    pub attributes: Value,
}

/// What happens to one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It does not exist and will be made.
    Create,
    /// It exists and will be changed in place.
    Update,
    /// It cannot be changed in place: it will be deleted and made again.
    Replace,
    /// It will be removed.
    Delete,
    /// Something is carried out that leaves no resource of its own, such as a deployment.
    Run,
}

/// One attribute that changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttributeChange {
    /// The attribute, dotted: `health_check.path`.
    pub path: String,
    /// The value now; `null` where there is none.
    pub before: Value,
    /// The value afterwards; may be unknown, `null` where there will be none.
    pub after: Value,
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// What changes.
    pub resource: ResourceId,
    /// How it changes.
    pub action: Action,
    /// The attributes that change; for a creation, the ones worth reading.
    #[serde(default)]
    pub attributes: Vec<AttributeChange>,
    /// Why, where the attributes do not say it: `the image changed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why a rollback cannot undo this change, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub irreversible: Option<String>,
}

/// What a stage will do, frozen. Made by reading only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StagePlan {
    /// What will change; empty when the world is as the inputs say.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// The outputs after the changes; unknown where only applying tells.
    #[serde(default)]
    pub outputs: Outputs,
    /// What `apply` needs beside the changes. The engine keeps it and never looks inside.
    #[serde(default)]
    pub detail: Value,
}

impl StagePlan {
    /// Whether nothing will change.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// One side effect of a run, as the journal knows it.
///
/// Its intent was durable before the side effect began. No `after` means that the result never
/// came: the side effect may or may not have happened, and a rollback reads the world to tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Done {
    /// What was changed.
    pub resource: ResourceId,
    /// How.
    pub action: Action,
    /// What was there before: all that is needed to restore it.
    pub before: Option<Value>,
    /// What is there now, if the result came.
    pub after: Option<Value>,
}
