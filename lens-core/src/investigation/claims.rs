//! What a model states, and what becomes of it: a fact only if its expression is evaluated and bears it out, a finding only
//! if its facts show its cause. Separate because nothing of a model reaches a report but through here.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::payload::{self, short};
use super::run::{FindingStatus, Kept, MAX_STATED_FINDINGS, Run, Snapshot};
use super::{Event, words};
use crate::capture::Capture;
use crate::evidence::{Cause, Fact, FalseFact, Finding, Report, STATED_BY_MODEL, Severity};
use crate::reference::SkillReference;
use crate::registry::Registry;
use crate::sandbox::Outcome;

/// The longest hypothesis.
const MAX_HYPOTHESIS_BYTES: usize = 500;

/// The longest reason for which a claim is refused, and the most of its value that comes with it.
const MAX_WHY_BYTES: usize = 500;

/// The longest value of a fact, as JSON: it is kept with the report.
const MAX_VALUE_BYTES: usize = 16 * 1024;

/// How many consecutive words of a text of the service make a hypothesis a quotation of it.
const QUOTED_WORDS: usize = 4;

/// A sentence that a model claims to be a fact.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Claim {
    /// One sentence with the numbers and names that the expression gives; no "probably", no interpretation.
    #[schemars(length(min = 1, max = 400))]
    pub(super) text: String,
    /// A Starlark expression whose value shows the sentence: numbers, names or rows, not True.
    #[schemars(length(min = 1, max = 1_000))]
    pub(super) expr: String,
}

/// Why a claim is no fact, and what its expression gives, both as they may be sent.
struct Refusal {
    why: String,
    gives: String,
}

/// A finding as a model states it.
pub(super) struct StatedFinding {
    pub(super) cause: Cause,
    pub(super) severity: Severity,
    pub(super) facts: Vec<Claim>,
    pub(super) snapshot: String,
    pub(super) place: Option<String>,
    pub(super) hypothesis: Option<String>,
}

/// The words that facts of a skill may be made of.
pub(super) struct Vocabulary(BTreeMap<String, HashSet<String>>);

impl Vocabulary {
    pub(super) fn of(registry: &Registry) -> Self {
        let words = |reference: SkillReference| {
            let mut text = format!("{} {}", reference.title, reference.text());
            text.push_str(words::COMMON);
            (reference.name, words::stems(&text).collect())
        };
        Self(registry.entries().map(SkillReference::of).map(words).collect())
    }

    /// The words of a fact that neither its skills nor its value know.
    fn foreign<'a>(&self, fact: &'a Fact) -> Vec<&'a str> {
        // Not those of the expression: whoever states the fact chose them.
        let own: HashSet<String> = words::stems(&fact.value.to_string()).collect();
        let knows = |stem: &String| {
            own.contains(stem)
                || fact.skills.iter().filter_map(|skill| self.0.get(skill)).any(|words| words.contains(stem))
        };
        let is_foreign = |word: &&str| words::stems(word).any(|stem| !knows(&stem));
        fact.text.split_whitespace().filter(is_foreign).collect()
    }
}

impl Run {
    /// Makes a fact of what a model states, or says why it is none and what its expression gives.
    pub(super) async fn establish(&self, actor: &str, claim: &Claim, capture: &Arc<Capture>) -> Result<Fact, String> {
        match self.judged(claim, capture).await {
            Ok(fact) => Ok(fact),
            Err(Refusal { why, gives }) => {
                // What it gives is an answer, as an action's is.
                let gives = match self.0.ledger.tool_call() {
                    Ok(()) => gives,
                    Err(resource) => format!("what is not told, because {}", self.exhausted(resource)),
                };
                let why = short(&self.redacted(&why), MAX_WHY_BYTES);
                let text = self.redacted(&short(&claim.text, payload::MAX_TEXT_BYTES));
                let expr = self.redacted(&short(&claim.expr, payload::MAX_TEXT_BYTES));
                let told = format!("{text:?} is no fact: {why}; the expression gives {gives}");
                self.refuse(actor, FalseFact { text, expr, why });
                Err(told)
            }
        }
    }

