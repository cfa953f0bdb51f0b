// SPDX-License-Identifier: GPL-2.0

//! Giving one receive queue other memory while the rest runs on.
//!
//! Wraps `struct netdev_queue_mgmt_ops`.
//!
//! This is how a memory provider (io_uring zero-copy receive, devmem TCP) gets a queue to itself.
//! The core allocates the new memory, stops the queue's receive side with the old one, starts it
//! with the new one and frees the old. All in process context with the instance lock held.

use super::{
    bindings,
    callback::{
        callbacks,
        Held, //
    },
    device::{
        self,
        Device, //
    },
    extack::Extack,
    napi::NapiRef,
    page_pool::PAGE_SIZE, //
};
use core::marker::PhantomData;
use kernel::prelude::*;

/// A driver whose receive queues can be given other memory.
pub(crate) trait Operations: device::Operations {
    /// The receive memory of a queue: rings, buffers and their pools.
    type Rx: Send;
    /// Largest page that payload can be received into, in bytes.
    const RX_PAGE_MAX: u32;

    /// Allocates receive memory for one queue, which may be running with other memory.
    ///
    /// # Errors
    ///
    /// As for `open_queue`.
    fn rx_alloc(&self, dev: &Device, setup: &Self::Setup, queue: usize) -> Result<Self::Rx>;

    /// Has a queue whose receive side is off receive into `rx`. NAPI is held off.
    ///
    /// # Errors
    ///
    /// Any; the receive side is off then.
    fn rx_install(
        &self,
        queue: usize,
        poll: &mut Self::Poll,
        rx: Self::Rx,
        napi: NapiRef<'_>,
    ) -> Result;

    /// Switches the receive side of a queue off and takes its memory. NAPI is held off; transmit
    /// goes on.
    fn rx_remove(&self, queue: usize, poll: &mut Self::Poll, napi: NapiRef<'_>)
        -> Option<Self::Rx>;
}

/// The table of callbacks for a driver.
pub(super) struct Adapter<T>(PhantomData<T>);

/// What the core's blob for a queue's memory holds, once it is written.
type Memory<T> = Option<<T as Operations>::Rx>;

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

    /// Puts memory where the core keeps it.
    ///
    /// # Safety
    ///
    /// `mem` has room for the memory of a queue, and is not written yet.
    unsafe fn put(mem: *mut c_void, rx: Memory<T>) {
        // SAFETY: By the safety requirement there is room; `kvzalloc()` aligns for `u64`, which
        // `MEM_SIZE` has checked to be enough.
        unsafe { mem.cast::<Memory<T>>().write(rx) };
    }

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
            mem: *mut c_void,
            queue: i32,
        ) -> Result {
            let (ops, device) = (held.ops(), held.device());
            let rx = ops.rx_alloc(device, held.setup(), usize::try_from(queue)?)?;
            // SAFETY: The core made room of the size that the table says for this call.
            unsafe { Self::put(mem, Some(rx)) };
            Ok(())
        }

        /// `ndo_queue_mem_free`.
        fn free(_dev: *mut bindings::net_device, mem: *mut c_void) {
            // SAFETY: The core calls this once for what `alloc` or `stop` has written.
            drop(unsafe { mem.cast::<Memory<T>>().read() });
        }

        /// `ndo_queue_start`: the device is up.
        fn start(
            held: Held<'_, T>,
            _config: *mut bindings::netdev_queue_config,
            mem: *mut c_void,
            queue: i32,
        ) -> Result {
            let queue = usize::try_from(queue)?;
            // SAFETY: `alloc` or `stop` has put memory there, which nobody else uses meanwhile.
            let mem = unsafe { &mut *mem.cast::<Memory<T>>() };
            let rx = mem.take().ok_or(EINVAL)?;
            held.instance().paused(queue, |ops, poll, napi| ops.rx_install(queue, poll, rx, napi))
        }

        /// `ndo_queue_stop`: the device is up.
        fn stop(held: Held<'_, T>, mem: *mut c_void, queue: i32) -> Result {
            let queue = usize::try_from(queue)?;
            let rx = held
                .instance()
                .paused(queue, |ops, poll, napi| Ok(ops.rx_remove(queue, poll, napi)))?;
            // SAFETY: The core made room of the size that the table says for this call.
            unsafe { Self::put(mem, rx) };
            Ok(())
        }
    }
}
