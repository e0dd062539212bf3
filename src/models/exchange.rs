//! One request and its answer. Separate from the protocols, which only say what is in them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lens_core::model::{Completion, ErrorClass, ModelError, Prompt};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Response, StatusCode, Url};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::Instant;

use super::client::Client;
use super::failure;
use super::wire::{self, Auth};
use crate::error::Error;

/// How long a connection may take to come about, with a client of lens's own. It counts against the client's time-out.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer that is read. Larger ones are malformed: no answer of some thousand tokens comes near.
pub const MAX_ANSWER_BYTES: usize = 4 << 20;

/// lens's own HTTP client. Nothing is installed for the process: the TLS is in it.
pub(super) fn http_client(needs_tls: bool) -> Result<reqwest::Client, Error> {
    let failed = |what: String| Error::Model { field: "http".to_owned(), what };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?;
    let tls = match needs_tls {
        true => tls.with_platform_verifier().map_err(|error| {
            failed(format!("the system's certificates cannot be read ({error}); install them (ca-certificates)"))
        })?,
        // Nobody to trust, and a system without certificates will do.
        false => tls.with_root_certificates(RootCertStore::empty()),
    };
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls.with_no_client_auth())
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .build()
        .map_err(|error| failed(failure::chain(&error)))
}

/// A client that can be asked.
pub(super) struct Endpoint {
    client: Client,
    url: Url,
    headers: HeaderMap,
    http: reqwest::Client,
}

impl Endpoint {
    pub(super) fn new(client: Client, url: Url, headers: HeaderMap, http: reqwest::Client) -> Self {
        Self { client, url, headers, http }
    }

    pub(super) fn label(&self) -> String {
        self.client.label()
    }

    /// One answer, by `limit` if there is one: then somebody else is asked.
    pub(super) async fn answer(&self, prompt: &Prompt, limit: Option<Instant>) -> Result<Completion, ModelError> {
        let share = limit.map(|limit| limit.saturating_duration_since(Instant::now()));
        // As a person would write it.
        let share = share.map(|share| Duration::new(share.as_secs(), share.subsec_millis() * 1_000_000));
        let (timeout, whose) = match share.filter(|share| *share < self.client.timeout) {
            Some(share) => (share, ", its share of the call's time"),
            None => (self.client.timeout, ""),
        };
        match tokio::time::timeout(timeout, self.exchange(prompt)).await {
            Ok(answered) => answered,
            Err(_) => {
                let after = humantime::format_duration(timeout);
                Err(self.error(ErrorClass::Timeout, &format!("no answer after {after}{whose}"), None))
            }
        }
    }

    async fn exchange(&self, prompt: &Prompt) -> Result<Completion, ModelError> {
        let secret =
            match &self.client.key {
                Some(key) => {
                    let got = key.secret().await;
                    Some(got.map_err(|what| {
                        self.error(ErrorClass::Unauthorized, &format!("there is no key: {what}"), None)
                    })?)
                }
                None => None,
            };
        let response =
            self.send(prompt, secret.as_ref()).await.map_err(|error| self.broken(&error, secret.as_ref()))?;
        let status = response.status();
        let asked_to_wait = failure::retry_after(response.headers(), SystemTime::now());
        let body = match read(response).await {
            Ok(Some(body)) => body,
            Ok(None) => {
                let what = format!("the answer is larger than {MAX_ANSWER_BYTES} bytes");
                return Err(self.error(ErrorClass::Malformed, &what, secret.as_ref()));
            }
            Err(error) => return Err(self.broken(&error, secret.as_ref())),
        };
        let json = serde_json::from_slice::<Value>(&body);
        if let Some(refused) = failure::refused(status, json.as_ref().ok(), &body, asked_to_wait) {
            let mut error = self.error(refused.class, &refused.message, secret.as_ref());
            error.retry_after = refused.retry_after;
            return Err(error);
        }
        let json = json.map_err(|error| {
            // Where it is wrong, not what stands there.
            let what = format!("the answer is no JSON (line {} column {})", error.line(), error.column());
            self.error(ErrorClass::Malformed, &what, secret.as_ref())
        })?;
        let read = wire::read(&self.client, &json)
            .map_err(|what| self.error(ErrorClass::Malformed, &format!("the answer {what}"), secret.as_ref()))?;
        Ok(Completion { text: read.text, usage: read.usage, stop: read.stop, model: self.label(), unanswered: 0 })
    }

    async fn send(&self, prompt: &Prompt, secret: Option<&SecretString>) -> Result<Response, reqwest::Error> {
        let call = wire::call(&self.client, prompt);
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(&call.path);
        }
        if let Some((name, value)) = &call.query {
            url.query_pairs_mut().append_pair(name, value);
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("lens/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in call.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        // The service's own headers count, whatever the protocol says.
        headers.extend(self.headers.clone());
        if let Some(secret) = secret {
            let (name, text) = match call.auth {
                Auth::Bearer => (AUTHORIZATION, format!("Bearer {}", secret.expose_secret())),
                Auth::Header(name) => (HeaderName::from_static(name), secret.expose_secret().to_owned()),
            };
            // A key is printable: it was looked at when it was read.
            if let Ok(mut value) = HeaderValue::from_str(&text) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        self.http.post(url).headers(headers).body(call.body.to_string()).send().await
    }

    /// Why there is no whole answer.
    fn broken(&self, error: &reqwest::Error, secret: Option<&SecretString>) -> ModelError {
        let class = match error.is_timeout() && !error.is_connect() {
            true => ErrorClass::Timeout,
            false if error.is_builder() => ErrorClass::Rejected,
            false => ErrorClass::Connection,
        };
        let mut broken = self.error(class, &failure::chain(error), secret);
        if error.is_connect() {
            // There was nobody to read it.
            broken.unanswered = 0;
        }
        broken
    }

    fn error(&self, class: ErrorClass, what: &str, secret: Option<&SecretString>) -> ModelError {
        let headers = self.client.headers.iter().map(|(_, value)| value.as_str());
        let what = failure::shown(what, secret.map(ExposeSecret::expose_secret).into_iter().chain(headers));
        ModelError::new(class, format!("{} (client `{}`): {what}", self.label(), self.client.name))
    }
}

/// The body, or `None` if it is too large.
async fn read(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// The class of a status that is no success.
pub(super) const fn class_of(status: StatusCode) -> ErrorClass {
    match status.as_u16() {
        401 | 403 => ErrorClass::Unauthorized,
        408 | 409 | 500.. => ErrorClass::Unavailable,
        429 => ErrorClass::RateLimited,
        _ => ErrorClass::Rejected,
    }
}
