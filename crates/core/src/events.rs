//! Telling what happens: numbered without gaps, and without secrets.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jiff::Timestamp;
use pipeline_sdk::{Event, EventRecord, Progress, ProgressSink, Redactor, RunId, StageName};

use crate::cancel::Cancellation;
use crate::notify::{Complaint, Notifications};

/// Takes the events of a run, one after the other. It must not block and must not call the engine.
pub type EventSink = Arc<dyn Fn(EventRecord) + Send + Sync>;

/// Gives events their number and passes them on. Clones count together.
#[derive(Clone)]
pub(crate) struct Emitter {
    shared: Arc<Shared>,
}

struct Shared {
    run: RunId,
    redactor: Redactor,
    sink: EventSink,
    /// The first required notifier that missed something, and why.
    unheard: OnceLock<(String, String)>,
    /// Held while an event is passed on: the order of arrival is the order of the numbers.
    order: Mutex<Order>,
}

struct Order {
    next: u64,
    notifications: Option<Notifications>,
}

impl Emitter {
    pub(crate) fn new(run: RunId, redactor: Redactor, sink: EventSink) -> Self {
        let order = Mutex::new(Order { next: 0, notifications: None });
        Self { shared: Arc::new(Shared { run, redactor, sink, unheard: OnceLock::new(), order }) }
    }

    /// Reports something wrong with a notifier, as long as the run goes on, which `cancel` ends if the notifier
    /// is required. Notifiers must not keep what keeps them.
    pub(crate) fn complaint(&self, cancel: &Cancellation) -> Complaint {
        let (shared, cancel) = (Arc::downgrade(&self.shared), cancel.clone());
        Arc::new(move |notifier, error| {
            let name = &notifier.name;
            if let Some(shared) = shared.upgrade() {
                if notifier.required {
                    let _ = shared.unheard.set((name.clone(), error.to_owned()));
                }
                Self { shared }.warn(format!("the notifier `{name}` misses events: {error}"));
            }
            if notifier.required {
                cancel.request(format!("the required notifier `{name}` misses events: {error}"));
            }
        })
    }

    /// The first required notifier that missed something, and why.
    pub(crate) fn unheard(&self) -> Option<(String, String)> {
        self.shared.unheard.get().cloned()
    }

    /// Ends once every required notifier has taken what happened until now.
    ///
    /// # Errors
    /// The name of one that missed something, and why.
    pub(crate) async fn required_have_heard(&self) -> Result<(), (String, String)> {
        let waits = self.order().notifications.as_ref().map(Notifications::required_have_heard);
        match waits {
            Some(waits) => waits.await,
            None => Ok(()),
        }
    }

    /// Passes events on to notifiers from now on.
    pub(crate) fn notify(&self, notifications: Notifications) {
        self.order().notifications = Some(notifications);
    }

    /// Stops passing events on to notifiers, and gives them back for the last deliveries.
    pub(crate) fn end_notifications(&self) -> Option<Notifications> {
        self.order().notifications.take()
    }

    pub(crate) fn emit(&self, event: Event) {
        let event = self.redacted(event);
        let mut order = self.order();
        let record = EventRecord { run: self.shared.run, seq: order.next, at: Timestamp::now(), event };
        order.next += 1;
        if let Some(notifications) = &mut order.notifications {
            notifications.push(&record);
        }
        (self.shared.sink)(record);
    }

    pub(crate) fn warn(&self, message: impl Into<String>) {
        self.emit(Event::Warning { message: message.into() });
    }

    fn order(&self) -> std::sync::MutexGuard<'_, Order> {
        self.shared.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn redacted(&self, event: Event) -> Event {
        if self.shared.redactor.is_empty() {
            return event;
        }
        let redacted = serde_json::to_value(&event)
            .map(|value| self.shared.redactor.value(value))
            .and_then(serde_json::from_value);
        // A secret where only a name can be: rather say nothing than say it.
        redacted.unwrap_or_else(|_| Event::Warning {
            message: "an event was left out: it had a secret in a name".to_owned(),
        })
    }
}

impl ProgressSink for Emitter {
    fn progress(&self, stage: &StageName, progress: Progress) {
        self.emit(Event::StageProgress { stage: stage.clone(), progress });
    }
}
