//! Finds this process's control groups and reads them. Separate because the same limits lie in other files with each of
//! the kernel's two interfaces, and a process may be controlled by both.

use std::path::{Path, PathBuf};

use lens_core::{Reading, Unavailable};
use procfs::process::MountInfo;

use crate::file::Files;
use crate::os::cgroup::{Cgroup, CpuLevel, MemoryEvents, MemoryLevel, PidsLevel, Throttling, Version};
use crate::os::disks::unescape;
use crate::os::pressure::{Pressure, Stalls};

/// Limits from here on stand for none: interface 1 writes the largest multiple of a page for it.
const NO_LIMIT: u64 = 1 << 62;

/// Where the files are.
#[derive(Debug)]
pub(super) struct Places {
    path: String,
    version: Version,
    cpu: Vec<CpuFiles>,
    memory: Vec<MemoryFiles>,
    pids: Vec<Level>,
    pressure: Option<PathBuf>,
}

/// One group in one hierarchy.
#[derive(Clone, Debug)]
struct Level {
    version: Version,
    path: String,
    dir: PathBuf,
}

#[derive(Debug)]
struct CpuFiles {
    level: Level,
    stat: PathBuf,
}

#[derive(Debug)]
struct MemoryFiles {
    level: Level,
    current: PathBuf,
    stat: PathBuf,
}

/// A mounted hierarchy.
struct Hierarchy {
    version: Version,
    controllers: Vec<String>,
    root: String,
    mount_point: String,
}

impl Places {
    /// Finds the groups of the process whose `/proc/…/cgroup` and `/proc/…/mountinfo` these are.
    pub(super) fn find(files: &mut Files, cgroup: &str, mountinfo: &str) -> Reading<Self> {
        let mounted = hierarchies(files, mountinfo)?;
        if mounted.is_empty() {
            return Err(Unavailable::failed("no cgroup file system is mounted where this process can see it"));
        }
        let chain = |controller: &str| {
            let mounted = mounted.iter().find(|mounted| mounted.controllers.iter().any(|one| one == controller))?;
            levels(mounted, &path_in(cgroup, mounted.version, controller)?)
        };
        let unified = mounted.iter().find(|mounted| mounted.version == Version::V2);
        let unified = unified.and_then(|mounted| levels(mounted, &path_in(cgroup, Version::V2, "")?));
        let (cpu, memory, pids) = (chain("cpu"), chain("memory"), chain("pids"));
        // With interface 1 the group that says most is the deepest one.
        let chains = [&pids, &memory, &cpu].into_iter().flatten();
        let controlled = chains.max_by_key(|chain| (chain[0].version == Version::V2, chain.len()));
        let own = controlled.or(unified.as_ref()).map(|chain| &chain[0]);
        let Some(own) = own.cloned() else {
            return Err(Unavailable::failed(
                "this process's cgroup is outside of what is mounted here; start the container with its own cgroup namespace",
            ));
        };
        let level_of = |chain: Option<Vec<Level>>| chain.unwrap_or_default();
        Ok(Self {
            path: own.path,
            version: own.version,
            cpu: level_of(cpu).into_iter().map(|level| CpuFiles { stat: level.dir.join("cpu.stat"), level }).collect(),
            memory: level_of(memory).into_iter().map(MemoryFiles::new).collect(),
            pids: level_of(pids),
            pressure: unified.and_then(|chain| chain.first().map(|level| level.dir.clone())),
        })
    }

    /// Reads all of it.
    pub(super) fn read(&self, files: &mut Files) -> Cgroup {
        Cgroup {
            version: self.version,
            path: self.path.clone(),
            cpu: self.cpu.iter().map(|level| level.read(files)).collect(),
            memory: self.memory.iter().map(|level| level.read(files)).collect(),
            pids: self.pids.iter().map(|level| pids(level, files)).collect(),
            pressure: self.pressure(files),
        }
    }

    fn pressure(&self, files: &mut Files) -> Reading<Pressure> {
        let Some(dir) = &self.pressure else {
            return Err(Unavailable::UnsupportedPlatform { needs: "cgroup v2, which has pressure by group".into() });
        };
        pressure(files, |resource| dir.join(format!("{resource}.pressure")))
    }

