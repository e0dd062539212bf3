//! What some faults need to be noticed: somebody who wants what is not to be had. It is no part of the truth.

use std::time::Duration;

use tokio::time;

use super::context::Context;

/// How many customers pay at once.
const CUSTOMERS: u64 = 12;

/// How long a customer rests between two payments.
const REST: Duration = Duration::from_millis(100);

/// Has some customers pay again and again, until the fault ends.
pub(super) fn pay(context: &Context) {
    for customer in 0..CUSTOMERS {
        tokio::spawn(customer_pays(context.clone(), customer));
    }
}

async fn customer_pays(context: Context, customer: u64) {
    let pay = async {
        loop {
            // Whether it works is what the fault is about.
            let _ = context.app().payment.charge(customer, 100).await;
            time::sleep(REST).await;
        }
    };
    context.until_over::<()>(pay).await;
}
