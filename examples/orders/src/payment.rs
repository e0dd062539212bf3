//! Takes payments: a few at a time, because the provider allows no more, each over a kept connection and tried again
//! with a growing pause.

pub mod provider;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time;

use crate::client::Connection;
use crate::faults::truth::{Place, here};
use crate::store::OrderId;
use provider::Provider;

/// How many payments may be under way at once.
pub const PERMITS: usize = 8;

/// How long a payment may wait for its turn.
pub const TURN_DEADLINE: Duration = Duration::from_secs(2);

/// How long the provider may take for one answer.
pub const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// How often a payment is tried.
pub const ATTEMPTS: u32 = 3;

/// The pause before the second attempt; each further one is twice as long.
pub const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How many connections to the provider are kept.
pub const MAX_IDLE: usize = 64;

/// Where the provider is asked, for those who compare.
pub(crate) const ASKS: Place = here!("slow_downstream" in "payment.rs");

/// Where the permits are created, for those who compare.
pub(crate) const PERMITS_CREATED: Place = here!("permits" in "payment.rs");

/// The way to the payment provider.
#[derive(Debug)]
pub struct Payment {
    /// One for each payment that may be under way.
    pub permits: Arc<Semaphore>,
    /// Who takes the money.
    pub provider: Provider,
    idle: Mutex<Vec<Connection>>,
}

/// Why nothing was paid.
#[derive(Debug)]
pub enum PaymentError {
    /// Too many payments are under way.
    Busy,
    /// The provider refused this payment.
    Declined,
    /// The provider could not be asked.
    Unreachable(io::Error),
    /// The provider answered with this status.
    Failed(u16),
}

impl fmt::Display for PaymentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("too many payments are under way"),
            Self::Declined => f.write_str("the payment was declined"),
            Self::Unreachable(_) => f.write_str("the payment provider could not be asked"),
            Self::Failed(status) => write!(f, "the payment provider answered with status {status}"),
        }
    }
}

impl std::error::Error for PaymentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable(error) => Some(error),
            Self::Busy | Self::Declined | Self::Failed(_) => None,
        }
    }
}

impl Payment {
    /// Payments to `provider`.
    #[must_use]
    pub fn new(provider: Provider) -> Self {
        let permits = Arc::new(Semaphore::new(PERMITS)); // here: permits
        Self { permits, provider, idle: Mutex::default() }
    }

    /// Takes `cents` for `order`.
    ///
    /// # Errors
    ///
    /// Nothing was paid, and why.
    pub async fn charge(&self, order: OrderId, cents: u64) -> Result<(), PaymentError> {
        let turn = time::timeout(TURN_DEADLINE, self.permits.acquire()).await;
        let _permit = turn.ok().and_then(Result::ok).ok_or(PaymentError::Busy)?;
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            match self.call(order, cents).await {
                Err(PaymentError::Unreachable(_) | PaymentError::Failed(_)) if attempt < ATTEMPTS => {
                    time::sleep(pause).await;
                    pause *= 2;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// Asks the provider once.
    ///
    /// # Errors
    ///
    /// Nothing was paid, and why.
    pub async fn call(&self, order: OrderId, cents: u64) -> Result<(), PaymentError> {
        let body = format!(r#"{{"order":{order},"cents":{cents}}}"#);
        let call = async {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => Connection::open(self.provider.address()).await?,
            };
            let answer = connection.request("POST", "/charge", Some(&body)).await?; // here: slow_downstream
            Ok::<_, io::Error>((connection, answer))
        };
        let late = |_| PaymentError::Unreachable(io::ErrorKind::TimedOut.into());
        let answered = time::timeout(CALL_DEADLINE, call).await.map_err(late)?;
        let (connection, answer) = answered.map_err(PaymentError::Unreachable)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
        match answer.status {
            200 => Ok(()),
            402 => Err(PaymentError::Declined),
            status => Err(PaymentError::Failed(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop;

    #[tokio::test]
    async fn a_payment_is_taken_declined_or_tried_again() {
        let (_stopper, stop) = stop::channel();
        let payment = Payment::new(Provider::start(stop).unwrap());
        payment.charge(1, 500).await.unwrap();
        assert!(matches!(payment.charge(2, provider::LIMIT_CENTS + 1).await, Err(PaymentError::Declined)));
        payment.provider.fail(true);
        assert!(matches!(payment.charge(3, 500).await, Err(PaymentError::Failed(503))));
        payment.provider.fail(false);
        payment.charge(4, 500).await.unwrap();
        assert_eq!(payment.provider.calls(), 1 + 1 + u64::from(ATTEMPTS) + 1);
        assert_eq!(payment.idle.lock().unwrap().len(), 1);
    }
}
