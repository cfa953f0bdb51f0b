// SPDX-License-Identifier: GPL-2.0

//! Registering a device, and the callbacks of `net_device_ops`.

use super::{
    ops_of,
    private::{
        self,
        private_of,
        Private, //
    },
    queues::{
        self,
        Instance, //
    },
    watch,
    Config,
    Device,
    Operations,
    RxMode,
    Setup,
    XmitContext, //
};
use crate::net::{
    arfs,
    bindings,
    debugfs::Folder,
    devlink::{
        health::Reporters,
        Devlink, //
    },
    ethtool,
    queue_mgmt,
    service,
    skbuff::{
        DropReason,
        TxInfo,
        TxSkb, //
    },
    stats,
    sysfs,
    xdp, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    error::{
        from_result,
        to_result, //
    },
    irq::IrqRequest,
    pci,
    prelude::*,
    sync::Arc, //
};

/// A registered network device.
///
/// # Invariants
///
/// `dev` is registered. Its private area holds a pointer to a live `Private<T>`. If `event_irq` is
/// set, that interrupt is requested with the device as argument.
pub(crate) struct Registration<'bound, T: Operations + 'bound> {
    dev: NonNull<bindings::net_device>,
    event_irq: Option<u32>,
    devlink: Devlink<T>,
    debugfs: Option<Folder<T>>,
    service: Option<service::Attached>,
    watch: Option<service::Attached>,
    _sysfs: sysfs::Group<T>,
    _bound: PhantomData<(&'bound (), T)>,
}

// SAFETY: The device may be unregistered from any thread that may sleep.
unsafe impl<T: Operations> Send for Registration<'_, T> {}
// SAFETY: Only `&Device` and `&T` can be reached through a shared reference, and both are `Sync`.
unsafe impl<T: Operations> Sync for Registration<'_, T> {}

impl<'bound, T: Operations + 'bound> Registration<'bound, T> {
    const NETDEV_OPS: bindings::net_device_ops = bindings::net_device_ops {
        ndo_open: Some(Self::open),
        ndo_stop: Some(Self::stop),
        ndo_start_xmit: Some(Self::start_xmit),
        ndo_tx_timeout: Some(Self::tx_timeout),
        ndo_features_check: Some(Self::features_check),
        ndo_get_stats64: Some(Self::get_stats64),
        ndo_set_rx_mode_async: Some(Self::set_rx_mode),
        ndo_set_mac_address: Some(Self::set_mac_address),
        ndo_validate_addr: Some(bindings::eth_validate_addr),
        ndo_change_mtu: Some(Self::change_mtu),
        ndo_fix_features: Some(Self::fix_features),
        ndo_set_features: Some(Self::set_features),
        #[cfg(CONFIG_RFS_ACCEL)]
        ndo_rx_flow_steer: Some(arfs::rx_flow_steer::<T>),
        ndo_bpf: Some(xdp::Adapter::<T>::bpf),
        ndo_xdp_xmit: Some(xdp::Adapter::<T>::xmit),
        ..pin_init::zeroed()
    };

