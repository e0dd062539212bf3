//! The scorecard as a table that a README can show, and the bar that it has to clear.

use std::fmt;

/// The table's head.
pub(crate) const HEAD: &str = "\
| fault | cause | place | first | seconds | false | facts | same from file |
|---|---|---|---|---|---|---|---|";

/// The share of faults of which cause and first place must be right.
const CAUSE_BAR: f64 = 0.95;

/// The share of faults of which the place must be right.
const PLACE_BAR: f64 = 0.9;

/// How the place of a finding compares with the truth, the best first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PlaceSeen {
    /// The offending line.
    Line,
    /// Where the tasks were spawned that do it.
    Spawn,
    /// Where the lock or channel was created.
    Created,
    /// It names no place.
    Unknown,
    /// It names another one.
    Wrong(String),
}

impl PlaceSeen {
    fn is_right(&self) -> bool {
        matches!(self, Self::Line | Self::Spawn | Self::Created)
    }
}

impl fmt::Display for PlaceSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line => f.write_str("line"),
            Self::Spawn => f.write_str("spawn"),
            Self::Created => f.write_str("created"),
            Self::Unknown => f.write_str("–"),
            Self::Wrong(place) => write!(f, "wrong: {place}"),
        }
    }
}

/// One fault in one round.
pub(crate) struct FaultRow {
    pub(crate) name: String,
    pub(crate) round: u32,
    pub(crate) is_cause_right: bool,
    pub(crate) place: Option<PlaceSeen>,
    pub(crate) is_first: bool,
    pub(crate) seconds: Option<f64>,
    pub(crate) false_findings: usize,
    pub(crate) defects: usize,
    pub(crate) facts: usize,
    pub(crate) facts_wrong: usize,
    pub(crate) is_same_from_file: bool,
    pub(crate) notes: String,
}

impl FaultRow {
    pub(crate) fn nothing(name: String, round: u32) -> Self {
        Self {
            name,
            round,
            is_cause_right: false,
            place: None,
            is_first: false,
            seconds: None,
            false_findings: 0,
            defects: 0,
            facts: 0,
            facts_wrong: 0,
            is_same_from_file: false,
            notes: String::new(),
        }
    }
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

impl fmt::Display for FaultRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string);
        let seconds = self.seconds.map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.1}"));
        let facts = format!("{}/{}", self.facts - self.facts_wrong, self.facts);
        write!(
            f,
            "| {} | {} | {place} | {} | {seconds} | {} | {facts} | {} |{}",
            self.name,
            yes(self.is_cause_right),
            yes(self.is_first),
            self.false_findings,
            yes(self.is_same_from_file),
            self.notes
        )
    }
}

/// One healthy service in one round.
#[derive(Default)]
pub(crate) struct HealthyRow {
    pub(crate) name: &'static str,
    pub(crate) round: u32,
    pub(crate) seconds: u64,
    pub(crate) rounds_of_checks: u32,
    pub(crate) false_findings: usize,
    pub(crate) defects: usize,
    pub(crate) cpu_ratio: Option<f64>,
    pub(crate) notes: String,
}

impl fmt::Display for HealthyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = self.cpu_ratio.map_or_else(|| "unknown".to_owned(), |ratio| format!("{:.2} %", ratio * 100.0));
        write!(
            f,
            "healthy: {} for {} s, checked {} times: {} findings of warning or worse; lens took {cpu} of a core{}",
            self.name, self.seconds, self.rounds_of_checks, self.false_findings, self.notes
        )
    }
}

/// All rows.
#[derive(Default)]
pub(crate) struct Card {
    pub(crate) faults: Vec<FaultRow>,
    pub(crate) healthy: Vec<HealthyRow>,
}

/// The totals of one round.
struct Totals {
    round: u32,
    faults: usize,
    causes: f64,
    first: f64,
    places: f64,
    false_findings: usize,
    facts: usize,
    facts_wrong: usize,
    same: usize,
    defects: usize,
    healthy_findings: usize,
}

impl Totals {
    fn passes(&self) -> bool {
        self.causes >= CAUSE_BAR
            && self.first >= CAUSE_BAR
            && self.places >= PLACE_BAR
            && self.facts_wrong == 0
            && self.same == self.faults
            && self.defects == 0
            && self.healthy_findings == 0
    }
}

impl Card {
    fn totals(&self) -> Vec<Totals> {
        let last = self.faults.iter().map(|row| row.round).chain(self.healthy.iter().map(|row| row.round)).max();
        (1..=last.unwrap_or(0)).map(|round| self.of(round)).collect()
    }

    fn of(&self, round: u32) -> Totals {
        let rows: Vec<_> = self.faults.iter().filter(|row| row.round == round).collect();
        let healthy: Vec<_> = self.healthy.iter().filter(|row| row.round == round).collect();
        let count = |is: &dyn Fn(&FaultRow) -> bool| rows.iter().filter(|row| is(row)).count();
        #[expect(clippy::cast_precision_loss, reason = "there are some dozens of rows")]
        let share = |is: &dyn Fn(&FaultRow) -> bool| {
            if rows.is_empty() { 1.0 } else { count(is) as f64 / rows.len() as f64 }
        };
        Totals {
            round,
            faults: rows.len(),
            causes: share(&|row| row.is_cause_right && row.seconds.is_some()),
            first: share(&|row| row.is_first),
            places: share(&|row| row.place.as_ref().is_some_and(PlaceSeen::is_right)),
            false_findings: rows.iter().map(|row| row.false_findings).sum(),
            facts: rows.iter().map(|row| row.facts).sum(),
            facts_wrong: rows.iter().map(|row| row.facts_wrong).sum(),
            same: count(&|row| row.is_same_from_file),
            defects: rows.iter().map(|row| row.defects).sum::<usize>()
                + healthy.iter().map(|row| row.defects).sum::<usize>(),
            healthy_findings: healthy.iter().map(|row| row.false_findings).sum(),
        }
    }

    /// Whether every round clears the bar.
    pub(crate) fn passes(&self) -> bool {
        self.totals().iter().all(Totals::passes)
    }
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for totals in self.totals() {
            writeln!(
                f,
                "round {}: of {} faults, cause right in time {:.0} %, root cause first {:.0} %, place right {:.0} %; \
                 {} false findings; {} of {} facts true in the file, {} reports the same from it; {} defects; \
                 {} findings in healthy services: {}",
                totals.round,
                totals.faults,
                totals.causes * 100.0,
                totals.first * 100.0,
                totals.places * 100.0,
                totals.false_findings,
                totals.facts - totals.facts_wrong,
                totals.facts,
                totals.same,
                totals.defects,
                totals.healthy_findings,
                if totals.passes() { "pass" } else { "below the bar" }
            )?;
        }
        Ok(())
    }
}
