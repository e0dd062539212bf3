//! Skills that panic, hang, or have more to say than fits: each is one answer of one action, and nobody's end.

use super::*;
use crate::metric::{Metric, Metrics, Unit};

/// Classifies for `skills`; what their operators do is what `acts` has for each, then they are done.
fn operators(skills: &'static [&'static str], acts: Vec<(&'static str, Vec<Value>)>) -> Scripted {
    let mut acts: Vec<_> = acts.into_iter().map(|(skill, acts)| (skill, acts.into_iter())).collect();
    Scripted::new(move |prompt| {
        if is_for(prompt, "classify") {
            return act(json!({"intent": "investigation", "skills": skills}));
        }
        if is_for(prompt, "synthesize") {
            return act(json!({"intent": "conclude", "insights": []}));
        }
        let own = acts.iter_mut().find(|(skill, _)| prompt.system.contains(&format!("# {skill}")));
        act(own.and_then(|(_, acts)| acts.next()).unwrap_or_else(|| json!({"intent": "done"})))
    })
}

/// What the operator of `skill` was told after each of its actions.
fn told(site: &Site, skill: &str) -> Vec<String> {
    let heading = format!("# {skill}");
    let is_its = |prompt: &Prompt| is_for(prompt, "operator") && prompt.system.contains(&heading);
    site.asked().iter().filter(|prompt| is_its(prompt)).skip(1).map(|prompt| last(prompt).to_owned()).collect()
}

fn execute(code: &str) -> Value {
    json!({"intent": "execute", "code": code})
}

/// Who panics whenever it is read.
struct Broken;

impl Skill for Broken {
    type State = ();

    const MAY_BLOCK: bool = false;

    fn about(&self) -> About {
        About::new("broken", "Broken", "It panics.")
    }

    fn collect(&self) -> Reading<()> {
        panic!("nobody can read this")
    }

    fn functions(to: Functions<()>) -> Functions<()> {
        to.value("answer", "The answer.", "broken.answer()", |_, NoArguments {}| Ok(42_u64))
    }

    fn metrics(&self, _: &mut Metrics) {
        panic!("nobody can measure this")
    }
}

/// Who can be read, and panics when it is asked.
struct Moody;

impl Skill for Moody {
    type State = ();

    const MAY_BLOCK: bool = false;

    fn about(&self) -> About {
        About::new("moody", "Moody", "It panics when it is asked.")
    }

    fn collect(&self) -> Reading<()> {
        Ok(())
    }

    fn functions(to: Functions<()>) -> Functions<()> {
        to.value("mood", "The mood.", "moody.mood()", |_, NoArguments {}| -> Result<u64, _> { panic!("not today") })
    }
}

/// Who takes longer to be read than anybody waits.
struct Stuck;

impl Skill for Stuck {
    type State = ();

    fn about(&self) -> About {
        About::new("stuck", "Stuck", "It hangs.")
    }

    fn collect(&self) -> Reading<()> {
        std::thread::sleep(crate::registry::COLLECT_DEADLINE * 4);
        Ok(())
    }

    fn functions(to: Functions<()>) -> Functions<()> {
        to.value("answer", "The answer.", "stuck.answer()", |_, NoArguments {}| Ok(42_u64))
    }
}