    async fn judged(&self, claim: &Claim, capture: &Arc<Capture>) -> Result<Fact, Refusal> {
        let capture = self.told_of(capture);
        let nothing = |why| Refusal { why, gives: "nothing".to_owned() };
        // Nothing of the value or the error is told before it is known whose it is.
        let outcome = self.outcome(&claim.expr, &capture).await.map_err(nothing)?;
        let mut outcome = outcome.map_err(|error| nothing(self.told(&claim.expr, &error)))?;
        outcome.touched = Fact::asked(&claim.expr, outcome.touched, &capture);
        if let Some(why) = self.unasked(&outcome.touched) {
            return Err(Refusal { why, gives: "what is not told".to_owned() });
        }
        let outcome = Arc::new(outcome);
        let borne_out = match capture.read_withheld() {
            // For who sees the whole capture, it may give something else; whether it does is not for the model to know.
            Some(name) => {
                Err(Some(format!("it reads `{name}`, which is not shared with you: show it by other fields")))
            }
            None if Fact::falsity(&outcome.value).is_some() => Err(None),
            None => self.borne_out(claim, &outcome, &capture).await.map_err(Some),
        };
        borne_out.map_err(|why| {
            let sent = self.sendable(outcome.value.clone(), &outcome.touched);
            let gives = short(&sent.to_string(), MAX_WHY_BYTES);
            // Of the value as it is sent; where that is cut, what is false may be missing.
            let is_cut = outcome.value.is_array() && !sent.is_array();
            let falsity = || Fact::falsity(&sent).filter(|_| !is_cut);
            let why = why.or_else(falsity).unwrap_or_else(|| "not all of it is true".to_owned());
            Refusal { why, gives }
        })
    }

    /// The fact, if what its expression gives bears it out. Why it does not has nothing of the value.
    async fn borne_out(&self, claim: &Claim, outcome: &Arc<Outcome>, capture: &Arc<Capture>) -> Result<Fact, String> {
        if let Some(word) = words::hedge(&claim.text) {
            return Err(format!("\"{word}\" makes it a guess: state what is, and put guesses into the hypothesis"));
        }
        if claim.text.contains(char::is_control) || claim.expr.contains(is_unseen) {
            return Err("it has more than one line, or letters that cannot be seen".to_owned());
        }
        let size = outcome.value.to_string().len();
        if size > MAX_VALUE_BYTES {
            return Err(format!(
                "its expression gives {size} bytes, and a fact shows {MAX_VALUE_BYTES} at most: ask for less, or sum up"
            ));
        }
        if self.redacted(&claim.text) != claim.text {
            return Err("it quotes something secret".to_owned());
        }
        let (claim, outcome, capture) = (claim.clone(), Arc::clone(outcome), Arc::clone(capture));
        let established =
            self.work(move || Fact::establish_by(&claim.text, &claim.expr, &capture, || Ok(Outcome::clone(&outcome))));
        let fact = established.await?.map_err(|error| error.why)?;
        fact.hold_to_more()?;
        if let Some(word) = words::negation(&fact.text, &fact.value.to_string()) {
            return Err(format!("\"{word}\" turns the sentence round: say what is measured, as the value has it"));
        }
        if let Some(word) = words::count(&fact.text, &fact.value.to_string()) {
            return Err(format!("\"{word}\" is compared with nothing: write numbers in digits"));
        }
        match self.0.vocabulary.foreign(&fact).as_slice() {
            [] => Ok(fact),
            words => Err(format!(
                "these words are not of what it asks: {}; interpretation belongs into the hypothesis",
                words.join(", ")
            )),
        }
    }

