//! What the host does for a call while it is open.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use pipeline_sdk::wire::{LogLine, Reply, Service, WireError};
use pipeline_sdk::{Context, Done, HostServices, Progress, Redactor, ResourceId, StageError, Value, json};

use crate::secrets::Secrets;

/// The host's side of one open call.
#[derive(Default)]
pub(crate) struct CallHost {
    /// The call of the engine that it serves; none for a notifier.
    context: Option<Context>,
    /// What an `apply` may change. Nothing else may change anything.
    approved: Option<HashSet<ResourceId>>,
    secrets: Arc<Secrets>,
    access: Arc<Access>,
    overstepped: OnceLock<String>,
}

/// What plugins get from the program that loads them.
#[derive(Default)]
pub(crate) struct Access {
    pub(crate) services: OnceLock<Arc<dyn HostServices>>,
    pub(crate) redactor: OnceLock<Redactor>,
}

impl CallHost {
    pub(crate) fn of_notifier(secrets: Arc<Secrets>, access: Arc<Access>) -> Self {
        Self { secrets, access, ..Self::default() }
    }

    pub(crate) fn of_stage(context: &Context, secrets: Arc<Secrets>, access: Arc<Access>) -> Self {
        Self { context: Some(context.clone()), secrets, access, ..Self::default() }
    }

    /// For an `apply` of a plan that changes these.
    pub(crate) fn with_approved(self, approved: impl IntoIterator<Item = ResourceId>) -> Self {
        Self { approved: Some(approved.into_iter().collect()), ..self }
    }

    /// What the plugin wanted to do and its plan had not shown.
    pub(crate) fn overstepped(&self) -> Option<&str> {
        self.overstepped.get().map(String::as_str)
    }

    pub(crate) fn progress(&self, progress: Progress) {
        if let Some(context) = &self.context {
            context.report(progress);
        }
    }

    pub(crate) fn log(&self, line: LogLine) {
        self.progress(Progress { level: line.level, ..Progress::note(line.message) });
    }

    /// Answers a question of the plugin.
    pub(crate) async fn serve(&self, service: Service) -> Reply<Value> {
        let answer = match service {
            Service::Intent { intent } => self.intent(intent).await.map(Value::from),
            Service::Done { intent, after } => self.done(intent, after).await.map(|()| Value::Null),
            Service::Secret { reference } => self.secret(&reference).map(Value::from),
            Service::Aws {} => self.aws().await,
        };
        answer.into()
    }

    async fn intent(&self, intent: Done) -> Result<u64, StageError> {
        let (Some(context), Some(approved)) = (&self.context, &self.approved) else {
            return Err(StageError::failed("only `apply` may change anything"));
        };
        if !approved.contains(&intent.resource) {
            let overstep = format!("it wanted to change {}, which its plan did not show", intent.resource);
            return Err(StageError::failed(self.overstepped.get_or_init(|| overstep).clone()));
        }
        let Done { resource, action, before, .. } = intent;
        context.intent(resource, action, before).await
    }

    async fn done(&self, intent: u64, after: Value) -> Result<(), StageError> {
        match (&self.context, &self.approved) {
            // In a journal `null` is a result that never came.
            (Some(context), Some(_)) if after.is_null() => context.done(intent, json!({})).await,
            (Some(context), Some(_)) => context.done(intent, after).await,
            _ => Err(StageError::failed("only `apply` may change anything")),
        }
    }

    fn secret(&self, reference: &str) -> Result<String, StageError> {
        let known = self.secrets.get(reference).map(str::to_owned);
        known.ok_or_else(|| StageError::failed(format!("this call has no secret `{reference}`")))
    }

    async fn aws(&self) -> Result<Value, StageError> {
        let Some(services) = self.access.services.get() else {
            return Err(StageError::failed("there is no AWS here"));
        };
        let aws = services.aws().await?;
        if let Some(redactor) = self.access.redactor.get() {
            redactor.learn(&aws.secret_access_key);
            aws.session_token.iter().for_each(|token| redactor.learn(token));
        }
        serde_json::to_value(aws).map_err(|error| StageError::failed(error.to_string()))
    }
}

/// The answer to a question that belongs to no open call.
pub(crate) fn too_late() -> Reply<Value> {
    Reply::Error(WireError::failed("the call has ended; nothing more may be done for it"))
}
