//! What an order lets a model look into, and which text a service shares with one: through the builder and over HTTP.

use std::sync::{Arc, Mutex};

use lens::investigation::Strategy;
use lens::model::{Line, Prompt, Scripted};
use lens::skill::NoArguments;
use lens::{About, Functions, Reading, Skill};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::{Service, ask};

const WRITTEN: &str = "Wintergreen";

/// What guests wrote.
struct Guests;

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Entry {
    /// The page.
    page: u64,
    /// What a guest wrote.
    #[schemars(extend("x-lens-free-text" = true))]
    entry: String,
}

impl Skill for Guests {
    type State = Vec<Entry>;

    fn about(&self) -> About {
        About::new("guests", "Guests", "What guests wrote.")
    }

    fn collect(&self) -> Reading<Vec<Entry>> {
        Ok(vec![Entry { page: 41, entry: WRITTEN.to_owned() }])
    }

    fn functions(to: Functions<Vec<Entry>>) -> Functions<Vec<Entry>> {
        to.rows("entries", "The entries.", "guests.entries()", |entries, NoArguments {}| Ok(entries.to_vec()))
    }
}

/// Looks into `guests` and `lens`, each operator with `code`; what it is sent is kept.
fn curious(code: &'static str, sent: &Arc<Mutex<String>>) -> Scripted {
    let sent = Arc::clone(sent);
    Scripted::new(move |prompt: &Prompt| {
        sent.lock().unwrap().extend(prompt.messages.iter().map(|message| message.text.as_str()));
        Line::acts(&if prompt.system.contains("You sort requests") {
            json!({"intent": "investigation", "skills": ["guests", "lens"]})
        } else if prompt.system.contains("You conclude") {
            json!({"intent": "conclude", "insights": []})
        } else if prompt.messages.len() == 1 {
            json!({"intent": "execute", "code": code})
        } else {
            json!({"intent": "done"})
        })
    })
}

fn investigated(service: &Service, order: &Value) -> Value {
    let body = order.to_string();
    let started = ask(service.address(), "POST", "/debug/lens/investigations", &[], body.as_bytes());
    assert_eq!(started.status, 202, "{}", started.body);
    let href = started.header("location").unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let answer = ask(service.address(), "GET", href, &[], b"").json();
        if answer["status"] != "running" {
            assert_eq!(answer["report"]["ended_by"], "completion", "{answer:#}");
            return answer;
        }
        assert!(std::time::Instant::now() < deadline, "{answer:#}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_model_gets_the_text_of_those_skills_that_the_service_shares() {
    for shares in [false, true] {
        let sent = Arc::default();
        let model = curious("[(e.page, e.entry) for e in guests.entries()]", &sent);
        let service = Service::start_with(|builder| {
            let builder = builder.skill(Guests).model(model).strategy(Strategy::Pipeline);
            if shares { builder.share_text("guests") } else { builder }
        });
        let answer = investigated(&service, &json!({}));
        let sent = sent.lock().unwrap();
        assert!(sent.contains("41"), "the rest of the row is sent: {sent}");
        assert_eq!(sent.contains(WRITTEN), shares, "{sent}");
        assert_eq!(sent.contains("not_shared"), !shares, "{sent}");
        let kept = answer["transcript"].to_string();
        assert_eq!(kept.contains(WRITTEN), shares, "what was sent is what is kept: {kept}");
        assert_eq!(service.value("guests.entries()[0].entry"), WRITTEN, "people are told");
        assert_eq!(service.get("/skills/guests/entries").json()["value"][0]["entry"], WRITTEN);
    }
}

#[test]
fn an_order_over_http_bounds_what_a_model_looks_into() {
    let sent = Arc::default();
    let model = curious("lens.cost().version", &sent);
    let service = Service::start_with(|builder| builder.skill(Guests).model(model).strategy(Strategy::Pipeline));
    let version = service.value("lens.cost().version").to_string();

    let answer = investigated(&service, &json!({"skills": ["guests"]}));
    let model = &answer["report"]["model"];
    let operators: Vec<&Value> = model["operators"].as_array().unwrap().iter().map(|of| &of["skill"]).collect();
    assert_eq!(operators, ["guests"], "{model:#}");
    assert_eq!(model["unknown_skills"], json!(["lens"]), "{model:#}");
    let refused = "`lens` is not among the skills of this investigation";
    assert!(sent.lock().unwrap().contains(refused), "{}", sent.lock().unwrap());
    assert!(!sent.lock().unwrap().contains(version.trim_matches('"')), "{}", sent.lock().unwrap());

    let answer = investigated(&service, &json!({}));
    assert_eq!(answer["report"]["model"]["operators"].as_array().unwrap().len(), 2, "{answer:#}");
    assert!(sent.lock().unwrap().contains(version.trim_matches('"')), "an order without bounds is told");
}
