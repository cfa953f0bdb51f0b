// SPDX-License-Identifier: GPL-2.0

//! NAPI instances with their interrupt.
//!
//! Wraps `struct napi_struct` and the interrupt that schedules it. Instances are made, started,
//! stopped and removed under the instance lock; polls run in softirq context, one at a time.
//!
//! A driver implements [`Poll`] for what one queue pair cleans up. The rules of
//! `Documentation/networking/napi.rst` are kept here, in one place: no receive work at budget 0,
//! no completion at budget 0 or when the budget is used up, the interrupt asked for again only
//! after completion, and nothing of the poll state touched after that.
//!
//! What a poll may do follows from the context that it is given. A [`TxContext`] allows freeing
//! socket buffers that were sent and no more: netpoll may have called, with interrupts off. Page
//! pools, received packets and XDP need an [`RxContext`], of which there is none at budget 0.
//!
//! ```ignore
//! impl Poll for Pair {
//!     fn poll(&mut self, shared: &Doorbell, cx: &RxContext<'_>) -> Outcome {
//!         let work = self.receive(cx, cx.budget());
//!         Outcome { work, again: false, retry: false, rest: false, token: self.next }
//!     }
//!     fn arm(shared: &Doorbell, token: u32) {
//!         shared.ask_for_interrupt(token);
//!     }
//!     ..
//! }
//! ```

mod vectors;

use super::{
    bindings,
    Device, //
};
use core::{
    cell::{
        Cell,
        UnsafeCell, //
    },
    marker::PhantomData,
    ops::Deref,
    ptr::NonNull, //
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

/// What one poll did.
pub(crate) struct Outcome {
    /// Receive work done, in completions, at most the budget.
    pub(crate) work: usize,
    /// There is more to do although the budget was not used up.
    pub(crate) again: bool,
    /// Something could not be had, such as memory: poll again in a few milliseconds, whatever the
    /// device says until then.
    pub(crate) retry: bool,
    /// The device raises interrupts for nothing: do not ask for the next one now, but poll again in
    /// a few milliseconds and ask then.
    pub(crate) rest: bool,
    /// What [`Poll::arm`] is given if this was the last poll for now.
    pub(crate) token: u32,
}

/// What a NAPI instance runs.
pub(crate) trait Poll: Send {
    /// What [`Poll::arm`] works on. It is used while the next poll may already run elsewhere.
    type Shared: Send + Sync;

    /// Called once, before the first poll, in process context. May sleep.
    fn attached(&mut self, napi: NapiRef<'_>);

    /// Called once, when no poll can run any more, in process context: page pools are to be taken
    /// out of the context of the instance, which goes an RCU grace period later.
    fn detached(&mut self, napi: NapiRef<'_>);

    /// Frees what was sent, for netpoll: with interrupts off, possibly in a hard interrupt. The
    /// device must not take this for the end of a poll: none will follow.
    fn clean(&mut self, cx: &TxContext<'_>);

    /// Frees what was sent, and receives packets up to the budget. In softirq context, on one CPU
    /// at a time.
    fn poll(&mut self, shared: &Self::Shared, cx: &RxContext<'_>) -> Outcome;

    /// Asks the device for the next interrupt. In softirq context.
    fn arm(shared: &Self::Shared, token: u32);
}

/// A reference to a NAPI instance that exists and is held off: no poll runs.
#[derive(Clone, Copy)]
pub(crate) struct NapiRef<'a>(NonNull<bindings::napi_struct>, PhantomData<&'a ()>);

impl NapiRef<'_> {
    pub(super) fn as_raw(self) -> *mut bindings::napi_struct {
        self.0.as_ptr()
    }
}

/// Proof that a NAPI instance is polled on this CPU, at any budget.
///
/// # Invariants
///
/// `napi` is the instance being polled, and stays so for the lifetime of the context. It belongs to
/// queue pair `queue` of its device.
pub(crate) struct TxContext<'a> {
    napi: NonNull<bindings::napi_struct>,
    budget: i32,
    queue: u32,
    /// An interrupt came since the last poll.
    interrupted: bool,
    /// [`RxContext::redirected`] was called.
    redirected: Cell<bool>,
    _napi: PhantomData<&'a mut ()>,
}

impl TxContext<'_> {
    /// The context to receive in; `None` at budget 0.
    #[inline]
    pub(crate) fn rx(&self) -> Option<&RxContext<'_>> {
        if self.budget <= 0 {
            return None;
        }
        // INVARIANT: The budget is above 0.
        // SAFETY: `RxContext` is a transparent wrapper with the same lifetime.
        Some(unsafe { &*core::ptr::from_ref(self).cast() })
    }

    pub(super) fn raw_budget(&self) -> i32 {
        self.budget
    }

    /// The queue pair's transmit queue.
    #[inline]
    pub(crate) fn tx_queue(&self) -> CompletedQueue<'_> {
        // CAST: `Opaque` is a transparent wrapper.
        // SAFETY: The instance is valid by the type invariant, and its device, which has the queue,
        // lives longer.
        CompletedQueue(unsafe {
            &*bindings::netdev_get_tx_queue((*self.napi.as_ptr()).dev, self.queue).cast()
        })
    }
}

