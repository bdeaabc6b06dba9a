//! The commit that a pipeline is run from, asked from `git` itself.

use std::path::Path;
use std::process::Command;

/// The commit that is checked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    sha: String,
    branch: String,
}

/// The fields of `git` in expressions.
pub(crate) const FIELDS: [&str; 3] = ["sha", "short_sha", "branch"];

impl Commit {
    /// Asks git about `directory`.
    ///
    /// # Errors
    /// There is no git, no repository, or no commit yet; the text is git's own.
    pub(crate) fn read(directory: &Path) -> Result<Self, String> {
        let sha = git(directory, &["rev-parse", "--verify", "HEAD"])?;
        let branch = git(directory, &["rev-parse", "--abbrev-ref", "HEAD"])?;
        Ok(Self { sha, branch })
    }

    /// The value of `git.FIELD`. The branch of a detached checkout is `HEAD`, as git says it.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        match name {
            "sha" => Some(&self.sha),
            // A fixed length: the shortest unambiguous one differs from clone to clone.
            "short_sha" => Some(self.sha.get(..12).unwrap_or(&self.sha)),
            "branch" => Some(&self.branch),
            _ => None,
        }
    }
}

fn git(directory: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git")
        .current_dir(if directory.as_os_str().is_empty() { Path::new(".") } else { directory })
        .args(arguments)
        .output()
        .map_err(|error| format!("git cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().next().unwrap_or("git failed").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_of_a_repository_git_says_so() {
        let folder = tempfile::tempdir().expect("folder");
        let error = Commit::read(folder.path()).expect_err("no repository");
        assert!(error.contains("not a git repository"), "{error}");
    }
}
