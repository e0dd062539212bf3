//! What an investigation may use, and what it used. Separate because one ledger is shared by everybody who takes part in an
//! investigation, and is asked before each call.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::evidence::{EndedBy, Resource, Spent};
use crate::model::Usage;

/// 5 min. More lets a slow model finish; less answers sooner with less.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(300);

/// 25 turns of each loop: the coordinator's, and each operator's. More lets a model explore further; fewer ends one sooner
/// that does not know when it is done.
pub const DEFAULT_ITERATIONS: u32 = 25;

/// 60 calls of the model, by all loops together, retries and compactions included. More costs more, fewer ends sooner.
pub const DEFAULT_REQUESTS: u32 = 60;

/// 200 000 tokens, by all loops together. More costs more, fewer ends sooner.
pub const DEFAULT_TOKENS: u64 = 200_000;

/// 150 actions that look at the service. More lets a model look further, fewer keeps lens's threads free.
pub const DEFAULT_TOOL_CALLS: u32 = 150;

/// 20 000 rows in answers of actions. More lets a model see more, fewer keeps what is sent small.
pub const DEFAULT_ROWS: u64 = 20_000;

/// 6 captures in one investigation, the first included. More lets a model wait and look again more often; each takes as much
/// memory as its file until the investigation is forgotten.
pub const DEFAULT_CAPTURES: usize = 6;

/// 20 investigations by a model in an hour that somebody asked for. More costs more; with fewer, the others are answered
/// from the checks sooner.
pub const DEFAULT_RUNS_PER_HOUR: usize = 20;

/// 3 investigations in an hour that nobody asked for: those that a model scheduled.
pub const DEFAULT_AUTOMATIC_RUNS_PER_HOUR: usize = 3;

/// 2 million tokens in 24 hours, by all investigations. More costs more, fewer ends them sooner.
pub const DEFAULT_TOKENS_PER_DAY: u64 = 2_000_000;

/// The least of every budget of time: less is no time at all.
pub const MIN_DEADLINE: Duration = Duration::from_millis(1);

/// The longest deadline that counts; a longer one is this.
pub const MAX_DEADLINE: Duration = Duration::from_hours(24);

/// What one investigation may use, all who take part in it together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// How long it may take; [`DEFAULT_DEADLINE`].
    pub deadline: Duration,
    /// Turns of each loop; [`DEFAULT_ITERATIONS`].
    pub iterations: u32,
    /// Calls of the model; [`DEFAULT_REQUESTS`].
    pub requests: u32,
    /// Tokens; [`DEFAULT_TOKENS`].
    pub tokens: u64,
    /// Actions that look at the service; [`DEFAULT_TOOL_CALLS`].
    pub tool_calls: u32,
    /// Rows in answers of actions; [`DEFAULT_ROWS`].
    pub rows: u64,
    /// Captures; [`DEFAULT_CAPTURES`].
    pub captures: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            deadline: DEFAULT_DEADLINE,
            iterations: DEFAULT_ITERATIONS,
            requests: DEFAULT_REQUESTS,
            tokens: DEFAULT_TOKENS,
            tool_calls: DEFAULT_TOOL_CALLS,
            rows: DEFAULT_ROWS,
            captures: DEFAULT_CAPTURES,
        }
    }
}

