//! The profile in the tools that it is for. Ignored because they have to be installed: `cargo test --test heap -- --ignored`.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::service::{HOLDERS, Held, Service};

/// A downloaded file, gone with the value.
struct File(PathBuf);

impl File {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("lens-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
#[ignore = "needs Go"]
fn go_tool_pprof_names_the_lines_in_order_with_their_bytes() {
    let service = Service::start();
    service.sample(60);
    let held: Vec<Held> = HOLDERS.iter().map(|holder| (holder.hold)()).collect();
    // Until its functions are found.
    service.query("heap.profile()");
    let profile = service.get("/pprof/heap");
    assert_eq!(profile.status, 200, "{}", profile.text());
    service.stop();
    drop(held);
    let file = File::new("heap.pb.gz", &profile.body);
    let top = Command::new("go")
        .args(["tool", "pprof", "-top", "-cum", "-lines", "-unit=B", "-sample_index=inuse_space"])
        .arg(&file.0)
        .output();
    let top = said(&top.unwrap());
    // `  41943040B 60.00% 60.00%  41943040B 60.00%  heap::service::pages tests/heap/service.rs:109`
    let mut last = f64::MAX;
    for holder in &HOLDERS {
        let line = top
            .lines()
            .find(|line| line.ends_with(&format!("tests/heap/service.rs:{}", holder.line)))
            .unwrap_or_else(|| panic!("no {} in {top}", holder.function));
        assert!(line.contains(holder.function), "{line}");
        let bytes: f64 = line.split_whitespace().nth(3).unwrap().trim_end_matches('B').parse().unwrap();
        assert!(bytes < last, "{top}");
        last = bytes;
        // Five standard deviations of a sample in 64 KiB.
        let error = 5.0 / (f64::from(holder.bytes) / f64::from(1 << 16)).sqrt();
        let off = bytes / f64::from(holder.bytes) - 1.0;
        assert!(off.abs() < error, "{off}: {line}");
    }
}

#[test]
#[ignore = "needs Chromium"]
fn a_browser_draws_the_flame_graph() {
    let service = Service::start();
    service.sample(60);
    let held = (HOLDERS[0].hold)();
    service.query("heap.profile()");
    let url = format!("http://{}/debug/lens/pprof/heap?format=flamegraph", service.lens.address().unwrap());
    let home = File::new("browser", b"");
    std::fs::remove_file(&home.0).unwrap();
    let page = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", home.0.display()))
        .arg(url)
        .output();
    let page = said(&page.unwrap());
    let _ = std::fs::remove_dir_all(&home.0);
    service.stop();
    drop(held);
    assert!(page.contains("<svg") && page.contains("heap::service::pages"), "{page}");
}