/// OP-08, defect 24: a skill that panics or hangs when it is read is the answer of an action; its operator goes on, and so
/// do the others and whoever waits.
#[tokio::test]
async fn a_skill_that_panics_or_hangs_ends_no_operator() {
    let look = |skill: &str, function: &str| {
        vec![
            json!({"intent": "take_snapshot"}),
            execute(&format!("{skill}.{function}()")),
            json!({"intent": "wait", "ms": 1}),
            execute("1 + 1"),
        ]
    };
    let finding = reports("queue_growth", &[("`till-a` has served 31 customers", "shop.tills()[0]")]);
    let model = operators(
        &["broken", "moody", "stuck", "shop"],
        vec![
            ("broken", look("broken", "answer")),
            ("moody", look("moody", "mood")),
            ("stuck", look("stuck", "answer")),
            ("shop", vec![finding]),
        ],
    );
    let add = |builder: &mut RegistryBuilder| {
        builder.skill(Broken).unwrap().skill(Moody).unwrap().skill(Stuck).unwrap();
    };
    let site = Site::with_skills(add, model);
    let report = site.pipeline().await.report;
    the_checks_are_in(&report);
    assert_eq!(report.ended_by, EndedBy::Completion, "{report}");
    for (skill, why) in
        [("broken", "nobody can read this"), ("moody", "not today"), ("stuck", "is left alone until it does")]
    {
        let told = told(&site, skill);
        assert!(told[0].contains(r#""snapshot":"s"#), "{skill}: a snapshot is taken all the same: {told:?}");
        assert!(told[1].contains(r#""error""#) && told[1].contains(why), "{skill}: {told:?}");
        assert!(told[2].contains(r#""waited_ms":1.0"#) && told[2].contains(r#""snapshot":"s"#), "{skill}: {told:?}");
        assert!(told[3].contains(r#""value":2"#), "{skill}: {told:?}");
    }
    let operators = &report.model.as_ref().unwrap().operators;
    assert_eq!(operators.len(), 4);
    for operated in operators {
        assert_eq!(operated.ended_by, Some(EndedBy::Completion), "{}", operated.skill);
    }
    assert!(report.findings().flat_map(|finding| &finding.facts).any(|fact| fact.text.contains("till-a")));
}

const CROWD: u64 = 30_000;

/// As many tasks as a large service has.
struct Crowd;

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Member {
    /// Which it is.
    id: u64,
    /// How often it was polled.
    polls: u64,
    /// Where it was spawned.
    place: String,
}

static POLLS: Metric = Metric::gauge("polls", Unit::Count, "Polls of all members.");

impl Skill for Crowd {
    type State = ();

    const MAY_BLOCK: bool = false;

    fn about(&self) -> About {
        About::new("crowd", "Crowd", "Very many members.")
    }

    fn collect(&self) -> Reading<()> {
        Ok(())
    }

    fn functions(to: Functions<()>) -> Functions<()> {
        to.rows("members", "All members.", "crowd.members()", |_, NoArguments {}| {
            let member = |id| Member { id, polls: id * 7 % CROWD, place: "src/crowd.rs:3:9".to_owned() };
            Ok((0..CROWD).map(member).collect())
        })
    }

    fn metrics(&self, out: &mut Metrics) {
        out.record(&POLLS, 9_u64);
    }
}

/// Defect 25: 30 000 tasks are asked within the limits of a query; a query past them is its own end and no operator's; and
/// the past minutes are read from what was recorded, however far a window reaches.
#[tokio::test]
async fn a_large_service_is_asked_within_the_limits_and_a_query_past_them_is_told() {
    let most = "[m.polls for m in top(crowd.members(), 2, by=\"polls\")]";
    let acts = vec![
        execute("len(crowd.members())"),
        execute(most),
        execute("crowd.members()"),
        execute("[\"x\" * 1000000 for n in range(100)]"),
        execute("series(\"crowd.polls\", last=\"10m\").max()"),
        execute(most),
    ];
    let add = |builder: &mut RegistryBuilder| {
        builder.skill(Crowd).unwrap();
    };
    let site = Site::with_skills(add, operators(&["crowd"], vec![("crowd", acts)]));
    let measured = site.registry.get("crowd").unwrap().metrics(Metrics::default()).unwrap();
    site.recorder.record("crowd", std::time::Instant::now(), &measured);
    let report = site.pipeline().await.report;
    the_checks_are_in(&report);
    assert_eq!(report.ended_by, EndedBy::Completion, "{report}");
    let told = told(&site, "crowd");
    assert!(told[0].contains(r#""value":30000"#), "{}", told[0]);
    assert!(told[1].contains(r#""value":[29999,29998]"#), "{}", told[1]);
    let cut: Value = serde_json::from_str(told[2].lines().next().unwrap()).unwrap();
    let shown = cut["value"]["shown"].as_u64().unwrap();
    assert_eq!((&cut["value"]["of"], &cut["value"]["rows"][1]["polls"]), (&json!(CROWD), &json!(7)));
    // Whichever it meets first: that of memory, or on a busy machine that of time.
    let limits = ["its limit of 64 MiB of memory", "its limit of 1000 ms", "did not end within its 1000 ms"];
    assert!(limits.iter().any(|limit| told[3].contains(limit)), "{}", told[3]);
    assert!(told[4].contains(r#""value":9"#), "{}", told[4]);
    assert!(told[5].contains(r#""value":[29999,29998]"#), "{}", told[5]);
    assert_eq!(spent(&report).rows, 1 + 2 + shown + 1 + 2, "the rows that were sent, cut lists too");
    assert_eq!(report.model.as_ref().unwrap().operators[0].ended_by, Some(EndedBy::Completion));
}
