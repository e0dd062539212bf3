//! Settings in TOML. Separate because here every name and type can be wrong, and an error has to say where.

use std::path::Path;
use std::time::Duration;

use lens_core::Span;
use lens_core::error::nearest;
use toml::{Table, Value};

use super::Settings;
use super::client::{Client, SchemaPlace};
use super::key::Key;
use super::provider::Provider;
use crate::error::Error;

/// The fields of the file, of a client, and of a name for several.
const FIELDS: [&str; 4] = ["primary", "classify", "compact", "clients"];
const CLIENT_FIELDS: [&str; 15] = [
    "name",
    "provider",
    "model",
    "key",
    "key_env",
    "key_file",
    "base_url",
    "timeout",
    "temperature",
    "top_p",
    "schema",
    "region",
    "project",
    "api_version",
    "headers",
];
const GROUP_FIELDS: [&str; 3] = ["name", "provider", "strategy"];

/// The two providers that are several clients.
const FALLBACK: &str = "fallback";
const ROUND_ROBIN: &str = "round-robin";

impl Settings {
    /// Settings in TOML, as [`models`](crate::models) shows them.
    ///
    /// # Errors
    ///
    /// It is no TOML, or a field is unknown, missing or of another type; the error names it and the nearest that there is.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            // The line itself may hold a key.
            let at = error.span().map_or(0, |span| span.start);
            let line = text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1;
            Error::Model { field: format!("line {line}"), what: format!("this is no TOML: {}", error.message()) }
        })?;
        let mut fields = Fields { at: String::new(), table };
        fields.check(&FIELDS)?;
        let mut settings = Self::new();
        if let Some(name) = fields.text("primary")? {
            settings = settings.primary(name);
        }
        if let Some(name) = fields.text("classify")? {
            settings = settings.classify(name);
        }
        if let Some(name) = fields.text("compact")? {
            settings = settings.compact(name);
        }
        let clients = match fields.table.remove("clients") {
            None => Vec::new(),
            Some(Value::Array(clients)) => clients,
            Some(_) => return Err(fields.wrong("clients", "is no list of tables: write `[[clients]]`")),
        };
        for (number, client) in clients.into_iter().enumerate() {
            let Value::Table(table) = client else {
                return Err(fields.wrong("clients", "is no list of tables: write `[[clients]]`"));
            };
            settings = settings.add(Fields { at: format!("clients[{number}]."), table })?;
        }
        Ok(settings)
    }

    /// The same, in a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is as [`from_toml`](Self::from_toml) does not want it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::ModelFile { path: path.to_owned(), source })?;
        Self::from_toml(&text).map_err(|error| match error {
            Error::Model { field, what } => Error::Model { field: format!("{}, {field}", path.display()), what },
            other => other,
        })
    }

    fn add(self, mut fields: Fields) -> Result<Self, Error> {
        let name = fields.needed_text("name")?;
        let provider = fields.needed_text("provider")?;
        if provider == FALLBACK || provider == ROUND_ROBIN {
            fields.check(&GROUP_FIELDS)?;
            let members = fields.texts("strategy")?;
            return Ok(self.group(name, provider == ROUND_ROBIN, members));
        }
        fields.check(&CLIENT_FIELDS)?;
        let provider: Provider = provider.parse().map_err(|error| match error {
            Error::Model { what, .. } => fields.wrong("provider", &what),
            other => other,
        })?;
        let mut client = Client::new(name, provider, fields.needed_text("model")?);
        let keys = ["key", "key_env", "key_file"].into_iter().filter(|name| fields.table.contains_key(*name));
        if let [_, second, ..] = keys.collect::<Vec<_>>()[..] {
            return Err(fields.wrong(second, "is one key too many"));
        }
        if let Some(key) = fields.text("key")? {
            client = client.key_from(Key::value(key));
        }
        if let Some(name) = fields.text("key_env")? {
            client = client.key_from(Key::variable(name));
        }
        if let Some(path) = fields.text("key_file")? {
            client = client.key_from(Key::file(path));
        }
        client.base_url = fields.text("base_url")?;
        client.region = fields.text("region")?;
        client.project = fields.text("project")?;
        client.api_version = fields.text("api_version")?;
        client.temperature = fields.number("temperature")?;
        client.top_p = fields.number("top_p")?;
        if let Some(text) = fields.text("timeout")? {
            client = client
                .timeout(duration(&text).ok_or_else(|| fields.wrong("timeout", "is no duration such as \"60s\""))?);
        }
        match fields.text("schema")?.as_deref() {
            None => {}
            Some("field") => client = client.schema(SchemaPlace::Field),
            Some("prompt") => client = client.schema(SchemaPlace::Prompt),
            Some(_) => return Err(fields.wrong("schema", "is neither \"field\" nor \"prompt\"")),
        }
        match fields.table.remove("headers") {
            None => {}
            Some(Value::Table(headers)) => {
                for (name, value) in headers {
                    let Value::String(value) = value else {
                        return Err(fields.wrong(&format!("headers.{name}"), "is no text"));
                    };
                    client = client.header(name, value);
                }
            }
            Some(_) => return Err(fields.wrong("headers", "is no table of texts")),
        }
        Ok(self.client(client))
    }
}

pub(super) fn duration(text: &str) -> Option<Duration> {
    text.parse::<Span>().ok().map(|span| span.0).filter(|duration| !duration.is_zero())
}

/// A table, and where it stands.
struct Fields {
    at: String,
    table: Table,
}

impl Fields {
    /// Refuses fields that are not `known`.
    fn check(&self, known: &[&str]) -> Result<(), Error> {
        let Some(name) = self.table.keys().find(|name| !known.contains(&name.as_str())) else { return Ok(()) };
        let what = match nearest(name, known.iter().copied()) {
            Some(near) => format!("there is no such field; did you mean `{near}`?"),
            None => format!("there is no such field; there are {}", known.join(", ")),
        };
        Err(self.wrong(name, &what))
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, Error> {
        match self.table.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.wrong(name, "is no text; put it in quotes")),
        }
    }

    fn needed_text(&mut self, name: &str) -> Result<String, Error> {
        self.text(name)?.ok_or_else(|| self.wrong(name, "is missing"))
    }

    fn number(&self, name: &str) -> Result<Option<f64>, Error> {
        match self.table.get(name) {
            None => Ok(None),
            Some(Value::Float(number)) => Ok(Some(*number)),
            Some(Value::Integer(number)) => {
                Ok(Some(i32::try_from(*number).map_err(|_| self.wrong(name, "is too large"))?.into()))
            }
            Some(_) => Err(self.wrong(name, "is no number")),
        }
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, Error> {
        let wrong = || self.wrong(name, "is no list of names of clients");
        let list = self.table.get(name).ok_or_else(|| self.wrong(name, "is missing"))?.as_array().ok_or_else(wrong)?;
        list.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
    }

    fn wrong(&self, name: &str, what: &str) -> Error {
        Error::Model { field: format!("{}{name}", self.at), what: what.to_owned() }
    }
}
