//! Names of containers, and of others.

use std::net::{TcpListener, UdpSocket};
use std::thread;

use crate::machine::{Container, LIMIT, Machine, Wanted};
use crate::talk::{
    A, AAAA, PTR, address, found, look_up, look_up_by_connection, query, raw_look_up, read_framed,
    serve, serve_datagrams,
};

fn start(machine: &Machine, name: &str, networks: &[&str], aliases: &[&str]) -> Container {
    machine.start(Wanted { name, networks, aliases, ..Wanted::default() }).unwrap()
}

/// The machine's own server: it knows `example.com`, fails for `broken`, and is silent for `lost`.
fn upstream(to: &[u8]) -> Option<Vec<u8>> {
    let mut answer = to.to_vec();
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    let has = |text: &[u8]| to.windows(text.len()).any(|it| it == text);
    if has(b"\x06broken") {
        answer[3] = 0x82;
    } else if has(b"\x04lost") {
        return None;
    } else if has(b"\x07example\x03com") {
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 198, 51, 100, 7]);
    } else {
        answer[3] = 0x83;
    }
    Some(answer)
}

/// Serves in the calling thread's namespace.
fn serve_names(ip: [u8; 4]) {
    let socket = UdpSocket::bind(address(ip, 53)).unwrap();
    let listener = TcpListener::bind(address(ip, 53)).unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut bytes) {
            if let Some(answer) = upstream(&bytes[..length]) {
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
    thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let mut answer = upstream(&read_framed(&mut client)).unwrap();
            // A long one, in two parts.
            answer.resize(answer.len() + 30_000, 0);
            let framed = [&(answer.len() as u16).to_be_bytes(), answer.as_slice()].concat();
            std::io::Write::write_all(&mut client, &framed[..1000]).unwrap();
            std::io::Write::write_all(&mut client, &framed[1000..]).unwrap();
        }
    });
}

#[test]
fn containers_find_each_other_by_name() {
    let machine = Machine::new();
    machine.network("front", false);
    machine.network("back", false);
    let web = start(&machine, "Web", &["front"], &["www"]);
    let api = start(&machine, "api", &["front", "back"], &["www"]);
    let db = start(&machine, "db", &["back"], &[]);
    web.net.run(|| {
        for name in ["api", "API", "api-01234567", "api.front"] {
            assert_eq!(look_up(name, A), found(0, &[api.address()]), "{name}");
        }
        assert_eq!(look_up("web", A), found(0, &[web.address()]), "itself");
        assert_eq!(look_up("www", A), found(0, &[web.address(), api.address()]));
        assert_eq!(look_up("api", AAAA), found(0, &[]), "nobody waits for IPv6");
        assert_eq!(look_up("host.docker.internal", A), found(0, &[web.gateway()]));
        let all = look_up_by_connection(&["api", "web"]);
        assert_eq!(all, [found(0, &[api.address()]), found(0, &[web.address()])]);
        let [a, b, c, d] = api.address();
        let reverse = raw_look_up(&query(&format!("{d}.{c}.{b}.{a}.in-addr.arpa"), PTR));
        assert!(reverse.ends_with(b"\x03api\0"), "{reverse:?}");
        assert_eq!(look_up("db", A).code, 2, "another network's; and nobody else can be asked");
    });
    let by_back = api.endpoints[1].address.octets();
    assert_eq!(db.net.run(|| look_up("api", A)), found(0, &[by_back]));
    let late = start(&machine, "late", &["back"], &[]);
    assert_eq!(db.net.run(|| look_up("late", A)), found(0, &[late.address()]), "at once");
    machine.networks.release(&late.id).unwrap();
    assert_eq!(db.net.run(|| look_up("late", A)).code, 2, "and at once no more");
}

#[test]
fn others_are_asked_for_what_is_not_here() {
    let machine = Machine::new();
    machine.network("inner", true);
    serve_names([127, 0, 0, 1]);
    let web = start(&machine, "web", &["bridge"], &[]);
    web.net.run(|| {
        assert_eq!(look_up("example.com", A), found(0, &[[198, 51, 100, 7]]));
        assert_eq!(look_up("nobody.example", A), found(3, &[]));
        assert_eq!(look_up("broken", A), found(2, &[]));
        assert_eq!(look_up("lost", A), found(2, &[]), "an error before libc gives up");
        let all = look_up_by_connection(&["example.com", "web", "example.com"]);
        let there = || found(0, &[[198, 51, 100, 7]]);
        assert_eq!(all, [there(), found(0, &[web.address()]), there()]);
    });
    let inner = start(&machine, "inner", &["inner"], &[]);
    assert_eq!(inner.net.run(|| look_up("inner", A)), found(0, &[inner.address()]));
    assert_eq!(inner.net.run(|| look_up("example.com", A)), found(3, &[]), "no question gets out");
}

