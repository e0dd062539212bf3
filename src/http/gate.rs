//! Who may ask. Separate because it decides before anything else is looked at, and from the request's head alone.
//!
//! A request comes from this machine if its peer is loopback, no proxy says that it forwarded it, and the `Host` that it
//! asks for is local (a foreign one means that a name was re-bound to this machine). Any other needs the bearer token. A
//! browser's request from another site is refused even with it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use subtle::ConstantTimeEq;

use super::problem::Problem;

/// Headers by which a proxy says that the request is somebody else's, besides all with `forwarded` in their name.
const FORWARDING: &[&str] = &["via", "cdn-loop", "x-envoy-external-address"];
/// The ends of the names of those that say whose it is.
const WHOSE: &[&str] =
    &["client-ip", "clientip", "real-ip", "connecting-ip", "connecting-ipv6", "connection-ip", "socketip", "user-ip"];

#[derive(Clone)]
pub(super) struct Gate {
    token: Option<Arc<str>>,
}

impl Gate {
    pub(super) fn new(token: Option<String>) -> Self {
        Self { token: token.map(Arc::from) }
    }

    /// Whether the request may be answered. `peer` is `None` where the service's own server does not tell it.
    pub(super) fn check(&self, head: &Parts, peer: Option<SocketAddr>) -> Result<(), Problem> {
        if let Some(site) = foreign_site(head) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "cross_origin",
                format!("a browser sent this request from another site ({site}); lens answers only its own pages"),
            ));
        }
        let Some(reason) = foreign(head, peer) else { return Ok(()) };
        let Some(token) = &self.token else {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "local_only",
                format!("{reason}; without a token lens answers only requests from this machine"),
            )
            .fix("ask from this machine (a port-forward will do), or start lens with `Builder::token` or LENS_TOKEN"));
        };
        if presented(&head.headers).is_some_and(|presented| bool::from(presented.as_bytes().ct_eq(token.as_bytes()))) {
            return Ok(());
        }
        let detail = format!("{reason}; such requests need the token");
        Err(Problem::new(StatusCode::UNAUTHORIZED, "token_required", detail)
            .fix("send `Authorization: Bearer TOKEN`")
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
    }
}

/// Why the request does not come from this machine, or cannot be seen to.
fn foreign(head: &Parts, peer: Option<SocketAddr>) -> Option<String> {
    match peer {
        None => return Some(
            "the service's server does not tell the peer's address (serve with `into_make_service_with_connect_info::<SocketAddr>()`)"
                .to_owned(),
        ),
        Some(peer) if !is_loopback(peer.ip()) => return Some(format!("the peer {} is not loopback", peer.ip())),
        Some(_) => {}
    }
    if let Some(name) = head.headers.keys().map(HeaderName::as_str).find(|name| is_forwarding(name)) {
        return Some(format!("the header `{name}` says that the request was forwarded"));
    }
    let hosts = head.headers.get_all(header::HOST);
    let named = hosts.iter().map(|host| host.to_str().unwrap_or("?")).chain(head.uri.host());
    for host in named {
        if !is_local_host(host) {
            return Some(format!("the Host {host:?} is not this machine"));
        }
    }
    None
}

fn is_forwarding(name: &str) -> bool {
    name.contains("forwarded") || FORWARDING.contains(&name) || WHOSE.iter().any(|end| name.ends_with(end))
}

fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => {
            address == Ipv6Addr::LOCALHOST || address.to_ipv4_mapped().is_some_and(|address| address.is_loopback())
        }
    }
}

