//! Form fields to a tree: `A.B.member.1.C=x` is field `C` of the first item of list `A.B`.

use serde_json::{Map, Value};

/// The tree that the dotted names of `fields` describe. Leaves are strings.
///
/// Lists stay objects with numbers (or `member` over numbers) as keys; the reader of a typed list
/// turns them into one, because only the type tells a list from a map.
pub(super) fn tree(fields: &[(String, String)]) -> Value {
    let mut root = Map::new();
    for (name, value) in fields {
        insert(&mut root, name, value);
    }
    Value::Object(root)
}

fn insert(node: &mut Map<String, Value>, path: &str, value: &str) {
    let Some((head, rest)) = path.split_once('.') else {
        node.entry(path).or_insert_with(|| Value::String(value.to_owned()));
        return;
    };
    let child = node.entry(head).or_insert_with(|| Value::Object(Map::new()));
    if !child.is_object() {
        // `Filter=x&Filter.1=y`: the structured form wins.
        *child = Value::Object(Map::new());
    }
    if let Value::Object(child) = child {
        insert(child, rest, value);
    }
}
