//! Unpacking an image into a directory, layer by layer.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};

use super::manifest::Part;
use super::{BlobStore, Image};

/// Marks, in an upper layer, a file of a lower one as deleted.
/// <https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#whiteouts>
const WHITEOUT: &str = ".wh.";
/// Marks a directory whose content in lower layers is hidden.
const OPAQUE: &str = ".wh..wh..opq";

/// Why an image could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// A compression this program does not know.
    #[error(
        "layer {digest} is compressed as '{media_type}', which only the Docker task runtime can read; build the image with gzip layers"
    )]
    Compression {
        /// Digest of the layer.
        digest: String,
        /// Its media type.
        media_type: String,
    },
    /// An entry that would land outside of the image's directory.
    #[error("layer {digest} contains '{path}', which leads out of the image; the image is refused")]
    Escape {
        /// Digest of the layer.
        digest: String,
        /// Path of the entry.
        path: String,
    },
    /// A broken layer, or a full disk.
    #[error("layer {digest} cannot be unpacked: {source}")]
    Layer {
        /// Digest of the layer.
        digest: String,
        /// What happened.
        source: io::Error,
    },
    /// The disk refused.
    #[error("cannot unpack into {path}: {source}")]
    Directory {
        /// Where to.
        path: String,
        /// What happened.
        source: io::Error,
    },
}

/// Unpacks `image` as `target`, which appears only when it is whole. Does nothing if it is there.
///
/// # Errors
/// See [`UnpackError`]; nothing is left behind.
pub fn unpack(store: &BlobStore, image: &Image, target: &Path) -> Result<(), UnpackError> {
    if target.is_dir() {
        return Ok(());
    }
    let failed = |source| UnpackError::Directory { path: target.display().to_string(), source };
    let parent = target.parent().unwrap_or(target);
    fs::create_dir_all(parent).map_err(failed)?;
    let parent = parent.canonicalize().map_err(failed)?;
    let temporary = tempfile::Builder::new().prefix(".unpack-").tempdir_in(parent).map_err(failed)?;
    for layer in &image.layers {
        Layer { store, part: layer, root: temporary.path() }.apply()?;
    }
    fs::set_permissions(temporary.path(), permissions()).map_err(failed)?;
    match fs::rename(temporary.path(), target) {
        Ok(()) => {
            // It has its name now; there is nothing to clean up.
            let _ = temporary.keep();
            Ok(())
        }
        // Somebody else was faster.
        Err(_) if target.is_dir() => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Other users than the owner must be able to enter: programs may run as one.
fn permissions() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    fs::Permissions::from_mode(0o755)
}

struct Layer<'a> {
    store: &'a BlobStore,
    part: &'a Part,
    root: &'a Path,
}

