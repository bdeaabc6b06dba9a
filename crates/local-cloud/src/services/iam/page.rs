//! Pages of the List operations: `Marker` and `MaxItems`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::wire::{ApiError, Output};

/// The parameters of a page.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Page {
    marker: Option<String>,
    /// As text: a flattened form field is not read as a number.
    max_items: Option<String>,
}

impl Page {
    /// Answers with the part of `items` that the page names, as the list `name`.
    pub(super) fn answer(&self, name: &str, items: Vec<Value>) -> Result<Output, ApiError> {
        Output::of(&self.of(name, items)?)
    }

    /// The fields of such an answer, for one that has more of them.
    pub(super) fn of(&self, name: &str, items: Vec<Value>) -> Result<Map<String, Value>, ApiError> {
        let start = match &self.marker {
            Some(marker) => marker
                .parse::<usize>()
                .map_err(|_| ApiError::sender("ValidationError", "Invalid value for the marker"))?,
            None => 0,
        };
        let wanted = self.max_items.as_deref().unwrap_or("100").parse::<usize>();
        let size = wanted
            .map_err(|_| ApiError::sender("ValidationError", "MaxItems is not a number"))?
            .clamp(1, 1000);
        let end = (start + size).min(items.len());
        let more = end < items.len();
        let mut body = Map::new();
        body.insert(name.to_owned(), items.into_iter().skip(start).take(size).collect());
        body.insert("IsTruncated".into(), json!(more));
        if more {
            body.insert("Marker".into(), json!(end.to_string()));
        }
        Ok(body)
    }
}
