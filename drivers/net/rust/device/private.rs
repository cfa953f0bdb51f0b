// SPDX-License-Identifier: GPL-2.0

//! Private data of the layer for a `net_device`, reached through
//! [`Handle`](super::handle::Handle) only.

use super::{
    senders::{
        Cells,
        Senders, //
    },
    Operations, //
};
use crate::net::{
    devlink::health::Reporters,
    napi::Vectors,
    service::Service, //
};
use core::cell::UnsafeCell;
use kernel::{
    pci,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        SetOnce, //
    },
    time::{
        Instant,
        Monotonic, //
    }, //
};

/// Private data, to which the private area of a `net_device` points.
pub(super) struct Private<'bound, T: Operations> {
    pub(super) ops: T,
    pub(super) irqs: Arc<pci::IrqVectorRegistration<'bound>>,
    /// Statistics that the driver shows; `usize::MAX` until they are counted.
    pub(super) stat_count: Atomic<usize>,
    pub(super) senders: Senders<T::Tx>,
    /// Looks after the device while it is up.
    pub(super) watch: Arc<Service>,
    /// Transmit queues that the core found stuck since the last look, as bits.
    pub(super) timed_out: Atomic<u64>,
    /// Set before the watch begins, if there are any.
    pub(super) reporters: SetOnce<Reporters>,
    /// Reached through [`super::queues::Instance`] only.
    pub(super) state: UnsafeCell<State<T>>,
}

/// State that the instance lock protects.
pub(super) struct State<T: Operations> {
    pub(super) setup: T::Setup,
    /// The interface is up.
    pub(super) up: bool,
    /// The device is quiesced for now, as for a suspend.
    pub(super) held: bool,
    /// The device did not respond to the last access.
    pub(super) gone: bool,
    /// When the watch last looked, looks that follow closely left out.
    pub(super) looked: Option<Instant<Monotonic>>,
    /// Set while queues run.
    pub(super) vectors: Option<Vectors<T::Poll>>,
    /// Their transmit sides, which `senders` has, too.
    pub(super) cells: Option<Arc<Cells<T::Tx>>>,
}

impl<'bound, T: Operations> Private<'bound, T> {
    /// That of a device which is not registered yet.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(super) fn new(
        ops: T,
        irqs: Arc<pci::IrqVectorRegistration<'bound>>,
        setup: T::Setup,
    ) -> Result<Self> {
        Ok(Self {
            ops,
            irqs,
            stat_count: Atomic::new(usize::MAX),
            senders: Senders::new(),
            watch: Service::new()?,
            timed_out: Atomic::new(0),
            reporters: SetOnce::new(),
            state: UnsafeCell::new(State {
                setup,
                up: false,
                held: false,
                gone: false,
                looked: None,
                vectors: None,
                cells: None,
            }),
        })
    }

    /// Records a timeout of a transmit queue. From any context.
    pub(super) fn timed_out(&self, queue: u32) {
        let bit = 1_u64.checked_shl(queue).unwrap_or(0);
        let mut now = self.timed_out.load(Relaxed);
        while let Err(other) = self.timed_out.cmpxchg(now, now | bit, Relaxed) {
            now = other;
        }
        self.watch.kick();
    }
}
