//! What an image is made of, and the fingerprint of that: the same recipe is the same image.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use pipeline_sdk::{CancellationToken, StageError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::context::BuildContext;
use crate::inputs::Platform;

/// Everything that decides what is in an image. Paths are as the user wrote them, so that a saved
/// plan can be applied from another place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recipe {
    pub(crate) context: String,
    pub(crate) dockerfile: String,
    pub(crate) platform: Platform,
    pub(crate) target: Option<String>,
    pub(crate) build_args: BTreeMap<String, String>,
}

/// The build context as it was when its fingerprint was taken; nobody can change it any more.
pub(crate) struct Snapshot {
    /// The archive.
    pub(crate) archive: Arc<File>,
    pub(crate) fingerprint: String,
}

impl Recipe {
    pub(crate) fn locate(&self, directory: &Path) -> Result<BuildContext, StageError> {
        BuildContext::locate(directory, &self.context, &self.dockerfile)
    }

    /// The fingerprint: 12 hexadecimal digits. Reads every file of the context.
    pub(crate) fn fingerprint(
        &self,
        context: &BuildContext,
        cancel: &CancellationToken,
    ) -> Result<String, StageError> {
        let mut hash = self.hash(context);
        context.write_archive(&mut HashWriter { hash: &mut hash, copy: None }, cancel)?;
        Ok(shorten(hash))
    }

    /// The fingerprint, and a copy of the archive that it is of.
    pub(crate) fn snapshot(
        &self,
        context: &BuildContext,
        cancel: &CancellationToken,
    ) -> Result<Snapshot, StageError> {
        let failed = |error: io::Error| {
            StageError::failed(format!("cannot copy the build context to a temporary file: {error}"))
                .with_help("make room in the folder for temporary files, or set TMPDIR")
        };
        let mut archive = tempfile::tempfile().map_err(failed)?;
        let mut hash = self.hash(context);
        let mut copy = BufWriter::with_capacity(1 << 16, &mut archive);
        context.write_archive(&mut HashWriter { hash: &mut hash, copy: Some(&mut copy) }, cancel)?;
        copy.flush().map_err(failed)?;
        drop(copy);
        archive.rewind().map_err(failed)?;
        Ok(Snapshot { archive: Arc::new(archive), fingerprint: shorten(hash) })
    }

    /// The hash of everything but the files. Each part ends with a zero byte, which none contains,
    /// so that no two recipes write the same bytes.
    fn hash(&self, context: &BuildContext) -> Sha256 {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update(text);
            hash.update([0]);
        };
        part("pipeline image 1");
        part(&context.dockerfile_name);
        part(self.platform.as_str());
        part(self.target.as_deref().unwrap_or_default());
        for (name, value) in &self.build_args {
            part(name);
            part(value);
        }
        part("");
        hash
    }
}

fn shorten(hash: Sha256) -> String {
    hex::encode(&hash.finalize()[..6])
}

