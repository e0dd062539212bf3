//! Arguments of routes: what a route does not know is refused, and what it knows is said.

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
