//! Before and around a query: checking it, the reference that it is written by, and queries that the service saved.

use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Reply, Service, ask};

fn check(service: &Service, script: &str) -> Reply {
    ask(service.address(), "POST", "/debug/lens/query?check=true", &[], script.as_bytes())
}

#[test]
fn a_check_finds_all_errors_and_runs_nothing() {
    let service = Service::start();
    let reply = check(&service, "fail(\"ran\")\nruntime.wrokers()\ntop(runtime.workers(), by=\"statte\")\n1 +");
    assert_eq!(reply.status, 200);
    let reply = reply.json();
    assert_eq!(reply["ok"], false);
    let errors = reply["errors"].as_array().unwrap();
    let places: Vec<_> = errors.iter().map(|error| (&error["line"], &error["code"], &error["nearest"])).collect();
    let expected = [
        (&json!(2), &json!("not_found"), &json!("workers")),
        (&json!(3), &json!("unknown_name"), &json!("state")),
        (&json!(4), &json!("syntax"), &Value::Null),
    ];
    assert_eq!(places, expected, "{reply:#}");
    assert!(errors[0]["rendered"].as_str().unwrap().contains("2 | runtime.wrokers()"));
    assert_eq!(check(&service, "fail(\"ran\")").json(), json!({"ok": true, "errors": []}));
    let wrong = ask(service.address(), "POST", "/debug/lens/query?check=maybe", &[], b"1");
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "argument"));
    let wrong = ask(service.address(), "POST", "/debug/lens/query?chek=true", &[], b"1");
    assert_eq!(wrong.json()["nearest"], "check");
}

#[test]
fn every_example_of_the_reference_is_right_and_runs() {
    let service = Service::start();
    service.wait_until("1", |_| service.get("/series?name=lens.threads").status == 200);
    let reference = service.get("/reference?format=json").json();
    let example = |function: &Value| function["example"].as_str().unwrap().to_owned();
    let builtins = reference["builtins"].as_array().unwrap();
    assert!(builtins.len() > 45);
    for script in builtins.iter().map(example) {
        assert_eq!(check(&service, &script).json()["errors"], json!([]), "{script}");
        let reply = service.query(&script);
        // This one is an example of an error.
        assert!(reply.status == 200 || script.starts_with("fail("), "{script}: {}", reply.body);
    }
    let mut functions = 0;
    for skill in reference["skills"].as_array().unwrap() {
        for script in skill["functions"].as_array().unwrap().iter().map(example) {
            functions += 1;
            assert_eq!(check(&service, &script).json()["errors"], json!([]), "{script}");
            let reply = service.query(&script);
            // What this build or machine cannot tell says so; all else is a wrong example.
            let is_unavailable = reply.status == 501 && reply.code() == "unavailable";
            assert!(reply.status == 200 || is_unavailable, "{script}: {}", reply.body);
        }
    }
    assert!(functions > 20, "{functions}");
}

#[test]
fn the_reference_is_text_for_a_terminal_and_a_page_for_a_browser() {
    let service = Service::start();
    let text = service.get("/reference");
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    for part in [
        "# runtime: ",
        "\nruntime.workers(last: span",
        "\n  example: runtime.workers(",
        "\ntop(xs: list, n: int = 10, by: key = None) -> list\n",
        "Starlark",
    ] {
        assert!(text.body.contains(part), "{part:?} is not in\n{}", text.body);
    }
    // Whoever acts on the service says how, in both.
    let effect = "acts on the service: wakes each task that can be asked, which is then polled two more times";
    assert!(text.body.contains(effect), "{}", text.body);
    let page = service.get_with("/reference", &[("accept", "text/html")]);
    assert!(page.body.contains("id=\"runtime.workers\"") && page.body.contains("</html>"));
}

#[test]
fn saved_queries_answer_by_name_and_are_listed() {
    let file = std::env::temp_dir().join(format!("lens-{}.star", std::process::id()));
    std::fs::write(&file, "# Two numbers.\n# And more.\n[struct(b=1, a=2.5)]\n").unwrap();
    let service =
        Service::start_with(|builder| builder.query("sum", "print(\"adds\")\n1 + 2").query_file("rows", &file));
    std::fs::remove_file(&file).unwrap();
    let reply = service.get("/queries/sum").json();
    assert_eq!((&reply["value"], &reply["printed"]), (&json!(3), &json!(["adds"])));
    assert_eq!(service.get("/queries/rows?format=table").body, "b      a\n1  2.500\n");
    assert_eq!(service.get("/queries/sum?format=table").body, "adds\n3\n");
    let index = service.get("").json();
    let list: Vec<_> =
        index["queries"].as_array().unwrap().iter().map(|query| (&query["name"], &query["doc"])).collect();
    assert_eq!(list, [(&json!("rows"), &json!("Two numbers. And more.")), (&json!("sum"), &json!(""))]);
    assert_eq!(service.get("/queries").json(), index["queries"]);
    for path in ["/queries", "/queries/rows"] {
        assert!(service.get_with(path, &[("accept", "text/html")]).body.contains("</html>"));
    }
    let missing = service.get("/queries/row");
    assert_eq!((missing.status, &missing.json()["nearest"]), (404, &json!("rows")));
}

