//! A library plugin: the C interface ([`pipeline_sdk::abi`]), from the host's side.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use pipeline_sdk::abi::{ABI_MAJOR, ABI_MINOR, Bytes, ENTRY_SYMBOL, Entry, Host, MAGIC, PROMPT};

use crate::link::Transport;

/// How long `open` and `close` may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long calls that are about to return are waited for before a plugin is closed.
const LAST_CALLS: Duration = Duration::from_millis(500);

/// Takes a plugin's messages.
pub(crate) type Receive = Arc<dyn Fn(&[u8]) + Send + Sync>;

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
            (format!("it cannot be loaded: {error}"), "`ldd` on the library says what it misses")
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

    /// Opens the plugin. Its messages go to `receive`.
    pub(crate) fn open(self, receive: Receive) -> Result<Box<dyn Transport>, String> {
        // A plugin may hold on to its host for as long as it likes: neither is ever freed.
        let context: &'static Receive = Box::leak(Box::new(receive));
        let host: &'static Table = Box::leak(Box::new(Table(Host {
            size: size_of::<Host>() as u32,
            reserved: 0,
            context: (&raw const *context).cast_mut().cast(),
            receive: receive_message,
        })));
        if self.prompt {
            let instance = self.open_instance(host).ok_or_else(refused)?;
            return Ok(Box::new(Prompt::new(instance)));
        }
        self.open_on_a_thread(host)
    }

    fn open_instance(self, host: &'static Table) -> Option<Instance> {
        // SAFETY: the table is as the interface says, and lives for ever.
        let plugin = unsafe { (self.open)(&raw const host.0) };
        (!plugin.is_null()).then_some(Instance { plugin, send: self.send, close: self.close })
    }

    /// A plugin that works within `send` has a thread that it may keep busy.
    fn open_on_a_thread(self, host: &'static Table) -> Result<Box<dyn Transport>, String> {
        let (messages, queue) = mpsc::channel::<Vec<u8>>();
        let (opened, answer) = mpsc::sync_channel(1);
        let work = move || {
            let instance = self.open_instance(host);
            let _ = opened.send(instance.is_some());
            if let Some(instance) = instance {
                queue.iter().for_each(|message| instance.pass(&message));
                instance.close();
            }
        };
        let spawned = thread::Builder::new().name("plugin calls".to_owned()).spawn(work);
        spawned.map_err(|error| format!("no thread for it can be started: {error}"))?;
        match answer.recv_timeout(PATIENCE) {
            Ok(true) => Ok(Box::new(Queued { messages: Mutex::new(Some(messages)) })),
            Ok(false) => Err(refused()),
            Err(_) => Err(format!("it did not open within {PATIENCE:?}")),
        }
    }
}

/// What a plugin is given.
struct Table(Host);

// SAFETY: it is only read, and its context points to a [`Receive`], which threads may share.
unsafe impl Sync for Table {}

fn refused() -> String {
    "it refused to open".to_owned()
}

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
        // SAFETY: `plugin` is what `open` has returned, and is not closed during this call: both transports see to
        // that. The bytes live for this call.
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

/// A plugin whose functions return at once.
struct Prompt {
    instance: Instance,
    /// Set before it is closed; whoever sees it does not call the plugin any more.
    closed: AtomicBool,
    /// How many calls of `send` there are now.
    calls: AtomicUsize,
}

impl Prompt {
    fn new(instance: Instance) -> Self {
        Self { instance, closed: AtomicBool::new(false), calls: AtomicUsize::new(0) }
    }

    /// Whether all calls have returned. One within which the plugin calls back may itself be about to close it.
    fn is_left_alone(&self) -> bool {
        let deadline = Instant::now() + LAST_CALLS;
        while self.calls.load(Ordering::SeqCst) > 0 {
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

impl Transport for Prompt {
    fn send(&self, message: Vec<u8>) {
        // Counted before it is looked whether it is closed, and closed before it is looked whether any is counted.
        self.calls.fetch_add(1, Ordering::SeqCst);
        if !self.closed.load(Ordering::SeqCst) {
            self.instance.pass(&message);
        }
        self.calls.fetch_sub(1, Ordering::SeqCst);
    }

    fn kill(&self) -> bool {
        false
    }

    fn close(&self) {
        if self.closed.swap(true, Ordering::SeqCst) || !self.is_left_alone() {
            return;
        }
        let (instance, (closed, end)) = (self.instance, mpsc::sync_channel(1));
        let spawned = thread::Builder::new().spawn(move || {
            // The whole of it moves to the thread, which may move.
            let instance: Instance = instance;
            instance.close();
            let _ = closed.send(());
        });
        if spawned.is_ok() {
            // One that does not end is left to the end of the process.
            let _ = end.recv_timeout(PATIENCE);
        }
    }
}

/// A plugin with a thread that calls it.
struct Queued {
    messages: Mutex<Option<mpsc::Sender<Vec<u8>>>>,
}

impl Transport for Queued {
    fn send(&self, message: Vec<u8>) {
        if let Some(messages) = &*self.messages.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = messages.send(message);
        }
    }

    fn kill(&self) -> bool {
        false
    }

    fn close(&self) {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
