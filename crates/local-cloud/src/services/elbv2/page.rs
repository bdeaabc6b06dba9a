//! Pages of the Describe operations: `Marker` and `PageSize`.

use super::error::{in_range, validation};
use crate::wire::ApiError;

/// Part of a list, and the marker of the next. AWS answers at most 400 at once.
pub(super) fn page<T>(
    items: Vec<T>,
    size: Option<i64>,
    marker: Option<&str>,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let size = match size {
        Some(size) => {
            in_range(size, "pageSize", 1, 400)?;
            usize::try_from(size).unwrap_or(400)
        }
        None => 400,
    };
    let start: usize = match marker.filter(|marker| !marker.is_empty()) {
        None => 0,
        Some(marker) => marker
            .parse()
            .ok()
            .filter(|start| *start <= items.len())
            .ok_or_else(|| validation(format!("Invalid marker: '{marker}'")))?,
    };
    let end = start.saturating_add(size);
    let next = (items.len() > end).then(|| end.to_string());
    Ok((items.into_iter().skip(start).take(size).collect(), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_lead_through_a_list() {
        let items: Vec<u8> = (0..5).collect();
        let (first, next) = page(items.clone(), Some(3), None).expect("a page");
        assert_eq!((first, next.as_deref()), (vec![0, 1, 2], Some("3")));
        let (second, next) = page(items.clone(), Some(3), next.as_deref()).expect("a page");
        assert_eq!((second, next), (vec![3, 4], None));
        assert!(page(items, Some(0), None).is_err());
    }
}
