//! Which processors a query runs on that takes long: half of those that the service may use, rounded up. So the service finds
//! another one free at any time, and need not wait until the kernel takes one away from a script, which is a tick of some
//! milliseconds. Separate because only Linux can be told.

#[cfg(target_os = "linux")]
pub(super) use linux::leave_half;

#[cfg(not(target_os = "linux"))]
pub(super) fn leave_half() {}

#[cfg(target_os = "linux")]
mod linux {
    use std::hash::{BuildHasher, RandomState};
    use std::num::NonZero;
    use std::sync::LazyLock;
    use std::thread::available_parallelism;

    use rustix::process::getpid;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    /// Leaves half to the service: this thread, and those that it starts, stay on the other half. It is the same for all
    /// queries of a process, and another one in each process by chance, so that several on a machine spread. Refused where
    /// the service has moved to other processors, or a sandbox of the system forbids it; then all goes on as it is.
    pub(in crate::sandbox) fn leave_half() {
        /// How many the service may use at once: of those that it may run on, what its cgroup's quota lets it have. Read
        /// before any thread has left half.
        static USABLE: LazyLock<usize> = LazyLock::new(|| available_parallelism().map_or(1, NonZero::get));
        #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
        static CHANCE: LazyLock<usize> = LazyLock::new(|| RandomState::new().hash_one(()) as usize);
        // The service's own, because whoever asks may have left half already.
        if let Ok(service) = sched_getaffinity(Some(getpid())) {
            let _ = sched_setaffinity(None, &half(&service, *USABLE, *CHANCE));
        }
    }

    /// Half of the processors of `service`, which may use some of them at once, from the one on that `chance` says.
    fn half(service: &CpuSet, usable: usize, chance: usize) -> CpuSet {
        let processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| service.is_set(*cpu)).collect();
        let count = processors.len().min(usable).div_ceil(2);
        let first = chance.checked_rem(processors.len()).unwrap_or_default();
        let mut half = CpuSet::new();
        processors.iter().cycle().skip(first).take(count).for_each(|cpu| half.set(*cpu));
        half
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn half_of_what_the_service_may_use_is_taken() {
            let set = |cpus: &[usize]| {
                let mut set = CpuSet::new();
                cpus.iter().for_each(|cpu| set.set(*cpu));
                set
            };
            assert_eq!(half(&set(&[3]), 1, 7), set(&[3]));
            assert_eq!(half(&set(&[0, 1]), 2, 0), set(&[0]));
            assert_eq!(half(&set(&[0, 1]), 2, 1), set(&[1]));
            assert_eq!(half(&set(&[1, 4, 6]), 3, 2), set(&[6, 1]));
            assert_eq!(half(&set(&[0, 1, 2, 3, 4, 5, 6, 7]), 8, 6), set(&[6, 7, 0, 1]));
            // A quota of two.
            assert_eq!(half(&set(&[0, 1, 2, 3, 4, 5, 6, 7]), 2, 13), set(&[5]));
        }

        #[test]
        fn a_thread_leaves_half_and_one_that_it_starts_has_no_less() {
            let mine = || sched_getaffinity(None).unwrap();
            let usable = u32::try_from(available_parallelism().unwrap().get()).unwrap();
            let service = mine();
            let (first, second) = std::thread::spawn(move || {
                leave_half();
                let second = std::thread::spawn(move || {
                    leave_half();
                    mine()
                });
                (mine(), second.join().unwrap())
            })
            .join()
            .unwrap();
            assert_eq!(first.count(), usable.div_ceil(2));
            assert!((0..CpuSet::MAX_CPU).all(|cpu| service.is_set(cpu) || !first.is_set(cpu)));
            assert_eq!(first, second);
            assert_eq!(mine(), service);
        }
    }
}
