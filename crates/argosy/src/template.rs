//! The templates of docker's `--format`: of Go's text/template what scripts use. What is not there is
//! refused by name.

mod evaluate;
mod functions;
mod lines;
mod parse;
mod scan;

use serde_json::Value;

pub(crate) use lines::{Columns, print_lines};

/// How deep brackets and blocks may stand in each other. Nobody writes more by hand, and reading
/// takes some of the stack for each.
const DEPTH_MAX: usize = 64;

/// Why a template cannot be read, or not be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error("a {{{{ has no }}}}")]
    Unclosed,
    #[error("{0:?} is not understood")]
    Word(String),
    #[error("a string is not ended")]
    Text,
    #[error("a value is missing in {{{{{0}}}}}")]
    Missing(String),
    #[error("{0} is left over in {{{{{1}}}}}")]
    LeftOver(String, String),
    #[error("{{{{{0}}}}} has no {{{{end}}}}")]
    NoEnd(String),
    #[error("{{{{{0}}}}} belongs to nothing")]
    Stray(String),
    #[error("brackets or blocks are more than {DEPTH_MAX} deep")]
    Depth,
    #[error("{0} is not there: there are if, else, range, with and end")]
    Block(String),
    #[error("there is no function {0}: there are {known}", known = functions::NAMES.join(", "))]
    Function(String),
    #[error("there is no variable ${0}")]
    Variable(String),
    #[error("there is no {0}: there are {1}")]
    Field(String, String),
    #[error("there is no {0}: it is asked of {1}")]
    NoFields(String, String),
    #[error("{0} takes no arguments")]
    NoArguments(String),
    #[error("{0} cannot be done with {1}")]
    Arguments(&'static str, String),
}

/// A template that has been read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template {
    nodes: Vec<Node>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Text(String),
    Print(Pipe),
    /// Gives a variable a value: a new one, or another one.
    Set {
        name: String,
        is_new: bool,
        pipe: Pipe,
    },
    If {
        cases: Vec<(Pipe, Vec<Node>)>,
        otherwise: Vec<Node>,
    },
    With {
        name: Option<String>,
        pipe: Pipe,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Range {
        /// The variables of place and element.
        names: (Option<String>, Option<String>),
        pipe: Pipe,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

/// Calls of which each gets what the one before has given as its last argument.
#[derive(Debug, Clone, PartialEq)]
struct Pipe(Vec<Call>);

#[derive(Debug, Clone, PartialEq)]
struct Call {
    head: Term,
    arguments: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq)]
enum Term {
    Literal(Value),
    Function(String),
    /// Something, and fields of fields of it.
    Path(Base, Vec<String>),
}

#[derive(Debug, Clone, PartialEq)]
enum Base {
    Dot,
    /// A variable; the one without a name is the whole.
    Variable(String),
    Group(Pipe),
}

impl Template {
    pub(crate) fn read(text: &str) -> Result<Template, TemplateError> {
        parse::nodes(&scan::pieces(text)?).map(|nodes| Template { nodes })
    }

    /// Fills it in.
    pub(crate) fn fill(&self, value: &Value) -> Result<String, TemplateError> {
        evaluate::fill(&self.nodes, value)
    }
}

#[cfg(test)]
mod tests;
