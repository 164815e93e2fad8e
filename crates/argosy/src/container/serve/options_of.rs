//! What a client says of a container that is to be made, in the words of `argosy container create`: the
//! same options, with the same checks. What has weight and no word here is refused by its name.

use serde_json::{Map, Value};

use super::answer::Refusal;

/// A command line, and what is worth knowing about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) words: Vec<String>,
    pub(super) notes: Vec<String>,
}

impl Words {
    fn say(&mut self, option: &str, value: impl std::fmt::Display) {
        self.words.push(format!("--{option}={value}"));
    }
}

/// Returns the command line for a body of docker's.
pub(super) fn words(
    name: Option<&str>,
    platform: Option<&str>,
    body: &Value,
) -> Result<Words, Refusal> {
    let empty = Map::new();
    let Value::Object(config) = body else { return Err(wrong("the body")) };
    let image = text("Image", &body["Image"])?.filter(|it| !it.is_empty());
    let image = image.ok_or_else(|| Refusal::bad("Config.Image is missing"))?;
    let mut said = Words::default();
    said.words.push("create".to_owned());
    // A client pulls by itself; the server's own proxies and variables are none of the container's.
    said.say("pull", "never");
    said.say("http-proxy", "false");
    name.into_iter().for_each(|it| said.say("name", it));
    platform.into_iter().for_each(|it| said.say("platform", it));
    for (key, value) in config.iter().filter(|(key, value)| says(key, value)) {
        of_config(&mut said, key, value)?;
    }
    let host = body["HostConfig"].as_object().unwrap_or(&empty);
    for (key, value) in host.iter().filter(|(key, value)| says(key, value)) {
        of_host_config(&mut said, key, value)?;
    }
    networks(&mut said, host, &body["NetworkingConfig"])?;
    said.words.extend(["--".to_owned(), image]);
    said.words.extend(list("Cmd", &body["Cmd"])?);
    Ok(said)
}

/// Tells whether a value says what is so without it.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) => false,
    }
}

/// Tells whether a field of a body says something: of some, nothing is something else than what is so
/// without it.
fn says(key: &str, value: &Value) -> bool {
    const SAID_BY_NOTHING: [&str; 4] =
        ["StopTimeout", "MemorySwappiness", "MaskedPaths", "ReadonlyPaths"];
    !is_nothing(value) || (SAID_BY_NOTHING.contains(&key) && !value.is_null())
}

fn wrong(key: &str) -> Refusal {
    Refusal::bad(format!("{key} is not of the form that docker's interface gives it"))
}

fn refused(key: &str, value: &Value) -> Refusal {
    Refusal::bad(format!("argosy cannot do what {key} asks for: {value}"))
}

fn text(key: &str, value: &Value) -> Result<Option<String>, Refusal> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(wrong(key)),
    }
}

fn list(key: &str, value: &Value) -> Result<Vec<String>, Refusal> {
    match value {
        Value::Null => Ok(Vec::new()),
        // As docker has it: one word may stand alone.
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(list) => {
            let word = |it: &Value| it.as_str().map(str::to_owned).ok_or_else(|| wrong(key));
            list.iter().map(word).collect()
        }
        _ => Err(wrong(key)),
    }
}

fn map<'a>(key: &str, value: &'a Value) -> Result<&'a Map<String, Value>, Refusal> {
    value.as_object().ok_or_else(|| wrong(key))
}

/// Says an option once for each text of a list.
fn each(said: &mut Words, option: &str, key: &str, value: &Value) -> Result<(), Refusal> {
    list(key, value)?.iter().for_each(|it| said.say(option, it));
    Ok(())
}

/// Says an option for each pair of a map.
fn pairs(said: &mut Words, option: &str, key: &str, value: &Value) -> Result<(), Refusal> {
    for (name, value) in map(key, value)? {
        let value = value.as_str().ok_or_else(|| wrong(key))?;
        said.say(option, format!("{name}={value}"));
    }
    Ok(())
}

