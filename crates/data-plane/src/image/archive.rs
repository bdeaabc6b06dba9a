//! An image as the archive that `docker load` reads.

use std::io::{self, Write};

use serde_json::json;
use tar::{Builder, Header};

use super::{BlobStore, Digest, Image};

/// Writes `image` to `out`, to be known to Docker as `tag` (`repository:tag`).
///
/// Layers go in as they are: Docker unpacks compressed ones by itself.
///
/// # Errors
/// When a blob is missing, or `out` fails.
pub fn write_docker_archive(store: &BlobStore, image: &Image, tag: &str, out: impl Write) -> io::Result<()> {
    let mut archive = Builder::new(out);
    let config = format!("{}.json", image.config.digest.hex());
    append_blob(&mut archive, store, &image.config.digest, &config)?;
    let mut layers = Vec::new();
    for layer in &image.layers {
        let name = format!("{}/layer.tar", layer.digest.hex());
        // An image may contain the same layer twice (an empty one, for example).
        if !layers.contains(&name) {
            append_blob(&mut archive, store, &layer.digest, &name)?;
        }
        layers.push(name);
    }
    let manifest = json!([{ "Config": config, "RepoTags": [tag], "Layers": layers }]).to_string();
    append(&mut archive, "manifest.json", manifest.len() as u64, manifest.as_bytes())?;
    archive.into_inner()?.flush()
}

fn append_blob(
    archive: &mut Builder<impl Write>,
    store: &BlobStore,
    digest: &Digest,
    name: &str,
) -> io::Result<()> {
    let file = store.reader(digest)?;
    let size = file.metadata()?.len();
    append(archive, name, size, file)
}

fn append(
    archive: &mut Builder<impl Write>,
    name: &str,
    size: u64,
    content: impl io::Read,
) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_size(size);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, content)
}