    /// Reads anew what changes from second to second, for the groups that have a limit in `known`.
    pub(super) fn refresh(&self, known: &mut Cgroup, files: &mut Files) {
        for (level, known) in self.cpu.iter().zip(&mut known.cpu) {
            if known.quota_us.is_some() {
                known.throttling = level.throttling(files);
            }
        }
        for (level, known) in self.memory.iter().zip(&mut known.memory) {
            if known.max_bytes.is_some() {
                (known.current_bytes, known.inactive_file_bytes) = level.usage(files);
            }
        }
    }
}

/// Reads three files of pressure, named by their resource.
pub(super) fn pressure(files: &mut Files, path: impl Fn(&str) -> PathBuf) -> Reading<Pressure> {
    let mut stalls = |resource: &str| -> Reading<Stalls> {
        let path = path(resource);
        let parsed = files.read_if_there(&path).map(|text| text.map(Stalls::parse));
        match parsed {
            Ok(Some(Some(stalls))) => Ok(stalls),
            Ok(Some(None)) => Err(Unavailable::failed(format!("{} is not written as expected", path.display()))),
            // Built with PSI, but off until it is asked for at boot.
            Ok(None) | Err(_) => Err(Unavailable::NotCompiledIn {
                what: format!("{} (pressure stall information)", path.display()).into(),
                fix: "run on a kernel with CONFIG_PSI, and boot it with psi=1".into(),
            }),
        }
    };
    Ok(Pressure { cpu: stalls("cpu")?, memory: stalls("memory")?, io: stalls("io")? })
}

fn hierarchies(files: &mut Files, mountinfo: &str) -> Reading<Vec<Hierarchy>> {
    let mut found = Vec::new();
    for line in mountinfo.lines() {
        // Another mount's line that cannot be read says nothing of cgroups.
        let Ok(mount) = MountInfo::from_line(line) else { continue };
        let mount_point = unescape(&mount.mount_point.to_string_lossy());
        let (version, controllers) = match mount.fs_type.as_str() {
            "cgroup2" => {
                let listed =
                    files.read_if_there(Path::new(&mount_point).join("cgroup.controllers"))?.unwrap_or_default();
                (Version::V2, listed.split_ascii_whitespace().map(str::to_owned).collect())
            }
            "cgroup" => (Version::V1, mount.super_options.into_keys().collect()),
            _ => continue,
        };
        found.push(Hierarchy { version, controllers, root: unescape(&mount.root), mount_point });
    }
    Ok(found)
}

/// The process's path in the hierarchy of a controller, out of lines `id:controllers:path`.
fn path_in(cgroup: &str, version: Version, controller: &str) -> Option<String> {
    let path = cgroup.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let is_meant = match version {
            Version::V2 => id == "0" && controllers.is_empty(),
            Version::V1 => controllers.split(',').any(|one| one == controller),
        };
        is_meant.then_some(path)
    })?;
    // What a namespace does not show begins with `/..`; a removed group ends with ` (deleted)`.
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    (!path.split('/').any(|part| part == "..")).then(|| path.to_owned())
}

/// The levels from `path` up to the mount point.
fn levels(mounted: &Hierarchy, path: &str) -> Option<Vec<Level>> {
    let root = mounted.root.trim_end_matches('/');
    let below = path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    let parts: Vec<&str> = below.split('/').filter(|part| !part.is_empty()).collect();
    let level = |depth: usize| {
        let inner = parts[..depth].join("/");
        let path = if inner.is_empty() { root.to_owned() } else { format!("{root}/{inner}") };
        Level {
            version: mounted.version,
            path: if path.is_empty() { "/".to_owned() } else { path },
            dir: Path::new(&mounted.mount_point).join(inner),
        }
    };
    let chain: Vec<Level> = (0..=parts.len()).rev().map(level).collect();
    chain.first()?.dir.is_dir().then_some(chain)
}

