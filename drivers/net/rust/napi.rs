// SPDX-License-Identifier: GPL-2.0

//! NAPI instances with their interrupt.
//!
//! Wraps `struct napi_struct` and the interrupt that schedules it. Instances are made, started,
//! stopped and removed under the instance lock; polls run in softirq context, one at a time.
//!
//! A driver implements [`Poll`] for a queue pair. The layer keeps the rules of
//! `Documentation/networking/napi.rst`: no receive work at budget 0, no completion at budget 0 or
//! when the budget is used up, the interrupt armed only after completion, and the poll state not
//! touched after that.
//!
//! The context of a poll says what it may do. With a [`TxContext`] it may only free sent socket
//! buffers: netpoll may have called, with interrupts off. Page pools, received packets and XDP need
//! an [`RxContext`], which does not exist at budget 0.
//!
//! ```
//! /// Words that the device reads when it is to raise the next interrupt.
//! struct Doorbell(Words);
//!
//! struct Pair {
//!     rx: Rx,
//! }
//!
//! impl Poll for Pair {
//!     type Shared = Doorbell;
//!
//!     fn attached(&mut self, napi: NapiRef<'_>) {
//!         self.rx.pool.attach(napi);
//!     }
//!
//!     fn detached(&mut self, napi: NapiRef<'_>) {
//!         self.rx.pool.detach(napi);
//!     }
//!
//!     fn clean(&mut self, _cx: &TxContext<'_>) {}
//!
//!     fn poll(&mut self, _shared: &Doorbell, cx: &RxContext<'_>) -> Outcome {
//!         let work = self.rx.receive(cx, cx.budget());
//!         Outcome {
//!             work,
//!             again: false,
//!             retry: false,
//!             rest: false,
//!             token: self.rx.next,
//!         }
//!     }
//!
//!     fn arm(shared: &Doorbell, token: u32) {
//!         shared.0.write(0, token.into());
//!     }
//! }
//! # use dma::Words;
//! # struct Rx { pool: page_pool::PagePool, next: u32 }
//! # impl Rx {
//! #     fn receive(&mut self, _cx: &RxContext<'_>, _budget: usize) -> usize { 0 }
//! # }
//! ```

mod context;
mod vectors;

use super::{
    bindings,
    Device, //
};
pub(crate) use context::{
    CompletedQueue,
    RxContext,
    TxContext, //
};
use core::{
    cell::{
        Cell,
        UnsafeCell, //
    },
    marker::PhantomData, //
};
use kernel::{
    error::to_result,
    prelude::*,
    str::CString,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::Opaque, //
};
pub(super) use vectors::Vectors;

/// The result of one poll.
pub(crate) struct Outcome {
    /// Receive work done, in completions, at most the budget.
    pub(crate) work: usize,
    /// There is more to do although the budget was not used up.
    pub(crate) again: bool,
    /// An allocation failed: poll again in 5 milliseconds, even without an interrupt.
    pub(crate) retry: bool,
    /// Interrupts come without work: do not arm the next one now, but poll again in 5 milliseconds
    /// and arm it then.
    pub(crate) rest: bool,
    /// The argument of [`Poll::arm`], if this was the last poll for now.
    pub(crate) token: u32,
}

/// The work of a NAPI instance.
pub(crate) trait Poll: Send {
    /// State that [`Poll::arm`] uses. The next poll may already run on another CPU meanwhile.
    type Shared: Send + Sync;

