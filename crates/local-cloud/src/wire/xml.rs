//! XML in and out, as trees.
//!
//! Out: an object becomes child elements, a list becomes one element around `member` (awsQuery),
//! `item` (EC2) or named elements (restXml); null is left out. In: repeated children become a list.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::Event;
use serde_json::{Map, Value};

/// Writes a document with one root element.
pub(super) fn document(root: &str, namespace: &str, content: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer {
        text: String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"),
        namespace: namespace.to_owned(),
    };
    writer.text.push_str(&format!("<{root}"));
    if !namespace.is_empty() {
        writer.text.push_str(&format!(" xmlns=\"{namespace}\""));
    }
    writer.text.push('>');
    content(&mut writer);
    writer.text.push_str(&format!("</{root}>"));
    writer.text.into_bytes()
}

/// Writes elements from values.
pub(super) struct Writer {
    text: String,
    namespace: String,
}

impl Writer {
    /// `<name>text</name>`
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.element(name, &Value::String(text.to_owned()));
    }

    /// `<outer><name>text</name></outer>`
    pub(super) fn text_in(&mut self, outer: &str, name: &str, text: &str) {
        self.open(outer);
        self.text(name, text);
        self.close(outer);
    }

    /// Every field of an object as an element; anything else as text.
    pub(super) fn fields(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| self.element(name, value)),
            Value::Null => {}
            Value::String(text) => self.text.push_str(&escape(text.as_str())),
            other => self.text.push_str(&other.to_string()),
        }
    }

    /// `<name>value</name>`; nothing for null.
    pub(super) fn element(&mut self, name: &str, value: &Value) {
        match value {
            Value::Null => {}
            Value::Array(items) => {
                self.open(name);
                let item = self.item_name(name);
                items.iter().for_each(|value| self.element(&item, value));
                self.close(name);
            }
            value => {
                self.open(name);
                self.fields(value);
                self.close(name);
            }
        }
    }

    fn item_name<'n>(&self, list: &'n str) -> Cow<'n, str> {
        if self.namespace.contains("//ec2.") {
            Cow::Borrowed("item")
        } else if self.namespace.contains("//route53.") {
            Cow::Borrowed(route53_item(list))
        } else {
            Cow::Borrowed("member")
        }
    }

    fn open(&mut self, name: &str) {
        self.text.push('<');
        self.text.push_str(name);
        self.text.push('>');
    }

    fn close(&mut self, name: &str) {
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push('>');
    }
}

/// Route 53 names the elements of a list in the singular, with these exceptions.
fn route53_item(list: &str) -> &str {
    match list {
        "HealthCheckRegions" => "Region",
        "ResourceTagSets" => "ResourceTagSet",
        "HostedZoneSummaries" => "HostedZoneSummary",
        "CheckerIpRanges" | "CidrLocations" => "member",
        plural => plural.strip_suffix('s').unwrap_or(plural),
    }
}

/// Reads a document; the result holds the children of its root element.
pub(crate) fn parse(document: &[u8]) -> Result<Value, quick_xml::Error> {
    let mut reader = Reader::from_reader(document);
    let mut stack: Vec<Element> = vec![Element::default()];
    loop {
        match reader.read_event()? {
            Event::Start(start) => {
                stack.push(Element::named(start.local_name().as_ref().to_owned()));
            }
            Event::Empty(start) => {
                let name = start.local_name().as_ref().to_owned();
                adopt(&mut stack, Element::named(name));
            }
            Event::End(_) => {
                if let Some(done) = stack.pop() {
                    adopt(&mut stack, done);
                }
            }
            Event::Text(text) => {
                if let Some(top) = stack.last_mut() {
                    top.text.push_str(&text);
                }
            }
            Event::CData(data) => {
                if let Some(top) = stack.last_mut() {
                    top.text.push_str(&data);
                }
            }
            Event::GeneralRef(reference) => {
                let resolved = match reference.resolve_char_ref()? {
                    Some(character) => Some(character.to_string()),
                    None => quick_xml::escape::resolve_predefined_entity(&reference).map(str::to_owned),
                };
                if let (Some(top), Some(resolved)) = (stack.last_mut(), resolved) {
                    top.text.push_str(&resolved);
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    let root = stack.pop().unwrap_or_default().into_value();
    Ok(root.as_object().and_then(|fields| fields.values().next()).cloned().unwrap_or(Value::Null))
}

#[derive(Default)]
struct Element {
    name: String,
    text: String,
    children: Map<String, Value>,
}

impl Element {
    fn named(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    fn into_value(self) -> Value {
        if self.children.is_empty() { Value::String(self.text) } else { Value::Object(self.children) }
    }
}

fn adopt(stack: &mut [Element], child: Element) {
    let Some(parent) = stack.last_mut() else { return };
    let name = child.name.clone();
    let value = child.into_value();
    match parent.children.get_mut(&name) {
        Some(Value::Array(siblings)) => siblings.push(value),
        Some(first) => {
            let first_value = first.take();
            *first = Value::Array(vec![first_value, value]);
        }
        None => {
            parent.children.insert(name, value);
        }
    }
}
