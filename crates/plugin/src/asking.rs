//! What a call may ask of the host while it is open.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pipeline_sdk::wire::{
    AwsAccess, MessageType, Outgoing, Question, Reply, Service, WireError, secret_reference,
};
use pipeline_sdk::{
    Done, HostServices, Inputs, Progress, ProgressSink, Recorder, StageError, StageName, Value,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

/// Takes a message to the host.
pub(crate) type Send = Box<dyn Fn(&[u8]) + std::marker::Send + Sync>;

/// The way to the host, and the questions that it has not answered yet.
pub(crate) struct Asking {
    send: Send,
    open: Mutex<HashMap<u64, oneshot::Sender<String>>>,
    next: AtomicU64,
}

impl Asking {
    pub(crate) fn new(send: Send) -> Self {
        Self { send, open: Mutex::default(), next: AtomicU64::new(1) }
    }

    /// Sends a message. What is no JSON is a defect of the plugin, and said as an error of its call.
    pub(crate) fn tell(&self, message: MessageType, id: u64, body: &impl Serialize) {
        match (Outgoing { message, id, body }).encode() {
            Ok(bytes) => (self.send)(&bytes),
            Err(error) => {
                let body = Reply::<()>::Error(WireError::failed(format!("its answer is not JSON: {error}")));
                if let Ok(bytes) = (Outgoing { message: MessageType::Result, id, body: &body }).encode() {
                    (self.send)(&bytes);
                }
            }
        }
    }

    /// The host has answered. An answer to nothing is left alone.
    pub(crate) fn answer(&self, id: u64, body: String) {
        if let Some(waiting) = self.open().remove(&id) {
            // Nobody waits any more once the call was given up.
            let _ = waiting.send(body);
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<String>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask<T: DeserializeOwned>(&self, call: u64, service: Service) -> Result<T, StageError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.open().insert(id, sender);
        self.tell(MessageType::Ask, id, &Question { call, service });
        let gone = || StageError::failed("the host of the plugin is gone");
        let answer = answer.await.map_err(|_| gone())?;
        match serde_json::from_str::<Reply<T>>(&answer) {
            Ok(reply) => Ok(reply.result()?),
            Err(error) => Err(StageError::failed(format!("the host's answer cannot be read: {error}"))),
        }
    }
}

/// One open call's way to the host.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) asking: Arc<Asking>,
    pub(crate) id: u64,
}

impl Call {
    /// `inputs` with the secrets in the place of their references.
    pub(crate) async fn reveal(&self, inputs: Inputs) -> Result<Inputs, StageError> {
        match inputs.0.values().any(has_secret) {
            true => Box::pin(self.reveal_all(inputs)).await,
            false => Ok(inputs),
        }
    }

    async fn reveal_all(&self, inputs: Inputs) -> Result<Inputs, StageError> {
        let mut revealed = Inputs::default();
        for (key, value) in inputs.0 {
            revealed.0.insert(key, self.reveal_value(value).await?);
        }
        Ok(revealed)
    }

    async fn reveal_value(&self, value: Value) -> Result<Value, StageError> {
        if let Some(reference) = secret_reference(&value) {
            let service = Service::Secret { reference: reference.to_owned() };
            return self.asking.ask::<String>(self.id, service).await.map(Value::String);
        }
        match value {
            Value::Array(items) => {
                let mut revealed = Vec::with_capacity(items.len());
                for item in items {
                    revealed.push(Box::pin(self.reveal_value(item)).await?);
                }
                Ok(Value::Array(revealed))
            }
            Value::Object(fields) => {
                let mut revealed = pipeline_sdk::Map::new();
                for (key, field) in fields {
                    revealed.insert(key, Box::pin(self.reveal_value(field)).await?);
                }
                Ok(Value::Object(revealed))
            }
            other => Ok(other),
        }
    }
}

fn has_secret(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_secret),
        Value::Object(fields) => secret_reference(value).is_some() || fields.values().any(has_secret),
        _ => false,
    }
}

impl ProgressSink for Call {
    fn progress(&self, _: &StageName, progress: Progress) {
        self.asking.tell(MessageType::Progress, self.id, &progress);
    }
}

#[async_trait]
impl Recorder for Call {
    async fn intent(&self, _: &StageName, intent: Done) -> Result<u64, StageError> {
        self.asking.ask(self.id, Service::Intent { intent }).await
    }

    async fn done(&self, _: &StageName, intent: u64, after: Value) -> Result<(), StageError> {
        self.asking.ask(self.id, Service::Done { intent, after }).await
    }
}

#[async_trait]
impl HostServices for Call {
    async fn aws(&self) -> Result<AwsAccess, StageError> {
        self.asking.ask(self.id, Service::Aws {}).await
    }
}
