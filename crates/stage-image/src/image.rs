//! An image in pieces: its configuration, its layers, its manifest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::sync::Arc;

use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::inputs::Platform;
use crate::tree::Tree;

pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The time that everything in an image is from, so that the same content is the same image.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// What a container of the image runs: `config` of the image's configuration
/// (github.com/opencontainers/image-spec/blob/main/config.md; `Healthcheck` and `Shell` are Docker's).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct RunConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) user: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub(crate) exposed_ports: Option<BTreeMap<String, Value>>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(crate) env: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(crate) entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(crate) cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(crate) volumes: Option<BTreeMap<String, Value>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) working_dir: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub(crate) labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) stop_signal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) healthcheck: Option<Value>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(crate) shell: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_empty")]
    pub(crate) on_build: Option<Vec<String>>,
    /// What a base image has beside these.
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

fn is_empty<T: Default + PartialEq>(value: &Option<T>) -> bool {
    value.as_ref().is_none_or(|value| *value == T::default())
}

/// The whole configuration of an image, as a base image brings it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct ImageConfig {
    #[serde(default)]
    pub(crate) config: RunConfig,
    #[serde(default)]
    pub(crate) rootfs: RootFs,
    #[serde(default)]
    pub(crate) history: Vec<Value>,
    #[serde(default)]
    pub(crate) author: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct RootFs {
    pub(crate) diff_ids: Vec<String>,
}

/// A layer, compressed, in a temporary file.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) file: Arc<File>,
    pub(crate) media_type: String,
    /// Of the compressed bytes.
    pub(crate) digest: String,
    /// Of the uncompressed bytes.
    pub(crate) diff_id: String,
    pub(crate) size: u64,
}

impl Layer {
    /// Packs `tree`.
    pub(crate) fn pack(tree: &Tree) -> io::Result<Self> {
        let mut file = tempfile::tempfile()?;
        let compressed = Hashing::new(BufWriter::new(&mut file));
        // No name and no time in the gzip header: they would change the digest.
        let gzip = GzBuilder::new().write(compressed, Compression::default());
        let mut plain = Hashing::new(gzip);
        tree.write(&mut plain)?;
        let (gzip, diff_id, _) = plain.end();
        let (mut buffer, digest, size) = gzip.finish()?.end();
        buffer.flush()?;
        drop(buffer);
        file.rewind()?;
        Ok(Self { file: Arc::new(file), media_type: LAYER_TYPE.to_owned(), digest, diff_id, size })
    }
}

/// A finished image.
pub(crate) struct Image {
    pub(crate) layers: Vec<Layer>,
    pub(crate) config: Vec<u8>,
    pub(crate) config_digest: String,
    pub(crate) manifest: Vec<u8>,
    /// The image's digest.
    pub(crate) digest: String,
}

impl Image {
    pub(crate) fn new(
        layers: Vec<Layer>,
        run: &RunConfig,
        history: &[Value],
        author: Option<&str>,
        platform: Platform,
    ) -> serde_json::Result<Self> {
        let mut config = json!({
            "created": EPOCH,
            "architecture": platform.architecture(),
            "os": "linux",
            "config": run,
            "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|l| &l.diff_id).collect::<Vec<_>>() },
            "history": history,
        });
        if let Some(author) = author {
            config["author"] = author.into();
        }
        let config = serde_json::to_vec(&config)?;
        let config_digest = digest(&config);
        let describe = |layer: &Layer| json!({ "mediaType": layer.media_type, "digest": layer.digest, "size": layer.size });
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": { "mediaType": CONFIG_TYPE, "digest": config_digest, "size": config.len() },
            "layers": layers.iter().map(describe).collect::<Vec<_>>(),
        }))?;
        let digest = digest(&manifest);
        Ok(Self { layers, config, config_digest, manifest, digest })
    }
}

/// One line of an image's history.
pub(crate) fn history(instruction: &str, empty_layer: bool) -> Value {
    let mut line = json!({ "created": EPOCH, "created_by": instruction, "comment": "pipeline" });
    if empty_layer {
        line["empty_layer"] = true.into();
    }
    line
}

/// `sha256:…` of `bytes`.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Passes on what is written and hashes and counts it.
pub(crate) struct Hashing<W> {
    out: W,
    hash: Sha256,
    count: u64,
}

impl<W: Write> Hashing<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, hash: Sha256::new(), count: 0 }
    }

    /// The writer below, the digest and the number of bytes.
    pub(crate) fn end(self) -> (W, String, u64) {
        (self.out, format!("sha256:{}", hex::encode(self.hash.finalize())), self.count)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
