//! The committed generated code is what the .proto file gives today.
//!
//! After a change of the contract: `HUDDLE_REGENERATE=1 cargo test -p huddle-proto --test regenerate`.

use std::{fs, path::Path};

const FILES: [&str; 1] = ["huddle.telemetry.v1.rs"];

fn generate(into: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files =
        protox::compile(["huddle/telemetry/v1/ingest.proto"], [root.join("proto")]).expect("the contract compiles");
    tonic_prost_build::configure()
        .out_dir(into)
        .client_mod_attribute(".", "#[cfg(feature = \"grpc\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"grpc\")]")
        .compile_fds(files)
        .expect("code generation");
}

#[test]
fn committed_code_is_current() {
    let fresh = tempfile::tempdir().expect("a temporary directory");
    generate(fresh.path());
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gen");
    for file in FILES {
        let new = fs::read_to_string(fresh.path().join(file)).expect("generated");
        if std::env::var_os("HUDDLE_REGENERATE").is_some() {
            fs::write(committed.join(file), &new).expect("written");
        }
        let old = fs::read_to_string(committed.join(file)).unwrap_or_default();
        assert!(
            old == new,
            "src/gen/{file} is stale: HUDDLE_REGENERATE=1 cargo test -p huddle-proto --test regenerate"
        );
    }
}
