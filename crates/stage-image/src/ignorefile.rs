//! `.dockerignore`: which files of the build context the build does not see.
//!
//! The rules are Docker's, not git's (docs.docker.com/build/concepts/context/#dockerignore-files):
//! patterns start at the root of the context, the last one that matches a path *or one of its
//! parents* decides, and `!` brings files back, also below a folder that is left out.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// A parsed ignore file.
pub(crate) struct IgnoreFile {
    patterns: GlobSet,
    /// Whether the pattern at the same place leaves out (`true`) or brings back.
    leaves_out: Vec<bool>,
}

/// A line that is not a pattern.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: `{pattern}` is not a valid pattern: {cause}")]
pub(crate) struct InvalidPattern {
    line: usize,
    pattern: String,
    cause: String,
}

impl IgnoreFile {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let mut patterns = GlobSetBuilder::new();
        let mut leaves_out = Vec::new();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = if line.starts_with('#') { "" } else { line.trim() };
            let (pattern, out) = match line.strip_prefix('!') {
                Some(rest) => (rest.trim(), false),
                None => (line, true),
            };
            let pattern = normal(pattern);
            if pattern.is_empty() {
                continue;
            }
            let glob = glob(&pattern).map_err(|error| InvalidPattern {
                line: index + 1,
                pattern: line.to_owned(),
                cause: error.kind().to_string(),
            })?;
            patterns.add(glob);
            leaves_out.push(out);
        }
        let patterns = patterns.build().map_err(|error| InvalidPattern {
            line: 0,
            pattern: String::new(),
            cause: error.to_string(),
        })?;
        Ok(Self { patterns, leaves_out })
    }

    /// Whether the build does not see `path`, which is relative to the context.
    pub(crate) fn leaves_out(&self, path: &str) -> bool {
        let last = Path::new(path)
            .ancestors()
            .filter(|ancestor| !ancestor.as_os_str().is_empty())
            .filter_map(|ancestor| self.patterns.matches(ancestor).into_iter().max())
            .max();
        last.is_some_and(|index| self.leaves_out[index])
    }

    /// Whether something below a folder that is left out may have to be brought back.
    pub(crate) fn brings_back(&self) -> bool {
        self.leaves_out.contains(&false)
    }
}

fn glob(pattern: &str) -> Result<globset::Glob, globset::Error> {
    // Go's patterns know no alternatives: braces are ordinary characters.
    let pattern = pattern.replace('{', "[{]").replace('}', "[}]");
    GlobBuilder::new(&pattern).literal_separator(true).backslash_escape(true).build()
}

/// The pattern as `filepath.Clean` leaves it, without a leading slash.
fn normal(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(text: &str, paths: &[&str]) -> Vec<bool> {
        let ignore = IgnoreFile::parse(text).expect("parses");
        paths.iter().map(|path| ignore.leaves_out(path)).collect()
    }

    #[test]
    fn patterns_start_at_the_root() {
        assert_eq!(left_out("target\n", &["target", "target/a/b", "sub/target"]), [true, true, false]);
        assert_eq!(left_out("**/target\n", &["target", "sub/target/x"]), [true, true]);
        assert_eq!(left_out("/a/\n./b\n", &["a/x", "b"]), [true, true]);
    }

    #[test]
    fn a_star_stays_within_its_folder() {
        assert_eq!(left_out("*/temp*\n", &["a/temporary.txt", "a/b/temp", "temp"]), [true, false, false]);
        assert_eq!(left_out("docs/**\n", &["docs/a/b", "docs"]), [true, false]);
    }

    #[test]
    fn the_last_match_decides_also_below_a_folder_that_is_left_out() {
        assert_eq!(left_out("*\n!hello\n", &["hello", "src/main.rs"]), [false, true]);
        assert_eq!(left_out("a\n!a/keep\n", &["a/keep/x", "a/other"]), [false, true]);
        assert_eq!(left_out("!a/keep\na\n", &["a/keep/x"]), [true]);
    }

    #[test]
    fn comments_braces_and_blank_lines() {
        assert_eq!(left_out("# a\n\n  {b}  \n", &["a", "b", "{b}"]), [false, false, true]);
        assert!(IgnoreFile::parse("a\n[x\n").is_err_and(|error| error.line == 2));
    }
}