/// What all investigations of the process may use together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// Investigations by a model in an hour that somebody asked for; [`DEFAULT_RUNS_PER_HOUR`].
    pub runs_per_hour: usize,
    /// Those in an hour that nobody asked for; [`DEFAULT_AUTOMATIC_RUNS_PER_HOUR`].
    pub automatic_runs_per_hour: usize,
    /// Tokens in 24 hours; [`DEFAULT_TOKENS_PER_DAY`].
    pub tokens_per_day: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            runs_per_hour: DEFAULT_RUNS_PER_HOUR,
            automatic_runs_per_hour: DEFAULT_AUTOMATIC_RUNS_PER_HOUR,
            tokens_per_day: DEFAULT_TOKENS_PER_DAY,
        }
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// What the process has used.
#[derive(Debug, Default)]
pub(super) struct Process {
    quota: Quota,
    used: Mutex<Used>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Used {
    pub(super) manual: VecDeque<Instant>,
    pub(super) automatic: VecDeque<Instant>,
    /// Tokens by the hour in which they were used: when it began, and how many.
    tokens: VecDeque<(Instant, u64)>,
    /// Tokens of calls that are under way, as estimated.
    pub(super) reserved: u64,
}

impl Used {
    /// Tokens of all calls that have ended.
    pub(super) fn tokens(&self) -> u64 {
        self.tokens.iter().map(|(_, tokens)| tokens).sum()
    }
}

impl Process {
    pub(super) fn new(quota: Quota) -> Self {
        Self { quota, used: Mutex::default() }
    }

    /// What was used until now.
    #[cfg(test)]
    pub(super) fn used(&self) -> Used {
        lock(&self.used).clone()
    }

    /// Counts one more investigation, if there may be one.
    pub(super) fn begin(&self, is_automatic: bool) -> Result<(), Resource> {
        let now = Instant::now();
        let mut used = lock(&self.used);
        let (runs, most) = match is_automatic {
            true => (&mut used.automatic, self.quota.automatic_runs_per_hour),
            false => (&mut used.manual, self.quota.runs_per_hour),
        };
        while runs.front().is_some_and(|began| now.duration_since(*began) >= HOUR) {
            runs.pop_front();
        }
        if runs.len() >= most {
            return Err(Resource::RunsPerHour);
        }
        runs.push_back(now);
        Ok(())
    }

    /// Keeps room for a call that will take about `tokens`, if there is.
    fn reserve(&self, tokens: u64) -> bool {
        let now = Instant::now();
        let mut used = lock(&self.used);
        while used.tokens.front().is_some_and(|(began, _)| now.duration_since(*began) >= DAY) {
            used.tokens.pop_front();
        }
        let with_it = used.reserved.saturating_add(tokens);
        let is_room = used.tokens().saturating_add(with_it) <= self.quota.tokens_per_day;
        if is_room {
            used.reserved = with_it;
        }
        is_room
    }

    /// A call that `reserved` tokens took `tokens`.
    fn settle(&self, reserved: u64, tokens: u64) {
        let now = Instant::now();
        let mut used = lock(&self.used);
        used.reserved = used.reserved.saturating_sub(reserved);
        match used.tokens.back_mut() {
            Some((began, count)) if now.duration_since(*began) < HOUR => *count = count.saturating_add(tokens),
            _ => used.tokens.push_back((now, tokens)),
        }
    }
}

/// What one investigation has used.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) budget: Budget,
    pub(super) ends_at: Instant,
    process: Arc<Process>,
    account: Mutex<Account>,
}

#[derive(Debug, Default)]
struct Account {
    spent: Spent,
    /// Tokens of calls that are under way, as estimated.
    reserved: u64,
}

impl Ledger {
    pub(super) fn new(budget: Budget, process: &Arc<Process>) -> Self {
        let ends_at = Instant::now() + budget.deadline.clamp(MIN_DEADLINE, MAX_DEADLINE);
        Self { budget, ends_at, process: Arc::clone(process), account: Mutex::default() }
    }

