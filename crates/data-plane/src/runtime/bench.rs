//! A cloud's worth of surroundings for testing runtimes: a registry with an image of a real,
//! statically linked server, and a channel that hears of everything.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::image::manifest::{Manifest, OCI_MANIFEST};
use crate::image::{BlobStore, Digest};
use crate::registry::{MemoryRepositories, NewImage, Repositories as _, Scope};

/// Listens on `HOST:PORT`, tells its working directory, and ends with code 3 when asked to.
const SERVER: &str = r#"
use std::io::{Read, Write};
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "check") {
        std::process::exit(i32::from(std::fs::metadata("/tmp/unhealthy").is_ok()));
    }
    let host = std::env::var("HOST").unwrap_or("0.0.0.0".into());
    let port = std::env::var("PORT").unwrap();
    println!("listening on {port}");
    eprintln!("with {arguments:?}");
    let listener = std::net::TcpListener::bind(format!("{host}:{port}")).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut buffer = [0; 1024];
        let length = stream.read(&mut buffer).unwrap_or(0);
        if buffer[..length].starts_with(b"GET /exit") {
            println!("asked to end");
            std::process::exit(3);
        }
        let body = format!("{} {}", std::env::current_dir().unwrap().display(), std::env::var("GREETING").unwrap_or_default());
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    }
}
"#;

pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) options: Options,
    pub(super) events: UnboundedReceiver<TaskEvent>,
    pub(super) log: Arc<Lines>,
}

#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<Vec<(Timestamp, String)>>);

impl Lines {
    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(_, line)| line.clone()).collect()
    }
}

impl LogSink for Lines {
    fn line(&self, at: Timestamp, line: &str) {
        self.0.lock().unwrap().push((at, line.to_owned()));
    }

    fn last(&self) -> Option<Timestamp> {
        self.0.lock().unwrap().last().map(|(at, _)| *at)
    }
}

pub(super) fn scope() -> Scope {
    Scope::new("123456789012", "eu-west-1")
}

impl Bench {
    /// With an image `127.0.0.1:4580/hello:v1`.
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&dir.path().join("store")).unwrap();
        let repositories = Arc::new(MemoryRepositories::default());
        repositories.create(&scope(), "hello", false);
        push(&store, &repositories);
        let (sender, events) = unbounded_channel();
        let options = Options {
            cloud_id: format!("test-{}", uuid::Uuid::new_v4().simple()),
            directory: dir.path().join("runtime"),
            images: Images::new(store, repositories),
            events: sender,
        };
        Self { dir, options, events, log: Arc::default() }
    }

    pub(super) fn container(&self, name: &str, port: u16) -> ContainerSpec {
        ContainerSpec {
            name: name.to_owned(),
            image: "127.0.0.1:4580/hello:v1".to_owned(),
            environment: [("PORT".to_owned(), port.to_string())].into(),
            ports: vec![PortSpec { port, protocol: Transport::Tcp }],
            essential: true,
            log: Some(Arc::clone(&self.log) as Arc<dyn LogSink>),
            ..ContainerSpec::default()
        }
    }

    pub(super) fn task(&self, id: &str, containers: Vec<ContainerSpec>) -> TaskSpec {
        TaskSpec { id: id.to_owned(), scope: scope(), address: free_address().into(), containers }
    }

    pub(super) async fn event(&mut self) -> TaskEvent {
        tokio::time::timeout(Duration::from_secs(20), self.events.recv()).await.unwrap().unwrap()
    }

    pub(super) async fn exit(&mut self) -> TaskExit {
        match self.event().await {
            TaskEvent::Exited(exit) => exit,
            TaskEvent::Health { .. } => panic!("not an exit"),
        }
    }
}

/// An address of this test's own.
fn free_address() -> Ipv4Addr {
    let [a, b, ..] = *uuid::Uuid::new_v4().as_bytes();
    Ipv4Addr::new(127, 64 + a % 128, b, 1 + a % 250)
}

/// Body of `GET path`, once something answers.
pub(super) async fn get(address: IpAddr, port: u16, path: &'static str) -> String {
    tokio::task::spawn_blocking(move || {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match ask(SocketAddr::from((address, port)), path) {
                Ok(text) if text.contains("\r\n\r\n") => {
                    return text.split_once("\r\n\r\n").unwrap().1.to_owned();
                }
                answer => assert!(Instant::now() < deadline, "{address}:{port} does not answer: {answer:?}"),
            }
            std::thread::yield_now();
        }
    })
    .await
    .unwrap()
}

/// One request, whatever becomes of it.
pub(super) fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    // In one piece: the server looks at what it reads first.
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn push(store: &BlobStore, repositories: &MemoryRepositories) {
    let layer = gzip(&layer(server()));
    let config = json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }, "os": "linux",
        "config": {
            "Entrypoint": ["server"], "Cmd": ["from", "image"], "WorkingDir": "/srv/app",
            "Env": ["PATH=/opt", "GREETING=hello"],
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id(&layer)]},
    })
    .to_string();
    let part = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": store.insert(bytes).unwrap(), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": part("application/vnd.oci.image.config.v1+json", config.as_bytes()),
        "layers": [part("application/vnd.oci.image.layer.v1.tar+gzip", &layer)],
    })
    .to_string();
    let digest = store.insert(manifest.as_bytes()).unwrap();
    let parsed = Manifest::parse(manifest.as_bytes(), None).unwrap();
    let image = NewImage::new(&parsed, digest, manifest.len() as u64, Some("v1".to_owned()));
    repositories.put_image(&scope(), "hello", image).unwrap();
}

fn layer(program: &Path) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_path_with_name(program, "opt/server").unwrap();
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn diff_id(layer: &[u8]) -> Digest {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(layer).read_to_end(&mut bytes).unwrap();
    Digest::of(&bytes)
}

/// The server, compiled once for all tests.
fn server() -> &'static Path {
    static SERVER_PATH: OnceLock<PathBuf> = OnceLock::new();
    SERVER_PATH.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("pipeline-runtime-tests-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let source = dir.join("server.rs");
        std::fs::write(&source, SERVER).unwrap();
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let program = dir.join("server");
        // Linked statically: the image contains nothing else.
        let built = Command::new(rustc)
            .args(["--edition", "2021", "-C", "opt-level=1", "-C", "strip=symbols"])
            .args(["-C", "target-feature=+crt-static", "-o"])
            .args([&program, &source])
            .status();
        assert!(built.unwrap().success());
        program
    })
}
