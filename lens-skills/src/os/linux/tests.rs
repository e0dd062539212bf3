//! What `os` reads of the running process and machine, against what the test itself did to them.

use std::fs::File;
use std::io::Write as _;
use std::sync::mpsc;
use std::time::Duration;

use lens_core::Skill as _;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::*;
use crate::os::OsSkill;
use crate::testing::{ask, wait_until};

fn os(skill: &OsSkill, function: &str, arguments: Value) -> Value {
    ask::<OsSkill>(skill.collect().unwrap(), function, arguments).unwrap()
}

/// Tests of one process run side by side, and what one opens another one counts.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Uses `span` of this thread's processor time.
fn burn(span: Duration) {
    let used = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
    };
    let start = used();
    while used() - start < span {
        std::hint::spin_loop();
    }
}

#[test]
fn opened_files_are_counted() {
    let _alone = alone();
    let skill = OsSkill::new();
    let count = || os(&skill, "process", json!({}))["fd_count"].as_u64().unwrap();
    let before = count();
    let opened: Vec<File> = (0..500).map(|_| File::open("/dev/null").unwrap()).collect();
    // Other tests open a few at the same time.
    let during = count();
    assert!(during.abs_diff(before + 500) < 50, "{before} {during}");
    drop(opened);
    assert!(count().abs_diff(before) < 50);
    let row = os(&skill, "process", json!({}));
    let limit = row["fd_soft_limit"].as_f64().unwrap();
    assert!((row["fd_ratio"].as_f64().unwrap() - row["fd_count"].as_f64().unwrap() / limit).abs() < 1e-9);
}

#[test]
fn slow_count_of_files_agrees_with_the_fast_one() {
    let _alone = alone();
    let listed = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1;
    assert!(process::fd_count().unwrap().abs_diff(listed) < 50);
}

#[test]
fn started_threads_are_counted_and_named() {
    let _alone = alone();
    let skill = OsSkill::new();
    let count = || os(&skill, "process", json!({}))["thread_count"].as_u64().unwrap();
    let before = count();
    let threads: Vec<_> = (0..30)
        .map(|number| {
            let (stop, stopped) = mpsc::channel::<()>();
            let name = format!("sleeper-{number}");
            let handle = std::thread::Builder::new().name(name).spawn(move || stopped.recv()).unwrap();
            (stop, handle)
        })
        .collect();
    wait_until("30 threads wait", || {
        let rows = os(&skill, "threads", json!({"limit": 10_000, "by": "name"}));
        let sleepers =
            rows.as_array().unwrap().iter().filter(|row| row["name"].as_str().unwrap().starts_with("sleeper-"));
        sleepers.filter(|row| row["state"] == "sleeping").count() == 30
    });
    assert!(count().abs_diff(before + 30) < 20, "{before} {}", count());
    for (stop, handle) in threads {
        drop(stop);
        let _ = handle.join().unwrap();
    }
}

#[test]
fn burnt_processor_time_is_found_again() {
    let _alone = alone();
    let skill = OsSkill::new();
    let mut metrics = Metrics::default();
    let cpu_ms = || {
        let row = os(&skill, "process", json!({}));
        row["cpu_user_ms"].as_f64().unwrap() + row["cpu_system_ms"].as_f64().unwrap()
    };
    let before = cpu_ms();
    skill.metrics(&mut metrics);
    burn(Duration::from_millis(300));
    let row = os(&skill, "cpu", json!({"last": "10s"}));
    let used_ms = row["process_cores"].as_f64().unwrap() * row["window_ms"].as_f64().unwrap();
    assert!(used_ms >= 295.0, "{row}");
    // Not more than all processors could give in that time.
    let most_ms = row["cpu_count"].as_f64().unwrap() * row["window_ms"].as_f64().unwrap();
    assert!(used_ms <= most_ms * 1.05, "{row}");
    // The kernel splits it in user and system by ticks.
    assert!(cpu_ms() - before >= 270.0);
}

