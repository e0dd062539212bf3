//! What articles cost, kept for a while because the catalogue is slow.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{self, Instant};

/// How many prices are kept; the oldest makes room.
pub const CAPACITY: usize = 500;

/// How old a price may become.
pub const TIME_TO_LIVE: Duration = Duration::from_secs(30);

/// How long the catalogue takes to answer.
const CATALOGUE_LATENCY: Duration = Duration::from_millis(2);

/// How many prices [`Prices::warm_up`] looks up.
const WARM: u32 = 200;

/// How many prices are looked up in one round of [`Prices::refresh`].
const REFRESH_AT_ONCE: usize = 20;

/// The prices of articles that were asked for lately.
#[derive(Debug, Default)]
pub struct Prices(Mutex<HashMap<String, Price>>);

#[derive(Clone, Copy, Debug)]
struct Price {
    cents: u64,
    known_since: Instant,
}

impl Prices {
    /// What one piece of `sku` costs, in cents.
    pub async fn get(&self, sku: &str) -> u64 {
        let kept = self.lock().get(sku).copied();
        match kept {
            Some(price) if price.known_since.elapsed() < TIME_TO_LIVE => price.cents,
            _ => self.look_up(sku).await,
        }
    }

    /// Looks up again the prices that are about to become too old.
    pub async fn refresh(&self) {
        let aging: Vec<String> = {
            let prices = self.lock();
            let aging = prices.iter().filter(|(_, price)| price.known_since.elapsed() > TIME_TO_LIVE / 2);
            aging.take(REFRESH_AT_ONCE).map(|(sku, _)| sku.clone()).collect()
        };
        for sku in aging {
            self.look_up(&sku).await;
        }
    }

    /// Looks up the prices of the usual articles, at leisure: for as long as `lasts`.
    pub async fn warm_up(&self, lasts: Duration) {
        let mut ticks = time::interval(lasts / WARM);
        for number in 0..WARM {
            ticks.tick().await;
            self.look_up(&format!("sku-{number}")).await;
        }
    }

    /// How many prices are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    async fn look_up(&self, sku: &str) -> u64 {
        time::sleep(CATALOGUE_LATENCY).await;
        let cents = catalogue(sku);
        let mut prices = self.lock();
        if prices.len() >= CAPACITY && !prices.contains_key(sku) {
            let oldest = prices.iter().min_by_key(|(_, price)| price.known_since).map(|(sku, _)| sku.clone());
            if let Some(oldest) = oldest {
                prices.remove(&oldest);
            }
        }
        prices.insert(sku.to_owned(), Price { cents, known_since: Instant::now() });
        cents
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Price>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The catalogue's price: any number will do, as long as it is always the same for an article.
fn catalogue(sku: &str) -> u64 {
    let sum = sku.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    100 + sum % 9_900
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_known_price_is_not_looked_up_again() {
        let prices = Prices::default();
        let first = prices.get("sku-1").await;
        let before = Instant::now();
        assert_eq!(prices.get("sku-1").await, first);
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn warming_up_takes_as_long_as_it_says() {
        let prices = Prices::default();
        let before = Instant::now();
        prices.warm_up(Duration::from_secs(10)).await;
        assert_eq!(before.elapsed().as_secs_f64().round(), 10.0);
        assert_eq!(prices.len(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_price_makes_room() {
        let prices = Prices::default();
        for number in 0..=CAPACITY {
            prices.get(&format!("sku-{number}")).await;
        }
        assert_eq!(prices.len(), CAPACITY);
        assert!(!prices.lock().contains_key("sku-0"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_aging_price_is_refreshed_before_it_is_too_old() {
        let prices = Prices::default();
        prices.get("sku-1").await;
        time::advance(TIME_TO_LIVE * 2 / 3).await;
        prices.refresh().await;
        time::advance(TIME_TO_LIVE * 2 / 3).await;
        let before = Instant::now();
        prices.get("sku-1").await;
        assert_eq!(before.elapsed(), Duration::ZERO);
    }
}
