//! `os` on Linux: keeps the samples that ratios need, and reads everything else anew. Separate because a platform picks a
//! file, never a type.

mod cgroup;
mod machine;
mod metrics;
mod process;
mod rusage;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use lens_core::{Metrics, Reading, Source, Store};

use super::cgroup::Cgroup;
use super::cpu::{Cpu, CpuRing, CpuSample};
use super::pressure::Pressure;
use super::state::State;
use super::threads::{THREAD_INTERVAL, ThreadSample, Threads};
use crate::file::Files;
use cgroup::Places;

/// A thread sample that is younger has too short a window to say much.
const LEAST_THREAD_WINDOW_US: u64 = 5_000_000;

/// Everything that is kept between two readings.
#[derive(Debug)]
pub(super) struct Live {
    files: Files,
    started: Instant,
    ring: CpuRing,
    /// The last two samples of threads, the newer one last.
    thread_samples: [Option<ThreadSample>; 2],
    /// Found anew with each thread sample: a process can be moved.
    places: Reading<Places>,
    /// What the groups said when they were last found, with the fast numbers of the last second.
    cgroup: Reading<Cgroup>,
    fast: metrics::Fast,
}

impl Live {
    pub(super) fn new() -> Self {
        let mut files = Files::new();
        let places = find_places(&mut files);
        let cgroup = places.as_ref().map(|places| places.read(&mut files)).map_err(Clone::clone);
        Self {
            files,
            started: Instant::now(),
            ring: CpuRing::new(),
            thread_samples: [None, None],
            places,
            cgroup,
            fast: metrics::Fast::new(),
        }
    }

    pub(super) fn collect(&mut self) -> Reading<State> {
        self.find_cgroups();
        let files = &mut self.files;
        let sample = sample(files, self.started, &self.cgroup);
        let cpu = sample.map(|sample| Cpu {
            online_count: machine::cores(files).map(|cores| u32::try_from(cores.len()).unwrap_or(u32::MAX)),
            allowed_count: machine::allowed_count(),
            samples: self.ring.until(sample),
        });
        Ok(State {
            cpu,
            load: machine::load(files),
            memory: machine::memory(files),
            disks: machine::disks(files),
            cgroup: self.cgroup.clone(),
            pressure: machine_pressure(files),
            process: process::read(files),
            limits: process::limits(),
            threads: self.threads(),
        })
    }

    fn threads(&mut self) -> Reading<Threads> {
        let (threads, left_out_count) = process::threads(&mut self.files)?;
        let at_us = micros(self.started);
        let is_old = |sample: &&ThreadSample| at_us.saturating_sub(sample.at_us) >= LEAST_THREAD_WINDOW_US;
        let earlier = self.thread_samples.iter().rev().flatten().find(is_old).cloned();
        Ok(Threads { threads, left_out_count, earlier, at_us, cores: machine::cores(&mut self.files) })
    }

    pub(super) fn metrics(&mut self, out: &mut Metrics) {
        let newest = self.thread_samples[1].as_ref().map(|sample| sample.at_us);
        let interval = u64::try_from(THREAD_INTERVAL.as_micros()).unwrap_or(u64::MAX);
        // The recorder's ticks are not a second apart to the microsecond.
        let is_due = newest.is_none_or(|at| micros(self.started).saturating_sub(at) + 500_000 >= interval);
        if is_due {
            self.find_cgroups();
            self.sample_threads();
        } else if let (Ok(places), Ok(cgroup)) = (&self.places, &mut self.cgroup) {
            places.refresh(cgroup, &mut self.files);
        }
        let previous = self.ring.last().copied();
        let sample = sample(&mut self.files, self.started, &self.cgroup);
        if let Ok(sample) = &sample {
            self.ring.push(*sample);
        }
        self.fast.record(out, previous, sample, &self.cgroup, &mut self.files);
        if is_due {
            metrics::record_disks(out, &mut self.files);
        }
    }

    fn find_cgroups(&mut self) {
        self.places = find_places(&mut self.files);
        self.cgroup = self.places.as_ref().map(|places| places.read(&mut self.files)).map_err(Clone::clone);
    }

    fn sample_threads(&mut self) {
        let (Ok(threads), Ok(cores)) = (process::thread_times(&mut self.files), machine::cores(&mut self.files)) else {
            return;
        };
        self.thread_samples.rotate_left(1);
        self.thread_samples[1] = Some(ThreadSample { at_us: micros(self.started), threads, cores });
    }

    pub(super) fn sources(&mut self) -> Vec<Source> {
        let files = &mut self.files;
        let pressure = machine_pressure(files);
        let io = process::parsed(files, "/proc/self/io", super::process::Io::parse);
        let is_left_out = machine::disks(files).is_ok_and(|disks| disks.disks.iter().any(|disk| disk.space.is_err()));
        let disks = Source::live("statvfs", "how full local file systems are", "some µs for each, every 10 s");
        vec![
            Source::live("/proc", "processors, memory, threads, this process", "0.1 ms of lens's thread each second")
                .when(&files.read("/proc/stat").map(|_| ())),
            Source::live("cgroup", "quotas, throttling, memory limits", "10 µs for each file each second")
                .when(&self.cgroup),
            Source::live(
                "/proc/pressure",
                "shares of time lost for want of a resource",
                "10 µs for each file each second",
            )
            .when(&pressure),
            Source::live("/proc/self/io", "bytes read and written", "nothing until asked").when(&io),
            if is_left_out {
                disks.partial(
                    "file systems that may be on the network are never asked, for a hung server would not let go",
                )
            } else {
                disks
            },
        ]
    }

    pub(super) fn stores(&self) -> Vec<Store> {
        let samples = self.thread_samples.iter().flatten();
        let thread_bytes: usize = samples
            .clone()
            .map(|sample| size_of_val(sample.threads.as_slice()) + size_of_val(sample.cores.as_slice()))
            .sum();
        let threads: usize = samples.map(|sample| sample.threads.len()).sum();
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        vec![
            Store {
                name: "processor samples".into(),
                len_count: count(self.ring.len()),
                cap_count: count(CpuRing::CAP),
                memory_bytes: count(self.ring.memory_bytes() + self.files.memory_bytes()),
                dropped_total: 0,
            },
            Store {
                name: "thread samples".into(),
                len_count: count(threads),
                cap_count: count(2 * super::threads::MAX_THREADS),
                memory_bytes: count(thread_bytes),
                dropped_total: 0,
            },
        ]
    }
}

fn find_places(files: &mut Files) -> Reading<Places> {
    let cgroup = files.lossy("/proc/self/cgroup")?;
    let mountinfo = files.lossy("/proc/self/mountinfo")?;
    Places::find(files, &cgroup, &mountinfo)
}

fn machine_pressure(files: &mut Files) -> Reading<Pressure> {
    cgroup::pressure(files, |resource| PathBuf::from("/proc/pressure").join(resource))
}

fn sample(files: &mut Files, started: Instant, cgroup: &Reading<Cgroup>) -> Reading<CpuSample> {
    Ok(CpuSample {
        machine: machine::ticks(files)?,
        process_us: whole_micros(process::cpu_time()),
        throttling: cgroup.as_ref().ok().and_then(Cgroup::throttling),
        // Last, so that the processor time that reading takes lies before the instant.
        at_us: micros(started),
    })
}

fn micros(started: Instant) -> u64 {
    whole_micros(started.elapsed())
}

fn whole_micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
