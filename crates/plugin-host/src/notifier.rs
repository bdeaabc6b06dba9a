//! A notifier of a plugin, as the engine sees it.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use pipeline_sdk::wire::{MessageType, NotifyCall, OpenCall, WireError};
use pipeline_sdk::{EventRecord, Inputs, Manifest, Notifier, NotifyError, StageError};
use tokio::sync::Mutex;

use crate::link::{Link, Patience};
use crate::loaded::LoadedPlugin;
use crate::secrets::Secrets;

/// How long a notifier may take to look at its inputs.
const OPEN: Duration = Duration::from_secs(10);

/// Gives notifiers of one plugin their names.
static NEXT: AtomicU64 = AtomicU64::new(1);

pub(crate) struct PluginNotifier {
    plugin: Arc<LoadedPlugin>,
    manifest: Manifest,
    name: String,
    inputs: Inputs,
    /// The conversation in which it was opened.
    opened: Mutex<Weak<Link>>,
}

impl PluginNotifier {
    /// Opens the notifier: wrong inputs show before a run begins.
    pub(crate) fn open(
        plugin: &Arc<LoadedPlugin>,
        manifest: &Manifest,
        inputs: &Inputs,
    ) -> Result<Self, StageError> {
        let name = format!("{}-{}", manifest.kind, NEXT.fetch_add(1, Ordering::Relaxed));
        let link = plugin.current();
        let notifier = Self {
            plugin: Arc::clone(plugin),
            manifest: manifest.clone(),
            name,
            inputs: inputs.clone(),
            opened: Mutex::new(Arc::downgrade(&link)),
        };
        let (call, secrets) = notifier.opening();
        let opened = link.call_blocking(MessageType::Open, &call, plugin.notifier_host(secrets), OPEN);
        opened.map_err(|error| plugin.named(error)).map(|()| notifier)
    }

    fn opening(&self) -> (OpenCall, Secrets) {
        let (inputs, secrets) = Secrets::take(&self.inputs, &self.manifest.inputs);
        let call = OpenCall {
            kind: self.manifest.kind.clone(),
            notifier: self.name.clone(),
            directory: self.plugin.directory().to_owned(),
            inputs,
        };
        (call, secrets)
    }

    /// A conversation in which the notifier is open.
    async fn link(&self) -> Result<Arc<Link>, StageError> {
        let link = self.plugin.link().await?;
        let mut opened = self.opened.lock().await;
        if !std::ptr::eq(opened.as_ptr(), Arc::as_ptr(&link)) {
            let (call, secrets) = self.opening();
            let patience = Patience { at_most: Some(OPEN), ..Patience::default() };
            let host = self.plugin.notifier_host(secrets);
            let again: Result<(), WireError> = link.call(MessageType::Open, &call, host, patience).await;
            again.map_err(|error| self.plugin.named(error))?;
            *opened = Arc::downgrade(&link);
        }
        Ok(link)
    }
}

#[async_trait]
impl Notifier for PluginNotifier {
    async fn notify(&self, event: &EventRecord) -> Result<(), NotifyError> {
        let wanted = &self.manifest.events;
        if !wanted.is_empty() && !wanted.iter().any(|name| name == event.event.name()) {
            return Ok(());
        }
        // A plugin that crashed is started again, and asked again.
        let link =
            self.link().await.map_err(|error| NotifyError { message: error.to_string(), retryable: true })?;
        let call = NotifyCall { notifier: Cow::Borrowed(&self.name), event: Cow::Borrowed(event) };
        let host = self.plugin.notifier_host(Secrets::default());
        let taken = link.call(MessageType::Notify, &call, host, Patience::default()).await;
        taken.map_err(|error| {
            let crashed = link.broken().is_some();
            let error = NotifyError::from(error);
            NotifyError { retryable: error.retryable || crashed, ..error }
        })
    }
}
