//! Files as an image has them: a build context, a layer, the root file system of a stage.
//!
//! File contents are not held in memory: they are slices of temporary files that nobody else writes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use tar::{Builder, EntryType, Header};

/// How many symbolic links are followed before it must be a loop.
const LINK_LIMIT: usize = 40;

/// Where the bytes of a file are.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Slice { file: Arc<File>, offset: u64, len: u64 },
    Bytes(Bytes),
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Slice { len, .. } => *len,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    pub(crate) fn reader(&self) -> ContentReader {
        ContentReader { content: self.clone(), position: 0 }
    }
}

/// Reads a [`Content`] without moving the file's own cursor, which is shared.
pub(crate) struct ContentReader {
    content: Content,
    position: u64,
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.content.len() - self.position;
        let most = buffer.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        let read = match &self.content {
            Content::Slice { file, offset, .. } => {
                file.read_at(&mut buffer[..most], offset + self.position)?
            }
            Content::Bytes(bytes) => {
                let start = usize::try_from(self.position).map_err(io::Error::other)?;
                buffer[..most].copy_from_slice(&bytes[start..start + most]);
                most
            }
        };
        self.position += read as u64;
        Ok(read)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Directory,
    File(Content),
    Symlink(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
}

impl Node {
    pub(crate) fn directory() -> Self {
        Self { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0 }
    }
}

/// Files by their path, relative to the root, without leading or trailing slash. The order of the
/// map puts every folder before what is in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    pub(crate) nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Lays a tar archive over the tree, as a layer is: deletions (`.wh.` files) included.
    pub(crate) fn overlay(&mut self, archive: &Arc<File>) -> io::Result<()> {
        let whole = Content::Slice { file: Arc::clone(archive), offset: 0, len: archive.metadata()?.len() };
        let mut tar = tar::Archive::new(whole.reader());
        for entry in tar.entries()? {
            let entry = entry?;
            let path = entry.path()?;
            let path = path.to_str().ok_or_else(|| io::Error::other("a file name is not UTF-8"))?;
            let path = normal(path);
            if path.is_empty() || self.deleted(&path) {
                continue;
            }
            let header = entry.header();
            let kind = match header.entry_type() {
                EntryType::Directory => Kind::Directory,
                EntryType::Symlink => Kind::Symlink(link_name(&entry)?),
                EntryType::Link => match self.nodes.get(&normal(&link_name(&entry)?)) {
                    Some(Node { kind, .. }) => kind.clone(),
                    None => continue,
                },
                EntryType::Regular | EntryType::Continuous => Kind::File(Content::Slice {
                    file: Arc::clone(archive),
                    offset: entry.raw_file_position(),
                    len: entry.size(),
                }),
                // Devices and pipes: nothing that a COPY could copy.
                _ => continue,
            };
            let node = Node { kind, mode: header.mode()? & 0o7777, uid: header.uid()?, gid: header.gid()? };
            self.insert(&path, node);
        }
        Ok(())
    }

    fn deleted(&mut self, path: &str) -> bool {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(name) = name.strip_prefix(".wh.") else { return false };
        if name == ".wh..opq" {
            self.nodes.retain(|other, _| !is_below(other, parent));
        } else {
            let gone = if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") };
            self.remove(&gone);
        }
        true
    }

    fn remove(&mut self, path: &str) {
        self.nodes.retain(|other, _| other != path && !is_below(other, path));
    }

    /// Puts `node` at `path`; folders on the way that are missing come to be. A folder that is there
    /// already keeps what is in it.
    pub(crate) fn insert(&mut self, path: &str, node: Node) {
        for (slash, _) in path.match_indices('/') {
            let parent = &path[..slash];
            if !self.nodes.contains_key(parent) {
                self.nodes.insert(parent.to_owned(), Node::directory());
            }
        }
        let is_directory = matches!(node.kind, Kind::Directory);
        if let Some(old) = self.nodes.insert(path.to_owned(), node)
            && matches!(old.kind, Kind::Directory)
            && !is_directory
        {
            self.nodes.retain(|other, _| !is_below(other, path));
        }
    }

    /// Lays `layer` over the tree.
    pub(crate) fn merge(&mut self, layer: &Tree) {
        for (path, node) in &layer.nodes {
            self.insert(path, node.clone());
        }
    }

    /// What is below the folder `path`; everything for the root.
    pub(crate) fn below<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (&'a str, &'a Node)> {
        self.nodes
            .iter()
            .map(|(path, node)| (path.as_str(), node))
            .filter(move |(other, _)| is_below(other, path))
    }

    /// Whether `path` is a folder; the root is.
    pub(crate) fn is_directory(&self, path: &str) -> bool {
        path.is_empty() || matches!(self.nodes.get(path), Some(Node { kind: Kind::Directory, .. }))
    }

