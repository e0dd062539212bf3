//! Puts the findings of one incident together: each finding that another explains becomes its symptom, and what nothing
//! explains is a root. Separate because it is a pure function of findings.

use std::collections::BTreeSet;

use super::finding::STATED_BY_MODEL;
use super::rules::RULES;
use super::{Cause, Confidence, Correlation, Finding, Insight, Link, Linked, Severity};

/// How far apart two onsets may be that count as one: both are known to some seconds only.
const TOGETHER_S: f64 = 10.0;

/// The insights that `findings` make, the worst first.
#[must_use]
pub fn correlate(findings: Vec<Finding>) -> Vec<Insight> {
    correlate_joined(findings, &[])
}

/// Findings that somebody says belong together because they began together: that is looked at, too.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    /// The one that explains the others: its cause and its place.
    pub(crate) root: (Cause, Option<String>),
    /// The others.
    pub(crate) others: Vec<(Cause, Option<String>)>,
    /// What may be behind it, and may be wrong.
    pub(crate) hypothesis: Option<String>,
}

/// How two findings hang together, if they do: a rule that one makes the other, or that they began together.
pub(crate) fn relation(cause: &Finding, effect: &Finding) -> Option<Correlation> {
    let together = began_together(cause, effect) == Some(true);
    let common = common_subject(cause, effect).is_some();
    let mut rules = RULES.iter().filter(|rule| rule.cause == cause.cause && rule.effect == effect.cause);
    match rules.any(|rule| !rule.needs_common_subject || common) {
        true if common => Some(Correlation::Causal),
        true if !together => Some(Correlation::Symptomatic),
        _ => together.then_some(Correlation::Temporal),
    }
}

/// [`correlate`], and findings of `joined` that no rule puts together.
pub(crate) fn correlate_joined(findings: Vec<Finding>, joined: &[Joined]) -> Vec<Insight> {
    let mut findings = merged(findings);
    let mut parents: Vec<Option<(usize, Link)>> =
        (0..findings.len()).map(|effect| explanation(&findings, effect)).collect();
    for group in joined {
        let position = |wanted: &(Cause, Option<String>)| {
            let is_it = |finding: &Finding| finding.cause == wanted.0 && finding.place == wanted.1;
            let is_like_it = |finding: &Finding| finding.cause == wanted.0 && wanted.1.is_none();
            findings.iter().position(is_it).or_else(|| findings.iter().position(is_like_it))
        };
        let Some(root) = position(&group.root) else { continue };
        let others: Vec<usize> = group.others.iter().filter_map(position).collect();
        for other in others {
            let is_above = |mut index: usize| loop {
                match &parents[index] {
                    _ if index == other => break true,
                    Some((above, _)) => index = *above,
                    None => break false,
                }
            };
            if parents[other].is_some()
                || is_above(root)
                || began_together(&findings[root], &findings[other]) != Some(true)
            {
                continue;
            }
            let because = "they began together".to_owned();
            parents[other] = Some((root, Link { correlation: Correlation::Temporal, explained_by: root, because }));
        }
        if findings[root].hypothesis.is_none() {
            findings[root].hypothesis.clone_from(&group.hypothesis);
        }
    }
    let mut findings: Vec<Option<Finding>> = findings.into_iter().map(Some).collect();
    let mut insights = Vec::new();
    for root in 0..findings.len() {
        if parents[root].is_none() {
            // Positions in the insight, by positions in the list.
            let mut order = vec![root];
            let mut at = 0;
            while at < order.len() {
                let cause = order[at];
                let is_effect = |effect: &usize| parents[*effect].as_ref().is_some_and(|(other, _)| *other == cause);
                order.extend((0..findings.len()).filter(is_effect));
                at += 1;
            }
            let linked = order.iter().filter_map(|&index| {
                let link = parents[index].as_ref().map(|(cause, link)| Link {
                    explained_by: order.iter().position(|other| other == cause).unwrap_or(0),
                    ..link.clone()
                });
                Some(Linked { link, finding: findings[index].take()? })
            });
            let linked: Vec<Linked> = linked.collect();
            insights.push(insight(linked));
        }
    }
    insights.sort_by(|one, other| {
        let by_severity = other.severity.cmp(&one.severity);
        by_severity.then(other.confidence.cmp(&one.confidence)).then(one.since.cmp(&other.since))
    });
    insights
}

/// Findings of one cause at one place are one: the worse keeps, with the facts of both. One without a place is of the
/// place that another one of its skill tells, unless each is about tasks of its own.
fn merged(findings: Vec<Finding>) -> Vec<Finding> {
    let (placed, placeless): (Vec<_>, Vec<_>) = findings.into_iter().partition(|finding| finding.place.is_some());
    let mut kept: Vec<Finding> = Vec::new();
    for finding in placed.into_iter().chain(placeless) {
        let is_same = |other: &&mut Finding| {
            other.cause == finding.cause
                && if finding.place.is_some() {
                    other.place == finding.place
                } else {
                    (other.place.is_none() || other.skill == finding.skill)
                        && (!has_subject(other) || !has_subject(&finding) || common_subject(other, &finding).is_some())
                }
        };
        match kept.iter_mut().find(is_same) {
            Some(other) => join(other, finding),
            None => kept.push(finding),
        }
    }
    kept
}