    /// Makes and registers a device on interrupt vectors 0 to `config.queues`, of which the last
    /// is for events. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], or what registration or requesting the event interrupt says.
    ///
    /// # Safety
    ///
    /// The object must not be leaked: it must be dropped before `'bound` ends.
    pub(crate) unsafe fn new(
        parent: &'bound pci::Device<Bound>,
        irqs: Arc<pci::IrqVectorRegistration<'bound>>,
        config: &Config,
        setup: T::Setup,
        ops: T,
    ) -> Result<Self> {
        let parent: &device::Device<Bound> = parent.as_ref();
        // CAST: `device::Device` is a transparent wrapper of `struct device`.
        let parent = core::ptr::from_ref(parent).cast_mut().cast();
        // SAFETY: The device is bound and outlives this object, of which the instance is a part.
        let devlink = unsafe { Devlink::new(parent)? };
        let sysfs = sysfs::Group::<T>::new()?;
        let event: IrqRequest<'_> = irqs.index(config.queues as usize)?.into();
        let event_irq = event.irq();
        let used = setup.queues();
        let private = KBox::new(Private::new(ops, irqs, setup)?, GFP_KERNEL)?;
        // SAFETY: Plain numbers.
        let dev = unsafe {
            bindings::alloc_etherdev_mqs(
                core::mem::size_of::<*mut Private<'_, T>>() as i32,
                config.queues,
                config.queues,
            )
        };
        let dev = NonNull::new(dev).ok_or(ENOMEM)?;
        // SAFETY: The device is fresh; the tables are constants that live for ever; the parent
        // outlives the device. The private area has room for the pointer.
        unsafe {
            bindings::netdev_setup(dev.as_ptr(), parent, config);
            (*dev.as_ptr()).netdev_ops = &Self::NETDEV_OPS;
            (*dev.as_ptr()).ethtool_ops = &ethtool::Adapter::<T>::OPS;
            (*dev.as_ptr()).sysfs_groups[0] = sysfs.as_raw();
            (*dev.as_ptr()).devlink_port = devlink.port();
            (*dev.as_ptr()).stat_ops = &stats::Adapter::<T>::OPS;
            (*dev.as_ptr()).queue_mgmt_ops = &queue_mgmt::Adapter::<T>::OPS;
            (*dev.as_ptr()).xdp_metadata_ops = &xdp::METADATA_OPS;
            (*dev.as_ptr()).xdp_features = xdp::FEATURES;
            bindings::netdev_priv(dev.as_ptr())
                .cast::<*mut Private<'_, T>>()
                .write(KBox::into_raw(private));
        }
        // SAFETY: Not registered yet.
        let prepared = unsafe {
            queues::set_queues(dev.as_ptr(), used)
                .and_then(|()| arfs::prepare(dev.as_ptr(), config.queues))
        };
        if let Err(e) = prepared {
            // SAFETY: As above, so nobody else has it.
            unsafe { Self::free(dev) };
            return Err(e);
        }
        // SAFETY: The device is complete.
        if let Err(e) = to_result(unsafe { bindings::register_netdev(dev.as_ptr()) }) {
            // SAFETY: Not registered, so nobody else has it.
            unsafe { Self::free(dev) };
            return Err(e);
        }
        // INVARIANT: Registered, private data in place, no event interrupt yet.
        let mut this = Self {
            dev,
            event_irq: None,
            devlink,
            debugfs: None,
            service: None,
            watch: None,
            _sysfs: sysfs,
            _bound: PhantomData,
        };
        // SAFETY: The device lives until the interrupt is freed; its name is part of it.
        to_result(unsafe {
            bindings::request_threaded_irq(
                event_irq,
                None,
                Some(Self::event),
                bindings::IRQF_ONESHOT as usize,
                (*dev.as_ptr()).name.as_ptr().cast(),
                dev.as_ptr().cast(),
            )
        })?;
        // INVARIANT: Requested just now.
        this.event_irq = Some(event_irq);
        // SAFETY: Registered, and withdrawn from all of these before that ends: nobody calls in
        // after `drop` has taken them back, in the reverse order.
        unsafe {
            watch::event::<T>(dev.as_ptr());
            this.debugfs = Some(Folder::new(dev)?);
            this.devlink.publish(dev)?;
            this.service = Some(service::start::<T>(dev.as_ptr()));
            let reporters = Reporters::new::<T>(this.devlink.as_raw(), dev.as_ptr())?;
            let private = &*private_of::<T>(dev.as_ptr());
            private.set_reporters(Some(reporters));
            this.watch = Some(private.watch().attach(dev.as_ptr(), watch::tick::<T>));
        }
        Ok(this)
    }

    /// Lets go of the device, as for a suspend or a reset by somebody else: when this returns it
    /// accesses no memory and raises no interrupt, and the core asks nothing of it. Does nothing
    /// the second time. May sleep; takes the instance lock.
    pub(crate) fn quiesce(&self) {
        // SAFETY: Registered by the type invariant, and the lock is not held: who calls has no
        // callback of the device running.
        unsafe { watch::quiesce::<T>(self.dev.as_ptr()) };
    }

    /// Takes the device back after [`Self::quiesce`]: it is reset and brought back to all that is
    /// configured, and goes on if the interface is up. May sleep; takes the instance lock, and
    /// rtnl.
    ///
    /// # Errors
    ///
    /// What the driver says. An interface that is up stays without queues then, and the watch
    /// tries again.
    pub(crate) fn restore(&self) -> Result {
        // SAFETY: Registered by the type invariant, and neither lock is held: who calls has no
        // callback of the device running.
        unsafe { watch::resume::<T>(self.dev.as_ptr()) }
    }

