//! A load generator that counts every request and forgives none.
//!
//! Requests leave on a schedule, not when the answer before them has come, and latency counts from
//! the moment a request was due: a server that stalls cannot hide it by slowing the load down.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant as TokioInstant;
use tokio_rustls::TlsConnector;

/// A request without an answer for this long has failed.
const DEADLINE: Duration = Duration::from_secs(10);

/// What load to generate.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Where to send it.
    pub address: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// The path.
    pub path: String,
    /// Requests per second in all.
    pub rate: u32,
    /// Connections that are kept and reused.
    pub keep_alive: u32,
    /// Workers that open a new connection for every request.
    pub fresh: u32,
    /// How to speak TLS; plain HTTP without it.
    pub tls: Option<Arc<ClientConfig>>,
}

/// TLS that trusts the certificates in `pem` and no others.
///
/// # Errors
/// When there is no certificate in it.
pub fn trusting(pem: &str) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("not a certificate: {error}"))?;
        roots.add(certificate).map_err(|error| format!("not a certificate to trust: {error}"))?;
    }
    if roots.is_empty() {
        return Err("there is no certificate to trust".into());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl LoadOptions {
    /// `rate` requests per second to `address`, over eight kept connections and two that are new
    /// each time.
    pub fn new(address: SocketAddr, host: impl Into<String>, rate: u32) -> Self {
        Self { address, host: host.into(), path: "/".into(), rate, keep_alive: 8, fresh: 2, tls: None }
    }
}

/// Sends one request and gives the body of its answer.
///
/// # Errors
/// When there is no answer, or another status than success.
pub async fn get(options: &LoadOptions) -> Result<String, String> {
    let mut connection = connect(options).await?;
    let request = Request::get(&options.path)
        .header("host", &options.host)
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let response = connection.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    if status.is_success() { Ok(text) } else { Err(format!("status {status}: {text}")) }
}

/// One answered or failed request.
struct Sample {
    due: Duration,
    latency: Duration,
    result: Result<String, String>,
}

/// A load that runs until it is stopped.
pub struct Load {
    started: Instant,
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
}

impl Load {
    /// Starts sending.
    pub fn start(options: &LoadOptions) -> Self {
        let started = Instant::now();
        let samples = Arc::new(Mutex::new(Vec::new()));
        let stop = watch::Sender::new(false);
        let mut workers = JoinSet::new();
        let count = (options.keep_alive + options.fresh).max(1);
        let period = Duration::from_secs(1) * count / options.rate.max(1);
        for number in 0..count {
            let worker = Worker {
                options: options.clone(),
                reuse: number < options.keep_alive,
                started,
                samples: Arc::clone(&samples),
                connection: None,
            };
            workers.spawn(worker.run(period * number / count, period, stop.subscribe()));
        }
        Self { started, samples, stop, workers }
    }

    /// How many requests ended so far, and how many of them failed.
    pub fn counts(&self) -> (usize, usize) {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        (samples.len(), samples.iter().filter(|sample| sample.result.is_err()).count())
    }

    /// Stops sending, waits for the answers that are due, and sums up.
    pub async fn stop(mut self) -> LoadSummary {
        self.stop.send_replace(true);
        while self.workers.join_next().await.is_some() {}
        let elapsed = self.started.elapsed();
        let samples = std::mem::take(&mut *self.samples.lock().unwrap_or_else(PoisonError::into_inner));
        LoadSummary::of(&samples, elapsed)
    }
}

struct Worker {
    options: LoadOptions,
    reuse: bool,
    started: Instant,
    samples: Arc<Mutex<Vec<Sample>>>,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

impl Worker {
    async fn run(mut self, offset: Duration, period: Duration, mut stop: watch::Receiver<bool>) {
        let mut due = offset;
        loop {
            let at = TokioInstant::from_std(self.started + due);
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                _ = stop.wait_for(|stopped| *stopped) => return,
            }
            let result = match tokio::time::timeout(DEADLINE, self.request()).await {
                Ok(result) => result,
                Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
            };
            if result.is_err() || !self.reuse {
                self.connection = None;
            }
            let latency = self.started.elapsed().saturating_sub(due);
            let sample = Sample { due, latency, result };
            self.samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
            due += period;
        }
    }

    /// Sends one request; the answer is the version that gave it.
    async fn request(&mut self) -> Result<String, String> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.options).await?,
        };
        connection.ready().await.map_err(|error| format!("connection lost: {error}"))?;
        let request = Request::get(&self.options.path)
            .header("host", &self.options.host)
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let response =
            connection.send_request(request).await.map_err(|error| format!("no answer: {error}"))?;
        let status = response.status();
        let version = response
            .headers()
            .get("x-version")
            .and_then(|value| value.to_str().ok())
            .unwrap_or("?")
            .to_owned();
        response.into_body().collect().await.map_err(|error| format!("answer cut off: {error}"))?;
        if !status.is_success() {
            return Err(format!("status {status}"));
        }
        self.connection = Some(connection);
        Ok(version)
    }
}

