//! What lens's thread does with runtimes: looking at the workers ten times a second, recording once a second, and freezing
//! a state when somebody asks. None of it runs on the service's threads.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lens_core::{Arguments, Capture, Metrics, Recorder, RegistryBuilder};
use lens_tokio::{RuntimeSkill, Runtimes};
use tokio::runtime::Builder;

fn runtime(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("runtime");
    for workers in [2, 16] {
        let runtime = Builder::new_multi_thread().worker_threads(workers).enable_all().build().expect("a runtime");
        let runtimes = Runtimes::new();
        runtimes.attach(Some("main"), runtime.handle().clone());
        let mut registry = RegistryBuilder::new();
        registry.skill(RuntimeSkill::new(runtimes.clone())).expect("the only skill");
        let registry = Arc::new(registry.build());
        let recorder = Arc::new(Recorder::new());
        let skill = registry.get("runtime").expect("it was added");

        group.bench_function(BenchmarkId::new("sample", workers), |bencher| {
            bencher.iter(|| runtimes.sample(black_box(Instant::now())));
        });
        group.bench_function(BenchmarkId::new("metrics", workers), |bencher| {
            let mut metrics = Metrics::default();
            bencher.iter(|| metrics = skill.metrics(std::mem::take(&mut metrics)).expect("it can be read"));
        });
        group.bench_function(BenchmarkId::new("collect", workers), |bencher| {
            bencher.iter(|| skill.collect().expect("it can be read"));
        });
        group.bench_function(BenchmarkId::new("workers", workers), |bencher| {
            let capture = Capture::live(&registry, &recorder);
            bencher.iter(|| capture.call("runtime", "workers", Arguments::default()).expect("it can be asked"));
        });
    }
    group.finish();
}

criterion_group!(benches, runtime);
criterion_main!(benches);