    /// The device does not answer any more: its interface loses the carrier, and whoever asks is
    /// told that there is no device. May sleep; takes the instance lock.
    pub(crate) fn gone(&self) {
        // SAFETY: As in `quiesce`.
        unsafe { watch::depart::<T>(self.dev.as_ptr()) };
    }

    /// # Safety
    ///
    /// `dev` has private data and is not registered (any more).
    unsafe fn free(dev: NonNull<bindings::net_device>) {
        // SAFETY: The pointer was put there by `new`, and is not used after this.
        drop(unsafe { KBox::from_raw(private_of::<T>(dev.as_ptr())) });
        // SAFETY: Nobody uses the device any more.
        unsafe { bindings::free_netdev(dev.as_ptr()) };
    }

    /// # Safety
    ///
    /// `ndo_open`: process context, rtnl and instance lock held, device down.
    unsafe extern "C" fn open(dev: *mut bindings::net_device) -> i32 {
        // SAFETY: The core passes a device of ours, alive for the call, with the lock held.
        from_result(|| unsafe { Instance::<T>::new(dev) }.up().map(|()| 0))
    }

    /// # Safety
    ///
    /// `ndo_stop`: process context, rtnl and instance lock held, device up.
    unsafe extern "C" fn stop(dev: *mut bindings::net_device) -> i32 {
        // SAFETY: The core passes a device of ours, alive for the call, with the lock held.
        unsafe { Instance::<T>::new(dev) }.down();
        0
    }

    /// # Safety
    ///
    /// `ndo_start_xmit`: softirqs off, transmit queue locked and started.
    unsafe extern "C" fn start_xmit(
        skb: *mut bindings::sk_buff,
        dev: *mut bindings::net_device,
    ) -> bindings::netdev_tx_t {
        // SAFETY: The core gives up a valid packet.
        let (queue, skb) = unsafe {
            let queue = u32::from(bindings::skb_get_queue_mapping(skb));
            (queue, TxSkb::from_raw(NonNull::new_unchecked(skb)))
        };
        // SAFETY: Softirqs are off.
        let tx = unsafe { private::tx_of::<T>(dev, queue) };
        let Some(tx) = tx else {
            skb.drop_with(DropReason::NotReady);
            return bindings::netdev_tx_NETDEV_TX_OK;
        };
        // SAFETY: The queue exists, as it has a transmit side, and is started and locked.
        let cx = unsafe { XmitContext::new(bindings::netdev_get_tx_queue(dev, queue)) };
        // SAFETY: The transmit side of a queue is used under the queue's lock only.
        T::start_xmit(unsafe { &mut *tx.get() }, &cx, skb);
        bindings::netdev_tx_NETDEV_TX_OK
    }

    /// # Safety
    ///
    /// `ndo_tx_timeout`: softirqs off, all transmit queues frozen.
    unsafe extern "C" fn tx_timeout(dev: *mut bindings::net_device, queue: u32) {
        // SAFETY: The core passes a device of ours, alive for the call.
        unsafe { &*private_of::<T>(dev) }.timed_out(queue);
    }

    /// # Safety
    ///
    /// `ndo_features_check`: softirqs off.
    unsafe extern "C" fn features_check(
        skb: *mut bindings::sk_buff,
        _dev: *mut bindings::net_device,
        features: bindings::netdev_features_t,
    ) -> bindings::netdev_features_t {
        let mut info = TxInfo::default();
        // SAFETY: The core passes a valid packet, which it keeps.
        let features = unsafe {
            bindings::skb_tx_info(skb, &mut info);
            bindings::vlan_features_check(skb, features)
        };
        if info.gso != 0 && !T::can_segment(&info) {
            features & !bindings::NETIF_F_GSO_MASK
        } else {
            features
        }
    }

    /// # Safety
    ///
    /// `ndo_get_stats64`: in an RCU read section.
    unsafe extern "C" fn get_stats64(
        dev: *mut bindings::net_device,
        stats: *mut bindings::rtnl_link_stats64,
    ) {
        // SAFETY: The core passes a device of ours and zeroed statistics.
        let (ops, stats) = unsafe { (ops_of::<T>(dev), &mut *stats) };
        ops.stats64(stats);
    }

