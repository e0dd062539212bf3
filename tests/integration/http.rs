//! The routes: what they answer, and what they answer to what is wrong.

use serde_json::json;

use crate::support::{Service, ask};

#[test]
fn the_first_page_links_to_the_rest_as_json_and_as_html() {
    let service = Service::start();
    let index = service.get("");
    assert_eq!(index.status, 200);
    assert_eq!(index.header("content-type"), Some("application/json"));
    let index = index.json();
    assert_eq!(index["service"]["pid"], std::process::id());
    assert_eq!(index["health"]["status"], "ok");
    for link in ["doctor", "skills", "series"] {
        let href = index["_links"][link]["href"].as_str().unwrap();
        assert_eq!(ask(service.address(), "GET", href, &[], b"").status, 200, "{href}");
    }
    let page = service.get_with("/", &[("accept", "text/html,*/*;q=0.8")]);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.body.starts_with("<!DOCTYPE html>"));
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    for (name, value) in [("vary", "Accept"), ("x-content-type-options", "nosniff"), ("cache-control", "no-store")] {
        assert_eq!(page.header(name), Some(value));
    }
}

#[test]
fn every_page_is_html_for_a_browser() {
    let service = Service::start();
    service.wait_until("1", |_| service.get("/series").json().as_array().is_some_and(|list| !list.is_empty()));
    for path in [
        "/doctor",
        "/skills",
        "/skills/runtime",
        "/skills/runtime/stats",
        "/series",
        "/series?name=runtime.alive_tasks",
    ] {
        let page = service.get_with(path, &[("accept", "text/html")]);
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        assert!(page.body.contains("</html>"), "{path}");
    }
}

#[test]
fn a_query_answers_with_value_print_cost_and_instant() {
    let service = Service::start();
    let reply = service.query("print(\"hello\")\n[1 + 1, None, 0.1, \"é\"]").json();
    assert_eq!(reply["value"], json!([2, null, 0.1, "é"]));
    assert_eq!(reply["printed"], json!(["hello"]));
    assert!(reply["cost"]["elapsed_ms"].as_f64().unwrap() > 0.0);
    assert!(reply["cost"]["steps"].is_u64() && reply["cost"]["heap_bytes"].is_u64());
    assert!(reply["captured_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(reply["coverage"], json!([]), "it touched no skill");
}

#[test]
fn a_wrong_query_gets_line_column_and_the_nearest_name() {
    let service = Service::start();
    let syntax = service.query("1 +\n(2");
    assert_eq!((syntax.status, syntax.code().as_str()), (400, "syntax"));
    assert!(syntax.json()["line"].is_u64());

    let unknown = service.query("x = 1\nruntime.wrokers()");
    assert_eq!(unknown.status, 400);
    let problem = unknown.json();
    assert_eq!((&problem["line"], &problem["nearest"]), (&json!(2), &json!("workers")), "{problem:#}");

    let argument = service.query("runtime.workers(lst=\"5s\")");
    assert_eq!((argument.status, argument.code().as_str()), (400, "argument"));
    assert_eq!(argument.json()["nearest"], "last");

    let limit = service.query("[x for x in range(1000000) for y in range(1000000)]");
    assert_eq!((limit.status, limit.code().as_str()), (422, "limit"));
}

#[test]
fn wrong_requests_get_problems() {
    let service = Service::start();
    let problem = |path: &str| {
        let reply = service.get(path);
        (reply.status, reply.code())
    };
    assert_eq!(problem("/skills/runtim"), (404, "not_found".into()));
    assert_eq!(service.get("/skills/runtim").json()["nearest"], "runtime");
    assert_eq!(problem("/skills/runtime/worker"), (404, "not_found".into()));
    assert_eq!(problem("/skills/runtime/workers?last=soon"), (400, "argument".into()));
    assert_eq!(problem("/skills/runtime/workers?lst=5s"), (400, "argument".into()));
    assert_eq!(problem("/doctr"), (404, "not_found".into()));
    assert_eq!(problem("/series?name=runtime.alive_task"), (404, "not_found".into()));
    assert_eq!(problem("/series?last=5m&nam=x"), (400, "argument".into()));
    assert_eq!(problem("?format=xml"), (400, "format".into()));
    assert_eq!(service.get_with("", &[("accept", "image/png")]).code(), "not_acceptable");
    assert_eq!(problem("/query"), (405, "method".into()));
    assert_eq!(service.get("/query").header("allow"), Some("POST"));
    let post = ask(service.address(), "POST", "/debug/lens/doctor", &[], b"");
    assert_eq!((post.status, post.header("allow")), (405, Some("GET")));
    let outside = ask(service.address(), "GET", "/", &[], b"");
    assert_eq!((outside.status, outside.code().as_str()), (404, "not_found"));
    assert_eq!(ask(service.address(), "GET", "/debug/lensx", &[], b"").status, 404);
}

#[test]
fn a_body_that_is_too_large_or_no_text_is_refused() {
    let service = Service::start();
    let large = "#".repeat(2 << 20);
    let reply = service.query(&large);
    assert_eq!((reply.status, reply.code().as_str()), (413, "body"));
    let reply = ask(service.address(), "POST", "/debug/lens/query", &[], b"\xff\xfe");
    assert_eq!((reply.status, reply.code().as_str()), (400, "encoding"));
    assert_eq!(service.value("1 + 1"), 2);
}

#[test]
fn nested_routes_are_served_by_lens_and_link_to_themselves() {
    let service = Service::start();
    let app = axum::Router::new().nest("/internal/lens", service.lens().router());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let app = app.into_make_service_with_connect_info::<std::net::SocketAddr>();
        axum::serve(listener, app).await.unwrap();
    };
    let server = service.runtime().spawn(serve);
    let index = ask(address, "GET", "/internal/lens", &[], b"");
    assert_eq!(index.status, 200, "{}", index.body);
    assert_eq!(index.json()["_links"]["doctor"]["href"], "/internal/lens/doctor");
    assert_eq!(ask(address, "POST", "/internal/lens/query", &[], b"6 * 7").json()["value"], 42);
    assert_eq!(ask(address, "GET", "/internal/lens/skills/runtime/stats", &[], b"").status, 200);
    assert_eq!(ask(address, "GET", "/internal/lens", &[("host", "evil.example")], b"").code(), "local_only");
    server.abort();
}
