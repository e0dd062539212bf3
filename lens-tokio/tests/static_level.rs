//! A service that has tracing's events below a level compiled out, and with them tokio's. Ignored because that is built
//! apart, or each crate here would lose them: `cargo test -p lens-tokio --test static_level -- --ignored`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MAIN: &str = include_str!("static_level/service.rs");

#[test]
#[ignore = "builds tokio and tracing anew: a minute"]
fn layers_say_that_the_build_keeps_events_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("lens-tokio is in the workspace");
    let service: PathBuf = [env!("CARGO_TARGET_TMPDIR"), "static-level"].iter().collect();
    fs::create_dir_all(service.join("src")).expect("a directory");
    let manifest = format!(
        "[package]\nname = \"service-of-static-level\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         lens-tokio = {{ path = \"{}/lens-tokio\", features = [\"waits\", \"console\"] }}\n\
         tracing = {{ version = \"0.1\", features = [\"max_level_info\"] }}\n\
         tracing-subscriber = {{ version = \"0.3\", default-features = false, features = [\"registry\"] }}\n",
        root.display()
    );
    fs::write(service.join("Cargo.toml"), manifest).expect("a manifest");
    fs::write(service.join("src/main.rs"), MAIN).expect("a program");
    // What the workspace has locked is there already.
    fs::copy(root.join("Cargo.lock"), service.join("Cargo.lock")).expect("the workspace's lock");
    // In the folder of the workspace's own builds, which have most of what it needs.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target folder");
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet"])
        .env("CARGO_TARGET_DIR", target)
        .env("RUSTFLAGS", "--cfg tokio_unstable")
        .current_dir(&service)
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    for line in lines {
        assert!(line.contains("more than tracing's level info") && line.contains("`max_level_*`"), "{line}");
    }
}