#[test]
fn a_wrong_saved_query_is_an_error_of_start() {
    let _turn = Service::turn();
    let start = |builder: lens::Builder| builder.no_listener().start().unwrap_err();
    let cause = |error: &lens::Error| std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let wrong = start(lens::Builder::new().query("slow", "runtime.wrokers()"));
    assert_eq!(wrong.to_string(), "the saved query \"slow\" is wrong");
    assert!(cause(&wrong).contains("did you mean `workers`?\n --> query:1:1"), "{}", cause(&wrong));
    let missing = start(lens::Builder::new().query_file("slow", "/nowhere/slow.star"));
    assert_eq!(missing.to_string(), "the saved query \"slow\" cannot be read from /nowhere/slow.star");
    let name = start(lens::Builder::new().query("a/b", "1"));
    assert!(name.to_string().contains("\"a/b\" cannot be a saved query's name"), "{name}");
    let twice = start(lens::Builder::new().query("a", "1").query("a", "2"));
    assert_eq!(twice.to_string(), "two saved queries are called \"a\"");
}

#[test]
fn rows_are_a_table_on_request() {
    let service = Service::start();
    let script = b"print(\"hi\")\ntable(top(lens.stores(), 1, by=\"cap_count\"), \"store\", \"skill\")";
    let table = ask(service.address(), "POST", "/debug/lens/query?format=table", &[], script);
    assert_eq!(table.header("content-type"), Some("text/plain; charset=utf-8"));
    let lines: Vec<&str> = table.body.lines().collect();
    assert_eq!(lines[0], "hi");
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["store", "skill"]);
    assert!(lines[2].split_whitespace().count() >= 2, "{}", table.body);
    let workers = service.get("/skills/runtime/workers?format=table");
    let head: Vec<&str> = workers.body.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head[..3], ["runtime", "index", "state"], "in the order of their declaration: {}", workers.body);
}

#[test]
fn an_answer_does_not_grow_beyond_measure_when_it_is_shown() {
    let service = Service::start_with(|builder| builder.query("sparse", SPARSE));
    let deep = service.query("x = [0] * 100000\nfor _ in range(90): x = [x]\nx");
    assert!(deep.body.len() < 250_000, "{} bytes", deep.body.len());
    assert_eq!(deep.body.lines().count(), 1);
    assert!(service.query("[0]").body.starts_with("{\n  \"captured_at\": "));
    let table = service.get("/queries/sparse?format=table").body;
    let left = "… 1900 more fields, such as `1100`, `1101`, `1102`: ask for the fields that you want, or for JSON\n";
    assert!(table.len() < 200_000 && table.ends_with(left), "{} bytes", table.len());
    let page = service.get_with("/queries/sparse", &[("accept", "text/html")]).body;
    assert!(page.len() < 2_000_000 && page.contains(left.trim_end()), "{} bytes", page.len());
}

/// Rows each with a field that no other has.
const SPARSE: &str = "[{str(i): 1} for i in range(1000, 3000)]";

#[test]
fn a_client_that_goes_ends_its_query() {
    const WALL: Duration = Duration::from_secs(16);
    let mut limits = lens::sandbox::Limits::default();
    (limits.wall, limits.steps) = (WALL, u64::MAX);
    let service = Service::start_with(|builder| builder.limits(limits));
    let address = service.address();
    let (gone, is_gone) = channel();
    let client = std::thread::spawn(move || {
        use std::io::Write;
        let script = "for a in range(1000000):\n for b in range(1000000): pass";
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(
            stream,
            "POST /debug/lens/query HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{script}",
            script.len()
        )
        .unwrap();
        is_gone.recv().unwrap();
    });
    let queries = "[s.len_count for s in lens.stores() if s.store == \"queries\"][0]";
    // This question is one of them itself.
    service.wait_until(queries, |running| *running == 2);
    gone.send(()).unwrap();
    client.join().unwrap();
    let started = std::time::Instant::now();
    service.wait_until(queries, |running| *running == 1);
    // By itself it would go on until its limit.
    assert!(started.elapsed() < WALL / 4, "{:?}", started.elapsed());
}

/// A skill whose texts steer a terminal.
struct Steering;

impl lens::Skill for Steering {
    type State = u64;

    fn about(&self) -> lens::About {
        lens::About::new("steering", "Steering", "Says \u{1b}[2J and \u{202e}.")
    }

    fn collect(&self) -> lens::Reading<u64> {
        Ok(1)
    }

    fn functions(to: lens::Functions<u64>) -> lens::Functions<u64> {
        to.value("one", "One \u{9b}.", "steering.one()", |_, lens::skill::NoArguments {}| Ok(1_u64))
    }
}

#[test]
fn the_reference_as_text_keeps_its_lines_and_steers_no_terminal() {
    let service = Service::start_with(|builder| builder.skill(Steering));
    let text = service.get("/reference?format=text").body;
    for part in ["\n# steering: Says \\u{1b}[2J and \\u{202e}.\n", "\n  One \\u{9b}.\n"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{text}");
}
