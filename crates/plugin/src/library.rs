//! A plugin as a library: the C interface, from the plugin's side.
//!
//! [`export!`](crate::export) is what a plugin needs of it.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pipeline_sdk::abi::{ABI_MAJOR, ABI_MINOR, Bytes, Entry, Host, MAGIC, PROMPT};

use crate::plugin::Plugin;
use crate::session::Session;

/// Exports a plugin from a library. Its argument is a function that returns a [`Plugin`].
#[macro_export]
macro_rules! export {
    ($plugin:expr) => {
        const _: () = {
            #[allow(unsafe_code)]
            unsafe extern "C" fn open(host: *const $crate::abi::Host) -> *mut ::std::ffi::c_void {
                // SAFETY: the host calls `open` as its interface says.
                unsafe { $crate::library::open(host, $plugin) }
            }

            /// The entry that the host looks for.
            #[allow(unsafe_code)]
            #[unsafe(no_mangle)]
            pub static PIPELINE_PLUGIN_ENTRY_V1: $crate::abi::Entry = $crate::library::entry(open);
        };
    };
}

/// The table that [`export!`](crate::export) exports.
pub const fn entry(open: unsafe extern "C" fn(*const Host) -> *mut c_void) -> Entry {
    Entry {
        magic: MAGIC,
        abi_major: ABI_MAJOR,
        abi_minor: ABI_MINOR,
        size: size_of::<Entry>() as u32,
        flags: PROMPT,
        reserved: 0,
        open: Some(open),
        send: Some(send),
        close: Some(close),
    }
}

/// The host's function and its argument, which may be called from every thread.
struct Receiver {
    context: *mut c_void,
    receive: unsafe extern "C" fn(*mut c_void, Bytes),
}

// SAFETY: the interface allows `receive` from any thread with this context.
unsafe impl Send for Receiver {}
// SAFETY: as above; it allows it from several at once.
unsafe impl Sync for Receiver {}

impl Receiver {
    fn pass(&self, message: &[u8]) {
        let bytes = Bytes { data: message.as_ptr(), len: message.len() };
        // SAFETY: the host is there until `close` has returned, and `Session` calls nothing after its end. The
        // bytes live for this call.
        unsafe { (self.receive)(self.context, bytes) }
    }
}

/// What `open` of a plugin does.
///
/// # Safety
/// `host` is null or a table as [`Host`] describes it, valid until `close` has returned.
pub unsafe fn open(host: *const Host, plugin: impl FnOnce() -> Plugin) -> *mut c_void {
    // SAFETY: null or valid, by the caller's promise.
    let Some(host) = (unsafe { host.as_ref() }) else { return ptr::null_mut() };
    if (host.size as usize) < size_of::<Host>() {
        return ptr::null_mut();
    }
    let receiver = Receiver { context: host.context, receive: host.receive };
    let session = catch_unwind(AssertUnwindSafe(|| {
        Session::start(plugin(), Box::new(move |message: &[u8]| receiver.pass(message)))
    }));
    match session {
        Ok(Ok(session)) => Box::into_raw(Box::new(session)).cast(),
        Ok(Err(_)) | Err(_) => ptr::null_mut(),
    }
}

unsafe extern "C" fn send(plugin: *mut c_void, message: Bytes) {
    // SAFETY: what `open` has returned, by the interface; `close` was not called yet.
    let Some(session) = (unsafe { plugin.cast::<Session>().as_ref() }) else { return };
    let message = match message.data.is_null() {
        true => &[][..],
        // SAFETY: the host's bytes are valid during the call.
        false => unsafe { std::slice::from_raw_parts(message.data, message.len) },
    };
    // Nothing may unwind into the host. What a call does is caught where it is done.
    let _ = catch_unwind(AssertUnwindSafe(|| session.receive(message)));
}

unsafe extern "C" fn close(plugin: *mut c_void) {
    if plugin.is_null() {
        return;
    }
    // SAFETY: it came from `Box::into_raw` in `open`, and the host closes once.
    let session = unsafe { Box::from_raw(plugin.cast::<Session>()) };
    let _ = catch_unwind(AssertUnwindSafe(|| drop(session)));
}
