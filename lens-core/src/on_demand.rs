//! A part of a state that is read when it is first asked for, and frozen from then on. Separate because it is to a state
//! what a capture is to a skill: who asks for something cheap does not pay for something dear.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::reading::{Reading, Unavailable};

type Source<T> = Arc<dyn Fn() -> Reading<T> + Send + Sync>;

/// A reading that is made once, when somebody asks for it, or when the state is saved.
pub struct OnDemand<T> {
    value: OnceLock<Reading<T>>,
    source: Source<T>,
}

impl<T: 'static> OnDemand<T> {
    /// What `source` says when it is first asked.
    #[must_use]
    pub fn new(source: impl Fn() -> Reading<T> + Send + Sync + 'static) -> Self {
        Self { value: OnceLock::new(), source: Arc::new(source) }
    }

    /// The value, read now if it was not yet.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub fn get(&self) -> Result<&T, Unavailable> {
        self.value.get_or_init(|| (self.source)()).as_ref().map_err(Clone::clone)
    }
}

impl<T: 'static> From<Reading<T>> for OnDemand<T> {
    /// A value that was read already.
    fn from(reading: Reading<T>) -> Self {
        let lost = || Err(Unavailable::NotInCapture { what: "a reading that was made before".into() });
        Self { value: OnceLock::from(reading), source: Arc::new(lost) }
    }
}

impl<T: Clone> Clone for OnDemand<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), source: Arc::clone(&self.source) }
    }
}

impl<T: fmt::Debug> fmt::Debug for OnDemand<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnDemand").field(&self.value.get()).finish()
    }
}

impl<T: Serialize + 'static> Serialize for OnDemand<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.get_or_init(|| (self.source)()).serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de> + 'static> Deserialize<'de> for OnDemand<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Reading::<T>::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn it_is_read_once_and_only_when_asked() {
        let reads = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&reads);
        let part = OnDemand::new(move || Ok(counted.fetch_add(1, Ordering::Relaxed)));
        assert_eq!(reads.load(Ordering::Relaxed), 0);
        assert_eq!((part.get(), part.get(), part.clone().get()), (Ok(&0), Ok(&0), Ok(&0)));
        assert_eq!(reads.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_is_saved_is_read_for_that_and_opens_as_it_was() {
        let saved = serde_json::to_string(&OnDemand::new(|| Ok(7_u32))).unwrap();
        assert_eq!(serde_json::from_str::<OnDemand<u32>>(&saved).unwrap().get(), Ok(&7));
        let absent = OnDemand::<u32>::new(|| Err(Unavailable::NotGlobalAllocator));
        let saved = serde_json::to_string(&absent).unwrap();
        let opened = serde_json::from_str::<OnDemand<u32>>(&saved).unwrap();
        assert_eq!(opened.get(), Err(Unavailable::NotGlobalAllocator));
    }
}
