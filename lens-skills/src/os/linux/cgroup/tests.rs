//! Groups are found and read from trees of files like those of real machines.

use std::fs;

use tempfile::TempDir;

use super::*;

/// A directory with these files, made of `path: text`.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let root = TempDir::new().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn read(cgroup: &str, mountinfo: &str) -> Reading<Cgroup> {
    let mut files = Files::new();
    Places::find(&mut files, cgroup, mountinfo).map(|places| places.read(&mut files))
}

fn v2_mount(root: &str, at: &TempDir) -> String {
    format!("41 31 0:38 {root} {} rw,relatime - cgroup2 cgroup2 rw\n", at.path().display())
}

#[test]
fn nested_limits_of_v2_are_read_from_the_process_up_to_the_mount() {
    let root = tree(&[
        ("cgroup.controllers", "cpuset cpu io memory pids\n"),
        ("pod/cpu.max", "150000 100000\n"),
        ("pod/cpu.stat", "usage_usec 9\nnr_periods 10\nnr_throttled 3\nthrottled_usec 4500\n"),
        ("pod/memory.max", "2000000\n"),
        ("pod/memory.high", "max\n"),
        ("pod/memory.current", "1500000\n"),
        ("pod/memory.stat", "anon 1\ninactive_file 500000\nactive_file 2\n"),
        ("pod/memory.events", "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\n"),
        ("pod/pids.max", "64\n"),
        ("pod/pids.current", "9\n"),
        ("pod/own/cpu.max", "max 100000\n"),
        ("pod/own/cpu.stat", "usage_usec 9\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n"),
        ("pod/own/memory.max", "max\n"),
        ("pod/own/memory.current", "700\n"),
        ("pod/own/memory.stat", "inactive_file 200\n"),
        ("pod/own/cpu.pressure", "some avg10=1.00 avg60=2.00 avg300=3.00 total=4\n"),
        ("pod/own/memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"),
        ("pod/own/io.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"),
    ]);
    let cgroup = read("0::/pod/own\n", &v2_mount("/", &root)).unwrap();
    assert_eq!((cgroup.version, cgroup.path.as_str()), (Version::V2, "/pod/own"));
    assert_eq!(cgroup.cpu.iter().map(|level| level.path.as_str()).collect::<Vec<_>>(), ["/pod/own", "/pod", "/"]);
    assert_eq!(cgroup.quota_cores(), Some(1.5));
    assert_eq!(cgroup.throttling(), Some(Throttling { nr_periods: 10, nr_throttled: 3, throttled_us: 4500 }));
    let limit = cgroup.memory_limit().unwrap();
    assert_eq!((limit.path.as_str(), limit.max_bytes, limit.ratio()), ("/pod", Some(2_000_000), Some(0.5)));
    assert_eq!(limit.events.unwrap(), MemoryEvents { high: Some(1), max: Some(2), oom_kill: Some(4) });
    assert_eq!(cgroup.memory[0].working_set_bytes(), Some(500));
    assert_eq!(cgroup.pids[1].max, Some(64));
    assert_eq!(cgroup.pressure.unwrap().cpu.some.total_us, 4);
}

#[test]
fn refresh_reads_the_numbers_that_move() {
    let root = tree(&[
        ("cgroup.controllers", "cpu memory\n"),
        ("own/cpu.max", "50000 100000\n"),
        ("own/cpu.stat", "nr_periods 1\nnr_throttled 1\nthrottled_usec 10\n"),
        ("own/memory.max", "1000\n"),
        ("own/memory.current", "100\n"),
        ("own/memory.stat", "inactive_file 0\n"),
    ]);
    let mut files = Files::new();
    let places = Places::find(&mut files, "0::/own\n", &v2_mount("/", &root)).unwrap();
    let mut cgroup = places.read(&mut files);
    fs::write(root.path().join("own/cpu.stat"), "nr_periods 5\nnr_throttled 4\nthrottled_usec 70\n").unwrap();
    fs::write(root.path().join("own/memory.current"), "900\n").unwrap();
    places.refresh(&mut cgroup, &mut files);
    assert_eq!(cgroup.throttling(), Some(Throttling { nr_periods: 5, nr_throttled: 4, throttled_us: 70 }));
    assert_eq!(cgroup.fullest_memory().unwrap().ratio(), Some(0.9));
}

#[test]
fn container_without_its_own_namespace_sees_its_group_at_the_mount_point() {
    let root = tree(&[("cgroup.controllers", "cpu\n"), ("cpu.max", "50000 100000\n")]);
    let cgroup = read("0::/docker/ab12\n", &v2_mount("/docker/ab12", &root)).unwrap();
    assert_eq!(cgroup.path, "/docker/ab12");
    assert_eq!(cgroup.quota_cores(), Some(0.5));
}