impl CpuFiles {
    fn read(&self, files: &mut Files) -> CpuLevel {
        let dir = &self.level.dir;
        let (quota_us, period_us) = match self.level.version {
            Version::V2 => {
                let text = files.read_if_there(dir.join("cpu.max")).ok().flatten().unwrap_or("max");
                let mut words = text.split_ascii_whitespace();
                // "max" is no number, which is no quota.
                (words.next().and_then(|word| word.parse().ok()), words.next().and_then(|word| word.parse().ok()))
            }
            Version::V1 => (
                // -1 is no number either.
                number(files, &dir.join("cpu.cfs_quota_us")),
                number(files, &dir.join("cpu.cfs_period_us")),
            ),
        };
        let throttling = self.throttling(files);
        CpuLevel { path: self.level.path.clone(), quota_us, period_us, throttling }
    }

    fn throttling(&self, files: &mut Files) -> Option<Throttling> {
        let text = files.read_if_there(&self.stat).ok()??;
        Some(Throttling {
            nr_periods: keyed(text, "nr_periods")?,
            nr_throttled: keyed(text, "nr_throttled")?,
            throttled_us: match self.level.version {
                Version::V2 => keyed(text, "throttled_usec")?,
                Version::V1 => keyed(text, "throttled_time")? / 1000,
            },
        })
    }
}

impl MemoryFiles {
    fn new(level: Level) -> Self {
        let current = match level.version {
            Version::V2 => "memory.current",
            Version::V1 => "memory.usage_in_bytes",
        };
        Self { current: level.dir.join(current), stat: level.dir.join("memory.stat"), level }
    }

    fn read(&self, files: &mut Files) -> MemoryLevel {
        let dir = &self.level.dir;
        let (current_bytes, inactive_file_bytes) = self.usage(files);
        let limit = |bytes: Option<u64>| bytes.filter(|bytes| *bytes < NO_LIMIT);
        let (max_bytes, high_bytes, events) = match self.level.version {
            Version::V2 => {
                let max = number(files, &dir.join("memory.max"));
                let high = number(files, &dir.join("memory.high"));
                let text = files.read_if_there(dir.join("memory.events")).ok().flatten();
                let events = text.map(|text| MemoryEvents {
                    high: keyed(text, "high"),
                    max: keyed(text, "max"),
                    oom_kill: keyed(text, "oom_kill"),
                });
                (max, high, events)
            }
            Version::V1 => {
                let max = number(files, &dir.join("memory.limit_in_bytes"));
                let met = number(files, &dir.join("memory.failcnt"));
                let text = files.read_if_there(dir.join("memory.oom_control")).ok().flatten();
                let oom_kill = text.and_then(|text| keyed(text, "oom_kill"));
                (max, None, Some(MemoryEvents { high: None, max: met, oom_kill }))
            }
        };
        MemoryLevel {
            path: self.level.path.clone(),
            max_bytes: limit(max_bytes),
            high_bytes: limit(high_bytes),
            current_bytes,
            inactive_file_bytes,
            events,
        }
    }

    fn usage(&self, files: &mut Files) -> (Option<u64>, Option<u64>) {
        let current = number(files, &self.current);
        let key = match self.level.version {
            Version::V2 => "inactive_file",
            // With the groups below it, like the usage.
            Version::V1 => "total_inactive_file",
        };
        let inactive = files.read_if_there(&self.stat).ok().flatten().and_then(|text| keyed(text, key));
        (current, inactive)
    }
}

fn pids(level: &Level, files: &mut Files) -> PidsLevel {
    PidsLevel {
        path: level.path.clone(),
        max: number(files, &level.dir.join("pids.max")),
        current: number(files, &level.dir.join("pids.current")),
    }
}

/// The number that is all of a file; `None` for `max`, `-1` and a file that is not there.
fn number(files: &mut Files, path: &Path) -> Option<u64> {
    files.read_if_there(path).ok()??.trim().parse().ok()
}

/// The number behind `key` in lines `key number`.
fn keyed(text: &str, key: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find_map(|(name, value)| (name == key).then(|| value.trim().parse().ok())?)
}

#[cfg(test)]
mod tests;
