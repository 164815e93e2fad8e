//! The functions of templates: Go's and docker's.

use std::cmp::Ordering;

use serde_json::Value;

use super::TemplateError;

/// All that there are.
pub(super) const NAMES: [&str; 22] = [
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not",
    "or", "print", "printf", "println", "slice", "split", "title", "truncate", "upper",
];

/// Widest field of `printf`: lines are not longer.
const WIDTH_MAX: usize = 4096;

pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, TemplateError> {
    let Some(known) = NAMES.iter().find(|it| **it == name) else {
        return Err(TemplateError::Function(name.to_owned()));
    };
    let wrong = || {
        let all: Vec<String> = arguments.iter().map(print).collect();
        TemplateError::Arguments(known, format!("({})", all.join(", ")))
    };
    of_text(name, arguments)
        .or_else(|| of_logic(name, arguments))
        .or_else(|| of_parts(name, arguments))
        .ok_or_else(wrong)
}

/// Returns nothing for what it does not do.
fn of_text(name: &str, arguments: &[Value]) -> Option<Value> {
    let text = match (name, arguments) {
        ("json", [value]) => value.to_string(),
        ("lower", [Value::String(text)]) => text.to_lowercase(),
        ("upper", [Value::String(text)]) => text.to_uppercase(),
        ("title", [Value::String(text)]) => title(text),
        ("print", values) => printed(values),
        ("println", values) => {
            let texts: Vec<String> = values.iter().map(print).collect();
            format!("{}\n", texts.join(" "))
        }
        ("printf", [Value::String(form), values @ ..]) => printf(form, values)?,
        ("join", [Value::Array(list), Value::String(between)]) => {
            list.iter().map(print).collect::<Vec<_>>().join(between)
        }
        ("truncate", [Value::String(text), Value::Number(most)]) => {
            text.chars().take(usize::try_from(most.as_u64()?).ok()?).collect()
        }
        ("split", [Value::String(text), Value::String(at)]) => {
            return Some(text.split(at.as_str()).map(Value::from).collect());
        }
        _ => return None,
    };
    Some(text.into())
}

fn of_logic(name: &str, arguments: &[Value]) -> Option<Value> {
    let compared = |wanted: &[Ordering]| match arguments {
        [one, other] => compare(one, other).map(|it| wanted.contains(&it).into()),
        _ => None,
    };
    match (name, arguments) {
        ("and", [.., last]) => {
            Some(arguments.iter().find(|it| !is_true(it)).unwrap_or(last).clone())
        }
        ("or", [.., last]) => Some(arguments.iter().find(|it| is_true(it)).unwrap_or(last).clone()),
        ("not", [value]) => Some((!is_true(value)).into()),
        ("eq", [one, others @ ..]) if !others.is_empty() => {
            let found: Vec<Ordering> =
                others.iter().map(|it| compare(one, it)).collect::<Option<_>>()?;
            Some(found.contains(&Ordering::Equal).into())
        }
        ("ne", _) => compared(&[Ordering::Less, Ordering::Greater]),
        ("lt", _) => compared(&[Ordering::Less]),
        ("le", _) => compared(&[Ordering::Less, Ordering::Equal]),
        ("gt", _) => compared(&[Ordering::Greater]),
        ("ge", _) => compared(&[Ordering::Greater, Ordering::Equal]),
        _ => None,
    }
}

fn of_parts(name: &str, arguments: &[Value]) -> Option<Value> {
    match (name, arguments) {
        ("len", [value]) => match value {
            Value::String(text) => Some(text.len().into()),
            Value::Array(list) => Some(list.len().into()),
            Value::Object(map) => Some(map.len().into()),
            Value::Null => Some(0.into()),
            Value::Bool(_) | Value::Number(_) => None,
        },
        ("index", [value, keys @ ..]) => {
            keys.iter().try_fold(value.clone(), |value, key| part(&value, key))
        }
        ("slice", [value, Value::Number(from), rest @ ..]) => {
            let from = usize::try_from(from.as_u64()?).ok()?;
            let to = match rest {
                [] => None,
                [Value::Number(to)] => Some(usize::try_from(to.as_u64()?).ok()?),
                _ => return None,
            };
            match value {
                Value::String(text) => text.get(from..to.unwrap_or(text.len())).map(Value::from),
                Value::Array(list) => {
                    list.get(from..to.unwrap_or(list.len())).map(|it| it.to_vec().into())
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Returns an element of a list, or of a map; a map has an empty text where it has nothing.
fn part(value: &Value, key: &Value) -> Option<Value> {
    match (value, key) {
        (Value::Array(list), Value::Number(place)) => {
            list.get(usize::try_from(place.as_u64()?).ok()?).cloned()
        }
        (Value::Object(map), Value::String(key)) => {
            Some(map.get(key).cloned().unwrap_or_else(|| "".into()))
        }
        (Value::Null, Value::String(_)) => Some("".into()),
        _ => None,
    }
}

/// Compares what is of one kind.
fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
        (Value::Number(one), Value::Number(other)) => match (one.as_i64(), other.as_i64()) {
            (Some(one), Some(other)) => Some(one.cmp(&other)),
            _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
        },
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        // Something is not nothing.
        (Value::Null, _) => Some(Ordering::Less),
        (_, Value::Null) => Some(Ordering::Greater),
        _ => None,
    }
}

/// Tells whether a condition counts as true: what is not empty, zero or nothing.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(it) => *it,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Writes a value as Go does.
pub(super) fn print(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            format!("[{}]", list.iter().map(print).collect::<Vec<_>>().join(" "))
        }
        Value::Object(map) => {
            let mut pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}:{}", print(value))).collect();
            pairs.sort();
            format!("map[{}]", pairs.join(" "))
        }
    }
}

/// Writes values one after the other, with a space between two that are no texts.
fn printed(values: &[Value]) -> String {
    let mut text = String::new();
    for (place, value) in values.iter().enumerate() {
        if place > 0 && !value.is_string() && !values[place - 1].is_string() {
            text.push(' ');
        }
        text.push_str(&print(value));
    }
    text
}

fn title(text: &str) -> String {
    let mut begins = true;
    let each = |it: char| {
        let capital = begins && it.is_alphabetic();
        begins = !it.is_alphanumeric();
        if capital { it.to_uppercase().to_string() } else { it.to_string() }
    };
    text.chars().map(each).collect()
}

/// Fills `%s`, `%v`, `%d`, `%t` and `%q` in, with a width if wanted. `None` for anything else.
fn printf(form: &str, values: &[Value]) -> Option<String> {
    let mut values = values.iter();
    let mut text = String::new();
    let mut characters = form.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        if characters.next_if_eq(&'%').is_some() {
            text.push('%');
            continue;
        }
        let left = characters.next_if_eq(&'-').is_some();
        let mut width = String::new();
        while let Some(digit) = characters.next_if(char::is_ascii_digit) {
            width.push(digit);
        }
        let width = if width.is_empty() { 0 } else { width.parse::<usize>().ok()? };
        let verb = characters.next()?;
        let value = values.next()?;
        let shown = match (verb, value) {
            ('q', Value::String(text)) => format!("{text:?}"),
            ('d', Value::Number(_)) | ('t', Value::Bool(_)) | ('s' | 'v', _) => print(value),
            _ => return None,
        };
        match (left, width.min(WIDTH_MAX)) {
            (true, width) => text.push_str(&format!("{shown:<width$}")),
            (false, width) => text.push_str(&format!("{shown:>width$}")),
        }
    }
    values.next().is_none().then_some(text)
}
