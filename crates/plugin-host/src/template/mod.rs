//! `pipeline plugin new`: a project that builds and passes its own test.

mod sdk;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The language of a new plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A library, by the SDK.
    Rust,
    /// An executable.
    Python,
    /// A library.
    C,
}

/// Why there is no new project.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The name cannot be one of a crate, a library and a kind.
    #[error(
        "`{0}` cannot be the name of a plugin: use lower-case letters, digits and `-`, beginning with a letter"
    )]
    Name(String),
    /// There is something already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A file could not be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The SDK that this program was built with cannot be written as a project's own.
    #[error("the SDK of this program is damaged: {0}")]
    Sdk(#[from] toml::de::Error),
}

/// A file of a project: its place, its text, and whether it is carried out.
type File = (&'static str, &'static str, bool);

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../../templates/", $path))
    };
}

const RUST: &[File] = &[
    ("Cargo.toml", template!("rust/Cargo.toml.in"), false),
    ("README.md", template!("rust/README.md.in"), false),
    ("src/lib.rs", template!("rust/src/lib.rs.in"), false),
    ("tests/stage.rs", template!("rust/tests/stage.rs.in"), false),
    (".gitignore", "/target\n", false),
];

const PYTHON: &[File] = &[
    ("plugin.py", template!("python/plugin.py"), true),
    ("pipeline_plugin.py", template!("python/pipeline_plugin.py"), false),
    ("test_plugin.py", template!("python/test_plugin.py"), false),
    ("README.md", template!("python/README.md"), false),
    (".gitignore", "__pycache__/\n", false),
];

const C: &[File] = &[
    ("plugin.c", template!("c/plugin.c"), false),
    ("pipeline_plugin.h", template!("c/pipeline_plugin.h"), false),
    ("json.h", template!("c/json.h"), false),
    ("test.c", template!("c/test.c"), false),
    ("Makefile", template!("c/Makefile"), false),
    ("README.md", template!("c/README.md"), false),
    (".gitignore", "*.so\n*.dylib\n/test\n", false),
];

/// The SDK that a project in Rust has in itself.
const OWN_SDK: &str = "{ path = \"sdk/pipeline-plugin\" }";

/// Writes a project for a plugin called `name` into `folder`, which is made. A project in Rust gets the SDK of this
/// program, unless `sdk` is a checkout of this repository whose SDK it uses.
///
/// # Errors
/// The name is none for a plugin, the folder exists, or a file cannot be written.
pub fn write(folder: &Path, name: &str, language: Language, sdk: Option<&Path>) -> Result<(), TemplateError> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(legal) || name.len() > 64 {
        return Err(TemplateError::Name(name.to_owned()));
    }
    if folder.exists() {
        return Err(TemplateError::Exists(folder.to_owned()));
    }
    let of_checkout = sdk.map(|checkout| {
        let place = std::path::absolute(checkout).unwrap_or_else(|_| checkout.to_owned());
        format!("{{ path = {:?} }}", place.join("crates/plugin"))
    });
    let sdk = of_checkout.as_deref().unwrap_or(OWN_SDK);
    let values = [("name", name), ("kind", name), ("lib", &name.replace('-', "_")), ("sdk", sdk)];
    let files = match language {
        Language::Rust => RUST,
        Language::Python => PYTHON,
        Language::C => C,
    };
    for (place, text, program) in files {
        let path = folder.join(place);
        let text = values
            .iter()
            .fold((*text).to_owned(), |text, (key, value)| text.replace(&format!("{{{{{key}}}}}"), value));
        write_file(&path, &text, *program).map_err(|source| TemplateError::Write { path, source })?;
    }
    if language == Language::Rust && of_checkout.is_none() {
        for (place, text) in sdk::files()? {
            let path = folder.join("sdk").join(place);
            write_file(&path, &text, false).map_err(|source| TemplateError::Write { path, source })?;
        }
    }
    Ok(())
}

fn write_file(path: &Path, text: &str, program: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)?;
    if program { fs::set_permissions(path, fs::Permissions::from_mode(0o755)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_placeholder_stays_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        for language in [Language::Rust, Language::Python, Language::C] {
            let place = folder.path().join(format!("{language:?}"));
            write(&place, "data-check", language, None).expect("written");
            let files = [RUST, PYTHON, C].into_iter().flatten().map(|(name, ..)| place.join(name));
            for file in files.filter(|file| file.exists()) {
                let text = fs::read_to_string(&file).expect("text");
                for placeholder in ["{{name}}", "{{kind}}", "{{lib}}", "{{sdk}}"] {
                    assert!(!text.contains(placeholder), "{} has {placeholder}", file.display());
                }
            }
            assert!(matches!(write(&place, "data-check", language, None), Err(TemplateError::Exists(_))));
        }
        for wrong in ["", "Data", "1st", "a b", "../up"] {
            assert!(matches!(
                write(&folder.path().join("x"), wrong, Language::C, None),
                Err(TemplateError::Name(_))
            ));
        }
    }
}
