// SPDX-License-Identifier: GPL-2.0

//! Giving one receive queue other memory while the rest runs on.
//!
//! This is how a memory provider (io_uring zero-copy receive, devmem TCP) gets a queue to itself.
//! The core allocates the new memory, stops the queue's receive side with the old one, starts it
//! with the new one and frees the old. All in process context with the instance lock held.

use super::{
    bindings,
    device::{
        private,
        queues,
        Device,
        Operations, //
    },
    extack::Extack,
    page_pool::PAGE_SIZE, //
};
use core::marker::PhantomData;
use kernel::{
    error::from_result,
    prelude::*, //
};

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

    pub(super) const OPS: bindings::netdev_queue_mgmt_ops = bindings::netdev_queue_mgmt_ops {
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

    /// # Safety
    ///
    /// `ndo_default_qcfg`.
    unsafe extern "C" fn default_config(
        _dev: *mut bindings::net_device,
        config: *mut bindings::netdev_queue_config,
    ) {
        // SAFETY: The core passes a structure to fill in.
        unsafe { (*config).rx_page_size = PAGE_SIZE as u32 };
    }

    /// # Safety
    ///
    /// `ndo_validate_qcfg`.
    unsafe extern "C" fn validate(
        _dev: *mut bindings::net_device,
        config: *mut bindings::netdev_queue_config,
        ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        // SAFETY: The core passes a filled-in structure and a place for a sentence.
        let (size, mut ack) = unsafe { ((*config).rx_page_size, Extack::from_raw(ack)) };
        if size.is_power_of_two() && (PAGE_SIZE as u32..=T::RX_PAGE_MAX).contains(&size) {
            return 0;
        }
        ack.say(c"the device has no receive pages of this size");
        ERANGE.to_errno()
    }

    /// # Safety
    ///
    /// `ndo_queue_mem_alloc`: `mem` has room for the memory of a queue, not yet written.
    unsafe extern "C" fn alloc(
        dev: *mut bindings::net_device,
        _config: *mut bindings::netdev_queue_config,
        mem: *mut c_void,
        queue: i32,
    ) -> i32 {
        from_result(|| {
            // SAFETY: The core passes a device of ours and holds the lock.
            let (ops, device, setup) = unsafe {
                let device = Device::from_raw(dev);
                (
                    private::ops_of::<T>(dev),
                    device,
                    private::setup_of::<T>(dev),
                )
            };
            let rx = ops.rx_alloc(device, setup, usize::try_from(queue)?)?;
            // SAFETY: By the safety requirement there is room; `kvzalloc()` aligns for `u64`, which
            // `MEM_SIZE` has checked to be enough.
            unsafe { mem.cast::<Memory<T>>().write(Some(rx)) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `ndo_queue_mem_free`: `mem` was written by `alloc` or `stop`, and is not used again.
    unsafe extern "C" fn free(_dev: *mut bindings::net_device, mem: *mut c_void) {
        // SAFETY: By the safety requirement.
        drop(unsafe { mem.cast::<Memory<T>>().read() });
    }

    /// # Safety
    ///
    /// `ndo_queue_start`: `mem` was written by `alloc` or `stop`; the device is up.
    unsafe extern "C" fn start(
        dev: *mut bindings::net_device,
        _config: *mut bindings::netdev_queue_config,
        mem: *mut c_void,
        queue: i32,
    ) -> i32 {
        from_result(|| {
            let queue = usize::try_from(queue)?;
            // SAFETY: By the safety requirement.
            let mem = unsafe { &mut *mem.cast::<Memory<T>>() };
            let rx = mem.take().ok_or(EINVAL)?;
            // SAFETY: The core passes a device of ours and holds the lock.
            unsafe {
                queues::paused::<T, _>(dev, queue, |ops, poll, napi| {
                    ops.rx_install(queue, poll, rx, napi)
                })?
            };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `ndo_queue_stop`: `mem` has room for the memory of a queue, not yet written; the device is
    /// up.
    unsafe extern "C" fn stop(dev: *mut bindings::net_device, mem: *mut c_void, queue: i32) -> i32 {
        from_result(|| {
            let queue = usize::try_from(queue)?;
            // SAFETY: The core passes a device of ours and holds the lock.
            let rx = unsafe {
                queues::paused::<T, _>(dev, queue, |ops, poll, napi| {
                    Ok(ops.rx_remove(queue, poll, napi))
                })?
            };
            // SAFETY: By the safety requirement there is room; `kvzalloc()` aligns for `u64`, which
            // `MEM_SIZE` has checked to be enough.
            unsafe { mem.cast::<Memory<T>>().write(rx) };
            Ok(0)
        })
    }
}
