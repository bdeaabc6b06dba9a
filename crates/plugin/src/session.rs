//! One conversation with a host.

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::future::{Future, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Waking, Poll, Waker};

use pipeline_sdk::wire::{
    ApplyCall, CallContext, Hello, LogLine, MessageType, NotifyCall, OpenCall, PROTOCOL, PlanCall, Reply,
    RollbackCall, WireError,
};
use pipeline_sdk::{CancellationToken, Context, ContextParts, Inputs, Notifier, ProgressLevel, Stage};
use serde::de::{Deserializer, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tokio::runtime::{Builder, Runtime};

use crate::asking::{Asking, Call, Send};
use crate::message::{self, Header, ReadBody, ReadError};
use crate::pace::Pace;
use crate::plugin::Plugin;

/// How long calls that are still open may take when the plugin is closed.
const LAST_WORK: std::time::Duration = std::time::Duration::from_secs(1);

type Outcome = Result<Box<RawValue>, WireError>;

/// What carries out one call. Each kind of call in a place of its own: the largest would make all the others large, and
/// what is moved for each call is a good part of what a short one costs.
type Work = Pin<Box<dyn Future<Output = Outcome> + std::marker::Send>>;

/// A call's way to the host, and what says that it should end.
type Begun = (Call, CancellationToken);

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
        let (Header { message, id }, call) = match message::read(message, &self.shared) {
            Ok((header, Body::Call(call))) => (header, call),
            Ok((Header { id, .. }, Body::Answer(answer))) => return self.shared.asking.answer(id, answer),
            Ok((Header { id, .. }, Body::Cancel)) => return self.shared.cancel(id),
            Err(
                ReadError::Message(error)
                | ReadError::Body(Header { message: MessageType::Answer | MessageType::Cancel, .. }, error),
            ) => return self.shared.log(format!("the host sent what is no message: {error}")),
            Err(ReadError::Body(header, error)) => {
                (header, refused(format!("the call cannot be read: {error}")))
            }
        };
        let shared = Arc::clone(&self.shared);
        let mut work = Box::pin(async move { shared.work(message, id, call).await });
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

/// What a message of the host says.
enum Body {
    Call(Work),
    Answer(String),
    Cancel,
}

impl<'m> ReadBody<'m> for &Arc<Shared> {
    type Body = Body;

    fn read_body<D: Deserializer<'m>>(self, header: Header, body: D) -> Result<Body, D::Error> {
        let Header { message, id } = header;
        let shared = Arc::clone(self);
        // Known before the call begins: a cancellation may come right after it.
        let call = || (Call { asking: Arc::clone(&self.asking), id }, self.begin(id));
        let work: Work = match message {
            MessageType::Hello => Box::pin(ready(self.hello(&Hello::deserialize(body)?))),
            MessageType::Plan => Box::pin(shared.plan(PlanCall::deserialize(body)?, call())),
            MessageType::Apply => Box::pin(shared.apply(ApplyCall::deserialize(body)?, call())),
            MessageType::Rollback => Box::pin(shared.rollback(RollbackCall::deserialize(body)?, call())),
            MessageType::Open => Box::pin(shared.open_notifier(OpenCall::deserialize(body)?, call().0)),
            MessageType::Notify => Box::pin(shared.notify(NotifyCall::deserialize(body)?)),
            MessageType::Answer => {
                return Ok(Body::Answer(<&RawValue>::deserialize(body)?.get().to_owned()));
            }
            MessageType::Cancel => return IgnoredAny::deserialize(body).map(|_| Body::Cancel),
            other => {
                IgnoredAny::deserialize(body)?;
                refused(format!("the plugin knows no call {other:?}"))
            }
        };
        Ok(Body::Call(work))
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
    async fn work(&self, message: MessageType, id: u64, call: Work) {
        let outcome = self.pace.watch(message, CatchPanic(call)).await;
        let outcome =
            outcome.unwrap_or_else(|panic| Err(WireError::failed(format!("it panicked: {}", said(&*panic)))));
        self.open().remove(&id);
        self.asking.tell(MessageType::Result, id, &Reply::from(outcome));
    }

    fn hello(&self, hello: &Hello) -> Outcome {
        if hello.protocol == 0 {
            let spoken = format!("{} speaks version 0 of the protocol", hello.host);
            return Err(WireError::failed(format!("{spoken}, and the plugin needs {PROTOCOL}")));
        }
        write(&self.plugin.welcome())
    }

    async fn plan(self: Arc<Self>, plan: PlanCall<'_>, (call, cancel): Begun) -> Outcome {
        let PlanCall { kind, context, inputs } = plan;
        let inputs = call.reveal(inputs).await?;
        write(&self.stage(&kind)?.plan(&with(context, call, cancel, None), &inputs).await?)
    }

    async fn apply(self: Arc<Self>, apply: ApplyCall<'_>, (call, cancel): Begun) -> Outcome {
        let ApplyCall { kind, context, plan } = apply;
        write(&self.stage(&kind)?.apply(&with(context, call, cancel, None), &plan).await?)
    }

    async fn rollback(self: Arc<Self>, rollback: RollbackCall<'_>, (call, cancel): Begun) -> Outcome {
        let RollbackCall { kind, context, inputs, done } = rollback;
        let inputs = call.reveal(inputs).await?;
        let context = with(context, call, cancel, Some(inputs));
        write(&self.stage(&kind)?.rollback(&context, &done).await?)
    }

    async fn open_notifier(self: Arc<Self>, open: OpenCall, call: Call) -> Outcome {
        let OpenCall { kind, notifier, inputs, .. } = open;
        let known = self.plugin.notifiers.get(&kind);
        let known = known.ok_or_else(|| WireError::failed(format!("the plugin has no notifier `{kind}`")))?;
        let inputs = call.reveal(inputs).await?;
        self.notifiers().insert(notifier, (known.create)(&inputs)?);
        write(&())
    }

    async fn notify(self: Arc<Self>, NotifyCall { notifier, event }: NotifyCall<'_>) -> Outcome {
        let known = self.notifiers().get(&*notifier).cloned();
        let known = known.ok_or_else(|| WireError::failed(format!("no notifier `{notifier}` was opened")))?;
        write(&known.notify(&event).await?)
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

/// A call that fails.
fn refused(reason: String) -> Work {
    Box::pin(ready(Err(WireError::failed(reason))))
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
struct CatchPanic(Work);

impl Future for CatchPanic {
    type Output = Result<Outcome, Box<dyn Any + std::marker::Send>>;

    fn poll(mut self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(waking))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}
