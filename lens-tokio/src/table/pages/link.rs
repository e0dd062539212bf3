//! A place that names a page. Separate because it is the one where a page is reached without its index, and so without a
//! look at the chunks.
#![expect(unsafe_code, reason = "a pointer to memory that is never freed saves every poll a load and a multiplication")]

use std::ptr;

use crate::sync::{AtomicPtr, Ordering, const_fn};

use super::{Page, Pages};

/// Nothing, or a page of one [`Pages`], always the same.
#[derive(Debug)]
pub(super) struct Link(AtomicPtr<Page>);

impl Link {
    const_fn! {
        pub(super) fn new() -> Self {
            Self(AtomicPtr::new(ptr::null_mut()))
        }
    }

    /// The page, with what its opener wrote before it linked it. `pages` must be the one that the page is of.
    #[inline]
    pub(super) fn get<'a>(&self, pages: &'a Pages) -> Option<&'a Page> {
        deref(self.0.load(Ordering::Acquire), pages)
    }

    /// Whether it names this page.
    #[inline]
    pub(super) fn is(&self, page: &Page) -> bool {
        ptr::eq(self.0.load(Ordering::Relaxed), page)
    }

    /// Names a page.
    #[inline]
    pub(super) fn set(&self, page: &Page) {
        self.0.store(ptr::from_ref(page).cast_mut(), Ordering::Relaxed);
    }

    /// Names a page if it names none, with all that was written of it; gives the other one if not.
    pub(super) fn set_if_empty<'a>(&self, page: &Page, pages: &'a Pages) -> Result<(), Option<&'a Page>> {
        let page = ptr::from_ref(page).cast_mut();
        match self.0.compare_exchange(ptr::null_mut(), page, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(other) => Err(deref(other, pages)),
        }
    }

    /// Names none.
    pub(super) fn clear(&self) {
        self.0.store(ptr::null_mut(), Ordering::Release);
    }
}

#[inline]
fn deref(page: *mut Page, _pages: &Pages) -> Option<&Page> {
    // SAFETY: a link is null or was set from a reference to a page of `_pages`, whose chunks are freed when it is
    // dropped: not while it is borrowed. All of a page is atomics, so that shared references to it are always sound.
    unsafe { page.as_ref() }
}
