//! What the service links.

use std::process::Command;

fn tree(features: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-p", "orders", "-e", "normal", "--prefix", "none"])
        .args(features)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn is_lens(line: &&str) -> bool {
    line.split(' ').next().is_some_and(|name| name == "lens" || name.starts_with("lens-"))
}

#[test]
fn without_the_feature_no_lens_crate_is_in_the_tree() {
    let tree = tree(&[]);
    assert_eq!(tree.lines().filter(is_lens).collect::<Vec<_>>(), Vec::<&str>::new());
    assert!(tree.lines().any(|line| line.starts_with("axum ")), "{tree}");
}

#[test]
fn with_the_feature_lens_is_in_the_tree() {
    assert!(tree(&["--features", "lens"]).lines().any(|line| is_lens(&line)));
}
