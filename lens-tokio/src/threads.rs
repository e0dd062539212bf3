//! The threads of this process as the kernel lists them. Separate because it knows nothing of what they do.

use std::fs;

/// The operating system's id of the calling thread; 0 where it gives none.
pub(crate) fn own_id() -> u32 {
    #[cfg(target_os = "linux")]
    return rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
    #[cfg(not(target_os = "linux"))]
    return 0;
}

/// The name that the kernel keeps of a thread: its first 15 letters.
pub(crate) fn name(tid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/self/task/{tid}/comm")).ok()?;
    Some(name.trim_end_matches('\n').to_owned())
}

/// The threads whose names begin like `name`, as far as the kernel keeps it.
pub(crate) fn named(name: &str) -> Vec<(u32, String)> {
    const KEPT: usize = 15;
    let wanted = name.get(..KEPT).unwrap_or(name);
    all().into_iter().filter(|(_, name)| name.starts_with(wanted)).collect()
}

/// All threads, with their names.
pub(crate) fn all() -> Vec<(u32, String)> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let thread = |task: std::io::Result<fs::DirEntry>| {
        let tid = task.ok()?.file_name().to_str()?.parse().ok()?;
        Some((tid, name(tid)?))
    };
    tasks.filter_map(thread).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_found_by_the_beginning_of_its_name() {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("named-for-the-test".into()).spawn(move || {
            ready.send(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()).unwrap();
            let _ = ended.recv();
        });
        let tid = is_ready.recv().unwrap();
        assert_eq!(named("named-for-the-test"), [(tid, "named-for-the-t".to_owned())]);
        assert_eq!(name(tid).as_deref(), Some("named-for-the-t"));
        drop(end);
        thread.unwrap().join().unwrap();
    }
}
