//! Debian's docker-registry, one for each test that needs it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::tools::{folder, run, text};

/// A running registry; it ends with the test.
pub(crate) struct Registry {
    child: Child,
    pub(crate) address: String,
    _folder: tempfile::TempDir,
}

impl Registry {
    pub(crate) fn start() -> Self {
        Self::start_in(folder(), "")
    }

    /// One that speaks TLS with a certificate of its own; the file with it is told, too.
    pub(crate) fn start_tls() -> (Self, std::path::PathBuf) {
        let folder = folder();
        let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&certificate, own.cert.pem()).unwrap();
        std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
        let (shown, key) = (certificate.display(), key.display());
        let tls = format!("  tls:\n    certificate: {shown}\n    key: {key}\n");
        (Self::start_in(folder, &tls), certificate)
    }

    fn start_in(folder: tempfile::TempDir, more: &str) -> Self {
        let config = folder.path().join("config.yml");
        let storage = folder.path().join("storage");
        let text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:0\n{more}",
            storage.display()
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
        // It goes on to write a line for each request, and must not wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, _folder: folder }
    }

    /// Where an image goes with skopeo.
    pub(crate) fn push(&self, from: &str, name: &str, format: &str) {
        let to = format!("docker://{}/{name}", self.address);
        let arguments = [
            "copy",
            "-q",
            "--insecure-policy",
            "--dest-tls-verify=false",
            "--format",
            format,
            from,
            &to,
        ];
        run("skopeo", &arguments);
    }

    pub(crate) fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An image in an OCI layout, made by umoci from a folder, one layer for each step.
pub(crate) struct Built {
    pub(crate) folder: tempfile::TempDir,
}

impl Built {
    /// Makes an image; each step is a shell script that runs in the image's root and becomes a layer.
    pub(crate) fn new(steps: &[&str]) -> Self {
        let built = Self { folder: folder() };
        let layout = built.folder.path().join("layout");
        run("umoci", &["init", "--layout", text(&layout)]);
        let image = built.image();
        run("umoci", &["new", "--image", &image]);
        for (number, step) in steps.iter().enumerate() {
            let bundle = built.folder.path().join(format!("bundle-{number}"));
            run("umoci", &["unpack", "--image", &image, text(&bundle)]);
            let script = format!("set -e; cd {}/rootfs\n{step}", bundle.display());
            run("sh", &["-c", &script]);
            run("umoci", &["repack", "--image", &image, text(&bundle)]);
        }
        run("umoci", &["config", "--image", &image, "--config.cmd", "/bin/sh"]);
        built
    }

    pub(crate) fn image(&self) -> String {
        format!("{}:app", self.folder.path().join("layout").display())
    }

    /// What umoci itself makes of it.
    pub(crate) fn unpacked(&self) -> std::path::PathBuf {
        let bundle = self.folder.path().join("whole");
        run("umoci", &["unpack", "--image", &self.image(), text(&bundle)]);
        bundle.join("rootfs")
    }
}
