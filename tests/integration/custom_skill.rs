//! A service's own skill gets all that the built-in ones have.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lens::skill::NoArguments;
use lens::{About, Functions, Metric, Metrics, Reading, Skill, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::Service;

static COUNT: Metric = Metric::gauge("count", Unit::Count, "What it counts.");

/// Counts how often it was collected.
pub(crate) struct Counter {
    name: &'static str,
    collected: AtomicU64,
}

impl Counter {
    pub(crate) fn named(name: &'static str) -> Self {
        Self { name, collected: AtomicU64::new(0) }
    }
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Row {
    /// How often it was collected.
    collected_total: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Plus {
    /// What to add.
    #[serde(default)]
    plus: u64,
}

impl Skill for Counter {
    type State = Row;

    fn about(&self) -> About {
        About::new(self.name, "Counter", "Counts.")
    }

    fn collect(&self) -> Reading<Row> {
        Ok(Row { collected_total: self.collected.fetch_add(1, Ordering::Relaxed) + 1 })
    }

    fn functions(to: Functions<Row>) -> Functions<Row> {
        to.record("row", "A row.", "counter.row(plus=1)", |row, Plus { plus }| {
            Ok(Row { collected_total: row.collected_total + plus })
        })
        .value("panic", "Panics.", "counter.panic()", |_, NoArguments {}| -> Result<u64, _> { panic!("as asked") })
    }

    fn metrics(&self, out: &mut Metrics) {
        out.record(&COUNT, 42_u64);
    }
}

/// A skill that panics whenever it is touched.
struct Broken;

impl Skill for Broken {
    type State = Row;

    fn about(&self) -> About {
        About::new("broken", "Broken", "Panics.")
    }

    fn collect(&self) -> Reading<Row> {
        panic!("broken by design")
    }

    fn functions(to: Functions<Row>) -> Functions<Row> {
        to.record("row", "A row.", "broken.row()", |row, NoArguments {}| Ok(Row::clone(row)))
    }

    fn metrics(&self, _: &mut Metrics) {
        panic!("broken by design")
    }
}

fn service() -> Service {
    Service::start_with(|builder| builder.skill(Counter::named("counter")).skill(Broken))
}

#[test]
fn its_function_is_called_in_a_query_and_over_http_and_documented() {
    let service = service();
    assert_eq!(service.value("counter.row(plus=10).collected_total"), 11);
    assert_eq!(service.get("/skills/counter/row?plus=100").json()["value"], json!({"collected_total": 102}));
    let reference = service.get("/skills/counter").json();
    assert_eq!(reference["functions"][0]["signature"], "counter.row(plus: int = 0) -> row");
    assert_eq!(reference["functions"][0]["parameters"][0]["doc"], "What to add.");
    assert_eq!(reference["functions"][0]["returns"]["record"][0]["doc"], "How often it was collected.");
    let page = service.get_with("/skills/counter", &[("accept", "text/html")]);
    assert!(page.body.contains("counter.row(plus: int = 0) -&gt; row"), "{}", page.body);
}

#[test]
fn its_metric_has_a_series() {
    let service = service();
    service.wait_until("[s for s in [1] if True]", |_| service.get("/series?name=counter.count").status == 200);
    assert_eq!(service.value("series(\"counter.count\", last=\"1m\").last"), 42.0);
    assert_eq!(service.get("/skills/counter").json()["snapshot"][0]["latest"], 42.0);
}

#[test]
fn a_panicking_skill_is_degraded_and_the_others_go_on() {
    let service = service();
    // On a busy machine a panic that prints its stack takes longer than lens waits for a skill.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let reply = service.query("broken.row()");
        assert_eq!((reply.status, reply.code().as_str()), (501, "unavailable"));
        if reply.json()["detail"].as_str().unwrap().contains("broken by design") {
            break;
        }
        assert!(Instant::now() < deadline, "{}", reply.body);
    }
    service.wait_until("[row.status for row in lens.coverage() if row.skill == \"broken\"]", |status| {
        *status == json!(["unavailable"])
    });
    assert_eq!(service.get("/skills/counter/panic").code(), "panicked");
    assert_eq!(service.value("counter.row(plus=1).collected_total > 0"), true);
}
