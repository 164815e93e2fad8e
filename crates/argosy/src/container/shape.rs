//! A container as docker's `inspect` shows it, for programs that were written for docker. The engine's
//! own shape says more: who runs it, and what the machine does not grant.

use argosy_container::{
    ContainerSpec, Health, Inspection, MountKind, Namespace, Propagation, State,
};
use argosy_image::Image;
use argosy_network::{Endpoint, PublishedPort};
use serde_json::{Map, Value, json};

use super::record::EngineRecord;
use super::{Engine, network, status};

/// Of `HostConfig.PidMode` and the like: what docker says for a namespace of its own.
const OWN: &str = "private";

/// What is known of one container.
pub(super) struct Known<'a> {
    pub(super) engine: &'a Engine,
    pub(super) record: Option<&'a EngineRecord>,
    /// Its image, if it is still there.
    pub(super) image: Option<&'a Image>,
    pub(super) inspection: &'a Inspection,
    pub(super) endpoints: &'a [Endpoint],
    pub(super) published: &'a [PublishedPort],
}

impl Known<'_> {
    pub(super) fn docker(&self) -> Value {
        let spec = &self.inspection.spec;
        let name = self.record.map_or_else(|| spec.id.short(), |it| it.name.clone());
        let created = self.record.map(|it| it.created_ms);
        let (program, arguments) = spec.process.args.split_first().map_or_else(
            || (String::new(), Vec::new()),
            |(program, arguments)| (program.clone(), arguments.to_vec()),
        );
        let manifest = self.record.map(|it| it.manifest.clone());
        let image = self.image.map(|it| it.id.to_string()).or(manifest).unwrap_or_default();
        json!({
            "Id": spec.id,
            "Created": status::time(created),
            "Path": program,
            "Args": arguments,
            "State": state(self.inspection),
            "Image": image,
            "Name": format!("/{name}"),
            "RestartCount": 0,
            "Driver": "overlay",
            "Platform": "linux",
            "LogPath": self.engine.containers.data_dir.join(spec.id.as_str()).join("log"),
            "HostConfig": self.host_config(),
            "Mounts": self.mounts(),
            "Config": self.config(),
            "NetworkSettings": self.network_settings(),
        })
    }

    fn config(&self) -> Value {
        let spec = &self.inspection.spec;
        let (entrypoint, command) = self.words();
        let exposed = self.record.map(|it| it.exposed.clone()).unwrap_or_default();
        let of_image = self.image.and_then(|it| it.config.config().as_ref());
        let of_image = of_image.and_then(|it| it.exposed_ports().clone()).unwrap_or_default();
        let exposed: Map<String, Value> = of_image
            .into_iter()
            .chain(exposed)
            .map(|it| (if it.contains('/') { it } else { format!("{it}/tcp") }, json!({})))
            .collect();
        json!({
            "Hostname": spec.hostname(),
            "Domainname": "",
            "User": spec.process.user,
            "Tty": spec.process.tty,
            "OpenStdin": self.record.is_some_and(|it| it.runs.interactive),
            // Whoever attaches and ends his input ends the container's, each time.
            "StdinOnce": false,
            "AttachStdin": false,
            "AttachStdout": false,
            "AttachStderr": false,
            "Env": spec.process.env,
            "Cmd": command,
            "Image": self.record.map(|it| it.image.clone()).unwrap_or_default(),
            "WorkingDir": spec.process.cwd.clone().unwrap_or_default(),
            "Entrypoint": entrypoint,
            "Labels": self.record.map(|it| it.labels.clone()).unwrap_or_default(),
            "StopSignal": spec.stop_signal.and_then(argosy_model::signal_name).unwrap_or("SIGTERM"),
            "StopTimeout": self.record.and_then(|it| it.stop_timeout),
            "ExposedPorts": exposed,
            "Healthcheck": spec.health.as_ref().map(health_check),
        })
    }

    /// Splits the program's words as the image does, if they begin with its entrypoint.
    fn words(&self) -> (Option<Vec<String>>, Vec<String>) {
        let args = &self.inspection.spec.process.args;
        let config = self.image.and_then(|it| it.config.config().as_ref());
        let own = config.and_then(|it| it.entrypoint().clone()).filter(|it| !it.is_empty());
        match own {
            Some(own) if args.starts_with(&own) => {
                let rest = args[own.len()..].to_vec();
                (Some(own), rest)
            }
            _ => (None, args.clone()),
        }
    }

    fn host_config(&self) -> Value {
        let spec = &self.inspection.spec;
        let (limits, spaces) = (&spec.limits, &spec.namespaces);
        let networks = network::names(self.engine, &spec.id, spec);
        let memory = limits.memory.unwrap_or(0);
        json!({
            "Binds": binds(spec),
            "NetworkMode": networks.first().cloned().unwrap_or_else(|| "none".to_owned()),
            "PortBindings": self.ports(),
            // Who runs it again is its unit.
            "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 },
            "AutoRemove": self.record.is_some_and(|it| it.remove),
            "Privileged": spec.security.privileged,
            "ReadonlyRootfs": spec.root_read_only,
            "CapAdd": spec.security.cap_add,
            "CapDrop": spec.security.cap_drop,
            "PidMode": mode(&spaces.pid),
            "IpcMode": mode(&spaces.ipc),
            "UTSMode": mode(&spaces.uts),
            "Init": spec.init,
            "ShmSize": spec.shm_bytes.unwrap_or(64 << 20),
            "Sysctls": spec.sysctls,
            "OomScoreAdj": spec.oom_score_adj.unwrap_or(0),
            "Memory": memory,
            "MemorySwap": limits.memory_swap.unwrap_or(0),
            "NanoCpus": limits.milli_cpus.unwrap_or(0).saturating_mul(1_000_000),
            "CpuShares": limits.cpu_shares.unwrap_or(0),
            "CpusetCpus": limits.cpuset_cpus.clone().unwrap_or_default(),
            "PidsLimit": limits.pids,
            "LogConfig": { "Type": "json-file", "Config": {} },
        })
    }

    fn mounts(&self) -> Vec<Value> {
        let volumes: Vec<_> = self
            .record
            .iter()
            .flat_map(|it| &it.volumes)
            .filter_map(|name| self.engine.volumes.find(name).ok())
            .map(|volume| (self.engine.volumes.data_of(&volume), volume.name))
            .collect();
        let one = |mount: &argosy_container::Mount| {
            let (kind, source, propagation) = match &mount.kind {
                MountKind::Bind { source, propagation, .. } => {
                    ("bind", source.as_path(), *propagation)
                }
                MountKind::Tmpfs { .. } => ("tmpfs", "".as_ref(), Propagation::Private),
            };
            let name = volumes.iter().find(|(path, _)| path == source).map(|it| &it.1);
            let mut value = json!({
                "Type": if name.is_some() { "volume" } else { kind },
                "Source": source,
                "Destination": mount.target,
                "Mode": if mount.read_only { "ro" } else { "" },
                "RW": !mount.read_only,
                "Propagation": match propagation {
                    Propagation::Private => "rprivate",
                    Propagation::Slave => "rslave",
                    Propagation::Shared => "rshared",
                },
            });
            if let Some(name) = name {
                value["Name"] = name.as_str().into();
                value["Driver"] = "local".into();
            }
            value
        };
        self.inspection.spec.mounts.iter().map(one).collect()
    }

    /// Returns published ports by the container's, as docker has them.
    fn ports(&self) -> Map<String, Value> {
        let mut ports = Map::new();
        for port in self.published {
            let key = format!("{}/{}", port.container_port, port.protocol);
            let one = json!({
                "HostIp": port.address.to_string(), "HostPort": port.port.to_string(),
            });
            match ports.get_mut(&key) {
                Some(Value::Array(list)) => list.push(one),
                _ => drop(ports.insert(key, json!([one]))),
            }
        }
        ports
    }

    fn network_settings(&self) -> Value {
        let running = self.inspection.init.as_ref();
        let mut networks = Map::new();
        for it in self.endpoints {
            let id = self.engine.networks.find(&it.network).map(|it| it.id).unwrap_or_default();
            let one = json!({
                "NetworkID": id,
                "IPAddress": it.address.to_string(),
                "IPPrefixLen": it.prefix,
                "Gateway": it.gateway.to_string(),
                "MacAddress": it.mac.to_string(),
                "Aliases": it.aliases,
            });
            networks.insert(it.network.clone(), one);
        }
        if networks.is_empty() {
            let spec = &self.inspection.spec;
            let names = network::names(self.engine, &spec.id, spec);
            networks.extend(
                names.into_iter().map(|name| {
                    (name, json!({ "IPAddress": "", "IPPrefixLen": 0, "Gateway": "" }))
                }),
            );
        }
        // docker's own fields beside the networks' are those of the first.
        let first = self.endpoints.first();
        let text = |of: Option<String>| of.unwrap_or_default();
        json!({
            "SandboxKey": text(running.map(|it| format!("/proc/{}/ns/net", it.pid))),
            "Ports": self.ports(),
            "IPAddress": text(first.map(|it| it.address.to_string())),
            "IPPrefixLen": first.map_or(0, |it| it.prefix),
            "Gateway": text(first.map(|it| it.gateway.to_string())),
            "MacAddress": text(first.map(|it| it.mac.to_string())),
            "Networks": networks,
        })
    }
}

