//! Reads typed inputs from trees whose leaves may be text.
//!
//! Query and XML inputs carry numbers and booleans as text, and lists as objects with numbered keys
//! (`member.1`, `1`) or as repeated elements. JSON inputs are read by the same code unchanged.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, DeserializeOwned, Error as _, IntoDeserializer, Visitor};
use serde_json::{Error, Map, Value};

/// `value` as a `T`.
pub(super) fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, Error> {
    T::deserialize(Lenient(value))
}

struct Lenient<'de>(&'de Value);

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
                    Err(_) => Err(Error::invalid_type(de::Unexpected::Str(text), &visitor)),
                },
                other => other.$method(visitor),
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
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if !self.0.is_array() && !self.0.is_object() && !self.0.is_string() && !self.0.is_null() {
            return self.0.deserialize_seq(visitor);
        }
        visitor.visit_seq(SeqDeserializer::new(items(self.0).into_iter().map(Lenient)))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(fields) => visitor.visit_map(MapDeserializer::new(
                fields.iter().map(|(key, value)| (key.as_str(), Lenient(value))),
            )),
            // An element without children.
            Value::String(text) if text.trim().is_empty() => {
                visitor.visit_map(MapDeserializer::new(std::iter::empty::<(&str, Lenient<'de>)>()))
            }
            other => other.deserialize_map(visitor),
        }
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
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}
