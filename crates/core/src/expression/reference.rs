//! What an expression refers to.

use std::fmt;

/// One name that an expression uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Reference {
    /// `stages.NAME.OUTPUT`.
    Output { stage: String, output: String },
    /// `var.NAME`.
    Var(String),
    /// `env.NAME`.
    Env(String),
    /// `git.FIELD`.
    Git(String),
    /// `pipeline.FIELD`.
    Pipeline(String),
}

/// The first names of references.
pub(crate) const ROOTS: [&str; 5] = ["stages", "var", "env", "git", "pipeline"];

impl Reference {
    /// Reads `stages.a.b.c`; what lies below an output is no part of the reference.
    ///
    /// # Errors
    /// The text is not a reference; the error says what to write.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split('.').map(str::to_owned);
        let (root, name) = (parts.next().unwrap_or_default(), parts.next());
        match (root.as_str(), name, parts.next()) {
            ("stages", Some(stage), Some(output)) => Ok(Self::Output { stage, output }),
            ("var", Some(name), _) => Ok(Self::Var(name)),
            ("env", Some(name), _) => Ok(Self::Env(name)),
            ("git", Some(field), _) => Ok(Self::Git(field)),
            ("pipeline", Some(field), _) => Ok(Self::Pipeline(field)),
            ("stages", ..) => Err(format!("`{text}` names no output: write `stages.NAME.OUTPUT`")),
            (root, ..) if ROOTS.contains(&root) => {
                Err(format!("`{text}` is not a value: write `{root}.NAME`"))
            }
            _ => Err(format!("`{text}` is not known here")),
        }
    }

    /// The names that lead to the value.
    pub(crate) fn path(&self) -> Vec<&str> {
        match self {
            Self::Output { stage, output } => vec!["stages", stage, output],
            Self::Var(name) => vec!["var", name],
            Self::Env(name) => vec!["env", name],
            Self::Git(field) => vec!["git", field],
            Self::Pipeline(field) => vec!["pipeline", field],
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path().join("."))
    }
}