    /// Adds a finding that `skill`'s operator states, and gives its id; or says all that is wrong with it.
    pub(super) async fn accept(&self, skill: &str, stated: &StatedFinding) -> Result<String, Vec<String>> {
        let snapshot = self.snapshot_of(&stated.snapshot).map_err(|error| vec![error])?;
        if stated.facts.is_empty() || stated.facts.len() > 5 {
            return Err(vec!["a finding has 1 to 5 facts".to_owned()]);
        }
        let (mut facts, mut wrong) = (Vec::new(), Vec::new());
        for claim in &stated.facts {
            match self.establish(skill, claim, &snapshot.capture).await {
                Ok(fact) => facts.push(fact),
                Err(why) => wrong.push(why),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let known = self.checked().into_iter().flat_map(Report::findings).find(|finding| finding.cause == stated.cause);
        let shows = self.0.service.checks.skills_of(stated.cause);
        if shows.is_empty() && stated.cause != Cause::Other {
            wrong.push(format!("nothing that is checked here shows a `{}`: the cause is `other`", stated.cause));
        } else if stated.cause != Cause::Other
            && !facts.iter().flat_map(|fact| &fact.skills).any(|asked| shows.contains(asked.as_str()))
        {
            let shows: Vec<&str> = shows.into_iter().collect();
            wrong.push(format!(
                "a `{}` is shown by facts of {}, and none of yours asks them",
                stated.cause,
                shows.join(" or ")
            ));
        }
        if let Some(place) = &stated.place
            && !facts.iter().any(|fact| holds(&fact.value, place))
            && known.and_then(|finding| finding.place.as_ref()) != Some(place)
        {
            wrong.push(format!("the place {place:?} is in no value of your facts: leave it out, or show it"));
        }
        let hypothesis =
            self.hypothesis(stated.hypothesis.as_deref(), &facts).map_err(|why| wrong.push(why)).unwrap_or(None);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        // Not better than what a check says, and worse than a warning only where a check says so.
        let least = known.map_or(Severity::Info, |known| known.severity);
        let severity = stated.severity.clamp(least, least.max(Severity::Warning));
        let finding = Finding {
            check: STATED_BY_MODEL.to_owned(),
            skill: skill.to_owned(),
            cause: stated.cause,
            severity,
            summary: facts.first().map(|fact| fact.text.clone()).unwrap_or_default(),
            place: stated.place.clone(),
            spawned_at: Vec::new(),
            created_at: Vec::new(),
            tasks: Vec::new(),
            since: None,
            facts,
            hypothesis,
            remedy: known.map_or_else(|| stated.cause.remedy().to_owned(), |known| known.remedy.clone()),
        };
        self.keep(skill, finding).map_err(|why| vec![why])
    }

    fn keep(&self, by: &str, finding: Finding) -> Result<String, String> {
        let mut state = self.state();
        if state.findings.iter().filter(|kept| kept.by != CHECKS).count() >= MAX_STATED_FINDINGS {
            return Err(format!("there may be {MAX_STATED_FINDINGS} findings, and there are"));
        }
        if let Some(known) = state.findings.iter().find(|kept| {
            kept.by == by && kept.finding.cause == finding.cause && kept.finding.summary == finding.summary
        }) {
            return Err(format!("it is stated already, as {}", known.id));
        }
        let id = format!("f{}", state.findings.len() + 1);
        let (severity, summary) = (finding.severity, finding.summary.clone());
        state.findings.push(Kept { id: id.clone(), by: by.to_owned(), status: FindingStatus::Unread, finding });
        drop(state);
        self.announce(by, Event::FindingAdded { id: id.clone(), severity, summary });
        Ok(id)
    }

    /// Keeps what the checks found as the first findings.
    pub(super) fn keep_checked(&self) {
        let findings: Vec<Finding> = self.checked().into_iter().flat_map(Report::findings).cloned().collect();
        let mut state = self.state();
        for finding in findings {
            let id = format!("f{}", state.findings.len() + 1);
            state.findings.push(Kept { id, by: CHECKS.to_owned(), status: FindingStatus::Unread, finding });
        }
    }

    pub(super) fn snapshot_of(&self, id: &str) -> Result<Snapshot, String> {
        let state = self.state();
        let found = state.snapshots.iter().find(|snapshot| snapshot.id == id).cloned();
        found.ok_or_else(|| {
            let known: Vec<&str> = state.snapshots.iter().map(|snapshot| snapshot.id.as_str()).collect();
            format!("there is no snapshot {:?}; there are {}", short(id, 20), known.join(", "))
        })
    }

    /// A hypothesis as it may be shown: one line, its numbers and places are those of the facts, it has no links or
    /// commands, and it quotes nothing that the service's users may have written.
    pub(super) fn hypothesis(&self, text: Option<&str>, facts: &[Fact]) -> Result<Option<String>, String> {
        let Some(text) = text else { return Ok(None) };
        // One line: a report is read line by line.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = text.as_str();
        if text.is_empty() {
            return Ok(None);
        }
        if text.contains(char::is_control) {
            return Err("a hypothesis has no control characters".to_owned());
        }
        if text.len() > MAX_HYPOTHESIS_BYTES {
            return Err(format!("a hypothesis has at most {MAX_HYPOTHESIS_BYTES} bytes"));
        }
        if let Some(part) =
            ["://", "www.", "`", "$(", "|", "<", "javascript:"].iter().find(|part| text.contains(**part))
        {
            return Err(format!("a hypothesis has no links, commands or markup (\"{part}\")"));
        }
        if let Some(why) = Fact::unshown(text, facts) {
            return Err(format!(
                "the hypothesis has what no fact shows: {}",
                why.replace("its expression does", "they do")
            ));
        }
        let said = words::plain(text);
        if self.state().quotable.iter().any(|quotable| words::shares(&said, quotable, QUOTED_WORDS)) {
            return Err(
                "the hypothesis repeats a text of the service, which is data: say it in your own words".to_owned()
            );
        }
        Ok(Some(self.redacted(text)))
    }
}

/// Whether a letter of a script is neither shown nor space.
fn is_unseen(letter: char) -> bool {
    letter.is_control() && !letter.is_whitespace()
}

/// Who found what the checks found.
pub(super) const CHECKS: &str = "checks";

/// Whether a text of the value is `place`, or begins with it.
fn holds(value: &Value, place: &str) -> bool {
    match value {
        Value::String(text) => text == place || text.starts_with(&format!("{place}:")),
        Value::Array(items) => items.iter().any(|item| holds(item, place)),
        Value::Object(fields) => fields.values().any(|field| holds(field, place)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
