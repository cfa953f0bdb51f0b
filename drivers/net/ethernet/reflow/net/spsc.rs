// SPDX-License-Identifier: GPL-2.0

//! A bounded queue between one producer and one consumer, without locks.
//!
//! The transmit ring uses it to pass what belongs to each descriptor from `ndo_start_xmit`, under
//! the queue's lock, to the NAPI instance that cleans up behind the device.

use core::{
    cell::UnsafeCell,
    mem::MaybeUninit, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc, //
    }, //
};

/// # Invariants
///
/// * The length of `slots` is `mask + 1`, a power of two.
/// * Slots from `head` up to `tail` (free-running, masked) are initialised; the consumer owns
///   those, the producer owns the others. Only the consumer moves `head`, only the producer `tail`.
struct Shared<T> {
    slots: KVVec<UnsafeCell<MaybeUninit<T>>>,
    mask: u32,
    head: Atomic<u32>,
    tail: Atomic<u32>,
}

// SAFETY: A slot has one owner at a time, and changes hands by a release store of an index that the
// other side loads with acquire.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: As above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let tail = self.tail.load(Relaxed);
        let mut head = self.head.load(Relaxed);
        while head != tail {
            if let Some(slot) = self.slots.get_mut((head & self.mask) as usize) {
                // SAFETY: The slot is initialised by the type invariant; both sides are gone.
                unsafe { slot.get_mut().assume_init_drop() };
            }
            head = head.wrapping_add(1);
        }
    }
}

/// The side that puts things in.
pub(crate) struct Producer<T> {
    shared: Arc<Shared<T>>,
}

/// The side that takes things out.
pub(crate) struct Consumer<T> {
    shared: Arc<Shared<T>>,
}

/// Makes a queue of `2^log2` places. May sleep.
///
/// # Errors
///
/// [`ENOMEM`].
pub(crate) fn channel<T>(log2: u32) -> Result<(Producer<T>, Consumer<T>)> {
    let len = 1_usize.checked_shl(log2).ok_or(EINVAL)?;
    let mut slots = KVVec::with_capacity(len, GFP_KERNEL)?;
    for _ in 0..len {
        slots.push(UnsafeCell::new(MaybeUninit::uninit()), GFP_KERNEL)?;
    }
    // INVARIANT: Empty, and `len` is a power of two.
    let shared = Arc::new(
        Shared {
            slots,
            mask: u32::try_from(len - 1)?,
            head: Atomic::new(0),
            tail: Atomic::new(0),
        },
        GFP_KERNEL,
    )?;
    let producer = Producer {
        shared: shared.clone(),
    };
    Ok((producer, Consumer { shared }))
}

impl<T> Producer<T> {
    /// Free places; the consumer may add to them at any time.
    #[inline]
    pub(crate) fn free(&self) -> u32 {
        let s = &*self.shared;
        let used = s.tail.load(Relaxed).wrapping_sub(s.head.load(Acquire));
        (s.mask + 1).wrapping_sub(used)
    }

    /// Puts `value` in.
    ///
    /// # Errors
    ///
    /// Gives `value` back when the queue is full.
    #[inline]
    pub(crate) fn push(&mut self, value: T) -> Result<(), T> {
        if self.free() == 0 {
            return Err(value);
        }
        let s = &*self.shared;
        let tail = s.tail.load(Relaxed);
        let Some(slot) = s.slots.get((tail & s.mask) as usize) else {
            return Err(value);
        };
        // SAFETY: The slot is not between head and tail, so it is the producer's, which `&mut self`
        // is.
        unsafe { (*slot.get()).write(value) };
        // INVARIANT: The slot is initialised and passes to the consumer.
        s.tail.store(tail.wrapping_add(1), Release);
        Ok(())
    }
}

impl<T> Consumer<T> {
    /// Places in use; the producer may add to them at any time.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        let s = &*self.shared;
        s.tail.load(Acquire).wrapping_sub(s.head.load(Relaxed))
    }

    /// Free places, as the producer would find them at least.
    #[inline]
    pub(crate) fn free(&self) -> u32 {
        (self.shared.mask + 1).wrapping_sub(self.len())
    }

    /// The oldest value.
    #[inline]
    pub(crate) fn peek(&self) -> Option<&T> {
        if self.len() == 0 {
            return None;
        }
        let s = &*self.shared;
        let head = s.head.load(Relaxed);
        let slot = s.slots.get((head & s.mask) as usize)?;
        // SAFETY: The slot is between head and tail, so it is initialised and the consumer's, and
        // is not taken out while `self` is borrowed.
        Some(unsafe { (*slot.get()).assume_init_ref() })
    }

    /// Takes the oldest value out.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.len() == 0 {
            return None;
        }
        let s = &*self.shared;
        let head = s.head.load(Relaxed);
        let slot = s.slots.get((head & s.mask) as usize)?;
        // SAFETY: The slot is between head and tail, so it is initialised and the consumer's, which
        // `&mut self` is. It is not read again before the producer writes it.
        let value = unsafe { (*slot.get()).assume_init_read() };
        // INVARIANT: The slot passes to the producer.
        s.head.store(head.wrapping_add(1), Release);
        Some(value)
    }
}