    /// `path` with the symbolic links on its way followed, and the one at its end too if
    /// `follow_last`. Links never lead out of the root.
    pub(crate) fn resolve(&self, path: &str, follow_last: bool) -> io::Result<String> {
        let mut rest: Vec<String> = parts(path).rev().map(str::to_owned).collect();
        let mut done: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == ".." {
                done.pop();
                continue;
            }
            done.push(part);
            if rest.is_empty() && !follow_last {
                break;
            }
            if let Some(Node { kind: Kind::Symlink(target), .. }) = self.nodes.get(&done.join("/")) {
                links += 1;
                if links > LINK_LIMIT {
                    return Err(io::Error::other(format!("`{path}` is a loop of symbolic links")));
                }
                done.pop();
                if target.starts_with('/') {
                    done.clear();
                }
                rest.extend(parts(target).rev().map(str::to_owned));
            }
        }
        Ok(done.join("/"))
    }

    /// The text of the file at `path`.
    pub(crate) fn read_text(&self, path: &str) -> io::Result<String> {
        let Some(Node { kind: Kind::File(content), .. }) = self.nodes.get(path) else {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no file {path}")));
        };
        let mut text = String::new();
        content.reader().read_to_string(&mut text)?;
        Ok(text)
    }

    /// Writes the tree as a tar archive that depends on nothing but the tree.
    pub(crate) fn write(&self, out: impl Write) -> io::Result<()> {
        let mut tar = Builder::new(out);
        for (path, node) in &self.nodes {
            append(&mut tar, path, node)?;
        }
        tar.into_inner()?.flush()
    }
}

/// Appends one node. Every field of the header that does not come from `node` is fixed.
pub(crate) fn append<W: Write>(tar: &mut Builder<W>, path: &str, node: &Node) -> io::Result<()> {
    let mut header = header(node.mode, node.uid, node.gid);
    match &node.kind {
        Kind::Directory => {
            header.set_entry_type(EntryType::Directory);
            header.set_size(0);
            tar.append_data(&mut header, format!("{path}/"), io::empty())
        }
        Kind::File(content) => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(content.len());
            tar.append_data(&mut header, path, content.reader())
        }
        Kind::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, path, target)
        }
    }
}

/// A header without a time and without names of users.
pub(crate) fn header(mode: u32, uid: u64, gid: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(mode);
    header.set_uid(uid);
    header.set_gid(gid);
    header.set_mtime(0);
    header
}

fn link_name<R: Read>(entry: &tar::Entry<'_, R>) -> io::Result<String> {
    let name = entry.link_name()?.ok_or_else(|| io::Error::other("a link without a target"))?;
    name.to_str().map(str::to_owned).ok_or_else(|| io::Error::other("a link's target is not UTF-8"))
}

fn is_below(path: &str, parent: &str) -> bool {
    parent.is_empty() || path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'))
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
}

/// `path` relative to the root, without `.`, `..` and doubled slashes; `..` at the root stays there.
pub(crate) fn normal(path: &str) -> String {
    let mut done: Vec<&str> = Vec::new();
    for part in parts(path) {
        if part == ".." {
            done.pop();
        } else {
            done.push(part);
        }
    }
    done.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &'static str) -> Node {
        Node { kind: Kind::File(Content::Bytes(text.into())), mode: 0o644, uid: 0, gid: 0 }
    }

    fn link(target: &str) -> Node {
        Node { kind: Kind::Symlink(target.into()), mode: 0o777, uid: 0, gid: 0 }
    }

    fn stored(tree: &Tree) -> Arc<File> {
        let file = tempfile::tempfile().expect("a file");
        tree.write(&file).expect("writes");
        Arc::new(file)
    }

    fn paths(tree: &Tree) -> Vec<&str> {
        tree.nodes.keys().map(String::as_str).collect()
    }

    #[test]
    fn a_tree_survives_an_archive() {
        let mut tree = Tree::default();
        let long = format!("deep/{}", "x".repeat(150));
        tree.insert("bin/app", file("content"));
        tree.insert("sh", link("bin/app"));
        tree.insert(&long, file(""));
        let mut read = Tree::default();
        read.overlay(&stored(&tree)).expect("reads");
        assert_eq!(paths(&read), paths(&tree));
        let Kind::File(content) = &read.nodes["bin/app"].kind else { panic!("not a file") };
        let mut text = String::new();
        content.reader().read_to_string(&mut text).expect("text");
        assert_eq!(text, "content");
    }

    #[test]
    fn a_layer_deletes_and_replaces() {
        let mut tree = Tree::default();
        for path in ["a/1", "a/2", "b/1", "c"] {
            tree.insert(path, file(""));
        }
        let mut layer = Tree::default();
        layer.insert("a/.wh.1", file(""));
        layer.insert("b/.wh..wh..opq", file(""));
        layer.insert("c", Node::directory());
        tree.overlay(&stored(&layer)).expect("reads");
        assert_eq!(paths(&tree), ["a", "a/2", "b", "c"]);
    }

    #[test]
    fn links_are_followed_within_the_root() {
        let mut tree = Tree::default();
        tree.insert("usr/bin/app", file(""));
        tree.insert("bin", link("usr/bin"));
        tree.insert("up", link("../../../bin/app"));
        tree.insert("loop", link("loop"));
        assert_eq!(tree.resolve("/bin/app", false).expect("resolves"), "usr/bin/app");
        assert_eq!(tree.resolve("up", true).expect("resolves"), "usr/bin/app");
        assert_eq!(tree.resolve("up", false).expect("resolves"), "up");
        assert!(tree.resolve("loop", true).is_err());
    }
}