fn is_local_host(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let host = authority.host();
    let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.parse::<IpAddr>() {
        Ok(address) => is_loopback(address),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

/// The other site that a browser says the request comes from.
fn foreign_site(head: &Parts) -> Option<&str> {
    let text = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site")
        && !matches!(site, "same-origin" | "none")
    {
        return Some(site);
    }
    let origin = text("origin")?;
    let own = text("host").or_else(|| head.uri.authority().map(Authority::as_str))?;
    let named = origin.split_once("://").map_or(origin, |(_, host)| host);
    (!named.eq_ignore_ascii_case(own)).then_some(origin)
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn verdict(gate: &Gate, peer: Option<&str>, headers: &[(&str, &str)]) -> Result<(), StatusCode> {
        let mut request = Request::builder().uri("/debug/lens");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let peer = peer.map(|peer| SocketAddr::new(peer.parse().unwrap(), 1));
        gate.check(&head, peer).map_err(|problem| {
            use axum::response::IntoResponse;
            problem.into_response().status()
        })
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:6670");

    #[test]
    fn only_this_machine_gets_in_without_a_token() {
        let open = Gate::new(None);
        for host in ["127.0.0.1:6670", "localhost", "LOCALHOST:80", "localhost.", "[::1]:6670", "127.9.9.9"] {
            assert_eq!(verdict(&open, Some("127.0.0.1"), &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(verdict(&open, Some("::1"), &[HOST]), Ok(()));
        assert_eq!(verdict(&open, Some("::ffff:127.0.0.1"), &[HOST]), Ok(()));
        let refused = Err(StatusCode::FORBIDDEN);
        assert_eq!(verdict(&open, Some("10.0.0.7"), &[HOST]), refused);
        assert_eq!(verdict(&open, Some("::ffff:10.0.0.7"), &[HOST]), refused);
        assert_eq!(verdict(&open, None, &[HOST]), refused);
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "10.0.0.1",
            "",
        ] {
            assert_eq!(verdict(&open, Some("127.0.0.1"), &[("host", host)]), refused, "{host}");
        }
        for name in [
            "Forwarded",
            "Via",
            "X-Forwarded-For",
            "x-forwarded-host",
            "x-original-forwarded-for",
            "x-vercel-forwarded-for",
            "X-Real-IP",
            "x-client-ip",
            "x-cluster-client-ip",
            "True-Client-IP",
            "fastly-client-ip",
            "CF-Connecting-IP",
            "cf-connecting-ipv6",
            "cdn-loop",
            "x-envoy-external-address",
            "x-azure-clientip",
            "x-nf-client-connection-ip",
        ] {
            assert_eq!(verdict(&open, Some("127.0.0.1"), &[HOST, (name, "10.0.0.7")]), refused, "{name}");
        }
        for name in ["user-agent", "x-request-id", "traceparent", "cookie", "x-real-name"] {
            assert_eq!(verdict(&open, Some("127.0.0.1"), &[HOST, (name, "10.0.0.7")]), Ok(()), "{name}");
        }
    }

    #[test]
    fn the_token_lets_others_in_and_only_the_right_one() {
        let gate = Gate::new(Some("correct horse battery".to_owned()));
        let ask = |authorization| verdict(&gate, Some("10.0.0.7"), &[HOST, ("authorization", authorization)]);
        assert_eq!(ask("Bearer correct horse battery"), Ok(()));
        assert_eq!(ask("bearer correct horse battery"), Ok(()));
        for wrong in ["Bearer correct horse batter", "Bearer ", "Basic correct horse battery", "correct horse battery"]
        {
            assert_eq!(ask(wrong), Err(StatusCode::UNAUTHORIZED), "{wrong}");
        }
        assert_eq!(verdict(&gate, Some("127.0.0.1"), &[HOST]), Ok(()), "this machine needs none");
    }

    #[test]
    fn a_page_of_another_site_is_refused_even_with_the_token() {
        let gate = Gate::new(Some("correct horse battery".to_owned()));
        let token = ("authorization", "Bearer correct horse battery");
        let refused = Err(StatusCode::FORBIDDEN);
        for other in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(verdict(&gate, Some("127.0.0.1"), &[HOST, token, other]), refused, "{other:?}");
        }
        let own = [HOST, ("origin", "http://127.0.0.1:6670"), ("sec-fetch-site", "same-origin")];
        assert_eq!(verdict(&gate, Some("127.0.0.1"), &own), Ok(()));
    }
}
