//! One conversation with a host.

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Waking, Poll, Waker};

use pipeline_sdk::wire::{
    ApplyCall, CallContext, Hello, LogLine, Message, MessageType, NotifyCall, OpenCall, PROTOCOL, PlanCall,
    Reply, RollbackCall, WireError,
};
use pipeline_sdk::{CancellationToken, Context, ContextParts, Inputs, Notifier, ProgressLevel, Stage};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use tokio::runtime::{Builder, Runtime};

use crate::asking::{Asking, Call, Send};
use crate::pace::Pace;
use crate::plugin::Plugin;

/// How long calls that are still open may take when the plugin is closed.
const LAST_WORK: std::time::Duration = std::time::Duration::from_secs(1);

type Outcome = Result<Box<RawValue>, WireError>;

/// What a host can call.
enum Request {
    Hello(Hello),
    Plan(PlanCall<'static>),
    Apply(ApplyCall<'static>),
    Rollback(RollbackCall<'static>),
    Open(OpenCall),
    Notify(NotifyCall<'static>),
}

impl Request {
    fn read(message: MessageType, body: &RawValue) -> Result<Self, WireError> {
        match message {
            MessageType::Hello => read(body).map(Self::Hello),
            MessageType::Plan => read(body).map(Self::Plan),
            MessageType::Apply => read(body).map(Self::Apply),
            MessageType::Rollback => read(body).map(Self::Rollback),
            MessageType::Open => read(body).map(Self::Open),
            MessageType::Notify => read(body).map(Self::Notify),
            other => Err(WireError::failed(format!("the plugin knows no call {other:?}"))),
        }
    }
}

/// A plugin that talks to a host.
pub(crate) struct Session {
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

struct Shared {
    plugin: Plugin,
    asking: Arc<Asking>,
    open: Mutex<HashMap<u64, CancellationToken>>,
    notifiers: Mutex<HashMap<String, Arc<dyn Notifier>>>,
    pace: Pace,
}

impl Session {
    /// Starts the plugin's threads. What it has to say goes to `send`.
    pub(crate) fn start(plugin: Plugin, send: Send) -> std::io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(2).thread_name("plugin").enable_all().build()?;
        let asking = Arc::new(Asking::new(send));
        let (open, notifiers) = (Mutex::default(), Mutex::default());
        let shared = Shared { plugin, asking, open, notifiers, pace: Pace::default() };
        Ok(Self { shared: Arc::new(shared), runtime: Some(runtime) })
    }

    /// Takes a message of the host. Returns at once.
    pub(crate) fn receive(&self, message: &[u8]) {
        let Some(runtime) = &self.runtime else { return };
        let Message { message, id, body } = match serde_json::from_slice(message) {
            Ok(message) => message,
            Err(error) => return self.shared.log(format!("the host sent what is no message: {error}")),
        };
        match message {
            MessageType::Answer => return self.shared.asking.answer(id, body.get()),
            MessageType::Cancel => return self.shared.cancel(id),
            _ => {}
        }
        let shared = Arc::clone(&self.shared);
        let request = Request::read(message, body);
        // Known before the call begins: a cancellation may come right after it.
        let cancel = shared.begin(id);
        let mut work = Box::pin(async move {
            shared.pace.watch(message, shared.work(request, id, cancel)).await;
        });
        if self.shared.pace.is_quick(message) {
            let _runtime = runtime.enter();
            if is_ready(work.as_mut()) {
                return;
            }
        }
        runtime.spawn(work);
    }
}

/// Whether `work` is done without waiting. It may be polled again elsewhere otherwise.
fn is_ready(work: Pin<&mut impl Future<Output = ()>>) -> bool {
    work.poll(&mut Waking::from_waker(Waker::noop())).is_ready()
}

impl Drop for Session {
    fn drop(&mut self) {
        for cancel in self.shared.open().values() {
            cancel.cancel();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(LAST_WORK);
        }
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, CancellationToken>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, id: u64) -> CancellationToken {
        self.open().entry(id).or_default().clone()
    }

    fn cancel(&self, id: u64) {
        if let Some(cancel) = self.open().get(&id) {
            cancel.cancel();
        }
    }

    fn log(&self, message: String) {
        let line = LogLine { level: ProgressLevel::Warning, message };
        self.asking.tell(MessageType::Log, 0, &line);
    }

    /// Carries out one call, and says what came of it exactly once.
    async fn work(&self, request: Result<Request, WireError>, id: u64, cancel: CancellationToken) {
        let call = Call { asking: Arc::clone(&self.asking), id };
        let work = pin!(async { self.call(request?, call, cancel).await });
        let outcome = CatchPanic(work).await;
        let outcome =
            outcome.unwrap_or_else(|panic| Err(WireError::failed(format!("it panicked: {}", said(&*panic)))));
        self.open().remove(&id);
        self.asking.tell(MessageType::Result, id, &Reply::from(outcome));
    }

    async fn call(&self, request: Request, call: Call, cancel: CancellationToken) -> Outcome {
        match request {
            Request::Hello(Hello { protocol: 0, host }) => {
                let spoken = format!("{host} speaks version 0 of the protocol");
                Err(WireError::failed(format!("{spoken}, and the plugin needs {PROTOCOL}")))
            }
            Request::Hello(_) => write(&self.plugin.welcome()),
            Request::Plan(PlanCall { kind, context, inputs }) => {
                let inputs = call.reveal(inputs).await?;
                write(&self.stage(&kind)?.plan(&with(context, call, cancel, None), &inputs).await?)
            }
            Request::Apply(ApplyCall { kind, context, plan }) => {
                write(&self.stage(&kind)?.apply(&with(context, call, cancel, None), &plan).await?)
            }
            Request::Rollback(RollbackCall { kind, context, inputs, done }) => {
                let inputs = call.reveal(inputs).await?;
                let context = with(context, call, cancel, Some(inputs));
                write(&self.stage(&kind)?.rollback(&context, &done).await?)
            }
            Request::Open(open) => self.open_notifier(open, call).await,
            Request::Notify(NotifyCall { notifier, event }) => {
                let known = self.notifiers().get(&*notifier).cloned();
                let known =
                    known.ok_or_else(|| WireError::failed(format!("no notifier `{notifier}` was opened")))?;
                write(&known.notify(&event).await?)
            }
        }
    }

    async fn open_notifier(&self, open: OpenCall, call: Call) -> Outcome {
        let OpenCall { kind, notifier, inputs, .. } = open;
        let known = self.plugin.notifiers.get(&kind);
        let known = known.ok_or_else(|| WireError::failed(format!("the plugin has no notifier `{kind}`")))?;
        let inputs = call.reveal(inputs).await?;
        self.notifiers().insert(notifier, (known.create)(&inputs)?);
        write(&())
    }

    fn notifiers(&self) -> MutexGuard<'_, HashMap<String, Arc<dyn Notifier>>> {
        self.notifiers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stage(&self, kind: &str) -> Result<&dyn Stage, WireError> {
        let known = self.plugin.stages.get(kind);
        known
            .map(|kind| &*kind.stage)
            .ok_or_else(|| WireError::failed(format!("the plugin has no stage `{kind}`")))
    }
}

fn with(context: CallContext<'_>, call: Call, cancel: CancellationToken, inputs: Option<Inputs>) -> Context {
    let CallContext { stage, run, pipeline, directory, mode, prior, .. } = context;
    let call = Arc::new(call);
    Context::from(ContextParts {
        stage: stage.into_owned(),
        run,
        pipeline: pipeline.into_owned(),
        directory: directory.into_owned(),
        mode,
        prior: prior.map(Cow::into_owned),
        cancel,
        sink: call.clone(),
        recorder: call.clone(),
        inputs,
        services: Some(call),
    })
}

fn read<T: DeserializeOwned>(body: &RawValue) -> Result<T, WireError> {
    serde_json::from_str(body.get())
        .map_err(|error| WireError::failed(format!("the call cannot be read: {error}")))
}

fn write(value: &impl Serialize) -> Outcome {
    to_raw_value(value)
        .map_err(|error| WireError::failed(format!("the result cannot be written as JSON: {error}")))
}

fn said(panic: &(dyn Any + std::marker::Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("nobody knows why")
}

/// A future whose panic is its result.
struct CatchPanic<'a, F>(Pin<&'a mut F>);

impl<F: Future> Future for CatchPanic<'_, F> {
    type Output = Result<F::Output, Box<dyn Any + std::marker::Send>>;

    fn poll(mut self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(waking))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}
