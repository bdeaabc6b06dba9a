//! The C interface of a library plugin: three functions behind one exported table.
//!
//! A library exports the data symbol [`ENTRY_SYMBOL`], an [`Entry`]. The host checks the magic, the
//! major version and the size before it calls anything. It calls `open` once, with a [`Host`]; from then
//! on both sides pass messages ([`wire`](crate::wire)) to each other: the host by `send`, the plugin by
//! `receive`. A message belongs to whoever passes it and is valid only during the call; the receiver
//! copies what it wants to keep. So no memory crosses from one allocator to the other.
//!
//! - `send` is called from one thread at a time for each opened plugin, unless the plugin has set
//!   [`PROMPT`]: then from several at once.
//! - Without [`PROMPT`] nothing else arrives while `send` works: such a plugin cannot wait there for the answer to
//!   a question, and does not hear of a cancellation.
//! - `open`, `send` and `close` may come from different threads. `close` comes once, after the last `send` has
//!   returned.
//! - `receive` may be called from any thread, also within `send`, from `open` until `close` has returned.
//! - No panic and no exception may leave a function.
//! - Tables only grow at their end. `size` says how long the other side's table is; what lies beyond is
//!   not there. Reserved fields are zero.
//!
//! The library is loaded with `RTLD_NOW | RTLD_LOCAL` and never unloaded.

use std::ffi::c_void;

/// The exported symbol.
pub const ENTRY_SYMBOL: &str = "PIPELINE_PLUGIN_ENTRY_V1";

/// How an [`Entry`] begins.
pub const MAGIC: [u8; 8] = *b"PIPELINE";

/// Another major version is another interface: it is refused.
pub const ABI_MAJOR: u16 = 1;

/// A higher minor version has longer tables, whose beginning is the same.
pub const ABI_MINOR: u16 = 0;

/// In [`Entry::flags`]: `send` returns at once, because the work is done on threads of the plugin. The
/// host calls the functions of other plugins on a thread that may wait.
pub const PROMPT: u32 = 1;

/// Bytes that are valid during one call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// The first one; may be null if there are none.
    pub data: *const u8,
    /// How many.
    pub len: usize,
}

/// What the host offers to a plugin. Valid until `close` has returned.
#[repr(C)]
#[derive(Debug)]
pub struct Host {
    /// The size of this table in bytes.
    pub size: u32,
    /// Zero.
    pub reserved: u32,
    /// The first argument of `receive`.
    pub context: *mut c_void,
    /// Takes a message of the plugin.
    pub receive: unsafe extern "C" fn(context: *mut c_void, message: Bytes),
}

/// The exported table.
#[repr(C)]
#[derive(Debug)]
pub struct Entry {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`ABI_MAJOR`].
    pub abi_major: u16,
    /// [`ABI_MINOR`].
    pub abi_minor: u16,
    /// The size of this table in bytes.
    pub size: u32,
    /// [`PROMPT`] or nothing.
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
    /// Starts the plugin. No function of this table is null. Returns what `send` and `close` take, or null if it cannot start.
    pub open: Option<unsafe extern "C" fn(host: *const Host) -> *mut c_void>,
    /// Takes a message of the host.
    pub send: Option<unsafe extern "C" fn(plugin: *mut c_void, message: Bytes)>,
    /// Ends the plugin: once it has returned, `receive` is not called any more.
    pub close: Option<unsafe extern "C" fn(plugin: *mut c_void)>,
}
