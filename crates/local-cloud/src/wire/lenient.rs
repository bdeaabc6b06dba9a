//! Reads typed inputs from trees whose leaves may be text.
//!
//! Query and XML inputs carry numbers and booleans as text, and lists as objects with numbered keys
//! (`member.1`, `1`) or as repeated elements. JSON inputs are read by the same code unchanged.

use std::sync::LazyLock;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, DeserializeOwned, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde_json::{Error, Map, Value};

/// `value` as a `T`.
pub(super) fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, Error> {
    T::deserialize(Lenient(value))
}

static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

/// There are hundreds of input types, and each way on from here is compiled for every one of them: each kind of value
/// has one way, and none leads through the deserializer of [`Value`].
struct Lenient<'de>(&'de Value);

impl<'de> Lenient<'de> {
    /// A value that is no list and no object.
    fn leaf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (None, Some(value)) => visitor.visit_i64(value),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::Array(_) | Value::Object(_) => Err(self.unexpected(&visitor)),
        }
    }

    fn unexpected(self, expected: &dyn de::Expected) -> Error {
        let found = match self.0 {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::String(text) => Unexpected::Str(text),
            Value::Array(_) => Unexpected::Seq,
            Value::Object(_) => Unexpected::Map,
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => Unexpected::Unsigned(value),
                (None, Some(value)) => Unexpected::Signed(value),
                (None, None) => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
        };
        Error::invalid_type(found, expected)
    }
}

impl<'de> IntoDeserializer<'de, Error> for Lenient<'de> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

/// The items of a list in any of its forms.
fn items(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => items_of_object(fields),
        // An empty list in XML and an empty `Name=` in a form.
        Value::String(text) if text.trim().is_empty() => Vec::new(),
        Value::Null => Vec::new(),
        single => vec![single],
    }
}

fn items_of_object(fields: &Map<String, Value>) -> Vec<&Value> {
    let numbered = fields.keys().all(|key| key.parse::<usize>().is_ok());
    if numbered {
        let mut numbered: Vec<_> =
            fields.iter().filter_map(|(key, value)| Some((key.parse::<usize>().ok()?, value))).collect();
        numbered.sort_by_key(|(index, _)| *index);
        return numbered.into_iter().map(|(_, value)| value).collect();
    }
    // `member`, `item`, or an element named after what is in the list.
    match fields.iter().next() {
        Some((_, inner)) if fields.len() == 1 => items(inner),
        _ => vec![],
    }
}

macro_rules! from_text {
    ($($method:ident => $visit:ident: $type:ty),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0 {
                Value::String(text) => match text.trim().parse::<$type>() {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => Err(self.unexpected(&visitor)),
                },
                _ => self.leaf(visitor),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Lenient<'de> {
    type Error = Error;

    from_text! {
        deserialize_bool => visit_bool: bool,
        deserialize_i8 => visit_i8: i8, deserialize_i16 => visit_i16: i16,
        deserialize_i32 => visit_i32: i32, deserialize_i64 => visit_i64: i64,
        deserialize_u8 => visit_u8: u8, deserialize_u16 => visit_u16: u16,
        deserialize_u32 => visit_u32: u32, deserialize_u64 => visit_u64: u64,
        deserialize_f32 => visit_f32: f32, deserialize_f64 => visit_f64: f64,
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(_) => self.deserialize_seq(visitor),
            Value::Object(_) => self.deserialize_map(visitor),
            _ => self.leaf(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_boolean() || self.0.is_number() {
            return Err(self.unexpected(&visitor));
        }
        visitor.visit_seq(SeqDeserializer::new(items(self.0).into_iter().map(Lenient)))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let fields = match self.0 {
            Value::Object(fields) => fields,
            // An element without children.
            Value::String(text) if text.trim().is_empty() => &NOTHING,
            _ => return Err(self.unexpected(&visitor)),
        };
        let fields = fields.iter().map(|(key, value)| (key.as_str(), Lenient(value)));
        visitor.visit_map(MapDeserializer::new(fields))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        // In an input of AWS an enumeration is a word.
        match self.0 {
            Value::String(word) => visitor.visit_enum(word.as_str().into_deserializer()),
            _ => Err(self.unexpected(&visitor)),
        }
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}