#[test]
fn root_group_has_no_limits_and_says_no_usage() {
    let root = tree(&[("cgroup.controllers", "cpu memory pids\n"), ("cpu.stat", "usage_usec 9\nuser_usec 1\n")]);
    let cgroup = read("0::/\n", &v2_mount("/", &root)).unwrap();
    assert_eq!(cgroup.quota_cores(), None);
    assert_eq!(cgroup.throttling(), None);
    assert_eq!(cgroup.memory_limit(), None);
    assert_eq!(cgroup.memory[0].current_bytes, None);
    let reason = cgroup.pressure.unwrap_err();
    assert_eq!(reason.code(), "not_compiled_in");
    assert!(reason.to_string().ends_with("run on a kernel with CONFIG_PSI, and boot it with psi=1"), "{reason}");
}

#[test]
fn v1_has_a_hierarchy_for_each_controller() {
    let root = tree(&[
        ("cpu,cpuacct/svc/cpu.cfs_quota_us", "25000\n"),
        ("cpu,cpuacct/svc/cpu.cfs_period_us", "50000\n"),
        ("cpu,cpuacct/svc/cpu.stat", "nr_periods 8\nnr_throttled 2\nthrottled_time 3000000\n"),
        ("cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
        ("cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ("memory/svc/a b/memory.limit_in_bytes", "4096000\n"),
        ("memory/svc/a b/memory.usage_in_bytes", "4096000\n"),
        ("memory/svc/a b/memory.stat", "inactive_file 1\ntotal_inactive_file 3072000\n"),
        ("memory/svc/a b/memory.failcnt", "12\n"),
        ("memory/svc/a b/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"),
        ("memory/svc/memory.limit_in_bytes", "9223372036854771712\n"),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
    ]);
    let at = root.path().display();
    let mountinfo = format!(
        "32 31 0:29 / {at}/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
         35 31 0:32 / {at}/memory rw - cgroup cgroup rw,memory\n\
         a line that is no mount\n"
    );
    let cgroup = read("4:memory:/svc/a b\n2:cpu,cpuacct:/svc\n1:name=systemd:/x\n0::/x\n", &mountinfo).unwrap();
    assert_eq!(cgroup.version, Version::V1);
    assert_eq!(cgroup.quota_cores(), Some(0.5));
    assert_eq!(cgroup.throttling(), Some(Throttling { nr_periods: 8, nr_throttled: 2, throttled_us: 3000 }));
    let limit = cgroup.memory_limit().unwrap();
    assert_eq!((limit.path.as_str(), limit.ratio()), ("/svc/a b", Some(0.25)));
    assert_eq!(limit.events.unwrap(), MemoryEvents { high: None, max: Some(12), oom_kill: Some(5) });
    assert_eq!(cgroup.memory[1].max_bytes, None);
    assert_eq!(cgroup.pids, []);
    assert_eq!(cgroup.pressure.unwrap_err().code(), "unsupported_platform");
}

#[test]
fn hybrid_reads_each_controller_where_it_is() {
    let root = tree(&[
        ("unified/cgroup.controllers", "\n"),
        ("unified/cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"),
        ("unified/memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"),
        ("unified/io.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"),
        ("cpu/cpu.cfs_quota_us", "-1\n"),
        ("cpu/cpu.cfs_period_us", "100000\n"),
    ]);
    let at = root.path().display();
    let mountinfo =
        format!("1 0 0:1 / {at}/cpu rw - cgroup cgroup rw,cpu\n2 0 0:2 / {at}/unified rw - cgroup2 cgroup2 rw\n");
    let cgroup = read("1:cpu:/\n0::/\n", &mountinfo).unwrap();
    assert_eq!((cgroup.version, cgroup.quota_cores()), (Version::V1, None));
    assert_eq!(cgroup.pressure.unwrap().cpu.some.total_us, 7);
}

#[test]
fn group_out_of_sight_is_an_absence_with_a_fix() {
    let root = tree(&[("cgroup.controllers", "cpu\n")]);
    let outside = read("0::/../other\n", &v2_mount("/", &root)).unwrap_err();
    assert!(outside.to_string().contains("its own cgroup namespace"), "{outside}");
    let removed = read("0::/gone (deleted)\n", &v2_mount("/", &root)).unwrap_err();
    assert_eq!(removed, outside);
    let none = read("0::/\n", "1 0 8:1 / / rw - ext4 /dev/sda rw\n").unwrap_err();
    assert_eq!(none.to_string(), "no cgroup file system is mounted where this process can see it");
    assert!(read("", &v2_mount("/", &root)).is_err());
}
