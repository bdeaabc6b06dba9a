//! CBOR in and out, as far as RPC v2 needs it: smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
//! and RFC 8949.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value, json};

use super::time::is_time;

/// Deeper than any input of AWS.
const DEEPEST: usize = 64;

/// A tag for seconds since 1970.
const EPOCH: u8 = 0xc1;

/// The bytes of `value`.
pub(super) fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, value);
    bytes
}

fn write(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => bytes.push(0xf6),
        Value::Bool(value) => bytes.push(if *value { 0xf5 } else { 0xf4 }),
        Value::Number(number) => write_number(bytes, number),
        Value::String(text) => write_text(bytes, text),
        Value::Array(items) => {
            write_head(bytes, 4, items.len() as u64);
            items.iter().for_each(|item| write(bytes, item));
        }
        Value::Object(fields) => {
            write_head(bytes, 5, fields.len() as u64);
            for (name, value) in fields {
                write_text(bytes, name);
                if is_time(name, value) {
                    bytes.push(EPOCH);
                }
                write(bytes, value);
            }
        }
    }
}

fn write_text(bytes: &mut Vec<u8>, text: &str) {
    write_head(bytes, 3, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

fn write_number(bytes: &mut Vec<u8>, number: &Number) {
    if let Some(number) = number.as_u64() {
        write_head(bytes, 0, number);
    } else if let Some(number) = number.as_i64() {
        // -1 - n
        write_head(bytes, 1, number.unsigned_abs() - 1);
    } else {
        bytes.push(0xfb);
        bytes.extend_from_slice(&number.as_f64().unwrap_or_default().to_be_bytes());
    }
}

fn write_head(bytes: &mut Vec<u8>, major: u8, count: u64) {
    let major = major << 5;
    if let Ok(count) = u8::try_from(count) {
        if count < 24 {
            bytes.push(major | count);
        } else {
            bytes.extend_from_slice(&[major | 24, count]);
        }
    } else if let Ok(count) = u32::try_from(count) {
        bytes.push(major | 26);
        bytes.extend_from_slice(&count.to_be_bytes());
    } else {
        bytes.push(major | 27);
        bytes.extend_from_slice(&count.to_be_bytes());
    }
}

/// The value of `bytes`; nothing if they are not one item of CBOR. Byte strings become base64 text.
pub(super) fn decode(bytes: &[u8]) -> Option<Value> {
    let mut reader = Reader { rest: bytes };
    let value = reader.item(0)?;
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a [u8],
}

/// A count, or the sign that there is none and a break ends the item.
#[derive(Clone, Copy, PartialEq)]
enum Length {
    Of(u64),
    Open,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn length(&mut self, low: u8) -> Option<Length> {
        Some(match low {
            0..24 => Length::Of(u64::from(low)),
            24..28 => {
                let bytes = self.take(1 << (low - 24))?;
                Length::Of(bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
            }
            31 => Length::Open,
            _ => return None,
        })
    }

    /// Reads over a break.
    fn breaks(&mut self) -> bool {
        let ends = self.rest.first() == Some(&0xff);
        if ends {
            self.rest = &self.rest[1..];
        }
        ends
    }

    fn item(&mut self, depth: usize) -> Option<Value> {
        let head = self.byte()?;
        let (major, low) = (head >> 5, head & 0x1f);
        if depth > DEEPEST {
            return None;
        }
        if major == 7 {
            return self.simple(low);
        }
        let length = self.length(low)?;
        match (major, length) {
            (0, Length::Of(number)) => Some(json!(number)),
            (1, Length::Of(number)) => Some(json!(-1 - i64::try_from(number).ok()?)),
            (2, length) => Some(json!(STANDARD.encode(self.bytes(2, length)?))),
            (3, length) => String::from_utf8(self.bytes(3, length)?).ok().map(Value::String),
            (4, length) => self.array(length, depth),
            (5, length) => self.map(length, depth),
            // What a tag says follows from the field's type.
            (6, Length::Of(_)) => self.item(depth + 1),
            _ => None,
        }
    }

    fn simple(&mut self, low: u8) -> Option<Value> {
        Some(match low {
            20 => json!(false),
            21 => json!(true),
            22 | 23 => Value::Null,
            25 => json!(half(u16::from_be_bytes(self.take(2)?.try_into().ok()?))),
            26 => json!(f64::from(f32::from_be_bytes(self.take(4)?.try_into().ok()?))),
            27 => json!(f64::from_be_bytes(self.take(8)?.try_into().ok()?)),
            _ => return None,
        })
    }

    /// A string, in one piece or in several of the same type.
    fn bytes(&mut self, major: u8, length: Length) -> Option<Vec<u8>> {
        if let Length::Of(count) = length {
            return self.take(usize::try_from(count).ok()?).map(<[u8]>::to_vec);
        }
        let mut whole = Vec::new();
        while !self.breaks() {
            let head = self.byte()?;
            match self.length(head & 0x1f)? {
                piece @ Length::Of(_) if head >> 5 == major => whole.extend(self.bytes(major, piece)?),
                _ => return None,
            }
        }
        Some(whole)
    }

    fn ends(&mut self, length: Length, read: u64) -> bool {
        match length {
            Length::Of(count) => read >= count,
            Length::Open => self.breaks(),
        }
    }

    fn array(&mut self, length: Length, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        while !self.ends(length, items.len() as u64) {
            items.push(self.item(depth + 1)?);
        }
        Some(Value::Array(items))
    }

    fn map(&mut self, length: Length, depth: usize) -> Option<Value> {
        let (mut fields, mut read) = (Map::new(), 0);
        while !self.ends(length, read) {
            let Value::String(name) = self.item(depth + 1)? else { return None };
            fields.insert(name, self.item(depth + 1)?);
            read += 1;
        }
        Some(Value::Object(fields))
    }
}

/// A number of sixteen bits: RFC 8949, appendix D.
fn half(bits: u16) -> f64 {
    let (exponent, mantissa) = (i32::from((bits >> 10) & 0x1f), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn examples_of_the_standard_are_read() {
        for (bytes, value) in [
            (&[0x18, 0x64][..], json!(100)),
            (&[0x39, 0x03, 0xe7], json!(-1000)),
            (&[0xf9, 0x3c, 0x00], json!(1.0)),
            (&[0xfa, 0x47, 0xc3, 0x50, 0x00], json!(100_000.0)),
            (&[0xc1, 0x1a, 0x51, 0x4b, 0x67, 0xb0], json!(1_363_896_240)),
            (
                &[0x7f, 0x65, 0x73, 0x74, 0x72, 0x65, 0x61, 0x64, 0x6d, 0x69, 0x6e, 0x67, 0xff],
                json!("streaming"),
            ),
            (
                &[0xbf, 0x61, 0x61, 0x01, 0x61, 0x62, 0x9f, 0x02, 0x03, 0xff, 0xff],
                json!({ "a": 1, "b": [2, 3] }),
            ),
            (&[0x42, 0x01, 0x02], json!("AQI=")),
        ]
        .map(|(bytes, value): (&[u8], Value)| (bytes, value))
        {
            assert_eq!(decode(bytes), Some(value), "{bytes:x?}");
        }
    }

    #[test]
    fn what_is_cut_short_or_goes_on_is_refused() {
        let whole = encode(&json!({ "Names": ["a", "b"], "Count": 300 }));
        for end in 0..whole.len() {
            assert_eq!(decode(&whole[..end]), None);
        }
        assert_eq!(decode(&[0x01, 0x01]), None);
        assert_eq!(decode(&[0x81; 200]), None, "deeper than anything is");
    }

    #[test]
    fn timestamps_are_tagged() {
        let bytes = encode(&json!({ "aTimestamp": 1.5 }));
        assert_eq!(bytes[12], EPOCH);
        assert_eq!(decode(&bytes), Some(json!({ "aTimestamp": 1.5 })));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(|value| json!(value)),
            any::<i64>().prop_map(|value| json!(value)),
            any::<u64>().prop_map(|value| json!(value)),
            (-1e300..1e300).prop_map(|value: f64| json!(value)),
            ".{0,30}".prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::btree_map(".{0,30}", inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in values()) {
            prop_assert_eq!(decode(&encode(&value)), Some(value));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
