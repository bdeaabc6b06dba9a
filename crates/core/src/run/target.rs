//! Where a run works, in words.

use pipeline_sdk::Link;

/// Where a run works: for people, the engine knows nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// In words, such as `AWS (eu-central-1)`.
    pub name: String,
    /// A page to look at it, if there is one.
    pub link: Option<Link>,
}

impl From<String> for Target {
    fn from(name: String) -> Self {
        Self { name, link: None }
    }
}

impl From<&str> for Target {
    fn from(name: &str) -> Self {
        name.to_owned().into()
    }
}
