//! Names and ids, each its own type.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A name that breaks its rule.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{name}` is not a valid name: use 1 to 64 letters, digits, `-` and `_`, starting with a letter")]
pub struct InvalidName {
    /// The name as it was given.
    pub name: String,
}

/// The name a pipeline gives to one of its stages: `registry` in `[stages.registry]`.
///
/// 1 to 64 ASCII letters, digits, `-` and `_`; starts with a letter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct StageName(#[schemars(regex(pattern = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"))] String);

impl StageName {
    /// Checks and wraps `name`.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
        let name = name.into();
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
        if starts_well && name.len() <= 64 && name.chars().all(legal) {
            Ok(Self(name))
        } else {
            Err(InvalidName { name })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for StageName {
    type Error = InvalidName;
    fn try_from(name: String) -> Result<Self, InvalidName> {
        Self::new(name)
    }
}

impl From<StageName> for String {
    fn from(name: StageName) -> Self {
        name.0
    }
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One execution of a pipeline. Sorts by the time the run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RunId(#[schemars(with = "String", extend("format" = "uuid"))] Uuid);

impl RunId {
    /// An id for a run that begins now.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Reads the form that `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::parse_str(text).ok().map(Self)
    }

    /// This id, or the one right after `earlier` if that is not below it: the clocks of two machines may
    /// differ, and a later run must not sort before an earlier one.
    #[must_use]
    pub fn after(self, earlier: Self) -> Self {
        if self > earlier { self } else { Self(Uuid::from_u128(earlier.0.as_u128().saturating_add(1))) }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One resource of a stage: its kind in AWS's words and its name.
///
/// The pair is unique within a stage. `kind` follows CloudFormation's type names in short form:
/// `ecs:service`, `elbv2:listener`, `ecr:repository`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ResourceId {
    /// What it is, such as `ecs:service`.
    pub kind: String,
    /// What it is called, such as `hello-staging`.
    pub name: String,
}

impl ResourceId {
    /// The resource `name` of kind `kind`.
    pub fn new(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), name: name.into() }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage_names_follow_their_rule() {
        for good in ["a", "registry", "load-balancer", "x_1"] {
            assert!(StageName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "1st", "-a", "a b", "ä", &"a".repeat(65)] {
            assert!(StageName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn later_runs_sort_after_earlier_ones() {
        let first = RunId::generate();
        assert!(first < RunId::generate());
        assert_eq!(RunId::parse(&first.to_string()), Some(first));
        let second = RunId::generate();
        assert_eq!(second.after(first), second);
        assert!(first.after(second) > second && first.after(second) < RunId::generate());
    }
}
