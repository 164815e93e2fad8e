//! Which part answers a request.

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

use super::answer::{Answer, Body, Refusal, signed};
use super::call::Call;
use super::{
    Server, archive, attach, containers, create, exec, images, logs, networks, stats, system,
    volumes, wait,
};

/// Answers one request.
pub(super) async fn answer(
    server: &Arc<Server>,
    place: Arc<OwnedSemaphorePermit>,
    request: Request<Incoming>,
) -> Response<Body> {
    let is_head = request.method() == Method::HEAD;
    let answered = match Call::of(request, place) {
        Ok(call) => dispatch(server, call).await,
        Err(refusal) => Err(refusal),
    };
    let response = signed(answered.unwrap_or_else(Refusal::response));
    match is_head {
        true => response.map(|_| super::answer::full("")),
        false => response,
    }
}

async fn dispatch(server: &Arc<Server>, call: Call) -> Answer {
    let segments = call.segments.clone();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = call.method.clone();
    match (method.as_str(), &segments[..]) {
        ("GET" | "HEAD", ["_ping"]) => Ok(system::ping()),
        ("GET", ["version"]) => Ok(system::version()),
        ("GET", ["info"]) => system::info(server).await,
        ("GET", ["events"]) => system::events(server, &call),
        ("POST", ["commit"]) => containers::commit(server, call).await,
        ("GET", ["system", "df"]) => Err(Refusal::not_there("system df")),
        (_, ["containers", rest @ ..]) => in_containers(server, call, method.as_str(), rest).await,
        (_, ["exec", rest @ ..]) => match (method.as_str(), rest) {
            ("POST", [id, "start"]) => exec::start(server, call, id).await,
            ("GET", [id, "json"]) => exec::inspect(server, id),
            ("POST", [id, "resize"]) => exec::resize(server, &call, id),
            _ => Err(unknown(&method, &segments)),
        },
        (_, ["images", rest @ ..]) => match (method.as_str(), rest) {
            ("GET", ["json"]) => images::list(server, &call).await,
            ("POST", ["create"]) => images::pull(server, call).await,
            ("POST", ["prune"]) => images::prune(server, &call).await,
            ("GET", ["get" | "search"]) | ("POST", ["load"]) => {
                Err(Refusal::not_there("images load, get and search"))
            }
            ("GET", [name @ .., "json"]) => images::inspect(server, &name.join("/")).await,
            ("POST", [name @ .., "tag"]) => images::tag(server, &call, &name.join("/")).await,
            (_, [.., what @ ("history" | "push" | "get")]) => {
                Err(Refusal::not_there(&format!("images {what}")))
            }
            ("DELETE", [_, ..]) => images::remove(server, &call, &rest.join("/")).await,
            _ => Err(unknown(&method, &segments)),
        },
        (_, ["volumes", rest @ ..]) => match (method.as_str(), rest) {
            ("GET", []) => volumes::list(server, &call).await,
            ("POST", ["create"]) => volumes::create(server, call).await,
            ("POST", ["prune"]) => volumes::prune(server, &call).await,
            ("GET", [name]) => volumes::inspect(server, name).await,
            ("DELETE", [name]) => volumes::remove(server, &call, name).await,
            _ => Err(unknown(&method, &segments)),
        },
        (_, ["networks", rest @ ..]) => match (method.as_str(), rest) {
            ("GET", []) => networks::list(server, &call).await,
            ("POST", ["create"]) => networks::create(server, call).await,
            ("POST", ["prune"]) => networks::prune(server).await,
            ("GET", [name]) => networks::inspect(server, name).await,
            ("DELETE", [name]) => networks::remove(server, name).await,
            ("POST", [_, "connect" | "disconnect"]) => Err(Refusal::not_there(
                "networks connect and disconnect: a container is on its networks for all of its run",
            )),
            _ => Err(unknown(&method, &segments)),
        },
        _ => Err(unknown(&method, &segments)),
    }
}

async fn in_containers(server: &Arc<Server>, call: Call, method: &str, rest: &[&str]) -> Answer {
    match (method, rest) {
        ("GET", ["json"]) => containers::list(server, &call).await,
        ("POST", ["create"]) => create::create(server, call).await,
        ("POST", ["prune"]) => containers::prune(server, &call).await,
        ("GET", [name, "json"]) => containers::inspect(server, name).await,
        ("GET", [name, "logs"]) => logs::logs(server, &call, name).await,
        ("GET", [name, "top"]) => containers::top(server, &call, name).await,
        ("GET", [name, "stats"]) => stats::stats(server, &call, name).await,
        ("POST", [name, "start"]) => containers::start(server, name).await,
        ("POST", [name, "stop"]) => containers::stop(server, &call, name).await,
        ("POST", [name, "restart"]) => containers::restart(server, &call, name).await,
        ("POST", [name, "kill"]) => containers::kill(server, &call, name).await,
        ("POST", [name, "pause"]) => containers::pause(server, name, true).await,
        ("POST", [name, "unpause"]) => containers::pause(server, name, false).await,
        ("POST", [name, "rename"]) => containers::rename(server, &call, name).await,
        ("POST", [name, "wait"]) => wait::wait(server, &call, name).await,
        ("POST", [name, "resize"]) => attach::resize(server, &call, name).await,
        ("POST", [name, "attach"]) => attach::attach(server, call, name).await,
        ("POST", [name, "exec"]) => exec::create(server, call, name).await,
        ("DELETE", [name]) => containers::remove(server, &call, name).await,
        ("HEAD", [name, "archive"]) => archive::stat(server, &call, name).await,
        ("GET", [name, "archive"]) => archive::get(server, &call, name).await,
        ("PUT", [name, "archive"]) => archive::put(server, call, name).await,
        (_, [_, what @ ("changes" | "export" | "update")]) => {
            Err(Refusal::not_there(&format!("containers {what}")))
        }
        ("GET", [_, "attach", "ws"]) => Err(Refusal::not_there("attach by websocket")),
        _ => {
            let path = [&["containers"], rest].concat();
            Err(unknown(&call.method, &path))
        }
    }
}

/// What of docker's begins like this and is not here at all.
const OTHERS: [&str; 13] = [
    "auth",
    "build",
    "configs",
    "distribution",
    "grpc",
    "nodes",
    "plugins",
    "secrets",
    "services",
    "session",
    "swarm",
    "system",
    "tasks",
];

fn unknown(method: &Method, segments: &[&str]) -> Refusal {
    let path = segments.join("/");
    match segments.first() {
        Some(first) if OTHERS.contains(first) => Refusal::not_there(&path),
        _ => Refusal::new(StatusCode::NOT_FOUND, format!("page not found: {method} /{path}")),
    }
}
