//! `Endpoint=NAME:PORT|auto/PROTO`, `Publish=PORT [NAME]` and `HealthCheck=tcp|http:/PATH`: how traffic
//! reaches the unit.

use std::ops::Range;

use argosy_model::{EndpointProtocol, EndpointSpec, HealthCheck, Publish, Traffic};

use super::context::{Context, place};
use super::health_check;
use crate::diagnostic::Problem;
use crate::directives::nearest;
use crate::file::Directive;
use crate::specifier::Scope;
use crate::words::Escapes;

/// Most endpoints, and most published ports, of one unit: each is a key that every machine holds.
const LIST_MAX: usize = 16;

/// Longest name of a service: a label of a host name (RFC 1035, 2.3.4), for names are looked up.
const NAME_BYTES_MAX: usize = 63;

const FORM: &str = "expected NAME:PORT/PROTO, such as api:auto/http or db:5432/tcp";

/// What was asked for so far, with the places that the last checks name.
#[derive(Default)]
pub(super) struct TrafficDraft {
    endpoints: Vec<EndpointSpec>,
    published: Vec<(u16, Option<String>, Range<usize>)>,
    health_check: Option<(HealthCheck, Range<usize>)>,
}

impl TrafficDraft {
    /// Takes an `Endpoint=`; an empty one forgets those before.
    pub(super) fn endpoint(&mut self, context: &mut Context<'_>, directive: &Directive) {
        let Ok(text) = context.text(directive, Scope::Name) else { return };
        if text.is_empty() {
            self.endpoints.clear();
            return;
        }
        if let Some(endpoint) = read_endpoint(context, directive, &text) {
            if self.endpoints.iter().any(|known| known.service == endpoint.service) {
                let problem = Problem::new(format!("`{}` is named twice", endpoint.service))
                    .help("give each endpoint of a unit a name of its own");
                context.sink.error(place(directive), problem);
            } else if self.endpoints.len() == LIST_MAX {
                context.bad_value(directive, &format!("at most {LIST_MAX} endpoints a unit"));
            } else {
                self.endpoints.push(endpoint);
            }
        }
    }

    /// Takes a `Publish=`; an empty one forgets those before.
    pub(super) fn publish(&mut self, context: &mut Context<'_>, directive: &Directive) {
        let value = &directive.value;
        let Ok(words) = context.words(value, Escapes::Keep) else { return };
        let (port, name) = match words.as_slice() {
            [] => return self.published.clear(),
            [port] => (port, None),
            [port, name] => (port, Some(name)),
            _ => {
                context.bad_value(directive, "expected PORT or PORT NAME");
                return;
            }
        };
        let Ok(text) = context.expand_word(value, port, Scope::Name) else { return };
        let span = value.span(port.span.clone());
        let Some(number) = read_port(&text) else {
            context.sink.error(span, bad_port(&text));
            return;
        };
        let name = match name {
            None => None,
            Some(word) => match context.expand_word(value, word, Scope::Name) {
                Ok(name) => Some(name),
                Err(_) => return,
            },
        };
        if self.published.iter().any(|(known, _, _)| *known == number) {
            context.sink.error(span, Problem::new(format!("port {number} is published twice")));
        } else if self.published.len() == LIST_MAX {
            context.bad_value(directive, &format!("at most {LIST_MAX} ports a unit"));
        } else {
            self.published.push((number, name, place(directive)));
        }
    }

    /// Takes a `HealthCheck=`; an empty one forgets that before.
    pub(super) fn health_check(&mut self, context: &mut Context<'_>, directive: &Directive) {
        let Ok(text) = context.text(directive, Scope::Name) else { return };
        if text.is_empty() {
            self.health_check = None;
        } else if let Some(check) = health_check::read(context, directive, &text) {
            self.health_check = Some((check, place(directive)));
        }
    }

