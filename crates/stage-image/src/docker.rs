//! The Docker builder: builds with the daemon's BuildKit and pushes through the daemon.
//!
//! The build request is made here and not by bollard, which can use BuildKit only with a session of
//! its own (gRPC over a hijacked connection). The daemon takes a context in the request's body also
//! for BuildKit; what that answers is read in [`crate::trace`].

use std::convert::Infallible;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::query_parameters::{CreateImageOptions, PushImageOptions, TagImageOptions};
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use pipeline_sdk::{Context, StageError};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::recipe::{Recipe, Snapshot};
use crate::repository::{Login, Repository};
use crate::trace::Trace;
use crate::tree::Content;

/// Where Docker listens unless `DOCKER_HOST` says otherwise.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// The oldest API whose daemon builds with BuildKit by itself (Docker 18.09).
const API: &str = "v1.39";

/// A daemon that answers.
pub(crate) struct Daemon {
    docker: Docker,
    host: String,
    /// What it says of itself: `Docker 20.10.24`.
    pub(crate) version: String,
}

impl Daemon {
    /// Connects and asks for the version.
    pub(crate) async fn connect() -> Result<Self, StageError> {
        let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        let host = host.unwrap_or_else(|| DEFAULT_HOST.to_owned());
        let unanswered = |cause: String| {
            StageError::failed(format!("no Docker daemon answers at {host}: {cause}")).with_help(
                "start Docker, set DOCKER_HOST, or use `builder = \"embedded\"` for a Dockerfile without RUN",
            )
        };
        let docker = Docker::connect_with_defaults().map_err(|error| unanswered(error.to_string()))?;
        let version = docker.version().await.map_err(|error| unanswered(cause(&error)))?;
        let version =
            format!("Docker {}", version.version.unwrap_or_else(|| "of unknown version".to_owned()));
        Ok(Self { docker, host, version })
    }