#[test]
fn thread_that_burns_stands_first_with_its_time() {
    let _alone = alone();
    let mut live = Live::new();
    live.sample_threads();
    // As old as a sample has to be.
    live.started -= Duration::from_secs(6);
    let burner = std::thread::Builder::new().name("burner".into());
    let (stop, stopped) = mpsc::channel::<()>();
    let (done, is_done) = mpsc::channel();
    let handle = burner
        .spawn(move || {
            burn(Duration::from_millis(400));
            done.send(()).unwrap();
            let _ = stopped.recv();
        })
        .unwrap();
    is_done.recv().unwrap();
    let state = live.collect().unwrap();
    let rows = ask::<OsSkill>(state, "threads", json!({"by": "cpu", "limit": 3})).unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["name"] == "burner").unwrap();
    let cpu_ms = row["cpu_ms"].as_f64().unwrap();
    assert!((399.0..500.0).contains(&cpu_ms), "{row}");
    assert!(row["window_ms"].as_f64().unwrap() >= 6000.0, "{row}");
    drop(stop);
    handle.join().unwrap();
}

#[test]
fn written_bytes_are_counted() {
    let _alone = alone();
    let skill = OsSkill::new();
    let written = || os(&skill, "process", json!({}))["written_bytes"].as_u64().unwrap();
    let before = written();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![7; 3 << 20]).unwrap();
    let grown = written() - before;
    assert!((3 << 20..4 << 20).contains(&grown), "{grown}");
}

#[test]
fn touched_memory_is_resident() {
    let _alone = alone();
    let skill = OsSkill::new();
    let resident = || os(&skill, "process", json!({}))["rss_bytes"].as_u64().unwrap();
    let before = resident();
    let touched = vec![1_u8; 64 << 20];
    let grown = resident().saturating_sub(before);
    assert!(grown > 60 << 20, "{grown}");
    assert_eq!(touched[touched.len() / 2], 1);
}

#[test]
fn process_knows_when_it_started() {
    let skill = OsSkill::new();
    let row = os(&skill, "process", json!({}));
    assert_eq!(row["pid"], std::process::id());
    let uptime_ms = row["uptime_ms"].as_f64().unwrap();
    // The oldest thing that this process has is its entry in /proc.
    let made = std::fs::metadata("/proc/self").unwrap().modified().unwrap();
    let age_ms = made.elapsed().unwrap_or_default().as_secs_f64() * 1e3;
    assert!(uptime_ms >= age_ms - 50.0, "{uptime_ms} {age_ms}");
    assert!(uptime_ms < 3_600_000.0, "{uptime_ms}");
}

#[test]
fn the_processors_are_the_process_s_and_not_those_of_the_thread_that_asks() {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let service = sched_getaffinity(Some(rustix::process::getpid())).unwrap();
    let last = (0..CpuSet::MAX_CPU).rfind(|cpu| service.is_set(*cpu)).unwrap();
    let mut one = CpuSet::new();
    one.set(last);
    let asking = std::thread::spawn(move || {
        sched_setaffinity(None, &one).unwrap();
        assert_eq!(sched_getaffinity(None).unwrap().count(), 1);
        machine::allowed_count().unwrap()
    });
    assert_eq!(asking.join().unwrap(), service.count());
}

#[test]
fn machine_agrees_with_other_ways_to_ask_it() {
    let skill = OsSkill::new();
    let info = rustix::system::sysinfo();
    let unit = u64::from(info.mem_unit);
    let memory = os(&skill, "memory", json!({}));
    assert_eq!(memory["total_bytes"].as_u64().unwrap(), info.totalram * unit);
    let allowed = std::thread::available_parallelism().unwrap().get() as u64;
    let state = skill.collect().unwrap();
    let cpu = state.cpu.clone().unwrap();
    assert!(u64::from(cpu.allowed_count.unwrap()) >= allowed);
    assert!(cpu.online_count.unwrap() >= 1);
    let disks = os(&skill, "disks", json!({}));
    let root = disks.as_array().unwrap().iter().find(|disk| disk["mount"] == "/").unwrap();
    let answer = rustix::fs::statvfs("/").unwrap();
    assert_eq!(root["total_bytes"].as_u64().unwrap(), answer.f_blocks * answer.f_frsize);
    let limits = os(&skill, "limits", json!({}));
    let nofile = limits.as_array().unwrap().iter().find(|limit| limit["name"] == "nofile").unwrap();
    let (soft, _) = crate::os::linux::process::read(&mut Files::new()).fd_limit;
    assert_eq!(nofile["soft"].as_u64(), soft);
}

