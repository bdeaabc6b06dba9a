//! Reads a message of the host in one pass.
//!
//! What a body is depends on the type of its message. Hosts write the type and the id first, so a body can be read where
//! it stands: to skip it and to read it afterwards is a tenth of what a short call costs.

use std::cell::Cell;
use std::fmt;

use pipeline_sdk::wire::MessageType;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What a message is, and which call or question it belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Header {
    pub(crate) message: MessageType,
    pub(crate) id: u64,
}

/// Reads the body of a message.
pub(crate) trait ReadBody<'m> {
    type Body;

    /// # Errors
    /// The body is not what a message of this type has.
    fn read_body<D: Deserializer<'m>>(self, header: Header, body: D) -> Result<Self::Body, D::Error>;
}

/// Why a message cannot be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// It has no type, no id or no body, or is not JSON before them.
    Message(serde_json::Error),
    /// Its body is not what its type says.
    Body(Header, serde_json::Error),
}

/// Reads a message.
pub(crate) fn read<'m, R: ReadBody<'m>>(
    message: &'m [u8],
    reader: R,
) -> Result<(Header, R::Body), ReadError> {
    let header = Cell::default();
    let mut json = serde_json::Deserializer::from_slice(message);
    let body = json.deserialize_map(InOnePass { reader, header: &header });
    let body = body.and_then(|body| json.end().map(|()| body));
    match (body, header.get()) {
        (Ok(body), Some(header)) => Ok((header, body)),
        (Ok(_), None) => Err(ReadError::Message(serde_json::Error::missing_field("id"))),
        (Err(error), None) => Err(ReadError::Message(error)),
        (Err(error), Some(header)) => Err(ReadError::Body(header, error)),
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Type,
    Id,
    Body,
    #[serde(other)]
    Later,
}

struct InOnePass<'a, R> {
    reader: R,
    /// Set before the body is read.
    header: &'a Cell<Option<Header>>,
}

impl<'m, R: ReadBody<'m>> Visitor<'m> for InOnePass<'_, R> {
    type Value = R::Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message: an object with `type`, `id` and `body`")
    }

    fn visit_map<M: MapAccess<'m>>(self, mut map: M) -> Result<R::Body, M::Error> {
        let (mut message, mut id, mut early, mut reader, mut body) =
            (None, None, None, Some(self.reader), None);
        while let Some(key) = map.next_key()? {
            match (key, message.zip(id)) {
                (Key::Type, _) => message = Some(map.next_value()?),
                (Key::Id, _) => id = Some(map.next_value()?),
                (Key::Body, Some((message, id))) => {
                    let Some(reader) = reader.take() else { return Err(M::Error::duplicate_field("body")) };
                    let header = Header { message, id };
                    self.header.set(Some(header));
                    body = Some(map.next_value_seed(BodySeed { reader, header })?);
                }
                // A host may write them in any order.
                (Key::Body, None) => early = Some(map.next_value::<&RawValue>()?),
                (Key::Later, _) => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if let Some(body) = body {
            return Ok(body);
        }
        let message = message.ok_or_else(|| M::Error::missing_field("type"))?;
        let header = Header { message, id: id.ok_or_else(|| M::Error::missing_field("id"))? };
        let (early, reader) = early.zip(reader).ok_or_else(|| M::Error::missing_field("body"))?;
        self.header.set(Some(header));
        reader.read_body(header, early).map_err(M::Error::custom)
    }
}

struct BodySeed<R> {
    reader: R,
    header: Header,
}

impl<'m, R: ReadBody<'m>> DeserializeSeed<'m> for BodySeed<R> {
    type Value = R::Body;

    fn deserialize<D: Deserializer<'m>>(self, body: D) -> Result<R::Body, D::Error> {
        self.reader.read_body(self.header, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number;

    impl<'m> ReadBody<'m> for Number {
        type Body = u8;

        fn read_body<D: Deserializer<'m>>(self, _: Header, body: D) -> Result<u8, D::Error> {
            u8::deserialize(body)
        }
    }

    fn number(message: &str) -> Result<(Header, u8), ReadError> {
        read(message.as_bytes(), Number)
    }

    const PLAN: Header = Header { message: MessageType::Plan, id: 7 };

    #[test]
    fn a_message_is_read_in_whatever_order_it_is_written() {
        for message in [
            r#"{"type":"plan","id":7,"body":3}"#,
            r#"{"body":3,"id":7,"type":"plan"}"#,
            r#" { "later": [1], "id":7, "body": 3, "type":"plan", "latest": {} } "#,
        ] {
            assert_eq!(number(message).expect(message), (PLAN, 3));
        }
    }

    #[test]
    fn whose_body_is_wrong_is_known() {
        for message in [
            r#"{"type":"plan","id":7,"body":"three"}"#,
            r#"{"type":"plan","id":7,"body":30"#,
            r#"{"type":"plan","id":7,"body":3} {}"#,
            r#"{"type":"plan","id":7,"body":3,"body":4}"#,
            r#"{"body":"three","type":"plan","id":7}"#,
        ] {
            let error = number(message).expect_err(message);
            assert!(matches!(error, ReadError::Body(PLAN, _)), "{message}: {error:?}");
        }
    }

    #[test]
    fn what_is_no_message_is_told_from_it() {
        for (message, reason) in [
            ("", "EOF"),
            ("[]", "a message"),
            (r#"{"type":"plan","id":7}"#, "`body`"),
            (r#"{"type":"plan","body":3}"#, "`id`"),
            (r#"{"id":7,"body":3}"#, "`type`"),
            (r#"{"type":"plan","id":-7,"body":3}"#, "-7"),
        ] {
            match number(message) {
                Err(ReadError::Message(error)) => {
                    assert!(error.to_string().contains(reason), "{message}: {error}")
                }
                other => panic!("{message}: {other:?}"),
            }
        }
    }
}
