//! Getting images into the daemon.

use std::collections::HashMap;
use std::io::{self, Write};

use bollard::Docker;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ImportImageOptions, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::{Mutex, mpsc};

use super::super::{ContainerSpec, Options, RuntimeError, TaskSpec};
use super::{refused, status, unavailable};
use crate::image::{Digest, Image, ImageRef, Images, Location, write_docker_archive};

/// Archives are sent in pieces of this size.
const PIECE: usize = 128 << 10;

/// Gives images to the daemon, each once.
#[derive(Debug)]
pub(super) struct ImageLoader {
    docker: Docker,
    images: Images,
    /// Name of the repository, in the daemon, of what this cloud loaded.
    repository: String,
    /// Held while loading: tasks of one service start together and want the same image.
    loading: Mutex<()>,
}

/// An image the daemon has.
pub(super) struct Provided {
    /// Its name in the daemon.
    pub(super) name: String,
    /// Digest of its manifest, if it came from the cloud's registry.
    pub(super) digest: Option<Digest>,
}

impl ImageLoader {
    pub(super) fn new(docker: Docker, options: &Options) -> Self {
        let repository = format!("pipeline-local-cloud/{}", options.cloud_id);
        Self { docker, images: options.images.clone(), repository, loading: Mutex::default() }
    }

    /// Makes sure that the daemon has the image of `container`.
    pub(super) async fn provide(
        &self,
        task: &TaskSpec,
        container: &ContainerSpec,
    ) -> Result<Provided, RuntimeError> {
        let cannot =
            |message: String| RuntimeError::CannotPull { container: container.name.clone(), message };
        let reference: ImageRef = container
            .image
            .parse()
            .map_err(|_| cannot(format!("invalid reference format: {}", container.image)))?;
        if reference.location() == Location::Elsewhere {
            self.pull(container).await?;
            return Ok(Provided { name: container.image.clone(), digest: None });
        }
        let image = self
            .images
            .find(&task.scope, &reference)
            .map_err(|error| cannot(format!("pull image manifest has been retried 1 time(s): {error}")))?;
        // The configuration's digest stands for the content: equal images share one name.
        let name = format!("{}:{}", self.repository, image.config.digest.hex());
        let _loading = self.loading.lock().await;
        if !self.has(&name).await? {
            self.load(&image, &name).await.map_err(|error| match error {
                LoadError::Daemon(error) => refused(&error, cannot),
                LoadError::Archive(message) => cannot(message),
            })?;
        }
        Ok(Provided { name, digest: Some(image.digest) })
    }

    async fn has(&self, name: &str) -> Result<bool, RuntimeError> {
        match self.docker.inspect_image(name).await {
            Ok(_) => Ok(true),
            Err(error) if status(&error) == Some(404) => Ok(false),
            Err(error) => Err(unavailable(&error)),
        }
    }

    async fn load(&self, image: &Image, name: &str) -> Result<(), LoadError> {
        let (sender, mut receiver) = mpsc::channel::<io::Result<Bytes>>(4);
        let (store, image, tag) = (self.images.store().clone(), image.clone(), name.to_owned());
        let writing = tokio::task::spawn_blocking(move || {
            let mut out = Pieces { sender, buffer: Vec::with_capacity(PIECE) };
            write_docker_archive(&store, &image, &tag, &mut out)
        });
        let stream = futures::stream::poll_fn(move |cx| receiver.poll_recv(cx));
        let loading = self.docker.import_image_stream(ImportImageOptions::default(), stream, None);
        let loaded: Result<Vec<_>, _> = loading.try_collect().await;
        // A broken archive is the cause of whatever the daemon says about it.
        match writing.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Ok(Err(error)) => return Err(LoadError::Archive(error.to_string())),
            Err(error) => return Err(LoadError::Archive(error.to_string())),
        }
        loaded.map(|_| ()).map_err(|error| match error {
            bollard::errors::Error::DockerStreamError { error } => LoadError::Archive(error),
            other => LoadError::Daemon(other),
        })
    }

    /// Lets the daemon fetch an image of another registry, unless it has it.
    async fn pull(&self, container: &ContainerSpec) -> Result<(), RuntimeError> {
        if self.has(&container.image).await? {
            return Ok(());
        }
        let cannot =
            |message: String| RuntimeError::CannotPull { container: container.name.clone(), message };
        let tagged = match container.image.parse::<ImageRef>() {
            Ok(ImageRef { tag: None, digest: None, .. }) => format!("{}:latest", container.image),
            _ => container.image.clone(),
        };
        let options = CreateImageOptionsBuilder::default().from_image(&tagged).build();
        let mut progress = self.docker.create_image(Some(options), None, None).boxed();
        while let Some(step) = progress.next().await {
            step.map_err(|error| match error {
                bollard::errors::Error::DockerStreamError { error } => cannot(error),
                other => refused(&other, cannot),
            })?;
        }
        Ok(())
    }

    /// Removes every image that was loaded for this cloud.
    pub(super) async fn remove_all(&self) -> Result<(), RuntimeError> {
        let filters = HashMap::from([("reference".to_owned(), vec![self.repository.clone()])]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let images = self.docker.list_images(Some(options)).await.map_err(|error| unavailable(&error))?;
        let prefix = format!("{}:", self.repository);
        for name in images.iter().flat_map(|image| &image.repo_tags).filter(|tag| tag.starts_with(&prefix)) {
            let options = RemoveImageOptionsBuilder::default().force(true).build();
            if let Err(error) = self.docker.remove_image(name, Some(options), None).await
                && !matches!(status(&error), Some(404 | 409))
            {
                return Err(unavailable(&error));
            }
        }
        Ok(())
    }
}

enum LoadError {
    Daemon(bollard::errors::Error),
    Archive(String),
}

/// Writes pieces into a channel, from a blocking thread.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE));
        let sent = self.sender.blocking_send(Ok(Bytes::from(piece)));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the daemon stopped reading"))
    }
}
