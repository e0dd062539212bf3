//! The questions of `os`. Separate because they are all that a query sees of the skill: pure, over the state.

use lens_core::skill::NoArguments;
use lens_core::{CallError, Functions, Reading};

use super::cpu::CpuWindow;
use super::pressure::{PressureOf, Scope};
use super::state::State;
use super::threads::ThreadsTop;
use super::{cgroup, pressure, process};

pub(super) fn add(to: Functions<State>) -> Functions<State> {
    to.record(
        "cpu",
        "Where processor time went in a window: the machine's, this process's, and what a quota withheld.",
        "os.cpu(last=\"10s\")",
        |state, window: CpuWindow| known("cpu", &state.cpu)?.over(window, &state.cgroup),
    )
    .rows(
        "cores",
        "The load of each processor of the machine over the last seconds.",
        "os.cores()",
        |state, NoArguments {}| known("cores", &state.threads)?.cores(),
    )
    .record(
        "load_average",
        "The machine's load averages: tasks that ran, wanted to, or waited for a disk.",
        "os.load_average()",
        |state, NoArguments {}| known("load", &state.load).copied(),
    )
    .record(
        "memory",
        "Memory of the machine, and how full the limit is that applies to this process.",
        "os.memory()",
        |state, NoArguments {}| Ok(known("memory", &state.memory)?.row(&state.cgroup)),
    )
    .rows(
        "disks",
        "Local file systems and how full they are. Those that may be on the network are listed, but never asked.",
        "os.disks()",
        |state, NoArguments {}| Ok(known("disks", &state.disks)?.rows()),
    )
    .record(
        "cgroup",
        "What the control groups of this process allow, taking the tightest of all levels in sight, and how near it is.",
        "os.cgroup()",
        |state, NoArguments {}| own("cgroup", cgroup::record(&state.cgroup)),
    )
    .rows(
        "cgroup_levels",
        "Each control group from this process's own up to the root in sight, with its limits and use.",
        "os.cgroup_levels()",
        |state, NoArguments {}| own("cgroup_levels", cgroup::levels(&state.cgroup)),
    )
    .rows(
        "pressure",
        "Share of time in which tasks could not go on for want of a processor, memory or a disk (PSI).",
        "os.pressure(scope=\"machine\")",
        |state, of: PressureOf| match of.scope {
            Scope::Machine => own("pressure", pressure::rows(&state.pressure)),
            Scope::Cgroup => {
                let cgroup = known("pressure", &state.cgroup)?;
                own("pressure", pressure::rows(&cgroup.pressure))
            }
        },
    )
    .record(
        "process",
        "This process: memory, files, threads, processor time, faults, bytes read and written, each with its limit.",
        "os.process()",
        |state, NoArguments {}| Ok(state.process.row()),
    )
    .rows(
        "threads",
        "The process's threads with processor time and waits over the last seconds, greatest first.",
        "os.threads(limit=5, by=\"cpu\")",
        |state, top: ThreadsTop| Ok(known("threads", &state.threads)?.top(top)),
    )
    .rows(
        "limits",
        "The process's resource limits (setrlimit), soft and hard.",
        "os.limits()",
        |state, NoArguments {}| Ok(process::limits(&state.limits, &state.process)),
    )
}

fn own<T>(function: &str, reading: Reading<T>) -> Result<T, CallError> {
    reading.map_err(|reason| CallError::Unavailable { subject: format!("`os.{function}`"), reason })
}

fn known<'a, T>(function: &str, reading: &'a Reading<T>) -> Result<&'a T, CallError> {
    own(function, reading.as_ref().map_err(Clone::clone))
}