fn state(inspection: &Inspection) -> Value {
    let state = &inspection.state;
    let exit = match state {
        State::Exited(exit) => Some(exit),
        _ => None,
    };
    let mut value = json!({
        "Status": status::word(state),
        // One that stands still runs, for docker.
        "Running": matches!(state, State::Running | State::Unwatched | State::Paused),
        "Paused": *state == State::Paused,
        "Restarting": false,
        "OOMKilled": exit.is_some_and(|it| it.oom_killed),
        "Dead": false,
        "Pid": inspection.init.as_ref().map_or(0, |it| it.pid),
        "ExitCode": status::exit_code(state),
        "Error": exit.and_then(|it| it.error.clone()).unwrap_or_default(),
        "StartedAt": status::time(exit.map(|it| it.started_ms).or(inspection.started_ms)),
        "FinishedAt": status::time(exit.map(|it| it.finished_ms)),
    });
    // Always there, so that a template can ask whether it is something.
    value["Health"] = status::health_of(inspection).map_or(Value::Null, |health| {
        json!({ "Status": status::health_word(&health), "FailingStreak": health.failures })
    });
    value
}

fn health_check(health: &Health) -> Value {
    let test: Vec<&str> =
        std::iter::once("CMD").chain(health.args.iter().map(String::as_str)).collect();
    let nanos = |span: std::time::Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    json!({
        "Test": test,
        "Interval": nanos(health.interval),
        "Timeout": nanos(health.timeout),
        "StartPeriod": nanos(health.start_period),
        "Retries": health.retries,
    })
}

/// Returns the binds as they could be written behind `-v`.
fn binds(spec: &ContainerSpec) -> Vec<String> {
    let text = |mount: &argosy_container::Mount| match &mount.kind {
        MountKind::Bind { source, .. } => {
            let end = if mount.read_only { ":ro" } else { "" };
            Some(format!("{}:{}{end}", source.display(), mount.target))
        }
        MountKind::Tmpfs { .. } => None,
    };
    spec.mounts.iter().filter_map(text).collect()
}

fn mode(namespace: &Namespace) -> String {
    match namespace {
        Namespace::Private => OWN.to_owned(),
        Namespace::Host => "host".to_owned(),
        Namespace::Container(id) => format!("container:{id}"),
        Namespace::Path(path) => format!("ns:{}", path.display()),
    }
}