    /// Called once, before the first poll, in process context. May sleep.
    fn attached(&mut self, napi: NapiRef<'_>);

    /// Called once, when no poll can run any more, in process context. Detach page pools from the
    /// instance here: it is freed after an RCU grace period. May sleep.
    fn detached(&mut self, napi: NapiRef<'_>);

    /// Frees sent packets for netpoll: interrupts are off, possibly in a hard interrupt. Must not
    /// arm the interrupt, as the poll is not completed.
    fn clean(&mut self, cx: &TxContext<'_>);

    /// Frees sent packets and receives up to the budget. In softirq context or the instance's
    /// kthread, on one CPU at a time.
    fn poll(&mut self, shared: &Self::Shared, cx: &RxContext<'_>) -> Outcome;

    /// Arms the device's next interrupt. In softirq context.
    fn arm(shared: &Self::Shared, token: u32);
}

/// A NAPI instance.
///
/// # Invariants
///
/// Of what a reference points to: it is initialised, and its device lives longer.
#[repr(transparent)]
pub(super) struct Napi(Opaque<bindings::rnet_napi>);

impl Napi {
    pub(super) fn as_raw(&self) -> *mut bindings::napi_struct {
        // CAST: The instance is the first field.
        self.0.get().cast()
    }
}

/// A NAPI instance whose device has its instance lock held.
///
/// # Invariants
///
/// As of [`Napi`], and the lock is held for the life of a reference.
#[repr(transparent)]
pub(super) struct LockedNapi(Napi);

/// A reference to a NAPI instance that exists and is held off: no poll runs.
#[derive(Clone, Copy)]
pub(crate) struct NapiRef<'a>(&'a Napi);

impl NapiRef<'_> {
    pub(super) fn as_raw(self) -> *mut bindings::napi_struct {
        self.0.as_raw()
    }
}

/// The part of an instance that its interrupt reaches.
#[repr(C)]
struct Head {
    /// First, so that its address is that of the whole.
    napi: Napi,
    /// Interrupts so far. Written by the handler only, of which one runs at a time.
    interrupts: Atomic<u32>,
    /// The number of the last complete poll, or 0 if the next one does not wait for an interrupt.
    /// Written by polls only. Says nothing while one runs or is scheduled.
    waits: Atomic<u32>,
}

#[repr(C)]
struct Inner<P: Poll> {
    /// First, so that its address is that of the whole.
    head: Head,
    polled: UnsafeCell<Polled<P>>,
    shared: P::Shared,
    name: CString,
    queue: u32,
}

/// The part of an instance that its polls own.
struct Polled<P> {
    poll: P,
    /// Interrupts before the last poll.
    interrupts: u32,
    /// Number of the last poll, never 0.
    number: u32,
}

/// How far the end of an instance has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not begun.
    Registered,
    /// Nobody finds the instance any more; those who did may still be at it.
    Deleted,
    /// An RCU grace period has passed since.
    Unused,
}

/// A NAPI instance and its interrupt, running from [`Vector::start`] until [`Vector::stop`].
///
/// # Invariants
///
/// The instance is registered with its device unless `stage` says otherwise, of which nothing but
/// the end of the object comes. While `enabled` is not set no poll runs and its timer is not set.
/// While `irq` is set that interrupt is requested with it as argument. `inner` stays where it is.
/// The instance lock is held in all methods that take `&mut self`.
pub(super) struct Vector<P: Poll> {
    inner: Pin<KBox<Inner<P>>>,
    irq: Option<u32>,
    enabled: bool,
    stage: Stage,
}

// SAFETY: Poll state and shared part may be sent; the NAPI structure is bound to no thread.
unsafe impl<P: Poll> Send for Vector<P> {}
// SAFETY: Methods that take `&self` reach the shared part only, which is `Sync`, and call what the
// core allows from any context.
unsafe impl<P: Poll> Sync for Vector<P> {}

impl<P: Poll> Vector<P> {
    /// Makes the instance of queue pair `queue` of `dev`, which does not run yet.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    ///
    /// # Safety
    ///
    /// The device's instance lock is held, here and in all methods and when the object is dropped;
    /// the device is alive until then; `queue` is one of its queues.
    pub(super) unsafe fn new(dev: &Device, queue: u32, poll: P, shared: P::Shared) -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("{}-{}", dev.name(), queue))?;
        let inner = KBox::pin(
            Inner {
                head: Head {
                    napi: Napi(Opaque::zeroed()),
                    interrupts: Atomic::new(0),
                    waits: Atomic::new(0),
                },
                polled: UnsafeCell::new(Polled {
                    poll,
                    interrupts: 0,
                    number: 0,
                }),
                shared,
                name,
                queue,
            },
            GFP_KERNEL,
        )?;
        // SAFETY: The structure is zeroed and pinned, the lock held by the safety requirement. It
        // is the first field of an `Inner<P>`, as `poll_callback` wants it. Another instance may
        // have the same place in the device's configuration: it is this one's from when this one
        // is enabled.
        unsafe {
            bindings::napi_add(
                dev.as_raw(),
                inner.head.napi.0.get(),
                Some(poll_callback::<P>),
                queue as i32,
            );
        };
        // INVARIANT: Registered and not running.
        let mut this = Self {
            inner,
            irq: None,
            enabled: false,
            stage: Stage::Registered,
        };
        if let Some((poll, napi)) = this.held_off() {
            poll.attached(napi);
        }
        Ok(this)
    }

    /// The instance.
    fn napi(&self) -> &Napi {
        &self.inner.head.napi
    }

    /// The instance, for what wants the lock.
    fn locked(&mut self) -> &LockedNapi {
        // SAFETY: `LockedNapi` is a transparent wrapper; the lock is held by the type invariant.
        unsafe { &*core::ptr::from_ref(self.napi()).cast() }
    }

    /// The poll state and the instance, while no poll can run.
    fn held_off(&mut self) -> Option<(&mut P, NapiRef<'_>)> {
        if self.enabled {
            return None;
        }
        // SAFETY: No poll runs by the type invariant, so nobody else touches the poll state.
        let polled = unsafe { &mut *self.inner.polled.get() };
        Some((&mut polled.poll, NapiRef(self.napi())))
    }

    /// The poll state, while no poll can run.
    pub(super) fn poll_mut(&mut self) -> Option<&mut P> {
        self.held_off().map(|(poll, _)| poll)
    }

    /// Lets polls run from now on.
    fn enable(&mut self) {
        // INVARIANT: Polls may run.
        self.enabled = true;
        bindings::napi_enable(self.locked());
    }

    /// Waits for a poll that is under way, and lets no other one begin. May sleep.
    fn disable(&mut self) {
        bindings::napi_disable(self.locked());
        // INVARIANT: No poll runs, and none can set the timer any more.
        self.enabled = false;
    }

    /// Has polls run on interrupt `irq`. May sleep.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if they run, or what requesting the interrupt says.
    ///
    /// # Safety
    ///
    /// `irq` stays allocated as long as the object runs, and nothing else runs for this queue.
    pub(super) unsafe fn start(&mut self, irq: u32) -> Result {
        if self.irq.is_some() {
            return Err(EBUSY);
        }
        bindings::napi_set_irq(self.locked(), irq as i32);
        // SAFETY: The instance, which is the first field of a `Head`, lives until the interrupt is
        // freed, and the name as long.
        let ret = unsafe {
            bindings::request_threaded_irq(
                irq,
                Some(irq_callback),
                None,
                0,
                self.inner.name.as_char_ptr(),
                self.napi().as_raw().cast(),
            )
        };
        if let Err(e) = to_result(ret) {
            bindings::napi_set_irq(self.locked(), -1);
            return Err(e);
        }
        // INVARIANT: The interrupt is requested.
        self.irq = Some(irq);
        // Request the IRQ first: enabling updates the aRFS rmap only for requested IRQs. An early
        // interrupt is lost; the caller kicks the first poll.
        self.enable();
        let queue = self.inner.queue;
        bindings::napi_link(self.locked(), queue, true);
        Ok(())
    }

    /// Whether polls run.
    pub(super) fn runs(&self) -> bool {
        self.irq.is_some()
    }

    /// The part that is used besides polls.
    pub(super) fn shared(&self) -> &P::Shared {
        &self.inner.shared
    }

    /// Whether only an interrupt can have the instance polled: no poll runs or is scheduled, and no
    /// timer of the core will poll (`gro_flush_timeout`, suspended interrupts).
    pub(super) fn waits_for_device(&self) -> bool {
        !bindings::napi_is_scheduled(self.napi()) && self.inner.head.waits.load(Relaxed) != 0
    }

    /// Has a poll run soon, if polls may run.
    pub(super) fn kick(&self) {
        if self.irq.is_some() {
            bindings::napi_kick(self.napi());
        }
    }

    /// Frees the interrupt and waits until no poll runs. May sleep.
    pub(super) fn stop(&mut self) {
        let Some(irq) = self.irq else {
            return;
        };
        let queue = self.inner.queue;
        bindings::napi_link(self.locked(), queue, false);
        // The core lets go of the interrupt, whose affinity it watches.
        bindings::napi_set_irq(self.locked(), -1);
        // SAFETY: The interrupt was requested with this argument, by the type invariant.
        unsafe { bindings::free_irq(irq, self.napi().as_raw().cast()) };
        // INVARIANT: Not requested any more.
        self.irq = None;
        self.disable();
    }

    /// Runs `f` on the poll state while no poll can run, then has one run. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENETDOWN`] if the instance does not run, or what `f` says.
    pub(super) fn paused<R>(
        &mut self,
        f: impl FnOnce(&mut P, NapiRef<'_>) -> Result<R>,
    ) -> Result<R> {
        if self.irq.is_none() {
            return Err(ENETDOWN);
        }
        self.disable();
        // A completed poll may still be arming the interrupt for the old rings; wait for it.
        bindings::synchronize_net();
        let out = match self.held_off() {
            Some((poll, napi)) => f(poll, napi),
            None => Err(EBUSY),
        };
        self.enable();
        // Interrupts of the meantime are lost; poll once instead.
        bindings::napi_kick(self.napi());
        out
    }
}

