// SPDX-License-Identifier: GPL-2.0

//! A bounded queue between one producer and one consumer, without locks.
//!
//! Wraps nothing of C. Each end may be used in any context, by one thread at a time.
//!
//! [`tx_slots`](super::tx_slots) passes packets with it from `ndo_start_xmit`, under the queue's
//! lock, to the NAPI instance that cleans up.
//!
//! ```
//! struct Forget;
//!
//! impl Keeper<u32> for Forget {
//!     fn discard(&self, _value: u32) {}
//! }
//!
//! fn example() -> Result<u32> {
//!     let (mut producer, mut consumer) = channel(2, Forget)?;
//!     producer.push_all([1, 2, 3].into_iter());
//!     let mut sum = 0;
//!     consumer.pop_while(2, |_| true, |_, value| sum += value);
//!     Ok(sum) // 3
//! }
//! ```

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

/// Disposes of values that are left when both sides are gone; also holds what the sides share.
pub(crate) trait Keeper<T> {
    /// Disposes of a value.
    fn discard(&self, value: T);
}

/// # Invariants
///
/// * The length of `slots` is `mask + 1`, a power of two.
/// * Slots from `head` up to `tail` (free-running, masked) are initialised; the consumer owns
///   those, the producer owns the others. Only the consumer moves `head`, only the producer `tail`.
struct Shared<T, K: Keeper<T>> {
    slots: KVVec<UnsafeCell<MaybeUninit<T>>>,
    mask: u32,
    head: Atomic<u32>,
    tail: Atomic<u32>,
    keeper: K,
}

// SAFETY: A slot has one owner at a time, and changes hands by a release store of an index that the
// other side loads with acquire. The keeper may be sent.
unsafe impl<T: Send, K: Keeper<T> + Send> Send for Shared<T, K> {}
// SAFETY: Of the slots each is touched by its owner alone, which both sides tell from the indices;
// the keeper may be shared.
unsafe impl<T: Send, K: Keeper<T> + Sync> Sync for Shared<T, K> {}

impl<T, K: Keeper<T>> Drop for Shared<T, K> {
    fn drop(&mut self) {
        let tail = self.tail.load(Relaxed);
        let mut head = self.head.load(Relaxed);
        while head != tail {
            if let Some(slot) = self.slots.get_mut((head & self.mask) as usize) {
                // SAFETY: The slot is initialised by the type invariant; both sides are gone, so it
                // is not read again.
                let value = unsafe { slot.get_mut().assume_init_read() };
                self.keeper.discard(value);
            }
            head = head.wrapping_add(1);
        }
    }
}

/// The side that puts things in.
///
/// # Invariants
///
/// There are `size` places. Those from `tail` on are free up to one round behind `head`, which is
/// where the consumer was when the producer last looked. Those between the shared tail and `tail`
/// are initialised.
pub(crate) struct Producer<T, K: Keeper<T>> {
    shared: Arc<Shared<T, K>>,
    size: u32,
    tail: u32,
    head: u32,
}

/// A free place of the producer.
///
/// # Invariants
///
/// The place at `tail`, which is free.
pub(crate) struct Place<'a, T> {
    slot: &'a UnsafeCell<MaybeUninit<T>>,
    tail: &'a mut u32,
}

impl<T> Place<'_, T> {
    /// Puts a value there, which the consumer does not see before [`Producer::publish`].
    #[inline(always)]
    pub(crate) fn fill(self, value: T) {
        // SAFETY: The slot is not between head and tail, so it is the producer's, which is borrowed
        // mutably.
        unsafe { (*self.slot.get()).write(value) };
        // INVARIANT: Initialised just now.
        *self.tail = self.tail.wrapping_add(1);
    }
}

/// The side that removes.
pub(crate) struct Consumer<T, K: Keeper<T>> {
    shared: Arc<Shared<T, K>>,
}