impl Layer<'_> {
    /// Deletes what the layer hides, then adds what it brings. Two passes, because the markers of
    /// a layer concern lower layers only, wherever they stand in it.
    fn apply(&self) -> Result<(), UnpackError> {
        let mut archive = self.archive()?;
        for entry in archive.entries().map_err(|error| self.failed(error))? {
            let entry = entry.map_err(|error| self.failed(error))?;
            let path = entry.path().map_err(|error| self.failed(error))?.into_owned();
            self.hide(&self.inside(&path)?)?;
        }
        let mut archive = self.archive()?;
        for entry in archive.entries().map_err(|error| self.failed(error))? {
            let mut entry = entry.map_err(|error| self.failed(error))?;
            let path = entry.path().map_err(|error| self.failed(error))?.into_owned();
            let inside = self.inside(&path)?;
            let kind = entry.header().entry_type();
            // Device files are for the host to provide, and every container gets its own.
            let special = matches!(kind, EntryType::Block | EntryType::Char | EntryType::Fifo);
            if special || inside.as_os_str().is_empty() || marker(&inside).is_some() {
                continue;
            }
            self.make_way(&inside, kind)?;
            if !entry.unpack_in(self.root).map_err(|error| self.failed(error))? {
                return Err(self.escape(&path));
            }
        }
        Ok(())
    }

    fn archive(&self) -> Result<Archive<Box<dyn Read>>, UnpackError> {
        let file = self.store.reader(&self.part.digest).map_err(|error| self.failed(error))?;
        let reader: BufReader<File> = BufReader::with_capacity(64 << 10, file);
        let media_type = self.part.media_type.as_str();
        let reader: Box<dyn Read> = if media_type.ends_with("gzip") {
            Box::new(MultiGzDecoder::new(reader))
        } else if media_type.ends_with(".tar") {
            Box::new(reader)
        } else {
            let digest = self.part.digest.to_string();
            return Err(UnpackError::Compression { digest, media_type: media_type.to_owned() });
        };
        let mut archive = Archive::new(reader);
        archive.set_overwrite(true);
        archive.set_preserve_permissions(true);
        archive.set_preserve_ownerships(rustix::process::geteuid().is_root());
        archive.set_preserve_mtime(false);
        Ok(archive)
    }

    /// The path as one below the root. Nothing that climbs is accepted.
    fn inside(&self, path: &Path) -> Result<PathBuf, UnpackError> {
        let mut clean = PathBuf::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => clean.push(name),
                Component::CurDir | Component::RootDir => {}
                Component::ParentDir | Component::Prefix(_) => return Err(self.escape(path)),
            }
        }
        Ok(clean)
    }

    /// Deletes what the marker at `path` hides, if it is one.
    fn hide(&self, path: &Path) -> Result<(), UnpackError> {
        let Some(hidden) = marker(path) else { return Ok(()) };
        let Some(parent) = self.existing_parent(path)? else { return Ok(()) };
        let done = match hidden {
            Some(name) => remove(&parent.join(name)),
            None => fs::read_dir(&parent)
                .and_then(|mut entries| entries.try_for_each(|entry| remove(&entry?.path()))),
        };
        done.map_err(|error| self.failed(error))
    }

    /// Removes what stands where a new entry goes, unless a directory goes over a directory.
    fn make_way(&self, path: &Path, kind: EntryType) -> Result<(), UnpackError> {
        let (Some(parent), Some(name)) = (self.existing_parent(path)?, path.file_name()) else {
            return Ok(());
        };
        let old = parent.join(name);
        let Ok(meta) = fs::symlink_metadata(&old) else { return Ok(()) };
        if meta.is_dir() && kind.is_dir() {
            return Ok(());
        }
        remove(&old).map_err(|error| self.failed(error))
    }

    /// The real directory that contains `path`, if it exists. A link that leads out of the root is
    /// refused: following it would change the host.
    fn existing_parent(&self, path: &Path) -> Result<Option<PathBuf>, UnpackError> {
        let parent = self.root.join(path.parent().unwrap_or(Path::new("")));
        match parent.canonicalize() {
            Ok(real) if real.starts_with(self.root) => Ok(Some(real)),
            Ok(_) => Err(self.escape(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, source: io::Error) -> UnpackError {
        UnpackError::Layer { digest: self.part.digest.to_string(), source }
    }

    fn escape(&self, path: &Path) -> UnpackError {
        UnpackError::Escape { digest: self.part.digest.to_string(), path: path.display().to_string() }
    }
}

/// `Some(Some(name))` for the marker of one file, `Some(None)` for that of a whole directory.
fn marker(path: &Path) -> Option<Option<String>> {
    let name = path.file_name()?.to_str()?;
    if name == OPAQUE {
        return Some(None);
    }
    let hidden = name.strip_prefix(WHITEOUT)?;
    // A name like `.wh...` would mean the parent directory.
    (!matches!(hidden, "" | "." | "..")).then(|| Some(hidden.to_owned()))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::RunConfig;

    enum Item<'a> {
        File(&'a str, &'a str),
        Link(&'a str, &'a str),
        Dir(&'a str),
    }

    fn layer(items: &[Item<'_>]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for item in items {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o755);
            header.set_uid(0);
            header.set_gid(0);
            let (path, content) = match item {
                Item::File(path, content) => (path, content.as_bytes()),
                Item::Link(path, to) => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_link_name(to).unwrap();
                    (path, [].as_slice())
                }
                Item::Dir(path) => {
                    header.set_entry_type(EntryType::Directory);
                    (path, [].as_slice())
                }
            };
            header.set_size(content.len() as u64);
            // Written raw: the builder itself refuses paths that climb.
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn unpacked(layers: &[&[Item<'_>]]) -> Result<(tempfile::TempDir, PathBuf), UnpackError> {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let part = |bytes: Vec<u8>, media_type: &str| Part {
            digest: store.insert(&bytes).unwrap(),
            media_type: media_type.to_owned(),
            size: bytes.len() as u64,
            foreign: false,
        };
        let layers: Vec<Part> = layers
            .iter()
            .enumerate()
            .map(|(index, items)| {
                if index % 2 == 0 {
                    return part(layer(items), "application/vnd.oci.image.layer.v1.tar");
                }
                let mut gzip =
                    flate2::read::GzEncoder::new(io::Cursor::new(layer(items)), Default::default());
                let mut bytes = Vec::new();
                gzip.read_to_end(&mut bytes).unwrap();
                part(bytes, "application/vnd.docker.image.rootfs.diff.tar.gzip")
            })
            .collect();
        let config = part(b"{}".to_vec(), "config");
        let image = Image { digest: config.digest.clone(), config, layers, run: RunConfig::default() };
        let target = dir.path().join("rootfs").join("x");
        unpack(&store, &image, &target)?;
        unpack(&store, &image, &target)?;
        Ok((dir, target))
    }

    #[test]
    fn upper_layers_replace_and_hide_lower_ones() {
        let (_dir, root) = unpacked(&[
            &[
                Item::File("a/old", "1"),
                Item::File("a/kept", "1"),
                Item::File("b/gone", "1"),
                Item::File("c", "file"),
                Item::Dir("usr/lib/"),
                Item::Link("lib", "usr/lib"),
            ],
            &[
                Item::File("./a/.wh.old", ""),
                Item::File("b/new", "2"),
                Item::File("b/.wh..wh..opq", ""),
                Item::Dir("c/"),
                Item::File("c/inside", "2"),
                Item::File("lib/x", "2"),
            ],
        ])
        .unwrap();
        let read = |path: &str| fs::read_to_string(root.join(path)).ok();
        assert_eq!(read("a/old"), None);
        assert_eq!(read("a/kept").as_deref(), Some("1"));
        assert_eq!(read("b/gone"), None);
        assert_eq!(read("b/new").as_deref(), Some("2"));
        assert_eq!(read("c/inside").as_deref(), Some("2"));
        assert_eq!(read("usr/lib/x").as_deref(), Some("2"));
    }

    #[test]
    fn nothing_gets_out() {
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("secret");
        fs::write(&secret, "keep").unwrap();
        let out = outside.path().to_str().unwrap();
        let attempts: [&[Item<'_>]; 4] = [
            &[Item::File("../evil", "x")],
            &[Item::Link("out", out), Item::File("out/secret", "x")],
            &[Item::Link("out", out), Item::File("out/evil", "x")],
            &[Item::Link("out", out)],
        ];
        for attempt in &attempts[..3] {
            let error = unpacked(&[attempt]).unwrap_err();
            assert!(matches!(error, UnpackError::Escape { .. } | UnpackError::Layer { .. }), "{error}");
        }
        let error = unpacked(&[attempts[3], &[Item::File("out/.wh.secret", "")]]).unwrap_err();
        assert!(matches!(error, UnpackError::Escape { .. }), "{error}");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "keep");
        assert!(!outside.path().join("evil").exists());
    }
}
