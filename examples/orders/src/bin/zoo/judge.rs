//! Runs one service and compares what lens says with the truth.

use std::io;
use std::time::{Duration, Instant};

use lens::evidence::{Insight, Report, Severity};
use orders::faults::Fault;
use orders::faults::truth::Place;

use crate::child::Service;
use crate::plan::{Case, Healthy};
use crate::table::{FaultRow, HealthyRow, PlaceSeen};

/// How long a service runs before something goes wrong with it.
const SETTLE: Duration = Duration::from_secs(5);

/// How long lens has to find a fault.
const DEADLINE: Duration = Duration::from_secs(10);

/// The same for what only time shows: growth.
const LEAK_DEADLINE: Duration = Duration::from_secs(60);

/// How long after the first finding the diagnosis is asked for: symptoms that follow have to be in it.
const AFTER: Duration = Duration::from_secs(3);

/// The load of a service with a fault.
const LOAD: &[&str] = &["--faults", "--load", "50"];

const ASK_EVERY: Duration = Duration::from_millis(500);

/// How often a healthy service is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

pub(crate) fn fault(case: &Case, round: u32) -> FaultRow {
    match try_fault(case, round) {
        Ok(row) => row,
        Err(error) => FaultRow { notes: error.to_string(), ..FaultRow::nothing(case.name(), round) },
    }
}

