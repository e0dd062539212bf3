//! Free text that the service does not share: no script of a model gets at it, and no fact of a model depends on it.

use super::*;

/// A guest book with one entry, of one word.
struct Guests;

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Entry {
    /// What the guest wrote.
    #[schemars(extend("x-lens-free-text" = true))]
    entry: String,
    /// The page.
    page: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Search {
    /// Only entries that contain this.
    #[serde(default)]
    #[schemars(extend("x-lens-free-text" = true))]
    text: Option<String>,
}

const WRITTEN: &str = "Wintergreen";

const CHECK: &str = "\
# A guest wrote something.
#
# skills: guests

def main():
    entry = guests.entries()[0]
    shown = fact(f\"a guest wrote {entry.entry}\", \"guests.entries()[0].entry\")
    if entry.page > 1000:
        return [finding(\"busy_loop\", \"info\", [shown], \"turn the page\")]
    return [finding(\"other\", \"info\", [shown], \"read it\")]
";

impl Skill for Guests {
    type State = ();

    const MAY_BLOCK: bool = false;

    fn about(&self) -> About {
        About::new("guests", "Guests", "What guests wrote on a page.")
    }

    fn collect(&self) -> Reading<()> {
        Ok(())
    }

    fn functions(to: Functions<()>) -> Functions<()> {
        to.rows("entries", "The entries.", "guests.entries()", |_, Search { text }| {
            let entry = Entry { entry: WRITTEN.to_owned(), page: 41 };
            Ok(Some(entry)
                .filter(|entry| text.is_none_or(|text| entry.entry.contains(&text)))
                .into_iter()
                .collect::<Vec<_>>())
        })
    }

    fn checks() -> &'static [Check] {
        const { &[Check::new("guest", CHECK)] }
    }
}

/// Has the operator of `guests` do `what`; gives the report, and all that the model was sent.
async fn operated(what: Value, shares: bool) -> (Report, String) {
    let mut what = vec![json!({"intent": "done"}), what];
    let model = Arc::new(Scripted::new(move |prompt| {
        if is_for(prompt, "classify") {
            act(json!({"intent": "investigation", "skills": ["guests"]}))
        } else if is_for(prompt, "operator") {
            act(what.pop().unwrap())
        } else {
            act(json!({"intent": "conclude", "insights": []}))
        }
    }));
    let report = site(&model, shares).pipeline().await.report;
    assert_eq!(report.ended_by, EndedBy::Completion, "{report}");
    let seen = format!("a guest wrote {WRITTEN}");
    assert!(report.findings().any(|finding| finding.summary == seen), "whoever reads the report is told: {report}");
    (report, sent(&model))
}

/// All that the model was sent.
fn sent(model: &Scripted) -> String {
    model.asked().iter().flat_map(|prompt| prompt.messages.clone()).map(|message| message.text).collect()
}

/// The site with the guest book.
fn site(model: &Arc<Scripted>, shares: bool) -> Site {
    let mut settings = Settings { model: Some(Arc::clone(model) as Arc<dyn Model>), ..Settings::default() };
    if shares {
        settings.shared_text.insert("guests".to_owned());
    }
    let mut builder = RegistryBuilder::new();
    builder.skill(Guests).unwrap();
    let registry = Arc::new(builder.build());
    let recorder = Arc::new(Recorder::new());
    let checks = Arc::new(Checks::new(&registry, &[], &[]).unwrap());
    let queries = Sandbox::new(Limits::default());
    let investigator = Investigator::new(settings, &registry, &recorder, &checks, &queries);
    Site { investigator, registry, recorder, model: None }
}

fn executes(code: &str) -> Value {
    json!({"intent": "execute", "code": code})
}

#[tokio::test]
async fn no_script_gets_at_a_text_that_is_not_shared() {
    for (code, told) in [
        ("guests.entries()", "not_shared"),
        ("[e.entry for e in guests.entries()]", "not_shared"),
        ("getattr(guests.entries()[0], \"en\" + \"try\")", "not_shared"),
        ("guests.entries()[0].entry.elems()", "unavailable"),
        ("[ord(c) for c in guests.entries()[0].entry.elems()]", "unavailable"),
        ("guests.entries()[0].entry[:6]", "unavailable"),
        ("\"-\".join([guests.entries()[0].entry])", "unavailable"),
        ("[e.page for e in guests.entries() if e.entry.startswith(\"W\")]", "unavailable"),
        ("[e.page for e in guests.entries() if e.entry > \"M\"]", "unavailable"),
        ("len(guests.entries(text=\"Winter\"))", "guests.entries(text=…)"),
        ("fail(guests.entries()[0].entry)", "share_text"),
        ("{e.entry: 1 for e in guests.entries()}", "unavailable"),
        ("str(guests.entries()[0])", "not shared"),
    ] {
        let (_, sent) = operated(executes(code), false).await;
        // The code itself is in the conversation, too.
        let sent = sent.replace(&code.replace('"', "\\\""), "");
        for part in [WRITTEN, "Winter", "green", "W\",", "87,105"] {
            assert!(!sent.contains(part), "{code}: {part}: {sent}");
        }
        assert!(sent.contains(told), "{code}: {sent}");
    }
    let (_, sent) = operated(executes("guests.entries()"), true).await;
    assert!(sent.contains(WRITTEN), "with consent it is sent: {sent}");
}

/// Else whoever looks at the whole capture would find that the fact is not true.
#[tokio::test]
async fn no_fact_depends_on_a_text_that_is_not_shared() {
    let page = ("the page is 41", "guests.entries()[0].page");
    let (report, sent) = operated(reports("busy_loop", &[page]), false).await;
    let shown: Vec<&str> = stated(&report).iter().map(|finding| finding.summary.as_str()).collect();
    assert_eq!(shown, [page.0], "{sent}");
    let concluded = &sent[sent.rfind("\"findings\":").unwrap()..];
    assert!(concluded.contains(page.0), "what a model has stated is told to it: {concluded}");
    for expr in [
        "[e.page for e in guests.entries() if available(e.entry) or e.page]",
        "[e.page for e in guests.entries() if type(getattr(e, \"entry\")) != \"string\"]",
        "guests.entries()",
        // Without naming it: it is longer where it is withheld.
        "[e.page for e in guests.entries() if len(str(e)) > 60]",
        "[e.page for e in guests.entries() if [v for v in [getattr(e, f) for f in dir(e)] if not available(v)]]",
    ] {
        let (report, sent) = operated(reports("busy_loop", &[("the page is 41", expr)]), false).await;
        assert!(stated(&report).is_empty(), "{expr}: {report}");
        assert!(sent.contains("it reads `entry`, which is not shared with you"), "{expr}: {sent}");
    }
    let searched = "[e.page for e in guests.entries() if not available(guests.entries(text=\"Winter\"))]";
    let (report, sent) = operated(reports("busy_loop", &[("the page is 41", searched)]), false).await;
    assert!(stated(&report).is_empty(), "{report}");
    assert!(sent.contains("guests.entries(text=…)"), "{sent}");
    for expr in ["[e.page for e in guests.entries() if e.page > 1]", "top(guests.entries(), 1, by=\"page\")[0].page"] {
        let (report, sent) = operated(reports("busy_loop", &[("the page is 41", expr)]), false).await;
        assert_eq!(stated(&report).len(), 1, "{expr}: {sent}");
    }
}

#[tokio::test]
async fn neither_evidence_nor_what_follows_tells_a_text_that_is_not_shared() {
    for shares in [false, true] {
        let model = Arc::new(Scripted::lines([
            act(json!({"intent": "get_evidence", "id": "f1"})),
            act(json!({"intent": "schedule", "ms": 60_000, "reason": "look again"})),
            act(json!({"intent": "done"})),
        ]));
        let site = site(&model, shares);
        let outcome = site.agent().await;
        let order = outcome.follow_up.unwrap().order;
        let (follows, found) = order.follows.clone().unwrap();
        assert_eq!((follows.as_str(), found.len()), (outcome.captures[0].id(), 1));
        assert_eq!(found[0].contains(WRITTEN), shares, "{found:?}");
        let report = site.run(order).await.report;
        assert_eq!(report.ended_by, EndedBy::Completion, "{report}");
        assert_eq!(sent(&model).contains(WRITTEN), shares, "{}", sent(&model));
    }
}
