//! What is known about the resources of a stage that come earlier in its list.

use std::collections::BTreeMap;

use pipeline_sdk::{Maybe, ResourceId, Unknown, Value};
use serde::de::DeserializeOwned;

use crate::Attributes;

/// Attributes by resource: read from the world, or as they will be.
///
/// Of a resource that is not there yet, what was asked for is known and what AWS will assign (ARNs,
/// ids) is unknown.
#[derive(Clone, Debug, Default)]
pub struct Known {
    entries: BTreeMap<ResourceId, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    attributes: Attributes,
    /// Whether an attribute that is not there is not set, rather than not known yet.
    exists: bool,
}

impl Known {
    /// The attribute: its value, `null`, or the marker of an unknown.
    pub fn value(&self, id: &ResourceId, attribute: &str) -> Value {
        match self.entries.get(id) {
            Some(entry) if entry.exists || entry.attributes.contains_key(attribute) => {
                entry.attributes.value(attribute).clone()
            }
            _ => Unknown::new(format!("{}.{}.{attribute}", id.kind, id.name)).to_value(),
        }
    }

    /// The attribute, if it is text and known.
    pub fn text(&self, id: &ResourceId, attribute: &str) -> Option<&str> {
        self.entries.get(id)?.attributes.text(attribute)
    }

    /// The attribute as an input or output type; unknown as well where it cannot be read as `T`.
    pub fn maybe<T: DeserializeOwned>(&self, id: &ResourceId, attribute: &str) -> Maybe<T> {
        let origin = || Unknown::new(format!("{}.{}.{attribute}", id.kind, id.name));
        serde_json::from_value(self.value(id, attribute)).unwrap_or_else(|_| Maybe::Unknown(origin()))
    }

    /// All attributes of a resource that exists.
    pub fn existing(&self, id: &ResourceId) -> Option<&Attributes> {
        self.entries.get(id).filter(|entry| entry.exists).map(|entry| &entry.attributes)
    }

    /// The resources that exist, by id.
    pub(crate) fn all_existing(&self) -> impl Iterator<Item = (&ResourceId, &Attributes)> {
        self.entries.iter().filter(|(_, entry)| entry.exists).map(|(id, entry)| (id, &entry.attributes))
    }

    /// A resource was read from the world.
    pub(crate) fn exists(&mut self, id: ResourceId, attributes: Attributes) {
        self.entries.insert(id, Entry { attributes, exists: true });
    }

    /// A resource will be made: only what is asked for is known.
    pub(crate) fn will_exist(&mut self, id: ResourceId, desired: Attributes) {
        self.entries.insert(id, Entry { attributes: desired, exists: false });
    }

    /// A resource will be changed in place: what AWS assigned stays, except for what it assigns anew.
    pub(crate) fn will_change(&mut self, id: &ResourceId, desired: &Attributes, anew: &[&str]) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.attributes.extend(desired.iter().map(|(key, value)| (key.clone(), value.clone())));
            for attribute in anew {
                let origin = format!("{}.{}.{attribute}", id.kind, id.name);
                entry.attributes.set(attribute, Unknown::new(origin).to_value());
            }
        }
    }

    /// A resource is gone or will be.
    pub(crate) fn is_gone(&mut self, id: &ResourceId) {
        self.entries.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use pipeline_sdk::{is_unknown, json};

    use super::*;

    #[test]
    fn what_aws_assigns_is_unknown_until_it_exists() {
        let id = ResourceId::new("elbv2:load-balancer", "web");
        let mut known = Known::default();
        assert!(is_unknown(&known.value(&id, "arn")));
        known.will_exist(id.clone(), Attributes::of(json!({"name": "web"})));
        assert_eq!(known.maybe::<String>(&id, "name"), Maybe::Known("web".into()));
        assert_eq!(
            known.maybe::<String>(&id, "arn"),
            Maybe::Unknown(Unknown::new("elbv2:load-balancer.web.arn"))
        );
        known.exists(id.clone(), Attributes::of(json!({"arn": "a"})));
        assert_eq!(known.text(&id, "arn"), Some("a"));
        assert_eq!(known.value(&id, "other"), Value::Null);
    }
}
