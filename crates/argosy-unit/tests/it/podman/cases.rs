//! Sets of Quadlet files: written ones, and random ones by seed.

mod values;
mod written;

use self::values::{KEYS, SERVICE, UNIT};
pub(super) use self::written::written;

/// Files that are handed in together.
pub(super) struct Case {
    pub(super) title: String,
    pub(super) files: Vec<(String, String)>,
}

/// Numbers that depend on a seed alone (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("it is below a usize")
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Keys whose empty assignment Podman passes on or counts as 0; booleans are false to it then.
/// Here, as for systemd, an empty assignment is as if the key was not written.
const UNEMPTIED: [(&str, &str); 5] = [
    ("Container", "SeccompProfile"),
    ("Pod", "ExitPolicy"),
    ("Pod", "StopTimeout"),
    ("Volume", "User"),
    ("Volume", "Group"),
];

/// Makes a set of every kind of file with random keys.
pub(super) fn random(seed: u64) -> Case {
    let mut numbers = Numbers(seed);
    let mut files = Vec::new();
    for (name, section) in [
        ("base.image", "Image"),
        ("data.volume", "Volume"),
        ("front.network", "Network"),
        ("side.container", "Container"),
        ("web.container", "Container"),
        ("web@.container", "Container"),
        ("group.pod", "Pod"),
    ] {
        files.push((name.to_owned(), file(&mut numbers, name, section)));
    }
    Case { title: format!("seed {seed}"), files }
}

fn file(numbers: &mut Numbers, name: &str, section: &str) -> String {
    let mut own = format!("[{section}]\n");
    let in_pod = section == "Container" && numbers.one_in(4);
    match section {
        "Container" => {
            let images = ["docker.io/library/nginx:1", "base.image", "quay.io/a/b@sha256:0f"];
            own += &format!("Image={}\n", numbers.pick(&images));
            if in_pod {
                own += "Pod=group.pod\n";
            }
        }
        "Image" => own += "Image=quay.io/org/base:2\n",
        "Volume" if numbers.one_in(4) => {
            return "[Volume]\nDriver=image\nImage=base.image\n".into();
        }
        "Volume" if numbers.one_in(2) => {
            own += &format!(
                "Device=/srv/data\n{}",
                numbers.pick(&["", "Type=bind\n", "Options=ro\n"])
            );
        }
        "Network" => {
            for index in 0..numbers.below(3) {
                own += &format!("Subnet=10.{index}.0.0/16\n");
                if numbers.one_in(2) {
                    own += &format!("Gateway=10.{index}.0.1\n");
                }
            }
        }
        _ => {}
    }
    // A file refers to others that do not refer back to it.
    let refers = name.starts_with("web") || section == "Pod";
    for (_, key, values) in KEYS.iter().filter(|(of, _, _)| *of == section) {
        if numbers.below(100) >= 22 {
            continue;
        }
        let network = matches!(*key, "Network" | "NetworkAlias" | "IP" | "IP6" | "PublishPort");
        if in_pod && network {
            continue;
        }
        for _ in 0..=numbers.below(3) {
            let value = numbers.pick(values);
            let names_file =
                [".volume", ".network", ".container"].iter().any(|end| value.contains(end));
            // Podman cannot follow a name with such a specifier.
            if name == "side.container" && value == "pre-%p" {
                continue;
            }
            if names_file && (!refers || name == "side.container") {
                continue;
            }
            let space = numbers.pick(&["", "", " "]);
            own += &format!("{key}{space}={space}{value}\n");
        }
        if numbers.one_in(12) && !values.contains(&"off") && !UNEMPTIED.contains(&(section, *key)) {
            own += &format!("{key}=\n");
        }
    }
    let unit = some(numbers, "Unit", UNIT);
    let mut service = some(numbers, "Service", SERVICE);
    if section == "Pod" || section == "Network" {
        service = String::new();
    }
    let quadlet = match numbers.one_in(4) {
        true => "[Quadlet]\nDefaultDependencies=no\n",
        false => "",
    };
    let install = match numbers.one_in(2) {
        true => "[Install]\nWantedBy=multi-user.target\n",
        false => "",
    };
    format!("{unit}{own}{quadlet}{service}{install}")
}

/// Writes a section with some of `lines`.
fn some(numbers: &mut Numbers, section: &str, lines: &[&str]) -> String {
    let mut out = String::new();
    for line in lines {
        if numbers.one_in(4) {
            out += &format!("{line}\n");
        }
    }
    match out.is_empty() {
        true => out,
        false => format!("[{section}]\n{out}"),
    }
}