impl<P: Poll> Vector<P> {
    /// Removes the instance from the device. An RCU grace period must follow before it is freed:
    /// page_pool on another CPU may still compare the instance of a pool.
    fn delete(&mut self) {
        if self.stage != Stage::Registered {
            return;
        }
        self.stop();
        if let Some((poll, napi)) = self.held_off() {
            poll.detached(napi);
        }
        bindings::napi_del(self.locked());
        // INVARIANT: Deleted just now. `inner` goes when a grace period has passed.
        self.stage = Stage::Deleted;
    }
}

impl<P: Poll> Drop for Vector<P> {
    fn drop(&mut self) {
        self.delete();
        if self.stage == Stage::Deleted {
            bindings::synchronize_net();
        }
    }
}

/// # Safety
///
/// To be called as the handler of an interrupt requested with a NAPI instance as argument.
unsafe extern "C" fn irq_callback(_irq: i32, arg: *mut c_void) -> bindings::irqreturn_t {
    // SAFETY: The argument is a NAPI instance, the first field of a `Head`, that lives until the
    // interrupt is freed.
    let interrupts = unsafe { &(*arg.cast::<Head>()).interrupts };
    interrupts.store(interrupts.load(Relaxed).wrapping_add(1), Relaxed);
    // SAFETY: The instance is alive, as said; handlers run with interrupts off.
    unsafe { bindings::napi_schedule_irqoff(arg.cast()) };
    bindings::irqreturn::IRQ_HANDLED
}

