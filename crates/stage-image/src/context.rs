//! The build context: which files a build sees, as an archive that is the same on every machine.
//!
//! The archive is what gets hashed into the fingerprint and, byte for byte, what gets built: nothing
//! can change in between. Times and owners are left out, as are the permission bits that depend on
//! the umask of whoever checked the files out.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pipeline_sdk::{CancellationToken, StageError};
use tar::{Builder, EntryType};

use crate::ignorefile::IgnoreFile;
use crate::tree::{Content, Kind, Node, Tree, header};

/// What a Dockerfile from outside of the context is called inside the archive.
const OUTSIDE: &str = ".pipeline.Dockerfile";

/// A build context and its Dockerfile.
pub(crate) struct BuildContext {
    root: PathBuf,
    /// The Dockerfile's place on disk.
    pub(crate) dockerfile: PathBuf,
    /// Its name inside the archive.
    pub(crate) dockerfile_name: String,
    ignore: IgnoreFile,
}

impl BuildContext {
    /// Finds the context and its Dockerfile; both must exist.
    pub(crate) fn locate(directory: &Path, context: &str, dockerfile: &str) -> Result<Self, StageError> {
        let root = directory.join(context);
        if !root.is_dir() {
            let path = root.display();
            return Err(StageError::input("context", format!("there is no folder {path}")));
        }
        let path = root.join(dockerfile);
        if !path.is_file() {
            let message = format!(
                "there is no Dockerfile {}; `dockerfile` is relative to `context` ({context})",
                path.display()
            );
            return Err(StageError::input("dockerfile", message));
        }
        let dockerfile_name = name_inside(&root, &path).unwrap_or_else(|| OUTSIDE.to_owned());
        let ignore = read_ignore_file(&root, &path)?;
        Ok(Self { root, dockerfile: path, dockerfile_name, ignore })
    }

    pub(crate) fn read_dockerfile(&self) -> Result<String, StageError> {
        fs::read_to_string(&self.dockerfile).map_err(|error| {
            StageError::input("dockerfile", format!("{}: {error}", self.dockerfile.display()))
        })
    }

    /// Writes the archive. The Dockerfile is in it even if the ignore file leaves it out.
    pub(crate) fn write_archive(
        &self,
        out: &mut dyn Write,
        cancel: &CancellationToken,
    ) -> Result<(), StageError> {
        let mut tar = Builder::new(out);
        if self.dockerfile_name == OUTSIDE {
            append_path(&mut tar, &self.dockerfile, OUTSIDE).map_err(at(&self.dockerfile))?;
        }
        self.walk("", cancel, &mut |path, inside| append_path(&mut tar, path, inside))?;
        tar.finish().map_err(at(&self.root))
    }

    /// The names of all that a `COPY` sees; the files are empty.
    pub(crate) fn names(&self, cancel: &CancellationToken) -> Result<Tree, StageError> {
        let mut tree = Tree::default();
        self.walk("", cancel, &mut |path, inside| {
            if let Some(kind) = kind(path)? {
                tree.insert(inside, Node { kind, ..Node::directory() });
            }
            Ok(())
        })?;
        self.hide(&mut tree);
        Ok(tree)
    }

    /// Visits what is in `folder` and not left out: its place, and its name inside the archive. Every folder comes
    /// before what is in it.
    fn walk(
        &self,
        folder: &str,
        cancel: &CancellationToken,
        visit: &mut dyn FnMut(&Path, &str) -> io::Result<()>,
    ) -> Result<(), StageError> {
        let path = self.root.join(folder);
        for name in sorted_names(&path).map_err(at(&path))? {
            if cancel.is_cancelled() {
                return Err(StageError::Cancelled);
            }
            let path = self.root.join(folder).join(&name);
            let inside = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let left_out = inside != self.dockerfile_name && self.ignore.leaves_out(&inside);
            let is_folder = fs::symlink_metadata(&path).map_err(at(&path))?.is_dir();
            if !left_out {
                visit(&path, &inside).map_err(at(&path))?;
            }
            let may_hold_more =
                self.ignore.brings_back() || self.dockerfile_name.starts_with(&format!("{inside}/"));
            if is_folder && (!left_out || may_hold_more) {
                self.walk(&inside, cancel, visit)?;
            }
        }
        Ok(())
    }

    /// Removes what only the build itself may see from the archive's files.
    pub(crate) fn hide(&self, tree: &mut Tree) {
        let hidden = self.dockerfile_name == OUTSIDE || self.ignore.leaves_out(&self.dockerfile_name);
        if hidden {
            tree.nodes.remove(&self.dockerfile_name);
        }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StageError {
    let path = path.display().to_string();
    move |error| {
        StageError::failed(format!("cannot read the build context at {path}: {error}"))
            .with_help("make the file readable, or leave it out with .dockerignore")
    }
}

fn sorted_names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        names.push(name.into_string().map_err(|name| {
            io::Error::other(format!("the name of `{}` is not UTF-8", name.to_string_lossy()))
        })?);
    }
    names.sort_unstable();
    Ok(names)
}

/// What is at `path`, without its content; nothing for what has no place in an image.
fn kind(path: &Path) -> io::Result<Option<Kind>> {
    let metadata = fs::symlink_metadata(path)?;
    Ok(if metadata.is_dir() {
        Some(Kind::Directory)
    } else if metadata.is_symlink() {
        Some(Kind::Symlink(fs::read_link(path)?.to_string_lossy().into_owned()))
    } else {
        metadata.is_file().then(|| Kind::File(Content::Bytes(Bytes::new())))
    })
}

/// Appends what is at `path`; sockets, pipes and devices have no place in an image.
fn append_path<W: Write>(tar: &mut Builder<W>, path: &Path, inside: &str) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    let mut header = header(mode(&metadata), 0, 0);
    header.set_size(0);
    if metadata.is_dir() {
        header.set_entry_type(EntryType::Directory);
        tar.append_data(&mut header, format!("{inside}/"), io::empty())
    } else if metadata.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        header.set_mode(0o777);
        tar.append_link(&mut header, inside, fs::read_link(path)?)
    } else if metadata.is_file() {
        header.set_entry_type(EntryType::Regular);
        header.set_size(metadata.len());
        let mut content = Exactly { file: File::open(path)?, left: metadata.len() };
        tar.append_data(&mut header, inside, &mut content)
    } else {
        Ok(())
    }
}

fn mode(metadata: &Metadata) -> u32 {
    metadata.permissions().mode() & 0o7755
}

/// Reads as many bytes as the archive's header promised; a file that shrinks is an error.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::other("the file was changed while it was read"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

fn name_inside(root: &Path, path: &Path) -> Option<String> {
    let (root, path) = (root.canonicalize().ok()?, path.canonicalize().ok()?);
    Some(path.strip_prefix(root).ok()?.to_str()?.to_owned())
}

/// `NAME.dockerignore` beside the Dockerfile wins over `.dockerignore` in the context.
fn read_ignore_file(root: &Path, dockerfile: &Path) -> Result<IgnoreFile, StageError> {
    let mut own = dockerfile.as_os_str().to_owned();
    own.push(".dockerignore");
    for path in [PathBuf::from(own), root.join(".dockerignore")] {
        match fs::read_to_string(&path) {
            Ok(text) => {
                return IgnoreFile::parse(&text)
                    .map_err(|error| StageError::input("context", format!("{}: {error}", path.display())));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(StageError::input("context", format!("{}: {error}", path.display())));
            }
        }
    }
    IgnoreFile::parse("").map_err(|error| StageError::input("context", error.to_string()))
}
