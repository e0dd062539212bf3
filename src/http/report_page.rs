//! Reports as pages: first what is wrong, where, since when and what to do, in large letters; what shows it below.
//! Separate from the other pages because somebody reads this one at three in the morning.

use lens_core::checks::CheckReference;
use lens_core::evidence::{EndedBy, Fact, Linked as LinkedFinding, ModelPart};
use lens_core::investigation::Transcript;
use lens_core::{Insight, Report, Timestamp};
use maud::{Markup, html};

use super::diagnosis::Linked;
use super::page::frame;

pub(super) fn report(report: &Report, transcript: Option<&Transcript>, base: &str) -> Markup {
    let status = report.status();
    let body = html! {
        h1 { "What is wrong" }
        div class={ "health " (status) } {
            strong class=(status) { (status) }
            @if report.insights.is_empty() {
                @if status == "ok" { " – nothing that lens checks is wrong" }
                @else { " – nothing was found, but not everything could be checked" }
            } @else {
                " – " (report.insights.len()) @if report.insights.len() == 1 { " problem" } @else { " problems" }
            }
            @if report.ended_by != EndedBy::Completion { " (not finished: ended by " (report.ended_by) ")" }
        }
        @if let Some(answer) = report.model.as_ref().and_then(|model| model.answer.as_ref()) {
            section.insight {
                h2 { "asked: " (answer.question) }
                @if answer.facts.is_empty() { p.quiet { "nothing could be shown" } }
                (proofs(&answer.facts))
                @if let Some(hypothesis) = &answer.hypothesis { p { em { "may be wrong: " (hypothesis) } } }
            }
        }
        @for insight in &report.insights { (one(insight, report.captured_at)) }
        @if !report.not_checked.is_empty() {
            h2 { "Not checked" }
            table {
                tr { th { "check" } th { "because" } }
                @for missing in &report.not_checked { tr { td { code { (missing.check) } } td { (missing.because) } } }
            }
        }
        @if !report.defects.is_empty() {
            h2 { "Defective checks" }
            table {
                tr { th { "check" } th { "" } }
                @for defect in &report.defects { tr { td { code { (defect.check) } } td { (defect.why) } } }
            }
        }
        @if let Some(model) = &report.model { (asked(model)) }
        @if let Some(transcript) = transcript { (said(transcript)) }
        p.quiet {
            "captured at " (report.captured_at) " · capture " (report.capture) " · " (report.checked_count) " "
            a href={ (base) "/checks" } { "checks" } " in " (format!("{:.0}", report.elapsed_ms)) " ms"
            @if let Some(reason) = &report.reason { " · asked because: " (reason) }
        }
    };
    frame(base, status, &body)
}

fn one(insight: &Insight, at: Timestamp) -> Markup {
    let root = insight.root();
    let severity = insight.severity.word();
    html! {
        section class={ "insight " (severity) } {
            h2 { strong class=(severity) { (severity) } " " (insight.title()) }
            p.what { (insight.summary) }
            dl {
                @if let Some(place) = &insight.place { dt { "where" } dd { code { (place) } } }
                @if !root.spawned_at.is_empty() { dt { "spawned at" } dd { code { (root.spawned_at.join(", ")) } } }
                @if !root.created_at.is_empty() { dt { "created at" } dd { code { (root.created_at.join(", ")) } } }
                @if let Some(since) = insight.since { dt { "since" } dd { (ago(since, at)) " (" (since) ")" } }
                dt { "what to do" } dd { strong { (insight.remedy) } }
                @if let Some(hypothesis) = &root.hypothesis { dt { "hypothesis" } dd { em { "may be wrong: " (hypothesis) } } }
                dt { "sure" } dd {
                    (insight.confidence) ", " @if insight.grounded { "facts of several skills" } @else { "facts of one skill" }
                }
            }
            (facts(&insight.findings[0]))
            @for symptom in insight.symptoms() {
                h3 { "symptom: " (symptom.finding.cause.title()) }
                p { (symptom.finding.summary) }
                @if let Some(link) = &symptom.link { p.quiet { (link.correlation) ": " (link.because) } }
                (facts(symptom))
            }
        }
    }
}