/// Adds what `finding` knows to `to`.
fn join(to: &mut Finding, finding: Finding) {
    to.severity = to.severity.max(finding.severity);
    to.since = earlier(to.since, finding.since);
    extend(&mut to.facts, finding.facts);
    extend(&mut to.spawned_at, finding.spawned_at);
    extend(&mut to.created_at, finding.created_at);
    extend(&mut to.tasks, finding.tasks);
    to.hypothesis = to.hypothesis.take().or(finding.hypothesis);
}

fn extend<T: PartialEq>(list: &mut Vec<T>, more: Vec<T>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

/// The finding that explains `effect` best.
fn explanation(findings: &[Finding], effect: usize) -> Option<(usize, Link)> {
    let of = &findings[effect];
    let mut best: Option<(u32, usize, Link)> = None;
    for (rank, rule) in RULES.iter().enumerate().filter(|(_, rule)| rule.effect == of.cause) {
        for (index, cause) in findings.iter().enumerate().filter(|(_, other)| other.cause == rule.cause) {
            let common = common_subject(cause, of);
            if rule.needs_common_subject && common.is_none() {
                continue;
            }
            let together = began_together(cause, of);
            let correlation = match (&common, together) {
                (Some(_), _) => Correlation::Causal,
                (None, Some(true)) => Correlation::Temporal,
                (None, _) => Correlation::Symptomatic,
            };
            // A common subject tells most, then an onset in common, then the severity, then the rule's place in the list.
            let rank = u32::try_from(RULES.len() - rank).unwrap_or(0);
            let score = u32::from(common.is_some()) * 100_000
                + u32::from(together == Some(true)) * 10_000
                + severity_score(cause.severity) * 1_000
                + rank;
            let because = common.map_or_else(
                || rule.because.to_owned(),
                |subject| format!("{}; both are about {subject}", rule.because),
            );
            if best.as_ref().is_none_or(|(known, ..)| score > *known) {
                best = Some((score, index, Link { correlation, explained_by: index, because }));
            }
        }
    }
    best.map(|(_, index, link)| (index, link))
}

fn severity_score(severity: Severity) -> u32 {
    match severity {
        Severity::Info => 0,
        Severity::Warning => 1,
        Severity::Critical => 2,
    }
}

/// Whether it is about certain tasks or resources.
fn has_subject(finding: &Finding) -> bool {
    !(finding.tasks.is_empty() && finding.spawned_at.is_empty() && finding.created_at.is_empty())
}

/// A task, a place or a resource that both are about.
fn common_subject(one: &Finding, other: &Finding) -> Option<String> {
    let task = one.tasks.iter().find(|task| other.tasks.contains(task)).map(|task| format!("task {task}"));
    let lines = |finding: &Finding| -> Vec<String> {
        finding.place.iter().chain(&finding.spawned_at).chain(&finding.created_at).map(|place| line(place)).collect()
    };
    let others = lines(other);
    task.or_else(|| lines(one).into_iter().find(|place| others.contains(place)))
}

/// A place without its column: stacks have none.
fn line(place: &str) -> String {
    let mut parts = place.splitn(3, ':');
    match (parts.next(), parts.next()) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        _ => place.to_owned(),
    }
}

fn began_together(one: &Finding, other: &Finding) -> Option<bool> {
    let (one, other) = (one.since?, other.since?);
    let apart = one.since(other).max(other.since(one));
    Some(apart.as_secs_f64() <= TOGETHER_S)
}

fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn insight(findings: Vec<Linked>) -> Insight {
    let root = &findings[0].finding;
    let skills: BTreeSet<&str> = findings.iter().flat_map(|linked| linked.finding.skills()).collect();
    let grounded = skills.len() >= 2;
    let is_explained = !root.cause.is_symptom();
    let confidence = match (is_explained, grounded, &root.place) {
        (false, ..) => Confidence::Low,
        // What only a model states is as sure as what shows it, and never as sure as what a check knows.
        (true, false, _) if root.check == STATED_BY_MODEL => Confidence::Low,
        (true, true, _) if root.check == STATED_BY_MODEL => Confidence::Medium,
        (true, true, Some(_)) => Confidence::High,
        _ => Confidence::Medium,
    };
    let links = findings.iter().filter_map(|linked| linked.link.as_ref()).map(|link| link.correlation);
    let rank = |correlation: &Correlation| match correlation {
        Correlation::Causal => 2,
        Correlation::Temporal => 1,
        Correlation::Symptomatic => 0,
    };
    Insight {
        severity: findings.iter().map(|linked| linked.finding.severity).max().unwrap_or(Severity::Info),
        summary: root.summary.clone(),
        root_cause: is_explained.then_some(root.cause),
        place: root
            .place
            .clone()
            .or_else(|| root.spawned_at.first().cloned())
            .or_else(|| root.created_at.first().cloned()),
        since: findings.iter().map(|linked| linked.finding.since).fold(None, earlier),
        remedy: root.remedy.clone(),
        correlation: links.max_by_key(rank),
        grounded,
        confidence,
        findings,
    }
}

#[cfg(test)]
mod tests;
