//! What a container uses of the machine.

use std::time::Duration;

use argosy_container::{ContainerId, Stats};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Server;
use super::answer::{Answer, Refusal, json, stream};
use super::call::Call;
use super::containers::known;
use super::system::has_figures;
use crate::container::Engine;
use crate::container::record::EngineRecord;

/// Between two looks, as with docker.
const STEP: Duration = Duration::from_secs(1);
/// The kernel counts the machine's processor time in hundredths of a second, for programs.
const TICK_NANOS: u64 = 10_000_000;

/// One look: what the container has used, and what the whole machine has.
#[derive(Debug, Clone, Default)]
struct Look {
    stats: Stats,
    machine_nanos: u64,
}

impl Look {
    fn at(engine: &Engine, id: &ContainerId) -> Result<Look, Refusal> {
        let stats = engine.containers.stats(id)?;
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        Ok(Look { stats, machine_nanos: machine_nanos(&stat) })
    }

    fn cpu(&self) -> Value {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        json!({
            "cpu_usage": {
                "total_usage": self.stats.cpu_us.unwrap_or(0).saturating_mul(1_000),
                "usage_in_kernelmode": 0,
                "usage_in_usermode": 0,
            },
            "system_cpu_usage": self.machine_nanos,
            "online_cpus": processors,
            "throttling_data": { "periods": 0, "throttled_periods": 0, "throttled_time": 0 },
        })
    }
}

/// Returns the processor time of the machine since it was started, from `/proc/stat`.
fn machine_nanos(stat: &str) -> u64 {
    let words = stat.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1);
    // Guests' time is in the others' already.
    let ticks: u64 = words.take(8).filter_map(|it| it.parse::<u64>().ok()).sum();
    ticks.saturating_mul(TICK_NANOS)
}

pub(super) async fn stats(server: &Server, call: &Call, name: &str) -> Answer {
    let engine = server.engine.clone();
    let (id, inspection) = known(&engine, name).await?;
    // Without a word of it docker streams.
    let streams = call.query.get("stream").is_none() || call.query.is_on("stream");
    let is_one = call.query.is_on("one-shot");
    if !has_figures(&inspection.state) {
        return Ok(json(&shown(&engine, &id, &Look::default(), &Look::default())));
    }
    let mut before = if is_one { Look::default() } else { Look::at(&engine, &id)? };
    if !streams {
        if !is_one {
            sleep(STEP).await;
        }
        let now = Look::at(&engine, &id)?;
        return Ok(json(&shown(&engine, &id, &before, &now)));
    }
    let (sender, response) = stream("application/json");
    server.tasks.spawn(async move {
        // Until the container has ended, or nobody reads any more.
        while let Ok(now) = Look::at(&engine, &id) {
            let text = shown(&engine, &id, &before, &now).to_string() + "\n";
            if sender.send(Bytes::from(text)).await.is_err() {
                return;
            }
            before = now;
            sleep(STEP).await;
        }
    });
    Ok(response)
}

fn shown(engine: &Engine, id: &ContainerId, before: &Look, now: &Look) -> Value {
    let figures = &now.stats;
    let name = EngineRecord::name_of(&engine.containers, id);
    let written = |op: &str, value: Option<u64>| {
        value.map(|value| json!({ "major": 0, "minor": 0, "op": op, "value": value }))
    };
    let io: Vec<Value> =
        [written("read", figures.read_bytes), written("write", figures.written_bytes)]
            .into_iter()
            .flatten()
            .collect();
    json!({
        "id": id,
        "name": format!("/{name}"),
        "read": jiff::Timestamp::now().to_string(),
        "preread": jiff::Timestamp::now().to_string(),
        "num_procs": 0,
        "pids_stats": { "current": figures.pids.unwrap_or(0) },
        "memory_stats": {
            "usage": figures.memory.unwrap_or(0),
            // A container without a limit may have what the machine has.
            "limit": figures.memory_limit.unwrap_or_else(machine_memory),
            "stats": {},
        },
        "cpu_stats": now.cpu(),
        "precpu_stats": before.cpu(),
        "blkio_stats": { "io_service_bytes_recursive": io },
        "storage_stats": {},
        "networks": {},
    })
}

fn machine_memory() -> u64 {
    let memory = rustix::system::sysinfo();
    u64::from(memory.mem_unit).saturating_mul(memory.totalram)
}

#[cfg(test)]
mod tests {
    use super::machine_nanos;

    #[test]
    fn the_machine_s_time_is_the_sum_of_all_states_but_the_guests() {
        let stat = "cpu  1 2 3 4 5 6 7 8 900 900\ncpu0 1 2 3 4 5 6 7 8 900 900\n";
        assert_eq!(machine_nanos(stat), 36 * 10_000_000);
        assert_eq!(machine_nanos(""), 0);
    }
}