#[test]
fn metrics_are_recorded_once_each_from_the_second_tick_on() {
    let _alone = alone();
    let skill = OsSkill::new();
    let recorder = std::sync::Arc::new(lens_core::Recorder::new());
    let start = Instant::now();
    let mut ticked = start;
    let mut least_cores = 0.0;
    for second in 0..3 {
        let mut metrics = Metrics::default();
        let before = Instant::now();
        skill.metrics(&mut metrics);
        recorder.record("os", start + Duration::from_secs(second), &metrics);
        // The recorded window lies within this one.
        least_cores = 0.029 / ticked.elapsed().as_secs_f64();
        ticked = before;
        burn(Duration::from_millis(30));
    }
    let history = recorder.until(start + Duration::from_secs(3));
    let names: Vec<_> = lens_core::recorder::History::list(&history).into_iter().map(|series| series.name).collect();
    let expected = ["os.cpu_ratio", "os.process_cpu_cores", "os.memory_available_bytes", "os.rss_bytes", "os.fd_count"];
    for name in expected.into_iter().chain(["os.thread_count", "os.load1", "os.major_faults", "os.max_disk_used_ratio"])
    {
        assert_eq!(names.iter().filter(|known| *known == name).count(), 1, "{name} in {names:?}");
    }
    let cores =
        lens_core::recorder::History::series(&history, "os.process_cpu_cores", lens_core::Span::seconds(10)).unwrap();
    assert!(cores.last() >= least_cores.min(0.9), "{least_cores} {cores:?}");
    let disk =
        lens_core::recorder::History::series(&history, "os.max_disk_used_ratio", lens_core::Span::seconds(10)).unwrap();
    assert!((0.0..=1.0).contains(&disk.last()));
}

#[test]
fn state_that_was_saved_answers_alike() {
    let skill = OsSkill::new();
    skill.metrics(&mut Metrics::default());
    burn(Duration::from_millis(30));
    let state = skill.collect().unwrap();
    let saved = crate::testing::saved(&state);
    for function in [
        "cpu",
        "load_average",
        "memory",
        "disks",
        "process",
        "threads",
        "limits",
        "cgroup",
        "cgroup_levels",
        "pressure",
    ] {
        let live = ask::<OsSkill>(state.clone(), function, json!({}));
        assert_eq!(live, ask::<OsSkill>(saved.clone(), function, json!({})), "{function}");
    }
}

#[test]
#[ignore = "prints what a second of the skill costs, for its docs"]
fn cost_of_metrics_and_collect() {
    let skill = OsSkill::new();
    let mut metrics = Metrics::default();
    let timed = |what: &str, times: u32, mut call: Box<dyn FnMut()>| {
        let start = Instant::now();
        (0..times).for_each(|_| call());
        std::io::stderr().write_all(format!("{what}: {:?}\n", start.elapsed() / times).as_bytes()).unwrap();
    };
    skill.metrics(&mut metrics);
    timed("metrics", 1000, Box::new(|| skill.metrics(&mut metrics)));
    timed("collect", 100, Box::new(|| drop(skill.collect())));
    let mut live = Live::new();
    timed(
        "tenth second",
        100,
        Box::new(move || {
            live.find_cgroups();
            live.sample_threads();
            drop(machine::disks(&mut live.files));
        }),
    );
}
