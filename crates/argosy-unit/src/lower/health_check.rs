//! `HealthCheck=tcp|http:/PATH`: how the unit is asked whether it is well.

use argosy_model::{EndpointProtocol, EndpointSpec, HealthCheck};

use super::context::{Context, place};
use crate::diagnostic::Problem;
use crate::file::Directive;

/// Longest path. Every table of every machine holds it once an endpoint, and none needs more.
const PATH_BYTES_MAX: usize = 512;

const FORM: &str = "expected tcp or http:/PATH, such as http:/healthz";

/// Reads the value, which is not empty; reports one that is not valid.
pub(super) fn read(
    context: &mut Context<'_>,
    directive: &Directive,
    text: &str,
) -> Option<HealthCheck> {
    let help = match text.strip_prefix("http:") {
        Some(path) if path.starts_with("//") => {
            // The unit's own endpoint is asked, wherever it runs.
            let path = path[2..].split_once('/').map_or("", |(_, path)| path);
            format!("write the path alone: http:/{path}")
        }
        Some(path) if !path.starts_with('/') => format!("write http:/{path}"),
        Some(path) if path.len() > PATH_BYTES_MAX => {
            let problem = Problem::new(format!("the path is longer than {PATH_BYTES_MAX} bytes"));
            context.sink.error(place(directive), problem);
            return None;
        }
        // What a request line takes (RFC 9112, 3.2.1); a fragment is never sent.
        Some(path) if path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') => {
            return Some(HealthCheck::Http(path.to_owned()));
        }
        Some(_) => "write other characters of the path as % and two hexadecimal digits".to_owned(),
        None if text == "tcp" => return Some(HealthCheck::Tcp),
        None if text == "http" => "write http:/ for the root".to_owned(),
        None if text.starts_with('/') => format!("write http:{text}"),
        None => "`tcp` opens a connection, `http:/PATH` asks the first HTTP endpoint".to_owned(),
    };
    let problem = Problem::new(format!("`{text}` is no check")).label(FORM).help(help);
    context.sink.error(place(directive), problem);
    None
}

/// Says which endpoint a check lacks.
pub(super) fn lacking(check: &HealthCheck, endpoints: &[EndpointSpec]) -> Option<Problem> {
    let is_http = |one: &EndpointSpec| one.protocol == EndpointProtocol::Http;
    if endpoints.is_empty() {
        Some(
            Problem::new("`HealthCheck=` needs an endpoint to ask")
                .help("write one, such as Endpoint=api:auto/http"),
        )
    } else if matches!(check, HealthCheck::Http(_)) && !endpoints.iter().any(is_http) {
        Some(
            Problem::new("the unit has no HTTP endpoint to ask")
                .help("end its Endpoint= in /http, or write HealthCheck=tcp"),
        )
    } else {
        None
    }
}
