//! The conversation with a plugin: calls and their results, questions and their answers.
//!
//! Whatever a plugin sends, a call ends: with its result, with an error, or by being given up.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use pipeline_sdk::CancellationToken;
use pipeline_sdk::wire::{
    LONGEST_MESSAGE, LogLine, Message, MessageType, Outgoing, Question, Reply, WireError, WireErrorKind,
};
use pipeline_sdk::{Progress, StageError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::call::{CallHost, too_late};

/// How many lines of a plugin's log are kept for the error that says how it ended.
const LAST_WORDS: usize = 5;

/// What most calls need at most, with their context, in bytes.
const USUAL_CALL: usize = 4096;

/// How much of a message is quoted.
const QUOTED: usize = 80;

/// Carries messages to a plugin.
pub(crate) trait Transport: Send + Sync {
    /// Passes a message on, in order. Returns at once.
    fn send(&self, message: MessageType, bytes: Vec<u8>);

    /// Ends the plugin whatever it is doing; whether that is possible.
    fn kill(&self) -> bool;

    /// Lets the plugin end.
    fn close(&self);
}

/// How long a call is waited for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patience {
    /// Asks it to end.
    pub(crate) cancel: Option<CancellationToken>,
    /// After this it is asked to end too.
    pub(crate) at_most: Option<Duration>,
    /// How long it may take to end then.
    pub(crate) grace: Duration,
}

type Outcome = Result<String, String>;

struct Open {
    done: Box<dyn FnOnce(Outcome) + Send>,
    host: Arc<CallHost>,
}

/// A conversation.
pub(crate) struct Link {
    runtime: Handle,
    transport: OnceLock<Box<dyn Transport>>,
    open: Mutex<HashMap<u64, Open>>,
    next: AtomicU64,
    broken: OnceLock<String>,
    /// Whether a call was given up that still goes on, who knows with what in its hands.
    haunted: AtomicBool,
    words: Mutex<VecDeque<String>>,
}

