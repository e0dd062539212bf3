//! Arguments of routes: what a route does not know is refused, and what it knows is said.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Reply, Service, ask};

/// Routes that the first page does not link, each with its method, and the arguments that it takes.
const OTHERS: [(&str, &str, &str); 16] = [
    ("POST", "/query", "`check`, `format`"),
    ("POST", "/ask", "`format`"),
    ("GET", "/events", "none"),
    ("GET", "/schedules", "none"),
    ("DELETE", "/schedules/next-1", "none"),
    ("POST", "/investigations", "`format`, `strategy`"),
    ("GET", "/investigations/x", "`format`"),
    ("DELETE", "/investigations/x", "none"),
    ("GET", "/investigations/x/capture", "`id`"),
    ("GET", "/skills/lens", "`format`"),
    ("GET", "/skills/lens/cost", "none"),
    ("GET", "/queries/x", "`format`"),
    ("POST", "/pprof/heap", "`format`, `seconds`"),
    ("DELETE", "/pprof/heap", "none"),
    ("GET", "/assets/lens.css", "none"),
    ("GET", "/assets/lens.js", "none"),
];

fn with(service: &Service, method: &str, route: &str, argument: &str) -> Reply {
    let sign = if route.contains('?') { '&' } else { '?' };
    ask(service.address(), method, &format!("{route}{sign}{argument}"), &[], b"")
}

#[track_caller]
fn is_refused(reply: &Reply, route: &str, argument: &str) -> String {
    assert_eq!((reply.status, reply.code().as_str()), (400, "argument"), "{route}: {}", reply.body);
    let problem = reply.json();
    assert_eq!(problem["argument"], argument, "{route}: {problem:#}");
    let detail = problem["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(&format!("has no argument `{argument}`; it takes ")), "{route}: {detail}");
    detail
}

#[test]
fn every_route_refuses_an_argument_that_it_does_not_know_and_names_those_that_it_does() {
    let service = Service::start();
    let index = service.get("").json();
    let links = index["_links"].as_object().unwrap();
    assert!(links.len() >= 14, "{links:?}");
    for link in links.values() {
        let method = link["method"].as_str().unwrap_or("GET");
        let href = link["href"].as_str().unwrap();
        is_refused(&with(&service, method, href, "nonsense=1"), href, "nonsense");
    }
    for (method, route, takes) in OTHERS {
        let reply = with(&service, method, &format!("/debug/lens{route}"), "nonsense=1");
        let detail = is_refused(&reply, route, "nonsense");
        assert!(detail.ends_with(&format!("it takes {takes}")), "{method} {route}: {detail}");
    }
}

#[test]
fn a_route_without_formats_refuses_one() {
    let service = Service::start();
    let others = OTHERS.iter().filter(|(_, route, takes)| !takes.contains("format") && *route != "/skills/lens/cost");
    let more = [("GET", "/metrics", ""), ("GET", "/tasks", "")];
    for (method, route, _) in others.chain(&more) {
        let reply = with(&service, method, &format!("/debug/lens{route}"), "format=json");
        is_refused(&reply, route, "format");
    }
}

#[test]
fn an_argument_that_is_nearly_right_is_told_what_was_meant() {
    let service = Service::start();
    let reply = service.get("/series?nmae=lens.threads");
    assert_eq!(reply.json()["nearest"], Value::from("name"), "{}", reply.body);
}

#[track_caller]
fn is_wrong(reply: &Reply, code: &str, argument: Option<&str>, detail: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (400, code), "{}", reply.body);
    let problem = reply.json();
    assert_eq!((problem["argument"].as_str(), problem["detail"].as_str()), (argument, Some(detail)), "{problem:#}");
}

#[test]
fn an_argument_that_is_given_twice_is_told_so() {
    let service = Service::start();
    for (route, name) in [
        ("/skills?format=json&format=html", "format"),
        ("/skills/lens/cost?format=json&format=html", "format"),
        ("/series?name=a&name=b", "name"),
        ("/tasks?debug=1&debug=1", "debug"),
    ] {
        is_wrong(&service.get(route), "argument", Some(name), &format!("`{name}` is given twice"));
    }
}

#[test]
fn the_time_of_a_series_needs_its_name() {
    let service = Service::start();
    for last in ["5m", "nonsense"] {
        let reply = service.get(&format!("/series?last={last}"));
        is_wrong(&reply, "argument", Some("last"), "`last` needs `name`");
    }
}

#[test]
fn a_path_that_is_no_text_is_a_problem() {
    let service = Service::start();
    for (method, route) in [
        ("GET", "/skills/%ff"),
        ("GET", "/skills/lens/%ff"),
        ("GET", "/queries/%ff"),
        ("GET", "/investigations/%ff"),
        ("DELETE", "/investigations/%ff"),
        ("GET", "/investigations/%ff/capture"),
        ("DELETE", "/schedules/%ff"),
    ] {
        let reply = ask(service.address(), method, &format!("/debug/lens{route}"), &[], b"");
        assert_eq!((reply.status, reply.code().as_str()), (400, "path"), "{method} {route}: {}", reply.body);
    }
}

#[test]
fn a_list_is_no_request_and_no_question() {
    let service = Service::start();
    for body in ["[]", "{\"budget\": []}", "[\"slow\"]"] {
        let reply = ask(service.address(), "POST", "/debug/lens/investigations", &[], body.as_bytes());
        assert_eq!((reply.status, reply.code().as_str()), (400, "body"), "{body}: {}", reply.body);
        assert!(reply.body.contains("expected an object"), "{}", reply.body);
    }
    let json = &[("content-type", "application/json")];
    let reply = ask(service.address(), "POST", "/debug/lens/ask", json, b"[\"how many\"]");
    assert_eq!((reply.status, reply.code().as_str()), (400, "body"), "{}", reply.body);
    assert!(reply.body.contains("expected an object"), "{}", reply.body);
}

#[test]
fn a_question_is_json_by_the_essence_of_its_media_type() {
    // Without a model, whatever is a question is refused as `no_model`.
    let service = Service::start();
    let code = |kind: &str, body: &str| {
        ask(service.address(), "POST", "/debug/lens/ask", &[("content-type", kind)], body.as_bytes()).code()
    };
    for kind in ["application/json", "Application/JSON", "APPLICATION/JSON; charset=utf-8"] {
        assert_eq!(code(kind, "how many?"), "body", "{kind}");
        assert_eq!(code(kind, "{\"question\": \"how many?\"}"), "no_model", "{kind}");
    }
    for kind in ["application/jsonl", "application/json-seq", "text/plain"] {
        assert_eq!(code(kind, "how many?"), "no_model", "{kind}");
    }
}

#[test]
fn a_body_that_says_that_it_is_too_long_is_not_waited_for() {
    let service = Service::start();
    for route in ["/query", "/investigations", "/ask"] {
        let mut client = TcpStream::connect(service.address()).unwrap();
        // Less than the time that a request has.
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(client, "POST /debug/lens{route} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 999999999999\r\n\r\n")
            .unwrap();
        let mut line = String::new();
        BufReader::new(client).read_line(&mut line).unwrap();
        assert_eq!(line, "HTTP/1.1 413 Payload Too Large\r\n", "{route}");
    }
}
