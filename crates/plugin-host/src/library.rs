//! A library plugin: the C interface ([`pipeline_sdk::abi`]), from the host's side.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use pipeline_sdk::abi::{ABI_MAJOR, ABI_MINOR, Bytes, ENTRY_SYMBOL, Entry, Host, MAGIC, PROMPT};
use pipeline_sdk::wire::{LogLine, MessageType, Outgoing};
use pipeline_sdk::{ProgressLevel, with_causes};

use crate::link::Transport;

/// How long `open` and `close` may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long calls that are about to return are waited for before a plugin is closed.
const LAST_CALLS: Duration = Duration::from_millis(500);

/// A `send` that takes less has returned at once.
const AT_ONCE: Duration = Duration::from_millis(5);

/// A `send` that takes this long waits for something.
const BLOCKING: Duration = Duration::from_millis(100);

/// How many calls in a row have to return at once before more is built on it.
const PROVEN: u32 = 16;

/// For how many milliseconds it is built on.
const RECENTLY: u64 = 1000;

/// Takes a plugin's messages.
pub(crate) type Receive = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// A message for a plugin.
type Outbound = (MessageType, Vec<u8>);

/// Why a library is no plugin, and what to do.
pub(crate) type NoPlugin = (String, &'static str);

type Open = unsafe extern "C" fn(*const Host) -> *mut c_void;
type SendMessage = unsafe extern "C" fn(*mut c_void, Bytes);
type Close = unsafe extern "C" fn(*mut c_void);

/// A library whose entry was checked. It stays loaded until the process ends.
#[derive(Clone, Copy)]
pub(crate) struct Loaded {
    open: Open,
    send: SendMessage,
    close: Close,
    prompt: bool,
}

impl Loaded {
    /// Loads the library at `path`. Its constructors run.
    pub(crate) fn load(path: &Path) -> Result<Self, NoPlugin> {
        // SAFETY: that loading runs code of the library is why it is hashed and copied before. `RTLD_LOCAL`
        // keeps its symbols from those of other libraries.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
        let library = library.map_err(|error| {
            // What the loader says is the cause of the error.
            (
                format!("it cannot be loaded: {}", with_causes(&error)),
                "`ldd` on the library says what it misses",
            )
        })?;
        // SAFETY: only the address is taken here; what is there is looked at below, beginning with its magic.
        let symbol = unsafe { library.get::<*const Entry>(ENTRY_SYMBOL) };
        let entry = symbol.map(|symbol| *symbol).map_err(|_| {
            let reason = format!("it is no plugin: it does not export {ENTRY_SYMBOL}");
            (reason, "`pipeline plugin new` shows how a plugin exports it")
        });
        // Threads and callbacks of a plugin outlive every conversation: never unloaded.
        std::mem::forget(library);
        // SAFETY: the symbol exists, so the library has data there.
        unsafe { Self::check(entry?) }
    }

    /// # Safety
    /// `entry` is null or points to what a library exports under [`ENTRY_SYMBOL`].
    unsafe fn check(entry: *const Entry) -> Result<Self, NoPlugin> {
        const DAMAGED: &str = "the plugin is not built as its interface says: see docs/plugins.md";
        if entry.is_null() || !entry.is_aligned() {
            return Err(("its entry is not where data can be".to_owned(), DAMAGED));
        }
        // SAFETY: not null and aligned. Each field is read only once those before it say that it is there: the
        // magic, then the version, then the size.
        let magic = unsafe { (&raw const (*entry).magic).read() };
        if magic != MAGIC {
            return Err(("its entry has the wrong magic".to_owned(), DAMAGED));
        }
        // SAFETY: as above.
        let (major, minor, size) = unsafe {
            (
                (&raw const (*entry).abi_major).read(),
                (&raw const (*entry).abi_minor).read(),
                (&raw const (*entry).size).read(),
            )
        };
        if major != ABI_MAJOR {
            let newer = major > ABI_MAJOR;
            let reason = format!(
                "it has version {major}.{minor} of the plugin interface, and this program has {ABI_MAJOR}.{ABI_MINOR}"
            );
            let help = if newer {
                "use a newer `pipeline`, or an older build of the plugin"
            } else {
                "build the plugin against the current SDK"
            };
            return Err((reason, help));
        }
        if (size as usize) < size_of::<Entry>() {
            return Err((format!("its entry is cut off: {size} bytes"), DAMAGED));
        }
        // SAFETY: the size says that all of it is there; functions may be null in this type.
        let entry = unsafe { entry.read() };
        match (entry.open, entry.send, entry.close) {
            (Some(open), Some(send), Some(close)) => {
                Ok(Self { open, send, close, prompt: entry.flags & PROMPT != 0 })
            }
            _ => Err(("its entry lacks a function".to_owned(), DAMAGED)),
        }
    }

    /// Opens the plugin, on the thread that will call it: whatever it does there, nobody else waits longer than
    /// they want to. Its messages go to `receive`.
    pub(crate) fn open(self, receive: Receive) -> Result<Opened, String> {
        let host = Table::leaked(&receive);
        let (messages, queue) = mpsc::channel::<Outbound>();
        let (opened, answer) = mpsc::sync_channel(1);
        let (closes, end) = mpsc::sync_channel(1);
        let work = move || {
            let calls = self.open_instance(host).map(|instance| Arc::new(Calls::new(instance, self.prompt)));
            let _ = opened.send(calls.clone());
            let Some(calls) = calls else { return };
            for (message, bytes) in queue {
                calls.pass(message, &bytes, Instant::now());
                calls.waiting.fetch_sub(1, Ordering::SeqCst);
            }
            calls.instance.close();
            let _ = closes.send(());
        };
        let spawned = thread::Builder::new().name("plugin calls".to_owned()).spawn(work);
        spawned.map_err(|error| format!("no thread for it can be started: {error}"))?;
        let calls =
            answer.recv_timeout(PATIENCE).map_err(|_| format!("it did not open within {PATIENCE:?}"))?;
        let calls = calls.ok_or("it refused to open")?;
        let (messages, ended) = (Mutex::new(Some(messages)), Mutex::new(end));
        let (guests, closed, warned) = Default::default();
        Ok(Opened { calls, receive, messages, guests, closed, warned, ended })
    }

    fn open_instance(self, host: &'static Table) -> Option<Instance> {
        // SAFETY: the table is as the interface says, and lives for ever.
        let plugin = unsafe { (self.open)(&raw const host.0) };
        (!plugin.is_null()).then_some(Instance { plugin, send: self.send, close: self.close })
    }
}

/// What a plugin is given.
struct Table(Host);

impl Table {
    /// A plugin may hold on to its host for as long as it likes: it is never freed.
    fn leaked(receive: &Receive) -> &'static Self {
        let context: &'static Receive = Box::leak(Box::new(Arc::clone(receive)));
        Box::leak(Box::new(Self(Host {
            size: size_of::<Host>() as u32,
            reserved: 0,
            context: (&raw const *context).cast_mut().cast(),
            receive: receive_message,
        })))
    }
}

