// SPDX-License-Identifier: GPL-2.0

//! The progress of a transmit ring, readable from any context without a lock.

use super::progress::Progress;
use crate::{
    hw::index::Index,
    net::dma::Words, //
};
use core::marker::PhantomData;
use kernel::{
    device::{
        self,
        Bound, //
    },
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        barrier, //
    }, //
};

/// The progress of both sides of a ring, and the word that the device writes.
///
/// A ring that stands still while the device owes something has [`Probe::outstanding`] above 0 and
/// does not change; one that nobody cleans up, because an interrupt was lost, say, has
/// [`Probe::pending`] for long.
pub(crate) struct Probe<'bound> {
    /// The word that the device writes.
    write_back: Words,
    head: Atomic<u32>,
    rung: Atomic<u32>,
    /// The memory is the device's: it must not outlive the binding.
    _bound: PhantomData<&'bound ()>,
}

impl<'bound> Probe<'bound> {
    /// A ring at its start. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(super) fn new(dev: &'bound device::Device<Bound>) -> Result<Self> {
        Ok(Self {
            write_back: Words::new(dev, 0)?,
            head: Atomic::new(0),
            rung: Atomic::new(0),
            _bound: PhantomData,
        })
    }

    /// Bus address of the word that the device writes.
    pub(super) fn write_back(&self) -> u64 {
        self.write_back.dma_address()
    }

    /// Publishes how far the ring is cleaned up.
    #[inline]
    pub(super) fn set_head(&self, head: Index) {
        self.head.store(head.raw(), Release);
    }

    /// Publishes how far the device is being told; to be called before it is.
    #[inline]
    pub(super) fn set_rung(&self, rung: Index) {
        self.rung.store(rung.raw(), Release);
    }

    /// Whether the device has written another index than `head`.
    #[inline]
    pub(super) fn has_news(&self, head: Index) -> bool {
        Index::from_raw(self.write_back.read(0) as u32) != head
    }

    /// How far the ring has come, for whoever cleans it up and has come to `head`.
    #[inline]
    pub(super) fn progress(&self, head: Index) -> Progress {
        let written = Index::from_raw(self.write_back.read(0) as u32);
        // Read the tail, and everything else that the device did before, after its word.
        barrier::dma_mb(barrier::Read);
        let rung = Index::from_raw(self.rung.load(Acquire));
        Progress {
            head,
            written,
            rung,
        }
    }
}

impl Probe<'_> {
    /// How far the ring has come, from any context. A reader that is delayed for a whole round of
    /// the indices may see inconsistent ones: look twice.
    fn look(&self) -> Progress {
        // Read the head first: it never passes what was written back before. Read later, it could
        // seem to.
        self.progress(Index::from_raw(self.head.load(Acquire)))
    }

    /// Whether the device is done with something that nobody has cleaned up yet. In any context.
    pub(crate) fn pending(&self) -> bool {
        self.look().done().is_some_and(|done| done != 0)
    }

    /// How far the device says that it has come, whether or not somebody has cleaned up behind it.
    /// In any context.
    pub(crate) fn written(&self) -> u16 {
        self.look().written.raw() as u16
    }

    /// Descriptors that the device was told of and is not done with. In any context.
    pub(crate) fn outstanding(&self) -> u16 {
        self.look().outstanding()
    }
}
