//! `COPY` and `ADD`: which files land where.

use std::io;
use std::path::Path;
use std::sync::Arc;

use flate2::read::GzDecoder;
use globset::GlobBuilder;

use crate::embedded::{Problem, Site, Workshop};
use crate::program::{Copy, CopySource};
use crate::tree::{Content, Kind, Node, Tree};

/// The layer that the instruction adds to the stage `workshop`.
pub(crate) fn layer(workshop: &Workshop, copy: &Copy, site: &Site<'_>) -> Result<Tree, Problem> {
    let files = site.files(&copy.from)?;
    let destination = workshop.expand(&copy.destination, site)?;
    let sources = sources(workshop, copy, site)?;
    let target = Target::new(workshop, &destination, sources.len())?;
    let owner = copy.chown.as_deref().map(|text| workshop.expand(text, site)).transpose()?;
    let owner = owner.map(|text| owner_of(&workshop.tree, &text)).transpose()?;
    let mut layer = Tree::default();
    for source in sources {
        match source {
            Found::Text(text) => {
                let kind = Kind::File(Content::Bytes(text.into()));
                let path = target.file("heredoc");
                layer.insert(&path, Node { kind, mode: 0o644, uid: 0, gid: 0 });
            }
            Found::Path(path) if files.is_directory(&path) => copy_folder(files, &path, &target, &mut layer),
            Found::Path(path) => copy_file(files, &path, &target, copy.unpack, &mut layer)?,
        }
    }
    for node in layer.nodes.values_mut() {
        (node.uid, node.gid) = owner.unwrap_or((node.uid, node.gid));
        if let Some(mode) = copy.chmod
            && !matches!(node.kind, Kind::Symlink(_))
        {
            node.mode = mode;
        }
    }
    // A folder that is there keeps its own mode and owner, unless it is copied upon.
    let copied: Vec<String> = layer.nodes.keys().cloned().collect();
    for path in copied {
        if target.path.starts_with(&format!("{path}/")) && workshop.tree.is_directory(&path) {
            layer.nodes.remove(&path);
        }
    }
    if workshop.tree.is_directory(&target.path) {
        layer.nodes.remove(&target.path);
    }
    Ok(layer)
}

/// What the instruction copies; an error if a source names nothing.
pub(crate) fn sources(workshop: &Workshop, copy: &Copy, site: &Site<'_>) -> Result<Vec<Found>, Problem> {
    let files = site.files(&copy.from)?;
    let mut sources = Vec::new();
    for source in &copy.sources {
        match source {
            CopySource::Path(path) => {
                let path = workshop.expand(path, site)?;
                sources.extend(found(files, &path)?.into_iter().map(Found::Path));
            }
            CopySource::Text(text, expand) => {
                let text = if *expand { workshop.expand(text, site)? } else { text.clone() };
                sources.push(Found::Text(text));
            }
        }
    }
    Ok(sources)
}

pub(crate) enum Found {
    /// Resolved within the source's files; the root is empty.
    Path(String),
    Text(String),
}

/// The paths that a source names. Patterns are Go's `filepath.Match`.
fn found(files: &Tree, source: &str) -> Result<Vec<String>, Problem> {
    if source.contains(['*', '?', '[']) {
        let pattern = crate::tree::normal(source);
        let glob = GlobBuilder::new(&pattern.replace('{', "[{]").replace('}', "[}]"))
            .literal_separator(true)
            .build()
            .map_err(|error| Problem::Wrong(format!("`{source}` is not a valid pattern: {}", error.kind())))?
            .compile_matcher();
        let paths: Vec<String> =
            files.nodes.keys().filter(|path| glob.is_match(Path::new(path))).cloned().collect();
        return if paths.is_empty() { Err(nothing(source)) } else { Ok(paths) };
    }
    let path = files.resolve(source, true)?;
    if path.is_empty() || files.nodes.contains_key(&path) { Ok(vec![path]) } else { Err(nothing(source)) }
}

fn nothing(source: &str) -> Problem {
    Problem::Wrong(format!(
        "there is no `{source}` to copy: it does not exist, or .dockerignore leaves it out"
    ))
}

/// Where sources go.
struct Target {
    path: String,
    /// Whether files go into `path` under their own names instead of becoming it.
    is_folder: bool,
}

