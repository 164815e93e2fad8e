//! Standard input, output and error (systemd.exec(5), "LOGGING AND STANDARD INPUT/OUTPUT").

use std::ops::Range;

use argosy_model::{ServiceSpec, StandardInput, StandardOutput};

use super::context::{Context, Reported, place};
use crate::diagnostic::Problem;
use crate::file::Directive;
use crate::specifier::Scope;
use crate::values::{base64, is_normal_path, simple_path};
use crate::words::unescape;

/// What the stream directives asked for so far.
#[derive(Default)]
pub(super) struct StreamsDraft {
    input: Option<Input>,
    data: Vec<u8>,
    output: Option<(StandardOutput, Range<usize>)>,
    error: Option<StandardOutput>,
}

#[derive(Clone)]
enum Input {
    Null,
    Data,
    File(String),
}

const INPUTS: &str = "expected null, data or file:PATH";
const OUTPUTS: &str = "expected journal, null, inherit, file:PATH, append:PATH or truncate:PATH";

impl StreamsDraft {
    /// Takes a directive; tells whether it is one of these.
    pub(super) fn apply(&mut self, context: &mut Context<'_>, directive: &Directive) -> bool {
        match directive.key.as_str() {
            "StandardInput" => {
                if let Ok(input) = input(context, directive) {
                    self.input = Some(input);
                }
            }
            "StandardOutput" => {
                if let Ok(output) = output(context, directive) {
                    self.output = Some((output, place(directive)));
                }
            }
            "StandardError" => {
                if let Ok(error) = output(context, directive) {
                    self.error = Some(error);
                }
            }
            "StandardInputText" => self.text(context, directive),
            "StandardInputData" => match base64(directive.value.as_str()) {
                Some(data) if data.is_empty() => self.data.clear(),
                Some(data) => self.data.extend(data),
                None => {
                    context.bad_value(directive, "expected base64");
                }
            },
            _ => return false,
        }
        true
    }

    fn text(&mut self, context: &mut Context<'_>, directive: &Directive) {
        let value = &directive.value;
        if value.as_str().is_empty() {
            self.data.clear();
            return;
        }
        let text = match unescape(value.as_str()) {
            Ok(bytes) => String::from_utf8(bytes).ok(),
            Err(escape) => {
                let problem =
                    Problem::new("this is no escape sequence").help("write \\\\ for a backslash");
                context.sink.error(value.span(escape), problem);
                return;
            }
        };
        let Some(text) = text else {
            context.bad_value(directive, "its escapes make bytes that are not UTF-8 text");
            return;
        };
        let all = 0..value.as_str().len();
        if let Ok(text) = context.expand(value, all, &text, Scope::Machine) {
            self.data.extend(text.bytes().chain([b'\n']));
        }
    }

    /// Writes the result into `spec`.
    pub(super) fn finish(self, spec: &mut ServiceSpec, context: &mut Context<'_>) {
        spec.standard_input = match self.input {
            None if self.data.is_empty() => StandardInput::Null,
            None | Some(Input::Data) => StandardInput::Data(self.data),
            Some(Input::Null) => StandardInput::Null,
            Some(Input::File(path)) => StandardInput::File(path),
        };
        if let Some((output, span)) = self.output {
            spec.standard_output = match (output, &spec.standard_input) {
                (StandardOutput::Inherit, StandardInput::File(_)) => {
                    context.sink.error(
                        span,
                        Problem::new("an input file cannot be inherited as standard output")
                            .help("name the file: StandardOutput=file:PATH"),
                    );
                    StandardOutput::Null
                }
                // systemd opens /dev/null when there is nothing to inherit.
                (StandardOutput::Inherit, _) => StandardOutput::Null,
                (output, _) => output,
            };
        }
        if let Some(error) = self.error {
            spec.standard_error = error;
        }
    }
}

fn input(context: &mut Context<'_>, directive: &Directive) -> Result<Input, Reported> {
    match directive.value.as_str() {
        "null" => Ok(Input::Null),
        "data" => Ok(Input::Data),
        "tty" | "tty-force" | "tty-fail" => {
            Err(unavailable(context, directive, "services have no terminal"))
        }
        "socket" => Err(unavailable(context, directive, "socket activation is not there yet")),
        "fd" => Err(unavailable(context, directive, "descriptors are not passed on yet")),
        text if text.starts_with("fd:") => {
            Err(unavailable(context, directive, "descriptors are not passed on yet"))
        }
        text if text.starts_with("file:") => file(context, directive, INPUTS).map(Input::File),
        _ => Err(context.bad_value(directive, INPUTS)),
    }
}

fn output(context: &mut Context<'_>, directive: &Directive) -> Result<StandardOutput, Reported> {
    let value = directive.value.as_str();
    Ok(match value {
        "journal" => StandardOutput::Journal,
        "null" => StandardOutput::Null,
        "inherit" => StandardOutput::Inherit,
        "syslog" => {
            let problem = Problem::new("`syslog` means the journal, as in systemd");
            context.sink.note(place(directive), problem);
            StandardOutput::Journal
        }
        "tty" | "kmsg" | "journal+console" | "kmsg+console" | "syslog+console" => {
            return Err(unavailable(context, directive, "services have no console"));
        }
        "socket" => {
            return Err(unavailable(context, directive, "socket activation is not there yet"));
        }
        _ => match value.split_once(':') {
            Some(("file", _)) => StandardOutput::File(file(context, directive, OUTPUTS)?),
            Some(("append", _)) => StandardOutput::Append(file(context, directive, OUTPUTS)?),
            Some(("truncate", _)) => StandardOutput::Truncate(file(context, directive, OUTPUTS)?),
            Some(("fd", _)) => {
                return Err(unavailable(context, directive, "descriptors are not passed on yet"));
            }
            _ => return Err(context.bad_value(directive, OUTPUTS)),
        },
    })
}

/// Reads the path after the first colon.
fn file(
    context: &mut Context<'_>,
    directive: &Directive,
    expected: &str,
) -> Result<String, Reported> {
    let text = context.text(directive, Scope::Machine)?;
    match text.split_once(':') {
        Some((_, path)) if is_normal_path(path) => Ok(simple_path(path)),
        _ => Err(context.bad_value(directive, &format!("{expected}; PATH is absolute"))),
    }
}

fn unavailable(context: &mut Context<'_>, directive: &Directive, why: &str) -> Reported {
    let text = format!("`{}={}`", directive.key, directive.value.as_str());
    let problem = Problem::new(format!("{text} is not available: {why}")).label("refused");
    context.sink.error(place(directive), problem);
    Reported
}
