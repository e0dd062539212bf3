//! What the manifest, the README and the sources promise each other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn tree(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).current_dir(root()).arg("tree").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_build_is_of_the_flavour_that_was_asked_for() {
    let Ok(expected) = std::env::var("LENS_EXPECT_TOKIO_UNSTABLE") else { return };
    assert_eq!(cfg!(tokio_unstable).to_string(), expected);
}

#[test]
fn the_readme_lists_every_feature() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let features = manifest.split("[features]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let features = features.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut count = 0;
    for (feature, _) in features.filter(|(feature, _)| *feature != "default") {
        assert!(readme.contains(&format!("\n| `{feature}` |")), "the README's table lacks `{feature}`");
        count += 1;
    }
    assert!(count >= 3);
}

#[test]
fn a_guest_turns_on_nothing_in_serde_json_that_changes_the_host() {
    let tree = tree(&["-p", "lens", "--all-features", "-e", "features", "-i", "serde_json", "--prefix", "none"]);
    assert!(tree.contains("serde_json feature \"std\""), "{tree}");
    for feature in ["arbitrary_precision", "preserve_order", "unbounded_depth", "float_roundtrip"] {
        assert!(!tree.contains(&format!("serde_json feature \"{feature}\"")), "{feature}");
    }
}

#[test]
fn a_guest_turns_on_nothing_in_tokio_that_changes_the_host() {
    let tree = tree(&["-p", "lens", "--all-features", "-e", "features,no-dev", "-i", "tokio", "--prefix", "none"]);
    assert!(tree.contains("tokio feature \"rt\""), "{tree}");
    for feature in ["test-util", "full", "process", "signal", "parking_lot"] {
        assert!(!tree.contains(&format!("tokio feature \"{feature}\"")), "{feature}");
    }
}

#[test]
fn a_guest_installs_no_second_tls() {
    let tree = tree(&["-p", "lens", "--all-features", "-e", "normal", "--prefix", "none"]);
    assert!(tree.contains("\nring v"), "{tree}");
    for name in ["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls", "genai"] {
        assert!(!tree.contains(&format!("\n{name} v")), "{name}");
    }
}

#[test]
fn a_service_without_the_feature_has_no_lens_in_its_tree() {
    let without = tree(&["-p", "orders", "-e", "normal", "--prefix", "none"]);
    // A line begins with the crate's name; the path that may follow can have any words in it.
    assert!(!without.lines().any(|line| line.starts_with("lens")), "{without}");
    let with = tree(&["-p", "orders", "-e", "normal", "--prefix", "none", "--features", "lens"]);
    assert!(with.contains("lens-tokio"), "{with}");
}

#[test]
fn one_file_names_tokio_unstable_in_attributes() {
    let mut files = Vec::new();
    for folder in ["src", "lens-core/src", "lens-tokio/src", "lens-jemalloc/src", "lens-skills/src"] {
        sources(&root().join(folder), &mut files);
    }
    let naming = files.iter().filter(|file| {
        let text = fs::read_to_string(file).unwrap();
        text.lines()
            .any(|line| line.contains("cfg") && line.contains("tokio_unstable") && line.trim_start().starts_with("#"))
    });
    let naming: Vec<_> = naming.map(|file| file.strip_prefix(root()).unwrap().to_owned()).collect();
    assert_eq!(naming, [Path::new("lens-tokio/src/flavour.rs")]);
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}
