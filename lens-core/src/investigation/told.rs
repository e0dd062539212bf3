//! What a model is told of the service: captures, values, errors and findings without what it may not know. Separate because
//! whatever an investigation sends goes through here, and the payload's gate knows nothing of investigations.

use std::sync::Arc;

use serde_json::{Value, json};

use super::run::{Kept, Run};
use super::{payload, words};
use crate::capture::Capture;
use crate::evidence::{Fact, Finding, Insight, STATED_BY_MODEL};
use crate::registry::Entry;
use crate::sandbox::QueryError;

/// How many texts of the service are remembered, so that a model cannot repeat them as its own.
const MAX_QUOTABLE: usize = 2_000;

impl Run {
    /// A capture as the model sees it.
    pub(super) fn told_of(&self, capture: &Capture) -> Arc<Capture> {
        Arc::new(capture.withholding(&self.0.withheld))
    }

    /// An error as it may be sent. It may quote what the script read, so of a script that names a skill that may not be
    /// asked, only that; and of one whose text is not shared and not marked as such, only what kind it is.
    pub(super) fn told(&self, code: &str, error: &QueryError) -> String {
        let registry = &self.0.service.registry;
        let named = || words::of_code(code).filter(|name| registry.get(name).is_ok());
        if let Some(other) = named().find(|skill| !self.may_ask(skill)) {
            // The same as where it does not fail: whether it does may depend on what was read.
            return not_among(other);
        }
        let is_marked = |skill: &str| registry.get(skill).is_ok_and(Entry::has_free_text);
        match named().find(|skill| self.0.withheld.contains(*skill) && !is_marked(skill)) {
            Some(skill) => {
                let line = error.line.map_or_else(String::new, |line| format!(" in line {line}"));
                format!("it failed{line} ({:?}); why is not told, because the script names `{skill}`", error.kind)
            }
            None => self.redacted(&error.to_string()),
        }
    }

    /// Says so, if one of the skills that a script has read may not be looked into.
    pub(super) fn unasked(&self, touched: &[String]) -> Option<String> {
        touched.iter().find(|skill| !self.may_ask(skill)).map(|skill| not_among(skill))
    }

    /// A value as it may be sent: without secrets, without free text of skills that share none, and short.
    pub(super) fn sendable(&self, mut value: Value, touched: &[String]) -> Value {
        let shared = &self.0.settings.shared_text;
        let withholds = touched.iter().any(|skill| self.0.withheld.contains(skill));
        payload::clean(&mut value, withholds, &self.0.settings.redactor);
        let value = payload::capped(value);
        if !withholds && touched.iter().any(|skill| shared.contains(skill)) {
            self.remember(&value);
        }
        value
    }

    /// Remembers the free texts of a value that is sent.
    fn remember(&self, value: &Value) {
        match value {
            Value::String(text) => {
                let mut state = self.state();
                if state.quotable.len() < MAX_QUOTABLE {
                    state.quotable.push(words::plain(text));
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.remember(item)),
            Value::Object(fields) => fields.values().for_each(|field| self.remember(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The findings as a model sees them.
    pub(super) fn findings_json(&self, of: impl Fn(&Kept) -> bool) -> Value {
        let found: Vec<Kept> = self.state().findings.iter().filter(|kept| of(kept)).cloned().collect();
        found.iter().map(|kept| self.finding_json(kept)).collect()
    }

    pub(super) fn finding_json(&self, kept: &Kept) -> Value {
        let finding = &kept.finding;
        let facts: Vec<Value> = self.told_facts(finding).into_iter().map(|mut fact| fact["text"].take()).collect();
        let value = json!({
            "id": kept.id, "by": kept.by, "status": kept.status, "skill": finding.skill, "cause": finding.cause,
            "severity": finding.severity, "facts": facts, "place": finding.place, "spawned_at": finding.spawned_at,
            "since": finding.since, "hypothesis": finding.hypothesis,
        });
        // What a model has stated depends on nothing that is withheld.
        let is_stated = finding.check == STATED_BY_MODEL;
        let touched = finding.skills().filter(|skill| !is_stated || !self.0.withheld.contains(*skill));
        let touched: Vec<String> = touched.map(str::to_owned).collect();
        self.sendable(value, &touched)
    }

    /// The facts of a finding, as a model is told them: those of a check, which sees free text that is not shared, without
    /// their texts.
    pub(super) fn told_facts(&self, finding: &Finding) -> Vec<Value> {
        let told = |fact: &Fact| {
            let mut json = serde_json::to_value(fact).unwrap_or_default();
            let is_told_all = finding.check == STATED_BY_MODEL;
            if !is_told_all && fact.skills.iter().any(|skill| self.0.withheld.contains(skill)) {
                ["text", "expr", "value"].into_iter().for_each(|part| payload::withhold_all(&mut json[part]));
            }
            json
        };
        finding.facts.iter().map(told).collect()
    }

    /// What an insight says, as a model that investigates further is told it.
    pub(super) fn told_insight(&self, insight: &Insight) -> String {
        let findings = insight.findings.iter().map(|linked| &linked.finding);
        let touched: Vec<String> = findings.flat_map(Finding::skills).map(str::to_owned).collect();
        match self.sendable(json!(insight.summary), &touched) {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    /// What this investigation follows, as a model sees it.
    pub(super) fn follows(&self) -> Value {
        let follows = self.0.order.follows.as_ref();
        follows.map_or(Value::Null, |(id, found)| {
            let found: Vec<String> = found.iter().map(|text| self.redacted(text)).collect();
            json!({"investigation": id, "found": found})
        })
    }
}

fn not_among(skill: &str) -> String {
    format!("`{skill}` is not among the skills of this investigation")
}
