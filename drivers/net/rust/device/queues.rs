// SPDX-License-Identifier: GPL-2.0

//! The queues of a device: up, down, and replaced with another setup or after a fault.
//!
//! Wraps nothing of C. All of it runs in process context under the instance lock, of which
//! [`Instance`] is the proof. An interface that is up may be without queues for a while: after a
//! failed recovery, or while the device is quiesced ([`Instance::quiesce`]). Its carrier is off
//! then, senders find no queues, and the watch retries.

use super::{
    handle::{
        Handle,
        Rtnl, //
    },
    private::{
        Private,
        State, //
    },
    senders::Cells,
    watch::PERIOD_MS,
    Device,
    Operations,
    QueuePair,
    Setup, //
};
use crate::net::{
    bindings,
    napi::{
        NapiRef,
        Vector,
        Vectors, //
    },
    tx_cell::TxCell, //
};
use kernel::{
    error::to_result,
    irq::IrqRequest,
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
    time::{
        Delta,
        Instant, //
    }, //
};

/// Queues that do not run yet.
struct Prepared<T: Operations> {
    vectors: Vectors<T::Poll>,
    cells: Arc<Cells<T::Tx>>,
}

/// A device whose instance lock is held.
///
/// # Invariants
///
/// The lock is held, and this is the only object of its kind for the device.
pub(in crate::net) struct Instance<'a, T: Operations> {
    dev: &'a Device,
    this: &'a Private<'a, T>,
    state: &'a mut State<T>,
}

impl<'a, T: Operations> Instance<'a, T> {
    /// # Safety
    ///
    /// The instance lock is held for `'a`, during which no other `Instance` of the device is used.
    pub(in crate::net) unsafe fn new(handle: Handle<'a, T>) -> Self {
        let this = handle.private();
        // INVARIANT: By the safety requirement.
        Self {
            dev: handle.device(),
            this,
            // SAFETY: The state is reached through objects of this kind only, of which this is the
            // only one by the safety requirement.
            state: unsafe { &mut *this.state.get() },
        }
    }

