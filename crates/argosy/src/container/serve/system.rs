//! What the engine is, and what happens in it.

use argosy_container::State;
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use super::super::about::{API_VERSION, VERSION, docker_arch, info_value};
use super::super::events::{Asked, follow};
use super::Server;
use super::answer::{Answer, Body, in_thread, json, stream, text};
use super::call::Call;

/// The versions of docker's interface that are served: clients of 20.10 and later speak one of them.
pub(super) const API_MIN: &str = "1.41";
pub(super) const API_MAX: &str = API_VERSION;

pub(super) fn ping() -> Response<Body> {
    text("OK")
}

pub(super) fn version() -> Response<Body> {
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let engine = json!({
        "Name": "Engine",
        "Version": VERSION,
        "Details": { "ApiVersion": API_MAX, "MinAPIVersion": API_MIN, "Os": "linux", "Arch": docker_arch() },
    });
    json(&json!({
        "Platform": { "Name": "Argosy" },
        "Components": [engine],
        "Version": VERSION,
        "ApiVersion": API_MAX,
        "MinAPIVersion": API_MIN,
        "Os": "linux",
        "Arch": docker_arch(),
        "KernelVersion": kernel,
        "GitCommit": "",
        "GoVersion": "",
        "BuildTime": "",
    }))
}

pub(super) async fn info(server: &Server) -> Answer {
    let engine = server.engine.clone();
    in_thread(move || {
        let mut value = info_value(&engine)?;
        let memory = rustix::system::sysinfo();
        let more = json!({
            "ID": value["Name"],
            "OperatingSystem": "Linux",
            "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
            "MemTotal": u64::from(memory.mem_unit).saturating_mul(memory.totalram),
            "SystemTime": jiff::Timestamp::now().to_string(),
            "LoggingDriver": "json-file",
            "CgroupDriver": "none",
            "DefaultRuntime": "argosy",
            "Plugins": {
                "Volume": ["local"], "Network": ["bridge", "host", "none"], "Log": ["json-file"],
            },
            "Swarm": { "LocalNodeState": "inactive" },
            "IndexServerAddress": "https://index.docker.io/v1/",
            "SecurityOptions": ["name=seccomp,profile=default"],
            "MemoryLimit": true, "SwapLimit": true, "PidsLimit": true, "CPUShares": true,
            "CPUSet": true, "CpuCfsQuota": true, "CpuCfsPeriod": true, "IPv4Forwarding": true,
            "OomKillDisable": false,
        });
        if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
            value.extend(more);
        }
        Ok(json(&value))
    })
    .await
}

pub(super) fn events(server: &Server, call: &Call) -> Answer {
    let query = &call.query;
    let asked = Asked::read(query.get("since"), query.get("until"), &query.filters()?)?;
    let engine = server.engine.clone();
    let (sender, response) = stream("application/json");
    server.tasks.spawn(async move {
        let told = in_thread(move || {
            let followed = follow(&engine, &asked, &mut |event| match event {
                None => Ok(!sender.is_closed()),
                Some(event) => {
                    let mut value = serde_json::to_value(event).unwrap_or_default();
                    // For clients of before.
                    value["status"] = value["Action"].clone();
                    value["id"] = value["Actor"]["ID"].clone();
                    value["from"] = value["Actor"]["Attributes"]["image"].clone();
                    Ok(sender.blocking_send(Bytes::from(value.to_string() + "\n")).is_ok())
                }
            });
            Ok(followed?)
        });
        // The answer has begun: all that can be told of a failure is its end.
        if let Err(refusal) = told.await {
            crate::printer::note(&format!("the events break off: {}", refusal.message));
        }
    });
    Ok(response)
}

/// Tells whether a container is one for which docker has figures.
pub(super) fn has_figures(state: &State) -> bool {
    matches!(state, State::Running | State::Paused | State::Unwatched)
}