    /// What was used; a call that is under way, or broken off a moment ago, as estimated.
    pub(super) fn spent(&self) -> Spent {
        let account = lock(&self.account);
        let estimated_tokens = account.spent.estimated_tokens.saturating_add(account.reserved);
        Spent { estimated_tokens, ..account.spent }
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Spent)) {
        count(&mut lock(&self.account).spent);
    }

    /// Counts one more turn of a loop that has had `turns`.
    pub(super) fn turn(&self, turns: u32) -> Result<(), EndedBy> {
        if turns >= self.budget.iterations {
            return Err(EndedBy::Budget(Resource::Iterations));
        }
        self.count(|spent| spent.iterations += 1);
        Ok(())
    }

    /// Counts one more call of the model that will take about `tokens`, if there may be one.
    pub(super) fn reserve(self: &Arc<Self>, tokens: u64) -> Result<Reserved, EndedBy> {
        let mut account = lock(&self.account);
        if account.spent.requests >= self.budget.requests {
            return Err(EndedBy::Budget(Resource::Requests));
        }
        if account.spent.tokens().saturating_add(account.reserved).saturating_add(tokens) > self.budget.tokens {
            return Err(EndedBy::Budget(Resource::Tokens));
        }
        if !self.process.reserve(tokens) {
            return Err(EndedBy::Budget(Resource::TokensPerDay));
        }
        account.spent.requests += 1;
        account.reserved += tokens;
        Ok(Reserved { ledger: Arc::clone(self), tokens, is_settled: false })
    }

    /// Counts one more action that looks at the service, if there may be one.
    pub(super) fn tool_call(&self) -> Result<(), Resource> {
        let mut account = lock(&self.account);
        if account.spent.tool_calls >= self.budget.tool_calls {
            return Err(Resource::ToolCalls);
        }
        account.spent.tool_calls += 1;
        Ok(())
    }

    /// Counts the rows of an answer, if there may be as many.
    pub(super) fn rows(&self, rows: u64) -> Result<(), Resource> {
        let mut account = lock(&self.account);
        if account.spent.rows.saturating_add(rows) > self.budget.rows {
            return Err(Resource::Rows);
        }
        account.spent.rows += rows;
        Ok(())
    }

    /// How much time is left.
    pub(super) fn left(&self) -> Duration {
        self.ends_at.saturating_duration_since(Instant::now())
    }

    fn settle(&self, reserved: u64, used: Usage, estimated: u64) {
        let mut account = lock(&self.account);
        account.reserved = account.reserved.saturating_sub(reserved);
        let spent = &mut account.spent;
        spent.input_tokens = spent.input_tokens.saturating_add(used.input_tokens);
        spent.output_tokens = spent.output_tokens.saturating_add(used.output_tokens);
        spent.estimated_tokens = spent.estimated_tokens.saturating_add(estimated);
        drop(account);
        self.process.settle(reserved, used.total().saturating_add(estimated));
    }
}

/// A call of the model that is under way.
#[derive(Debug)]
pub(super) struct Reserved {
    ledger: Arc<Ledger>,
    tokens: u64,
    is_settled: bool,
}

impl Reserved {
    /// The call gave an answer, after `unanswered` requests that may have cost all of it. A provider that counts nothing, or
    /// nothing but zeros, is not believed.
    pub(super) fn settle(mut self, usage: Option<Usage>, unanswered: u32) {
        match usage.filter(|usage| usage.total() > 0) {
            Some(usage) => self.end(usage, unanswered),
            None => self.end(Usage::default(), unanswered.saturating_add(1)),
        }
    }

    /// The call gave none, and so many requests may have cost all of it.
    pub(super) fn fail(mut self, unanswered: u32) {
        self.end(Usage::default(), unanswered);
    }

    fn end(&mut self, used: Usage, unanswered: u32) {
        self.is_settled = true;
        self.ledger.settle(self.tokens, used, self.tokens.saturating_mul(unanswered.into()));
    }
}

