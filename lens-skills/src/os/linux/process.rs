//! Reads this process: its memory, files, threads and limits. Separate because all of it is below `/proc/self`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use lens_core::time::millis;
use lens_core::{Reading, Timestamp, Unavailable};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::rusage;
use crate::file::Files;
use crate::os::process::{Io, Limit, Process, Status, no_start};
use crate::os::threads::{MAX_THREADS, Thread, ThreadTimes, parse_stat};

pub(super) fn read(files: &mut Files) -> Process {
    let uptime = uptime(files);
    Process {
        pid: std::process::id(),
        started_at: uptime.clone().map(|uptime| Timestamp::now().minus(uptime)),
        uptime_ms: uptime.map(millis),
        status: parsed(files, "/proc/self/status", Status::parse),
        fd_count: fd_count(),
        fd_limit: (getrlimit(Resource::Nofile).current, getrlimit(Resource::Nofile).maximum),
        usage: rusage::read(),
        io: parsed(files, "/proc/self/io", Io::parse),
        map_count: files.count_lines("/proc/self/maps"),
        map_limit: parsed(files, "/proc/sys/vm/max_map_count", |text| text.trim().parse().ok()),
        oom_score: parsed(files, "/proc/self/oom_score", |text| text.trim().parse().ok()),
    }
}

/// What `parse` makes of a file.
pub(super) fn parsed<T>(files: &mut Files, path: &str, parse: impl Fn(&str) -> Option<T>) -> Reading<T> {
    let text = files.read(path)?;
    parse(text).ok_or_else(|| Unavailable::failed(format!("{path} is not written as expected")))
}

/// How long ago the process started. `/proc/uptime` is not asked: some containers fake it.
fn uptime(files: &mut Files) -> Reading<Duration> {
    let stat = files.lossy("/proc/self/stat")?;
    // Field 22 of proc(5), behind the name in parentheses, is the start in ticks since boot.
    let field = stat.rsplit_once(')').and_then(|(_, tail)| tail.split_ascii_whitespace().nth(19)?.parse::<u64>().ok());
    let started = field.ok_or_else(no_start)?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let started = Duration::from_millis(started.saturating_mul(1000) / per_second);
    Ok(boottime().saturating_sub(started))
}

fn boottime() -> Duration {
    duration(clock_gettime(ClockId::Boottime))
}

/// Processor time of this process, those of its threads that have ended included.
pub(super) fn cpu_time() -> Duration {
    duration(clock_gettime(ClockId::ProcessCPUTime))
}

fn duration(time: rustix::time::Timespec) -> Duration {
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Open file descriptors. Since Linux 6.2 the directory's size is their number; before, they have to be listed.
pub(super) fn fd_count() -> Reading<u64> {
    let failed = |error: std::io::Error| Unavailable::failed(format!("/proc/self/fd cannot be read: {error}"));
    let size = fs::metadata("/proc/self/fd").map_err(failed)?.len();
    if size > 0 {
        return Ok(size);
    }
    let listed = fs::read_dir("/proc/self/fd").map_err(failed)?.count();
    // The one that lists is among them.
    Ok(u64::try_from(listed.saturating_sub(1)).unwrap_or(u64::MAX))
}

/// Whether [`fd_count`] takes a time that grows with the number of descriptors.
pub(super) fn fd_count_is_slow() -> bool {
    fs::metadata("/proc/self/fd").is_ok_and(|directory| directory.len() == 0)
}

/// The ids of all threads.
pub(super) fn thread_ids() -> Reading<Vec<u32>> {
    let failed = |error: std::io::Error| Unavailable::failed(format!("/proc/self/task cannot be read: {error}"));
    let mut ids = Vec::new();
    for entry in fs::read_dir("/proc/self/task").map_err(failed)? {
        if let Ok(id) = entry.map_err(failed)?.file_name().to_string_lossy().parse() {
            ids.push(id);
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

/// What each thread has used so far.
pub(super) fn thread_times(files: &mut Files) -> Reading<Vec<(u32, ThreadTimes)>> {
    let ids = thread_ids()?;
    let ids = ids.into_iter().take(MAX_THREADS);
    Ok(ids.filter_map(|tid| Some((tid, times(files, tid)?))).collect())
}

fn times(files: &mut Files, tid: u32) -> Option<ThreadTimes> {
    ThreadTimes::parse(files.read_if_there(task(tid, "schedstat")).ok()??)
}

fn task(tid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/task/{tid}/{file}"))
}

/// All threads, up to [`MAX_THREADS`], and how many there are beyond. One that ends meanwhile is none of them.
pub(super) fn threads(files: &mut Files) -> Reading<(Vec<Thread>, u64)> {
    let ids = thread_ids()?;
    let left_out = ids.len().saturating_sub(MAX_THREADS);
    let thread = |tid: u32| {
        let (name, state, processor) = parse_stat(&files.lossy(task(tid, "stat")).ok()?)?;
        let times = times(files, tid);
        let waits = matches!(state, 'S' | 'D');
        let channel = if waits { files.read_if_there(task(tid, "wchan")).ok().flatten() } else { None };
        // The kernel writes 0 where it does not tell.
        let wait_channel = channel.map(str::trim).filter(|channel| !channel.is_empty() && *channel != "0");
        Some(Thread { tid, name, state, processor, times, wait_channel: wait_channel.map(str::to_owned) })
    };
    let threads = ids.into_iter().take(MAX_THREADS).filter_map(thread).collect();
    Ok((threads, u64::try_from(left_out).unwrap_or(u64::MAX)))
}

pub(super) fn limits() -> Vec<Limit> {
    const ALL: &[(Resource, &str, &str)] = &[
        (Resource::Nofile, "nofile", "count"),
        (Resource::Nproc, "nproc", "count"),
        (Resource::As, "as", "bytes"),
        (Resource::Data, "data", "bytes"),
        (Resource::Stack, "stack", "bytes"),
        (Resource::Memlock, "memlock", "bytes"),
        (Resource::Core, "core", "bytes"),
        (Resource::Fsize, "fsize", "bytes"),
        (Resource::Cpu, "cpu", "seconds"),
        (Resource::Locks, "locks", "count"),
        (Resource::Sigpending, "sigpending", "count"),
        (Resource::Msgqueue, "msgqueue", "bytes"),
        (Resource::Rttime, "rttime", "µs"),
    ];
    let limit = |(resource, name, unit): &(Resource, &str, &str)| {
        let limit = getrlimit(*resource);
        Limit { name: (*name).to_owned(), unit: (*unit).to_owned(), soft: limit.current, hard: limit.maximum }
    };
    ALL.iter().map(limit).collect()
}
