//! A message as Slack takes it: Block Kit (docs.slack.dev/reference/block-kit/blocks), with a plain
//! text for notifications and a colour at its side.

use serde_json::{Value, json};

use crate::inputs::{Moment, SlackInputs};
use crate::story::Tale;

/// The most characters in a section's text
/// (docs.slack.dev/reference/block-kit/blocks/section-block).
const SECTION_LIMIT: usize = 3_000;

/// The most characters in one of a section's fields.
const FIELD_LIMIT: usize = 2_000;

/// The most characters in a header (docs.slack.dev/reference/block-kit/blocks/header-block).
const HEADER_LIMIT: usize = 150;

/// The most characters in a button's text, and in its URL
/// (docs.slack.dev/reference/block-kit/block-elements/button-element).
const BUTTON_LIMIT: usize = 75;
const URL_LIMIT: usize = 3_000;

/// The JSON that the webhook gets.
pub(crate) fn payload(tale: &Tale, inputs: &SlackInputs) -> Value {
    let project = inputs.project.as_deref().unwrap_or(&tale.project);
    let mut blocks = vec![json!({
        "type": "header",
        "text": { "type": "plain_text", "text": cut(&format!("{} {}", symbol(tale), tale.headline), HEADER_LIMIT) },
    })];
    if let Some(text) = body(tale, inputs) {
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } }));
    }
    let field = |name: &str, value: &str| json!({ "type": "mrkdwn", "text": format!("*{name}*\n{}", escaped(value, FIELD_LIMIT - 50)) });
    let mut fields = vec![field("Project", project)];
    if !tale.target.is_empty() {
        fields.push(field("Region", &tale.target));
    }
    fields.push(json!({ "type": "mrkdwn", "text": format!("*Time*\n{}", time(tale)) }));
    fields.push(field("Run", &tale.run.to_string()));
    blocks.push(json!({ "type": "section", "fields": fields }));
    if let Some(button) = button(tale) {
        blocks.push(json!({ "type": "actions", "elements": [button] }));
    }
    let fallback = escaped(&format!("{project}: {}", tale.headline), SECTION_LIMIT);
    let mut payload = json!({
        "text": fallback,
        "attachments": [{ "color": colour(tale), "blocks": blocks }],
    });
    if let Some(channel) = &inputs.channel {
        payload["channel"] = channel.as_str().into();
    }
    payload
}

fn body(tale: &Tale, inputs: &SlackInputs) -> Option<String> {
    let mention = inputs.mention.as_deref().filter(|_| tale.is_bad).map(mention);
    let room = SECTION_LIMIT - mention.as_ref().map_or(0, |mention| mention.chars().count() + 1);
    let text = escaped(&tale.text, room);
    match (mention, text.is_empty()) {
        (None, true) => None,
        (None, false) => Some(text),
        (Some(mention), true) => Some(mention),
        (Some(mention), false) => Some(format!("{mention} {text}")),
    }
}

/// docs.slack.dev/messaging/formatting-message-text#mentioning-users
fn mention(who: &str) -> String {
    match who.trim_start_matches('@') {
        name @ ("here" | "channel" | "everyone") => format!("<!{name}>"),
        id if id.starts_with('S') => format!("<!subteam^{}>", escaped(id, 50)),
        id => format!("<@{}>", escaped(id, 50)),
    }
}

/// Slack shows the time in the reader's own zone; who cannot reads it in UTC.
fn time(tale: &Tale) -> String {
    let utc = tale.at.strftime("%Y-%m-%d %H:%M:%S UTC");
    format!("<!date^{}^{{date_short_pretty}} {{time_secs}}|{utc}>", tale.at.as_second())
}

fn button(tale: &Tale) -> Option<Value> {
    let link = tale.link.as_ref()?;
    // Slack refuses a whole message because of one URL that it does not like.
    let usable = link.url.starts_with("https://") || link.url.starts_with("http://");
    if !usable || link.url.chars().count() > URL_LIMIT {
        return None;
    }
    Some(json!({
        "type": "button",
        "text": { "type": "plain_text", "text": cut(&link.label, BUTTON_LIMIT) },
        "url": link.url,
    }))
}

fn symbol(tale: &Tale) -> &'static str {
    match tale.moment {
        Moment::Start => "🚀",
        Moment::Progress => "➡️",
        Moment::Success => "✅",
        Moment::Failure => "❌",
        Moment::Rollback => "↩️",
        Moment::Stop => "🛑",
    }
}

fn colour(tale: &Tale) -> &'static str {
    match tale.moment {
        Moment::Start | Moment::Progress => "#3b82f6",
        Moment::Success => "#16a34a",
        Moment::Failure => "#dc2626",
        Moment::Rollback | Moment::Stop => "#f59e0b",
    }
}

/// `text` with the three characters escaped that mean something to Slack
/// (docs.slack.dev/messaging/formatting-message-text#escaping), at most `limit` characters long. An
/// escape is never cut in two.
fn escaped(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    let mut chars = text.trim().chars().peekable();
    while let Some(c) = chars.next() {
        let (piece, width) = match c {
            '&' => ("&amp;", 5),
            '<' => ("&lt;", 4),
            '>' => ("&gt;", 4),
            _ => ("", 1),
        };
        let room = limit - usize::from(chars.peek().is_some());
        if length + width > room {
            out.push('…');
            break;
        }
        length += width;
        if piece.is_empty() { out.push(c) } else { out.push_str(piece) }
    }
    out
}

/// Plain text, which is not escaped, at most `limit` characters long.
fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_cut_between_escapes() {
        assert_eq!(escaped("a <b> & c", 100), "a &lt;b&gt; &amp; c");
        assert_eq!(escaped("abcdef", 6), "abcdef");
        assert_eq!(escaped("abcdefg", 6), "abcde…");
        assert_eq!(escaped("abc&&", 8), "abc…");
        let long = escaped(&"<".repeat(5_000), SECTION_LIMIT);
        assert!(long.chars().count() <= SECTION_LIMIT && long.ends_with(";…"));
    }

    #[test]
    fn mentions_are_written_as_slack_wants_them() {
        assert_eq!(mention("@here"), "<!here>");
        assert_eq!(mention("U024BE7LH"), "<@U024BE7LH>");
        assert_eq!(mention("SAZ94GDB8"), "<!subteam^SAZ94GDB8>");
    }
}
