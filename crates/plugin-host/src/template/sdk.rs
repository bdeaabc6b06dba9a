//! The SDK for Rust as a new project gets it: the two crates that this program was built with, whose versions of other
//! crates are those of this workspace.

use toml::{Table, Value};

/// A crate of the SDK.
struct Crate {
    name: &'static str,
    manifest: &'static str,
    /// The files below `src`.
    sources: &'static [(&'static str, &'static str)],
}

macro_rules! sdk_crate {
    ($name:literal in $folder:literal: $($file:literal)*) => {
        Crate {
            name: $name,
            manifest: include_str!(concat!("../../../", $folder, "/Cargo.toml")),
            sources: &[$(($file, include_str!(concat!("../../../", $folder, "/src/", $file)))),*],
        }
    };
}

const CRATES: [Crate; 2] = [
    sdk_crate!("pipeline-plugin" in "plugin":
        "asking.rs" "lib.rs" "library.rs" "message.rs" "pace.rs" "plugin.rs" "session.rs" "stdio.rs"),
    sdk_crate!("pipeline-sdk" in "sdk":
        "abi.rs" "context.rs" "error.rs" "event.rs" "lib.rs" "manifest.rs" "name.rs" "plan.rs" "registry.rs" "secret.rs"
        "stage.rs" "value.rs" "wire.rs"),
];

/// What both crates inherit from.
const WORKSPACE: &str = include_str!("../../../../Cargo.toml");

/// What a crate needs only where it is developed.
const LEFT_OUT: [&str; 3] = ["dev-dependencies", "example", "lints"];

/// The files of the SDK, with their places below the folder that has it.
pub(super) fn files() -> Result<Vec<(String, String)>, toml::de::Error> {
    let mut files = Vec::new();
    for Crate { name, manifest, sources } in CRATES {
        files.push((format!("{name}/Cargo.toml"), by_itself(manifest)?));
        let sources = sources.iter().map(|(file, text)| (format!("{name}/src/{file}"), (*text).to_owned()));
        files.extend(sources);
    }
    Ok(files)
}

/// The manifest of a crate that inherits nothing.
fn by_itself(manifest: &str) -> Result<String, toml::de::Error> {
    let workspace: Table = WORKSPACE.parse()?;
    let of_workspace = |section: &str| workspace.get("workspace")?.get(section)?.as_table();
    let mut manifest: Table = manifest.parse()?;
    for section in LEFT_OUT {
        manifest.remove(section);
    }
    for section in ["package", "dependencies"] {
        let Some(Value::Table(entries)) = manifest.get_mut(section) else { continue };
        for (key, value) in entries.iter_mut() {
            if CRATES.iter().any(|other| other.name == key) {
                *value = Value::Table(Table::from_iter([("path".to_owned(), format!("../{key}").into())]));
            } else if let Some(inherited) = of_workspace(section).and_then(|entries| entries.get(key)) {
                *value = complete(value, inherited);
            }
        }
    }
    Ok(manifest.to_string())
}

/// `own`, which may say `workspace = true`, with what it inherits.
fn complete(own: &Value, inherited: &Value) -> Value {
    let Some(own) = own.as_table().filter(|own| own.get("workspace") == Some(&Value::Boolean(true))) else {
        return own.clone();
    };
    let further: Vec<_> = own.iter().filter(|(key, _)| *key != "workspace").collect();
    if further.is_empty() {
        return inherited.clone();
    }
    let mut all = match inherited {
        Value::Table(table) => table.clone(),
        version => Table::from_iter([("version".to_owned(), version.clone())]),
    };
    for (key, value) in further {
        match (all.get_mut(key), value) {
            // Features are those of both.
            (Some(Value::Array(features)), Value::Array(more)) => features.extend(more.iter().cloned()),
            _ => {
                all.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Table(all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_source_is_in_it() {
        for (krate, folder) in CRATES.iter().zip(["plugin", "sdk"]) {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join("src");
            let found = std::fs::read_dir(folder).expect("the sources").flatten();
            let found: BTreeSet<_> =
                found.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
            let listed = krate.sources.iter().map(|(file, _)| (*file).to_owned()).collect();
            assert_eq!(found, listed, "{}", krate.name);
        }
    }

    #[test]
    fn a_manifest_inherits_nothing() {
        for (place, text) in files().expect("the SDK") {
            if !place.ends_with("Cargo.toml") {
                continue;
            }
            let manifest: Table = text.parse().expect("TOML");
            assert!(!text.contains("workspace"), "{text}");
            assert_eq!(manifest["package"]["edition"].as_str(), Some("2024"));
            let versions = manifest["dependencies"].as_table().expect("dependencies").values();
            let named = |value: &Value| {
                value.is_str() || ["path", "version"].iter().any(|key| value.get(key).is_some())
            };
            assert!(versions.into_iter().all(named), "{text}");
        }
    }
}
