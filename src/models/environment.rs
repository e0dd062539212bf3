//! Settings in environment variables: enough for one model and a cheaper one. Separate from the file's because here a
//! variable that nobody knows has to be noticed among those of others.

use lens_core::error::nearest;

use super::Settings;
use super::client::Client;
use super::file;
use super::key::Key;
use super::provider::Provider;
use crate::error::Error;

/// The variable that names the model: `provider/model`.
pub const MODEL_VARIABLE: &str = "LENS_MODEL";

/// The variable that names a cheaper model of the same form, for sorting requests and shortening conversations.
pub const CHEAP_VARIABLE: &str = "LENS_MODEL_CHEAP";

/// The variable with the base URL of [`MODEL_VARIABLE`]'s provider, also for the cheaper model if its provider is the same.
pub const URL_VARIABLE: &str = "LENS_MODEL_URL";

/// The variable with that provider's key, instead of the provider's own variable.
pub const KEY_VARIABLE: &str = "LENS_MODEL_KEY";

/// The variable with the time-out of both: `60s`.
pub const TIMEOUT_VARIABLE: &str = "LENS_MODEL_TIMEOUT";

/// The variable with the path of a file of settings, instead of all others.
pub const FILE_VARIABLE: &str = "LENS_MODEL_FILE";

const VARIABLES: [&str; 6] =
    [MODEL_VARIABLE, CHEAP_VARIABLE, URL_VARIABLE, KEY_VARIABLE, TIMEOUT_VARIABLE, FILE_VARIABLE];

impl Settings {
    /// Settings in the environment: [`MODEL_VARIABLE`] and the others, or [`FILE_VARIABLE`]. `None` if neither is set.
    /// Providers' keys are in the variables that their own tools read, such as `ANTHROPIC_API_KEY`.
    ///
    /// # Errors
    ///
    /// A variable is wrong, does not fit the others, or begins with `LENS_MODEL` and is unknown; the error names it.
    pub fn from_environment() -> Result<Option<Self>, Error> {
        // What is no text is no variable of lens's, nor a right value of one.
        let all =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::from_variables(&all.collect::<Vec<_>>())
    }

    /// The same, of these variables.
    pub(super) fn from_variables(all: &[(String, String)]) -> Result<Option<Self>, Error> {
        let wrong = |name: &str, what: String| Error::Model { field: name.to_owned(), what };
        let ours = all.iter().filter(|(name, value)| name.starts_with(MODEL_VARIABLE) && !value.trim().is_empty());
        for (name, _) in ours.clone() {
            if !VARIABLES.contains(&name.as_str()) {
                return Err(wrong(
                    name,
                    match nearest(name, VARIABLES) {
                        Some(near) => format!("there is no such variable; did you mean {near}?"),
                        None => format!("there is no such variable; there are {}", VARIABLES.join(", ")),
                    },
                ));
            }
        }
        let get = |wanted: &str| ours.clone().find(|(name, _)| name == wanted).map(|(_, value)| value.trim());
        if let Some(path) = get(FILE_VARIABLE) {
            if let Some((name, _)) = ours.clone().find(|(name, _)| name != FILE_VARIABLE) {
                return Err(wrong(name, format!("is set, and {FILE_VARIABLE} too; unset one of them")));
            }
            return Self::from_file(path).map(Some);
        }
        let Some(model) = get(MODEL_VARIABLE) else {
            return match ours.clone().next() {
                Some((name, _)) => Err(wrong(name, format!("is set, and {MODEL_VARIABLE} is not"))),
                None => Ok(None),
            };
        };
        let timeout = match get(TIMEOUT_VARIABLE) {
            Some(text) => Some(
                file::duration(text).ok_or_else(|| wrong(TIMEOUT_VARIABLE, "is no duration such as 60s".to_owned()))?,
            ),
            None => None,
        };
        let client = |variable: &str, name: &str, text: &str| {
            let form = || wrong(variable, "is not `provider/model`, such as anthropic/claude-haiku-4-5".to_owned());
            let (provider, model) = text.split_once('/').filter(|(_, model)| !model.is_empty()).ok_or_else(form)?;
            let provider: Provider = provider.parse().map_err(|error| match error {
                Error::Model { what, .. } => wrong(variable, what),
                other => other,
            })?;
            let client = Client::new(name, provider, model);
            Ok::<_, Error>((provider, timeout.map_or(client.clone(), |timeout| client.timeout(timeout))))
        };
        let at_place = |client: Client| {
            let client = match get(URL_VARIABLE) {
                Some(url) => client.base_url(url),
                None => client,
            };
            match get(KEY_VARIABLE) {
                Some(key) => client.key_from(Key::value(key)),
                None => client,
            }
        };
        let (provider, primary) = client(MODEL_VARIABLE, "primary", model)?;
        let mut settings = Self::new().client(at_place(primary)).primary("primary");
        if let Some(model) = get(CHEAP_VARIABLE) {
            let (other, cheap) = client(CHEAP_VARIABLE, "cheap", model)?;
            let cheap = if other == provider { at_place(cheap) } else { cheap };
            settings = settings.client(cheap).classify("cheap").compact("cheap");
        }
        Ok(Some(settings))
    }
}
