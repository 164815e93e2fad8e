//! Container images by the command line: every verb, the exit statuses, and what is printed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

/// One machine's images.
struct Images {
    folder: tempfile::TempDir,
}

impl Images {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_argosy"));
        command.args(arguments).args(["--data-dir", self.folder.path().to_str().unwrap()]);
        command.env("HOME", self.folder.path()).stdin(Stdio::null());
        // How full the disk of this machine is must not matter.
        command.env("ARGOSY_DISK_LIMIT", "100");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn bad(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let text = self.good(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// An image with one file, named `local/app:1`.
    fn import(&self) -> serde_json::Value {
        let root = self.folder.path().join("rootfs");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/name"), "app\n").unwrap();
        let archive = self.folder.path().join("rootfs.tar.gz");
        let tar =
            Command::new("tar").arg("-C").arg(&root).arg("-czf").arg(&archive).arg(".").status();
        assert!(tar.unwrap().success());
        let archive = archive.to_str().unwrap();
        let command = ["image", "import", archive, "local/app:1", "-o", "json", "--env", "A=b"];
        let data = ["--data-dir", self.folder.path().to_str().unwrap(), "--", "/bin/app"];
        let output = Command::new(env!("CARGO_BIN_EXE_argosy")).args(command).args(data).output();
        serde_json::from_slice(&output.unwrap().stdout).unwrap()
    }
}

#[test]
fn an_image_is_imported_named_saved_loaded_and_removed() {
    let images = Images::new();
    let imported = images.import();
    assert_eq!(imported["config"]["config"]["Cmd"], serde_json::json!(["/bin/app"]));
    let layer = imported["layers"][0].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(Path::new(layer).join("etc/name")).unwrap(), "app\n");
    images.good(&["image", "tag", "local/app:1", "quay.io/team/app:2"]);
    let table = images.good(&["images"]);
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["REPOSITORY", "TAG", "ID", "CREATED", "SIZE", "UNIQUE", "USED", "BY"]);
    assert_eq!(rows[1][..2], ["local/app", "1"]);
    assert_eq!(rows[2][..2], ["quay.io/team/app", "2"]);
    let id = rows[1][2];
    assert_eq!(images.good(&["images", "-q"]).trim(), id);
    let (code, error) = images.bad(&["rmi", id]);
    assert_eq!(code, 2);
    assert!(error.contains("has the names local/app:1, quay.io/team/app:2"), "{error}");
    let archive = images.folder.path().join("saved.tar");
    images.good(&["image", "save", "local/app:1", "--to", archive.to_str().unwrap()]);
    assert_eq!(images.good(&["rmi", "local/app:1"]), "untagged local/app:1\n");
    assert!(images.good(&["rmi", "--force", id]).contains(&format!("removed {id}")));
    assert_eq!(images.json(&["images"])["images"], serde_json::json!([]));
    let mut load = images
        .command(&["image", "load"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    load.stdin.take().unwrap().write_all(&std::fs::read(&archive).unwrap()).unwrap();
    let output = load.wait_with_output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().starts_with(&format!("{id} local/app:1")));
    let inspected: serde_json::Value =
        serde_json::from_str(&images.good(&["image", "inspect", id])).unwrap();
    assert_eq!(inspected[0]["id"], imported["id"]);
    let collected = images.json(&["image", "gc", "--all"]);
    assert_eq!(collected["images"], serde_json::json!([imported["id"]]));
}

#[test]
fn an_image_goes_to_a_registry_and_comes_back() {
    let registry = Registry::start();
    let images = Images::new();
    let imported = images.import();
    let name = format!("{}/team/app:1", registry.address);
    let (code, error) = images.bad(&["pull", &name]);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("is not there"), "{error}");
    assert!(images.good(&["image", "push", "local/app:1", &name]).starts_with(&name));
    images.good(&["rmi", "local/app:1"]);
    let pulled = images.run(&["pull", &name]);
    let lines = String::from_utf8(pulled.stderr).unwrap();
    assert!(lines.contains(": 1 layers, ") && lines.contains(": done"), "{lines}");
    assert!(String::from_utf8(pulled.stdout).unwrap().contains(&name));
    assert_eq!(images.json(&["pull", &name])[0]["id"], imported["id"]);
    let id = images.good(&["pull", "--quiet", "--missing", &name]);
    assert!(imported["id"].as_str().unwrap().contains(id.trim()));
}

#[test]
fn failures_say_whose_they_are() {
    let images = Images::new();
    let (code, error) = images.bad(&["pull", "Not/Good"]);
    assert_eq!(code, 64);
    assert!(error.contains("must be lower case"), "{error}");
    let (code, error) = images.bad(&["pull", "127.0.0.1:1/app"]);
    assert_eq!(code, 75);
    assert!(error.contains("cannot connect to 127.0.0.1:1"), "{error}");
    let (code, error) = images.bad(&["image", "inspect", "nothing"]);
    assert_eq!(code, 2);
    assert!(error.contains("there is no image \"nothing\" on this machine"), "{error}");
    let (code, error) = images.bad(&["image", "load", "/etc/passwd"]);
    assert_eq!(code, 1);
    assert!(error.contains("/etc/passwd cannot be read as images"), "{error}");
    let file = images.folder.path().join("registries.toml");
    std::fs::write(&file, "[[registry]]\nname = \"x.io\"\nblocked = true\n").unwrap();
    let file = file.to_str().unwrap();
    let (code, error) = images.bad(&["pull", "x.io/app", "--registries", file]);
    assert_eq!(code, 2);
    assert!(error.contains("registry x.io is blocked"), "{error}");
    std::fs::write(file, "[[registry]]\nnme = \"x.io\"\n").unwrap();
    let (code, error) = images.bad(&["pull", "x.io/app", "--registries", file]);
    assert_eq!(code, 1);
    assert!(error.contains("unknown field"), "{error}");
}

/// Debian's docker-registry, and what it writes about requests.
pub(crate) struct Registry {
    child: Child,
    pub(crate) address: String,
    pub(crate) log: Arc<Mutex<Vec<String>>>,
    pub(crate) folder: tempfile::TempDir,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: 127.0.0.1:0\n",
            folder.path().join("storage").display()
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .env("OTEL_TRACES_EXPORTER", "none")
            .spawn()
            .expect("docker-registry (Debian package docker-registry) is installed");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("docker-registry says where it listens").unwrap();
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split(['"', ' ', ',']).next().unwrap().to_owned();
            }
        };
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line));
        });
        Self { child, address, log, folder }
    }

    pub(crate) fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
