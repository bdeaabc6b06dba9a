//! Log events: putting, reading one stream, searching a group.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::groups::size;
use super::state::{Event, Stream};
use super::streams::GroupRef;
use super::{errors, page};
use crate::services::Call;
use crate::wire::{ApiError, Output};

/// The most that one answer contains.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html>
const MOST: usize = 10_000;
/// Events may be this much older than now, in milliseconds (14 days).
const OLDEST: i64 = 14 * 24 * 60 * 60 * 1000;
/// Events may be this much in the future, in milliseconds (2 hours).
const NEWEST: i64 = 2 * 60 * 60 * 1000;
/// The events of one call may be this far apart, in milliseconds (24 hours).
const LONGEST: i64 = 24 * 60 * 60 * 1000;
/// The most that the events of one call may weigh, in bytes.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>
const HEAVIEST: usize = 1_048_576;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Put {
    log_group_name: String,
    log_stream_name: String,
    log_events: Vec<InputEvent>,
}

#[derive(Deserialize)]
struct InputEvent {
    timestamp: i64,
    message: String,
}

pub(super) fn put(call: &mut Call<'_>, input: Put) -> Result<Output, ApiError> {
    let now = call.now.as_millisecond();
    let stream = call.region().logs.group_mut(&input.log_group_name)?.stream_mut(&input.log_stream_name)?;
    let events = input.log_events;
    check(&events)?;
    let old = events.iter().take_while(|event| event.timestamp < now - OLDEST).count();
    let new = events.iter().position(|event| event.timestamp > now + NEWEST);
    // What is rejected does not count for how far apart they are.
    let valid = &events[old..new.unwrap_or(events.len())];
    if let [first, .., last] = valid
        && last.timestamp - first.timestamp > LONGEST
    {
        return Err(errors::invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    for event in events.into_iter().take(new.unwrap_or(usize::MAX)).skip(old) {
        stream.push(event.timestamp, now, event.message);
    }
    let rejected = (old > 0 || new.is_some()).then(
        || json!({ "tooOldLogEventEndIndex": (old > 0).then_some(old), "tooNewLogEventStartIndex": new }),
    );
    Output::of(&json!({
        "nextSequenceToken": stream.received.to_string(), "rejectedLogEventsInfo": rejected,
    }))
}

/// Checks number, weight and order.
fn check(events: &[InputEvent]) -> Result<(), ApiError> {
    if events.is_empty() || events.len() > MOST {
        let text = "Member must have length less than or equal to 10000 and greater than or equal to 1";
        return Err(errors::constraint("[...]", "logEvents", text));
    }
    let weight: usize = events.iter().map(|event| size(&event.message)).sum();
    if weight > HEAVIEST {
        return Err(errors::invalid(format!("Upload too large: {weight} bytes exceeds limit of {HEAVIEST}")));
    }
    if events.windows(2).any(|pair| pair[0].timestamp > pair[1].timestamp) {
        return Err(errors::invalid(
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Get {
    #[serde(flatten)]
    group: GroupRef,
    log_stream_name: String,
    start_time: Option<i64>,
    end_time: Option<i64>,
    next_token: Option<String>,
    limit: Option<i64>,
    #[serde(default)]
    start_from_head: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    timestamp: i64,
    message: String,
    ingestion_time: i64,
}

/// Tokens name a place in the stream: `f/…` reads on from it, `b/…` back from it. At either end the
/// same token comes back, which is how clients see that there is no more.
pub(super) fn get(call: &mut Call<'_>, input: &Get) -> Result<Output, ApiError> {
    let group = input.group.name()?;
    let stream = call.region().logs.group_mut(&group)?.stream_mut(&input.log_stream_name)?;
    let limit = match input.limit {
        None => MOST,
        Some(limit) => {
            usize::try_from(limit).ok().filter(|limit| (1..=MOST).contains(limit)).ok_or_else(|| {
                let text = "Member must have value less than or equal to 10000";
                errors::constraint(&limit.to_string(), "limit", text)
            })?
        }
    };
    let in_time: Vec<&Event> =
        stream.events.iter().filter(|event| within(event, input.start_time, input.end_time)).collect();
    let token = input.next_token.as_deref().map(|token| {
        let (direction, place) = token.split_once('/')?;
        Some((direction == "f", place.parse::<u64>().ok()?))
    });
    let chosen: &[&Event] = match token {
        Some(None) => return Err(errors::invalid("The specified nextToken is invalid.")),
        Some(Some((true, place))) => {
            let first = in_time.partition_point(|event| event.place < place);
            &in_time[first..in_time.len().min(first + limit)]
        }
        Some(Some((false, place))) => {
            let end = in_time.partition_point(|event| event.place < place);
            &in_time[end.saturating_sub(limit)..end]
        }
        None if input.start_from_head => &in_time[..in_time.len().min(limit)],
        None => &in_time[in_time.len().saturating_sub(limit)..],
    };
    let asked = token.flatten().map(|(_, place)| place);
    let backward = chosen.first().map(|event| event.place).or(asked).unwrap_or(0);
    let forward = chosen.last().map(|event| event.place + 1).or(asked).unwrap_or(stream.received);
    let events: Vec<Shown> = chosen
        .iter()
        .map(|event| Shown {
            timestamp: event.timestamp,
            message: event.message.clone(),
            ingestion_time: event.ingestion,
        })
        .collect();
    Output::of(&json!({
        "events": events,
        "nextForwardToken": format!("f/{forward:020}"),
        "nextBackwardToken": format!("b/{backward:020}"),
    }))
}

/// The end is not part of the time.
fn within(event: &Event, start: Option<i64>, end: Option<i64>) -> bool {
    start.is_none_or(|start| event.timestamp >= start) && end.is_none_or(|end| event.timestamp < end)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Filter {
    #[serde(flatten)]
    group: GroupRef,
    #[serde(default)]
    log_stream_names: Vec<String>,
    log_stream_name_prefix: Option<String>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    filter_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    log_stream_name: String,
    timestamp: i64,
    message: String,
    ingestion_time: i64,
    event_id: String,
}

pub(super) fn filter(call: &mut Call<'_>, input: &Filter) -> Result<Output, ApiError> {
    if !input.log_stream_names.is_empty() && input.log_stream_name_prefix.is_some() {
        let text = "logStreamNames and logStreamNamePrefix cannot be given together.";
        return Err(errors::invalid(text));
    }
    let group = call.region().logs.group_mut(&input.group.name()?)?;
    let wanted = |name: &str| {
        (input.log_stream_names.is_empty() || input.log_stream_names.iter().any(|other| other == name))
            && input.log_stream_name_prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str()))
    };
    let pattern = Pattern::parse(input.filter_pattern.as_deref().unwrap_or_default());
    let mut found = Vec::new();
    for (name, stream) in group.streams.iter().filter(|(name, _)| wanted(name)) {
        found.extend(matching(name, stream, input, &pattern));
    }
    found.sort_by_key(|event| event.timestamp);
    let (found, next_token) = page::of(found, input.limit, MOST, input.next_token.as_deref())?;
    Output::of(&json!({ "events": found, "searchedLogStreams": [], "nextToken": next_token }))
}

fn matching<'a>(
    name: &'a str,
    stream: &'a Stream,
    input: &'a Filter,
    pattern: &'a Pattern,
) -> impl Iterator<Item = Found> + 'a {
    // Here the end is part of the time, other than in GetLogEvents (API_FilterLogEvents).
    let end = input.end_time.map(|end| end.saturating_add(1));
    let in_time = stream.events.iter().filter(move |event| within(event, input.start_time, end));
    in_time.filter(|event| pattern.takes(&event.message)).map(move |event| Found {
        log_stream_name: name.to_owned(),
        timestamp: event.timestamp,
        message: event.message.clone(),
        ingestion_time: event.ingestion,
        event_id: format!("{:020}{:036}", event.timestamp, event.place),
    })
}

/// A filter pattern of plain terms: all must occur, those after `-` must not, and of those after `?`
/// one is enough. Patterns on JSON or columns (in braces or brackets) are not understood and take
/// everything.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>
#[derive(Debug, Default, PartialEq)]
struct Pattern {
    all: Vec<String>,
    any: Vec<String>,
    none: Vec<String>,
}

impl Pattern {
    fn parse(text: &str) -> Self {
        let mut pattern = Self::default();
        if text.trim_start().starts_with(['{', '[']) {
            return pattern;
        }
        let mut rest = text.trim();
        while !rest.is_empty() {
            let kind = rest.chars().next().filter(|first| "-?".contains(*first));
            let term = rest.trim_start_matches(['-', '?']);
            let (term, after) = match term.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => term.split_once(char::is_whitespace).unwrap_or((term, "")),
            };
            let list = match kind {
                Some('-') => &mut pattern.none,
                Some(_) => &mut pattern.any,
                None => &mut pattern.all,
            };
            list.push(term.to_owned());
            rest = after.trim_start();
        }
        pattern
    }

    fn takes(&self, message: &str) -> bool {
        self.all.iter().all(|term| message.contains(term.as_str()))
            && (self.any.is_empty() || self.any.iter().any(|term| message.contains(term.as_str())))
            && !self.none.iter().any(|term| message.contains(term.as_str()))
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn patterns_of_terms() {
        let takes = |pattern: &str, message: &str| Pattern::parse(pattern).takes(message);
        assert!(takes("", "anything"));
        assert!(takes("ERROR \"not found\"", "ERROR 404 not found"));
        assert!(!takes("ERROR timeout", "ERROR 404"));
        assert!(takes("?ERROR ?WARN", "a WARN"));
        assert!(!takes("?ERROR ?WARN", "an INFO"));
        assert!(!takes("ERROR -404", "ERROR 404"));
    }
}