/// A text, number or switch as the value of an option.
fn plain(said: &mut Words, option: &str, key: &str, value: &Value) -> Result<(), Refusal> {
    match value {
        Value::String(text) => said.say(option, text),
        Value::Number(number) => said.say(option, number),
        Value::Bool(is_on) => said.say(option, is_on),
        _ => return Err(wrong(key)),
    }
    Ok(())
}

/// Says one field of what a container is.
fn of_config(said: &mut Words, key: &str, value: &Value) -> Result<(), Refusal> {
    match key {
        // These are said elsewhere, or say how the client goes on.
        "Image" | "Cmd" | "HostConfig" | "NetworkingConfig" | "AttachStdin" | "AttachStdout"
        | "AttachStderr" | "StdinOnce" | "ArgsEscaped" => {}
        "Hostname" => plain(said, "hostname", key, value)?,
        "User" => plain(said, "user", key, value)?,
        "Tty" => plain(said, "tty", key, value)?,
        "OpenStdin" => plain(said, "interactive", key, value)?,
        "Env" => {
            for variable in list(key, value)? {
                match variable.contains('=') {
                    true => said.say("env", variable),
                    // It would be the server's own. docker takes the image's away then.
                    false => said.notes.push(format!(
                        "the variable {variable} has no value, and is left out: one of the image's stays"
                    )),
                }
            }
        }
        "WorkingDir" => plain(said, "workdir", key, value)?,
        "Labels" => pairs(said, "label", key, value)?,
        "StopSignal" => plain(said, "stop-signal", key, value)?,
        "StopTimeout" => plain(said, "stop-timeout", key, value)?,
        "MacAddress" => plain(said, "mac-address", key, value)?,
        "Entrypoint" => {
            // docker's client says [""] for none at all.
            let words: Vec<String> =
                list(key, value)?.into_iter().filter(|it| !it.is_empty()).collect();
            said.say("entrypoint", Value::from(words));
        }
        "ExposedPorts" => {
            map(key, value)?.keys().for_each(|it| said.say("expose", it));
        }
        "Volumes" => map(key, value)?.keys().for_each(|it| said.say("volume", it)),
        "Healthcheck" => health(said, value)?,
        "NetworkDisabled" => said.say("network", "none"),
        "Shell" | "OnBuild" => said.notes.push(format!("{key} is of no use here, and left out")),
        _ => return Err(refused(key, value)),
    }
    Ok(())
}

fn health(said: &mut Words, value: &Value) -> Result<(), Refusal> {
    for (key, value) in map("Healthcheck", value)?.iter().filter(|(_, it)| !is_nothing(it)) {
        let option = match key.as_str() {
            "Test" => {
                let words = list(key, value)?;
                match &words[..] {
                    [none] if none == "NONE" => said.say("no-healthcheck", true),
                    _ => said.say("health-cmd", Value::from(words)),
                }
                continue;
            }
            "Retries" => {
                plain(said, "health-retries", key, value)?;
                continue;
            }
            "Interval" => "health-interval",
            "Timeout" => "health-timeout",
            "StartPeriod" => "health-start-period",
            _ => return Err(refused(&format!("Healthcheck.{key}"), value)),
        };
        let nanos = value.as_u64().ok_or_else(|| wrong(key))?;
        said.say(option, format!("{}us", nanos.div_ceil(1_000)));
    }
    Ok(())
}