/// Makes a queue with room for `2^log2` values. May sleep.
///
/// # Errors
///
/// [`ENOMEM`].
pub(crate) fn channel<T, K: Keeper<T>>(
    log2: u32,
    keeper: K,
) -> Result<(Producer<T, K>, Consumer<T, K>)> {
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
            keeper,
        },
        GFP_KERNEL,
    )?;
    // INVARIANT: The consumer has not begun.
    let producer = Producer {
        shared: shared.clone(),
        size: u32::try_from(len)?,
        tail: 0,
        head: 0,
    };
    Ok((producer, Consumer { shared }))
}

impl<T, K: Keeper<T>> Producer<T, K> {
    /// The keeper, which both sides share.
    #[inline]
    pub(crate) fn keeper(&self) -> &K {
        &self.shared.keeper
    }

    /// Free places; the consumer may add to them at any time.
    #[inline]
    pub(crate) fn free(&self) -> u32 {
        self.free_behind(self.shared.head.load(Acquire))
    }

    /// Whether so many places are free. Looks at how far the consumer is only if those do not
    /// suffice that were free at the last look.
    #[inline(always)]
    pub(crate) fn has_room(&mut self, count: u32) -> bool {
        if self.free_behind(self.head) >= count {
            return true;
        }
        // INVARIANT: Acquire: the consumer is done with the places before it.
        self.head = self.shared.head.load(Acquire);
        self.free_behind(self.head) >= count
    }

    /// Free places if the consumer is at `head`.
    #[inline(always)]
    fn free_behind(&self, head: u32) -> u32 {
        self.size.wrapping_sub(self.tail.wrapping_sub(head))
    }

    /// The next free place, if there is one.
    #[inline(always)]
    pub(crate) fn place(&mut self) -> Option<Place<'_, T>> {
        if !self.has_room(1) {
            return None;
        }
        let slot = (self.tail & self.shared.mask) as usize;
        // INVARIANT: There is room.
        Some(Place {
            slot: self.shared.slots.get(slot)?,
            tail: &mut self.tail,
        })
    }

    /// Shows the consumer what was put in.
    #[inline(always)]
    pub(crate) fn publish(&mut self) {
        // INVARIANT: The slots are initialised and pass to the consumer.
        self.shared.tail.store(self.tail, Release);
    }

    /// Inserts values while there is room; the rest of the iterator is not used. The consumer sees
    /// all of them at once.
    #[inline]
    pub(crate) fn push_all(&mut self, values: impl Iterator<Item = T>) {
        let mut values = values;
        while let Some(place) = self.place() {
            match values.next() {
                Some(value) => place.fill(value),
                None => break,
            }
        }
        self.publish();
    }
}

impl<T, K: Keeper<T>> Consumer<T, K> {
    /// Places in use; the producer may add to them at any time.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        let s = &*self.shared;
        s.tail.load(Acquire).wrapping_sub(s.head.load(Relaxed))
    }

    /// Free places, as the producer would find them at least.
    #[inline]
    pub(crate) fn free(&self) -> u32 {
        self.shared.mask.wrapping_add(1).wrapping_sub(self.len())
    }

    /// Removes the oldest values and passes them to `f`: `most` at most, and none from the first
    /// that `may` refuses. Returns their number. The producer gets all places at once.
    #[inline]
    pub(crate) fn pop_while(
        &mut self,
        most: u32,
        mut may: impl FnMut(&T) -> bool,
        mut f: impl FnMut(&K, T),
    ) -> u32 {
        let most = most.min(self.len());
        let mut count = 0;
        let s = &*self.shared;
        let mut head = s.head.load(Relaxed);
        while count < most {
            let Some(slot) = s.slots.get((head & s.mask) as usize) else {
                break;
            };
            // SAFETY: The slot is between head and tail, so it is initialised and the consumer's,
            // which `&mut self` is. It is not taken out while it is borrowed.
            if !may(unsafe { (*slot.get()).assume_init_ref() }) {
                break;
            }
            // SAFETY: The slot is between head and tail, so it is initialised and the consumer's.
            // It is behind `head` from now on, where the producer writes it before it is read
            // again.
            let value = unsafe { (*slot.get()).assume_init_read() };
            head = head.wrapping_add(1);
            count += 1;
            f(&s.keeper, value);
        }
        // INVARIANT: The slots pass to the producer.
        s.head.store(head, Release);
        count
    }
}