// SAFETY: it is only read, and its context points to a [`Receive`], which threads may share.
unsafe impl Sync for Table {}

/// A plugin that was opened.
#[derive(Clone, Copy)]
struct Instance {
    plugin: *mut c_void,
    send: SendMessage,
    close: Close,
}

// SAFETY: the interface lets `open`, `send` and `close` be called from different threads.
unsafe impl Send for Instance {}
// SAFETY: `send` is called from several threads at once only if the plugin says that it may be ([`PROMPT`]).
unsafe impl Sync for Instance {}

impl Instance {
    fn pass(&self, message: &[u8]) {
        let bytes = Bytes { data: message.as_ptr(), len: message.len() };
        // SAFETY: `plugin` is what `open` has returned, and is not closed during this call: [`Opened::close`] sees
        // to that. The bytes live for this call.
        unsafe { (self.send)(self.plugin, bytes) }
    }

    fn close(self) {
        // SAFETY: as for `send`; it is called once.
        unsafe { (self.close)(self.plugin) }
    }
}

/// What every plugin calls with its messages.
unsafe extern "C" fn receive_message(context: *mut c_void, message: Bytes) {
    // SAFETY: the context of the table that the plugin was given, which is never freed.
    let Some(receive) = (unsafe { context.cast::<Receive>().as_ref() }) else { return };
    let message = match message.data.is_null() {
        true => &[][..],
        // SAFETY: the plugin's bytes are valid during the call.
        false => unsafe { std::slice::from_raw_parts(message.data, message.len) },
    };
    // Nothing may unwind into the plugin.
    let _ = catch_unwind(AssertUnwindSafe(|| receive(message)));
}

/// How a plugin that says that `send` returns at once has kept to it, for one type of message: what returns at once
/// with an answer may take long with an `apply`.
#[derive(Default)]
struct Record {
    /// How many calls in a row have returned at once.
    prompt: AtomicU32,
    /// When the last of them was, in milliseconds since the plugin was opened.
    last: AtomicU64,
}

/// The calls of a plugin that was opened.
struct Calls {
    instance: Instance,
    opened: Instant,
    /// By type of message; none for a plugin that does not say that it is prompt.
    records: Option<[Record; MessageType::Unknown as usize + 1]>,
    /// Set once it has taken so long that it is not prompt, whatever it says.
    blocks: AtomicBool,
    /// How many messages there are for its thread, with the one that it is passing.
    waiting: AtomicUsize,
}