/// Says one field of how a container runs on this machine.
fn of_host_config(said: &mut Words, key: &str, value: &Value) -> Result<(), Refusal> {
    let number = || value.as_f64().ok_or_else(|| wrong(key));
    match key {
        // Networks are said together; a client's own terminal is nobody else's business.
        "NetworkMode" | "ConsoleSize" | "ContainerIDFile" => {}
        "AutoRemove" => plain(said, "rm", key, value)?,
        "Binds" => each(said, "volume", key, value)?,
        "CapAdd" => each(said, "cap-add", key, value)?,
        "CapDrop" => each(said, "cap-drop", key, value)?,
        "Dns" => each(said, "dns", key, value)?,
        "DnsOptions" => each(said, "dns-option", key, value)?,
        "DnsSearch" => each(said, "dns-search", key, value)?,
        "ExtraHosts" => each(said, "add-host", key, value)?,
        "GroupAdd" => each(said, "group-add", key, value)?,
        "IpcMode" => plain(said, "ipc", key, value)?,
        "PidMode" => plain(said, "pid", key, value)?,
        "UTSMode" => plain(said, "uts", key, value)?,
        "UsernsMode" => plain(said, "userns", key, value)?,
        "OomScoreAdj" => plain(said, "oom-score-adj", key, value)?,
        "Privileged" => plain(said, "privileged", key, value)?,
        "PublishAllPorts" => plain(said, "publish-all", key, value)?,
        "ReadonlyRootfs" => plain(said, "read-only", key, value)?,
        "Init" => plain(said, "init", key, value)?,
        "ShmSize" => plain(said, "shm-size", key, value)?,
        "Memory" => plain(said, "memory", key, value)?,
        "MemorySwap" => plain(said, "memory-swap", key, value)?,
        "MemoryReservation" => plain(said, "memory-reservation", key, value)?,
        "CpuShares" => plain(said, "cpu-shares", key, value)?,
        "CpusetCpus" => plain(said, "cpuset-cpus", key, value)?,
        "CpusetMems" => plain(said, "cpuset-mems", key, value)?,
        "PidsLimit" => plain(said, "pids-limit", key, value)?,
        "NanoCpus" => said.say("cpus", number()? / 1e9),
        "Sysctls" => pairs(said, "sysctl", key, value)?,
        "Annotations" => pairs(said, "annotation", key, value)?,
        "Tmpfs" => {
            for (target, options) in map(key, value)? {
                match options.as_str() {
                    Some("") => said.say("tmpfs", target),
                    Some(options) => said.say("tmpfs", format!("{target}:{options}")),
                    None => return Err(wrong(key)),
                }
            }
        }
        "SecurityOpt" => {
            for option in list(key, value)? {
                // docker's client sends the profile itself, where a file is named here.
                if option.starts_with("seccomp={") || option.starts_with("seccomp:{") {
                    return Err(refused("SecurityOpt seccomp", &"a profile of one's own".into()));
                }
                said.say("security-opt", option);
            }
        }
        "PortBindings" => ports(said, value)?,
        "RestartPolicy" => match text(key, &value["Name"])?.as_deref() {
            None | Some("" | "no") => {}
            Some(policy) => said.say("restart", policy),
        },
        "LogConfig" => {
            if let Some(driver) = text(key, &value["Type"])?.filter(|it| !it.is_empty()) {
                said.say("log-driver", driver);
            }
        }
        "Devices" => devices(said, value)?,
        "Ulimits" => ulimits(said, value)?,
        "Mounts" => mounts(said, value)?,
        _ => of_host_config_rarely(said, key, value)?,
    }
    Ok(())
}

/// The same for what only says what is so here, or what is not there.
fn of_host_config_rarely(said: &mut Words, key: &str, value: &Value) -> Result<(), Refusal> {
    let is_one_of = |list: &[&str]| value.as_str().is_some_and(|it| list.contains(&it));
    let is_usual = match key {
        "CgroupnsMode" => is_one_of(&["private"]),
        "Isolation" => is_one_of(&["default"]),
        "VolumeDriver" => is_one_of(&["local"]),
        "Runtime" => is_one_of(&["runc", "io.containerd.runc.v2"]),
        // docker's word for what the kernel does by itself.
        "MemorySwappiness" => value.as_i64() == Some(-1),
        _ => false,
    };
    if is_usual {
        return Ok(());
    }
    match key {
        // docker's client says so for systempaths=unconfined.
        "MaskedPaths" | "ReadonlyPaths" if is_nothing(value) => {
            let message = format!(
                "argosy cannot take HostConfig.{key} as an empty list: say security-opt unmask=ALL"
            );
            Err(Refusal::bad(message))
        }
        // Paths that are hidden by default, said once more.
        "MaskedPaths" | "ReadonlyPaths" => {
            said.notes.push(format!("{key} is left as it is by default"));
            Ok(())
        }
        _ => Err(refused(&format!("HostConfig.{key}"), value)),
    }
}

