//! What to run. Separate because it is all arguments.

use orders::faults::{self, Fault};

/// What is run.
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    pub(crate) healthy_seconds: u64,
    pub(crate) faults: Vec<Case>,
    pub(crate) healthy: Vec<Healthy>,
}

/// What `--help` prints, before the names of all faults.
pub(crate) const USAGE: &str = "\
Starts each fault in a fresh service under load, asks lens, and compares its answer with the truth.

Usage: zoo [--rounds N] [--healthy-seconds N] [NAME…]

A NAME is a fault, two of them as in task_leak+busy_loop, a healthy service, or one of the groups faults, combinations and
healthy. Without a name it is all of them: 3 rounds take an hour and a half, most of it for the healthy services.

Options:
  --rounds N           How often each is run; the worst round counts [default: 3]
  --healthy-seconds N  How long each healthy service is watched [default: 300]
  -h, --help           Print this

It ends with 0 if the bar is met, 1 below it, 2 for wrong arguments.";

/// One fault, or several at once.
pub(crate) struct Case(pub(crate) Vec<&'static Fault>);

impl Case {
    pub(crate) fn name(&self) -> String {
        self.0.iter().map(|fault| fault.name).collect::<Vec<_>>().join("+")
    }
}

/// A service with which nothing is wrong.
pub(crate) struct Healthy {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static [&'static str],
}

/// Every healthy service.
const HEALTHY: &[Healthy] = &[
    Healthy { name: "idle", arguments: &[] },
    Healthy { name: "steady", arguments: &["--load", "100"] },
    Healthy { name: "bursty", arguments: &["--load", "200", "--pattern", "bursty"] },
    Healthy { name: "saturated", arguments: &["--load", "50", "--pattern", "saturated"] },
    Healthy { name: "slow-start", arguments: &["--load", "50", "--pattern", "slow-start"] },
];

/// Combinations: each of the two has to be found as an insight of its own.
const COMBINATIONS: &[&str] =
    &["blocking_call+fd_leak", "task_leak+busy_loop", "heap_leak+cpu_hog", "deadlock+timer_storm"];

impl Plan {
    /// What the arguments ask for; `None` if that is the usage.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut plan = Self { rounds: 3, healthy_seconds: 300, faults: Vec::new(), healthy: Vec::new() };
        let mut is_all = true;
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let value = arguments.next().and_then(|value| value.parse::<u32>().ok());
                value.filter(|value| *value > 0).ok_or_else(|| format!("`{argument}` needs a number above 0"))
            };
            match argument.as_str() {
                "--rounds" => plan.rounds = number()?,
                "--healthy-seconds" => plan.healthy_seconds = number()?.into(),
                "--help" | "-h" => return Ok(None),
                option if option.starts_with('-') => return Err(format!("there is no option `{option}`")),
                name => {
                    is_all = false;
                    plan.add(name)?;
                }
            }
        }
        if is_all {
            plan.faults = faults::all().map(|fault| Case(vec![fault])).collect();
            COMBINATIONS.iter().try_for_each(|name| plan.add(name))?;
            HEALTHY.iter().try_for_each(|healthy| plan.add(healthy.name))?;
        }
        Ok(Some(plan))
    }

    fn add(&mut self, name: &str) -> Result<(), String> {
        let copy = |healthy: &Healthy| Healthy { name: healthy.name, arguments: healthy.arguments };
        match name {
            "faults" => self.faults.extend(faults::all().map(|fault| Case(vec![fault]))),
            "combinations" => COMBINATIONS.iter().try_for_each(|name| self.add(name))?,
            "healthy" => self.healthy.extend(HEALTHY.iter().map(copy)),
            name if HEALTHY.iter().any(|healthy| healthy.name == name) => {
                self.healthy.extend(HEALTHY.iter().filter(|healthy| healthy.name == name).map(copy));
            }
            name => {
                let parts = name.split('+').map(|part| {
                    faults::all()
                        .find(|fault| fault.name == part)
                        .ok_or_else(|| format!("there is neither a fault nor a healthy service `{part}`; {}", known()))
                });
                self.faults.push(Case(parts.collect::<Result<_, _>>()?));
            }
        }
        Ok(())
    }
}

/// The names of all faults and healthy services.
pub(crate) fn known() -> String {
    let names = |names: &[&str]| names.join(", ");
    let faults: Vec<_> = faults::all().map(|fault| fault.name).collect();
    let healthy: Vec<_> = HEALTHY.iter().map(|healthy| healthy.name).collect();
    format!("faults are {}; healthy services are {}", names(&faults), names(&healthy))
}