    /// The device.
    pub(super) fn device(&self) -> &'a Device {
        self.dev
    }

    /// The driver's part.
    pub(super) fn ops(&self) -> &'a T {
        &self.this.ops
    }

    /// Whether the interface is up.
    pub(super) fn is_up(&self) -> bool {
        self.state.up
    }

    /// Whether the device is quiesced.
    pub(super) fn is_held(&self) -> bool {
        self.state.held
    }

    /// Whether the device did not respond to the last access.
    pub(super) fn is_gone(&self) -> bool {
        self.state.gone
    }

    /// Whether queues run.
    pub(super) fn has_queues(&self) -> bool {
        self.state.vectors.is_some()
    }

    /// Queue pairs that run.
    pub(super) fn count(&self) -> usize {
        self.state
            .vectors
            .as_ref()
            .map_or(0, |vectors| vectors.len())
    }

    /// Runs the watch at once, if the interface is up.
    pub(super) fn look_soon(&self) {
        if self.state.up {
            self.this.watch.kick();
        }
    }

    /// Whether `by` has passed since this last returned true.
    pub(super) fn is_apart(&mut self, by: Delta) -> bool {
        let apart = self.state.looked.is_none_or(|last| last.elapsed() >= by);
        if apart {
            self.state.looked = Some(Instant::now());
        }
        apart
    }

    /// Calls `f` for each queue that runs, with whether the core found its transmit side stuck.
    pub(super) fn each_queue(&mut self, mut f: impl FnMut(usize, &mut Vector<T::Poll>, bool)) {
        let stuck = self.this.timed_out.xchg(0, Relaxed);
        let vectors = self.state.vectors.iter_mut().flat_map(|v| v.iter_mut());
        for (i, vector) in vectors.enumerate() {
            let bit = 1_u64.checked_shl(i as u32).unwrap_or(0);
            f(i, vector, stuck & bit != 0);
        }
    }

    /// Allocates a queue pair, which does not run yet.
    fn prepare_pair(&self, queue: usize, pair: QueuePair<T>) -> Result<PreparedPair<T>> {
        let QueuePair {
            tx,
            mut poll,
            shared,
        } = pair;
        let queue = u32::try_from(queue)?;
        if queue >= self.dev.tx_queues() {
            return Err(EINVAL);
        }
        // SAFETY: Queues are published one set at a time, and reached otherwise than through the
        // cell only while they are published or the transmit queue is stopped.
        let cell = Arc::new(unsafe { TxCell::new(self.dev, queue, tx) }, GFP_KERNEL)?;
        if let Some(share_tx) = T::PARTS.share_tx {
            share_tx(&mut poll, &cell);
        }
        // SAFETY: The lock is held by the type invariant, here and when the queues are used and
        // dropped; the queue exists.
        let vector = unsafe { Vector::new(self.dev, queue, poll, shared)? };
        Ok((vector, cell))
    }

    /// Allocates the queues of a setup.
    fn prepare(&self, setup: &T::Setup) -> Result<Prepared<T>> {
        let count = setup.queues() as usize;
        let mut vectors = Vectors::with_capacity(count)?;
        let mut cells = KVec::with_capacity(count, GFP_KERNEL)?;
        for i in 0..count {
            let pair = self.ops().open_queue(self.dev, setup, i)?;
            let (vector, cell) = self.prepare_pair(i, pair)?;
            vectors.push(vector)?;
            cells.push(cell, GFP_KERNEL)?;
        }
        Ok(Prepared {
            vectors,
            cells: Arc::new(cells, GFP_KERNEL)?,
        })
    }

    /// Starts one queue pair; its transmit queue of the core stays stopped.
    fn launch_pair(&self, i: usize, vector: &mut Vector<T::Poll>, cell: &TxCell<T::Tx>) -> Result {
        let irq: IrqRequest<'_> = self.this.irqs.index(self.ops().queue_vector(i))?.into();
        // SAFETY: The core's transmit queue is stopped, and whoever found it started has been
        // waited for; the poll that shares the cell does not run yet.
        let tx = unsafe { &mut *cell.get() };
        let poll = vector.poll_mut().ok_or(EBUSY)?;
        self.ops().start_queue(i, tx, poll)?;
        // SAFETY: The interrupt vectors live as long as the private data.
        unsafe { vector.start(irq.irq())? };
        self.dev.tx_reset_queue(u32::try_from(i)?);
        Ok(())
    }

    /// Starts queues; transmit queues of the core stay stopped.
    fn launch(&self, setup: &T::Setup, new: &mut Prepared<T>) -> Result {
        for (i, (vector, cell)) in new.vectors.iter_mut().zip(new.cells.iter()).enumerate() {
            self.launch_pair(i, vector, cell)?;
        }
        self.ops().start(self.dev, setup);
        // A queue without buffers brings no packets, and so no interrupt: a first poll begins to
        // ask for what could not be had now.
        for vector in new.vectors.iter() {
            vector.kick();
        }
        Ok(())
    }

    /// Stops queues, in whatever state `launch` left them. Nobody sends on them.
    fn halt(&self, vectors: &mut [Vector<T::Poll>]) {
        for vector in vectors.iter_mut() {
            vector.stop();
        }
        self.ops().stop(self.dev);
        for (i, vector) in vectors.iter_mut().enumerate() {
            if let Some(poll) = vector.poll_mut() {
                self.ops().stop_queue(i, poll);
            }
        }
    }

    /// Starts queues that were prepared and lets the stack send on them, or drops them.
    fn put_to_work(&mut self, setup: &T::Setup, mut new: Prepared<T>) -> Result {
        if let Err(e) = self.launch(setup, &mut new) {
            self.halt(&mut new.vectors);
            return Err(e);
        }
        let Prepared { vectors, cells } = new;
        // Timeouts recorded so far were of the old queues.
        self.this.timed_out.store(0, Relaxed);
        self.state.vectors = Some(vectors);
        self.state.cells = Some(cells.clone());
        drop(self.this.senders.replace(Some(cells)));
        self.sync_carrier();
        // Whoever finds a queue started finds the cells, too, or nothing and drops its packet.
        self.dev.tx_wake_all_queues();
        Ok(())
    }

    /// Stops the queues that run, and drops them.
    fn take_down(&mut self) {
        let Some(mut vectors) = self.state.vectors.take() else {
            return;
        };
        // Stop NAPI first, as it could wake a transmit queue.
        for vector in vectors.iter_mut() {
            vector.stop();
        }
        self.dev.tx_disable();
        // Waits until nobody is in `start_xmit` any more.
        let retired = self.this.senders.replace(None);
        drop(retired);
        self.state.cells = None;
        self.halt(&mut vectors);
    }

    /// Brings the interface up. May sleep.
    ///
    /// # Errors
    ///
    /// Errors of the driver or of requesting the interrupt; the interface stays down.
    pub(super) fn up(&mut self) -> Result {
        if self.state.held {
            return Err(EBUSY);
        }
        let setup = self.state.setup.clone();
        self.ops().restore(self.dev, &setup, false)?;
        self.state.gone = false;
        let new = self.prepare(&setup)?;
        self.ops().running(true);
        if let Err(e) = self.put_to_work(&setup, new) {
            self.ops().running(false);
            return Err(e);
        }
        self.state.up = true;
        self.this.watch.later(PERIOD_MS);
        Ok(())
    }

    /// Takes the interface down. May sleep.
    pub(super) fn down(&mut self) {
        self.state.up = false;
        self.take_down();
        self.ops().running(false);
        if !self.state.held {
            self.reopen();
        }
    }

    /// Changes to another setup with the same number of queues: at once if the interface is up and
    /// its device present, otherwise when they are. May sleep.
    ///
    /// New queues are allocated before old ones are stopped. If the new ones cannot be started,
    /// queues of the old setup are made again.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] and other errors of allocation: nothing has changed. If not even the old setup
    /// can be started, the interface is without queues, and the watch retries. [`EINVAL`] for
    /// another number of queues.
    pub(in crate::net) fn reconfigure(&mut self, setup: T::Setup) -> Result {
        if setup.queues() != self.state.setup.queues() {
            return Err(EINVAL);
        }
        self.go_over(setup, None)
    }

    /// As [`Self::reconfigure`], also with another number of queues.
    ///
    /// # Errors
    ///
    /// As there.
    pub(in crate::net) fn reconfigure_queues(
        &mut self,
        setup: T::Setup,
        rtnl: &Rtnl<'_>,
    ) -> Result {
        self.go_over(setup, Some(rtnl))
    }

    fn go_over(&mut self, setup: T::Setup, rtnl: Option<&Rtnl<'_>>) -> Result {
        if !self.state.up || self.state.held || self.state.gone {
            self.set_queues(setup.queues(), rtnl)?;
            self.state.setup = setup;
            return Ok(());
        }
        let new = self.prepare(&setup)?;
        let had_queues = self.has_queues();
        self.take_down();
        let mut done = self.set_queues(setup.queues(), rtnl);
        if done.is_ok() && !had_queues {
            // It lost its queues by a fault: begin from the reset state.
            done = self.ops().restore(self.dev, &setup, true);
        }
        let Err(e) = done.and_then(|()| self.put_to_work(&setup, new)) else {
            self.state.setup = setup;
            // After a resume that failed it is still detached.
            self.returned();
            return Ok(());
        };
        let old = self.state.setup.clone();
        let back = self.set_queues(old.queues(), rtnl);
        let back = back.and_then(|()| self.prepare(&old));
        if back
            .and_then(|queues| self.put_to_work(&old, queues))
            .is_err()
        {
            self.lost_queues();
        }
        Err(e)
    }

    /// Sets the number of queues in use. Without rtnl it stays as it is.
    fn set_queues(&self, queues: u32, rtnl: Option<&Rtnl<'_>>) -> Result {
        if rtnl.is_none() {
            return Ok(());
        }
        // SAFETY: The device is valid; the instance lock is held by the type invariant, and rtnl
        // as `rtnl` proves.
        to_result(unsafe { bindings::netif_set_real_num_queues(self.dev.as_raw(), queues, queues) })
    }

    /// The interface is up, and its queues could not be made.
    fn lost_queues(&mut self) {
        self.dev.set_carrier(false);
        self.this.watch.later(PERIOD_MS);
    }

    /// Resets the device and restores its configuration, with new queues if the interface is up.
    /// May sleep.
    ///
    /// # Errors
    ///
    /// Any. Without memory for new queues the old ones stay in use; otherwise an interface that is
    /// up is without queues, and the watch retries.
    pub(in crate::net) fn restart(&mut self) -> Result {
        if self.state.held {
            return Err(EBUSY);
        }
        let setup = self.state.setup.clone();
        if !self.state.up {
            let done = self.ops().restore(self.dev, &setup, true);
            return done.inspect(|()| self.returned());
        }
        let new = self.prepare(&setup)?;
        self.take_down();
        let done = self.ops().restore(self.dev, &setup, true);
        let done = done.and_then(|()| self.put_to_work(&setup, new));
        match done {
            Ok(()) => self.returned(),
            Err(_) => self.lost_queues(),
        }
        done
    }

    /// Replaces one queue pair while the others stay in use. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENETDOWN`] if it does not run; [`ENOMEM`]: the old pair stays in use. [`EIO`] if the pair
    /// is off now: [`Self::restart`] may help.
    pub(super) fn restart_pair(&mut self, i: usize) -> Result {
        let setup = self.state.setup.clone();
        if self.state.vectors.as_ref().is_none_or(|v| i >= v.len()) {
            return Err(ENETDOWN);
        }
        let pair = self.ops().open_queue(self.dev, &setup, i)?;
        let (mut vector, cell) = self.prepare_pair(i, pair)?;
        let now = self.state.cells.as_ref().ok_or(ENETDOWN)?;
        let mut cells = KVec::with_capacity(now.len(), GFP_KERNEL)?;
        for (n, other) in now.iter().enumerate() {
            let cell = if n == i { &cell } else { other };
            cells.push(cell.clone(), GFP_KERNEL)?;
        }
        let cells = Arc::new(cells, GFP_KERNEL)?;
        let vectors = self.state.vectors.as_mut().ok_or(ENETDOWN)?;
        // The core numbers the queues that it finds by CPU in the order of free places: this one
        // would get the place of one that is off.
        let mut others = vectors.iter().enumerate().filter(|(n, _)| *n != i);
        if others.any(|(_, other)| !other.runs()) {
            return Err(EIO);
        }
        let slot = vectors.get_mut(i).ok_or(ENETDOWN)?;
        slot.stop();
        self.dev.tx_disable_queue(i as u32);
        // The cells with the new pair are found from now on, on a queue that is stopped.
        let retired = self.this.senders.replace(Some(cells.clone()));
        drop(retired);
        self.state.cells = Some(cells);
        if let Some(poll) = slot.poll_mut() {
            self.this.ops.stop_queue(i, poll);
        }
        core::mem::swap(slot, &mut vector);
        drop(vector);
        let mut vectors = self.state.vectors.take().ok_or(ENETDOWN)?;
        let launched = vectors.get_mut(i).map(|vector| {
            let launched = self.launch_pair(i, vector, &cell);
            if launched.is_ok() {
                vector.kick();
                self.dev.tx_wake_queue(i as u32);
            } else if let Some(poll) = vector.poll_mut() {
                // Switch the pair off in the device, as nothing polls it; the watch notices.
                self.ops().stop_queue(i, poll);
            }
            launched
        });
        self.state.vectors = Some(vectors);
        match launched {
            Some(Ok(())) => Ok(()),
            // Not the error itself, which could mean that the old pair stays in use.
            _ => Err(EIO),
        }
    }

    /// Quiesces the device: queues are dropped, it accesses no memory and raises no interrupt after
    /// this, and the core does not use it before [`Self::resume`]. Does nothing if it is quiesced
    /// already. May sleep.
    pub(super) fn quiesce(&mut self) {
        if core::mem::replace(&mut self.state.held, true) {
            return;
        }
        self.dev.detach();
        self.take_down();
        self.dev.set_carrier(false);
        self.ops().quiesce();
    }

    /// Resumes after [`Self::quiesce`]: the device is reset and its configuration restored. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// Any. An interface that is up stays without queues, and the watch retries; bringing up one
    /// that is down retries, too.
    pub(super) fn resume(&mut self) -> Result {
        if !core::mem::replace(&mut self.state.held, false) {
            return Ok(());
        }
        let done = self.restart();
        match done {
            Ok(()) => {}
            Err(_) if self.state.up => {
                if !self.ops().is_present() {
                    self.depart();
                }
                self.lost_queues();
            }
            Err(_) => self.reopen(),
        }
        done
    }

    /// Detaches a device that does not respond any more. May sleep.
    pub(super) fn depart(&mut self) {
        if core::mem::replace(&mut self.state.gone, true) {
            return;
        }
        self.dev.detach();
        self.dev.set_carrier(false);
        self.take_down();
    }

    /// Attaches the device again, so that the core uses it, also to bring the interface up, which
    /// begins with a check of the device. Does nothing if it was never detached.
    fn reopen(&mut self) {
        self.state.gone = false;
        // If the interface is down nothing is woken; if it is up its senders were published, or
        // find nothing.
        self.dev.attach();
    }

    /// Reattaches a device that is running again.
    fn returned(&mut self) {
        self.reopen();
        self.sync_carrier();
    }

    /// Sets the carrier as the driver reports it, or to off without queues.
    pub(super) fn sync_carrier(&mut self) {
        let usable = !self.state.held
            && !self.state.gone
            && (!self.state.up || self.state.vectors.is_some());
        // To look is to ask for the next event: not of a device that is to raise no interrupt.
        self.dev.set_carrier(usable && self.ops().link());
    }

    /// Disables NAPI of a queue while `f` works on its poll state. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENETDOWN`] if the queue does not run, or errors of `f`.
    pub(in crate::net) fn paused<R>(
        &mut self,
        queue: usize,
        f: impl FnOnce(&T, &mut T::Poll, NapiRef<'_>) -> Result<R>,
    ) -> Result<R> {
        let vectors = self.state.vectors.as_mut().ok_or(ENETDOWN)?;
        let vector = vectors.get_mut(queue).ok_or(ENETDOWN)?;
        let ops = &self.this.ops;
        vector.paused(|poll, napi| f(ops, poll, napi))
    }
}

/// A queue pair that does not run yet.
type PreparedPair<T> = (
    Vector<<T as Operations>::Poll>,
    Arc<TxCell<<T as Operations>::Tx>>,
);
