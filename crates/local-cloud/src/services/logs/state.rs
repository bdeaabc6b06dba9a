//! What CloudWatch Logs holds in a region.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::errors;
use crate::services::tag::Tags;
use crate::wire::ApiError;

/// Events kept of each stream; the oldest go first.
const KEPT: usize = 10_000;

/// What the service holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LogsState {
    /// By name.
    pub(super) groups: BTreeMap<String, Group>,
    /// By name.
    pub(super) policies: BTreeMap<String, super::policies::Policy>,
}

/// A log group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) created: i64,
    pub(super) retention_days: Option<i64>,
    pub(super) class: String,
    pub(super) kms_key: Option<String>,
    pub(super) tags: Tags,
    /// By name.
    #[serde(default)]
    pub(super) metric_filters: BTreeMap<String, super::filters::MetricFilter>,
    /// By name.
    #[serde(default)]
    pub(super) subscriptions: BTreeMap<String, super::filters::Subscription>,
    /// By name.
    pub(super) streams: BTreeMap<String, Stream>,
}

/// A log stream. Times are milliseconds since 1970.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Stream {
    pub(super) created: i64,
    #[serde(skip)]
    pub(super) events: VecDeque<Event>,
    /// Events ever received; gives each its place.
    #[serde(skip)]
    pub(super) received: u64,
    pub(super) first_event: Option<i64>,
    pub(super) last_event: Option<i64>,
    pub(super) last_ingestion: Option<i64>,
}

/// A log event.
#[derive(Debug, Clone)]
pub(super) struct Event {
    /// Its place in the stream, from 0.
    pub(super) place: u64,
    pub(super) timestamp: i64,
    pub(super) ingestion: i64,
    pub(super) message: String,
}

impl Stream {
    /// Adds an event.
    pub(super) fn push(&mut self, timestamp: i64, ingestion: i64, message: String) {
        self.events.push_back(Event { place: self.received, timestamp, ingestion, message });
        self.received += 1;
        if self.events.len() > KEPT {
            self.events.pop_front();
        }
        self.first_event = Some(self.first_event.map_or(timestamp, |first| first.min(timestamp)));
        self.last_event = Some(self.last_event.map_or(timestamp, |last| last.max(timestamp)));
        self.last_ingestion = Some(ingestion);
    }
}

impl Group {
    /// The stream, or the service's error.
    pub(super) fn stream_mut(&mut self, name: &str) -> Result<&mut Stream, ApiError> {
        self.streams.get_mut(name).ok_or_else(errors::no_stream)
    }
}

impl LogsState {
    /// How many log groups there are.
    pub(crate) fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The group, or the service's error.
    pub(super) fn group_mut(&mut self, name: &str) -> Result<&mut Group, ApiError> {
        self.groups.get_mut(name).ok_or_else(errors::no_group)
    }

    /// Appends a line that a task wrote. The stream is made on first use, as the awslogs driver does;
    /// without the group the line is lost (the driver would have refused to start the task).
    pub(crate) fn append(&mut self, group: &str, stream: &str, at: Timestamp, line: &str) {
        let Some(group) = self.groups.get_mut(group) else { return };
        let now = Timestamp::now().as_millisecond();
        let stream = group.streams.entry(stream.to_owned());
        let stream = stream.or_insert_with(|| Stream { created: now, ..Stream::default() });
        stream.push(at.as_millisecond(), now, line.to_owned());
    }

    /// Makes the group if it is not there, as the awslogs driver does with `awslogs-create-group`.
    pub(crate) fn ensure_group(&mut self, group: &str) {
        if !self.groups.contains_key(group) {
            let made = Group {
                created: Timestamp::now().as_millisecond(),
                retention_days: None,
                class: "STANDARD".to_owned(),
                kms_key: None,
                tags: Tags::default(),
                metric_filters: BTreeMap::new(),
                subscriptions: BTreeMap::new(),
                streams: BTreeMap::new(),
            };
            self.groups.insert(group.to_owned(), made);
        }
    }

    /// Whether the group exists.
    pub(crate) fn has_group(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }
}
