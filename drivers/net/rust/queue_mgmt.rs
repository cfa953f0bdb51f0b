// SPDX-License-Identifier: GPL-2.0

//! Replacing the memory of one receive queue while the others keep running.
//!
//! Wraps `struct netdev_queue_mgmt_ops`.
//!
//! A memory provider (io_uring zero-copy receive, devmem TCP) gets a queue this way. The core
//! allocates the new memory, stops the queue's receive side with the old one, starts it with the
//! new one and frees the old. All in process context with the instance lock held; the operations
//! may sleep.
//!
//! ```
//! struct Nic<'bound> {
//!     dma: DmaDevice<'bound>,
//! }
//!
//! impl Operations for Nic<'_> {
//!     type Rx = PagePool;
//!     const RX_PAGE_MAX: u32 = 1 << 16;
//!
//!     fn rx_alloc(&self, dev: &Device, _setup: &Sizes, queue: usize) -> Result<PagePool> {
//!         PagePool::new(&self.dma, dev, queue.try_into()?, Usage::DATA, 256)
//!     }
//!
//!     fn rx_install(
//!         &self,
//!         _queue: usize,
//!         poll: &mut Pair,
//!         mut rx: PagePool,
//!         napi: NapiRef<'_>,
//!     ) -> Result {
//!         rx.attach(napi);
//!         poll.pool = Some(rx);
//!         Ok(())
//!     }
//!
//!     fn rx_remove(&self, _queue: usize, poll: &mut Pair, napi: NapiRef<'_>) -> Option<PagePool> {
//!         let mut rx = poll.pool.take()?;
//!         rx.detach(napi);
//!         Some(rx)
//!     }
//! }
//! # driver!(Nic<'bound>, Parts::new().queue_mgmt());
//! # use crate::Pair;
//! # use dma::DmaDevice;
//! # use napi::NapiRef;
//! # use page_pool::{PagePool, Usage};
//! # use plain::sizes::Sizes;
//! ```

use super::{
    bindings,
    callback::{
        callbacks,
        Arg,
        Held,
        Passed, //
    },
    device::{
        self,
        Device, //
    },
    extack::Extack,
    napi::NapiRef,
    page_pool::PAGE_SIZE, //
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit, //
};
use kernel::prelude::*;

/// A driver whose receive queues can be given other memory.
pub(crate) trait Operations: device::Operations {
    /// The receive memory of a queue: rings, buffers and their pools.
    type Rx: Send;
    /// Largest page for payload, in bytes.
    const RX_PAGE_MAX: u32;

    /// Allocates receive memory for one queue, which may be running with other memory.
    ///
    /// # Errors
    ///
    /// As for [`device::Operations::open_queue`].
    fn rx_alloc(&self, dev: &Device, setup: &Self::Setup, queue: usize) -> Result<Self::Rx>;

    /// Installs `rx` as the memory of a queue whose receive side is off, and switches it on. NAPI
    /// is disabled.
    ///
    /// # Errors
    ///
    /// Any; the receive side must be off.
    fn rx_install(
        &self,
        queue: usize,
        poll: &mut Self::Poll,
        rx: Self::Rx,
        napi: NapiRef<'_>,
    ) -> Result;

    /// Switches the receive side of a queue off and removes its memory. NAPI is disabled; the
    /// device keeps transmitting.
    fn rx_remove(&self, queue: usize, poll: &mut Self::Poll, napi: NapiRef<'_>)
        -> Option<Self::Rx>;
}

/// The table of callbacks for a driver.
pub(super) struct Adapter<T>(PhantomData<T>);

/// The receive memory of a queue, as it lies in what the core allocates for it; `None` once it was
/// taken out.
type Memory<T> = Option<<T as Operations>::Rx>;

/// Room that the core has for a queue's memory, not written yet.
struct Room<'a, T: Operations>(&'a mut MaybeUninit<Memory<T>>);

