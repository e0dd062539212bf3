//! File systems: which of them can be filled, and how full they are. Separate because most of it is about what must not
//! be asked.
//!
//! A question to a file system whose server hangs never returns, and leaves a thread that cannot be killed. So only types
//! that are known to be local are asked, at mount points that are not below one that is not asked.

use lens_core::{OrUnavailable, Reading, Unavailable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cpu::ratio;

/// The most file systems that are shown. A host of containers has one for each of them.
pub const MAX_DISKS: usize = 64;

/// Types that live on a local disk or in memory.
const LOCAL: &[&str] = &[
    "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfsplus", "jfs", "msdos", "nilfs2", "ntfs3",
    "overlay", "ramfs", "reiserfs", "tmpfs", "ubifs", "udf", "vfat", "xfs", "zfs",
];

/// Types without space to fill: the kernel's own, and images that are full by construction.
const WITHOUT_SPACE: &[&str] = &[
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "cpuset",
    "cramfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "erofs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nfsd",
    "nsfs",
    "proc",
    "pstore",
    "resctrl",
    "romfs",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "squashfs",
    "sysfs",
    "tracefs",
];

/// One mount, out of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) device: String,
    pub(crate) root: String,
    pub(crate) mount_point: String,
    pub(crate) fs_type: String,
    pub(crate) source: String,
    pub(crate) is_read_only: bool,
}

/// The file systems that were found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Disks {
    /// In the order of their mount points.
    pub disks: Vec<Disk>,
    /// How many there were beyond [`MAX_DISKS`].
    pub left_out_count: u64,
}

/// One file system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// Where it is mounted.
    pub mount_point: String,
    /// What is mounted.
    pub source: String,
    /// Its type.
    pub fs_type: String,
    /// Whether nothing can be written here.
    pub is_read_only: bool,
    /// How full it is.
    pub space: Reading<Space>,
}

/// The answer of `statvfs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// All of it.
    pub total_bytes: u64,
    /// What nothing is written on, root's reserve included.
    pub free_bytes: u64,
    /// What this process's user can still write.
    pub available_bytes: u64,
    /// Files that there can be; 0 where the type has no such limit.
    pub inodes_total: u64,
    /// Files that can still be made.
    pub inodes_free: u64,
}

impl Space {
    /// Used, of what is used or can be: the percentage of `df`.
    pub(crate) fn used_ratio(&self) -> Option<f64> {
        let used = self.total_bytes.saturating_sub(self.free_bytes);
        let all = used.saturating_add(self.available_bytes);
        (all > 0).then(|| ratio(used, all))
    }
}

/// What is to be asked of the mounts, in the order of their mount points: one mount for each device, the topmost where
/// several lie on one point. The reading says why not where it must not be asked.
pub(crate) fn to_ask(mounts: Vec<Mount>) -> Vec<(Mount, Reading<()>)> {
    let refused: Vec<String> = mounts
        .iter()
        .filter(|mount| !is_local(&mount.fs_type) && !is_without_space(&mount.fs_type) || mount.fs_type == "autofs")
        .map(|mount| mount.mount_point.clone())
        .collect();
    let mut chosen: Vec<(Mount, Reading<()>)> = Vec::new();
    for (index, mount) in mounts.iter().enumerate() {
        let is_covered = mounts[index + 1..].iter().any(|later| later.mount_point == mount.mount_point);
        if is_covered || is_without_space(&mount.fs_type) || is_kernels(&mount.mount_point) {
            continue;
        }
        let below = refused.iter().find(|point| is_below(&mount.mount_point, point));
        let reading = if !is_local(&mount.fs_type) {
            Err(Unavailable::failed(format!(
                "left out: `{}` may be on the network, and asking one whose server hangs never returns",
                mount.fs_type
            )))
        } else if let Some(point) = below {
            Err(Unavailable::failed(format!("left out: it is below {point}, which may be on the network")))
        } else {
            Ok(())
        };
        // A bind mount (a container's /etc/hosts) shows the same file system again: its own root, and then the
        // shortest path, stand for it.
        let rank = |mount: &Mount| (mount.root != "/", mount.mount_point.len());
        match chosen.iter_mut().find(|(known, _)| known.device == mount.device) {
            Some(known) if rank(mount) < rank(&known.0) => *known = (mount.clone(), reading),
            Some(_) => {}
            None => chosen.push((mount.clone(), reading)),
        }
    }
    chosen.sort_by(|(one, _), (other, _)| one.mount_point.cmp(&other.mount_point));
    chosen
}

