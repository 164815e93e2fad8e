//! Fills a template in.

use serde_json::{Map, Value};

use super::functions::{call, is_true, print};
use super::{Base, Call, Node, Pipe, TemplateError, Term};

/// What stands for the function that is a method in docker: `.Label "key"`.
const LABEL: &str = "Label";

pub(super) fn fill(nodes: &[Node], whole: &Value) -> Result<String, TemplateError> {
    let mut run = Run { variables: vec![(String::new(), whole.clone())], text: String::new() };
    run.nodes(nodes, whole)?;
    Ok(run.text)
}

struct Run {
    /// The last of a name counts.
    variables: Vec<(String, Value)>,
    text: String,
}

impl Run {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), TemplateError> {
        let outside = self.variables.len();
        let result = nodes.iter().try_for_each(|node| self.node(node, dot));
        self.variables.truncate(outside);
        result
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<(), TemplateError> {
        match node {
            Node::Text(text) => self.text.push_str(text),
            Node::Print(pipe) => {
                let value = self.pipe(pipe, dot)?;
                self.text.push_str(&print(&value));
            }
            Node::Set { name, is_new, pipe } => {
                let value = self.pipe(pipe, dot)?;
                match is_new {
                    true => self.variables.push((name.clone(), value)),
                    false => *self.variable(name)? = value,
                }
            }
            Node::If { cases, otherwise } => {
                for (condition, body) in cases {
                    if is_true(&self.pipe(condition, dot)?) {
                        return self.nodes(body, dot);
                    }
                }
                self.nodes(otherwise, dot)?;
            }
            Node::With { name, pipe, body, otherwise } => {
                let value = self.pipe(pipe, dot)?;
                match is_true(&value) {
                    true => self.inside(&[(name, &value)], body, &value)?,
                    false => self.nodes(otherwise, dot)?,
                }
            }
            Node::Range { names, pipe, body, otherwise } => {
                let value = self.pipe(pipe, dot)?;
                let elements = elements(value)?;
                if elements.is_empty() {
                    self.nodes(otherwise, dot)?;
                }
                for (place, element) in &elements {
                    self.inside(&[(&names.0, place), (&names.1, element)], body, element)?;
                }
            }
        }
        Ok(())
    }

    /// Does a block with variables of its own.
    fn inside(
        &mut self,
        own: &[(&Option<String>, &Value)],
        body: &[Node],
        dot: &Value,
    ) -> Result<(), TemplateError> {
        let outside = self.variables.len();
        for (name, value) in own {
            if let Some(name) = name {
                self.variables.push((name.clone(), (*value).clone()));
            }
        }
        let result = self.nodes(body, dot);
        self.variables.truncate(outside);
        result
    }

    fn variable(&mut self, name: &str) -> Result<&mut Value, TemplateError> {
        let found = self.variables.iter_mut().rev().find(|(it, _)| it == name);
        found.map(|(_, value)| value).ok_or_else(|| TemplateError::Variable(name.to_owned()))
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, TemplateError> {
        let mut given = None;
        for call in &pipe.0 {
            given = Some(self.call(call, given, dot)?);
        }
        Ok(given.unwrap_or_default())
    }

    fn call(
        &mut self,
        of: &Call,
        given: Option<Value>,
        dot: &Value,
    ) -> Result<Value, TemplateError> {
        let arguments = of.arguments.iter().map(|term| self.term(term, dot));
        let mut arguments = arguments.collect::<Result<Vec<_>, _>>()?;
        arguments.extend(given);
        match &of.head {
            Term::Function(name) => call(name, &arguments),
            head if arguments.is_empty() => self.term(head, dot),
            Term::Path(base, fields) => match (fields.split_last(), &arguments[..]) {
                (Some((last, before)), [Value::String(key)]) if last == LABEL => {
                    let of = self.path(base, before, dot)?;
                    Ok(label(&field(&of, "Labels")?, key))
                }
                (last, _) => Err(TemplateError::NoArguments(
                    last.map_or_else(|| ".".to_owned(), |it| it.0.clone()),
                )),
            },
            Term::Literal(value) => Err(TemplateError::NoArguments(value.to_string())),
        }
    }

    fn term(&mut self, term: &Term, dot: &Value) -> Result<Value, TemplateError> {
        match term {
            Term::Literal(value) => Ok(value.clone()),
            Term::Function(name) => call(name, &[]),
            Term::Path(base, fields) => self.path(base, fields, dot),
        }
    }

    fn path(
        &mut self,
        base: &Base,
        fields: &[String],
        dot: &Value,
    ) -> Result<Value, TemplateError> {
        let mut value = match base {
            Base::Dot => dot.clone(),
            Base::Variable(name) => self.variable(name)?.clone(),
            Base::Group(pipe) => self.pipe(pipe, dot)?,
        };
        for name in fields {
            value = field(&value, name)?;
        }
        Ok(value)
    }
}

/// Returns a field. docker's own have capital letters, and one that is not there is an error; a map
/// of names, such as of labels, has nothing where it has none.
fn field(value: &Value, name: &str) -> Result<Value, TemplateError> {
    let Value::Object(map) = value else {
        let of = if value.is_null() { "nothing".to_owned() } else { print(value) };
        return Err(TemplateError::NoFields(name.to_owned(), of));
    };
    match map.get(name) {
        Some(value) => Ok(value.clone()),
        None if is_of_names(map) => Ok(Value::Null),
        None => {
            let known: Vec<&str> = map.keys().map(String::as_str).collect();
            Err(TemplateError::Field(name.to_owned(), known.join(", ")))
        }
    }
}

fn is_of_names(map: &Map<String, Value>) -> bool {
    !map.keys().all(|key| key.starts_with(|it: char| it.is_ascii_uppercase())) || map.is_empty()
}

/// Returns a label of those that are written `a=b,c=d`.
fn label(labels: &Value, key: &str) -> Value {
    let text = labels.as_str().unwrap_or_default();
    let mut pairs = text.split(',').filter_map(|it| it.split_once('='));
    pairs.find(|it| it.0 == key).map_or("", |it| it.1).into()
}

/// Returns the elements of a list or, by their names, of a map.
fn elements(value: Value) -> Result<Vec<(Value, Value)>, TemplateError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(list) => {
            Ok(list.into_iter().enumerate().map(|(place, it)| (place.into(), it)).collect())
        }
        Value::Object(map) => {
            let mut all: Vec<_> = map.into_iter().collect();
            all.sort_by(|one, other| one.0.cmp(&other.0));
            Ok(all.into_iter().map(|(key, it)| (key.into(), it)).collect())
        }
        other => Err(TemplateError::Arguments("range", print(&other))),
    }
}
