//! Which clients there are, and which of them answers what. Separate from how settings are written down, in a file or in
//! the environment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use lens_core::error::nearest;
use lens_core::model::Purpose;

use super::Models;
use super::choice::{Choice, Route};
use super::client::Client;
use super::exchange::{self, Endpoint};
use crate::error::Error;

/// Models to be: clients, and which of them answers what.
#[must_use = "settings do nothing until they are built"]
#[derive(Clone, Default)]
pub struct Settings {
    pub(super) clients: Vec<Client>,
    pub(super) groups: Vec<Group>,
    pub(super) primary: Option<String>,
    pub(super) cheap: Vec<(Purpose, &'static str, String)>,
    http: Option<reqwest::Client>,
}

/// Several clients under one name.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) takes_turns: bool,
    pub(super) members: Vec<String>,
}

impl Settings {
    /// No client yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a client.
    pub fn client(mut self, client: Client) -> Self {
        self.clients.push(client);
        self
    }

    /// Adds a name for several, of which the first answers that can: the others are asked, in order, when it fails, whatever
    /// the reason. One call of [`Model::answer`](lens_core::Model::answer) may then send as many requests as there are
    /// members.
    ///
    /// While others follow, a member has half of the call's time that is left, or its own
    /// [time-out](Client::timeout) if that is shorter: of [2 minutes](lens_core::investigation::CALL_DEADLINE), the first
    /// of two has one. So the first should be one that answers in half of the time, and the last may be slow. Whoever asks
    /// says the [time](lens_core::model::Prompt::deadline); if nobody does, time-outs alone count.
    pub fn fallback<N: Into<String>>(self, name: impl Into<String>, members: impl IntoIterator<Item = N>) -> Self {
        self.group(name.into(), false, members.into_iter().map(Into::into).collect())
    }

    /// Adds a name for several that take turns, one a call. To have another one asked when one fails, put this name into a
    /// [`fallback`](Self::fallback).
    pub fn round_robin<N: Into<String>>(self, name: impl Into<String>, members: impl IntoIterator<Item = N>) -> Self {
        self.group(name.into(), true, members.into_iter().map(Into::into).collect())
    }

    pub(super) fn group(mut self, name: String, takes_turns: bool, members: Vec<String>) -> Self {
        self.groups.push(Group { name, takes_turns, members });
        self
    }

    /// Says which answers, unless something else is said. It may be left out if there is one client.
    pub fn primary(mut self, name: impl Into<String>) -> Self {
        self.primary = Some(name.into());
        self
    }

    /// Says which sorts requests: a cheaper one can.
    pub fn classify(mut self, name: impl Into<String>) -> Self {
        self.cheap.push((Purpose::Classify, "classify", name.into()));
        self
    }

    /// Says which shortens conversations: a cheaper one can.
    pub fn compact(mut self, name: impl Into<String>) -> Self {
        self.cheap.push((Purpose::Compact, "compact", name.into()));
        self
    }

    /// Sends through a client of the service's own, with its proxies, certificates and connections. It should follow no
    /// redirections: a key that is sent in a header of its own would be sent along.
    pub fn http(mut self, client: reqwest::Client) -> Self {
        self.http = Some(client);
        self
    }

    /// Checks everything and gives the models. Reads keys that are in the environment.
    ///
    /// # Errors
    ///
    /// A setting is missing or wrong, which the error names; or the system's certificates cannot be read.
    pub fn build(self) -> Result<Models, Error> {
        self.build_with(&|name| std::env::var(name).ok())
    }

    /// The same with an environment of its own.
    pub(super) fn build_with(self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Models, Error> {
        let Self { clients, groups, primary, cheap, http } = self;
        let wrong = |field: &str, what: String| Error::Model { field: field.to_owned(), what };
        let mut endpoints = BTreeMap::new();
        let mut resolved = Vec::new();
        for client in clients {
            resolved.push(client.resolved(variable)?);
        }
        let http = match http {
            Some(http) => http,
            None => exchange::http_client(resolved.iter().any(|(_, url, _)| url.scheme() == "https"))?,
        };
        let first = resolved.first().map(|(client, ..)| client.name.clone());
        for (client, url, headers) in resolved {
            let name = client.name.clone();
            let endpoint = Arc::new(Endpoint::new(client, url, headers, http.clone()));
            if endpoints.insert(name.clone(), endpoint).is_some() {
                return Err(wrong("clients", format!("two are called `{name}`; give one of them another name")));
            }
        }
        for (number, group) in groups.iter().enumerate() {
            let is_taken = groups[..number].iter().any(|earlier| earlier.name == group.name);
            if is_taken || endpoints.contains_key(&group.name) {
                return Err(wrong(
                    "clients",
                    format!("two are called `{}`; give one of them another name", group.name),
                ));
            }
            if group.members.is_empty() {
                return Err(wrong(
                    &format!("client `{}`, strategy", group.name),
                    "is empty; name its clients".to_owned(),
                ));
            }
        }
        let names = Names { endpoints: &endpoints, groups: &groups };
        let primary = match (primary, first, endpoints.len() + groups.len()) {
            (_, _, 0) => return Err(wrong("clients", "there is none; add one".to_owned())),
            (Some(name), ..) => name,
            (None, Some(only), 1) => only,
            (None, ..) => return Err(wrong("primary", "is missing; say which client answers".to_owned())),
        };
        let mut routes = Vec::new();
        for (purpose, field, name) in cheap {
            routes.push((purpose, names.route(field, &name, &mut Vec::new())?));
        }
        Ok(Models::new(Choice::new(names.route("primary", &primary, &mut Vec::new())?, routes)))
    }
}

/// What names stand for.
struct Names<'a> {
    endpoints: &'a BTreeMap<String, Arc<Endpoint>>,
    groups: &'a [Group],
}

impl Names<'_> {
    fn route(&self, field: &str, name: &str, above: &mut Vec<String>) -> Result<Route, Error> {
        let wrong = |what: String| Error::Model { field: field.to_owned(), what };
        if let Some(endpoint) = self.endpoints.get(name) {
            return Ok(Route::One(Arc::clone(endpoint)));
        }
        let Some(group) = self.groups.iter().find(|group| group.name == name) else {
            let known =
                self.endpoints.keys().map(String::as_str).chain(self.groups.iter().map(|group| group.name.as_str()));
            return Err(wrong(match nearest(name, known) {
                Some(near) => format!("there is no client `{name}`; did you mean `{near}`?"),
                None => format!("there is no client `{name}`"),
            }));
        };
        if above.iter().any(|higher| higher == name) {
            return Err(wrong(format!("`{name}` stands for itself, by way of {}", above.join(", "))));
        }
        above.push(name.to_owned());
        let field = format!("client `{name}`, strategy");
        let members = group.members.iter().map(|member| self.route(&field, member, above)).collect::<Result<_, _>>()?;
        above.pop();
        Ok(match group.takes_turns {
            true => Route::Turns { name: name.to_owned(), members, next: AtomicUsize::new(0) },
            false => Route::Fallback { name: name.to_owned(), members },
        })
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("clients", &self.clients)
            .field("groups", &self.groups)
            .field("primary", &self.primary)
            .finish_non_exhaustive()
    }
}
