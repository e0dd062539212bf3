//! Reads the machine: processors, load, memory and file systems. Separate because none of it is about this process.

use lens_core::{Reading, Unavailable};
use procfs::process::MountInfo;
use procfs::{FromRead, Meminfo};

use super::process::parsed;
use crate::file::Files;
use crate::os::cpu::Ticks;
use crate::os::disks::{Disk, Disks, MAX_DISKS, Mount, Space, to_ask, unescape};
use crate::os::load::Load;
use crate::os::memory::Memory;

/// The ticks of all processors together.
pub(super) fn ticks(files: &mut Files) -> Reading<Ticks> {
    parsed(files, "/proc/stat", |text| Ticks::parse(text.lines().next()?))
}

/// The ticks of each processor that is online.
pub(super) fn cores(files: &mut Files) -> Reading<Vec<(u32, Ticks)>> {
    let core = |line: &str| {
        let number = line.strip_prefix("cpu")?.split(' ').next()?.parse().ok()?;
        Some((number, Ticks::parse(line)?))
    };
    // The lines of processors come first; those of interrupts, which follow, are long.
    let lines = |text: &str| Some(text.lines().take_while(|line| line.starts_with("cpu")).filter_map(core).collect());
    parsed(files, "/proc/stat", lines)
}

/// Of the process's first thread: one that answers queries keeps to fewer.
pub(super) fn allowed_count() -> Reading<u32> {
    let set = rustix::thread::sched_getaffinity(Some(rustix::process::getpid()));
    set.map(|set| set.count()).map_err(|error| Unavailable::failed(format!("sched_getaffinity failed: {error}")))
}

pub(super) fn load(files: &mut Files) -> Reading<Load> {
    parsed(files, "/proc/loadavg", Load::parse)
}

pub(super) fn memory(files: &mut Files) -> Reading<Memory> {
    let text = files.read("/proc/meminfo")?;
    let info = Meminfo::from_read(text.as_bytes());
    let info =
        info.map_err(|error| Unavailable::failed(format!("/proc/meminfo is not written as expected: {error}")))?;
    Ok(Memory {
        total_bytes: info.mem_total,
        free_bytes: info.mem_free,
        available_bytes: info.mem_available,
        buffers_bytes: info.buffers,
        cached_bytes: info.cached,
        shared_bytes: info.shmem,
        dirty_bytes: info.dirty,
        swap_total_bytes: info.swap_total,
        swap_free_bytes: info.swap_free,
    })
}

/// `MemTotal` and `MemAvailable` alone, without a table of all the others.
pub(super) fn memory_available(files: &mut Files) -> Reading<Memory> {
    let field = |text: &str, name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(rest.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    parsed(files, "/proc/meminfo", |text| {
        let available_bytes = field(text, "MemAvailable");
        Some(Memory { total_bytes: field(text, "MemTotal")?, available_bytes, ..Memory::default() })
    })
}

/// The mounts that `text`, a mountinfo, tells of. A line that cannot be read is none.
pub(super) fn mounts(text: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let mount = MountInfo::from_line(line).ok()?;
        Some(Mount {
            device: mount.majmin,
            root: unescape(&mount.root),
            mount_point: unescape(&mount.mount_point.to_string_lossy()),
            is_read_only: mount.mount_options.contains_key("ro") || mount.super_options.contains_key("ro"),
            source: mount.mount_source.map(|source| unescape(&source)).unwrap_or_default(),
            fs_type: mount.fs_type,
        })
    };
    text.lines().filter_map(mount).collect()
}

pub(super) fn disks(files: &mut Files) -> Reading<Disks> {
    let mut to_ask = to_ask(mounts(&files.lossy("/proc/self/mountinfo")?));
    let left_out = to_ask.len().saturating_sub(MAX_DISKS);
    to_ask.truncate(MAX_DISKS);
    let disk = |(mount, may): (Mount, Reading<()>)| Disk {
        space: may.and_then(|()| space(&mount.mount_point)),
        mount_point: mount.mount_point,
        source: mount.source,
        fs_type: mount.fs_type,
        is_read_only: mount.is_read_only,
    };
    Ok(Disks {
        disks: to_ask.into_iter().map(disk).collect(),
        left_out_count: u64::try_from(left_out).unwrap_or(u64::MAX),
    })
}

fn space(mount_point: &str) -> Reading<Space> {
    let answer = rustix::fs::statvfs(mount_point);
    let answer = answer.map_err(|error| Unavailable::failed(format!("statvfs of {mount_point} failed: {error}")))?;
    let bytes = |blocks: u64| blocks.saturating_mul(answer.f_frsize);
    Ok(Space {
        total_bytes: bytes(answer.f_blocks),
        free_bytes: bytes(answer.f_bfree),
        available_bytes: bytes(answer.f_bavail),
        inodes_total: answer.f_files,
        inodes_free: answer.f_ffree,
    })
}