/// Proof that a NAPI instance is polled on this CPU, in softirq context, and may receive.
///
/// # Invariants
///
/// The budget is above 0.
#[repr(transparent)]
pub(crate) struct RxContext<'a>(TxContext<'a>);

impl<'a> Deref for RxContext<'a> {
    type Target = TxContext<'a>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl RxContext<'_> {
    /// How many packets may be received, at least one.
    pub(crate) fn budget(&self) -> usize {
        self.0.budget as usize
    }

    /// Whether an interrupt came since the last poll.
    #[inline]
    pub(crate) fn interrupted(&self) -> bool {
        self.0.interrupted
    }

    pub(super) fn napi(&self) -> *mut bindings::napi_struct {
        self.0.napi.as_ptr()
    }

    /// The number of the receive queue, which packets are recorded with.
    #[inline]
    pub(super) fn queue(&self) -> u16 {
        self.0.queue as u16
    }

    /// Notes that a packet was redirected: it is sent on its way when the poll is over.
    #[inline]
    pub(super) fn redirected(&self) {
        self.0.redirected.set(true);
    }
}

/// The completion side of a transmit queue.
pub(crate) struct CompletedQueue<'a>(&'a Opaque<bindings::netdev_queue>);

impl CompletedQueue<'_> {
    /// Tells byte queue limits what was sent.
    #[inline]
    pub(crate) fn completed(&self, packets: u32, bytes: u32) {
        // SAFETY: The queue is valid for the life of the context.
        unsafe { bindings::netdev_tx_completed_queue(self.0.get(), packets, bytes) };
    }

    /// Whether the driver has stopped the queue.
    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        bindings::netif_tx_queue_stopped(self.0)
    }

    /// Lets the stack send again.
    pub(crate) fn wake(&self) {
        bindings::netif_tx_wake_queue(self.0);
    }
}

/// The part of an instance that its interrupt reaches.
#[repr(C)]
struct Head {
    /// First, so that its address is that of the whole.
    napi: Opaque<bindings::napi_struct>,
    /// Interrupts so far. Written by the handler only, of which one runs at a time.
    interrupts: Atomic<u32>,
    /// Of them, those before the last poll. Written by polls only.
    polled: Atomic<u32>,
    /// Number of the last poll, never 0. Written by polls only.
    number: Atomic<u32>,
    /// The last poll, by its number, if it is complete and it is the device's turn to say when the
    /// next one is due: no timer of the core is to poll. Else 0. Written by polls only.
    waits: Atomic<u32>,
}