/// A call that is broken off may have cost all of it.
impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.is_settled {
            self.end(Usage::default(), 1);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(budget: Budget, quota: Quota) -> Arc<Ledger> {
        Arc::new(Ledger::new(budget, &Arc::new(Process::new(quota))))
    }

    #[test]
    fn a_call_that_would_go_past_the_budget_is_not_made() {
        let ledger = ledger(Budget { tokens: 100, requests: 3, ..Budget::default() }, Quota::default());
        let first = ledger.reserve(60).unwrap();
        assert_eq!(ledger.reserve(60).unwrap_err(), EndedBy::Budget(Resource::Tokens), "what is under way counts");
        first.settle(Some(Usage { input_tokens: 10, output_tokens: 5 }), 0);
        assert_eq!(ledger.spent().tokens(), 15, "and is replaced by what was used");
        ledger.reserve(60).unwrap().settle(None, 0);
        assert_eq!((ledger.spent().tokens(), ledger.spent().estimated_tokens), (75, 60));
        drop(ledger.reserve(20).unwrap());
        assert_eq!(ledger.spent().tokens(), 95, "a call that is broken off counts");
        assert_eq!(ledger.reserve(1).unwrap_err(), EndedBy::Budget(Resource::Requests));
    }

    #[test]
    fn calls_under_way_count_for_the_day_and_for_the_report() {
        let quota = Quota { tokens_per_day: 100, ..Quota::default() };
        let process = Arc::new(Process::new(quota));
        let ledger = || Arc::new(Ledger::new(Budget::default(), &process));
        let (one, other) = (ledger(), ledger());
        let call = one.reserve(60).unwrap();
        assert_eq!(one.spent().tokens(), 60, "the report of a run that ends now");
        assert_eq!(other.reserve(60).unwrap_err(), EndedBy::Budget(Resource::TokensPerDay));
        call.fail(0);
        assert_eq!(one.spent().tokens(), 0);
        other.reserve(60).unwrap().settle(None, 0);
        assert_eq!(one.reserve(60).unwrap_err(), EndedBy::Budget(Resource::TokensPerDay));
    }

    #[test]
    fn a_call_that_is_broken_off_counts_for_the_day() {
        let quota = Quota { tokens_per_day: 100, ..Quota::default() };
        let process = Arc::new(Process::new(quota));
        let ledger = || Arc::new(Ledger::new(Budget::default(), &process));
        drop(ledger().reserve(60).unwrap());
        assert_eq!(ledger().reserve(41).unwrap_err(), EndedBy::Budget(Resource::TokensPerDay));
        ledger().reserve(40).unwrap().settle(None, 0);
    }

    #[test]
    fn requests_that_came_to_nothing_count_for_the_day() {
        let process = Arc::new(Process::new(Quota { tokens_per_day: 100, ..Quota::default() }));
        let ledger = || Arc::new(Ledger::new(Budget::default(), &process));
        let one = ledger();
        one.reserve(20).unwrap().settle(Some(Usage { input_tokens: 10, output_tokens: 5 }), 1);
        one.reserve(10).unwrap().fail(3);
        assert_eq!((one.spent().tokens(), one.spent().estimated_tokens), (65, 50));
        assert_eq!(ledger().reserve(36).unwrap_err(), EndedBy::Budget(Resource::TokensPerDay));
        ledger().reserve(35).unwrap().fail(0);
    }

    #[test]
    fn a_provider_that_counts_zero_tokens_is_not_believed() {
        let ledger = ledger(Budget::default(), Quota::default());
        ledger.reserve(60).unwrap().settle(Some(Usage::default()), 0);
        assert_eq!(ledger.spent().tokens(), 60);
        ledger.reserve(60).unwrap().fail(0);
        assert_eq!(ledger.spent().tokens(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn the_process_has_its_own_limits_which_time_gives_back() {
        let quota = Quota { runs_per_hour: 2, automatic_runs_per_hour: 1, tokens_per_day: 100 };
        let process = Arc::new(Process::new(quota));
        process.begin(true).unwrap();
        assert_eq!(process.begin(true), Err(Resource::RunsPerHour));
        process.begin(false).unwrap();
        process.begin(false).unwrap();
        assert_eq!(process.begin(false), Err(Resource::RunsPerHour));
        let ledger = Arc::new(Ledger::new(Budget::default(), &process));
        ledger.reserve(90).unwrap().settle(None, 0);
        assert_eq!(ledger.reserve(20).unwrap_err(), EndedBy::Budget(Resource::TokensPerDay));
        tokio::time::advance(HOUR).await;
        process.begin(false).unwrap();
        process.begin(true).unwrap();
        assert!(ledger.reserve(20).is_err());
        tokio::time::advance(DAY).await;
        ledger.reserve(20).unwrap().settle(None, 0);
    }
}
