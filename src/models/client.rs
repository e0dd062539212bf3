//! The settings of one client: a model of a provider, and how it is reached. Separate from all clients together, whose
//! settings are about which of them answers.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::key::Key;
use super::provider::Provider;
use crate::error::Error;

/// How long a client may take for an answer, its key included. Less gives up on slow models; more waits longer for one
/// that hangs, as far as whoever asks has the time.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// Where the schema of an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaPlace {
    /// In the request's own field, so that the provider enforces it.
    Field,
    /// In the system prompt, for models whose provider would refuse the field.
    Prompt,
}

/// A model of a provider.
#[must_use = "a client does nothing until it is among the settings"]
#[derive(Clone)]
pub struct Client {
    pub(super) name: String,
    pub(super) provider: Provider,
    pub(super) model: String,
    pub(super) key: Option<Key>,
    pub(super) base_url: Option<String>,
    pub(super) timeout: Duration,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) schema: Option<SchemaPlace>,
    pub(super) region: Option<String>,
    pub(super) project: Option<String>,
    pub(super) api_version: Option<String>,
    pub(super) headers: Vec<(String, String)>,
}

impl Client {
    /// The client `name`, which asks `model` of `provider`.
    pub fn new(name: impl Into<String>, provider: Provider, model: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            provider,
            model: model.into(),
            key: None,
            base_url: None,
            timeout: DEFAULT_TIMEOUT,
            temperature: None,
            top_p: None,
            schema: None,
            region: None,
            project: None,
            api_version: None,
            headers: Vec::new(),
        }
    }

    /// Sets the key. Without it, the provider's [environment variable](Provider::key_variables) has it.
    pub fn key(self, key: impl Into<String>) -> Self {
        self.key_from(Key::value(key))
    }

    /// Says where the key is.
    pub fn key_from(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Asks elsewhere than at the provider's usual place: what stands in front of `/chat/completions`, `/messages`,
    /// `/models/…`, `/projects/…`, `/model/…` or, for Azure, `/openai/…`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// Gives up after this time instead of [`DEFAULT_TIMEOUT`]. In a [`fallback`](super::Settings::fallback), a client that
    /// others follow may have less.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends a temperature, 0 to 2. Some models refuse requests that have one.
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Sends a `top_p`, 0 to 1. Some models refuse requests that have one.
    pub fn top_p(mut self, top_p: f64) -> Self {
        self.top_p = Some(top_p);
        self
    }

    /// Sends schemas there. Otherwise they are in the request's field, but for Bedrock, where it depends on the model
    /// whether that is allowed: there they are in the prompt.
    pub fn schema(mut self, place: SchemaPlace) -> Self {
        self.schema = Some(place);
        self
    }

    /// Sets the region of Bedrock or Vertex: `us-east-1`, `europe-west1`, `global`.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Sets the project of Vertex.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// Sets the version of Azure's interface, and uses the older paths with it: `/openai/deployments/…?api-version=`.
    pub fn api_version(mut self, version: impl Into<String>) -> Self {
        self.api_version = Some(version.into());
        self
    }

    /// Sends a header with each request. Its value is never shown: neither by `Debug`, nor where an error quotes a gateway that
    /// repeats it.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// What the model is called in reports.
    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.provider, self.model)
    }

    pub(super) fn schema_place(&self) -> SchemaPlace {
        self.schema.unwrap_or(match self.provider {
            Provider::AwsBedrock => SchemaPlace::Prompt,
            _ => SchemaPlace::Field,
        })
    }

    /// The client with everything read from the environment that it needs, and where it asks.
    pub(super) fn resolved(
        mut self,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Self, Url, HeaderMap), Error> {
        let read = |names: &[&str]| names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        if self.model.is_empty() {
            return Err(self.wrong("model", "is empty; name the provider's model"));
        }
        match self.provider {
            Provider::AwsBedrock => {
                self.region = self.region.or_else(|| read(&["AWS_REGION", "AWS_DEFAULT_REGION"]));
                if self.region.is_none() && self.base_url.is_none() {
                    return Err(self.wrong("region", "is missing; set it, or AWS_REGION"));
                }
            }
            Provider::VertexAi => {
                self.region = self.region.or_else(|| read(&["GOOGLE_CLOUD_LOCATION"]));
                self.project = self.project.or_else(|| read(&["GOOGLE_CLOUD_PROJECT"]));
                if self.project.is_none() {
                    return Err(self.wrong("project", "is missing; set it, or GOOGLE_CLOUD_PROJECT"));
                }
            }
            _ => {}
        }
        for (field, value) in [("region", &self.region), ("project", &self.project)] {
            let is_word =
                |text: &String| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
            if value.as_ref().is_some_and(|value| value.is_empty() || !is_word(value)) {
                return Err(self.wrong(field, "has other letters than names of regions and projects have"));
            }
        }
        if self.timeout.is_zero() {
            return Err(self.wrong("timeout", "is zero"));
        }
        for (field, value, most) in [("temperature", self.temperature, 2.0), ("top_p", self.top_p, 1.0)] {
            if value.is_some_and(|value| !(0.0..=most).contains(&value)) {
                return Err(self.wrong(field, &format!("is not from 0 to {most}")));
            }
        }
        if self.key.is_none() {
            let names = self.provider.key_variables();
            let set = names.iter().find(|name| variable(name).is_some_and(|value| !value.is_empty()));
            self.key = set.map(|name| Key::variable(*name));
        }
        if self.key.is_none() && self.provider.needs_key() {
            let names = self.provider.key_variables().join(" or ");
            return Err(self.wrong("key", &format!("is missing; set it, or the environment variable {names}")));
        }
        self.key = match self.key.take() {
            Some(key) => {
                Some(key.resolved(variable).map_err(|what| self.wrong("key", &format!("is missing: {what}")))?)
            }
            None => None,
        };
        let url = self.url()?;
        let headers = self.header_map()?;
        Ok((self, url, headers))
    }

    fn url(&self) -> Result<Url, Error> {
        let text = match &self.base_url {
            Some(url) => url.clone(),
            None => self
                .provider
                .default_base_url(self.region.as_deref())
                .ok_or_else(|| self.wrong("base_url", &format!("is missing; {} has no usual place", self.provider)))?,
        };
        let url = Url::parse(&text).map_err(|error| self.wrong("base_url", &format!("is no URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(self.wrong("base_url", "is no http or https URL"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(self.wrong("base_url", "has credentials, a query or a fragment; give the key as `key`"));
        }
        Ok(url)
    }

    fn header_map(&self) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let field = format!("headers.{name}");
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| self.wrong(&field, "is no name of a header"))?;
            let mut value =
                HeaderValue::from_str(value).map_err(|_| self.wrong(&field, "cannot be sent in a header"))?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        Ok(headers)
    }

    fn wrong(&self, field: &str, what: &str) -> Error {
        Error::Model { field: format!("client `{}`, {field}", self.name), what: what.to_owned() }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Client")
            .field("name", &self.name)
            .field("provider", &self.provider)
            .field("model", &self.model)
            .field("key", &self.key)
            .field("timeout", &self.timeout)
            .field("headers", &headers)
            .finish_non_exhaustive()
    }
}
