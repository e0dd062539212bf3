//! A report as plain text, for terminals, tickets and logs. Separate because it is all wording: first what is wrong, where,
//! since when and what to do, then what shows it.

use std::fmt::{self, Write};

use super::{Answered, EndedBy, Insight, Linked, ModelPart, Report};
use crate::error::steers_terminal;

/// A text as one line: what the service, its users or a model wrote has no part in how the report is laid out.
struct Line<'a>(&'a str);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.split(steers_terminal).enumerate().try_for_each(|(index, part)| {
            if index > 0 {
                f.write_char(' ')?;
            }
            f.write_str(part)
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} – {}", self.status().to_uppercase(), Line(&headline(self)))?;
        writeln!(f, "captured at {}, capture {}", self.captured_at, Line(&self.capture))?;
        if let Some(reason) = &self.reason {
            writeln!(f, "asked because: {}", Line(reason))?;
        }
        if self.ended_by != EndedBy::Completion {
            writeln!(f, "not finished: ended by {}", Line(&self.ended_by.to_string()))?;
        }
        if let Some(answer) = self.model.as_ref().and_then(|model| model.answer.as_ref()) {
            answered(f, answer)?;
        }
        for (index, insight) in self.insights.iter().enumerate() {
            write!(f, "\n{}. {insight}", index + 1)?;
        }
        writeln!(f, "\n{} checks in {:.0} ms", self.checked_count, self.elapsed_ms)?;
        if let Some(model) = &self.model {
            asked(f, model)?;
        }
        for missing in &self.not_checked {
            let [check, skill, because] = [&missing.check, &missing.skill, &missing.because].map(|text| Line(text));
            writeln!(f, "not checked: {check} ({skill}), because {because}")?;
        }
        for defect in &self.defects {
            let line = defect.line.map(|line| format!(" line {line}")).unwrap_or_default();
            let [check, skill, why] = [&defect.check, &defect.skill, &defect.why].map(|text| Line(text));
            writeln!(f, "defective check: {check} ({skill}){line}: {why}")?;
        }
        Ok(())
    }
}

/// The answer to a question, with its proofs.
fn answered(f: &mut fmt::Formatter<'_>, answer: &Answered) -> fmt::Result {
    writeln!(f, "\nasked: {}", Line(&answer.question))?;
    if answer.facts.is_empty() {
        writeln!(f, "   nothing could be shown")?;
    }
    for fact in &answer.facts {
        writeln!(f, "   fact      {}\n             {}", Line(&fact.text), Line(&fact.expr))?;
    }
    match &answer.hypothesis {
        Some(hypothesis) => writeln!(f, "   (hypothesis) {}", Line(hypothesis)),
        None => Ok(()),
    }
}

/// What a model did, in some lines.
fn asked(f: &mut fmt::Formatter<'_>, model: &ModelPart) -> fmt::Result {
    let spent = &model.spent;
    let models = if model.models.is_empty() { "no model answered".to_owned() } else { model.models.join(", ") };
    writeln!(
        f,
        "asked: {}; {} requests ({} retries), {} tokens, {} actions, {} facts refused",
        Line(&models),
        spent.requests,
        spent.retries,
        spent.tokens(),
        spent.tool_calls,
        spent.refused_facts
    )?;
    for operated in &model.operators {
        let ended = operated.ended_by.as_ref().map_or_else(|| "still under way".to_owned(), ToString::to_string);
        writeln!(
            f,
            "looked into {}: {}, {} findings, {}",
            Line(&operated.skill),
            operated.state.word(),
            operated.findings,
            Line(&ended)
        )?;
    }
    if !model.unknown_skills.is_empty() {
        writeln!(f, "there is no skill called {}", Line(&model.unknown_skills.join(", ")))?;
    }
    Ok(())
}

/// What a report says in one sentence.
fn headline(report: &Report) -> String {
    match report.insights.as_slice() {
        [] if report.status() == "ok" => "nothing that is checked is wrong".to_owned(),
        [] => "nothing was found, but not everything could be checked".to_owned(),
        [one] => one.summary.clone(),
        [first, rest @ ..] => format!("{} – and {} more", first.summary, rest.len()),
    }
}

impl Insight {
    /// What it is about: the cause, or that it is not known.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.root_cause.map_or("inconclusive: only symptoms were found", super::Cause::title)
    }
}

impl fmt::Display for Insight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[{}] {}: {}", self.severity, self.title(), Line(&self.summary))?;
        let mut line = |name: &str, value: &str| writeln!(f, "   {name:<9} {}", Line(value));
        let root = self.root();
        if let Some(place) = &self.place {
            line("where", place)?;
        }
        let mut places = |name: &str, places: &[String]| match places {
            [] => Ok(()),
            places => line(name, &places.join(", ")),
        };
        places("spawned", &root.spawned_at)?;
        places("created", &root.created_at)?;
        if let Some(since) = self.since {
            line("since", &since.to_string())?;
        }
        line("do", &self.remedy)?;
        let grounded = if self.grounded { "facts of several skills" } else { "facts of one skill" };
        line("sure", &format!("{}, {grounded}", self.confidence))?;
        for linked in &self.findings {
            evidence(f, linked)?;
        }
        Ok(())
    }
}

fn evidence(f: &mut fmt::Formatter<'_>, linked: &Linked) -> fmt::Result {
    let finding = &linked.finding;
    if let Some(link) = &linked.link {
        writeln!(
            f,
            "   symptom   {}: {} ({}: {})",
            finding.cause.title(),
            Line(&finding.summary),
            link.correlation,
            Line(&link.because)
        )?;
    }
    for fact in &finding.facts {
        writeln!(f, "   fact      {}\n             {}", Line(&fact.text), Line(&fact.expr))?;
    }
    if let Some(hypothesis) = &finding.hypothesis {
        writeln!(f, "   may be    {} (hypothesis)", Line(hypothesis))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_text_of_a_report_forges_a_line_or_steers_the_terminal() {
        const EVIL: &str = "a\u{1b}[2J\nOK – all is well";
        let spent = crate::evidence::Spent::default();
        let model = json!({
            "models": [EVIL], "spent": spent, "unknown_skills": [EVIL], "captures": [EVIL],
            "answer": {"question": EVIL, "facts": [], "hypothesis": EVIL},
            "operators": [{"skill": EVIL, "state": "healthy", "ended_by": {"panic": EVIL}, "findings": 0}],
        });
        let report: Report = serde_json::from_value(json!({
            "strategy": "checks", "reason": EVIL, "capture": EVIL, "captured_at": "2026-01-01T00:00:00Z",
            "ended_by": {"repetition": EVIL}, "elapsed_ms": 1.0, "insights": [], "checked_count": 0,
            "not_checked": [{"check": EVIL, "skill": EVIL, "because": EVIL}],
            "defects": [{"check": EVIL, "skill": EVIL, "line": 1, "why": EVIL}],
            "model": model,
        }))
        .unwrap();
        let text = report.to_string();
        assert_eq!(text.matches("a [2J OK – all is well").count(), 15, "{text}");
        assert!(!text.contains('\u{1b}') && !text.lines().any(|line| line.starts_with("OK")), "{text}");
    }
}