fn is_local(fs_type: &str) -> bool {
    LOCAL.contains(&fs_type)
}

fn is_without_space(fs_type: &str) -> bool {
    WITHOUT_SPACE.contains(&fs_type)
}

/// Whether a mount point belongs to the kernel's interfaces: a tmpfs there only carries other mounts.
fn is_kernels(mount_point: &str) -> bool {
    is_below(mount_point, "/sys") || is_below(mount_point, "/proc") || mount_point == "/dev"
}

fn is_below(path: &str, point: &str) -> bool {
    path.strip_prefix(point.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/') && rest.len() > 1)
}

/// A path as mountinfo writes it: blanks and backslashes are `\040` and the like.
pub(crate) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal =
            tail.get(..3).filter(|digits| first == b'\\' && digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        let code = octal.and_then(|digits| {
            let value = digits.iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
            u8::try_from(value).ok()
        });
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A file system and how full it is.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DiskRow {
    /// Where it is mounted.
    pub mount: String,
    /// What is mounted: a device, or a name.
    pub source: String,
    /// Its type: `ext4`, `overlay`, `tmpfs` …
    pub fs_type: String,
    /// Whether nothing can be written here.
    pub is_read_only: bool,
    /// All of it. Types that may be on the network are left out: asking one whose server hangs never returns.
    pub total_bytes: OrUnavailable<u64>,
    /// What something is written on.
    pub used_bytes: OrUnavailable<u64>,
    /// What this process's user can still write: without root's reserve.
    pub available_bytes: OrUnavailable<u64>,
    /// Used, of what is used or can be: the percentage of `df`. Null where there is no space at all.
    pub used_ratio: OrUnavailable<Option<f64>>,
    /// Files that there can be; null where the type has no such limit.
    pub inodes_total: OrUnavailable<Option<u64>>,
    /// Files that can still be made; null where there is no limit.
    pub inodes_free: OrUnavailable<Option<u64>>,
    /// Files that there are, of those that there can be; null where there is no limit.
    pub inodes_used_ratio: OrUnavailable<Option<f64>>,
}

impl Disks {
    pub(super) fn rows(&self) -> Vec<DiskRow> {
        self.disks.iter().map(Disk::row).collect()
    }

    /// The fullest one that can be written.
    pub(super) fn fullest_ratio(&self) -> Option<f64> {
        let writable = self.disks.iter().filter(|disk| !disk.is_read_only);
        let ratios = writable.filter_map(|disk| disk.space.as_ref().ok()?.used_ratio());
        ratios.max_by(f64::total_cmp)
    }
}

impl Disk {
    fn row(&self) -> DiskRow {
        let space = || self.space.clone();
        let limited = |of: fn(&Space) -> u64| space().map(|space| (space.inodes_total > 0).then(|| of(&space)));
        DiskRow {
            mount: self.mount_point.clone(),
            source: self.source.clone(),
            fs_type: self.fs_type.clone(),
            is_read_only: self.is_read_only,
            total_bytes: space().map(|space| space.total_bytes).into(),
            used_bytes: space().map(|space| space.total_bytes.saturating_sub(space.free_bytes)).into(),
            available_bytes: space().map(|space| space.available_bytes).into(),
            used_ratio: space().map(|space| space.used_ratio()).into(),
            inodes_total: limited(|space| space.inodes_total).into(),
            inodes_free: limited(|space| space.inodes_free).into(),
            inodes_used_ratio: space()
                .map(|space| {
                    let used = space.inodes_total.saturating_sub(space.inodes_free);
                    (space.inodes_total > 0).then(|| ratio(used, space.inodes_total))
                })
                .into(),
        }
    }
}
