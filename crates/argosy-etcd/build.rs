//! Compiles the protocol files in-process, so that no `protoc` is needed.

use std::error::Error;

const FILES: [&str; 6] = [
    "etcdserverpb/kv.proto",
    "etcdserverpb/watch.proto",
    "etcdserverpb/lease.proto",
    "etcdserverpb/cluster.proto",
    "etcdserverpb/maintenance.proto",
    "etcdserverpb/auth.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(FILES, ["proto"])?;
    tonic_prost_build::configure()
        // Keys and values share the buffer they arrived in.
        .bytes(".")
        // A method this server does not have answers Unimplemented.
        .generate_default_stubs(true)
        .compile_fds(files)?;
    Ok(())
}
