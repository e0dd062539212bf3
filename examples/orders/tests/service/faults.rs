//! Faults are started and ended, and do what their truth says, as far as it can be seen from outside.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Service, program, until};

pub(crate) fn listed(service: &Service, name: &str) -> Value {
    let list = service.get("/faults").body;
    list.as_array().unwrap().iter().find(|fault| fault["name"] == name).unwrap().clone()
}

/// The line that a place names, without its indentation.
fn line_at(place: &Value) -> String {
    let (file, line) = place.as_str().unwrap().rsplit_once(':').unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let source = fs::read_to_string(root.join(file)).unwrap();
    source.lines().nth(line.parse::<usize>().unwrap() - 1).unwrap().trim().to_owned()
}

pub(crate) fn start(service: &Service, fault: &str) {
    let answer = service.post(&format!("/faults/{fault}"));
    assert_eq!(answer.status, 202, "{answer:?}");
}

pub(crate) fn end(service: &Service, name: &str) {
    let answer = service.request("DELETE", &format!("/faults/{name}"), "");
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(listed(service, name)["running"], Value::Null);
}

pub(crate) fn injected(service: &Service, name: &str) -> u64 {
    listed(service, name)["running"]["injected"].as_u64().unwrap()
}

pub(crate) fn until_injected(service: &Service, name: &str, count: u64) {
    until(&format!("{name} has come to {count}"), || (injected(service, name) == count).then_some(()));
}

/// A number in `/proc/PID/status`.
fn status(service: &Service, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    value.split_whitespace().next().unwrap().parse().unwrap()
}

fn resident_bytes(service: &Service) -> u64 {
    status(service, "VmRSS") * 1024
}

/// The processor time that the process has used, in ticks of 10 ms.
fn processor_ticks(service: &Service) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", service.pid())).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// How many of the process's open files are `/dev/null`.
fn open_files(service: &Service) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", service.pid())).unwrap();
    // A file may be closed between being listed and being read.
    files
        .filter(|file| fs::read_link(file.as_ref().unwrap().path()).is_ok_and(|at| at == Path::new("/dev/null")))
        .count()
}

/// Places an order, and gives the path where it is paid.
fn unpaid(service: &Service) -> String {
    let order = json!({"customer": "ada", "items": [{"sku": "tea", "quantity": 1}]}).to_string();
    let id = service.request("POST", "/orders", &order).body["id"].as_u64().unwrap();
    format!("/orders/{id}/pay")
}

#[test]
fn without_the_flag_there_are_no_faults() {
    let service = Service::start(&[]);
    assert_eq!(service.get("/faults").status, 404);
    assert_eq!(service.post("/faults/task_leak").status, 404);
    assert_eq!(service.request("DELETE", "/faults/task_leak", "").status, 404);
}

#[test]
fn what_cannot_be_started_or_ended_is_a_problem() {
    let service = Service::start(&["--faults"]);
    let problem = |method: &str, path: &str| {
        let answer = service.request(method, path, "");
        assert!(answer.head.contains("content-type: application/problem+json"), "{}", answer.head);
        (answer.status, answer.body["detail"].as_str().unwrap().to_owned())
    };
    let (status, detail) = problem("POST", "/faults/gremlin");
    assert_eq!(status, 404);
    assert!(detail.starts_with("there is no fault `gremlin`; there are blocking_call, all_blocked"), "{detail}");
    let too_many = (400, "`count` must be 1 to 100000".to_owned());
    assert_eq!(problem("POST", "/faults/task_leak?count=100001"), too_many);
    assert_eq!(problem("POST", "/faults/all_blocked?seconds=61"), (400, "`seconds` must be 1 to 60".to_owned()));
    assert_eq!(problem("POST", "/faults/deadlock?rate=1"), (400, "`deadlock` has no rate".to_owned()));
    assert_eq!(problem("POST", "/faults/deadlock?speed=1").0, 400);
    assert_eq!(problem("DELETE", "/faults/deadlock"), (409, "`deadlock` does not go on".to_owned()));
    assert_eq!(problem("DELETE", "/faults/all_blocked").0, 409);
    start(&service, "deadlock");
    assert_eq!(problem("POST", "/faults/deadlock"), (409, "`deadlock` goes on already".to_owned()));
}

#[test]
fn every_place_names_the_line_that_is_marked_for_it() {
    let service = Service::start(&["--faults"]);
    let list = service.get("/faults").body;
    for fault in list.as_array().unwrap() {
        let name = fault["name"].as_str().unwrap();
        let place = line_at(&fault["truth"]["place"]);
        assert!(place.contains(" // here: "), "{name}: {place}");
        for spawned_at in fault["truth"]["spawned_at"].as_array().unwrap() {
            assert!(line_at(spawned_at).contains("spawn"), "{name}: {spawned_at}");
        }
        for created_at in fault["truth"]["created_at"].as_array().unwrap() {
            let line = line_at(created_at);
            assert!(line.contains("::new(") || line.contains("channel("), "{name}: {line}");
        }
    }
    let place = |name: &str| line_at(&listed(&service, name)["truth"]["place"]);
    assert_eq!(place("blocking_call"), "thread::sleep(SLICE); // here: blocking_call");
    assert_eq!(place("all_blocked"), "thread::sleep(SLICE); // here: blocking_call");
    assert_eq!(place("deadlock"), "let mut to = to.lock().await; // here: deadlock");
    assert_eq!(place("task_leak"), "tokio::spawn(wait_for_answer(context.clone())); // here: task_leak");
    assert_eq!(place("heap_leak"), "receipts.push(vec![0xa5_u8; BLOCK]); // here: heap_leak");
}

