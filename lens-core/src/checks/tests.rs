use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::*;
use crate::capture::Capture;
use crate::evidence::{Cause, EndedBy, Report, Severity};
use crate::reading::{Reading, Unavailable};
use crate::recorder::Recorder;
use crate::registry::RegistryBuilder;
use crate::sandbox::{Limits, Sandbox};
use crate::skill::{About, Functions, NoArguments, Skill};

/// A shop with a queue of 7 and two tills.
struct Shop;

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct State {
    /// Who waits.
    waiting: u64,
    /// For how long the first has waited.
    waited_ms: f64,
}

const QUEUE: &str = "\
# Customers wait for a till.
#
# It looks at the queue only.
#
# skills: shop

LONGEST = 5  # Nobody likes to be the sixth.
PATIENCE_MS = 0.5  # Measured on ourselves.

def main():
    queue = shop.queue()
    if queue.waiting <= LONGEST or queue.waited_ms < PATIENCE_MS:
        return []
    shown = fact(f\"{queue.waiting} customers wait, the first for {queue.waited_ms:.1f} ms\", \"shop.queue()\")
    return [finding(\"queue_growth\", \"warning\", [shown], \"open a till\", place=\"src/shop.rs:12:5\")]
";

impl Skill for Shop {
    type State = State;

    const MAY_BLOCK: bool = false;

    fn about(&self) -> About {
        About::new("shop", "Shop", "A shop.")
    }

    fn collect(&self) -> Reading<State> {
        Ok(State { waiting: 7, waited_ms: 1.0 / 3.0 * 5.0 })
    }

    fn functions(to: Functions<State>) -> Functions<State> {
        to.record("queue", "The queue.", "shop.queue()", |state, NoArguments {}| Ok(State::clone(state)))
    }

    fn checks() -> &'static [Check] {
        const { &[Check::new("queue", QUEUE)] }
    }
}

fn registry() -> Arc<Registry> {
    let mut builder = RegistryBuilder::new();
    builder.skill(Shop).unwrap();
    builder.absent(About::new("bank", "Bank", "Money."), Unavailable::FeatureOff { feature: "bank".into() }).unwrap();
    Arc::new(builder.build())
}

fn capture(registry: &Arc<Registry>) -> Arc<Capture> {
    Arc::new(Capture::frozen(registry, &Arc::new(Recorder::new())))
}

fn sandbox() -> Sandbox {
    let limits = Limits { wall: Duration::from_secs(2), ..Limits::default() };
    Sandbox::new(limits)
}

/// What all checks say, with `own` among them.
fn report(own: &[(&'static str, String)]) -> Report {
    let registry = registry();
    let own: Vec<Check> =
        own.iter().map(|(name, source)| Check { name: (*name).into(), source: source.clone().into() }).collect();
    let checks = Checks::new(&registry, &own, &[]).unwrap();
    Examination::new(&sandbox()).run(&checks, &capture(&registry), None)
}

/// A check whose `main` has this body.
fn body(lines: &str) -> String {
    format!("# Something.\n#\n# skills: shop\n\ndef main():\n    {lines}\n")
}

fn the_queue_is_found(report: &Report) {
    let found: Vec<_> = report.findings().filter(|finding| finding.check == "queue").collect();
    assert_eq!(found.len(), 1, "{report}");
    assert_eq!(found[0].summary, "7 customers wait, the first for 1.7 ms");
    assert_eq!((found[0].cause, found[0].severity), (Cause::QueueGrowth, Severity::Warning));
    assert_eq!(found[0].facts[0].skills, ["shop"]);
}

/// Why the check `name` is said to be defective, while the others are not disturbed.
fn defect(name: &'static str, source: String) -> String {
    let report = report(&[(name, source)]);
    the_queue_is_found(&report);
    assert_eq!(report.findings().count(), 1, "nothing of the defective check is shown: {report}");
    let [defect] = report.defects.as_slice() else { panic!("{report}") };
    assert_eq!((defect.check.as_str(), defect.skill.as_str()), (name, "service"));
    defect.why.clone()
}

#[test]
fn what_a_check_states_is_found_with_its_facts() {
    let report = report(&[]);
    the_queue_is_found(&report);
    assert_eq!((report.checked_count, report.status(), report.ended_by), (1, "warning", EndedBy::Completion));
    assert_eq!(report.insights[0].place.as_deref(), Some("src/shop.rs:12:5"));
}

#[test]
fn a_check_that_raises_loops_or_divides_by_zero_is_reported() {
    assert!(defect("raises", body("fail(\"as asked\")")).contains("as asked"));
    assert!(defect("divides", body("return [1 / 0]")).contains("zero"));
    assert!(defect("slow", body("return [x for x in range(1000000) for y in range(1000000)]")).contains("too slow"));
    assert!(defect("misspelt", body("return [shop.queu()]")).contains("queue"));
    assert!(defect("number", body("return 7")).contains("list of findings, not 7"));
}

#[test]
fn a_fact_that_is_not_true_is_a_defect_and_never_shown() {
    let stating = |fact: &str| body(&format!("return [finding(\"other\", \"critical\", [{fact}], \"flee\")]"));
    let why = defect("wrong_number", stating("fact(\"8 customers wait\", \"shop.queue().waiting\")"));
    assert!(why.contains("does not give \"8\""), "{why}");
    let why = defect("not_true", stating("fact(\"nobody waits\", \"shop.queue().waiting == 0\")"));
    assert!(why.contains("it is False"), "{why}");
    let why = defect("no_query", stating("fact(\"all is lost\", \"shop.qeue()\")"));
    assert!(why.contains("did you mean `queue`"), "{why}");
    let why = defect("no_fact", body("return [finding(\"other\", \"critical\", [], \"flee\")]"));
    assert!(why.contains("1 to 10 facts, not 0"), "{why}");
    let why = defect("no_cause", body("return [finding(\"queue_grwth\", \"critical\", [], \"flee\")]"));
    assert!(why.contains("did you mean \"queue_growth\"?"), "{why}");
}

#[test]
fn a_check_of_what_is_not_there_says_so() {
    let asking = |skill: &str| format!("# Money.\n#\n# skills: {skill}\n\ndef main():\n    return {skill}.rob()\n");
    let report = report(&[("robbed", asking("bank")), ("theft", asking("police"))]);
    let because: Vec<_> = report.not_checked.iter().map(|missing| missing.because.as_str()).collect();
    assert_eq!(because.len(), 2, "{report}");
    assert!(because[0].contains("enable the feature `bank` of lens"), "{because:?}");
    assert_eq!(because[1], "there is no skill `police` here");
    assert_eq!(report.defects, []);
}

#[test]
fn a_service_overrides_thresholds() {
    let registry = registry();
    let capture = capture(&registry);
    let count = |thresholds: &[(String, f64)]| {
        let checks = Checks::new(&registry, &[], thresholds).unwrap();
        Examination::new(&sandbox()).run(&checks, &capture, None).findings().count()
    };
    assert_eq!(count(&[]), 1);
    assert_eq!(count(&[("queue.LONGEST".to_owned(), 6.0)]), 1);
    assert_eq!(count(&[("queue.LONGEST".to_owned(), 7.0)]), 0);
    assert_eq!(count(&[("queue.PATIENCE_MS".to_owned(), 1.7)]), 0);
    let error = Checks::new(&registry, &[], &[("queue.LONGST".to_owned(), 1.0)]).unwrap_err();
    assert!(error.to_string().contains("did you mean `queue.LONGEST`?"), "{error}");
    let reference = &Checks::new(&registry, &[], &[("queue.LONGEST".to_owned(), 6.0)]).unwrap().references()[0];
    assert_eq!(reference.doc, "Customers wait for a till.\n\nIt looks at the queue only.");
    assert_eq!((reference.thresholds[0].value, reference.thresholds[0].default), (6.0, 5.0));
    assert_eq!(reference.thresholds[0].doc, "Nobody likes to be the sixth.");
}

#[test]
fn the_same_is_found_in_the_file_and_every_fact_is_true_there() {
    let registry = registry();
    let live = capture(&registry);
    let checks = Checks::new(&registry, &[], &[]).unwrap();
    let examination = Examination::new(&sandbox());
    let report = examination.run(&checks, &live, None);
    let mut file = Vec::new();
    live.save(&mut file).unwrap();
    let opened = Arc::new(Capture::open(&registry, file.as_slice()).unwrap());
    assert_eq!(opened.id(), live.id());
    let again = examination.run(&checks, &opened, None);
    let shown = |report: &Report| report.insights.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(&again), shown(&report));
    assert_eq!(report.verify(&opened, &sandbox()), (1, Vec::new()));

    let mut forged = report.clone();
    forged.insights[0].findings[0].finding.facts[0].value["waiting"] = 8.into();
    let (count, wrong) = forged.verify(&opened, &sandbox());
    assert_eq!((count, wrong.len()), (1, 1));
    let (_, wrong) = report.verify(&capture(&registry), &sandbox());
    assert!(wrong[0].why.starts_with("it is of the capture"), "{wrong:?}");
}

#[test]
fn an_examination_ends_when_it_is_told_to() {
    let registry = registry();
    let capture = capture(&registry);
    let checks = Checks::new(&registry, &[], &[]).unwrap();
    let mut examination = Examination::new(&sandbox());
    examination.deadline = Duration::ZERO;
    let report = examination.run(&checks, &capture, Some("a test".to_owned()));
    assert_eq!((&report.ended_by, report.checked_count, report.status()), (&EndedBy::Deadline, 0, "unknown"));
    examination.cancel.cancel();
    assert_eq!(examination.run(&checks, &capture, None).ended_by, EndedBy::Cancellation);
}

#[test]
fn what_is_no_check_is_refused_with_what_it_lacks() {
    let registry = registry();
    let why = |name: &'static str, source: &'static str| {
        Checks::new(&registry, &[Check::new(name, source)], &[]).unwrap_err().to_string()
    };
    assert!(why("queue", QUEUE).contains("another one of this name"));
    assert!(why("Queue", QUEUE).contains("lower case letters"));
    assert!(why("a", "def main():\n    return []\n").contains("start with a comment"));
    assert!(why("a", "# A.\ndef main():\n    return []\n").contains("`# skills: …`"));
    assert!(why("a", "# A.\n# skills: shop\n").contains("def main():"));
}

#[test]
fn a_threshold_is_a_finite_number() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let refused = Checks::new(&registry(), &[], &[("queue.LONGEST".to_owned(), value)]).unwrap_err();
        let expected = format!("the threshold `queue.LONGEST` is set to {value}; it takes a finite number");
        assert_eq!(refused.to_string(), expected);
    }
}