#[repr(C)]
struct Inner<P: Poll> {
    /// First, so that its address is that of the whole.
    head: Head,
    retry: Opaque<bindings::rnet_retry>,
    poll: UnsafeCell<P>,
    shared: P::Shared,
    name: CString,
    queue: u32,
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
/// the end of the object comes. While `irq` is set it is enabled and that interrupt is requested
/// with it as argument; else its timer is not set. `inner` stays where it is.
pub(super) struct Vector<P: Poll> {
    inner: Pin<KBox<Inner<P>>>,
    irq: Option<u32>,
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
                    napi: Opaque::zeroed(),
                    interrupts: Atomic::new(0),
                    polled: Atomic::new(0),
                    number: Atomic::new(0),
                    waits: Atomic::new(0),
                },
                retry: Opaque::zeroed(),
                poll: UnsafeCell::new(poll),
                shared,
                name,
                queue,
            },
            GFP_KERNEL,
        )?;
        let napi = inner.head.napi.get();
        // SAFETY: The structure is zeroed and pinned, the lock held by the safety requirement.
        // Another instance may have the same place in the device's configuration: it is this one's
        // from when this one is enabled.
        unsafe {
            bindings::netif_napi_add_config_locked(
                dev.as_raw(),
                napi,
                Some(poll_callback::<P>),
                queue as i32,
            );
            bindings::retry_init(inner.retry.get(), napi);
        };
        // INVARIANT: Registered and not running.
        let mut this = Self {
            inner,
            irq: None,
            stage: Stage::Registered,
        };
        let napi = this.napi_ref();
        if let Some(poll) = this.poll_mut() {
            poll.attached(napi);
        }
        Ok(this)
    }

    /// The instance. The reference is good as long as the object.
    fn napi_ref<'a>(&self) -> NapiRef<'a> {
        // CAST: `Opaque` is a transparent wrapper.
        NapiRef(NonNull::from(&self.inner.head.napi).cast(), PhantomData)
    }

    /// What polls work on, while none can run.
    pub(super) fn poll_mut(&mut self) -> Option<&mut P> {
        if self.irq.is_some() {
            return None;
        }
        // SAFETY: The instance is not enabled, so nobody else touches the poll state.
        Some(unsafe { &mut *self.inner.poll.get() })
    }

    /// Has polls run on interrupt `irq`. May sleep.
    ///
    /// # Errors
    ///
    /// What requesting the interrupt says.
    ///
    /// # Safety
    ///
    /// `irq` stays allocated as long as the object runs, and nothing else runs for this queue.
    pub(super) unsafe fn start(&mut self, irq: u32) -> Result {
        let napi = self.inner.head.napi.get();
        // SAFETY: The instance is registered by the type invariant.
        let dev = unsafe { (*napi).dev };
        // SAFETY: As above, and the lock is held.
        unsafe { bindings::netif_napi_set_irq_locked(napi, irq as i32) };
        // SAFETY: The instance lives until the interrupt is freed, and the name as long.
        let ret = unsafe {
            bindings::request_threaded_irq(
                irq,
                Some(irq_callback),
                None,
                0,
                self.inner.name.as_char_ptr(),
                napi.cast(),
            )
        };
        if let Err(e) = to_result(ret) {
            // SAFETY: As above.
            unsafe { bindings::netif_napi_set_irq_locked(napi, -1) };
            return Err(e);
        }
        // The core puts the interrupt on its CPU again when the instance is enabled. Only of one
        // that is requested does its map of CPUs hear, which steering goes by; one that comes
        // before is for nothing, as long as the first poll is not left to it.
        //
        // SAFETY: As above, and the instance is not enabled.
        unsafe { bindings::napi_enable_locked(napi) };
        // INVARIANT: Enabled, interrupt requested.
        self.irq = Some(irq);
        // SAFETY: The queue exists and the lock is held.
        unsafe { self.link(dev, napi) };
        Ok(())
    }

    /// # Safety
    ///
    /// `dev` is the device, `napi` its instance or null; the lock is held.
    unsafe fn link(&self, dev: *mut bindings::net_device, napi: *mut bindings::napi_struct) {
        for kind in [
            bindings::netdev_queue_type_NETDEV_QUEUE_TYPE_RX,
            bindings::netdev_queue_type_NETDEV_QUEUE_TYPE_TX,
        ] {
            // SAFETY: By the safety requirement; the queue exists.
            unsafe { bindings::netif_queue_set_napi(dev, self.inner.queue, kind, napi) };
        }
    }

    /// Whether polls run.
    pub(super) fn runs(&self) -> bool {
        self.irq.is_some()
    }

    /// What polls share with whoever looks after the queue.
    pub(super) fn shared(&self) -> &P::Shared {
        &self.inner.shared
    }

    /// Whether it is the device's turn to have the instance polled. Not while a poll is under way
    /// or about to run, which the host may be late with, nor while a timer of the core is to poll
    /// (`gro_flush_timeout`, suspended interrupts).
    pub(super) fn waits_for_device(&self) -> bool {
        // SAFETY: The instance is registered by the type invariant.
        let scheduled = unsafe { bindings::napi_is_scheduled(self.inner.head.napi.get()) };
        !scheduled && self.inner.head.waits.load(Relaxed) != 0
    }

    /// Has a poll run soon, if polls may run.
    pub(super) fn kick(&self) {
        if self.irq.is_some() {
            // SAFETY: The instance is enabled by the type invariant.
            unsafe { bindings::napi_kick(self.inner.head.napi.get()) };
        }
    }

    /// Frees the interrupt and waits until no poll runs. May sleep.
    pub(super) fn stop(&mut self) {
        let Some(irq) = self.irq else {
            return;
        };
        let napi = self.inner.head.napi.get();
        // SAFETY: The instance is registered by the type invariant, and the lock held. The core
        // lets go of the interrupt, whose affinity it watches.
        unsafe {
            self.link((*napi).dev, core::ptr::null_mut());
            bindings::netif_napi_set_irq_locked(napi, -1);
        }
        // SAFETY: The interrupt was requested with this argument, by the type invariant.
        unsafe { bindings::free_irq(irq, napi.cast()) };
        // SAFETY: The instance is enabled by the type invariant and the lock is held. With that no
        // poll can set the timer any more.
        unsafe {
            bindings::napi_disable_locked(napi);
            bindings::retry_stop(self.inner.retry.get());
        }
        // INVARIANT: Neither enabled nor requested.
        self.irq = None;
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
        let napi = self.inner.head.napi.get();
        // A poll that is over may still be about to ask for its interrupt, in the name of what will
        // be exchanged.
        //
        // SAFETY: The instance is enabled by the type invariant and the lock is held.
        unsafe {
            bindings::napi_disable_locked(napi);
            bindings::synchronize_net();
        }
        // SAFETY: The instance is disabled, so nobody else touches the poll state.
        let out = f(unsafe { &mut *self.inner.poll.get() }, self.napi_ref());
        // SAFETY: Disabled just now, and the lock is held. An interrupt that came meanwhile was
        // for nothing, so a poll makes up for it.
        unsafe {
            bindings::napi_enable_locked(napi);
            bindings::napi_kick(napi);
        }
        out
    }
}