fn ports(said: &mut Words, value: &Value) -> Result<(), Refusal> {
    const KEY: &str = "PortBindings";
    for (inside, bindings) in map(KEY, value)? {
        let bindings = match bindings {
            Value::Null => &[][..],
            Value::Array(list) => list,
            _ => return Err(wrong(KEY)),
        };
        for binding in bindings {
            let part = |name| text(KEY, &binding[name]).map(Option::unwrap_or_default);
            let (address, port) = (part("HostIp")?, part("HostPort")?);
            let address = match address.contains(':') {
                true => format!("[{address}]"),
                false => address,
            };
            let outside = match (address.is_empty(), port.is_empty()) {
                (true, true) => String::new(),
                (true, false) => format!("{port}:"),
                (false, _) => format!("{address}:{port}:"),
            };
            said.say("publish", outside + inside);
        }
    }
    Ok(())
}

fn devices(said: &mut Words, value: &Value) -> Result<(), Refusal> {
    for device in value.as_array().ok_or_else(|| wrong("Devices"))? {
        let part = |name| text("Devices", &device[name]).map(Option::unwrap_or_default);
        let (source, target) = (part("PathOnHost")?, part("PathInContainer")?);
        let how = part("CgroupPermissions")?;
        let target = if target.is_empty() { source.clone() } else { target };
        let how = if how.is_empty() { String::new() } else { format!(":{how}") };
        said.say("device", format!("{source}:{target}{how}"));
    }
    Ok(())
}

fn ulimits(said: &mut Words, value: &Value) -> Result<(), Refusal> {
    for limit in value.as_array().ok_or_else(|| wrong("Ulimits"))? {
        let side = |name: &str| limit[name].as_i64().ok_or_else(|| wrong("Ulimits"));
        let name = limit["Name"].as_str().ok_or_else(|| wrong("Ulimits"))?;
        said.say("ulimit", format!("{name}={}:{}", side("Soft")?, side("Hard")?));
    }
    Ok(())
}

fn mounts(said: &mut Words, value: &Value) -> Result<(), Refusal> {
    for mount in value.as_array().ok_or_else(|| wrong("Mounts"))? {
        let mut parts = Vec::new();
        for (key, value) in map("Mounts", mount)?.iter().filter(|(_, it)| !is_nothing(it)) {
            match key.as_str() {
                "Type" | "Source" | "Target" => {
                    let text = text(key, value)?.unwrap_or_default();
                    if text.contains(',') {
                        return Err(refused(&format!("Mounts.{key} with a comma"), value));
                    }
                    parts.push(format!("{}={text}", key.to_lowercase()));
                }
                "ReadOnly" => parts.push("readonly".to_owned()),
                "Consistency" => {}
                "BindOptions" => parts.extend(of_mount(key, value)?),
                "VolumeOptions" => parts.extend(of_mount(key, value)?),
                "TmpfsOptions" => parts.extend(of_mount(key, value)?),
                _ => return Err(refused(&format!("Mounts.{key}"), value)),
            }
        }
        said.say("mount", parts.join(","));
    }
    Ok(())
}

/// Returns what is said of one kind of mount.
fn of_mount(kind: &str, options: &Value) -> Result<Vec<String>, Refusal> {
    let mut parts = Vec::new();
    for (key, value) in map(kind, options)?.iter().filter(|(_, it)| !is_nothing(it)) {
        parts.push(match (kind, key.as_str(), value) {
            ("BindOptions", "Propagation", Value::String(text)) => {
                format!("bind-propagation={text}")
            }
            // As it is without it: what is missing is not made for a mount of this form.
            ("BindOptions", "CreateMountpoint", _) => continue,
            ("VolumeOptions", "NoCopy", _) => "volume-nocopy=true".to_owned(),
            ("TmpfsOptions", "SizeBytes", Value::Number(bytes)) => format!("tmpfs-size={bytes}"),
            ("TmpfsOptions", "Mode", Value::Number(mode)) => {
                let mode = mode.as_u64().ok_or_else(|| wrong("TmpfsOptions.Mode"))?;
                format!("tmpfs-mode={mode:o}")
            }
            _ => return Err(refused(&format!("Mounts.{kind}.{key}"), value)),
        });
    }
    Ok(parts)
}

