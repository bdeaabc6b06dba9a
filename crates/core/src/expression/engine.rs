//! The template engine behind `${{ … }}`: its delimiters, and names with a dash.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};
use pipeline_sdk::{Map, Value};

/// Stands for `-` in stage names, which the engine would read as a subtraction.
const DASH: &str = "__dash__";

pub(super) const OPEN: &str = "${{";
pub(super) const CLOSE: &str = "}}";

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Only variables are meant to be used; text never contains control characters by chance.
    let syntax = SyntaxConfig::builder()
        .variable_delimiters(OPEN, CLOSE)
        .block_delimiters("\u{1}{%", "%}\u{1}")
        .comment_delimiters("\u{1}{#", "#}\u{1}")
        .keep_trailing_newline(true)
        .build();
    // The delimiters are distinct, so this cannot fail; the default ones would stay otherwise.
    if let Ok(syntax) = syntax {
        environment.set_syntax(syntax);
    }
    environment
});

/// The names an expression without delimiters uses.
pub(super) fn expression_names(code: &str) -> Result<BTreeSet<String>, minijinja::Error> {
    let expression = ENVIRONMENT.compile_expression_owned(alias(code))?;
    Ok(expression.undeclared_variables(true).iter().map(|name| unalias(name)).collect())
}

/// The names that the expressions within a text use.
pub(super) fn text_names(text: &str) -> Result<BTreeSet<String>, minijinja::Error> {
    let source = alias_text(text);
    let environment: &Environment<'_> = &ENVIRONMENT;
    let template = environment.template_from_str(&source)?;
    Ok(template.undeclared_variables(true).iter().map(|name| unalias(name)).collect())
}

/// Evaluates an expression without delimiters, keeping its type.
pub(super) fn evaluate(code: &str, names: Value) -> Result<Value, String> {
    let context = minijinja::value::Serde(alias_stages(names));
    let expression = ENVIRONMENT.compile_expression_owned(alias(code)).map_err(describe)?;
    let value = expression.eval(context).map_err(describe)?;
    if value.is_undefined() {
        return Err("the expression has no value".to_owned());
    }
    serde_json::to_value(&value).map_err(|error| format!("the value is not plain data: {error}"))
}

/// Replaces the expressions within a text.
pub(super) fn render(text: &str, names: Value) -> Result<String, String> {
    let context = minijinja::value::Serde(alias_stages(names));
    ENVIRONMENT.render_str(&alias_text(text), context).map_err(describe)
}

/// What the engine has to say, without its notes about lines of templates.
pub(super) fn describe(error: minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

fn alias_text(text: &str) -> String {
    let mut pieces = text.split(OPEN);
    let mut aliased = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (code, rest) = piece.split_at(piece.find(CLOSE).unwrap_or(piece.len()));
        aliased.push_str(OPEN);
        aliased.push_str(&alias(code));
        aliased.push_str(rest);
    }
    aliased
}

/// Makes `stages.load-balancer.arn` one chain of names. Quoted text stays as it is.
fn alias(code: &str) -> String {
    let mut aliased = String::with_capacity(code.len());
    let mut quote = None;
    let mut rest = code;
    while let Some(next) = rest.chars().next() {
        let starts_name = aliased.chars().next_back().is_none_or(|c| !is_name(c) && c != '.');
        if let Some(after) = rest.strip_prefix("stages.").filter(|_| quote.is_none() && starts_name) {
            let end = after.find(|c: char| !is_name(c)).unwrap_or(after.len());
            aliased.push_str("stages.");
            aliased.push_str(&after[..end].replace('-', DASH));
            rest = &after[end..];
            continue;
        }
        match (quote, next) {
            (None, '"' | '\'') => quote = Some(next),
            (Some(open), close) if open == close => quote = None,
            _ => {}
        }
        aliased.push(next);
        rest = &rest[next.len_utf8()..];
    }
    aliased
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn unalias(name: &str) -> String {
    name.replace(DASH, "-")
}

fn alias_stages(mut names: Value) -> Value {
    if let Some(stages) = names.get_mut("stages").and_then(Value::as_object_mut) {
        let taken = std::mem::take(stages);
        *stages = taken.into_iter().map(|(k, v)| (k.replace('-', DASH), v)).collect::<Map<_, _>>();
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_in_a_stage_name_is_no_subtraction() {
        assert_eq!(alias("stages.load-balancer.arn"), "stages.load__dash__balancer.arn");
        assert_eq!(alias("var.a - 1 ~ 'stages.a-b'"), "var.a - 1 ~ 'stages.a-b'");
        assert_eq!(alias_text("stages.a-b ${{ stages.a-b.c }}"), "stages.a-b ${{ stages.a__dash__b.c }}");
    }
}