impl<P: Poll> Vector<P> {
    /// Has nobody find the instance any more. To be followed by an RCU grace period: whoever gives
    /// a page back on another CPU and still knows the pool by this instance is done with it then.
    fn delete(&mut self) {
        if self.stage != Stage::Registered {
            return;
        }
        self.stop();
        let napi = self.napi_ref();
        if let Some(poll) = self.poll_mut() {
            poll.detached(napi);
        }
        // SAFETY: The instance is registered and not enabled; the lock is held by the safety
        // requirement of `new`. `inner` goes when a grace period has passed.
        unsafe { bindings::__netif_napi_del_locked(self.inner.head.napi.get()) };
        // INVARIANT: Deleted just now.
        self.stage = Stage::Deleted;
    }
}

impl<P: Poll> Drop for Vector<P> {
    fn drop(&mut self) {
        self.delete();
        if self.stage == Stage::Deleted {
            // SAFETY: Process context, as wherever these objects are dropped.
            unsafe { bindings::synchronize_net() };
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
    // SAFETY: As above; handlers run with interrupts off.
    unsafe { bindings::napi_schedule_irqoff(arg.cast()) };
    bindings::irqreturn::IRQ_HANDLED
}

/// # Safety
///
/// To be called by the NAPI core for an instance that [`Vector::new`] registered with this `P`.
unsafe extern "C" fn poll_callback<P: Poll>(napi: *mut bindings::napi_struct, budget: i32) -> i32 {
    // CAST: The NAPI structure is the first field of `Head`, and that of `Inner`, both `repr(C)`.
    let inner = napi.cast::<Inner<P>>();
    // SAFETY: The instance is inside a live `Inner<P>`; shared access to its shared part and to the
    // counts is sound, and nobody writes the number.
    let (shared, head, queue) = unsafe { (&(*inner).shared, &(*inner).head, (*inner).queue) };
    // SAFETY: The core polls an instance on one CPU at a time, so this is the only reference to
    // the poll state until the poll is completed.
    let poll = unsafe { &mut *(*inner).poll.get() };
    let Some(ptr) = NonNull::new(napi) else {
        return 0;
    };
    let interrupts = head.interrupts.load(Relaxed);
    // INVARIANT: This instance is being polled until this function returns.
    let cx = TxContext {
        napi: ptr,
        budget,
        queue,
        interrupted: head.polled.load(Relaxed) != interrupts,
        redirected: Cell::new(false),
        _napi: PhantomData,
    };
    let Some(rx) = cx.rx() else {
        poll.clean(&cx);
        return 0;
    };
    head.polled.store(interrupts, Relaxed);
    head.waits.store(0, Relaxed);
    let number = head.number.load(Relaxed).wrapping_add(1).max(1);
    head.number.store(number, Relaxed);
    let out = poll.poll(shared, rx);
    if cx.redirected.get() {
        // SAFETY: In a poll in softirq context, on the CPU that the packets were redirected on.
        unsafe { bindings::xdp_do_flush() };
    }
    let limit = rx.budget();
    if out.again || out.work >= limit {
        return budget;
    }
    if out.retry || out.rest {
        // SAFETY: The timer was made with the instance, and `Vector::stop` stops it.
        unsafe { bindings::retry_arm((*inner).retry.get()) };
    }
    // `work` is below the budget, so it fits. From here on another CPU may poll.
    let work = out.work as i32;
    // Before the poll is complete: the next one may be over when this one goes on. If the poll does
    // not become complete, the core has it polled.
    head.waits.store(number, Relaxed);
    // SAFETY: The instance is being polled, and less than the budget was done.
    if unsafe { bindings::napi_complete_done(napi, work) } {
        if !out.rest {
            P::arm(shared, out.token);
        }
    } else {
        // Unless another poll has its say by now.
        let _ = head.waits.cmpxchg(number, 0, Relaxed);
    }
    work
}
