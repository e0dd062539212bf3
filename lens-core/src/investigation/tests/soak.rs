//! Many investigations at once, on lens's own thread, with a model that does anything and callers that cancel or go away:
//! each is answered, and nothing stays behind.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Weak, mpsc};

use super::budget::{Ledger, Used};
use super::run::Inner;
use super::*;
use crate::model::Answering;

/// How many investigations, unless `LENS_SOAK` says: 1 000 are what a release has to stand.
const DEFAULT_RUNS: usize = 60;

/// How many run at once.
const AT_ONCE: usize = 6;

/// Anything that a model may do, by a number.
fn anything(number: u64) -> Line {
    let line = match number % 19 {
        0 => Line::fails(ErrorClass::Rejected),
        1 => Line::errs(ModelError {
            retry_after: Some(Duration::from_millis(1)),
            ..ModelError::new(ErrorClass::Unavailable, "ill")
        }),
        2 => Line::is_silent(),
        3 => Line::panics("as asked"),
        4 => Line::says("no idea"),
        5 => Line::says(r#"{"action":{"intent":"resolve"}}"#),
        6 => act(json!({"intent": "investigation", "skills": ["shop", "bank", "moon"]})),
        7 => act(json!({"intent": "question", "skills": ["shop"]})),
        8 => act(json!({"intent": "invoke_operators", "skills": ["shop", "bank"]})),
        9 => act(json!({"intent": "wait", "ms": 2})),
        10 => act(json!({"intent": "execute", "code": "[x for x in range(1000)]"})),
        11 => act(json!({"intent": "execute", "code": "fail()"})),
        12 => act(reports("queue_growth", &[("8 customers wait", "shop.queue().waiting")])),
        13 => act(reports("queue_growth", &[("31 customers were served", "shop.tills()[0].served")])),
        14 => act(json!({"intent": "produce_insight", "findings": ["f1"], "correlation": "causal"})),
        15 => act(json!({"intent": "answer", "facts": [{"text": "7 wait", "expr": "shop.queue().waiting"}]})),
        16 => act(json!({"intent": "conclude", "insights": []})),
        17 => act(json!({"intent": "take_snapshot"})),
        _ => act(json!({"intent": "done"})),
    };
    if number.is_multiple_of(5) { line.after(Duration::from_millis(3)) } else { line }
}

/// A model that does anything, and keeps nothing of it.
#[derive(Default)]
struct Anything {
    random: RandomState,
    asked: AtomicU64,
}

impl Model for Anything {
    fn name(&self) -> String {
        "scripted/anything".to_owned()
    }

    fn answer<'a>(&'a self, prompt: &'a Prompt) -> Answering<'a> {
        let number = self.random.hash_one(self.asked.fetch_add(1, Ordering::Relaxed));
        let line = anything(number);
        Box::pin(async move { Scripted::lines([line]).answer(prompt).await })
    }
}

/// What became of one investigation.
struct Answer {
    /// What ended it; nothing that its caller, who is gone, heard of.
    ended_by: Option<EndedBy>,
    /// The tokens of its report, if somebody waited for that.
    reported: Option<u64>,
    ledger: Arc<Ledger>,
    run: Weak<Inner>,
}

/// How many ways there are for a caller to behave; each strategy meets each.
const WAYS: usize = 5;
/// A caller that goes away before the investigation has begun to ask.
const GONE_AT_ONCE: usize = 2;

fn way(index: usize) -> usize {
    index / 2 % WAYS
}

/// Carries one out whose caller waits for its end, cancels it, or goes away, at once or when `chance` has it.
async fn one(site: &Site, index: usize, chance: u64) -> Answer {
    let strategy = if index.is_multiple_of(2) { Strategy::Pipeline } else { Strategy::AgentLoop };
    let run = site.begin(Order::new("slow").strategy(strategy));
    let cancel = Cancel::new();
    let hurry = async {
        // Anywhere in the conversation, but after the checks, whose findings are then in the report.
        while run.checked().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(chance % 30)).await;
    };
    let conducted = site.investigator.conduct(&run, &cancel);
    let outcome = match way(index) {
        0 => {
            let cancelled = async {
                hurry.await;
                cancel.cancel();
                std::future::pending::<()>().await;
            };
            tokio::select! { outcome = conducted => Some(outcome), () = cancelled => None }
        }
        1 => tokio::select! { outcome = conducted => Some(outcome), () = hurry => None },
        GONE_AT_ONCE => {
            tokio::select! { biased; outcome = conducted => Some(outcome), () = std::future::ready(()) => None }
        }
        _ => Some(conducted.await),
    };
    let (ledger, run) = (Arc::clone(&run.0.ledger), Arc::downgrade(&run.0));
    let Some(outcome) = outcome else { return Answer { ended_by: None, reported: None, ledger, run } };
    the_checks_are_in(&outcome.report);
    for fact in outcome.report.findings().flat_map(|finding| &finding.facts) {
        assert!(!fact.text.contains('8'), "{}", outcome.report);
    }
    let reported = Some(spent(&outcome.report).tokens());
    Answer { ended_by: Some(outcome.report.ended_by), reported, ledger, run }
}

/// How many threads of the process have the room's name.
fn rooms() -> usize {
    let names = std::fs::read_dir("/proc/self/task").unwrap().filter_map(|task| {
        // One that has ended since it was listed has no name.
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
    });
    names.filter(|name| name.trim() == "lens-model").count()
}

fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How many tasks the room has, beside the one that counts.
fn tasks(room: &Room) -> usize {
    let (count, counted) = mpsc::channel();
    room.spawn(async move { count.send(tokio::runtime::Handle::current().metrics().num_alive_tasks() - 1).unwrap() });
    counted.recv_timeout(Duration::from_secs(30)).unwrap()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What many investigations came to.
struct Soaked {
    ends: BTreeMap<&'static str, usize>,
    used: Used,
    /// How many were ended by a resource of the process.
    ended_by: HashMap<Resource, usize>,
}

/// Carries `runs` out within `quota`, and looks for what stays.
fn soak(runs: usize, quota: Quota) -> Soaked {
    let mut settings = Settings { model: Some(Arc::new(Anything::default())), quota, ..Settings::default() };
    settings.budget.deadline = Duration::from_secs(2);
    let site = Arc::new(Site::new(settings));
    let room = Room::open().unwrap();
    let random = RandomState::new();
    let (answer, answered) = mpsc::channel();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let running = Arc::new(Mutex::new((0_usize, 0_usize)));
    for index in 0..runs {
        let (site, turns, answer) = (Arc::clone(&site), Arc::clone(&turns), answer.clone());
        let (chance, running) = (random.hash_one(index), Arc::clone(&running));
        room.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            let count = |by: isize| {
                let mut running = running.lock().unwrap();
                let now = running.0.checked_add_signed(by).unwrap();
                *running = (now, running.1.max(now));
            };
            count(1);
            let became = one(&site, index, chance).await;
            count(-1);
            answer.send(became).unwrap();
        });
    }
    drop(answer);
    let (mut answers, mut after_the_first_tenth) = (Vec::new(), 0);
    for index in 0..runs {
        answers.push(answered.recv_timeout(Duration::from_secs(60)).expect("every investigation is answered"));
        if index == runs / 10 {
            after_the_first_tenth = memory_kib();
        }
    }
    let grown = memory_kib().saturating_sub(after_the_first_tenth);
    assert_eq!(*running.lock().unwrap(), (0, AT_ONCE), "several ran at once, and none does now");

    wait_until("tasks stay", || tasks(&room) == 0);
    let service = &site.investigator.service;
    wait_until("queries go on", || {
        service.queries.store().len_count + service.work.store().len_count + service.checking.store().len_count == 0
    });
    let places = service.queries.limits().concurrency - 1;
    assert_eq!(service.places.available_permits(), places, "every place is free again");
    let stay = answers.iter().filter(|answer| answer.run.upgrade().is_some()).count();
    assert_eq!(stay, 0, "nothing of an investigation stays when it is over");
    let used = site.investigator.process.used();
    assert_eq!((used.reserved, used.automatic.len()), (0, 0), "no call is under way any more");
    let spent = |answer: &Answer| answer.ledger.spent().tokens();
    assert_eq!(used.tokens(), answers.iter().map(spent).sum::<u64>(), "what all used is what each used");
    for answer in &answers {
        assert_eq!(answer.reported.unwrap_or(spent(answer)), spent(answer), "a report has all: {:?}", answer.ended_by);
    }
    let threads = rooms();
    drop(room);
    wait_until("the room's thread stays", || rooms() < threads);
    // Other tests may run in this process, so the bound is a loose one.
    assert!(grown < 100 * 1024, "{grown} KiB more after {runs} investigations");

    let mut soaked = Soaked { ends: BTreeMap::new(), used, ended_by: HashMap::new() };
    for answer in answers {
        if let Some(EndedBy::Budget(resource)) = answer.ended_by {
            *soaked.ended_by.entry(resource).or_default() += 1;
        }
        *soaked.ends.entry(answer.ended_by.map_or("gone", |ended_by| ended_by.word())).or_default() += 1;
    }
    soaked
}

fn runs() -> usize {
    std::env::var("LENS_SOAK").ok().and_then(|runs| runs.parse().ok()).unwrap_or(DEFAULT_RUNS)
}

#[test]
fn whatever_a_model_does_every_investigation_is_answered_and_nothing_stays() {
    let runs = runs();
    let asking = (0..runs).filter(|index| way(*index) != GONE_AT_ONCE).count();
    // The last ones may not ask a model any more.
    let refused = runs / 10;
    let most = asking - refused;
    let soaked = soak(runs, Quota { runs_per_hour: most, tokens_per_day: u64::MAX, ..Quota::default() });
    let Soaked { ends, used, ended_by } = soaked;
    // How each of the others ends is up to chance, and the machine.
    assert!(ends.len() >= 4 && ends.contains_key("gone"), "it ends in many ways: {ends:?}");
    assert_eq!((used.manual.len(), ended_by.get(&Resource::RunsPerHour)), (most, Some(&refused)));
}

#[test]
fn at_once_they_use_no_more_tokens_than_the_process_may() {
    let runs = runs().div_ceil(4);
    let tokens_per_day = 4_000;
    let soaked = soak(runs, Quota { runs_per_hour: runs, tokens_per_day, ..Quota::default() });
    assert!(soaked.used.tokens() <= tokens_per_day, "{}", soaked.used.tokens());
    assert!(soaked.ended_by.contains_key(&Resource::TokensPerDay), "{:?}", soaked.ends);
}
