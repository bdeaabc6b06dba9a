//! Exit codes: part of the interface, for CI jobs to tell endings apart.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done, or nothing had to be.
    Succeeded,
    /// It failed before anything was changed.
    Failed,
    /// The command line or `pipeline.toml` is wrong. (clap uses the same number.)
    Usage,
    /// It failed; what it had changed was undone.
    RolledBack,
    /// It failed, and something could not be undone or was to be kept.
    Stuck,
    /// It was cancelled; what it had changed was undone.
    Cancelled,
    /// Another run holds the environment.
    Locked,
    /// `plan --detailed-exit-code`: there are changes.
    Changes,
}

impl Exit {
    /// The number, as documented in `pipeline help`.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Exit::Succeeded => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::RolledBack => 3,
            Exit::Stuck => 4,
            Exit::Cancelled => 5,
            Exit::Locked => 6,
            Exit::Changes => 10,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// What `pipeline help` says about exit codes.
pub(crate) const HELP: &str = "\
Exit codes:
   0  done, or nothing to do
   1  failed before anything was changed
   2  wrong command line or configuration
   3  failed and rolled back
   4  failed, and something is left that was not undone
   5  cancelled and rolled back
   6  another run holds the environment
  10  `plan --detailed-exit-code`: there are changes
 130  ended at once by a second signal: `pipeline status` says what is left";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_code() {
        use Exit::*;
        for exit in [Succeeded, Failed, Usage, RolledBack, Stuck, Cancelled, Locked, Changes] {
            let line = format!("\n  {:>2}  ", exit.code());
            assert!(HELP.contains(&line), "{exit:?}");
        }
    }
}
