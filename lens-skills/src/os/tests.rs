//! The functions of `os` answer what a hand-made state says, and refuse to guess what it does not say.

use std::time::Duration;

use lens_core::{Cause, Metric, Timestamp, Unavailable, Unit};
use serde_json::{Value, json};

use super::cpu::Shares;
use super::disks::{Mount, to_ask, unescape};
use super::*;
use crate::testing::{ask, ask_all, examine, greatest, saved};

fn ticks(user: u64, system: u64, irq: u64, iowait: u64, steal: u64, idle: u64) -> Ticks {
    Ticks { user, system, irq, iowait, steal, idle }
}

fn refused() -> Unavailable {
    Unavailable::failed("refused")
}

/// A machine of 4 processors; the process may use 1.5 of them.
fn state() -> State {
    let throttling =
        |nr_periods, nr_throttled, throttled_us| Some(Throttling { nr_periods, nr_throttled, throttled_us });
    let samples = vec![
        CpuSample { at_us: 0, machine: ticks(0, 0, 0, 0, 0, 0), process_us: 0, throttling: throttling(0, 0, 0) },
        CpuSample {
            at_us: 50_000_000,
            machine: ticks(5000, 5000, 1000, 1000, 1000, 7000),
            process_us: 30_000_000,
            throttling: throttling(500, 0, 0),
        },
        CpuSample {
            at_us: 60_000_000,
            machine: ticks(6000, 5500, 1100, 1200, 1200, 9000),
            process_us: 42_000_000,
            throttling: throttling(600, 25, 2_000_000),
        },
    ];
    let pod = "/pod";
    let own = "/pod/container";
    State {
        cpu: Ok(Cpu { online_count: Ok(4), allowed_count: Ok(4), samples }),
        load: Ok(Load { load1: 1.5, load5: 1.0, load15: 0.5, runnable_count: 3, thread_count: 200 }),
        memory: Ok(Memory {
            total_bytes: 16_000,
            free_bytes: 1_000,
            available_bytes: Some(12_000),
            buffers_bytes: 100,
            cached_bytes: 11_000,
            shared_bytes: Some(50),
            dirty_bytes: 10,
            swap_total_bytes: 800,
            swap_free_bytes: 600,
        }),
        disks: Ok(Disks::default()),
        cgroup: Ok(Cgroup {
            version: Version::V2,
            path: own.into(),
            cpu: vec![
                CpuLevel {
                    path: own.into(),
                    quota_us: Some(200_000),
                    period_us: Some(100_000),
                    throttling: throttling(9, 1, 7),
                },
                CpuLevel {
                    path: pod.into(),
                    quota_us: Some(150_000),
                    period_us: Some(100_000),
                    throttling: throttling(600, 24, 1_999_993),
                },
                CpuLevel { path: "/".into(), ..CpuLevel::default() },
            ],
            memory: vec![
                MemoryLevel {
                    path: own.into(),
                    max_bytes: Some(4_000),
                    high_bytes: Some(3_500),
                    current_bytes: Some(3_900),
                    inactive_file_bytes: Some(2_900),
                    events: Some(MemoryEvents { high: Some(2), max: Some(1), oom_kill: Some(0) }),
                },
                MemoryLevel {
                    path: pod.into(),
                    max_bytes: Some(8_000),
                    current_bytes: Some(6_500),
                    inactive_file_bytes: Some(500),
                    ..MemoryLevel::default()
                },
                MemoryLevel { path: "/".into(), ..MemoryLevel::default() },
            ],
            pids: vec![PidsLevel { path: own.into(), max: Some(100), current: Some(40) }],
            pressure: Err(refused()),
        }),
        pressure: Ok(Pressure {
            cpu: Stalls { some: stalled(12.5, 2_000_000), full: None },
            memory: Stalls { some: stalled(0.0, 0), full: Some(stalled(0.0, 0)) },
            io: Stalls { some: stalled(50.0, 1_500), full: Some(stalled(25.0, 1_000)) },
        }),
        process: Process {
            pid: 7,
            started_at: Ok(Timestamp::from_unix_millis(0)),
            uptime_ms: Ok(60_000.0),
            status: Ok(Status { rss_bytes: 4096, virtual_bytes: 8192, thread_count: 3, ..Status::default() }),
            fd_count: Ok(256),
            fd_limit: (Some(1024), None),
            usage: Ok(Usage { user_us: 40_000_500, system_us: 2_000_000, ..Usage::default() }),
            io: Err(refused()),
            map_count: Ok(10),
            map_limit: Ok(65_530),
            oom_score: Ok(666),
        },
        threads: Ok(Threads {
            threads: vec![
                thread(1, "main", 5_000_000_000),
                thread(2, "worker", 9_000_000_000),
                thread(3, "young", 250_000_000),
            ],
            left_out_count: 0,
            earlier: Some(ThreadSample {
                at_us: 50_000_000,
                threads: vec![
                    (1, ThreadTimes { running_ns: 4_900_000_000, waiting_ns: 0 }),
                    (2, ThreadTimes { running_ns: 1_000_000_000, waiting_ns: 3_000_000 }),
                ],
                cores: vec![(0, ticks(0, 0, 0, 0, 0, 0)), (1, ticks(0, 0, 0, 0, 0, 0))],
            }),
            at_us: 60_000_000,
            cores: Ok(vec![(0, ticks(896, 64, 32, 0, 0, 32)), (1, ticks(0, 0, 0, 500, 0, 500))]),
        }),
        limits: vec![
            Limit { name: "nofile".into(), unit: "count".into(), soft: Some(1024), hard: None },
            Limit { name: "stack".into(), unit: "bytes".into(), soft: Some(8 << 20), hard: None },
        ],
    }
}

