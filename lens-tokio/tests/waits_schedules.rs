//! Random schedules of lock use on one thread: after every step, who waits and who holds is what a model says.
#![cfg(all(tokio_unstable, feature = "waits"))]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

#[path = "waits/actors.rs"]
mod actors;
#[path = "waits/model.rs"]
mod model;

use std::collections::BTreeSet;

use actors::{Actors, Command};
use lens_core::Skill;
use lens_tokio::waits::{Mode, State, Waits, WaitsSkill};
use model::{Lock, Model, Random};
use tracing_subscriber::layer::SubscriberExt;

/// How many schedules are run; more with `LENS_SCHEDULES`.
const SCHEDULES: u64 = 400;
const STEPS: usize = 40;

#[test]
fn the_graph_equals_the_model_after_every_step_of_random_schedules() {
    let schedules = std::env::var("LENS_SCHEDULES").map_or(SCHEDULES, |count| count.parse().unwrap());
    let waits = Waits::new();
    let registry = tracing_subscriber::registry().with(waits.layer());
    let skill = WaitsSkill::new(waits);
    let mut seen = Tally::default();
    tracing::subscriber::with_default(registry, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let locks = actors::locks();
        for seed in 0..schedules {
            runtime.block_on(run(seed, locks, &skill, &mut seen));
        }
    });
    // A test of nothing would pass too.
    assert!(seen.waits > schedules && seen.stuck > schedules / 10 && seen.cancelled > schedules / 10, "{seen:?}");
}

#[derive(Debug, Default)]
struct Tally {
    waits: u64,
    stuck: u64,
    cancelled: u64,
}

async fn run(seed: u64, locks: &'static [Lock], skill: &WaitsSkill, seen: &mut Tally) {
    let mut random = Random::new(seed);
    let mut actors = Actors::spawn(locks);
    let mut model = Model::new(locks, actors.len());
    let mut past = Vec::new();
    for _ in 0..STEPS {
        let actor = random.below(actors.len());
        let Some(command) = model.choose(actor, &mut random) else { continue };
        past.push((actor, command));
        seen.cancelled += u64::from(matches!(command, Command::Cancel { .. } | Command::Abort));
        actors.obey(actor, command).await;
        model.obey(actor, command);
        check(skill, &model, &actors, &|| format!("seed {seed}, after {past:?}"), seen);
    }
    actors.end().await;
    let state = skill.collect().unwrap();
    assert!(state.waits.is_empty() && state.resources.is_empty(), "seed {seed}: {state:#?}");
}

/// Compares what lens says with the model.
fn check(skill: &WaitsSkill, model: &Model, actors: &Actors, when: &dyn Fn() -> String, seen: &mut Tally) {
    let state = skill.collect().unwrap();
    let actor = |party: u64| actors.index(party).unwrap_or(usize::MAX);
    let place = |number: Option<u64>| lock_of(&state, number);

    let waits: Vec<_> = state
        .waits
        .iter()
        .map(|wait| (place(wait.resource), actor(wait.party), wait.wanted, wait.obtained, wait.is_confirmed))
        .collect();
    let mut queues: Vec<Vec<_>> = vec![Vec::new(); model.len()];
    for (lock, actor, wanted, obtained, is_confirmed) in waits {
        assert!(is_confirmed, "nothing moved during the reading: {}", when());
        queues[lock].push((actor, wanted, obtained));
    }
    assert_eq!(queues, model.queues(), "{}", when());

    let holds: BTreeSet<_> = state
        .resources
        .iter()
        .flat_map(|resource| {
            let lock = place(Some(resource.number));
            assert!(resource.is_known && resource.foreign_total == 0, "{resource:?}, {}", when());
            resource.holds.iter().map(move |hold| (lock, hold.party, hold.mode == Mode::Exclusive, hold.count))
        })
        .map(|(lock, party, is_exclusive, count)| (lock, actor(party), is_exclusive, count))
        .collect();
    assert_eq!(holds, model.holds(), "{}", when());

    let stuck: BTreeSet<_> = state.stuck().into_iter().map(actor).collect();
    assert_eq!(stuck, model.stuck(), "{}", when());
    seen.waits += state.waits.len() as u64;
    seen.stuck += u64::from(!stuck.is_empty());
}

/// The lock with a resource's number: each has a place of its own.
fn lock_of(state: &State, number: Option<u64>) -> usize {
    let resource = state.resources.iter().find(|resource| Some(resource.number) == number).unwrap();
    actors::lock_at(resource.place.as_deref().unwrap())
}