    /// Builds the snapshot and names the image `{repository}:{tag}`.
    pub(crate) async fn build(
        &self,
        cx: &Context,
        recipe: &Recipe,
        dockerfile: &str,
        snapshot: &Snapshot,
        name: &str,
    ) -> Result<(), StageError> {
        let args = serde_json::to_string(&recipe.build_args).unwrap_or_default();
        let mut query = format!("/{API}/build?version=2&rm=1&forcerm=1");
        let target = recipe.target.as_deref().unwrap_or_default();
        for (key, value) in [
            ("t", name),
            ("dockerfile", dockerfile),
            ("platform", recipe.platform.as_str()),
            ("target", target),
            ("buildargs", &args),
        ] {
            query.push_str(&format!("&{key}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
        }
        let response = self.post(&query, &snapshot.archive).await?;
        let status = response.status();
        let mut trace = Trace::default();
        let mut body = response.into_body();
        let mut lines = Lines::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                StageError::failed(format!("the Docker daemon broke off the build: {error}"))
            })?;
            if let Ok(bytes) = frame.into_data() {
                for line in lines.take(&bytes) {
                    trace.read(cx, &line);
                }
            }
        }
        if let Some(line) = lines.rest() {
            trace.read(cx, &line);
        }
        match trace.end() {
            None if status.is_success() => Ok(()),
            None => {
                Err(StageError::failed(format!("the Docker daemon refused the build with status {status}")))
            }
            Some(error) => Err(StageError::failed(format!("the image cannot be built: {error}"))
                .with_help(format!("`docker build {}` shows the whole output", recipe.context))),
        }
    }

    /// Pulls the base images that come from the registry that is logged in to: BuildKit finds them
    /// locally then. All others it pulls by itself, anonymously.
    pub(crate) async fn pull_private(
        &self,
        cx: &Context,
        images: &[String],
        login: &Login,
        platform: &str,
    ) -> Result<(), StageError> {
        for image in images {
            cx.note(format!("pulling {image}"));
            let options = CreateImageOptions {
                from_image: Some(image.clone()),
                platform: platform.to_owned(),
                ..CreateImageOptions::default()
            };
            let mut pull = self.docker.create_image(Some(options), None, Some(credentials(login)));
            while let Some(progress) = pull.next().await {
                let problem = match progress {
                    Ok(info) => info.error_detail.and_then(|detail| detail.message),
                    Err(error) => Some(cause(&error)),
                };
                if let Some(problem) = problem {
                    return Err(StageError::failed(format!("cannot pull {image}: {problem}")));
                }
            }
        }
        Ok(())
    }

    /// Pushes the image that was built.
    pub(crate) async fn push(
        &self,
        cx: &Context,
        repository: &Repository<'_>,
        tag: &str,
        login: &Login,
    ) -> Result<(), StageError> {
        let name = repository.url.to_string();
        let options = PushImageOptions { tag: Some(tag.to_owned()), ..PushImageOptions::default() };
        let mut push = self.docker.push_image(&name, Some(options), Some(credentials(login)));
        let failed = |problem: String| {
            StageError::failed(format!("cannot push {name}:{tag}: {problem}")).with_help(
                "check the network, and that the identity that runs the pipeline may push to the repository",
            )
        };
        // One status per layer, told apart by an id that bollard leaves out: finished ones are counted.
        let (mut layers, mut done) = (0_usize, 0_usize);
        while let Some(progress) = push.next().await {
            let info = progress.map_err(|error| failed(cause(&error)))?;
            if let Some(problem) = info.error_detail.and_then(|detail| detail.message) {
                return Err(failed(problem));
            }
            match info.status.as_deref() {
                Some("Preparing") => layers += 1,
                Some(status @ ("Pushed" | "Layer already exists")) => {
                    done += 1;
                    let state = if status == "Pushed" { "pushed" } else { "is there already" };
                    cx.note(format!("layer {done} of {layers} {state}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Names the image also `{repository}:{tag}`, for people who look at the daemon.
    pub(crate) async fn tag(&self, image: &str, repository: &str, tag: &str) {
        let options = TagImageOptions { repo: Some(repository.to_owned()), tag: Some(tag.to_owned()) };
        if let Err(error) = self.docker.tag_image(image, Some(options)).await {
            tracing::debug!(%error, "the local image got no second name");
        }
    }

    async fn post(&self, path: &str, archive: &Arc<File>) -> Result<Response<Incoming>, StageError> {
        let failed = |error: &dyn std::error::Error| {
            StageError::failed(format!(
                "cannot send the build to the Docker daemon at {}: {error}",
                self.host
            ))
        };
        let len = archive.metadata().map_err(|error| failed(&error))?.len();
        let content = Content::Slice { file: Arc::clone(archive), offset: 0, len };
        let body = stream::unfold(content.reader(), |mut reader| async move {
            let mut chunk = vec![0; 1 << 16];
            // A read that fails cuts the archive short, which the daemon refuses.
            let read = reader.read(&mut chunk).unwrap_or_default();
            chunk.truncate(read);
            (read > 0).then(|| (Ok::<_, Infallible>(Frame::data(Bytes::from(chunk))), reader))
        });
        let request = Request::post(path)
            .header("host", "docker")
            .header("content-type", "application/x-tar")
            .header("content-length", len)
            .body(StreamBody::new(body.boxed()))
            .map_err(|error| failed(&error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(self.open().await?))
                .await
                .map_err(|error| failed(&error))?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(|error| failed(&error))
    }

    async fn open(&self) -> Result<Box<dyn Duplex>, StageError> {
        let failed = |error: std::io::Error| {
            StageError::failed(format!("cannot reach the Docker daemon at {}: {error}", self.host))
        };
        if let Some(path) = self.host.strip_prefix("unix://") {
            return Ok(Box::new(tokio::net::UnixStream::connect(path).await.map_err(failed)?));
        }
        let address = self.host.strip_prefix("tcp://").or_else(|| self.host.strip_prefix("http://"));
        match address {
            Some(address) => {
                let stream =
                    tokio::net::TcpStream::connect(address.trim_end_matches('/')).await.map_err(failed)?;
                Ok(Box::new(stream))
            }
            None => Err(StageError::failed(format!(
                "DOCKER_HOST is `{}`, which is neither unix:// nor tcp://",
                self.host
            ))),
        }
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Cuts a stream of bytes into lines.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.rest.extend_from_slice(bytes);
        let mut lines: Vec<Vec<u8>> = self.rest.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        self.rest = lines.pop().unwrap_or_default();
        lines
    }

    fn rest(self) -> Option<Vec<u8>> {
        (!self.rest.is_empty()).then_some(self.rest)
    }
}

fn credentials(login: &Login) -> DockerCredentials {
    DockerCredentials {
        username: Some(login.user.clone()),
        password: Some(login.password.clone()),
        ..DockerCredentials::default()
    }
}

/// What the daemon said, without bollard's words around it.
fn cause(error: &bollard::errors::Error) -> String {
    match error {
        bollard::errors::Error::DockerResponseServerError { message, .. }
        | bollard::errors::Error::DockerStreamError { error: message } => message.clone(),
        other => other.to_string(),
    }
}