async fn connect(options: &LoadOptions) -> Result<SendRequest<Empty<Bytes>>, String> {
    let stream =
        TcpStream::connect(options.address).await.map_err(|error| format!("cannot connect: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let Some(tls) = &options.tls else { return handshake(stream).await };
    let name = ServerName::try_from(options.host.clone()).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(Arc::clone(tls))
        .connect(name, stream)
        .await
        .map_err(|error| format!("no TLS: {error}"))?;
    handshake(stream).await
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Empty<Bytes>>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("handshake: {error}"))?;
    tokio::spawn(async move {
        // How it ends shows in the request that uses it.
        let _ = connection.await;
    });
    Ok(sender)
}

/// What came of a load.
#[derive(Debug, Clone)]
pub struct LoadSummary {
    /// Requests that ended.
    pub requests: usize,
    /// Of these, the failed ones.
    pub failed: usize,
    /// Why they failed, with how often.
    pub failures: BTreeMap<String, usize>,
    /// How long the load ran.
    pub elapsed: Duration,
    /// Latency of the 50th, 90th, 99th and 99.9th percentile, and the largest.
    pub latency: Percentiles,
    /// How many answers each version gave in each half second, in order.
    pub timeline: Vec<Slice>,
}

/// Latency percentiles of the answered requests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Percentiles {
    /// Half are faster.
    pub p50: Duration,
    /// Nine of ten are faster.
    pub p90: Duration,
    /// All but one of a hundred are faster.
    pub p99: Duration,
    /// All but one of a thousand are faster.
    pub p999: Duration,
    /// The slowest.
    pub max: Duration,
}

/// The answers to the requests that were due within one half second.
#[derive(Debug, Clone)]
pub struct Slice {
    /// When it began, from the start of the load.
    pub at: Duration,
    /// Answers by version.
    pub answers: BTreeMap<String, usize>,
}

/// How long a [`Slice`] is.
pub const SLICE: Duration = Duration::from_millis(500);

impl LoadSummary {
    fn of(samples: &[Sample], elapsed: Duration) -> Self {
        let mut failures = BTreeMap::new();
        let mut slices: BTreeMap<u128, BTreeMap<String, usize>> = BTreeMap::new();
        let mut latencies = Vec::with_capacity(samples.len());
        for sample in samples {
            match &sample.result {
                Ok(version) => {
                    latencies.push(sample.latency);
                    let slice = sample.due.as_millis() / SLICE.as_millis();
                    *slices.entry(slice).or_default().entry(version.clone()).or_default() += 1;
                }
                Err(reason) => *failures.entry(reason.clone()).or_default() += 1,
            }
        }
        latencies.sort_unstable();
        let timeline = slices
            .into_iter()
            .map(|(slice, answers)| Slice { at: SLICE * u32::try_from(slice).unwrap_or(u32::MAX), answers })
            .collect();
        Self {
            requests: samples.len(),
            failed: failures.values().sum(),
            failures,
            elapsed,
            latency: Percentiles::of(&latencies),
            timeline,
        }
    }

    /// Requests per second that were reached.
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "request counts are far below 2^52")]
        let requests = self.requests as f64;
        requests / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// The versions that answered, in the order of their first answer.
    pub fn versions(&self) -> Vec<String> {
        let mut versions: Vec<String> = Vec::new();
        for version in self.timeline.iter().flat_map(|slice| slice.answers.keys()) {
            if !versions.contains(version) {
                versions.push(version.clone());
            }
        }
        versions
    }
}

impl Percentiles {
    fn of(sorted: &[Duration]) -> Self {
        let at = |permille: usize| {
            let index = (sorted.len() * permille / 1000).min(sorted.len().saturating_sub(1));
            sorted.get(index).copied().unwrap_or_default()
        };
        Self { p50: at(500), p90: at(900), p99: at(990), p999: at(999), max: at(1000) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_known_row() {
        let row: Vec<_> = (1..=1000).map(Duration::from_millis).collect();
        let percentiles = Percentiles::of(&row);
        assert_eq!(percentiles.p50, Duration::from_millis(501));
        assert_eq!(percentiles.p99, Duration::from_millis(991));
        assert_eq!(percentiles.max, Duration::from_millis(1000));
        assert_eq!(Percentiles::of(&[]).max, Duration::ZERO);
    }

    #[tokio::test]
    async fn a_server_that_refuses_is_counted_as_failing() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("address");
        drop(listener);
        let load = Load::start(&LoadOptions::new(address, "x", 200));
        while load.counts().0 < 5 {
            tokio::task::yield_now().await;
        }
        let summary = load.stop().await;
        assert_eq!(summary.failed, summary.requests);
        assert!(summary.failures.keys().all(|reason| reason.starts_with("cannot connect")));
    }
}
