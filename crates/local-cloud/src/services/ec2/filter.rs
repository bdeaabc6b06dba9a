//! Filters and pages of the Describe operations.
//!
//! Source: docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Filter.html and
//! docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html

use indexmap::IndexMap;
use serde::Deserialize;

use super::Ec2State;
use super::error::invalid_value;
use crate::services::tag::Tags;
use crate::wire::ApiError;

/// One filter; filters are joined by "and", their values by "or".
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Filter {
    #[serde(default)]
    name: String,
    #[serde(default, rename = "Value", alias = "Values")]
    values: Vec<String>,
}

/// Something that filters can look at.
pub(super) trait Filtered {
    /// The values that the resource has for a filter; nothing if there is no such filter. Tags are not
    /// asked for here.
    fn values(&self, filter: &str) -> Option<Vec<String>>;
}

impl<T: Filtered> Filtered for &T {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        (**self).values(filter)
    }
}

/// A resource beside the account that it belongs to, for the filter `owner-id`.
pub(super) struct Owned<'a, T> {
    pub(super) resource: T,
    pub(super) owner: &'a str,
}

impl<T: Filtered> Filtered for Owned<'_, T> {
    fn values(&self, filter: &str) -> Option<Vec<String>> {
        match filter {
            "owner-id" => Some(vec![self.owner.to_owned()]),
            _ => self.resource.values(filter),
        }
    }
}

/// What a Describe asks for: resources by their ids, all if it names none, that pass its filters.
pub(super) struct Wanted<'a> {
    pub(super) ids: &'a [String],
    pub(super) filters: &'a [Filter],
    /// The error for an id that does not exist.
    pub(super) unknown: fn(&str) -> ApiError,
}

impl Wanted<'_> {
    /// Those of `all`, which is by id.
    pub(super) fn of<'a, T: Filtered>(
        &self,
        ec2: &Ec2State,
        all: &'a IndexMap<String, T>,
    ) -> Result<Vec<&'a T>, ApiError> {
        self.seen(ec2, all, |resource| resource)
    }

    /// The same of resources that tell whose they are.
    pub(super) fn owned<'a, T: Filtered>(
        &self,
        ec2: &Ec2State,
        owner: &str,
        all: &'a IndexMap<String, T>,
    ) -> Result<Vec<&'a T>, ApiError> {
        self.seen(ec2, all, |resource| Owned { resource, owner })
    }

    /// The same where filters look at more than the resource itself.
    pub(super) fn seen<'a, T, S: Filtered>(
        &self,
        ec2: &Ec2State,
        all: &'a IndexMap<String, T>,
        see: impl Fn(&'a T) -> S,
    ) -> Result<Vec<&'a T>, ApiError> {
        if let Some(unknown) = self.ids.iter().find(|id| !all.contains_key(*id)) {
            return Err((self.unknown)(unknown));
        }
        let mut found = Vec::new();
        for (id, resource) in all {
            let named = self.ids.is_empty() || self.ids.contains(id);
            if named && passes(self.filters, &see(resource), ec2.tags_of(id))? {
                found.push(resource);
            }
        }
        Ok(found)
    }
}

/// Whether `resource` with `tags` passes all filters.
pub(super) fn passes(
    filters: &[Filter],
    resource: &impl Filtered,
    tags: Option<&Tags>,
) -> Result<bool, ApiError> {
    for filter in filters {
        let values = match tag_values(&filter.name, tags) {
            Some(values) => values,
            None => resource
                .values(&filter.name)
                .ok_or_else(|| invalid_value(format!("The filter '{}' is invalid", filter.name)))?,
        };
        let wanted = |value: &String| filter.values.iter().any(|pattern| like(pattern, value));
        if !values.iter().any(wanted) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn tag_values(filter: &str, tags: Option<&Tags>) -> Option<Vec<String>> {
    if let Some(key) = filter.strip_prefix("tag:") {
        return Some(tags.and_then(|tags| tags.get(key)).into_iter().cloned().collect());
    }
    match filter {
        "tag-key" => Some(tags.map(|tags| tags.keys().cloned().collect()).unwrap_or_default()),
        "tag-value" => Some(tags.map(|tags| tags.values().cloned().collect()).unwrap_or_default()),
        _ => None,
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any text and `?` for one character.
pub(super) fn like(pattern: &str, text: &str) -> bool {
    fn matches(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skip| matches(rest, &text[skip..])),
            Some(('?', rest)) => !text.is_empty() && matches(rest, &text[1..]),
            Some((letter, rest)) => text.first() == Some(letter) && matches(rest, &text[1..]),
        }
    }
    let chars = |text: &str| text.chars().collect::<Vec<_>>();
    matches(&chars(pattern), &chars(text))
}

/// Part of a list, and where the next part begins.
pub(super) fn page<T>(
    mut items: Vec<T>,
    most: Option<usize>,
    token: Option<&str>,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let start = match token.filter(|token| !token.is_empty()) {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .map_err(|_| ApiError::sender("InvalidNextToken", "The token is invalid."))?,
    };
    let most = match most {
        Some(most) if !(5..=1000).contains(&most) => {
            return Err(invalid_value(format!(
                "Value ( {most} ) for parameter maxResults is invalid. Expecting a value between 5 and 1000."
            )));
        }
        Some(most) => most,
        None => usize::MAX,
    };
    let rest = items.split_off(start.min(items.len()));
    let more = rest.len() > most;
    let next = more.then(|| start.saturating_add(most).to_string());
    Ok((rest.into_iter().take(most).collect(), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_match() {
        assert!(like("my-*", "my-vpc"));
        assert!(like("*", ""));
        assert!(like("a?c", "abc"));
        assert!(!like("a?c", "ac"));
        assert!(!like("my", "my-vpc"));
    }

    #[test]
    fn pages_follow_each_other() {
        let (first, next) = page((0..7).collect(), Some(5), None).expect("a page");
        assert_eq!((first.len(), next.as_deref()), (5, Some("5")));
        let (second, next) = page((0..7).collect(), Some(5), next.as_deref()).expect("a page");
        assert_eq!((second, next), (vec![5, 6], None));
    }
}
