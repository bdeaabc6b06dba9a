//! A stage of a plugin, as the engine sees it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pipeline_sdk::wire::{ApplyCall, CallContext, MessageType, PlanCall, RollbackCall};
use pipeline_sdk::{
    ApplyError, Context, Done, Inputs, Manifest, Outputs, Stage, StageError, StageName, StagePlan,
};

use crate::call::CallHost;
use crate::link::Patience;
use crate::loaded::LoadedPlugin;
use crate::secrets::Secrets;

/// How long planning may take: it only reads.
const PLAN: Duration = Duration::from_secs(300);

/// How long undoing may take.
const ROLLBACK: Duration = Duration::from_secs(3600);

/// How long a call may take to end after it was asked to, unless the manifest says otherwise.
const GRACE: Duration = Duration::from_secs(10);

/// The longest that a manifest may ask for.
const LONGEST_GRACE: Duration = Duration::from_secs(300);

/// How long a call of a stage of this kind may take to end after it was asked to.
pub(crate) fn grace(manifest: &Manifest) -> Duration {
    manifest.grace_seconds.map_or(GRACE, Duration::from_secs).min(LONGEST_GRACE)
}

pub(crate) struct PluginStage {
    plugin: Arc<LoadedPlugin>,
    manifest: Manifest,
    /// Of what each stage of this kind was last planned with: `apply` has no inputs.
    secrets: Mutex<HashMap<StageName, Arc<Secrets>>>,
}

impl PluginStage {
    pub(crate) fn new(plugin: Arc<LoadedPlugin>, manifest: Manifest) -> Self {
        Self { plugin, manifest, secrets: Mutex::default() }
    }

    fn kind(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.manifest.kind)
    }

    fn host(&self, context: &Context, secrets: Arc<Secrets>) -> CallHost {
        CallHost::of_stage(context, secrets, Arc::clone(&self.plugin.access))
    }

    fn secrets(&self) -> MutexGuard<'_, HashMap<StageName, Arc<Secrets>>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn patience(&self, context: &Context, at_most: Option<Duration>) -> Patience {
        Patience { cancel: Some(context.cancel().clone()), at_most, grace: grace(&self.manifest) }
    }

    fn on_the_wire<'a>(&'a self, context: &'a Context) -> CallContext<'a> {
        CallContext {
            stage: Cow::Borrowed(context.stage()),
            run: context.run(),
            pipeline: Cow::Borrowed(context.pipeline()),
            directory: Cow::Borrowed(self.plugin.directory()),
            mode: context.mode(),
            prior: context.prior().map(Cow::Borrowed),
            idempotency_key: context.idempotency_key(""),
        }
    }
}

#[async_trait]
impl Stage for PluginStage {
    async fn plan(&self, cx: &Context, inputs: &Inputs) -> Result<StagePlan, StageError> {
        let (inputs, secrets) = Secrets::take(inputs, &self.manifest.inputs);
        let secrets = Arc::new(secrets);
        self.secrets().insert(cx.stage().clone(), Arc::clone(&secrets));
        let host = Arc::new(self.host(cx, secrets));
        let call = PlanCall { kind: self.kind(), context: self.on_the_wire(cx), inputs };
        let link = self.plugin.link().await?;
        let plan = link.call(MessageType::Plan, &call, host, self.patience(cx, Some(PLAN))).await;
        plan.map_err(|error| self.plugin.named(error))
    }

    async fn apply(&self, cx: &Context, plan: &StagePlan) -> Result<Outputs, ApplyError> {
        let approved = plan.changes.iter().map(|change| change.resource.clone());
        let secrets = self.secrets().get(cx.stage()).cloned().unwrap_or_default();
        let host = Arc::new(self.host(cx, secrets).with_approved(approved));
        let call = ApplyCall { kind: self.kind(), context: self.on_the_wire(cx), plan: Cow::Borrowed(plan) };
        let link = self.plugin.link().await?;
        let outputs = link.call(MessageType::Apply, &call, Arc::clone(&host), self.patience(cx, None)).await;
        let outputs = outputs.map_err(|mut error| {
            let so_far = error.so_far.take().unwrap_or_default();
            ApplyError { error: self.plugin.named(error), so_far: *so_far }
        })?;
        match host.overstepped() {
            Some(reason) => {
                let error = StageError::failed(format!("{}: {reason}", self.plugin.name()));
                Err(ApplyError { error, so_far: outputs })
            }
            None => Ok(outputs),
        }
    }

    async fn rollback(&self, cx: &Context, done: &[Done]) -> Result<(), StageError> {
        let known = cx.inputs().map(|known| Secrets::take(known, &self.manifest.inputs));
        let (inputs, secrets) = known.unwrap_or_default();
        let call = RollbackCall {
            kind: self.kind(),
            context: self.on_the_wire(cx),
            inputs,
            done: Cow::Borrowed(done),
        };
        let link = self.plugin.link().await?;
        let host = Arc::new(self.host(cx, Arc::new(secrets)));
        let undone = link.call(MessageType::Rollback, &call, host, self.patience(cx, Some(ROLLBACK))).await;
        undone.map_err(|error| self.plugin.named(error))
    }
}