fn stalled(avg10: f64, total_us: u64) -> Stalled {
    Stalled { avg10, avg60: 0.0, avg300: 0.0, total_us }
}

fn thread(tid: u32, name: &str, running_ns: u64) -> Thread {
    Thread {
        tid,
        name: name.into(),
        state: 'S',
        processor: Some(0),
        times: Some(ThreadTimes { running_ns, waiting_ns: 5_000_000 }),
        wait_channel: None,
    }
}

fn os(function: &str, arguments: Value) -> Value {
    ask::<OsSkill>(saved(&state()), function, arguments).unwrap()
}

#[test]
fn cpu_ratios_are_of_the_window_and_add_up_to_one() {
    let row = os("cpu", json!({"last": "10s"}));
    assert_eq!(row["window_ms"], 10_000.0);
    let parts = ["user_ratio", "system_ratio", "irq_ratio", "iowait_ratio", "steal_ratio", "idle_ratio"];
    let parts: Vec<f64> = parts.iter().map(|part| row[part].as_f64().unwrap()).collect();
    assert_eq!(parts, [0.25, 0.125, 0.025, 0.05, 0.05, 0.5]);
    assert!((parts.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    assert_eq!(row["busy_ratio"], 0.25 + 0.125 + 0.025 + 0.05);
}

#[test]
fn cpu_of_the_process_is_compared_with_the_tightest_quota_of_all_levels() {
    let row = os("cpu", json!({"last": "10s"}));
    assert_eq!(row["quota_cores"], 1.5);
    assert_eq!(row["usable_cores"], 1.5);
    assert_eq!(row["process_cores"], 1.2);
    assert!((row["process_ratio"].as_f64().unwrap() - 0.8).abs() < 1e-9);
    assert_eq!(row["throttled_ms"], 2000.0);
    assert_eq!(row["throttled_ratio"], 0.25);
}

#[test]
fn cpu_window_longer_than_the_history_says_how_long_it_is() {
    let row = os("cpu", json!({"last": "5m"}));
    assert_eq!(row["window_ms"], 60_000.0);
    assert_eq!(row["process_cores"], 0.7);
}

#[test]
fn cpu_window_that_is_not_kept_is_refused() {
    let error = ask::<OsSkill>(state(), "cpu", json!({"last": "6m"})).unwrap_err();
    assert_eq!(error.to_string(), "`last` takes a length of up to 5m, not \"6m\"; `os.cpu_ratio` has a longer series");
    assert!(ask::<OsSkill>(state(), "cpu", json!({"last": "0s"})).is_err());
}

#[test]
fn cpu_without_a_second_sample_is_unavailable() {
    let mut state = state();
    let cpu = state.cpu.as_mut().unwrap();
    cpu.samples.drain(..2);
    let error = ask::<OsSkill>(state, "cpu", json!({})).unwrap_err();
    assert_eq!(error.to_string(), "`os.cpu` is unavailable: wait until lens has run for a second or two");
}

#[test]
fn quota_that_cannot_be_read_is_not_taken_for_none() {
    let mut state = state();
    state.cgroup = Err(refused());
    state.cpu.as_mut().unwrap().samples.iter_mut().for_each(|sample| sample.throttling = None);
    let row = ask::<OsSkill>(state.clone(), "cpu", json!({})).unwrap();
    for field in ["quota_cores", "usable_cores", "process_ratio", "throttled_ms", "throttled_ratio"] {
        assert_eq!(row[field], json!({"unavailable": "failed", "fix": "refused"}), "{field}");
    }
    assert_eq!(row["process_cores"], 1.2);
    let memory = ask::<OsSkill>(state.clone(), "memory", json!({})).unwrap();
    assert_eq!(memory["limit_bytes"]["fix"], "refused");
    assert_eq!(
        ask::<OsSkill>(state, "cgroup", json!({})).unwrap_err().to_string(),
        "`os.cgroup` is unavailable: refused"
    );
}

#[test]
fn no_quota_reads_as_null_and_no_throttling() {
    let mut state = state();
    state.cgroup.as_mut().unwrap().cpu.iter_mut().for_each(|level| level.quota_us = None);
    state.cpu.as_mut().unwrap().samples.iter_mut().for_each(|sample| sample.throttling = None);
    let row = ask::<OsSkill>(state, "cpu", json!({})).unwrap();
    assert_eq!(row["quota_cores"], Value::Null);
    assert_eq!(row["usable_cores"], 4.0);
    assert_eq!(row["throttled_ms"], 0.0);
    assert_eq!(row["throttled_ratio"], 0.0);
}

#[test]
fn memory_limit_is_the_least_and_its_fill_that_of_the_fullest_level() {
    let row = os("memory", json!({}));
    assert_eq!(row["used_bytes"], 4_000);
    assert_eq!(row["used_ratio"], 0.25);
    assert_eq!(row["limit_bytes"], 4_000);
    assert_eq!(row["limited_by"], "cgroup");
    // The container's working set is a quarter of its limit, the pod's three quarters of its own.
    assert_eq!(row["limit_used_ratio"], 0.75);
    assert_eq!(row["swap_used_bytes"], 200);
}

#[test]
fn cgroup_limit_above_the_machine_is_no_limit() {
    let mut state = state();
    for level in &mut state.cgroup.as_mut().unwrap().memory {
        level.max_bytes = level.max_bytes.map(|_| 1 << 40);
    }
    let row = ask::<OsSkill>(state, "memory", json!({})).unwrap();
    assert_eq!(row["limit_bytes"], 16_000);
    assert_eq!(row["limited_by"], "machine");
    assert_eq!(row["limit_used_ratio"], 0.25);
}

#[test]
fn cgroup_reports_page_cache_apart_from_the_working_set() {
    let row = os("cgroup", json!({}));
    assert_eq!(row["memory_current_bytes"], 3_900);
    assert_eq!(row["memory_working_set_bytes"], 1_000);
    assert_eq!(row["memory_limit_path"], "/pod/container");
    assert_eq!(row["quota_path"], "/pod");
    assert_eq!(row["nr_periods"], 600);
    assert_eq!(row["nr_throttled"], 25);
    assert_eq!(row["memory_high_total"], 2);
    assert_eq!(row["oom_kill_total"], 0);
    assert_eq!((&row["pids_limit"], &row["pids_count"]), (&json!(100), &json!(40)));
}

#[test]
fn cgroup_levels_go_from_the_process_to_the_root() {
    let rows = os("cgroup_levels", json!({}));
    let paths: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/pod/container", "/pod", "/"]);
    assert_eq!(rows[1]["quota_cores"], 1.5);
    assert_eq!(rows[1]["memory_used_ratio"], 0.75);
    assert_eq!(rows[2]["memory_limit_bytes"], Value::Null);
}

#[test]
fn pressure_is_by_resource_and_an_old_kernels_missing_line_is_no_row() {
    let rows = os("pressure", json!({}));
    let kinds: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", row["resource"].as_str().unwrap(), row["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(kinds, ["cpu some", "memory some", "memory full", "io some", "io full"]);
    assert_eq!(rows[0]["avg10_ratio"], 0.125);
    assert_eq!(rows[0]["stalled_ms"], 2000.0);
    let error = ask::<OsSkill>(state(), "pressure", json!({"scope": "cgroup"})).unwrap_err();
    assert_eq!(error.to_string(), "`os.pressure` is unavailable: refused");
}

#[test]
fn process_compares_files_with_the_soft_limit_and_keeps_absent_counts_absent() {
    let row = os("process", json!({}));
    assert_eq!(row["fd_ratio"], 0.25);
    assert_eq!(row["fd_hard_limit"], Value::Null);
    assert_eq!(row["cpu_user_ms"], 40_000.5);
    assert_eq!(row["disk_read_bytes"]["unavailable"], "failed");
    let limits = os("limits", json!({}));
    assert_eq!((&limits[0]["name"], &limits[0]["used"]), (&json!("nofile"), &json!(256)));
    assert_eq!((&limits[1]["soft"], &limits[1]["used"]), (&json!(8 << 20), &Value::Null));
}

#[test]
fn threads_are_sorted_by_the_window_not_by_their_life() {
    let rows = os("threads", json!({}));
    let order: Vec<_> = rows.as_array().unwrap().iter().map(|row| (&row["name"], &row["cpu_ms"])).collect();
    // The young one started within the window, so that all of its time is in it.
    assert_eq!(
        order,
        [(&json!("worker"), &json!(8000.0)), (&json!("young"), &json!(250.0)), (&json!("main"), &json!(100.0))]
    );
    assert_eq!(rows[0]["cpu_ratio"], 0.8);
    assert_eq!(rows[0]["run_queue_ms"], 2.0);
    assert_eq!(os("threads", json!({"by": "name", "limit": 1}))[0]["name"], "main");
    assert_eq!(os("threads", json!({"by": "wait"}))[2]["name"], "worker");
}

#[test]
fn thread_beyond_the_cap_is_not_taken_for_a_young_one() {
    let mut state = state();
    state.threads.as_mut().unwrap().left_out_count = 1;
    let rows = ask::<OsSkill>(state, "threads", json!({"by": "name"})).unwrap();
    assert_eq!(rows[2]["name"], "young");
    assert_eq!(rows[2]["cpu_ms"]["unavailable"], "failed");
    assert_eq!(rows[2]["cpu_since_start_ms"], 250.0);
}

#[test]
fn threads_without_an_earlier_sample_have_no_window() {
    let mut state = state();
    state.threads.as_mut().unwrap().earlier = None;
    let rows = ask::<OsSkill>(state.clone(), "threads", json!({})).unwrap();
    assert_eq!(rows[0]["name"], "worker");
    assert_eq!(rows[0]["cpu_ms"]["unavailable"], "not_yet");
    assert_eq!(rows[0]["cpu_since_start_ms"], 9000.0);
    assert!(ask::<OsSkill>(state, "cores", json!({})).is_err());
}

#[test]
fn cores_show_the_one_that_works() {
    let rows = os("cores", json!({}));
    assert_eq!((&rows[0]["core"], &rows[0]["busy_ratio"]), (&json!(0), &json!(0.96875)));
    assert_eq!((&rows[1]["busy_ratio"], &rows[1]["iowait_ratio"]), (&json!(0.0), &json!(0.5)));
}

fn mount(device: &str, root: &str, mount_point: &str, fs_type: &str) -> Mount {
    Mount {
        device: device.into(),
        root: root.into(),
        mount_point: mount_point.into(),
        fs_type: fs_type.into(),
        source: String::new(),
        is_read_only: false,
    }
}

#[test]
fn network_file_systems_and_what_lies_below_them_are_never_asked() {
    let mounts = vec![
        mount("8:1", "/", "/", "ext4"),
        mount("0:1", "/", "/proc", "proc"),
        mount("0:40", "/", "/home", "nfs4"),
        mount("8:2", "/", "/home/me/disk", "xfs"),
        mount("0:41", "/", "/media/phone", "fuse.mtp"),
        mount("8:3", "/", "/homestead", "btrfs"),
        mount("0:42", "/", "/net", "autofs"),
        mount("8:4", "/", "/net/disk", "ext4"),
        mount("0:43", "/", "/odd", "some-new-fs"),
    ];
    let asked: Vec<_> = to_ask(mounts).into_iter().map(|(mount, may)| (mount.mount_point, may.is_ok())).collect();
    let expected = [
        ("/", true),
        ("/home", false),
        ("/home/me/disk", false),
        ("/homestead", true),
        ("/media/phone", false),
        ("/net/disk", false),
        ("/odd", false),
    ];
    assert_eq!(asked, expected.map(|(point, may)| (point.to_owned(), may)));
}

#[test]
fn one_file_system_is_shown_once_and_a_covered_one_not_at_all() {
    let mounts = vec![
        mount("0:50", "/", "/", "overlay"),
        mount("8:1", "/var/lib/containers/hosts", "/etc/hosts", "ext4"),
        mount("8:1", "/var/lib/containers/resolv", "/etc/resolv.conf", "ext4"),
        mount("8:1", "/", "/mnt/a/long/way/down", "ext4"),
        mount("0:51", "/", "/dev/shm", "tmpfs"),
        mount("0:52", "/", "/dev/shm", "tmpfs"),
        mount("0:53", "/", "/sys/fs/cgroup", "tmpfs"),
        mount("0:54", "/", "/dev", "tmpfs"),
    ];
    let asked: Vec<_> = to_ask(mounts).into_iter().map(|(mount, _)| (mount.mount_point, mount.device)).collect();
    let expected = [("/", "0:50"), ("/dev/shm", "0:52"), ("/mnt/a/long/way/down", "8:1")];
    assert_eq!(asked, expected.map(|(point, device)| (point.to_owned(), device.to_owned())));
}

#[test]
fn disk_without_inode_limit_has_no_inode_ratio() {
    let space = |inodes_total| Space {
        total_bytes: 1_000,
        free_bytes: 300,
        available_bytes: 100,
        inodes_total,
        inodes_free: 25,
    };
    let disk = |mount_point: &str, space| Disk {
        mount_point: mount_point.into(),
        source: "/dev/sda".into(),
        fs_type: "btrfs".into(),
        is_read_only: false,
        space,
    };
    let mut state = state();
    let disks = vec![disk("/", Ok(space(0))), disk("/b", Ok(space(100))), disk("/c", Err(refused()))];
    state.disks = Ok(Disks { disks, left_out_count: 0 });
    let rows = ask::<OsSkill>(saved(&state), "disks", json!({})).unwrap();
    // 700 used of the 800 that are used or can be: root's reserve is neither.
    assert_eq!(rows[0]["used_ratio"], 0.875);
    assert_eq!(rows[0]["inodes_used_ratio"], Value::Null);
    assert_eq!(rows[1]["inodes_used_ratio"], 0.75);
    assert_eq!(rows[2]["total_bytes"]["fix"], "refused");
}

#[test]
fn mount_points_are_unescaped() {
    assert_eq!(unescape(r"/my\040disk\134x\011"), "/my disk\\x\t");
    assert_eq!(unescape(r"/odd\04"), r"/odd\04");
    assert_eq!(unescape(r"/odd\999é"), r"/odd\999é");
}

#[test]
fn texts_of_old_and_odd_kernels_are_read() {
    assert_eq!(Ticks::parse("cpu  1 2 3 4"), Some(ticks(3, 3, 0, 0, 0, 4)));
    // Guest time is in user and nice already.
    assert_eq!(Ticks::parse("cpu0 10 1 3 4 5 6 7 8 9 1"), Some(ticks(11, 3, 13, 5, 8, 4)));
    assert_eq!(Ticks::parse("cpu  1 2 x 4"), None);
    assert_eq!(Load::parse("0.52 0.58 0.59 3/617 12345\n").unwrap().runnable_count, 3);
    assert_eq!(Load::parse("0.52 0.58"), None);
    let stalls = Stalls::parse("some avg10=1.50 avg60=0.20 avg300=0.00 total=99\n").unwrap();
    assert_eq!((stalls.some.avg10, stalls.some.total_us, stalls.full), (1.5, 99, None));
    assert_eq!(Stalls::parse("full avg10=0.00 avg60=0.00 avg300=0.00 total=0"), None);
    assert_eq!(Stalls::parse("some avg10=nan avg60=0.00 avg300=0.00 total=0"), None);
    assert_eq!(
        super::threads::parse_stat("12 (a (b) c) R 1 2"),
        Some(("a (b) c".into(), 'R', None)),
        "a name may hold parentheses"
    );
    assert_eq!(Status::parse("VmSize:\t 10 kB\nThreads:\t4\n"), None, "a zombie has no memory");
    let io = "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 7\n";
    assert_eq!(Io::parse(io), Some(Io { rchar: 1, wchar: 2, syscr: 3, syscw: 4, read_bytes: 5, write_bytes: 6 }));
}

#[test]
fn a_leak_is_told_with_its_time_where_descriptors_are_counted_rarely() {
    static FD_COUNT: Metric = Metric::gauge("fd_count", Unit::Count, "Open file descriptors of this process.");
    // Counted every other second, over midnight.
    let started_at = Timestamp::from_unix_millis(1_767_225_600_123).minus(Duration::from_secs(20));
    let counts = (0..=15).map(|step| (2 * step, 100 + 20 * step));
    let report = examine::<OsSkill>(OsSkill::new().about(), &state(), &FD_COUNT, counts, started_at);
    assert_eq!(report.defects, []);
    let found: Vec<_> = report.findings().filter(|finding| finding.cause == Cause::FdLeak).collect();
    let [finding] = &found[..] else { panic!("{report}") };
    assert_eq!(finding.summary, "400 file descriptors are open, 280 more than 28 s ago");
    assert_eq!(finding.since, Some(started_at.plus(Duration::from_secs(2))));
}

#[test]
fn every_function_and_field_is_documented() {
    let mut builder = lens_core::RegistryBuilder::new();
    builder.skill(OsSkill::new()).unwrap();
    let registry = builder.build();
    for function in registry.get("os").unwrap().functions() {
        let (lens_core::signature::Returns::Rows(fields) | lens_core::signature::Returns::Record(fields)) =
            &function.returns
        else {
            panic!("{} has rows", function.name)
        };
        assert!(!fields.is_empty() && !function.doc.is_empty());
        for field in fields {
            assert!(!field.doc.is_empty(), "{}.{}", function.name, field.name);
        }
        for parameter in &function.parameters {
            assert!(!parameter.doc.is_empty(), "{}({})", function.name, parameter.name);
        }
    }
}

#[test]
fn the_greatest_numbers_of_a_file_are_summed_up_to_the_greatest_number() {
    let space = Space { total_bytes: u64::MAX, free_bytes: 0, available_bytes: u64::MAX, ..Space::default() };
    assert_eq!(space.used_ratio(), Some(1.0));
    let shares = Shares::between(Ticks::default(), ticks(u64::MAX, u64::MAX, 0, 0, 0, 0)).unwrap();
    assert_eq!((shares.user, shares.system, shares.idle), (1.0, 1.0, 0.0));
    greatest(&state()).into_iter().for_each(ask_all::<OsSkill>);
}
