//! `heap.config()`: jemalloc's options. Separate because it reads no statistics.

use schemars::JsonSchema;
use serde::Serialize;

use lens_core::skill::NoArguments;
use lens_core::{CallError, Functions, View};

use crate::config;
use crate::state::HeapState;

/// One of jemalloc's options.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ConfigRow {
    /// Its name.
    pub option: String,
    /// Its value.
    pub value: String,
    /// What it is when nobody sets it; null where the machine decides.
    pub default: Option<String>,
    /// Whether somebody set it to something else; null where the machine decides.
    pub is_changed: Option<bool>,
    /// What it does.
    pub effect: String,
}

pub(super) fn add(to: Functions<HeapState>) -> Functions<HeapState> {
    to.rows(
        "config",
        "jemalloc's options that decide about memory, those that somebody changed first, and where options were given.",
        "heap.config()",
        config,
    )
}

fn config(view: &View<'_, HeapState>, _: NoArguments) -> Result<Vec<ConfigRow>, CallError> {
    let configuration = &view.jemalloc("config")?.configuration;
    let settings = configuration.settings.iter().filter_map(|setting| {
        let reference = config::reference(&setting.option)?;
        Some(ConfigRow {
            option: setting.option.clone(),
            value: setting.value.clone(),
            default: reference.default.map(str::to_owned),
            is_changed: reference.default.map(|default| default != setting.value),
            effect: reference.effect.to_owned(),
        })
    });
    let given = configuration.given.iter().map(|given| ConfigRow {
        option: "malloc_conf".to_owned(),
        value: given.value.clone(),
        default: Some(String::new()),
        is_changed: Some(true),
        effect: format!("Options given in {}.", given.option),
    });
    let mut rows: Vec<ConfigRow> = given.chain(settings).collect();
    rows.sort_by_key(|row| row.is_changed != Some(true));
    Ok(rows)
}
