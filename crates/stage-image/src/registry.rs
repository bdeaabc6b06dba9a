//! Talks to a registry as the OCI distribution specification says: pushes what the embedded builder
//! made, pulls base images, adds tags.
//!
//! Each blob goes up in one piece: ECR keeps only the first chunk of a chunked upload
//! (aws/containers-roadmap#2831).

use std::future::Future;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use hyper::header::HeaderValue;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{ImageIndexEntry, OciDescriptor};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use pipeline_sdk::{Context, StageError};

use crate::embedded::PulledImage;
use crate::image::{Hashing, Image, Layer, MANIFEST_TYPE};
use crate::inputs::Platform;
use crate::repository::{Login, RepositoryUrl, is_loopback};
use crate::tree::Content;

/// How often a request is tried that fails in a way that may pass.
const TRIES: u32 = 4;

/// How many blobs go up at once.
const UPLOADS: usize = 3;

/// How much of a blob is read at once.
const CHUNK: usize = 1 << 16;

const MANIFEST_TYPES: &[&str] = &[
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// A registry and who we are there.
pub(crate) struct Registry {
    client: Client,
    auth: RegistryAuth,
}

impl Registry {
    /// A client for the registry at `host`.
    pub(crate) fn new(host: &str, login: Option<&Login>, platform: Platform) -> Result<Self, StageError> {
        // A second installation fails, and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plain = if is_loopback(host) { vec![host.to_owned()] } else { Vec::new() };
        let config = ClientConfig {
            protocol: ClientProtocol::HttpsExcept(plain),
            use_monolithic_push: true,
            platform_resolver: Some(Box::new(move |entries| choose(entries, platform))),
            connect_timeout: Some(Duration::from_secs(10)),
            read_timeout: Some(Duration::from_secs(60)),
            user_agent: concat!("pipeline/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client =
            Client::try_from(config).map_err(|error| failed(&format!("cannot talk to {host}"), &error))?;
        let auth = match login {
            Some(login) => RegistryAuth::Basic(login.user.clone(), login.password.clone()),
            None => RegistryAuth::Anonymous,
        };
        Ok(Self { client, auth })
    }

    /// Pushes `image` under `tag`. What the registry has already is not sent again.
    pub(crate) async fn push(
        &self,
        cx: &Context,
        image: &Image,
        repository: &RepositoryUrl,
        tag: &str,
    ) -> Result<(), StageError> {
        let reference = reference(repository, tag);
        self.client.store_auth_if_needed(reference.resolve_registry(), &self.auth).await;
        let count = image.layers.len();
        let layers = image.layers.iter().enumerate().map(|(index, layer)| {
            let reference = &reference;
            async move {
                let size = megabytes(layer.size);
                let content = Content::Slice { file: Arc::clone(&layer.file), offset: 0, len: layer.size };
                let what = format!("layer {} of {count}", index + 1);
                let sent = self.push_blob(reference, &layer.digest, &content, &what).await?;
                cx.note(if sent {
                    format!("pushed {what} ({size})")
                } else {
                    format!("{what} is there already")
                });
                Ok::<_, StageError>(())
            }
            .boxed()
        });
        // Boxed, twice: the compiler cannot see otherwise that the whole is `Send`.
        stream::iter(layers).boxed().buffer_unordered(UPLOADS).try_collect::<()>().await?;
        let config = Content::Bytes(image.config.clone().into());
        self.push_blob(&reference, &image.config_digest, &config, "the image's configuration").await?;
        self.push_manifest(&reference, image.manifest.clone().into(), MANIFEST_TYPE).await
    }

    /// Returns whether the blob had to be sent.
    async fn push_blob(
        &self,
        reference: &Reference,
        digest: &str,
        content: &Content,
        what: &str,
    ) -> Result<bool, StageError> {
        let there = retried(|| self.client.blob_exists(reference, digest)).await;
        if there
            .map_err(|error| failed(&format!("cannot ask {} for {what}", reference.registry()), &error))?
        {
            return Ok(false);
        }
        let push =
            || self.client.push_blob_stream(reference, blob_stream(content), digest, Some(content.len()));
        retried(push)
            .await
            .map_err(|error| failed(&format!("cannot push {what} to {}", reference.registry()), &error))?;
        Ok(true)
    }

    async fn push_manifest(
        &self,
        reference: &Reference,
        manifest: Bytes,
        media_type: &str,
    ) -> Result<(), StageError> {
        let action = format!("cannot push {}", reference.whole());
        let media_type = HeaderValue::from_str(media_type)
            .map_err(|_| StageError::failed(format!("{action}: its media type is not a header")))?;
        let push = || self.client.push_manifest_raw(reference, manifest.clone(), media_type.clone());
        retried(push).await.map(drop).map_err(|error| failed(&action, &error))
    }

    /// Gives the image with `digest` one more tag; no layer is sent.
    pub(crate) async fn tag(
        &self,
        repository: &RepositoryUrl,
        digest: &str,
        tag: &str,
    ) -> Result<(), StageError> {
        let source =
            Reference::with_digest(repository.host.clone(), repository.name.clone(), digest.to_owned());
        let pull = || self.client.pull_manifest_raw(&source, &self.auth, MANIFEST_TYPES);
        let (manifest, _) = retried(pull)
            .await
            .map_err(|error| failed(&format!("cannot read {}", source.whole()), &error))?;
        // The answer's media type may carry a parameter, which ECR refuses: the manifest says its own.
        let own: serde_json::Value = serde_json::from_slice(&manifest).unwrap_or_default();
        let media_type = own["mediaType"].as_str().unwrap_or(MANIFEST_TYPE).to_owned();
        self.push_manifest(&reference(repository, tag), manifest, &media_type).await
    }

    /// Pulls an image for `COPY` and `FROM`.
    pub(crate) async fn pull(&self, name: &Reference) -> Result<PulledImage, StageError> {
        let action = format!("cannot pull {}", name.whole());
        let pull = || self.client.pull_manifest_and_config(name, &self.auth);
        let (manifest, _, config) = retried(pull).await.map_err(|error| failed(&action, &error))?;
        let config: crate::image::ImageConfig = serde_json::from_str(&config).map_err(|error| {
            StageError::failed(format!("{action}: its configuration cannot be read: {error}"))
        })?;
        if config.config.on_build.as_ref().is_some_and(|triggers| !triggers.is_empty()) {
            return Err(StageError::failed(format!(
                "{} has ONBUILD instructions, which the embedded builder does not carry out",
                name.whole()
            ))
            .with_help("start a Docker daemon, or build upon another image"));
        }
        let mut image = PulledImage { config, ..PulledImage::default() };
        for (index, descriptor) in manifest.layers.iter().enumerate() {
            let plain = self.pull_layer(name, descriptor, index, &mut image).await?;
            image
                .tree
                .overlay(&plain)
                .map_err(|error| StageError::failed(format!("{action}: layer {}: {error}", index + 1)))?;
        }
        Ok(image)
    }

    /// Adds the layer to `image`; returns its uncompressed archive.
    async fn pull_layer(
        &self,
        name: &Reference,
        descriptor: &OciDescriptor,
        index: usize,
        image: &mut PulledImage,
    ) -> Result<Arc<std::fs::File>, StageError> {
        let action = format!("cannot pull layer {} of {}", index + 1, name.whole());
        let io = |error: std::io::Error| StageError::failed(format!("{action}: {error}"));
        // The client compares the digest while it reads.
        let mut blob =
            self.client.pull_blob_stream(name, descriptor).await.map_err(|error| failed(&action, &error))?;
        let mut file = tempfile::tempfile().map_err(io)?;
        while let Some(bytes) = blob.try_next().await.map_err(io)? {
            file.write_all(&bytes).map_err(io)?;
        }
        let size = file.metadata().map_err(io)?.len();
        let file = Arc::new(file);
        let stored = Content::Slice { file: Arc::clone(&file), offset: 0, len: size };
        let media_type = descriptor.media_type.as_str();
        let plain = if media_type.ends_with("gzip") {
            let (plain, _, _) = unpack(GzDecoder::new(stored.reader())).map_err(io)?;
            Arc::new(plain)
        } else if media_type.ends_with("tar") {
            Arc::clone(&file)
        } else {
            return Err(StageError::failed(format!(
                "{action}: the embedded builder cannot read {media_type}"
            ))
            .with_help("start a Docker daemon, or build upon an image with gzip layers"));
        };
        let diff_id = image.config.rootfs.diff_ids.get(index).cloned().unwrap_or_default();
        let media_type = match media_type {
            "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
                "application/vnd.oci.image.layer.v1.tar+gzip"
            }
            "application/vnd.docker.image.rootfs.diff.tar" => "application/vnd.oci.image.layer.v1.tar",
            other => other,
        };
        image.layers.push(Layer {
            file,
            media_type: media_type.to_owned(),
            digest: descriptor.digest.clone(),
            diff_id,
            size,
        });
        Ok(plain)
    }
}

fn unpack(mut from: impl Read) -> std::io::Result<(std::fs::File, String, u64)> {
    let mut out = Hashing::new(tempfile::tempfile()?);
    std::io::copy(&mut from, &mut out)?;
    Ok(out.end())
}

fn reference(repository: &RepositoryUrl, tag: &str) -> Reference {
    Reference::with_tag(repository.host.clone(), repository.name.clone(), tag.to_owned())
}

fn choose(entries: &[ImageIndexEntry], platform: Platform) -> Option<String> {
    let fits = |entry: &&ImageIndexEntry| {
        entry.platform.as_ref().is_some_and(|found| {
            found.os.to_string() == "linux" && found.architecture.to_string() == platform.architecture()
        })
    };
    entries.iter().find(fits).map(|entry| entry.digest.clone())
}

fn blob_stream(
    content: &Content,
) -> impl futures::Stream<Item = Result<Bytes, OciDistributionError>> + Send + 'static {
    stream::try_unfold(content.reader(), |mut reader| async move {
        // From the page cache: the file was written a moment ago.
        let mut chunk = vec![0; CHUNK];
        let read = reader.read(&mut chunk)?;
        chunk.truncate(read);
        Ok((read > 0).then(|| (Bytes::from(chunk), reader)))
    })
}

async fn retried<T, F: Future<Output = Result<T, OciDistributionError>>>(
    mut request: impl FnMut() -> F,
) -> Result<T, OciDistributionError> {
    let mut attempt = 1;
    loop {
        match request().await {
            Err(error) if attempt < TRIES && may_pass(&error) => {
                tracing::debug!(%error, attempt, "registry request failed, trying again");
                tokio::time::sleep(Duration::from_millis(200) * 3u32.pow(attempt - 1)).await;
                attempt += 1;
            }
            result => return result,
        }
    }
}

fn may_pass(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::RequestError(error) => {
            error.status().is_none_or(|status| status.is_server_error() || status.as_u16() == 429)
        }
        OciDistributionError::ServerError { code, .. } => *code >= 500 || *code == 429,
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.iter().any(|error| error.code == OciErrorCode::Toomanyrequests)
        }
        _ => false,
    }
}

fn failed(action: &str, error: &OciDistributionError) -> StageError {
    let message = match error {
        OciDistributionError::RegistryError { envelope, .. } => {
            let messages: Vec<&str> = envelope.errors.iter().map(|error| error.message.as_str()).collect();
            messages.join("; ")
        }
        OciDistributionError::RequestError(error) => chain(error),
        error => error.to_string(),
    };
    let failed = StageError::failed(format!("{action}: {message}"));
    match error {
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => {
            failed.with_help(
                "allow ecr:GetAuthorizationToken, ecr:BatchCheckLayerAvailability, ecr:InitiateLayerUpload, \
             ecr:UploadLayerPart, ecr:CompleteLayerUpload, ecr:PutImage, ecr:BatchGetImage and \
             ecr:GetDownloadUrlForLayer for the identity that runs the pipeline",
            )
        }
        OciDistributionError::RequestError(_) => {
            failed.with_help("check the network, then run again: what was pushed is not sent again")
        }
        _ => failed,
    }
}

/// An error with its causes, which reqwest leaves out of its own message.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A size for people.
pub(crate) fn megabytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
