//! Clients of docker's API that leave, and what becomes of what they have begun.

use std::io::{BufReader, Read, Write};

use serde_json::json;

use crate::docker_served::{Served, head, shell};

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