fn facts(linked: &LinkedFinding) -> Markup {
    proofs(&linked.finding.facts)
}

fn proofs(facts: &[Fact]) -> Markup {
    html! {
        ul.facts {
            @for fact in facts {
                li { (fact.text) details { summary { "proof" } pre { (fact.expr) "\n= " (fact.value) } } }
            }
        }
    }
}

/// What a model did.
fn asked(model: &ModelPart) -> Markup {
    let spent = &model.spent;
    html! {
        h2 { "Asked" }
        p.quiet {
            (model.models.join(", ")) " · " (spent.requests) " requests, " (spent.retries) " retries · " (spent.tokens())
            " tokens · " (spent.tool_calls) " actions · " (spent.refused_facts) " facts refused"
            @if !model.unknown_skills.is_empty() { " · there is no skill called " (model.unknown_skills.join(", ")) }
        }
        table {
            @for operated in &model.operators {
                tr {
                    td { code { (operated.skill) } }
                    td { (operated.state.word()) }
                    td { (operated.findings) " findings" }
                    td.quiet {
                        @match &operated.ended_by { Some(ended_by) => (ended_by), None => "still under way" }
                    }
                }
            }
        }
    }
}

/// What was sent to the model and what it answered, as text: nothing of it is markup here.
fn said(transcript: &Transcript) -> Markup {
    html! {
        details {
            summary { "what was sent to the model, and what it answered" }
            @for entry in &transcript.entries {
                @let step = serde_json::to_string_pretty(&entry.step).unwrap_or_default();
                p.quiet { (entry.at) " " code { (entry.actor) } }
                pre { (step) }
            }
            @if transcript.dropped > 0 { p.quiet { (transcript.dropped) " more are not kept" } }
        }
    }
}

/// How long before the capture.
fn ago(since: Timestamp, at: Timestamp) -> String {
    let seconds = at.since(since).as_secs();
    match seconds {
        0..=119 => format!("{seconds} s ago"),
        120..=7_199 => format!("{} min ago", seconds / 60),
        _ => format!("{} h ago", seconds / 3_600),
    }
}

pub(super) fn list(list: &[Linked], base: &str) -> Markup {
    let body = html! {
        h1 { "Investigations" }
        @if list.is_empty() { p.quiet { "none yet: POST " (base) "/investigations starts one" } }
        table {
            @for entry in list {
                tr {
                    td { a href=(entry.href) { (entry.summary.started_at) } }
                    td class=(entry.summary.status) { (entry.summary.status) }
                    td { @for summary in entry.summary.summaries.iter().flatten() { (summary) br; } }
                    td.quiet { (entry.summary.strategy) }
                    td.quiet { @if let Some(reason) = &entry.summary.reason { (reason) } }
                    td { @if let Some(capture) = &entry.capture { a href=(capture) { "capture" } } }
                }
            }
        }
    };
    frame(base, "investigations", &body)
}

pub(super) fn checks(checks: &[CheckReference], base: &str) -> Markup {
    let body = html! {
        h1 { "Checks" }
        p.quiet { "What lens looks for. A service overrides a threshold with " code { "Builder::threshold(\"check.NAME\", value)" } "." }
        @for check in checks {
            h2 id=(check.name) { code { (check.name) } " " span.quiet { (check.skill) } }
            @for paragraph in check.doc.split("\n\n") { p { (paragraph) } }
            table {
                @for threshold in &check.thresholds {
                    tr {
                        td { code { (threshold.name) } }
                        td.number {
                            (threshold.value)
                            @if threshold.value != threshold.default { " (instead of " (threshold.default) ")" }
                        }
                        td { (threshold.doc) }
                    }
                }
            }
            details { summary { "script" } pre { (check.source) } }
        }
    };
    frame(base, "checks", &body)
}