/// # Safety
///
/// To be called by the NAPI core for an instance that [`Vector::new`] registered with this `P`.
unsafe extern "C" fn poll_callback<P: Poll>(napi: *mut bindings::napi_struct, budget: i32) -> i32 {
    // CAST: The NAPI structure is the first field of `Head`, and that of `Inner`, both `repr(C)`.
    // SAFETY: The instance is inside an `Inner<P>` that lives as long as it can be polled. Of that
    // nobody borrows anything mutably but the poll state, which is in a cell.
    let inner = unsafe { &*napi.cast::<Inner<P>>() };
    // SAFETY: The core polls an instance on one CPU at a time, so this is the only reference to
    // the poll state until the poll is completed.
    let polled = unsafe { &mut *inner.polled.get() };
    let (shared, head) = (&inner.shared, &inner.head);
    let interrupts = head.interrupts.load(Relaxed);
    // INVARIANT: This instance is being polled until this function returns.
    let cx = TxContext {
        raw: bindings::rnet_tx_context {
            napi,
            budget,
            queue: inner.queue,
        },
        interrupted: polled.interrupts != interrupts,
        redirected: Cell::new(false),
        _napi: PhantomData,
    };
    let Some(rx) = cx.rx() else {
        polled.poll.clean(&cx);
        return 0;
    };
    polled.interrupts = interrupts;
    let number = polled.number.wrapping_add(1).max(1);
    polled.number = number;
    let out = polled.poll.poll(shared, rx);
    if cx.redirected.get() {
        bindings::xdp_flush(rx);
    }
    let limit = rx.budget();
    if out.again || out.work >= limit {
        return budget;
    }
    if out.retry || out.rest {
        bindings::napi_retry(&head.napi);
    }
    // `work` is below the budget, so it fits. From here on another CPU may poll.
    let work = out.work as i32;
    // Set before completion: afterwards the next poll may already have run. If completion fails,
    // the core polls again.
    head.waits.store(number, Relaxed);
    // SAFETY: The instance is being polled, and less than the budget was done.
    if unsafe { bindings::napi_complete_done(napi, work) } {
        if !out.rest {
            P::arm(shared, out.token);
        }
    } else {
        // Unless another poll has written since.
        let _ = head.waits.cmpxchg(number, 0, Relaxed);
    }
    work
}
