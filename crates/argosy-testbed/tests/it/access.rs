//! Ways into a machine from outside.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use argosy_testbed::ForwardTarget;

use crate::bed::{Bed, NOBODY, User};

fn echoes(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let mut answer = [0; 5];
    stream.write_all(b"hello").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && &answer == b"hello"
}

#[test]
fn a_forward_reaches_a_machine_from_outside() {
    for (user, mode) in [(User::Root, "root"), (User::Nobody, "user"), (User::Nobody, "loopback")] {
        let bed = Bed::start(user, mode);
        let address = bed.control.add_machine("m1").unwrap().address;
        let mut outside = bed.talk("m1", &["echo", &format!("{address}:7777")]);
        let mut inside = bed.talk("m1", &["echo", "127.0.0.1:0"]);
        outside.line();
        let line = inside.line();
        let inner: u16 = line.rsplit_once(':').unwrap().1.parse().unwrap();
        let network = bed.control.forward(0, "m1", 7777, ForwardTarget::Network).unwrap();
        assert!(echoes(network));
        let told = bed.control.status().unwrap().forwards;
        assert_eq!(
            told.iter().map(|it| (it.listen, it.port)).collect::<Vec<_>>(),
            [(network, 7777)]
        );
        if bed.mode == "loopback" {
            bed.end();
            continue;
        }
        let within = bed.control.forward(0, "m1", inner, ForwardTarget::Inside).unwrap();
        assert!(echoes(within));
        bed.control.partition(&[]).unwrap();
        assert!(echoes(network), "a partition of machines is none from the host");
        bed.control.stop("m1", Duration::from_secs(10)).unwrap();
        assert!(!echoes(within));
        bed.control.start("m1").unwrap();
        let mut again = bed.talk("m1", &["echo", &format!("127.0.0.1:{inner}")]);
        again.line();
        assert!(echoes(within), "a forward outlives a stop");
        bed.end();
    }
}

#[test]
fn entering_passes_standard_descriptors_and_the_exit_code() {
    entering(Bed::start(User::Root, "root"), 0);
    entering(Bed::start(User::Nobody, "user"), NOBODY);
}

fn entering(bed: Bed, user: u32) {
    bed.control.add_machine("m1").unwrap();
    let beds = bed.base.path().join("beds");
    let mut command = Command::new(&bed.program);
    command
        .arg("enter")
        .arg(&beds)
        .args(["m1", "sh", "-c", "hostname; exit 5"])
        .uid(user)
        .gid(user);
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "m1\n");
    assert_eq!(output.status.code(), Some(5));
    // script(1) gives it a terminal.
    let inner = format!(
        "{} enter {} m1 sh -c 'tty >/dev/null && hostname && echo size $(stty size)'",
        bed.program.display(),
        beds.display()
    );
    let line = format!("stty rows 33 cols 99; {inner}");
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = script.uid(user).gid(user).spawn().expect("script is of the package bsdutils");
    // An end of its input would be typed into the terminal.
    let _typing = script.stdin.take();
    let output = script.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert_eq!(text, "m1\nsize 33 99\n");
    bed.end();
}