#[test]
fn the_next_server_is_asked_when_one_does_not_answer() {
    let machine = Machine::new();
    let deaf = UdpSocket::bind(address([127, 0, 0, 2], 53)).unwrap();
    serve_names([127, 0, 0, 3]);
    // Nobody is at the first one, the second hears and is silent.
    machine.set_servers(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let web = start(&machine, "web", &["bridge"], &[]);
    assert_eq!(web.net.run(|| look_up("example.com", A)), found(0, &[[198, 51, 100, 7]]));
    drop(deaf);
    machine.set_servers(&["127.0.0.9"]);
    assert_eq!(web.net.run(|| look_up("example.com", A)).code, 2, "the file is read anew");
}

#[test]
fn a_container_may_be_a_server_of_names_itself() {
    let machine = Machine::new();
    let names = start(&machine, "names", &["bridge"], &[]);
    names.net.run(|| {
        serve(([0; 4], 53));
        serve_datagrams(([0; 4], 53));
        assert_eq!(look_up("names", A), found(0, &[names.address()]), "its own is asked as before");
        assert_eq!(look_up_by_connection(&["names"]), [found(0, &[names.address()])]);
    });
    let other = start(&machine, "other", &["bridge"], &[]);
    let seen = other.net.run(|| crate::talk::ask((names.address(), 53)));
    assert_eq!(seen.unwrap(), other.endpoints[0].address.to_string());
}

#[test]
fn libc_finds_containers() {
    let machine = Machine::new();
    serve_names([127, 0, 0, 1]);
    let web = start(&machine, "web", &["bridge"], &[]);
    let api = start(&machine, "api", &["bridge"], &["www"]);
    let options = argosy_network::ResolverOptions::default();
    let text = argosy_network::resolv_conf(&web.endpoints, &options, "search corp.example\n");
    let resolv_conf = machine.file("inside.conf", &text);
    let hosts = argosy_network::hosts(&web.endpoints, &["web"], &[]);
    let hosts = machine.file("hosts", &hosts);
    let getent = |name: &str| {
        let script = "mount --bind $0 /etc/resolv.conf && mount --bind $1 /etc/hosts && exec getent ahosts $2";
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).args([&resolv_conf, &hosts]).arg(name);
        let output = web.net.run(move || command.output().unwrap());
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace().next().map(str::to_owned)
    };
    assert_eq!(getent("api"), Some(api.endpoints[0].address.to_string()));
    assert_eq!(getent("www"), Some(api.endpoints[0].address.to_string()));
    assert_eq!(getent("web"), Some(web.endpoints[0].address.to_string()));
    assert_eq!(getent("example.com"), Some("198.51.100.7".to_owned()));
    assert_eq!(getent("host.containers.internal"), Some(web.endpoints[0].gateway.to_string()));
    assert_eq!(getent("nobody.example"), None);
}

#[test]
fn many_ask_at_once_and_nonsense_harms_nobody() {
    let machine = Machine::new();
    serve_names([127, 0, 0, 1]);
    let web = start(&machine, "web", &["bridge"], &[]);
    web.net.run(|| {
        let nonsense = UdpSocket::bind(address([127, 0, 0, 1], 0)).unwrap();
        nonsense.connect(address([127, 0, 0, 11], 53)).unwrap();
        for length in 0..60 {
            nonsense.send(&vec![0xc0; length]).unwrap();
        }
        // More than are asked elsewhere at once: each gets an answer, some of them an error.
        let socket = UdpSocket::bind(address([127, 0, 0, 1], 0)).unwrap();
        socket.connect(address([127, 0, 0, 11], 53)).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        for _ in 0..100 {
            socket.send(&query("lost", A)).unwrap();
        }
        let mut bytes = [0; 512];
        for _ in 0..100 {
            socket.recv(&mut bytes).unwrap();
            assert_eq!(bytes[3] & 0xf, 2);
        }
        let idle: Vec<_> = (0..40)
            .map(|_| std::net::TcpStream::connect(address([127, 0, 0, 11], 53)).unwrap())
            .collect();
        assert_eq!(look_up_by_connection(&["web"]), [found(0, &[web.address()])]);
        assert_eq!(look_up("web", A), found(0, &[web.address()]));
        drop(idle);
    });
}