    /// Finds the endpoint of each published port, and of the check.
    pub(super) fn finish(self, context: &mut Context<'_>) -> Traffic {
        let mut publish = Vec::new();
        for (port, name, span) in self.published {
            let found = match &name {
                None => self.endpoints.first(),
                Some(name) => self.endpoints.iter().find(|known| &known.service == name),
            };
            let problem = match (found, name) {
                (Some(endpoint), _) => {
                    let (service, protocol) = (endpoint.service.clone(), endpoint.protocol);
                    publish.push(Publish { port, service, protocol });
                    continue;
                }
                (None, None) => Problem::new("`Publish=` needs an endpoint to lead to")
                    .help("write one, such as Endpoint=api:auto/http"),
                (None, Some(name)) => {
                    let known = self.endpoints.iter();
                    let near = nearest(&name, known, |known| known.service.as_str());
                    let problem = Problem::new(format!("the unit has no endpoint `{name}`"));
                    match near {
                        Some(near) => problem.help(format!("did you mean `{}`?", near.service)),
                        None => problem.help(format!("write Endpoint={name}:auto/http")),
                    }
                }
            };
            context.sink.error(span, problem);
        }
        let health_check =
            self.health_check.and_then(|(check, span)| {
                match health_check::lacking(&check, &self.endpoints) {
                    None => Some(check),
                    Some(problem) => {
                        context.sink.error(span, problem);
                        None
                    }
                }
            });
        Traffic { endpoints: self.endpoints, publish, health_check }
    }
}

fn read_port(text: &str) -> Option<u16> {
    text.parse::<u16>().ok().filter(|port| *port > 0 && !text.starts_with('+'))
}

fn bad_port(text: &str) -> Problem {
    Problem::new(format!("`{text}` is not a port")).label("expected a number from 1 to 65535")
}

fn read_endpoint(
    context: &mut Context<'_>,
    directive: &Directive,
    text: &str,
) -> Option<EndpointSpec> {
    let parts = text.split_once(':').and_then(|(name, rest)| {
        rest.split_once('/').map(|(port, protocol)| (name, port, protocol))
    });
    let Some((name, port, protocol)) = parts else {
        context.bad_value(directive, FORM);
        return None;
    };
    // A place within `text` is one within the value only if no specifier was expanded.
    let value = &directive.value;
    let plain = value.as_str() == text;
    let span = |from: usize, length: usize| match plain {
        true => value.span(from..from + length),
        false => place(directive),
    };
    let at_port = name.len() + 1;
    let at_protocol = at_port + port.len() + 1;
    if let Some(problem) = bad_name(name) {
        context.sink.error(span(0, name.len()), problem);
        return None;
    }
    let number = match port {
        "auto" => None,
        _ => match read_port(port) {
            Some(number) => Some(number),
            None => {
                let problem = Problem::new(format!("`{port}` is not a port"))
                    .label("expected a number from 1 to 65535, or auto");
                context.sink.error(span(at_port, port.len()), problem);
                return None;
            }
        },
    };
    let Some(protocol_read) = EndpointProtocol::parse(protocol) else {
        let problem = Problem::new(format!("`{protocol}` is no protocol of an endpoint"))
            .label("expected http or tcp");
        let near = nearest(protocol, EndpointProtocol::ALL.iter(), |(word, _)| word);
        let problem = match near {
            Some((word, _)) => problem.help(format!("did you mean `{word}`?")),
            None => problem.help("whatever is not HTTP/1.1 is tcp"),
        };
        context.sink.error(span(at_protocol, protocol.len()), problem);
        return None;
    };
    Some(EndpointSpec { service: name.to_owned(), port: number, protocol: protocol_read })
}

fn bad_name(name: &str) -> Option<Problem> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let ends = [name.bytes().next(), name.bytes().last()];
    if name.is_empty() || ends.contains(&Some(b'-')) || !name.bytes().all(allowed) {
        Some(
            Problem::new(format!("`{name}` is no name of a service"))
                .label("expected lower-case letters, digits and dashes within"),
        )
    } else if name.len() > NAME_BYTES_MAX {
        Some(Problem::new(format!("the name is longer than {NAME_BYTES_MAX} bytes")))
    } else {
        None
    }
}
