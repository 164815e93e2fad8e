//! Pulls of an image from a registry on this machine; beside podman and skopeo, taking turns.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::engines::{Stage, is_installed, succeed};
use crate::report::{median, percentile};

/// What the image is made of: files of this machine, as a distribution's image has them.
const SOURCE: &str = "/usr";
const LAYERS: u64 = 4;
/// Of each layer, unpacked.
const LAYER_BYTES: u64 = 50 * 1000 * 1000;

/// Who pulls.
#[derive(Debug, Clone, Copy)]
enum Puller {
    Argosy,
    Podman,
    /// Brings the blobs and unpacks nothing.
    Skopeo,
}

impl Puller {
    fn name(self) -> &'static str {
        match self {
            Puller::Argosy => "argosy pull",
            Puller::Podman => "podman pull",
            Puller::Skopeo => "skopeo copy to oci: (unpacks nothing)",
        }
    }

    /// Pulls into an empty store; returns how long that took.
    fn pull(self, stage: &Stage, name: &str) -> Result<Duration> {
        let place = stage.path("pulled");
        let mut command = match self {
            Puller::Argosy => {
                let mut command = stage.argosy();
                command.env("ARGOSY_DATA_DIR", &place).args(["image", "pull", name]);
                command
            }
            Puller::Podman => {
                let mut command = Command::new("podman");
                command.arg("--root").arg(&place).arg("--runroot").arg(stage.path("pulled-run"));
                command.args(["--events-backend=file", "pull", "--tls-verify=false", name]);
                command
            }
            Puller::Skopeo => {
                let mut command = Command::new("skopeo");
                command.args(["copy", "--src-tls-verify=false"]).arg(format!("docker://{name}"));
                command.arg(format!("oci:{}:app", place.display()));
                command
            }
        };
        command.stdin(Stdio::null());
        let begin = Instant::now();
        succeed(&mut command)?;
        let took = begin.elapsed();
        // Nobody leaves the disk work for the next one.
        rustix::fs::sync();
        fs::remove_dir_all(&place).with_context(|| format!("cannot remove {}", place.display()))?;
        Ok(took)
    }
}

/// Measures pulls, if what they need is installed.
pub(super) fn measure(stage: &Stage, pulls: u32) -> Result<()> {
    for program in ["docker-registry", "skopeo", "umoci"] {
        if !is_installed(program) {
            println!("\n{program} is not installed, and pulls are left out");
            return Ok(());
        }
    }
    let registry = Registry::start(&stage.path("registry"))?;
    let name = format!("{}/bench/app:1", registry.address);
    let sizes = publish(stage, &name)?;
    let mut pullers = vec![Puller::Argosy, Puller::Skopeo];
    if is_installed("podman") {
        pullers.push(Puller::Podman);
    }
    let mut times: Vec<Vec<f64>> = pullers.iter().map(|_| Vec::new()).collect();
    for _ in 0..pulls {
        for (puller, times) in pullers.iter().zip(&mut times) {
            times.push(puller.pull(stage, &name)?.as_secs_f64());
        }
    }
    println!(
        "\npull of an image of {} MB in {LAYERS} layers, {} MB compressed, from a registry at 127.0.0.1, s \
         ({pulls} each)\n",
        sizes.unpacked / 1_000_000,
        sizes.compressed / 1_000_000,
    );
    println!("{:<40} {:>8} {:>8} {:>8}", "", "p50", "p90", "ratio");
    let ours = median(times[0].clone());
    for (puller, times) in pullers.iter().zip(&times) {
        let (p50, p90) = (median(times.clone()), percentile(times.clone(), 90));
        println!("{:<40} {p50:>8.2} {p90:>8.2} {:>8.2}", puller.name(), ours / p50);
    }
    Ok(())
}

struct Sizes {
    unpacked: u64,
    compressed: u64,
}

/// Makes the image and puts it into the registry.
fn publish(stage: &Stage, name: &str) -> Result<Sizes> {
    let layout = stage.path("layout");
    let image = format!("{}:app", layout.display());
    succeed(Command::new("umoci").arg("init").arg("--layout").arg(&layout))?;
    succeed(Command::new("umoci").args(["new", "--image", &image]))?;
    let mut files = files(Path::new(SOURCE), LAYERS * LAYER_BYTES)?.into_iter().peekable();
    let mut unpacked = 0;
    for number in 0..LAYERS {
        let list = stage.path("files");
        let mut names = fs::File::create(&list)?;
        let mut size = 0;
        while let Some((path, length)) = files.next_if(|_| size < LAYER_BYTES) {
            size += length;
            names.write_all(path.as_os_str().as_encoded_bytes())?;
            names.write_all(b"\n")?;
        }
        unpacked += size;
        let archive = stage.path(&format!("layer{number}.tar"));
        let mut tar = Command::new("tar");
        tar.arg("-cf").arg(&archive).args(["--no-recursion", "-C", "/", "-T"]).arg(&list);
        succeed(&mut tar)?;
        succeed(Command::new("umoci").args(["raw", "add-layer", "--image", &image]).arg(&archive))?;
        fs::remove_file(archive)?;
    }
    let mut copy = Command::new("skopeo");
    copy.args(["copy", "--dest-tls-verify=false"]).arg(format!("oci:{image}"));
    succeed(copy.arg(format!("docker://{name}")))?;
    let blobs = fs::read_dir(layout.join("blobs/sha256"))?;
    let compressed = blobs.map(|it| Ok(it?.metadata()?.len())).sum::<std::io::Result<u64>>()?;
    fs::remove_dir_all(layout)?;
    Ok(Sizes { unpacked, compressed })
}

/// Returns regular files below a directory in a fixed order, until they have this many bytes together.
fn files(root: &Path, bytes: u64) -> Result<Vec<(PathBuf, u64)>> {
    let (mut found, mut sum, mut open) = (Vec::new(), 0, vec![root.to_owned()]);
    while let Some(directory) = open.pop() {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(&directory)?.map(|it| Ok(it?.path())).collect::<std::io::Result<_>>()?;
        entries.sort();
        for path in entries {
            let metadata = fs::symlink_metadata(&path)?;
            let is_plain = metadata.is_file() && metadata.nlink() == 1;
            if metadata.is_dir() {
                open.push(path);
            } else if is_plain && !path.as_os_str().as_encoded_bytes().contains(&b'\n') {
                sum += metadata.len();
                found.push((path, metadata.len()));
                if sum >= bytes {
                    return Ok(found);
                }
            }
        }
    }
    bail!("{} has {sum} bytes, and the image takes {bytes}", root.display())
}

/// Debian's docker-registry, on a port of its own choice.
struct Registry {
    child: Child,
    address: String,
}

impl Registry {
    fn start(place: &Path) -> Result<Registry> {
        fs::create_dir_all(place)?;
        let config = place.join("config.yml");
        let storage = place.join("storage").display().to_string();
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {storage}\nhttp:\n  \
             addr: 127.0.0.1:0\n"
        );
        fs::write(&config, text)?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let said = child.stderr.take();
        let mut registry = Registry { child, address: String::new() };
        let mut lines = BufReader::new(said.context("docker-registry says nothing")?).lines();
        loop {
            let line = lines.next().context("docker-registry has ended")??;
            if let Some((_, rest)) = line.split_once("listening on ") {
                registry.address = rest.split(['"', ' ']).next().unwrap_or_default().to_owned();
                break;
            }
        }
        // It is to have somebody who reads what it says.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
