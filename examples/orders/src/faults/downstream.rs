//! Faults of the payment provider, and of how it is asked.

use std::time::Duration;

use super::context::Context;
use super::truth::{Cause, Place, Truth, here};
use super::{Bound, Fault, traffic};
use crate::payment::provider::LATENCY;
use crate::payment::{ASKS, PERMITS_CREATED};

const RETRIES: Place = here!("retry_storm" in "downstream.rs");
const IMPATIENT: Place = here!("retry_storm task" in "downstream.rs");

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "slow_downstream",
        about: "the payment provider takes two seconds for each answer",
        truth: Truth::new(Cause::DownstreamSlow, ASKS).created_at(&[PERMITS_CREATED]),
        removable: true,
        seconds: Bound::new(300, 3_600),
        rate: None,
        count: Bound::new(1, 1),
        unit: "slow providers",
        start: |context| {
            traffic::pay(&context);
            tokio::spawn(slow_down(context));
        },
    },
    Fault {
        name: "retry_storm",
        about: "the payment provider fails, and some customers ask again without a pause",
        truth: Truth::new(Cause::RetryStorm, RETRIES).also(&[ASKS]).spawned_at(&[IMPATIENT]),
        removable: true,
        seconds: Bound::new(120, 600),
        rate: None,
        count: Bound::new(20, 50),
        unit: "customers who do not pause",
        start: fail,
    },
];

/// How long the slow provider takes.
const SLOW: Duration = Duration::from_secs(2);

async fn slow_down(context: Context) {
    let provider = &context.app().payment.provider;
    provider.set_latency(SLOW);
    context.add();
    context.over().await;
    provider.set_latency(LATENCY);
}

fn fail(context: Context) {
    for _ in 0..context.count() {
        tokio::spawn(ask_at_once(context.clone())); // here: retry_storm task
    }
    tokio::spawn(async move {
        let provider = &context.app().payment.provider;
        provider.fail(true);
        context.over().await;
        provider.fail(false);
    });
}

async fn ask_at_once(context: Context) {
    context.add();
    let payment = &context.app().payment;
    let ask = async {
        loop {
            let _ = payment.call(0, 100).await; // here: retry_storm
        }
    };
    context.until_over::<()>(ask).await;
}