/// Hashes what is written, and passes it on if there is somewhere to.
struct HashWriter<'a> {
    hash: &'a mut Sha256,
    copy: Option<&'a mut dyn Write>,
}

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(copy) = &mut self.copy {
            copy.write_all(bytes)?;
        }
        self.hash.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use proptest::prelude::*;

    use super::*;

    fn recipe() -> Recipe {
        Recipe {
            context: ".".into(),
            dockerfile: "Dockerfile".into(),
            platform: Platform::LinuxAmd64,
            target: None,
            build_args: BTreeMap::from([("VERSION".into(), "1".into())]),
        }
    }

    fn write(root: &Path, files: &BTreeMap<String, Vec<u8>>) {
        for (name, content) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, content).expect("a file");
        }
    }

    fn fingerprint(root: &Path, recipe: &Recipe) -> String {
        let context = recipe.locate(root).expect("a context");
        recipe.fingerprint(&context, &CancellationToken::new()).expect("a fingerprint")
    }

    fn folder(files: &BTreeMap<String, Vec<u8>>) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("Dockerfile"), "FROM scratch\nCOPY . /\n").expect("a file");
        write(folder.path(), files);
        folder
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// The same files in another folder, at another time, by another umask are the same image;
        /// any other content, name or build argument is another one.
        #[test]
        fn only_the_recipe_decides(
            files in prop::collection::btree_map("[a-c]{1,3}/[x-z]{1,3}", prop::collection::vec(any::<u8>(), 0..64), 1..6),
            victim in any::<prop::sample::Index>(),
        ) {
            let (first, second) = (folder(&files), folder(&files));
            for name in files.keys() {
                let path = second.path().join(name);
                fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).expect("permissions");
            }
            let before = fingerprint(first.path(), &recipe());
            prop_assert_eq!(&before, &fingerprint(second.path(), &recipe()));

            let name = files.keys().nth(victim.index(files.len())).expect("a file");
            let path = second.path().join(name);
            let mut content = files[name].clone();
            content.push(0);
            fs::write(&path, &content).expect("a file");
            prop_assert_ne!(&before, &fingerprint(second.path(), &recipe()));
            fs::write(&path, &files[name]).expect("a file");
            fs::rename(&path, path.with_extension("renamed")).expect("renamed");
            prop_assert_ne!(&before, &fingerprint(second.path(), &recipe()));
        }
    }

    #[test]
    fn arguments_platform_and_target_count() {
        let folder = folder(&BTreeMap::new());
        let base = fingerprint(folder.path(), &recipe());
        let others = [
            Recipe { platform: Platform::LinuxArm64, ..recipe() },
            Recipe { target: Some("test".into()), ..recipe() },
            Recipe { build_args: BTreeMap::new(), ..recipe() },
        ];
        for other in others {
            assert_ne!(base, fingerprint(folder.path(), &other), "{other:?}");
        }
    }

    #[test]
    fn ignored_files_do_not_count_and_the_dockerfile_always_does() {
        let files = BTreeMap::from([
            (".dockerignore".to_owned(), b"*\n!keep\n".to_vec()),
            ("keep/a".to_owned(), b"1".to_vec()),
            ("target/b".to_owned(), b"1".to_vec()),
        ]);
        let folder = folder(&files);
        let before = fingerprint(folder.path(), &recipe());
        fs::write(folder.path().join("target/b"), "2").expect("a file");
        assert_eq!(before, fingerprint(folder.path(), &recipe()));
        fs::write(folder.path().join("Dockerfile"), "FROM scratch\n").expect("a file");
        assert_ne!(before, fingerprint(folder.path(), &recipe()));
    }

    #[test]
    fn a_snapshot_is_what_the_fingerprint_says() {
        let folder = folder(&BTreeMap::from([("a".to_owned(), b"1".to_vec())]));
        symlink("a", folder.path().join("link")).expect("a link");
        let context = recipe().locate(folder.path()).expect("a context");
        let snapshot = recipe().snapshot(&context, &CancellationToken::new()).expect("a snapshot");
        assert_eq!(snapshot.fingerprint, fingerprint(folder.path(), &recipe()));
        let names: Vec<String> = tar::Archive::new(&*snapshot.archive)
            .entries()
            .expect("entries")
            .map(|entry| entry.expect("an entry").path().expect("a path").display().to_string())
            .collect();
        assert_eq!(names, ["Dockerfile", "a", "link"]);
    }

    #[test]
    fn a_missing_dockerfile_or_context_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = recipe().locate(folder.path()).err().expect("no Dockerfile").to_string();
        assert!(error.starts_with("`dockerfile`: there is no Dockerfile /"), "{error}");
        let nowhere = Recipe { context: "nowhere".into(), ..recipe() };
        let error = nowhere.locate(folder.path()).err().expect("no folder").to_string();
        assert!(
            error.starts_with("`context`: there is no folder /") && error.ends_with("/nowhere"),
            "{error}"
        );
    }
}