impl Link {
    pub(crate) fn new(runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            transport: OnceLock::new(),
            open: Mutex::default(),
            next: AtomicU64::new(1),
            broken: OnceLock::new(),
            haunted: AtomicBool::new(false),
            words: Mutex::default(),
        })
    }

    /// Messages go this way from now on.
    pub(crate) fn connect(&self, transport: Box<dyn Transport>) {
        let _ = self.transport.set(transport);
    }

    /// Why nothing can be said any more.
    pub(crate) fn broken(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    /// Whether a new call can be expected to get through.
    pub(crate) fn is_sound(&self) -> bool {
        self.broken().is_none() && !self.haunted.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        if let Some(transport) = self.transport.get() {
            transport.close();
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, message: MessageType, id: u64, body: &impl Serialize) -> Result<(), WireError> {
        let bytes = Outgoing { message, id, body }.encode_into(Vec::with_capacity(USUAL_CALL));
        let bytes = bytes.map_err(|error| WireError::failed(format!("the call is not JSON: {error}")))?;
        if bytes.len() > LONGEST_MESSAGE {
            return Err(WireError::failed(format!(
                "the call has {} bytes, more than a message may have",
                bytes.len()
            )));
        }
        if let Some(transport) = self.transport.get() {
            transport.send(message, bytes);
        }
        Ok(())
    }

    fn begin(
        &self,
        message: MessageType,
        body: &impl Serialize,
        host: Arc<CallHost>,
        done: Box<dyn FnOnce(Outcome) + Send>,
    ) -> Result<u64, WireError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.open().insert(id, Open { done, host });
        let sent = match self.broken() {
            Some(reason) => Err(WireError::failed(reason)),
            None => self.send(message, id, body),
        };
        sent.map(|()| id).inspect_err(|_| drop(self.open().remove(&id)))
    }

    /// Calls the plugin and waits for what comes of it.
    pub(crate) async fn call<T: DeserializeOwned>(
        self: &Arc<Self>,
        message: MessageType,
        body: &impl Serialize,
        host: Arc<CallHost>,
        patience: Patience,
    ) -> Result<T, WireError> {
        let (sender, mut result) = oneshot::channel();
        // Nobody listens any more once the call was given up.
        let done = Box::new(move |outcome| drop(sender.send(outcome)));
        let id = self.begin(message, body, host, done)?;
        let _given_up = GiveUp { link: self, id };
        let too_long = tokio::select! {
            biased;
            outcome = &mut result => return read(outcome.unwrap_or_else(|_| Err("it was given up".to_owned()))),
            too_long = patience.ends() => too_long,
        };
        self.cancel(id);
        match timeout(patience.grace, &mut result).await {
            Ok(outcome) => read(outcome.unwrap_or_else(|_| Err("it was given up".to_owned()))),
            Err(_) => Err(self.abandon(id, &too_long, patience.grace)),
        }
    }

    /// The same, for a caller that cannot wait otherwise.
    pub(crate) fn call_blocking<T: DeserializeOwned>(
        &self,
        message: MessageType,
        body: &impl Serialize,
        host: Arc<CallHost>,
        at_most: Duration,
    ) -> Result<T, WireError> {
        let (sender, result) = mpsc::sync_channel(1);
        let id = self.begin(message, body, host, Box::new(move |outcome| drop(sender.send(outcome))))?;
        match result.recv_timeout(at_most) {
            Ok(outcome) => read(outcome),
            Err(_) => Err(self.abandon(id, &format!("it did not answer within {at_most:?}"), Duration::ZERO)),
        }
    }

    fn cancel(&self, id: u64) {
        // A plugin that is gone needs no cancellation.
        let _ = self.send(MessageType::Cancel, id, &());
    }

    /// Gives up on a call. Where the plugin can be ended, it is: what it still does would be done behind the
    /// back of the run. Elsewhere nothing more is recorded for the call, so nothing more may begin; calls that come
    /// later could wait behind it for ever, and are for another conversation.
    fn abandon(&self, id: u64, why: &str, grace: Duration) -> WireError {
        self.open().remove(&id);
        let mut reason = why.to_owned();
        if !grace.is_zero() {
            reason = format!("{reason}, and did not end within {grace:?} of being asked to");
        }
        if self.transport.get().is_some_and(|transport| transport.kill()) {
            self.fail(&format!("it was ended: {reason}"));
            return WireError::failed(reason);
        }
        self.haunted.store(true, Ordering::Relaxed);
        let help = "it may still be at work; with `isolation = \"process\"` it is ended where it does not end itself";
        WireError { help: Some(help.to_owned()), ..WireError::failed(reason) }
    }

    /// Nothing the plugin says is believed any more.
    pub(crate) fn fail(&self, reason: &str) {
        let words = self.words().iter().map(|line| format!("\n  {line}")).collect::<String>();
        let said = if words.is_empty() { String::new() } else { format!("; its last words:{words}") };
        let reason = self.broken.get_or_init(|| format!("{reason}{said}")).clone();
        if let Some(transport) = self.transport.get() {
            transport.kill();
        }
        let open = std::mem::take(&mut *self.open());
        for (_, call) in open {
            (call.done)(Err(reason.clone()));
        }
    }

    /// Takes a message of the plugin, from any thread.
    pub(crate) fn receive(self: &Arc<Self>, bytes: &[u8]) {
        if self.broken().is_some() {
            return;
        }
        if bytes.len() > LONGEST_MESSAGE {
            return self.fail(&format!("it sent a message of more than {} MiB", LONGEST_MESSAGE >> 20));
        }
        let read = serde_json::from_slice(bytes).map_err(|error| error.to_string());
        if let Err(error) = read.and_then(|message| self.take(message)) {
            self.fail(&format!("it sent what is no message ({error}): {}", quote(bytes)));
        }
    }

    fn take(self: &Arc<Self>, Message { message, id, body }: Message<'_>) -> Result<(), String> {
        let body = body.get();
        match message {
            MessageType::Result => {
                // A second result, or one for a call that was given up, is nobody's any more.
                let call = self.open().remove(&id);
                if let Some(call) = call {
                    (call.done)(Ok(body.to_owned()));
                }
            }
            MessageType::Ask => self.ask(id, serde_json::from_str(body).map_err(|error| error.to_string())?),
            MessageType::Progress => {
                let progress: Progress = serde_json::from_str(body).map_err(|error| error.to_string())?;
                if let Some(host) = self.host(id) {
                    host.progress(progress);
                }
            }
            MessageType::Log => {
                let line: LogLine = serde_json::from_str(body).map_err(|error| error.to_string())?;
                match self.host(id) {
                    Some(host) => host.log(line),
                    None => self.hear(line),
                }
            }
            // Of a later version.
            MessageType::Unknown => {}
            other => return Err(format!("{other:?} is for the host to send")),
        }
        Ok(())
    }

    fn host(&self, call: u64) -> Option<Arc<CallHost>> {
        self.open().get(&call).map(|open| Arc::clone(&open.host))
    }

    fn ask(self: &Arc<Self>, id: u64, Question { call, service }: Question) {
        let Some(host) = self.host(call) else {
            let _ = self.send(MessageType::Answer, id, &too_late());
            return;
        };
        let link = Arc::clone(self);
        self.runtime.spawn(async move {
            let answer = host.serve(service).await;
            let _ = link.send(MessageType::Answer, id, &answer);
        });
    }

    /// A line of the plugin's log: for whoever called, and for the error if it ends.
    pub(crate) fn hear(&self, line: LogLine) {
        let hosts: Vec<_> = self.open().values().map(|open| Arc::clone(&open.host)).collect();
        for host in hosts {
            host.log(line.clone());
        }
        let mut words = self.words();
        if words.len() == LAST_WORDS {
            words.pop_front();
        }
        words.push_back(line.message);
    }

    fn words(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call whose caller is gone is asked to end, and what comes of it is nobody's.
struct GiveUp<'a> {
    link: &'a Arc<Link>,
    id: u64,
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        let open = self.link.open().remove(&self.id);
        if open.is_some() {
            self.link.cancel(self.id);
        }
    }
}

impl Patience {
    async fn ends(&self) -> String {
        let cancelled = async {
            match &self.cancel {
                Some(cancel) => cancel.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let too_late = async {
            match self.at_most {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = cancelled => "it was cancelled".to_owned(),
            () = too_late => format!("it did not answer within {:?}", self.at_most.unwrap_or_default()),
        }
    }
}

fn read<T: DeserializeOwned>(outcome: Outcome) -> Result<T, WireError> {
    let body = outcome.map_err(WireError::failed)?;
    match serde_json::from_str(&body) {
        Ok(reply) => Reply::result(reply),
        Err(error) => {
            let quoted = quote(body.as_bytes());
            Err(WireError::failed(format!("its result cannot be read ({error}): {quoted}")))
        }
    }
}

fn quote(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(QUOTED)]);
    let more = if bytes.len() > QUOTED { "…" } else { "" };
    format!("{:?}{more}", text.trim_end())
}

/// An error of a plugin, under its name.
pub(crate) fn named(plugin: &str, mut error: WireError) -> StageError {
    if error.kind == WireErrorKind::Failed {
        error.message = format!("{plugin}: {}", error.message);
    }
    error.into()
}
