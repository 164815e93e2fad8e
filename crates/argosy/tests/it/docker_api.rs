//! docker's Engine API on a unix socket, as its clients speak it: over plain HTTP, and over connections
//! that become streams.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::containers::{OwnNetwork, containers, with_busybox};
use crate::docker_served::{Served, head, printed, serve, shell};
use crate::image::Registry;
use crate::machine::Machine;

#[test]
fn docker_run_in_the_order_of_its_client_misses_nothing() {
    let served = Served::new();
    for round in 0..5 {
        let script = "echo out; echo bad >&2; read line; echo got $line; exit 7";
        let mut body = shell(script);
        body["OpenStdin"] = true.into();
        body["StdinOnce"] = true.into();
        body["HostConfig"] = json!({ "AutoRemove": true });
        let id = served.create(&format!("r{round}"), body);
        let attach = format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1");
        let mut stream = served.hijack(&attach, "");
        // docker's client sends the wait before the start, and goes on when its head is there.
        let mut waiting = served.connect();
        write!(
            waiting,
            "POST /v1.41/containers/{id}/wait?condition=removed HTTP/1.1\r\nHost: d\r\n\
             Connection: close\r\nContent-Length: 0\r\n\r\n"
        )
        .unwrap();
        let mut waiting = BufReader::new(waiting);
        assert!(head(&mut waiting).starts_with("HTTP/1.1 200 "));
        served.post(&format!("/containers/{id}/start")).is(204);
        stream.get_mut().write_all(b"words\n").unwrap();
        stream.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        assert_eq!(printed(&bytes), ("out\ngot words\n".to_owned(), "bad\n".to_owned()));
        let mut told = String::new();
        waiting.read_to_string(&mut told).unwrap();
        assert!(told.contains("\"StatusCode\":7"), "{told}");
        served.get(&format!("/containers/{id}/json")).is(404);
    }
    // The end of the input is seen as such, and a terminal is as it is.
    let mut body = json!({ "Cmd": ["cat"], "OpenStdin": true });
    body["HostConfig"] = json!({ "AutoRemove": true });
    let id = served.create("cat", body);
    let attach = format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1");
    let mut stream = served.hijack(&attach, "");
    served.post(&format!("/containers/{id}/start")).is(204);
    stream.get_mut().write_all(b"all of it").unwrap();
    stream.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert_eq!(printed(&bytes).0, "all of it");
    let mut body = shell("read x; echo $x; exit 3");
    (body["Tty"], body["OpenStdin"]) = (true.into(), true.into());
    let id = served.create("tty", body);
    let attach = format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1");
    let mut stream = served.hijack(&attach, "");
    served.post(&format!("/containers/{id}/start")).is(204);
    served.post(&format!("/containers/{id}/resize?h=33&w=101")).is(200);
    stream.get_mut().write_all(b"key\r").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "key\r\nkey\r\n");
    assert_eq!(served.get(&format!("/containers/{id}/json")).json()["State"]["ExitCode"], 3);
}

