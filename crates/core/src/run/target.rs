//! Where a run works, in words.

use pipeline_sdk::{Link, Redactor, Value};

/// Where a run works. The engine knows nothing of it but whether two are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// In words, such as `AWS (eu-central-1)`.
    pub name: String,
    /// What tells this place from all others, and stays as long as it is the same one, such as
    /// `account 123456789012, eu-central-1`. A state keeps it.
    pub identity: String,
    /// A page to look at it, if there is one.
    pub link: Option<Link>,
}

impl From<String> for Target {
    fn from(name: String) -> Self {
        Self { identity: name.clone(), name, link: None }
    }
}

impl From<&str> for Target {
    fn from(name: &str) -> Self {
        name.to_owned().into()
    }
}

/// The document `file` without what `redactor` knows, but with the identity of its target: that is compared, and no secret,
/// also where a region comes from a variable of the environment.
pub(crate) fn redacted(file: Value, target: Option<&str>, redactor: &Redactor) -> Value {
    let mut file = redactor.value(file);
    if let Some(target) = target {
        file["target"] = target.into();
    }
    file
}