/// Says which networks a container is on, and how.
fn networks(
    said: &mut Words,
    host: &Map<String, Value>,
    networking: &Value,
) -> Result<(), Refusal> {
    let mode = host.get("NetworkMode").map(|it| text("NetworkMode", it)).transpose()?.flatten();
    let mode = mode.filter(|it| !it.is_empty() && it != "default");
    let empty = Map::new();
    let endpoints = match &networking["EndpointsConfig"] {
        Value::Null => &empty,
        value => map("EndpointsConfig", value)?,
    };
    if let Some(mode) = &mode
        && !endpoints.contains_key(mode)
    {
        said.say("network", mode);
    }
    for (name, endpoint) in endpoints {
        let name = if name == "default" { "bridge" } else { name };
        let options = endpoint_options(name, endpoint)?;
        match options.is_empty() {
            true => said.say("network", name),
            false => said.say("network", format!("{name}:{}", options.join(","))),
        }
    }
    Ok(())
}

fn endpoint_options(network: &str, endpoint: &Value) -> Result<Vec<String>, Refusal> {
    let mut options = Vec::new();
    let Value::Object(endpoint) = endpoint else { return Ok(options) };
    for (key, value) in endpoint.iter().filter(|(_, it)| !is_nothing(it)) {
        match key.as_str() {
            "Aliases" => options.extend(list(key, value)?.iter().map(|it| format!("alias={it}"))),
            "MacAddress" => {
                options.extend(text(key, value)?.map(|it| format!("mac={it}")));
            }
            "IPAMConfig" => {
                for (key, value) in map(key, value)?.iter().filter(|(_, it)| !is_nothing(it)) {
                    match key.as_str() {
                        "IPv4Address" => {
                            options.extend(text(key, value)?.map(|it| format!("ip={it}")));
                        }
                        _ => return Err(refused(&format!("{network}.IPAMConfig.{key}"), value)),
                    }
                }
            }
            // What docker tells of an endpoint that there is, and clients send back.
            "NetworkID" | "EndpointID" | "Gateway" | "IPAddress" | "IPPrefixLen" | "DNSNames" => {}
            _ => return Err(refused(&format!("{network}.{key}"), value)),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(body: Value) -> Result<String, String> {
        let words = words(Some("web"), None, &body).map_err(|it| it.message)?;
        Ok(words.words[1..].join(" "))
    }

    #[test]
    fn nothing_may_say_something() {
        let of = |config: Value| said(config).unwrap_or_else(|why| why);
        let host =
            |key: &str, value: Value| of(json!({ "Image": "i", "HostConfig": { key: value } }));
        assert!(of(json!({ "Image": "i", "StopTimeout": 0 })).contains("--stop-timeout=0"));
        assert!(!of(json!({ "Image": "i", "StopTimeout": null })).contains("stop-timeout"));
        assert!(host("MemorySwappiness", json!(0)).contains("HostConfig.MemorySwappiness"));
        assert!(host("MaskedPaths", json!([])).contains("unmask=ALL"));
        assert!(host("ReadonlyPaths", json!([])).contains("unmask=ALL"));
        // The server's own variables are nobody else's.
        let body = json!({ "Image": "i", "Env": ["HOME", "A=b"] });
        let words = words(None, None, &body).unwrap();
        assert!(words.words.contains(&"--env=A=b".to_owned()) && words.notes[0].contains("HOME"));
        assert!(!words.words.iter().any(|it| it.contains("HOME")));
    }

    #[test]
    fn what_docker_run_sends_becomes_the_words_of_create() {
        let body = r#"{
            "Hostname": "", "Domainname": "", "User": "33", "AttachStdin": false,
            "AttachStdout": true, "Tty": false, "OpenStdin": true, "StdinOnce": true,
            "Env": ["A=b c"], "Cmd": ["sh", "-c", "echo --x"], "Image": "busybox",
            "Volumes": {"/data": {}}, "WorkingDir": "/srv", "Entrypoint": null, "OnBuild": null,
            "Labels": {"k": "v"}, "ExposedPorts": {"80/tcp": {}},
            "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 1000000000},
            "HostConfig": {
                "Binds": ["/srv:/srv:ro"], "ContainerIDFile": "",
                "LogConfig": {"Type": "", "Config": {}}, "NetworkMode": "front",
                "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]},
                "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": true,
                "CgroupnsMode": "", "ConsoleSize": [24, 80], "Isolation": "", "NanoCpus": 500000000,
                "MemorySwappiness": -1, "OomKillDisable": false, "PidsLimit": 0, "Memory": 67108864,
                "Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1024}}],
                "MaskedPaths": null, "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}]
            },
            "NetworkingConfig": {"EndpointsConfig": {"front": {
                "IPAMConfig": {"IPv4Address": "10.0.0.7"}, "Aliases": ["w"], "Links": null
            }}}
        }"#;
        let body = serde_json::from_str(body).unwrap();
        assert_eq!(
            said(body).unwrap(),
            "--pull=never --http-proxy=false --name=web --env=A=b c --expose=80/tcp \
             --health-interval=1000000us --health-cmd=[\"CMD-SHELL\",\"true\"] --label=k=v \
             --interactive=true --user=33 --volume=/data --workdir=/srv --rm=true \
             --volume=/srv:/srv:ro --memory=67108864 --mount=target=/t,tmpfs-size=1024,type=tmpfs \
             --cpus=0.5 --publish=127.0.0.1:8080:80/tcp --ulimit=nofile=1:2 \
             --network=front:alias=w,ip=10.0.0.7 -- busybox sh -c echo --x"
        );
    }

    #[test]
    fn what_has_weight_and_no_word_here_is_refused_by_name() {
        for (field, value) in [
            ("VolumesFrom", json!(["a"])),
            ("Links", json!(["a"])),
            ("DeviceRequests", json!([{}])),
            ("BlkioWeight", json!(300)),
            ("CgroupParent", json!("/x")),
            ("Runtime", json!("kata")),
            ("OomKillDisable", json!(true)),
        ] {
            let body = json!({ "Image": "a", "HostConfig": { field: value } });
            let why = said(body).unwrap_err();
            assert!(why.contains(&format!("HostConfig.{field}")), "{why}");
            let none = json!({ "Image": "a", "HostConfig": { field: null } });
            assert!(said(none).is_ok());
        }
        let profile = json!({ "Image": "a", "HostConfig": { "SecurityOpt": ["seccomp={}"] } });
        assert!(said(profile).unwrap_err().contains("seccomp"));
        assert!(
            said(json!({ "Image": "a", "Domainname": "x" })).unwrap_err().contains("Domainname")
        );
        assert!(said(json!({ "Image": "" })).unwrap_err().contains("Image"));
        assert!(said(json!({ "Image": "a", "Env": 7 })).unwrap_err().contains("Env"));
    }

    #[test]
    fn an_entrypoint_may_be_taken_away_and_what_follows_the_image_is_the_commands() {
        let body = json!({ "Image": "a", "Entrypoint": [""], "Cmd": ["--rm"] });
        assert!(said(body).unwrap().ends_with("--entrypoint=[] -- a --rm"));
        let body = json!({ "Image": "a", "Entrypoint": ["x", "y"] });
        assert!(said(body).unwrap().ends_with("--entrypoint=[\"x\",\"y\"] -- a"));
        let none = json!({ "Image": "a", "Healthcheck": { "Test": ["NONE"] } });
        assert!(said(none).unwrap().contains("--no-healthcheck=true"));
        let host = json!({ "Image": "a", "HostConfig": { "NetworkMode": "host" } });
        assert!(said(host).unwrap().contains("--network=host"));
    }
}
