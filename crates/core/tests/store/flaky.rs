//! An object store behind a bad network.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use pipeline_sdk::async_trait;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::{Instant, sleep};

/// What happens to the next writes, first to last; the rest goes well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// It goes well.
    None,
    /// It is written, and the answer is an error.
    AnswerLost,
    /// It is written, and the client asks again and is told that the object is not as expected.
    AskedAgain,
    /// The server refuses.
    Refused,
    /// The server refuses since another request for the same object is under way.
    Conflict,
    /// It takes this many milliseconds before it is written, whether or not anybody still waits.
    Late(u64),
}

/// How the network behaves by itself.
#[derive(Default)]
struct Network {
    faults: Vec<Fault>,
    random: Option<StdRng>,
    cut: bool,
}

/// One client's way to a store that it shares with others.
#[derive(Clone)]
pub(crate) struct Flaky {
    inner: Arc<InMemory>,
    network: Arc<Mutex<Network>>,
    /// Every content of a `state.json` that was written.
    pub(crate) states: Arc<Mutex<Vec<Bytes>>>,
    clock: Arc<Clock>,
}

/// The clock of the store, which passes as the tests' time does.
struct Clock {
    since: Instant,
    /// When each object was written, to the second, as the header of HTTP has it.
    written: Mutex<HashMap<Path, SystemTime>>,
}

impl Clock {
    /// It is set wrong, as far as everybody else is concerned.
    fn date(&self, location: &Path) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(self.since.elapsed().as_secs());
        self.written.lock().unwrap().insert(location.clone(), now);
    }
}

impl Flaky {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(Clock { since: Instant::now(), written: Mutex::default() });
        Self { inner: Arc::new(InMemory::new()), network: Arc::default(), states: Arc::default(), clock }
    }

    /// Another client of the same store, over a network that fails at random.
    pub(crate) fn client(&self, seed: u64) -> Self {
        let network = Network { random: Some(StdRng::seed_from_u64(seed)), ..Network::default() };
        Self { network: Arc::new(Mutex::new(network)), ..self.clone() }
    }

    /// Another client of the same store, over a network of its own that works.
    pub(crate) fn other(&self) -> Self {
        Self { network: Arc::default(), ..self.clone() }
    }

    /// Lets the next writes of this client fail.
    pub(crate) fn fail(&self, faults: &[Fault]) {
        self.network.lock().unwrap().faults = faults.to_vec();
    }

    /// Nothing of this client arrives any more, or all again.
    pub(crate) fn cut(&self, cut: bool) {
        self.network.lock().unwrap().cut = cut;
    }

    /// Whether nothing arrives; and how long a request takes.
    fn way(&self) -> (bool, Duration) {
        let mut network = self.network.lock().unwrap();
        let takes = network.random.as_mut().map_or(0, |random| random.random_range(1..400));
        (network.cut, Duration::from_millis(takes))
    }

    fn next_fault(&self) -> Fault {
        let mut network = self.network.lock().unwrap();
        if !network.faults.is_empty() {
            return network.faults.remove(0);
        }
        let Some(random) = &mut network.random else { return Fault::None };
        match random.random_range(0..40) {
            0..3 => Fault::AnswerLost,
            3..6 => Fault::AskedAgain,
            6..9 => Fault::Refused,
            9 => Fault::Late(random.random_range(0..30_000)),
            _ => Fault::None,
        }
    }

    async fn write(self, location: Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = self.next_fault();
        if fault == Fault::Refused {
            return Err(failed("slow down"));
        }
        if fault == Fault::Conflict {
            return Err(Error::AlreadyExists { path: location.to_string(), source: "conflict".into() });
        }
        if let Fault::Late(millis) = fault {
            sleep(Duration::from_millis(millis)).await;
        }
        let bytes = Bytes::from(payload.clone());
        let result = self.inner.put_opts(&location, payload, options).await;
        if result.is_ok() {
            self.clock.date(&location);
        }
        if result.is_ok() && location.filename() == Some("state.json") {
            self.states.lock().unwrap().push(bytes);
        }
        match fault {
            Fault::AnswerLost => Err(failed("connection reset")),
            Fault::AskedAgain => {
                Err(Error::Precondition { path: location.to_string(), source: "no match".into() })
            }
            _ => result,
        }
    }
}

fn failed(what: &'static str) -> Error {
    Error::Generic { store: "flaky", source: what.into() }
}

impl fmt::Debug for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flaky")
    }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flaky(team)")
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (cut, takes) = self.way();
        sleep(takes).await;
        if cut {
            std::future::pending::<()>().await;
        }
        // A request that is under way arrives, also if nobody waits for the answer any more.
        let request = tokio::spawn(self.clone().write(location.clone(), payload, options));
        request.await.unwrap()
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (cut, takes) = self.way();
        if cut {
            std::future::pending::<()>().await;
        }
        let mut result = self.inner.get_opts(location, options).await;
        if let Ok(found) = &mut result
            && let Some(written) = self.clock.written.lock().unwrap().get(location)
        {
            found.meta.last_modified = (*written).into();
        }
        // The answer may be old when it arrives.
        sleep(takes).await;
        result
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
