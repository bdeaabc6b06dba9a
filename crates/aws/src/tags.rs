//! The tags by which the pipeline knows what is its own.

use std::collections::{BTreeMap, BTreeSet};

use pipeline_sdk::{Context, StageError, Value, json};

use crate::Attributes;

const NAME: &str = "pipeline:name";
const ENVIRONMENT: &str = "pipeline:environment";
const STAGE: &str = "pipeline:stage";

/// The `tags` input of a stage.
pub type UserTags = BTreeMap<String, String>;

/// The tags of every resource of one stage: whose it is, and what the user adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(BTreeMap<String, String>);

impl Tags {
    /// The tags of the stage that `cx` is for.
    ///
    /// # Errors
    /// [`StageError::Input`] if the user sets a tag that belongs to AWS or to the pipeline.
    pub fn of(cx: &Context, user: &UserTags) -> Result<Self, StageError> {
        if let Some(key) = user.keys().find(|key| key.starts_with("aws:") || key.starts_with("pipeline:")) {
            return Err(StageError::input(
                format!("tags.{key}"),
                "tags that begin with `aws:` or `pipeline:` are reserved: choose another key",
            ));
        }
        let mut tags = Self::owner(cx);
        tags.0.extend(user.clone());
        Ok(tags)
    }

    /// The tags that say whose a resource is.
    pub(crate) fn owner(cx: &Context) -> Self {
        let id = cx.pipeline();
        let own = [(NAME, id.name.as_str()), (ENVIRONMENT, &id.environment), (STAGE, cx.stage().as_str())];
        Self(own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    /// Key and value of each tag, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The tags as the `tags` attribute.
    pub fn to_value(&self) -> Value {
        json!(self.0)
    }

    /// The tags as a query has them: `{list}.1.Key`, `{list}.1.Value`.
    pub fn form(&self, list: &str) -> Vec<(String, String)> {
        let numbered = self.iter().enumerate().flat_map(|(at, (key, value))| {
            let tag = format!("{list}.{}", at + 1);
            [(format!("{tag}.Key"), key.to_owned()), (format!("{tag}.Value"), value.to_owned())]
        });
        numbered.collect()
    }

    /// Each tag as the SDK's own type.
    ///
    /// # Errors
    /// Those of `make`: SDK builders check that required fields are there.
    pub fn build<T, E: std::fmt::Display>(
        &self,
        make: impl Fn(&str, &str) -> Result<T, E>,
    ) -> Result<Vec<T>, StageError> {
        let failed = |error: E| StageError::failed(format!("a tag could not be built: {error}"));
        self.iter().map(|(key, value)| make(key, value).map_err(failed)).collect()
    }
}

impl From<&Value> for Tags {
    fn from(value: &Value) -> Self {
        let fields = value.as_object().into_iter().flatten();
        Self(fields.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect())
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Tags {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

/// The tags to set and the keys to remove, so that `observed` becomes `desired`.
pub fn changed_tags(observed: &Attributes, desired: &Attributes) -> (Tags, Vec<String>) {
    let (old, new) = (Tags::from(observed.value("tags")), Tags::from(desired.value("tags")));
    let set = new.0.iter().filter(|(key, value)| old.0.get(*key) != Some(value));
    let set = set.map(|(key, value)| (key.clone(), value.clone())).collect();
    let unset = old.0.keys().filter(|key| !new.0.contains_key(*key)).cloned().collect();
    (set, unset)
}

/// Whose tags a resource carries.
pub(crate) enum Owner {
    /// This stage's.
    Us,
    /// Another stage's of the same pipeline and environment.
    Stage(String),
    /// Another pipeline's or environment's.
    Pipeline(String),
    /// Nobody's: made by hand or by another tool.
    Nobody,
}

pub(crate) fn owner(cx: &Context, observed: &Attributes) -> Owner {
    let tags = Tags::from(observed.value("tags"));
    let tag = |key| tags.0.get(key).map(String::as_str);
    let id = cx.pipeline();
    match (tag(NAME), tag(ENVIRONMENT), tag(STAGE)) {
        (Some(name), Some(environment), stage) if name == id.name && environment == id.environment => {
            match stage {
                Some(stage) if stage != cx.stage().as_str() => Owner::Stage(stage.to_owned()),
                _ => Owner::Us,
            }
        }
        (Some(name), environment, _) => Owner::Pipeline(format!("{name}-{}", environment.unwrap_or("?"))),
        _ => Owner::Nobody,
    }
}

/// Drops the tags that are none of our business: those that neither we want now nor set before.
pub(crate) fn forget_foreign(observed: &mut Attributes, desired: &Attributes, remembered: &Attributes) {
    let ours: BTreeSet<String> = [desired, remembered]
        .into_iter()
        .flat_map(|attributes| Tags::from(attributes.value("tags")).0.into_keys())
        .collect();
    if observed.contains_key("tags") {
        let mut tags = Tags::from(observed.value("tags"));
        tags.0.retain(|key, _| ours.contains(key));
        observed.set("tags", tags.to_value());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::tests::context;

    #[test]
    fn reserved_tags_are_refused() {
        let user = UserTags::from([("pipeline:name".to_owned(), "x".to_owned())]);
        assert!(Tags::of(&context(), &user).is_err());
    }

    #[test]
    fn foreign_tags_are_neither_drift_nor_removed() {
        let mut observed = Attributes::of(json!({"tags": {"a": "1", "cost": "x", "old": "y"}}));
        let desired = Attributes::of(json!({"tags": {"a": "2"}}));
        let remembered = Attributes::of(json!({"tags": {"a": "1", "old": "y"}}));
        forget_foreign(&mut observed, &desired, &remembered);
        let (set, unset) = changed_tags(&observed, &desired);
        assert_eq!(set.to_value(), json!({"a": "2"}));
        assert_eq!(unset, ["old"]);
    }
}