impl Calls {
    fn new(instance: Instance, prompt: bool) -> Self {
        let (blocks, waiting) = (AtomicBool::new(false), AtomicUsize::new(0));
        Self { instance, opened: Instant::now(), records: prompt.then(Default::default), blocks, waiting }
    }

    fn record(&self, message: MessageType) -> Option<&Record> {
        self.records.as_ref().and_then(|records| records.get(message as usize))
    }

    /// Whether `send` can be expected to return at once: it just did, over and over. That is no reason to expect it of
    /// an `apply`, of what it goes on with, or of an event: sooner or later those wait for the world, and they take
    /// long enough for a thread to be woken.
    fn is_prompt(&self, message: MessageType, now: Instant) -> bool {
        let Some(record) = self.record(message) else { return false };
        matches!(message, MessageType::Plan | MessageType::Rollback)
            && record.prompt.load(Ordering::Relaxed) >= PROVEN
            && self.waiting.load(Ordering::SeqCst) == 0
            && !self.blocks.load(Ordering::Relaxed)
            && self.millis(now).saturating_sub(record.last.load(Ordering::Relaxed)) < RECENTLY
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from((at - self.opened).as_millis()).unwrap_or(u64::MAX)
    }

    /// `begun` is now.
    fn pass(&self, message: MessageType, bytes: &[u8], begun: Instant) {
        let Some(record) = self.record(message) else { return self.instance.pass(bytes) };
        self.instance.pass(bytes);
        // Reading the clock is a good part of what a short call costs.
        let ended = Instant::now();
        let took = ended - begun;
        if took < AT_ONCE {
            record.prompt.fetch_add(1, Ordering::Relaxed);
            record.last.store(self.millis(ended), Ordering::Relaxed);
        } else {
            // The machine may have been busy: what is prompt proves it again.
            record.prompt.store(0, Ordering::Relaxed);
            self.blocks.fetch_or(took >= BLOCKING, Ordering::Relaxed);
        }
    }
}

/// A plugin that was opened, as it is talked to. A thread of its own passes the messages. Only where it has just
/// been prompt, whoever has a message passes it: that saves waking the thread, which costs more than the call.
pub(crate) struct Opened {
    calls: Arc<Calls>,
    receive: Receive,
    messages: Mutex<Option<mpsc::Sender<Outbound>>>,
    /// How many threads of others there are within `send`.
    guests: AtomicUsize,
    /// Set before it is closed; whoever sees it does not call the plugin any more.
    closed: AtomicBool,
    warned: AtomicBool,
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Opened {
    /// Passes a message on the thread of the caller, which may wait.
    pub(crate) fn pass_here(&self, message: MessageType, bytes: &[u8], now: Instant) {
        // Counted before it is looked whether it is closed, and closed before it is looked whether any is counted.
        self.guests.fetch_add(1, Ordering::SeqCst);
        if !self.closed.load(Ordering::SeqCst) {
            self.calls.pass(message, bytes, now);
        }
        self.guests.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether the plugin says that it returns at once.
    pub(crate) fn says_prompt(&self) -> bool {
        self.calls.records.is_some()
    }

    fn queue(&self, message: MessageType, bytes: Vec<u8>) {
        if let Some(messages) = &*self.messages.lock().unwrap_or_else(PoisonError::into_inner) {
            self.calls.waiting.fetch_add(1, Ordering::SeqCst);
            let _ = messages.send((message, bytes));
        }
    }

    /// Says once, to whoever calls the plugin, that it does not keep to what it says.
    fn warn(&self) {
        if !self.calls.blocks.load(Ordering::Relaxed) || self.warned.swap(true, Ordering::Relaxed) {
            return;
        }
        let message = "the plugin says that it is prompt, and its `send` does not return at once: it is called \
                       as one that is not";
        let line = LogLine { level: ProgressLevel::Warning, message: message.to_owned() };
        if let Ok(bytes) = (Outgoing { message: MessageType::Log, id: 0, body: &line }).encode() {
            (self.receive)(&bytes);
        }
    }

    /// Whether all calls have returned. One within which the plugin calls back may itself be about to close it.
    fn is_left_alone(&self) -> bool {
        let deadline = Instant::now() + LAST_CALLS;
        while self.guests.load(Ordering::SeqCst) > 0 || self.calls.waiting.load(Ordering::SeqCst) > 0 {
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

impl Transport for Opened {
    fn send(&self, message: MessageType, bytes: Vec<u8>) {
        self.warn();
        let now = Instant::now();
        match self.calls.is_prompt(message, now) {
            true => self.pass_here(message, &bytes, now),
            false => self.queue(message, bytes),
        }
    }

    fn kill(&self) -> bool {
        false
    }

    fn close(&self) {
        if self.closed.swap(true, Ordering::SeqCst) || !self.is_left_alone() {
            return;
        }
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).take();
        // One that does not end is left to the end of the process.
        let _ = self.ended.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(PATIENCE);
    }
}
