//! "Did you mean": the nearest of the names that would have been right.

/// The name nearest to `wrong`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    names
        .into_iter()
        .map(|name| (likeness(&wrong, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// From 0 to 1. One slip in a short name counts more than its share of the letters.
fn likeness(wrong: &str, name: &str) -> f64 {
    let one_slip = name.len() >= 3 && strsim::osa_distance(wrong, name) == 1;
    strsim::jaro_winkler(wrong, name).max(if one_slip { 0.8 } else { 0.0 })
}

/// Help for a wrong name: what was probably meant, else what there is.
pub fn help<'a>(what: &str, wrong: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match (nearest(wrong, names.iter().copied()), names.as_slice()) {
        (Some(name), _) => format!("did you mean `{name}`?"),
        (None, []) => format!("there are no {what}"),
        (None, names) => format!("{what}: {}", list(names)),
    }
}

/// Names for reading: `a`, `b`, `c`. A long list is cut.
fn list(names: &[&str]) -> String {
    const SHOWN: usize = 30;
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_only_if_it_is_near() {
        assert_eq!(nearest("registri", ["image", "registry"]), Some("registry"));
        assert_eq!(nearest("scan_on_psuh", ["scan_on_push", "name"]), Some("scan_on_push"));
        assert_eq!(nearest("asw", ["local", "aws"]), Some("aws"));
        assert_eq!(nearest("qqq", ["image", "registry"]), None);
        assert_eq!(help("stages", "qqq", ["a", "b"]), "stages: `a`, `b`");
    }
}
