//! The providers: their names, where they listen and where their keys are. Separate because it is all that differs between
//! two providers that speak one protocol.

use std::fmt;
use std::str::FromStr;

use lens_core::error::nearest;

use crate::error::Error;

/// Who offers models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// Anthropic: `anthropic`.
    Anthropic,
    /// `OpenAI`: `openai`.
    OpenAi,
    /// Anything that speaks `OpenAI`'s chat completions, such as llama.cpp and vLLM: `openai-generic`. Needs a base URL.
    OpenAiGeneric,
    /// Google's Gemini API: `google-ai`.
    GoogleAi,
    /// Google's Vertex AI, with models of Google and Anthropic: `vertex-ai`. Needs a project; its key is an access token,
    /// which lives for an hour: give a file that something renews, or a function.
    VertexAi,
    /// Amazon Bedrock's Converse: `aws-bedrock`. Needs a region; its key is a Bedrock API key.
    AwsBedrock,
    /// `OpenAI`'s models on Azure: `azure-openai`. Needs a base URL; the model is the deployment's name.
    AzureOpenAi,
    /// Ollama, on this machine unless a base URL says otherwise: `ollama`. Needs no key.
    Ollama,
    /// `OpenRouter`: `openrouter`.
    OpenRouter,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 9] = [
        Self::Anthropic,
        Self::OpenAi,
        Self::OpenAiGeneric,
        Self::GoogleAi,
        Self::VertexAi,
        Self::AwsBedrock,
        Self::AzureOpenAi,
        Self::Ollama,
        Self::OpenRouter,
    ];

    /// What it is called in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::OpenAiGeneric => "openai-generic",
            Self::GoogleAi => "google-ai",
            Self::VertexAi => "vertex-ai",
            Self::AwsBedrock => "aws-bedrock",
            Self::AzureOpenAi => "azure-openai",
            Self::Ollama => "ollama",
            Self::OpenRouter => "openrouter",
        }
    }

    /// The environment variables that hold its key, the first that is set counts.
    #[must_use]
    pub const fn key_variables(self) -> &'static [&'static str] {
        match self {
            Self::Anthropic => &["ANTHROPIC_API_KEY"],
            Self::OpenAi => &["OPENAI_API_KEY"],
            Self::GoogleAi => &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
            Self::VertexAi => &["VERTEX_ACCESS_TOKEN"],
            Self::AwsBedrock => &["AWS_BEARER_TOKEN_BEDROCK"],
            Self::AzureOpenAi => &["AZURE_OPENAI_API_KEY"],
            Self::OpenRouter => &["OPENROUTER_API_KEY"],
            Self::OpenAiGeneric | Self::Ollama => &[],
        }
    }

    /// Whether it refuses requests without a key.
    #[must_use]
    pub const fn needs_key(self) -> bool {
        !self.key_variables().is_empty()
    }

    /// Where it is reached unless a base URL is set; `None` if there is no such place for everybody.
    pub(crate) fn default_base_url(self, region: Option<&str>) -> Option<String> {
        let url = match self {
            Self::Anthropic => "https://api.anthropic.com/v1",
            Self::OpenAi => "https://api.openai.com/v1",
            Self::GoogleAi => "https://generativelanguage.googleapis.com/v1beta",
            Self::Ollama => "http://127.0.0.1:11434/v1",
            Self::OpenRouter => "https://openrouter.ai/api/v1",
            Self::VertexAi => {
                return Some(match region {
                    None | Some("global") => "https://aiplatform.googleapis.com/v1".to_owned(),
                    Some(region) => format!("https://{region}-aiplatform.googleapis.com/v1"),
                });
            }
            Self::AwsBedrock => return region.map(|region| format!("https://bedrock-runtime.{region}.amazonaws.com")),
            Self::OpenAiGeneric | Self::AzureOpenAi => return None,
        };
        Some(url.to_owned())
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Provider {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|provider| provider.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|provider| provider.name()).collect();
            let what = match nearest(name, names.iter().copied()) {
                Some(near) => format!("there is no provider `{name}`; did you mean `{near}`?"),
                None => format!("there is no provider `{name}`; there are {}", names.join(", ")),
            };
            Error::Model { field: "provider".to_owned(), what }
        })
    }
}
