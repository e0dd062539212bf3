//! Who gets in, asked through a real socket.

use crate::support::{Service, ask};

const TOKEN: &str = "correct-horse-battery-staple";

#[test]
fn a_foreign_host_is_refused_without_a_token() {
    let service = Service::start();
    let reply = service.get_with("", &[("host", "evil.example")]);
    assert_eq!((reply.status, reply.code().as_str()), (403, "local_only"));
    let reply = service.get_with("", &[("x-forwarded-for", "10.0.0.7")]);
    assert_eq!((reply.status, reply.code().as_str()), (403, "local_only"));
}

#[test]
fn a_foreign_host_needs_the_token_where_there_is_one() {
    let service = Service::start_with(|builder| builder.token(TOKEN));
    let reply = service.get_with("", &[("host", "lens.example")]);
    assert_eq!((reply.status, reply.code().as_str()), (401, "token_required"));
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    let authorization = format!("Bearer {TOKEN}");
    let reply = service.get_with("", &[("host", "lens.example"), ("authorization", &authorization)]);
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(!reply.body.contains(TOKEN));
    assert!(!service.get("/doctor").body.contains(TOKEN), "the token is shown nowhere");
}

#[test]
fn a_peer_that_is_not_loopback_needs_the_token() {
    // The machine's own address on some interface is a peer that is not loopback.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    probe.connect("192.0.2.1:9").expect("the test needs a route that is not loopback");
    let own = probe.local_addr().unwrap().ip();
    assert!(!own.is_loopback());
    let service = Service::start_with(|builder| builder.address((own, 0)).token(TOKEN));
    let reply = ask(service.address(), "GET", "/debug/lens", &[("host", "localhost")], b"");
    assert_eq!((reply.status, reply.code().as_str()), (401, "token_required"));
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("host", "localhost"), ("authorization", authorization.as_str())];
    assert_eq!(ask(service.address(), "GET", "/debug/lens", &headers, b"").status, 200);
}

#[test]
fn a_page_of_another_site_cannot_ask() {
    let service = Service::start();
    for header in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let reply = ask(service.address(), "POST", "/debug/lens/query", &[header], b"1");
        assert_eq!((reply.status, reply.code().as_str()), (403, "cross_origin"));
    }
}
