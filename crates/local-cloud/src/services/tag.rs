//! Tags, as most services write them: `Key` and `Value`.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A tag on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tag {
    /// At most 128 characters.
    pub(crate) key: String,
    /// At most 256 characters; a tag may have no value.
    #[serde(default)]
    pub(crate) value: String,
}

/// Tags of a resource, in the order in which they were added.
pub(crate) type Tags = IndexMap<String, String>;

/// The tags as a list.
pub(crate) fn list(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect()
}

/// Adds `new` to `tags`, replacing values of keys that are there.
pub(crate) fn add(tags: &mut Tags, new: &[Tag]) {
    for tag in new {
        tags.insert(tag.key.clone(), tag.value.clone());
    }
}

/// Why a list of tags is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TagFault {
    /// A key occurs twice.
    Duplicate(String),
    /// A key is empty or longer than 128 characters.
    KeyLength(String),
    /// A value is longer than 256 characters.
    ValueLength(String),
    /// A key begins with `aws:`.
    Reserved(String),
}

/// Checks tags against the limits that all services share
/// (docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html).
pub(crate) fn check(tags: &[Tag]) -> Result<(), TagFault> {
    for (index, tag) in tags.iter().enumerate() {
        let key = || tag.key.clone();
        if tag.key.is_empty() || tag.key.chars().count() > 128 {
            return Err(TagFault::KeyLength(key()));
        }
        if tag.value.chars().count() > 256 {
            return Err(TagFault::ValueLength(key()));
        }
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(TagFault::Reserved(key()));
        }
        if tags.iter().take(index).any(|earlier| earlier.key == tag.key) {
            return Err(TagFault::Duplicate(key()));
        }
    }
    Ok(())
}