fn try_fault(case: &Case, round: u32) -> io::Result<FaultRow> {
    let mut row = FaultRow::nothing(case.name(), round);
    let service = Service::start(LOAD)?;
    // As in a service that samples its allocations for some minutes of each hour: without, lens finds growth, not its line.
    service.lens_text("POST", "/pprof/heap?seconds=600", "")?;
    std::thread::sleep(SETTLE);
    for fault in &case.0 {
        // One that cannot be removed ends by itself: not before it was looked at.
        let seconds = if fault.removable { String::new() } else { "?seconds=30".to_owned() };
        service.service("POST", &format!("/faults/{}{seconds}", fault.name))?;
    }
    let started = Instant::now();
    let deadline = if case.0.iter().any(|fault| is_leak(fault)) { LEAK_DEADLINE } else { DEADLINE };
    while started.elapsed() < deadline {
        let report: Report = read(service.lens("GET", "/findings", "")?)?;
        if case.0.iter().all(|fault| of(&report, fault).is_some()) {
            row.seconds = Some(started.elapsed().as_secs_f64());
            break;
        }
        std::thread::sleep(ASK_EVERY);
    }
    std::thread::sleep(AFTER);
    let order = serde_json::json!({"reason": format!("the zoo started {}", case.name())});
    let href =
        service.lens("POST", "/investigations", &order.to_string())?["id"].as_str().unwrap_or_default().to_owned();
    let report = loop {
        let answer = service.lens("GET", &format!("/investigations/{href}"), "")?;
        if answer["status"] != "running" {
            break read::<Report>(answer["report"].clone())?;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    compare(case, &report, &mut row);
    let file = service.lens_text("GET", &format!("/investigations/{href}/capture"), "")?;
    keep(&case.name(), &report, &file);
    let replay = lens::Builder::new().open(file.as_bytes()).map_err(io::Error::other)?;
    let (facts, wrong) = replay.verify(&report);
    row.facts = facts;
    row.facts_wrong = wrong.len();
    row.notes.extend(wrong.iter().map(|fact| format!(" {fact}")));
    row.is_same_from_file = sentences(&replay.findings()) == sentences(&report);
    Ok(row)
}

/// What a report says, without what differs from run to run.
fn sentences(report: &Report) -> Vec<String> {
    report.insights.iter().map(ToString::to_string).collect()
}

/// Writes report and capture where somebody wants to look at them.
fn keep(name: &str, report: &Report, file: &str) {
    let Some(folder) = std::env::var_os("ZOO_KEEP") else { return };
    let folder = std::path::Path::new(&folder);
    // Only for whoever looks; the scorecard does not depend on it.
    let _ = std::fs::write(folder.join(format!("{name}.txt")), report.to_string());
    let _ = std::fs::write(folder.join(format!("{name}.json")), file);
}

fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> io::Result<T> {
    serde_json::from_value(value).map_err(io::Error::other)
}

fn is_leak(fault: &Fault) -> bool {
    matches!(cause(fault).as_str(), "task_leak" | "heap_leak" | "fragmentation" | "fd_leak" | "queue_growth")
}

fn cause(fault: &Fault) -> String {
    serde_json::to_value(fault.truth.cause).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The insight whose root cause is the fault's.
fn of<'a>(report: &'a Report, fault: &Fault) -> Option<&'a Insight> {
    let cause = cause(fault);
    report.insights.iter().find(|insight| insight.root_cause.is_some_and(|root| root.word() == cause))
}

fn compare(case: &Case, report: &Report, row: &mut FaultRow) {
    let found: Vec<_> = case.0.iter().filter_map(|fault| Some((fault, of(report, fault)?))).collect();
    row.is_cause_right = found.len() == case.0.len();
    let place = found.iter().map(|(fault, insight)| place(fault, insight)).max();
    row.place = if row.is_cause_right { place } else { None };
    let first = report.insights.iter().take(case.0.len());
    row.is_first =
        row.is_cause_right && first.clone().all(|insight| found.iter().any(|(_, right)| std::ptr::eq(*right, insight)));
    let is_right = |insight: &Insight| found.iter().any(|(_, right)| std::ptr::eq(*right, insight));
    let wrong = report.insights.iter().filter(|insight| insight.severity >= Severity::Warning && !is_right(insight));
    let wrong: Vec<_> = wrong.map(|insight| format!("{}: {}", insight.title(), insight.summary)).collect();
    row.false_findings = wrong.len();
    row.notes.extend(wrong.iter().map(|text| format!(" false: {text};")));
    row.notes.extend(report.defects.iter().map(|defect| format!(" defect: {} {};", defect.check, defect.why)));
    row.defects = report.defects.len();
}

/// How the place of an insight compares with the truth.
fn place(fault: &Fault, insight: &Insight) -> PlaceSeen {
    let truth = &fault.truth;
    let root = insight.root();
    let is_one = |place: &str, of: &[Place]| {
        of.iter().any(|right| {
            let right = right.to_string();
            place == right || place.strip_prefix(&right).is_some_and(|rest| rest.starts_with(':'))
        })
    };
    let any = |places: &[String], of: &[Place]| places.iter().any(|place| is_one(place, of));
    match &root.place {
        Some(place) if is_one(place, &[truth.place]) || is_one(place, truth.also) => PlaceSeen::Line,
        Some(place) if is_one(place, truth.spawned_at) => PlaceSeen::Spawn,
        Some(place) if is_one(place, truth.created_at) => PlaceSeen::Created,
        _ if any(&root.spawned_at, truth.spawned_at) => PlaceSeen::Spawn,
        _ if any(&root.created_at, truth.created_at) => PlaceSeen::Created,
        Some(place) => PlaceSeen::Wrong(place.clone()),
        None => PlaceSeen::Unknown,
    }
}

pub(crate) fn healthy(healthy: &Healthy, round: u32, seconds: u64) -> HealthyRow {
    let mut row = HealthyRow { name: healthy.name, round, seconds, ..HealthyRow::default() };
    match look(healthy, seconds, &mut row) {
        Ok(()) => row,
        Err(error) => HealthyRow { false_findings: row.false_findings + 1, notes: error.to_string(), ..row },
    }
}

fn look(healthy: &Healthy, seconds: u64, row: &mut HealthyRow) -> io::Result<()> {
    let service = Service::start(healthy.arguments)?;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(LOOK_EVERY.min(Duration::from_secs(seconds)));
        let report: Report = read(service.lens("GET", "/findings", "")?)?;
        row.rounds_of_checks += 1;
        for insight in report.insights.iter().filter(|insight| insight.severity >= Severity::Warning) {
            row.false_findings += 1;
            row.notes.push_str(&format!(" {}: {};", insight.title(), insight.summary));
        }
        row.defects += report.defects.len();
        row.notes.extend(report.defects.iter().map(|defect| format!(" defect: {} {};", defect.check, defect.why)));
    }
    let cost = service.lens("POST", "/query", "lens.cost().cpu_ratio")?;
    row.cpu_ratio = cost["value"].as_f64();
    Ok(())
}