// SAFETY: Callbacks with this parameter are called with room of the size that the table says, and
// `kvzalloc()` aligns for `u64`, which `Adapter::MEM_SIZE` has checked to be enough.
unsafe impl<T: Operations> Arg for Room<'_, T> {
    type Raw = *mut c_void;

    fn from_passed(memory: Passed<*mut c_void>) -> Self {
        // SAFETY: There is room by the contract above, which nobody else uses during the call.
        Self(unsafe { &mut *memory.raw().cast() })
    }
}

/// A queue's memory, where a callback with a [`Room`] has put it.
struct Kept<'a, T: Operations>(&'a mut Memory<T>);

// SAFETY: Callbacks with this parameter are called for what `alloc` or `stop` has written, if that
// succeeded.
unsafe impl<T: Operations> Arg for Kept<'_, T> {
    type Raw = *mut c_void;

    fn from_passed(memory: Passed<*mut c_void>) -> Self {
        // SAFETY: Written by the contract above, and used by nobody else during the call.
        Self(unsafe { &mut *memory.raw().cast() })
    }
}

impl<T: Operations> Adapter<T> {
    /// Size of [`Memory`], whose alignment is that of any memory that the core allocates.
    const MEM_SIZE: usize = {
        assert!(core::mem::align_of::<Memory<T>>() <= core::mem::align_of::<u64>());
        core::mem::size_of::<Memory<T>>()
    };

    pub(super) const OPS: &'static bindings::netdev_queue_mgmt_ops =
        &bindings::netdev_queue_mgmt_ops {
            ndo_queue_mem_size: Self::MEM_SIZE,
            ndo_queue_mem_alloc: Some(Self::alloc),
            ndo_queue_mem_free: Some(Self::free),
            ndo_queue_start: Some(Self::start),
            ndo_queue_stop: Some(Self::stop),
            ndo_default_qcfg: Some(Self::default_config),
            ndo_validate_qcfg: Some(Self::validate),
            supported_params: bindings::QCFG_RX_PAGE_SIZE,
            ..pin_init::zeroed()
        };

    callbacks! {
        /// `ndo_default_qcfg`.
        fn default_config(
            _dev: *mut bindings::net_device,
            config: &mut bindings::netdev_queue_config,
        ) {
            config.rx_page_size = PAGE_SIZE as u32;
        }

        /// `ndo_validate_qcfg`.
        fn validate(
            _dev: *mut bindings::net_device,
            config: &mut bindings::netdev_queue_config,
            ack: Extack<'_>,
        ) -> Result {
            let size = config.rx_page_size;
            if size.is_power_of_two() && (PAGE_SIZE as u32..=T::RX_PAGE_MAX).contains(&size) {
                return Ok(());
            }
            ack.say(c"the device has no receive pages of this size");
            Err(ERANGE)
        }

        /// `ndo_queue_mem_alloc`.
        fn alloc(
            held: Held<'_, T>,
            _config: *mut bindings::netdev_queue_config,
            room: Room<'_, T>,
            queue: i32,
        ) -> Result {
            let (ops, device) = (held.ops(), held.device());
            room.0.write(Some(ops.rx_alloc(device, held.setup(), usize::try_from(queue)?)?));
            Ok(())
        }

        /// `ndo_queue_mem_free`.
        fn free(_dev: *mut bindings::net_device, kept: Kept<'_, T>) {
            // The core frees the room after this without a look.
            drop(kept.0.take());
        }

        /// `ndo_queue_start`: the device is up.
        fn start(
            held: Held<'_, T>,
            _config: *mut bindings::netdev_queue_config,
            kept: Kept<'_, T>,
            queue: i32,
        ) -> Result {
            let queue = usize::try_from(queue)?;
            let rx = kept.0.take().ok_or(EINVAL)?;
            held.instance().paused(queue, |ops, poll, napi| ops.rx_install(queue, poll, rx, napi))
        }

        /// `ndo_queue_stop`: the device is up.
        fn stop(held: Held<'_, T>, room: Room<'_, T>, queue: i32) -> Result {
            let queue = usize::try_from(queue)?;
            let rx = held
                .instance()
                .paused(queue, |ops, poll, napi| Ok(ops.rx_remove(queue, poll, napi)))?;
            room.0.write(rx);
            Ok(())
        }
    }
}