#[test]
fn containers_are_listed_stopped_logged_and_removed_with_dockers_answers() {
    let served = Served::new();
    let ping = served.get("/_ping").is(200);
    assert_eq!(ping.body, "OK");
    assert!(ping.head.contains("api-version: 1.43"), "{}", ping.head);
    served.ask("HEAD", "/_ping", None).is(200);
    let version = served.get("/version").is(200).json();
    assert_eq!(
        (&version["ApiVersion"], &version["MinAPIVersion"]),
        (&"1.43".into(), &"1.41".into())
    );
    let mut body = shell("echo one; echo two >&2; exec sleep 1000");
    body["Labels"] = json!({ "tier": "web" });
    body["Env"] = json!(["SECRET=hidden"]);
    let id = served.create("web", body);
    let listed = |query: &str| served.get(&format!("/containers/json?{query}")).is(200).json();
    assert_eq!(listed("").as_array().unwrap().len(), 0, "it does not run");
    assert_eq!(listed("all=1")[0]["State"], "created");
    served.post("/containers/web/start").is(204);
    served.post("/containers/web/start").is(304);
    let one = &listed(r#"filters=%7B%22label%22%3A%5B%22tier%3Dweb%22%5D%7D"#)[0];
    assert_eq!((&one["Id"], &one["Names"][0]), (&id.as_str().into(), &"/web".into()));
    assert_eq!((&one["State"], &one["Labels"]["tier"]), (&"running".into(), &"web".into()));
    let inspected = served.get("/containers/web/json").json();
    assert_eq!(inspected["State"]["Running"], true);
    assert_eq!(inspected["Config"]["Env"].as_array().unwrap().last().unwrap(), "SECRET=hidden");
    served.machine.wait("its lines", |m| m.run(&["container", "logs", "web"]).stdout == "one\n");
    let logs = served.get("/containers/web/logs?stdout=1&stderr=1&tail=all").is(200);
    assert_eq!(printed(logs.body.as_bytes()), ("one\n".to_owned(), "two\n".to_owned()));
    let logs = served.get("/containers/web/logs?stdout=1&tail=-1").is(200);
    assert_eq!(printed(logs.body.as_bytes()).0, "one\n");
    served.get("/containers/web/logs").is(400);
    assert_eq!(served.get("/containers/web/top").json()["Processes"][0][3], "sleep 1000");
    let stats = served.get("/containers/web/stats?stream=0&one-shot=1").is(200).json();
    assert_eq!(stats["name"], "/web");
    served.post("/containers/web/pause").is(204);
    assert_eq!(listed("")[0]["State"], "paused");
    served.post("/containers/web/start").is(409);
    served.post("/containers/web/unpause").is(204);
    served.post("/containers/web/rename?name=www").is(204);
    served.ask("DELETE", "/containers/www", None).is(409);
    served.post("/containers/www/restart?t=1").is(204);
    served.post("/containers/www/kill?signal=KILL").is(204);
    served.post("/containers/www/wait").is(200);
    served.post("/containers/www/kill").is(409);
    served.post("/containers/www/stop").is(304);
    served.post("/containers/www/start").is(204);
    served.post("/containers/www/stop?t=0").is(204);
    let taken = json!({ "Image": "busybox" });
    served.ask("POST", "/containers/create?name=www", Some(taken)).is(409);
    served.ask("DELETE", "/containers/www?v=1", None).is(204);
    served.ask("DELETE", "/containers/www", None).is(404);
}

#[test]
fn what_is_not_there_says_so_and_what_is_wrong_is_named() {
    let served = Served::new();
    for (method, path, status) in [
        ("GET", "/containers/none/json", 404),
        ("POST", "/containers/none/start", 404),
        ("GET", "/images/none/json", 404),
        ("GET", "/volumes/none", 404),
        ("GET", "/networks/none2", 404),
        ("GET", "/nowhere", 404),
        ("POST", "/build", 501),
        ("POST", "/commit?container=x", 404),
        ("POST", "/auth", 501),
        ("GET", "/swarm", 501),
        ("GET", "/containers/none/export", 501),
        ("POST", "/networks/bridge/connect", 501),
        ("GET", "/images/busybox/history", 501),
        ("POST", "/containers/none/wait?condition=never", 400),
    ] {
        let answer = served.ask(method, path, None);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert!(!answer.message().is_empty());
    }
    let create = |body: Value| served.ask("POST", "/containers/create", Some(body));
    assert_eq!(create(json!({ "Image": "nosuch:1" })).is(404).message(), "No such image: nosuch:1");
    let host = |field: &str, value: Value| {
        create(json!({ "Image": "busybox", "HostConfig": { field: value } })).is(400).message()
    };
    assert!(host("VolumesFrom", json!(["x"])).contains("HostConfig.VolumesFrom"));
    assert!(host("RestartPolicy", json!({ "Name": "always" })).contains("Restart=always"));
    let wrong =
        create(json!({ "Image": "busybox", "HostConfig": { "Binds": ["relative:x:y:z"] } }));
    wrong.is(400);
    assert_eq!(containers(&served.machine).len(), 0, "nothing half made is left");
    // Why a container does not start is said in words in which docker finds its exit status.
    for (program, words) in [("nosuch", "executable file not found"), ("/etc", "permission denied")]
    {
        let id = served.create("bad", json!({ "Cmd": [program] }));
        let why = served.post(&format!("/containers/{id}/start")).is(400).message();
        assert!(why.ends_with(words), "{why}");
        served.ask("DELETE", &format!("/containers/{id}"), None).is(204);
    }
    // A body that is too large, and a version that is not served.
    let mut stream = served.connect();
    let length = 100 << 20;
    write!(
        stream,
        "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: {length}\r\n\r\n"
    )
    .unwrap();
    // The server reads no more than it takes.
    drop(stream.write_all(&vec![b' '; 5 << 20]));
    assert!(head(&mut BufReader::new(stream)).starts_with("HTTP/1.1 400 "));
    let mut stream = served.connect();
    write!(stream, "GET /v1.99/info HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains("Maximum supported API version is 1.43"), "{text}");
}

#[test]
fn a_process_is_executed_and_files_are_copied() {
    let served = Served::new();
    let id = served.create("it", json!({ "Cmd": ["sleep", "1000"] }));
    let exec = |body: Value| served.ask("POST", &format!("/containers/{id}/exec"), Some(body));
    exec(json!({ "Cmd": ["true"] })).is(409);
    served.post(&format!("/containers/{id}/start")).is(204);
    let started = |body: Value| {
        let exec = exec(body).is(201).json()["Id"].as_str().unwrap().to_owned();
        (served.hijack(&format!("/exec/{exec}/start"), r#"{"Detach":false,"Tty":false}"#), exec)
    };
    let both = json!({
        "AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Env": ["A=b"],
        "Cmd": ["sh", "-c", "cat; echo $A; echo bad >&2; exit 5"]
    });
    let (mut stream, exec_id) = started(both);
    assert_eq!(served.get(&format!("/exec/{exec_id}/json")).json()["Running"], true);
    stream.get_mut().write_all(b"in\n").unwrap();
    stream.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert_eq!(printed(&bytes), ("in\nb\n".to_owned(), "bad\n".to_owned()));
    // As docker's client does, right behind the end of the stream.
    let told = served.get(&format!("/exec/{exec_id}/json")).json();
    assert_eq!((&told["Running"], &told["ExitCode"]), (&false.into(), &5.into()));
    let ended = |served: &Served, id: &str| {
        let (served, id) = (served, id.to_owned());
        served.machine.wait_for("its end", |_| {
            let told = served.get(&format!("/exec/{id}/json")).json();
            (told["Running"] == false).then(|| told["ExitCode"].clone())
        })
    };
    served.post(&format!("/exec/{exec_id}/start")).is(409);
    // One with a terminal of a size.
    let tty = json!({
        "AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Tty": true,
        "Cmd": ["sh", "-c", "read x; busybox stty size"]
    });
    let (mut stream, exec_id) = started(tty);
    served.post(&format!("/exec/{exec_id}/resize?h=33&w=101")).is(200);
    stream.get_mut().write_all(b"go\r").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "go\r\n33 101\r\n");
    // One that is left.
    let left = exec(json!({ "Cmd": ["touch", "/left"] })).is(201).json()["Id"].clone();
    let left = left.as_str().unwrap();
    let detach = Some(json!({ "Detach": true }));
    served.ask("POST", &format!("/exec/{left}/start"), detach).is(200);
    assert_eq!(ended(&served, left), 0);
    served.get("/exec/none/json").is(404);

    let archive = served.get(&format!("/containers/{id}/archive?path=/left")).is(200);
    assert!(archive.head.contains("x-docker-container-path-stat: "), "{}", archive.head);
    assert!(archive.body.starts_with("left\0"));
    served.ask("HEAD", &format!("/containers/{id}/archive?path=/none"), None).is(404);
    let root = served.machine.path("rootfs");
    let mut tar = Command::new("tar")
        .arg("-C")
        .arg(root)
        .args(["-c", "etc"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--fail", "--upload-file", "-", "--unix-socket"]);
    curl.arg(served.machine.path("run/docker.sock")).stdin(tar.stdout.take().unwrap());
    curl.arg(format!("http://d/containers/{id}/archive?path=/tmp"));
    assert!(curl.status().unwrap().success());
    tar.wait().unwrap();
    let found = served.machine.run(&["container", "exec", "it", "ls", "/tmp"]).ok().stdout;
    assert_eq!(found, "etc\n");
}

#[test]
fn images_volumes_networks_and_events_are_told_in_dockers_shape() {
    let served = Served::new();
    let images = served.get("/images/json").is(200).json();
    assert_eq!(images[0]["RepoTags"][0], "busybox:latest");
    let id = images[0]["Id"].as_str().unwrap();
    assert_eq!(served.get("/images/busybox:latest/json").json()["Id"], id);
    served.post("/images/busybox/tag?repo=registry.example/a/b&tag=2").is(201);
    assert_eq!(served.get("/images/registry.example/a/b:2/json").is(200).json()["Id"], id);
    let removed = served.ask("DELETE", "/images/registry.example/a/b:2", None).is(200).json();
    assert_eq!(removed[0]["Untagged"], "registry.example/a/b:2");
    let pulled = served.post("/images/create?fromImage=127.0.0.1:1/none&tag=1").is(200);
    assert!(pulled.body.contains("\"errorDetail\""), "{}", pulled.body);

    let it = served.create("written", shell("echo w > /w"));
    served.post(&format!("/containers/{it}/start")).is(204);
    served.post(&format!("/containers/{it}/wait")).is(200);
    let changes = "changes=USER%2033&changes=CMD%20%5B%22cat%22%2C%22/w%22%5D";
    let made = served.post(&format!("/commit?container={it}&repo=written&tag=2&{changes}")).is(201);
    let image = served.get("/images/written:2/json").json();
    assert_eq!((&image["Id"], &image["Config"]["User"]), (&made.json()["Id"], &"33".into()));
    assert_eq!(image["Config"]["Cmd"], json!(["cat", "/w"]));

    let volume = json!({ "Name": "data", "Labels": { "a": "b" } });
    assert_eq!(served.ask("POST", "/volumes/create", Some(volume)).is(201).json()["Name"], "data");
    assert_eq!(served.get("/volumes").json()["Volumes"][0]["Labels"]["a"], "b");
    let mut body = json!({ "Cmd": ["true"] });
    body["HostConfig"] =
        json!({ "Mounts": [{ "Type": "volume", "Source": "data", "Target": "/d" }] });
    let user = served.create("user", body);
    served.ask("DELETE", "/volumes/data", None).is(409);
    served.ask("DELETE", &format!("/containers/{user}"), None).is(204);
    served.ask("DELETE", "/volumes/data", None).is(204);

    let network = json!({ "Name": "front", "IPAM": { "Config": [{ "Subnet": "10.77.0.0/24" }] } });
    let made = served.ask("POST", "/networks/create", Some(network.clone())).is(201).json();
    served.ask("POST", "/networks/create", Some(network)).is(409);
    let web = json!({
        "Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": { "NetworkMode": "front" },
        "NetworkingConfig": { "EndpointsConfig": { "front": { "IPAMConfig": { "IPv4Address": "10.77.0.9" } } } }
    });
    served.ask("POST", "/containers/create?name=web", Some(web)).is(201);
    served.post("/containers/web/start").is(204);
    let told = served.get("/networks/front").json();
    assert_eq!(told["Id"], made["Id"]);
    let (_, one) = told["Containers"].as_object().unwrap().iter().next().unwrap();
    assert_eq!((&one["Name"], &one["IPv4Address"]), (&"web".into(), &"10.77.0.9/24".into()));
    served.ask("DELETE", "/networks/front", None).is(403);
    served.ask("DELETE", "/containers/web?force=1", None).is(204);
    served.ask("DELETE", "/networks/front", None).is(204);

    let events =
        served.get("/events?since=1h&until=0s&filters=%7B%22container%22%3A%5B%22web%22%5D%7D");
    let actions: Vec<String> = events
        .body
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["Action"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(actions[..2], ["create", "start"]);
    assert_eq!(actions.len(), 4, "{actions:?}");
}

#[test]
fn a_pull_brings_what_a_create_lacks_and_tells_how_far_it_is() {
    let served = Served::new();
    let registry = Registry::start();
    let name = format!("{}/team/app", registry.address);
    served.machine.run(&["image", "push", "busybox", &format!("{name}:1")]).ok();
    let create = || {
        let body = json!({ "Image": format!("{name}:1"), "Cmd": ["true"] });
        served.ask("POST", "/containers/create?name=it", Some(body))
    };
    create().is(404);
    let pulled = served.post(&format!("/images/create?fromImage={name}&tag=1")).is(200);
    let lines: Vec<Value> =
        pulled.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["status"], "Pulling from team/app");
    assert!(lines[1]["id"].is_string(), "a layer: {lines:?}");
    assert!(lines.last().unwrap()["status"].as_str().unwrap().ends_with(":1"), "{lines:?}");
    create().is(201);
    served.ask("DELETE", "/containers/it", None).is(204);
    let none = served.post(&format!("/images/create?fromImage={name}&tag=2")).is(200);
    assert!(
        none.body.contains("\"errorDetail\"") && none.body.contains("is not there"),
        "{}",
        none.body
    );
    // Credentials of a client are not used for anything, and not passed over either.
    let mut stream = served.connect();
    // {"username":"me","password":"secret"}
    let auth = "eyJ1c2VybmFtZSI6Im1lIiwicGFzc3dvcmQiOiJzZWNyZXQifQ==";
    write!(
        stream,
        "POST /v1.41/images/create?fromImage={name}&tag=1 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\
         X-Registry-Auth: {auth}\r\nContent-Length: 0\r\n\r\n"
    )
    .unwrap();
    assert!(head(&mut BufReader::new(stream)).starts_with("HTTP/1.1 501 "));
}

#[test]
fn a_server_that_is_killed_harms_no_container_and_the_next_one_knows_all() {
    let mut served = Served::new();
    let socket = served.machine.path("run/docker.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let second = served.machine.run(&["container", "serve"]);
    assert!(second.code == 2 && second.stderr.contains("somebody serves"), "{}", second.stderr);
    let id = served.create("it", shell("i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"));
    let attach = format!("/containers/{id}/attach?stream=1&stdout=1&stderr=1");
    let mut stream = served.hijack(&attach, "");
    served.post("/containers/it/start").is(204);
    let pid = served.get("/containers/it/json").json()["State"]["Pid"].clone();
    let mut some = [0; 64];
    stream.read_exact(&mut some).unwrap();
    served.server.kill().unwrap();
    served.server.wait().unwrap();
    let lines = |m: &Machine| m.run(&["container", "logs", "it"]).stdout.lines().count();
    let before = lines(&served.machine);
    served.machine.wait("it prints on", |m| lines(m) > before + 10);
    // What it has left is taken over, and what is no socket is not.
    served.server = serve(&served.machine);
    let told = served.get("/containers/it/json").json();
    assert_eq!((&told["State"]["Pid"], &told["Id"]), (&pid, &id.as_str().into()));
    let mut stream = served.hijack(&attach, "");
    stream.read_exact(&mut some).unwrap();
    served.post("/containers/it/stop?t=0").is(204);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    // It ends when it is told to, and takes its socket along.
    let stop = Command::new("kill").arg(served.server.id().to_string()).status().unwrap();
    assert!(stop.success() && served.server.wait().unwrap().success() && !socket.exists());
    fs::write(&socket, "").unwrap();
    let refused = served.machine.run(&["container", "serve"]);
    assert!(refused.code == 1 && refused.stderr.contains("is no socket"), "{}", refused.stderr);
    fs::remove_file(&socket).unwrap();
    served.server = serve(&served.machine);
}

#[test]
fn a_containers_variables_are_nobody_elses_to_read() {
    let served = Served::new();
    let secret = "SECRET=of-this-test-alone";
    let body = json!({ "Cmd": ["sleep", "1000"], "Env": [secret] });
    // While it is made, and while it runs, no process but its own has it.
    let seen = std::thread::scope(|scope| {
        let making = scope.spawn(|| {
            let id = served.create("it", body);
            served.post(&format!("/containers/{id}/start")).is(204);
        });
        let mut seen = Vec::new();
        while !making.is_finished() {
            for entry in fs::read_dir("/proc").unwrap() {
                let line = fs::read(entry.unwrap().path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).into_owned();
                if line.contains(secret) && !line.starts_with("curl") {
                    seen.push(line);
                }
            }
        }
        making.join().unwrap();
        seen
    });
    assert_eq!(seen, [""; 0]);
}

#[test]
fn the_server_as_a_unit_may_stop_and_its_containers_go_on() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    let text =
        "[Service]\nType=notify\nExecStart=/usr/bin/argosy container serve\nKillMode=process\n";
    machine.local_unit("docker-api.service", text);
    machine.run(&["--local", "start", "docker-api"]).ok();
    let socket = machine.path("run/docker.sock");
    let ask = |method: &str, path: &str, body: &str| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--request", method, "--data", body, "--unix-socket"]);
        let output = curl.arg(&socket).arg(format!("http://d{path}")).output().unwrap();
        assert!(output.status.success(), "{method} {path}: {output:?}");
    };
    let body =
        r#"{"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}}"#;
    ask("POST", "/containers/create?name=it", body);
    ask("POST", "/containers/it/start", "");
    // It is nobody's unit: its log is its own.
    let [it] = &containers(&machine)[..] else { panic!("not one container") };
    assert!(it["state"] == "Running" && it["unit"].is_null(), "{it}");
    for verb in ["restart", "stop"] {
        machine.run(&["--local", verb, "docker-api"]).ok();
        assert_eq!(containers(&machine)[0]["state"], "Running");
    }
    assert!(!socket.exists());
    machine.run(&["--local", "start", "docker-api"]).ok();
    ask("POST", "/containers/it/stop?t=0", "");
    ask("DELETE", "/containers/it", "");
}