impl Target {
    fn new(workshop: &Workshop, destination: &str, sources: usize) -> Result<Self, Problem> {
        let path = workshop.tree.resolve(&workshop.absolute(destination), true)?;
        let is_folder = destination.ends_with('/')
            || matches!(destination.rsplit('/').next(), Some("." | ".."))
            || workshop.tree.is_directory(&path);
        if sources > 1 && !is_folder {
            let message = format!("`{destination}` must end with `/` where more than one file is copied");
            return Err(Problem::Wrong(message));
        }
        Ok(Self { path, is_folder })
    }

    fn file(&self, name: &str) -> String {
        if self.is_folder { self.below(name) } else { self.path.clone() }
    }

    fn below(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) }
    }
}

/// Copies what is in the folder, not the folder itself.
fn copy_folder(files: &Tree, folder: &str, target: &Target, layer: &mut Tree) {
    if !target.path.is_empty() {
        let own = files.nodes.get(folder).map_or_else(Node::directory, owned_by_root);
        layer.insert(&target.path, own);
    }
    for (path, node) in files.below(folder) {
        let inside = path.strip_prefix(folder).unwrap_or(path).trim_start_matches('/');
        layer.insert(&target.below(inside), owned_by_root(node));
    }
}

/// What is copied belongs to root unless told otherwise, also from another stage.
fn owned_by_root(node: &Node) -> Node {
    Node { uid: 0, gid: 0, ..node.clone() }
}

fn copy_file(
    files: &Tree,
    path: &str,
    target: &Target,
    unpack: bool,
    layer: &mut Tree,
) -> Result<(), Problem> {
    let Some(node) = files.nodes.get(path) else { return Err(nothing(path)) };
    if unpack
        && let Kind::File(content) = &node.kind
        && let Some(unpacked) = unpacked(path, content)?
    {
        for (inside, node) in &unpacked.nodes {
            layer.insert(&target.below(inside), node.clone());
        }
        return Ok(());
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    layer.insert(&target.file(name), owned_by_root(node));
    Ok(())
}

/// The files of an archive that `ADD` unpacks, or nothing if it is none.
fn unpacked(path: &str, content: &Content) -> Result<Option<Tree>, Problem> {
    let mut magic = [0; 265];
    let read = read_up_to(&mut content.reader(), &mut magic)?;
    let is_tar = read > 262 && &magic[257..262] == b"ustar";
    let is_gzip = magic.starts_with(&[0x1f, 0x8b]);
    if magic.starts_with(b"BZh")
        || magic.starts_with(b"\xfd7zXZ")
        || magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
    {
        let message = format!(
            "ADD unpacks `{path}`, which the embedded builder can only for tar and tar.gz: use COPY, or start a Docker daemon"
        );
        return Err(Problem::Wrong(message));
    }
    if !is_tar && !is_gzip {
        return Ok(None);
    }
    let mut archive = tempfile::tempfile()?;
    if is_gzip {
        io::copy(&mut GzDecoder::new(content.reader()), &mut archive)?;
        let file = Content::Slice {
            file: Arc::new(archive.try_clone()?),
            offset: 0,
            len: archive.metadata()?.len(),
        };
        magic = [0; 265];
        let read = read_up_to(&mut file.reader(), &mut magic)?;
        if read <= 262 || &magic[257..262] != b"ustar" {
            return Ok(None);
        }
    } else {
        io::copy(&mut content.reader(), &mut archive)?;
    }
    let mut tree = Tree::default();
    tree.overlay(&Arc::new(archive))?;
    Ok(Some(tree))
}

fn read_up_to(reader: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// `user[:group]` as numbers; names are looked up in the stage's own files. A user without a group
/// gets the group of the same number, as in Docker.
fn owner_of(tree: &Tree, text: &str) -> Result<(u64, u64), Problem> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let uid = number_of(tree, "etc/passwd", user)?;
    let gid = group.map_or(Ok(uid), |group| number_of(tree, "etc/group", group))?;
    Ok((uid, gid))
}

fn number_of(tree: &Tree, database: &str, name: &str) -> Result<u64, Problem> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let mut text = String::new();
    if let Some(Node { kind: Kind::File(content), .. }) = tree.nodes.get(database) {
        io::Read::read_to_string(&mut content.reader(), &mut text)?;
    }
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let line = lines.find(|fields| fields.first() == Some(&name));
    line.and_then(|fields| fields.get(2)?.parse().ok()).ok_or_else(|| {
        Problem::Wrong(format!("--chown: `{name}` is not in the image's /{database}; use a number"))
    })
}