#[test]
fn every_removable_fault_is_started_ended_and_started_again() {
    let service = Service::start(&["--faults"]);
    let list = service.get("/faults").body;
    for fault in list.as_array().unwrap().iter().filter(|fault| fault["removable"] == true) {
        let name = fault["name"].as_str().unwrap();
        for _ in 0..2 {
            start(&service, name);
            until(&format!("{name} does something"), || (injected(&service, name) > 0).then_some(()));
            end(&service, name);
        }
    }
    assert_eq!(service.get("/health").body["status"], "ok");
}

#[test]
fn task_leak_leaks_as_many_tasks_as_it_says() {
    let service = Service::start(&["--faults"]);
    start(&service, "task_leak?rate=2000&count=300");
    until_injected(&service, "task_leak", 300);
    end(&service, "task_leak");
}

#[test]
fn heap_leak_keeps_as_much_memory_as_it_says() {
    let service = Service::start(&["--faults"]);
    let before = resident_bytes(&service);
    start(&service, "heap_leak?rate=5000&count=10000");
    until_injected(&service, "heap_leak", 10_000);
    let kept = resident_bytes(&service) - before;
    assert!((10_000 * 4_096..10_000 * 4_096 * 2).contains(&kept), "{kept}");
    end(&service, "heap_leak");
}

#[test]
fn blocking_call_leaves_the_other_workers() {
    let service = Service::start(&["--faults"]);
    start(&service, "blocking_call");
    until_injected(&service, "blocking_call", 1);
    for _ in 0..20 {
        assert_eq!(service.get("/health").status, 200);
    }
    end(&service, "blocking_call");
}

#[test]
fn all_blocked_stops_everything_for_as_long_as_it_says() {
    let service = Service::start(&["--faults", "--load", "50"]);
    let requests = || service.get("/health").body["requests_total"].as_u64().unwrap();
    let before = requests();
    start(&service, "all_blocked?seconds=1");
    // No answer comes before the end of the fault, and all of them after it.
    let listed = until("all workers are free again", || {
        let fault = listed(&service, "all_blocked");
        (fault["running"] == Value::Null).then_some(fault)
    });
    assert_eq!(listed["removable"], false);
    until("the load goes on", || (requests() > before + 50).then_some(()));
}

#[test]
fn semaphore_exhausted_refuses_payments_until_it_ends() {
    let service = Service::start(&["--faults"]);
    start(&service, "semaphore_exhausted");
    until_injected(&service, "semaphore_exhausted", 8);
    let order = unpaid(&service);
    let refused = service.post(&order);
    assert_eq!(refused.status, 503, "{refused:?}");
    end(&service, "semaphore_exhausted");
    assert_eq!(service.post(&order).status, 200);
}

#[test]
fn blocking_pool_exhausted_takes_every_thread_of_the_pool() {
    let service = Service::start(&["--faults"]);
    start(&service, "blocking_pool_exhausted");
    until_injected(&service, "blocking_pool_exhausted", 512);
    assert!(status(&service, "Threads") > 512);
    // The notifier renders on the pool, so no customer is told; but orders are still paid.
    assert_eq!(service.post(&unpaid(&service)).status, 200);
    end(&service, "blocking_pool_exhausted");
}

#[test]
fn faults_of_the_processor_use_it() {
    let service = Service::start(&["--faults"]);
    for name in ["cpu_hog", "busy_loop", "timer_storm"] {
        let before = processor_ticks(&service);
        start(&service, name);
        until(&format!("{name} uses the processor"), || (processor_ticks(&service) > before + 30).then_some(()));
        end(&service, name);
    }
}

#[test]
fn lock_convoy_has_as_many_tasks_as_it_says() {
    let service = Service::start(&["--faults"]);
    start(&service, "lock_convoy?count=50");
    assert_eq!(injected(&service, "lock_convoy"), 50);
    end(&service, "lock_convoy");
}

#[test]
fn cache_without_eviction_keeps_as_much_memory_as_it_says() {
    let service = Service::start(&["--faults"]);
    let before = resident_bytes(&service);
    start(&service, "cache_without_eviction?rate=5000&count=10000");
    until_injected(&service, "cache_without_eviction", 10_000);
    let kept = resident_bytes(&service) - before;
    assert!((10_000 * 4_096..10_000 * 4_096 * 2).contains(&kept), "{kept}");
    end(&service, "cache_without_eviction");
}

