//! Both versions of jemalloc that a service may link. Ignored because each is built: `cargo test -p lens-jemalloc --test
//! versions -- --ignored`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

/// A service that links one of them, and knows what it holds.
const MAIN: &str = include_str!("versions/service.rs");

/// Runs cargo for `service`, in the folder of the workspace's own builds, which have most of what it needs.
fn cargo(service: &Path, subcommand: &str) -> Output {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target folder");
    Command::new(env!("CARGO"))
        .args([subcommand, "--quiet"])
        .env("CARGO_TARGET_DIR", target)
        .current_dir(service)
        .output()
        .expect("cargo")
}

/// Downloads what `service` needs and the workspace does not. A registry that is away for a moment is no defect of lens.
fn download(service: &Path) {
    const PAUSES: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(45)];
    let mut output = cargo(service, "fetch");
    for pause in PAUSES {
        if output.status.success() {
            return;
        }
        thread::sleep(pause);
        output = cargo(service, "fetch");
    }
    assert!(output.status.success(), "not downloaded: {}", String::from_utf8_lossy(&output.stderr));
}

/// What the service prints: jemalloc's version, and by how much its live bytes grew.
fn run(version: &str) -> (String, u64) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("lens-jemalloc is in the workspace");
    let service: PathBuf = [env!("CARGO_TARGET_TMPDIR"), &format!("jemalloc-{version}")].iter().collect();
    fs::create_dir_all(service.join("src")).expect("a directory");
    let manifest = format!(
        "[package]\nname = \"service-of-jemalloc\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         lens-core = {{ path = \"{0}/lens-core\" }}\nlens-jemalloc = {{ path = \"{0}/lens-jemalloc\" }}\n\
         tikv-jemallocator = \"={version}\"\n",
        root.display()
    );
    fs::write(service.join("Cargo.toml"), manifest).expect("a manifest");
    fs::write(service.join("src/main.rs"), MAIN).expect("a program");
    // What the workspace has locked is there already; the older jemalloc is resolved anew.
    fs::copy(root.join("Cargo.lock"), service.join("Cargo.lock")).expect("the workspace's lock");
    download(&service);
    let output = cargo(&service, "run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).expect("text");
    let (version, grown) = said.trim().split_once(' ').expect("a version and a number");
    (version.to_owned(), grown.parse().expect("a number"))
}

#[test]
#[ignore = "builds jemalloc 0.6 and 0.7: minutes"]
fn the_jemalloc_that_the_service_links_is_the_one_that_is_read() {
    for (version, jemalloc) in [("0.6.1", "5.3.0"), ("0.7.0", "5.3.1")] {
        let (read, grown) = run(version);
        assert!(read.starts_with(jemalloc), "{version}: {read}");
        // 1000 blocks of 10 240 bytes, and what else the program needs meanwhile.
        assert!((10_240_000..10_500_000).contains(&grown), "{version}: {grown}");
    }
}
