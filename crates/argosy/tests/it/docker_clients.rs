//! Clients of docker's API that leave, and what becomes of what they have begun.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::process::Command;

use serde_json::json;

use crate::docker_served::{Served, head, serve, shell};

/// As many connections as the server has places.
const PLACES: usize = 256;

#[test]
fn clients_that_have_left_hold_no_place() {
    let served = Served::new();
    let id = served.create("quiet", json!({ "Cmd": ["sleep", "1000"] }));
    served.post(&format!("/containers/{id}/start")).is(204);
    let begun = served.create("begun", json!({ "Cmd": ["sleep", "1000"] }));
    let attach = |id: &str| format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1");
    let streams: Vec<_> = (0..PLACES)
        .map(|number| match number % 5 {
            // A monitor serves some, and no more.
            0 if number < 40 => served.hijack(&attach(&id), ""),
            0 | 1 => served.hijack(&attach(&begun), ""),
            kind => {
                let path = match kind {
                    2 => format!("POST /containers/{id}/wait"),
                    3 => "GET /events".to_owned(),
                    _ => format!("GET /containers/{id}/logs?follow=1&stdout=1"),
                };
                let mut stream = served.connect();
                write!(stream, "{path} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n").unwrap();
                let mut stream = BufReader::new(stream);
                assert!(head(&mut stream).starts_with("HTTP/1.1 200 "));
                stream
            }
        })
        .collect();
    drop(streams);
    served.get("/_ping").is(200);
}

#[test]
fn an_executed_process_goes_on_when_its_client_leaves_and_its_end_is_known_with_its_stream() {
    let served = Served::new();
    let id = served.create("it", json!({ "Cmd": ["sleep", "1000"] }));
    served.post(&format!("/containers/{id}/start")).is(204);
    let exec = |script: &str, tty: bool| {
        let mut body = shell(script);
        (body["AttachStdout"], body["AttachStderr"]) = (true.into(), true.into());
        body["Tty"] = tty.into();
        let made = served.ask("POST", &format!("/containers/{id}/exec"), Some(body)).is(201).json();
        let exec = made["Id"].as_str().unwrap().to_owned();
        let start = json!({ "Detach": false, "Tty": tty }).to_string();
        (served.hijack(&format!("/exec/{exec}/start"), &start), exec)
    };
    let told = |exec: &str| served.get(&format!("/exec/{exec}/json")).is(200).json();
    for round in 0..20 {
        let (mut stream, exec) = exec("echo it; exit 5", round % 2 == 0);
        stream.read_to_end(&mut Vec::new()).unwrap();
        let told = told(&exec);
        assert_eq!((&told["Running"], &told["ExitCode"]), (&false.into(), &5.into()), "{round}");
    }
    // It prints more than any pipe or terminal takes.
    let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i; done; exit 6";
    for tty in [false, true] {
        let (mut stream, exec) = exec(script, tty);
        stream.read_exact(&mut [0; 16]).unwrap();
        assert_eq!(told(&exec)["Running"], true);
        drop(stream);
        let code = served.machine.wait_for("its end", |_| {
            let told = told(&exec);
            (told["Running"] == false).then(|| told["ExitCode"].clone())
        });
        assert_eq!(code, 6, "terminal: {tty}");
    }
}

#[test]
fn a_process_whose_server_and_helper_are_gone_has_ended() {
    let mut served = Served::new();
    let id = served.create("it", json!({ "Cmd": ["sleep", "1000"] }));
    served.post(&format!("/containers/{id}/start")).is(204);
    let body = json!({ "AttachStdout": true, "Cmd": ["sleep", "1000"] });
    let made = served.ask("POST", &format!("/containers/{id}/exec"), Some(body)).is(201).json();
    let exec = made["Id"].as_str().unwrap().to_owned();
    let stream = served.hijack(&format!("/exec/{exec}/start"), "{}");
    served.server.kill().unwrap();
    served.server.wait().unwrap();
    drop(stream);
    served.server = serve(&served.machine);
    let told = |served: &Served| served.get(&format!("/exec/{exec}/json")).is(200).json();
    let before = told(&served);
    assert_eq!((&before["Running"], &before["ExitCode"]), (&true.into(), &json!(null)));
    let helper = before["Pid"].to_string();
    assert!(Command::new("kill").args(["-KILL", &helper]).status().unwrap().success());
    served.machine.wait("its end", |_| told(&served)["Running"] == false);
    assert_eq!(told(&served)["ExitCode"], 255);
}

#[test]
fn an_archive_that_breaks_off_does_not_look_whole() {
    let served = Served::new();
    let script = "busybox dd if=/dev/zero of=/large bs=1M count=64 2>/dev/null; exec sleep 1000";
    let id = served.create("it", shell(script));
    served.post(&format!("/containers/{id}/start")).is(204);
    let is_there =
        ["container", "exec", "it", "sh", "-c", "test $(busybox stat -c %s /large) = 67108864"];
    served.machine.wait("the file", |m| m.run(&is_there).code == 0);
    let mut stream = served.connect();
    write!(
        stream,
        "GET /containers/{id}/archive?path=/large HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut stream = BufReader::new(stream);
    assert!(head(&mut stream).starts_with("HTTP/1.1 200 "));
    // It waits for its reader.
    let children = format!("/proc/{0}/task", served.server.id());
    let children: Vec<String> = fs::read_dir(children)
        .unwrap()
        .flat_map(|it| fs::read_to_string(it.unwrap().path().join("children")))
        .flat_map(|it| it.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(children.len(), 1, "the copy alone");
    assert!(Command::new("kill").args(["-KILL", &children[0]]).status().unwrap().success());
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes));
    assert!(bytes.len() < 64 << 20 && !bytes.ends_with(b"0\r\n\r\n"));
}

#[test]
fn a_container_that_another_command_holds_is_not_started() {
    let served = Served::new();
    let id = served.create("it", json!({ "Cmd": ["sleep", "1000"] }));
    // As a commit does.
    let lock = served.machine.path(&format!("data/containers/{id}/lock"));
    let lock = fs::File::options().create(true).append(true).open(lock).unwrap();
    lock.lock().unwrap();
    let refused = served.post(&format!("/containers/{id}/start")).is(409).message();
    assert!(refused.contains("is held by another command"), "{refused}");
    lock.unlock().unwrap();
    served.post(&format!("/containers/{id}/start")).is(204);
    served.post(&format!("/containers/{id}/start")).is(304);
}

#[test]
fn one_that_its_end_would_take_away_goes_when_it_cannot_even_begin() {
    let served = Served::new();
    let body = json!({ "Image": "busybox", "Cmd": ["true"], "HostConfig": { "AutoRemove": true } });
    let made = served.ask("POST", "/containers/create?name=it", Some(body)).is(201).json();
    let id = made["Id"].as_str().unwrap();
    let mut waiting = served.connect();
    write!(
        waiting,
        "POST /containers/{id}/wait?condition=removed HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .unwrap();
    let mut waiting = BufReader::new(waiting);
    assert!(head(&mut waiting).starts_with("HTTP/1.1 200 "));
    // What networks it is on.
    fs::remove_file(served.machine.path(&format!("data/containers/{id}/network.json"))).unwrap();
    let refused = served.post(&format!("/containers/{id}/start"));
    assert!(refused.status >= 400 && refused.message().contains("networks"), "{}", refused.body);
    let mut told = String::new();
    waiting.read_to_string(&mut told).unwrap();
    assert!(told.contains("\"StatusCode\":125"), "{told}");
    served.get(&format!("/containers/{id}/json")).is(404);
}
