//! Stands in for the platforms where stacks cannot be taken. Separate because the platform picks a module, never a type.

use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;

use lens_core::{Reading, Unavailable};

use super::{Address, LoadedFile, Look, Scheduled, Stack, symbols};

const NEEDS: &str = "Linux on x86-64";

/// Takes stacks; none here.
#[derive(Debug)]
pub struct StackReader(Infallible);

/// The stack of a running thread; none here.
#[derive(Debug)]
pub struct Sample(Infallible);

impl StackReader {
    /// # Errors
    ///
    /// Stacks are taken on Linux for x86-64 only.
    pub fn new() -> Reading<Self> {
        Err(Unavailable::UnsupportedPlatform { needs: NEEDS.into() })
    }

    /// # Errors
    ///
    /// None: there is no reader.
    pub fn look(&mut self, _tid: u32) -> Reading<Look> {
        match self.0 {}
    }

    /// # Errors
    ///
    /// None: there is no reader.
    pub fn look_if_waiting(&mut self, _tid: u32) -> Reading<Option<Stack>> {
        match self.0 {}
    }

    pub(crate) fn stack_of(&self, _returns: &[u64]) -> Stack {
        match self.0 {}
    }

    /// None: there is no reader.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match self.0 {}
    }
}

impl Sample {
    /// # Errors
    ///
    /// None: there is no sample.
    pub fn poll(&mut self, _reader: &mut StackReader) -> Reading<Option<Stack>> {
        match self.0 {}
    }
}

/// What samples of threads are made of; none here.
#[derive(Debug)]
pub(crate) struct Event(Infallible);

impl Event {
    pub(crate) fn of(_tid: u32) -> Reading<Self> {
        Err(Unavailable::UnsupportedPlatform { needs: NEEDS.into() })
    }
}

pub(crate) fn has_lines() -> Reading<()> {
    Err(Unavailable::UnsupportedPlatform { needs: NEEDS.into() })
}

pub(crate) fn is_waiting(_tid: u32) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn scheduled(_tid: u32) -> io::Result<Scheduled> {
    Err(io::ErrorKind::Unsupported.into())
}

/// No files.
#[derive(Default)]
pub(super) struct Loaded;

impl Loaded {
    #[expect(clippy::unused_self, reason = "the other platform's knows files")]
    pub(super) fn locate(&mut self, _addresses: &[u64]) -> Reading<Vec<Address>> {
        Err(Unavailable::UnsupportedPlatform { needs: NEEDS.into() })
    }
}

pub(crate) fn syscall_name(number: u32) -> String {
    format!("syscall {number}")
}

/// No files.
#[derive(Default)]
pub(super) struct Arena;

/// No files.
pub(super) struct Files<'a>(PhantomData<&'a Arena>);

impl<'a> Files<'a> {
    pub(super) fn new(_arena: &'a Arena) -> Self {
        Self(PhantomData)
    }

    pub(super) fn index(&mut self, _file: Option<&Arc<LoadedFile>>) -> usize {
        0
    }

    #[expect(clippy::unused_self, reason = "the other platform's has files")]
    pub(super) fn is_lasting(&self, _index: usize) -> bool {
        false
    }

    #[expect(clippy::unused_self, reason = "the other platform's has files")]
    pub(super) fn frames(&self, _index: usize, address: u64) -> Vec<symbols::Frame> {
        vec![symbols::nameless(&format!("{address:#x}"))]
    }
}