    /// # Safety
    ///
    /// `ndo_set_rx_mode_async`: process context, instance lock held, lists are snapshots.
    unsafe extern "C" fn set_rx_mode(
        dev: *mut bindings::net_device,
        _uc: *mut bindings::netdev_hw_addr_list,
        mc: *mut bindings::netdev_hw_addr_list,
    ) -> i32 {
        const ROOM: usize = 64;
        // SAFETY: The core passes a device of ours, alive for the call.
        let (ops, device) = unsafe { (ops_of::<T>(dev), Device::from_raw(dev)) };
        let mut addrs = [[0_u8; 6]; ROOM];
        // SAFETY: The list is valid and the buffer has room for as many.
        let n = unsafe { bindings::hw_addr_copy(mc, addrs.as_mut_ptr().cast(), ROOM as u32) };
        let n = n as usize;
        // SAFETY: A plain word of a valid device.
        let flags = unsafe { (*dev).flags };
        let mode = RxMode {
            promisc: flags & bindings::net_device_flags_IFF_PROMISC != 0,
            allmulti: flags & bindings::net_device_flags_IFF_ALLMULTI != 0 || n > ROOM,
            multicast: addrs.get(..n).unwrap_or(&addrs),
        };
        from_result(|| ops.set_rx_mode(device, &mode).map(|()| 0))
    }

    /// # Safety
    ///
    /// `ndo_set_mac_address`: process context, rtnl and instance lock held.
    unsafe extern "C" fn set_mac_address(dev: *mut bindings::net_device, addr: *mut c_void) -> i32 {
        // SAFETY: The core passes a device of ours and a socket address.
        let ret = unsafe { bindings::eth_mac_addr(dev, addr) };
        if ret == 0 {
            let mut mac = [0; 6];
            // SAFETY: The device's address has at least six bytes.
            unsafe {
                core::ptr::copy_nonoverlapping((*dev).dev_addr, mac.as_mut_ptr(), mac.len());
                ops_of::<T>(dev).set_mac(&mac);
            }
        }
        ret
    }

    /// # Safety
    ///
    /// `ndo_change_mtu`: process context, rtnl and instance lock held.
    unsafe extern "C" fn change_mtu(dev: *mut bindings::net_device, mtu: i32) -> i32 {
        let Ok(new) = u32::try_from(mtu) else {
            return EINVAL.to_errno();
        };
        // SAFETY: The core passes a device of ours and leaves storing the value to the driver.
        unsafe {
            ops_of::<T>(dev).set_mtu(new);
            bindings::netdev_store_mtu(dev, new);
        }
        0
    }

    /// # Safety
    ///
    /// `ndo_fix_features`: process context, rtnl and instance lock held.
    unsafe extern "C" fn fix_features(
        dev: *mut bindings::net_device,
        features: bindings::netdev_features_t,
    ) -> bindings::netdev_features_t {
        // SAFETY: The core passes a device of ours, alive for the call.
        unsafe { ops_of::<T>(dev) }.fix_features(features)
    }

    /// # Safety
    ///
    /// `ndo_set_features`: process context, rtnl and instance lock held.
    unsafe extern "C" fn set_features(
        dev: *mut bindings::net_device,
        features: bindings::netdev_features_t,
    ) -> i32 {
        // SAFETY: The core passes a device of ours, alive for the call.
        let (ops, device) = unsafe { (ops_of::<T>(dev), Device::from_raw(dev)) };
        from_result(|| ops.set_features(device, features).map(|()| 0))
    }

    /// # Safety
    ///
    /// The thread of the event interrupt, requested by `new`.
    unsafe extern "C" fn event(_irq: i32, dev: *mut c_void) -> bindings::irqreturn_t {
        let dev = dev.cast();
        // SAFETY: The device and its private data live until the interrupt is freed, which nobody
        // does with the instance lock held.
        unsafe {
            ops_of::<T>(dev).event();
            watch::event::<T>(dev);
        }
        bindings::irqreturn::IRQ_HANDLED
    }
}

impl<T: Operations> Drop for Registration<'_, T> {
    fn drop(&mut self) {
        self.watch = None;
        // SAFETY: The watch has ended.
        unsafe { (*private_of::<T>(self.dev.as_ptr())).set_reporters(None) };
        self.service = None;
        self.devlink.withdraw();
        self.debugfs = None;
        if let Some(irq) = self.event_irq {
            // SAFETY: Requested with this argument, by the type invariant.
            unsafe { bindings::free_irq(irq, self.dev.as_ptr().cast()) };
        }
        // SAFETY: Registered, by the type invariant. This brings the interface down, which drops
        // the queues.
        unsafe { bindings::unregister_netdev(self.dev.as_ptr()) };
        // SAFETY: Not registered any more.
        unsafe { Self::free(self.dev) };
    }
}