#[test]
fn fragmentation_keeps_sixteen_times_what_is_live() {
    // jemalloc gives free pages back at once, so that only those are resident that cannot be given back.
    let without_delay = "dirty_decay_ms:0,muzzy_decay_ms:0";
    let service = Service::start_program(program().arg("--faults").env("_RJEM_MALLOC_CONF", without_delay));
    let before = resident_bytes(&service);
    start(&service, "fragmentation?count=200000");
    until_injected(&service, "fragmentation", 200_000);
    std::thread::sleep(Duration::from_millis(500));
    let live = 200_000 / 16 * 256;
    let resident = resident_bytes(&service) - before;
    assert!(resident > live * 10, "{resident} bytes are resident for {live} that are live");
    end(&service, "fragmentation");
}

#[test]
fn alloc_churn_keeps_nothing() {
    let service = Service::start(&["--faults"]);
    start(&service, "alloc_churn");
    let before = resident_bytes(&service);
    until("a hundred thousand blocks were allocated", || (injected(&service, "alloc_churn") > 100_000).then_some(()));
    assert!(resident_bytes(&service) < before + 40_960_000);
    end(&service, "alloc_churn");
}

#[test]
fn unbounded_channel_grows_as_far_as_it_says() {
    let service = Service::start(&["--faults"]);
    start(&service, "unbounded_channel?rate=10000&count=3000");
    until("the queue is long", || (injected(&service, "unbounded_channel") > 2_500).then_some(()));
    assert!(injected(&service, "unbounded_channel") <= 3_000);
    end(&service, "unbounded_channel");
}

#[test]
fn channel_full_keeps_orders_from_being_dispatched_until_it_ends() {
    let service = Service::start(&["--faults"]);
    start(&service, "channel_full");
    until("the channel is full", || (service.get("/health").body["dispatch_queue"] == 256).then_some(()));
    let order = unpaid(&service);
    let order_path = order.strip_suffix("/pay").unwrap();
    std::thread::scope(|scope| {
        let payment = scope.spawn(|| service.post(&order));
        until("the order is paid", || (service.get(order_path).body["status"] == "paid").then_some(()));
        assert!(!payment.is_finished());
        end(&service, "channel_full");
        assert_eq!(payment.join().unwrap().status, 200);
    });
    until("the order is dispatched", || (service.get(order_path).body["status"] == "dispatched").then_some(()));
}

#[test]
fn slow_downstream_makes_payments_slow_until_it_ends() {
    let service = Service::start(&["--faults"]);
    start(&service, "slow_downstream");
    until_injected(&service, "slow_downstream", 1);
    let started = Instant::now();
    let paid = service.post(&unpaid(&service));
    assert!(started.elapsed() > Duration::from_millis(1_900), "{paid:?} after {:?}", started.elapsed());
    end(&service, "slow_downstream");
}

#[test]
fn retry_storm_fails_payments_until_it_ends() {
    let service = Service::start(&["--faults"]);
    start(&service, "retry_storm");
    until_injected(&service, "retry_storm", 20);
    let order = unpaid(&service);
    assert_eq!(service.post(&order).status, 502);
    end(&service, "retry_storm");
    assert_eq!(service.post(&order).status, 200);
}

#[test]
fn fd_leak_opens_as_many_files_as_it_says() {
    let service = Service::start(&["--faults"]);
    let before = open_files(&service);
    start(&service, "fd_leak?rate=1000&count=300");
    until_injected(&service, "fd_leak", 300);
    until("the files are open", || (open_files(&service) == before + 300).then_some(()));
    end(&service, "fd_leak");
    until("the files are closed", || (open_files(&service) == before).then_some(()));
}

#[test]
fn panics_errors_and_events_come_from_their_line() {
    let service = Service::start_program(program().arg("--faults").env("ORDERS_LOG", "info"));
    let at = |name: &str| listed(&service, name)["truth"]["place"].as_str().unwrap().to_owned();
    start(&service, "panic_loop?rate=50&count=10");
    until("ten tasks have panicked", || (service.logged(&at("panic_loop")) == 10).then_some(()));
    end(&service, "panic_loop");

    start(&service, "error_burst?rate=500&count=100");
    until("a hundred errors are logged", || (service.logged("ERROR") == 100).then_some(()));
    assert_eq!(service.logged("ERROR orders::faults::process: cannot write the ledger: no space left order="), 100);
    end(&service, "error_burst");

    start(&service, "log_storm?rate=20000&count=5000");
    let line = " INFO orders::faults::process: still waiting for the label order=";
    until("five thousand events are logged", || (service.logged(line) == 5_000).then_some(()));
    end(&service, "log_storm");
}

#[test]
fn a_fault_ends_by_itself() {
    let service = Service::start(&["--faults"]);
    start(&service, "task_leak?seconds=1");
    until("it has ended", || (listed(&service, "task_leak")["running"] == Value::Null).then_some(()));
}

#[test]
fn two_faults_go_on_at_once() {
    let service = Service::start(&["--faults"]);
    start(&service, "deadlock");
    start(&service, "task_leak?rate=1000&count=20");
    until_injected(&service, "task_leak", 20);
    assert_eq!(injected(&service, "deadlock"), 1);
    end(&service, "task_leak");
    assert_eq!(injected(&service, "deadlock"), 1);
}
