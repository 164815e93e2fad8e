//! The binary that ships: static, optimised as a whole, with the name look-ups left out.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::run::{command, root};

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Above this the binary is too large to copy to a thousand machines without a thought.
const BYTES_MAX: u64 = 40 << 20;

pub(crate) fn build() -> Result<()> {
    // With `--target` the flag stays away from build scripts and procedural macros.
    let flags = "build.rustflags=[\"-C\",\"target-feature=+crt-static\"]";
    command(
        "cargo",
        &[
            "build",
            "--locked",
            "--release",
            "--package",
            "argosy",
            "--target",
            TARGET,
            "--config",
            flags,
            "--config",
            "profile.release.lto=\"thin\"",
            "--config",
            "profile.release.strip=true",
            "--target-dir",
            "target/dist",
        ],
    )?;
    let binary = root()?.join("target/dist").join(TARGET).join("release/argosy");
    let bytes = fs::metadata(&binary)
        .with_context(|| format!("cannot look at {}", binary.display()))?
        .len();
    println!("{}: {:.1} MiB", binary.display(), bytes as f64 / f64::from(1 << 20));
    if bytes > BYTES_MAX {
        bail!("the binary is larger than {} MiB", BYTES_MAX >> 20);
    }
    Ok(())
}
