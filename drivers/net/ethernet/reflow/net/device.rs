// SPDX-License-Identifier: GPL-2.0

//! Network devices.
//!
//! A driver implements [`Operations`]. What exists only while the interface is up, the queues, is
//! made by [`Operations::open`] and owned here, so that the data path cannot see it before it is
//! complete or after it is gone:
//!
//! * up: `open` -> NAPI instances and interrupts -> `start` -> transmit queues started;
//! * down: interrupts freed and NAPI stopped -> transmit queues stopped, and waited for -> `stop`
//!   -> queues dropped.
//!
//! All operations but `start_xmit`, `stats64` and `event` run in process context with the device's
//! instance lock held, and may sleep.

use super::{
    bindings,
    devlink::{
        self,
        Devlink, //
    },
    ethtool,
    napi::{
        Poll,
        Vector, //
    },
    skbuff::{
        DropReason,
        TxInfo,
        TxSkb, //
    },
    stats, //
};
use core::{
    cell::UnsafeCell,
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
    sync::Arc,
    types::Opaque, //
};

/// A MAC address.
pub(crate) type MacAddr = [u8; 6];

/// Bytes of an Ethernet header.
pub(crate) const ETH_HLEN: u32 = bindings::ETH_HLEN;

/// Feature bits of a device that drivers using this layer may offer.
pub(crate) mod features {
    use super::bindings;

    /// Scatter-gather.
    pub(crate) const SG: u64 = bindings::NETIF_F_SG;
    /// Checksum of any protocol inserted on transmit.
    pub(crate) const HW_CSUM: u64 = bindings::NETIF_F_HW_CSUM;
    /// Checksums verified on receive.
    pub(crate) const RXCSUM: u64 = bindings::NETIF_F_RXCSUM;
    /// Flow hash on receive.
    pub(crate) const RXHASH: u64 = bindings::NETIF_F_RXHASH;
    /// Merging of TCP segments by the device, reversible.
    pub(crate) const GRO_HW: u64 = bindings::NETIF_F_GRO_HW;
    /// Segmentation of TCP over IPv4 and IPv6, with ECN.
    pub(crate) const TSO: u64 =
        bindings::NETIF_F_TSO | bindings::NETIF_F_TSO6 | bindings::NETIF_F_TSO_ECN;
    /// Segmentation of UDP.
    pub(crate) const USO: u64 = bindings::NETIF_F_GSO_UDP_L4;
    /// Rules of the user that say where packets go.
    pub(crate) const NTUPLE: u64 = bindings::NETIF_F_NTUPLE;
    /// VLAN tags inserted on transmit.
    pub(crate) const VLAN_TX: u64 = bindings::NETIF_F_HW_VLAN_CTAG_TX;
    /// VLAN tags removed on receive.
    pub(crate) const VLAN_RX: u64 = bindings::NETIF_F_HW_VLAN_CTAG_RX;
}

/// Totals of a device, as `ip -s link` shows them.
pub(crate) type Stats64 = bindings::rtnl_link_stats64;

/// What the receive filter is to let in.
pub(crate) struct RxMode<'a> {
    /// Everything.
    pub(crate) promisc: bool,
    /// All multicast.
    pub(crate) allmulti: bool,
    /// These multicast addresses.
    pub(crate) multicast: &'a [MacAddr],
}

/// A queue pair, ready to run.
pub(crate) struct QueuePair<T: Operations> {
    /// What `start_xmit` works on, under the transmit queue's lock.
    pub(crate) tx: T::Tx,
    /// What NAPI works on.
    pub(crate) poll: T::Poll,
    /// What both share with the interrupt's re-arming.
    pub(crate) shared: <T::Poll as Poll>::Shared,
}

/// A driver of network devices.
pub(crate) trait Operations:
    devlink::Operations
    + ethtool::Operations
    + ethtool::rxfh::Operations
    + ethtool::rxnfc::Operations
    + stats::Queues
    + Send
    + Sync
    + Sized
{
    /// Transmit side of a queue.
    type Tx: Send;
    /// What NAPI cleans up for a queue.
    type Poll: Poll;

    /// Makes the queues, each on the interrupt vector of its number.
    ///
    /// # Errors
    ///
    /// Any; the interface stays down.
    fn open(&self, dev: &Device) -> Result<KVec<QueuePair<Self>>>;

    /// Puts the device to work.
    ///
    /// # Errors
    ///
    /// Any; everything is taken back as in going down, `stop` included.
    fn start(&self, dev: &Device) -> Result;

    /// Stops the device: when this returns, it does not access memory any more.
    fn stop(&self, dev: &Device);

    /// Sends a packet. Softirqs off, transmit queue locked.
    fn start_xmit(tx: &mut Self::Tx, cx: &XmitContext<'_>, skb: TxSkb);

    /// Whether the device can cut this packet into segments; the stack does it otherwise. Softirqs
    /// off.
    fn can_segment(packet: &TxInfo) -> bool;

    /// Fills in totals. In an RCU read section; must not sleep.
    fn stats64(&self, stats: &mut Stats64);

    /// Sets the receive filter.
    ///
    /// # Errors
    ///
    /// Any; the core tries again later.
    fn set_rx_mode(&self, dev: &Device, mode: &RxMode<'_>) -> Result;

    /// Sets the station address.
    fn set_mac(&self, addr: &MacAddr);

    /// Sets the largest payload of a frame.
    fn set_mtu(&self, mtu: u32);

    /// Called once, when the device is registered and events can come.
    fn registered(&self, dev: &Device);

    /// The event vector fired. In the interrupt's thread, without the instance lock; may sleep.
    fn event(&self, dev: &Device);

    /// Applies a change of features.
    ///
    /// # Errors
    ///
    /// Any; the features stay as they were.
    fn set_features(&self, dev: &Device, features: u64) -> Result;
}

/// CPUs that can share the work, at this moment.
pub(crate) fn online_cpus() -> u32 {
    // SAFETY: Reads a counter.
    unsafe { bindings::num_online_cpus() }
}

/// Fills a hash key with the system's random one.
pub(crate) fn rss_key_fill(key: &mut [u8]) {
    // SAFETY: The buffer is as long as said.
    unsafe { bindings::netdev_rss_key_fill(key.as_mut_ptr().cast(), key.len()) };
}

/// A network device.
#[repr(transparent)]
pub(crate) struct Device(Opaque<bindings::net_device>);

// SAFETY: The methods only do what the core allows from any context, or read plain words.
unsafe impl Send for Device {}
// SAFETY: As above.
unsafe impl Sync for Device {}

impl Device {
    /// # Safety
    ///
    /// `ptr` is valid for `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::net_device) -> &'a Self {
        // CAST: `Self` is a transparent wrapper.
        // SAFETY: By the safety requirement.
        unsafe { &*ptr.cast() }
    }

    pub(super) fn as_raw(&self) -> *mut bindings::net_device {
        self.0.get()
    }

    /// The interface's name at this moment.
    pub(crate) fn name(&self) -> &CStr {
        // SAFETY: The name is an array in the device, always terminated; the instance lock or rtnl
        // keeps it from changing under the operations that have a `Device`.
        unsafe { CStr::from_char_ptr((*self.as_raw()).name.as_ptr().cast()) }
    }

    /// Largest payload of a frame.
    pub(crate) fn mtu(&self) -> u32 {
        // SAFETY: The device is valid.
        unsafe { bindings::netdev_mtu(self.as_raw()) }
    }

    /// Receive queues in use.
    pub(crate) fn rx_queues(&self) -> u32 {
        // SAFETY: The device is valid.
        unsafe { bindings::netdev_rx_queues(self.as_raw()) }
    }

    /// Whether the user set the indirection table of context 0.
    pub(crate) fn rxfh_configured(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::netif_is_rxfh_configured(self.as_raw()) }
    }

    /// Says whether the wire is connected.
    pub(crate) fn set_carrier(&self, on: bool) {
        // SAFETY: The device is valid; these may be called from any context.
        unsafe {
            if on {
                bindings::netif_carrier_on(self.as_raw());
            } else {
                bindings::netif_carrier_off(self.as_raw());
            }
        }
    }

    /// Does what must not be done while the interface is up. May sleep; without the instance lock.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if it is up, or what `change` says.
    pub(crate) fn while_down(&self, change: impl FnOnce() -> Result) -> Result {
        // SAFETY: The device is valid; the lock is given back below.
        unsafe { bindings::netdev_lock(self.as_raw()) };
        // SAFETY: A plain word of a valid device, which the lock keeps as it is.
        let up = unsafe { (*self.as_raw()).flags } & bindings::net_device_flags_IFF_UP != 0;
        let done = if up { Err(EBUSY) } else { change() };
        // SAFETY: Locked above.
        unsafe { bindings::netdev_unlock(self.as_raw()) };
        done
    }

    /// Whether the wire was last said to be connected.
    pub(crate) fn carrier(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::netif_carrier_ok(self.as_raw()) }
    }
}

/// Proof that a transmit queue is locked by this CPU, in `ndo_start_xmit`.
pub(crate) struct XmitContext<'a> {
    txq: *mut bindings::netdev_queue,
    _locked: PhantomData<&'a ()>,
}

impl XmitContext<'_> {
    /// Tells byte queue limits of a packet put on the ring; true if the doorbell is due now.
    #[inline]
    pub(crate) fn sent(&self, bytes: u32) -> bool {
        // SAFETY: The queue is valid and locked.
        unsafe { bindings::txq_sent(self.txq, bytes) }
    }

    /// Whether the stack has another packet for this queue right behind.
    #[inline]
    pub(crate) fn more(&self) -> bool {
        // SAFETY: Reads a per-CPU flag; softirqs are off.
        unsafe { bindings::netdev_xmit_more() }
    }

    /// Keeps the stack from sending until the queue is woken.
    pub(crate) fn stop(&self) {
        // SAFETY: The queue is valid and locked.
        unsafe { bindings::netif_tx_stop_queue(self.txq) };
    }

    /// Takes back a `stop` of just now.
    pub(crate) fn start(&self) {
        // SAFETY: The queue is valid and locked.
        unsafe { bindings::netif_tx_start_queue(self.txq) };
    }
}

/// The queues while the interface is up.
struct Running<T: Operations> {
    /// Touched under the instance lock only, while `start_xmit` may be reading `tx`.
    vectors: UnsafeCell<KVec<Vector<T::Poll>>>,
    tx: KVec<UnsafeCell<T::Tx>>,
}

impl<T: Operations> Running<T> {
    /// Stops all polls and interrupts.
    ///
    /// # Safety
    ///
    /// The instance lock is held.
    unsafe fn halt(&self) {
        // SAFETY: By the safety requirement this is the only reference to the vectors.
        for vector in unsafe { &mut *self.vectors.get() } {
            vector.stop();
        }
    }
}

/// What lies behind a `net_device`.
struct Private<'bound, T: Operations> {
    ops: T,
    irqs: Arc<pci::IrqVectorRegistration<'bound>>,
    /// Written by `open` and `stop` only, under the instance lock and while no transmit queue is
    /// started; read by `start_xmit`.
    running: UnsafeCell<Option<Running<T>>>,
}

/// What the core is to know of a new device.
pub(crate) type Config = bindings::rnet_config;

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
        ndo_features_check: Some(Self::features_check),
        ndo_get_stats64: Some(Self::get_stats64),
        ndo_set_rx_mode_async: Some(Self::set_rx_mode),
        ndo_set_mac_address: Some(Self::set_mac_address),
        ndo_validate_addr: Some(bindings::eth_validate_addr),
        ndo_change_mtu: Some(Self::change_mtu),
        ndo_set_features: Some(Self::set_features),
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
        ops: T,
    ) -> Result<Self> {
        let parent: &device::Device<Bound> = parent.as_ref();
        // CAST: `device::Device` is a transparent wrapper of `struct device`.
        let parent = core::ptr::from_ref(parent).cast_mut().cast();
        // SAFETY: The device is bound and outlives this object, of which the instance is a part.
        let devlink = unsafe { Devlink::new(parent)? };
        let event: IrqRequest<'_> = irqs.index(config.queues as usize)?.into();
        let event_irq = event.irq();
        let private = KBox::new(
            Private {
                ops,
                irqs,
                running: UnsafeCell::new(None),
            },
            GFP_KERNEL,
        )?;
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
            (*dev.as_ptr()).devlink_port = devlink.port();
            (*dev.as_ptr()).stat_ops = &stats::Adapter::<T>::OPS;
            bindings::netdev_priv(dev.as_ptr())
                .cast::<*mut Private<'_, T>>()
                .write(KBox::into_raw(private));
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
        this.ops().registered(this.device());
        // SAFETY: Registered, and withdrawn from devlink before that ends.
        unsafe { this.devlink.publish(dev)? };
        Ok(this)
    }

    /// The device.
    pub(crate) fn device(&self) -> &Device {
        // SAFETY: The device lives as long as this object.
        unsafe { Device::from_raw(self.dev.as_ptr()) }
    }

    /// The driver's part.
    pub(crate) fn ops(&self) -> &T {
        // SAFETY: The private data lives as long as this object.
        unsafe { ops_of(self.dev.as_ptr()) }
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
        // SAFETY: The core passes a device of ours, alive for the call.
        let (this, device) = unsafe { (&*private_of::<T>(dev), Device::from_raw(dev)) };
        from_result(|| {
            let pairs = this.ops.open(device)?;
            let mut vectors = KVec::with_capacity(pairs.len(), GFP_KERNEL)?;
            let mut tx = KVec::with_capacity(pairs.len(), GFP_KERNEL)?;
            for (i, pair) in pairs.into_iter().enumerate() {
                let irq: IrqRequest<'_> = this.irqs.index(i)?.into();
                let (irq, queue) = (irq.irq(), u32::try_from(i)?);
                tx.push(UnsafeCell::new(pair.tx), GFP_KERNEL)?;
                // SAFETY: The instance lock is held here and in `stop`, where the vectors are
                // dropped at the latest; the interrupt vectors live as long as the private data.
                let vector = unsafe { Vector::new(device, queue, irq, pair.poll, pair.shared)? };
                vectors.push(vector, GFP_KERNEL)?;
                // SAFETY: The queue exists and is stopped.
                unsafe { bindings::netdev_tx_reset_subqueue(dev, queue) };
            }
            let running = Running {
                vectors: UnsafeCell::new(vectors),
                tx,
            };
            if let Err(e) = this.ops.start(device) {
                // SAFETY: The instance lock is held.
                unsafe { running.halt() };
                this.ops.stop(device);
                return Err(e);
            }
            // SAFETY: Transmit queues are stopped since allocation or the last `stop`, so nobody
            // reads the cell.
            unsafe { *this.running.get() = Some(running) };
            // SAFETY: The device is valid. The stores above are visible to whoever finds a queue
            // started: it takes the queue's lock, and so did nobody since it was stopped.
            unsafe { bindings::netif_tx_start_all_queues(dev) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `ndo_stop`: process context, rtnl and instance lock held, device up.
    unsafe extern "C" fn stop(dev: *mut bindings::net_device) -> i32 {
        // SAFETY: The core passes a device of ours, alive for the call.
        let (this, device) = unsafe { (&*private_of::<T>(dev), Device::from_raw(dev)) };
        // First those who could wake a transmit queue.
        // SAFETY: What is inside changes under the instance lock only, which is held.
        if let Some(running) = unsafe { &*this.running.get() } {
            // SAFETY: The instance lock is held.
            unsafe { running.halt() };
        }
        // SAFETY: The device is valid. After these two nobody is in `start_xmit`, and nobody gets
        // in before `open` starts the queues again.
        unsafe {
            bindings::netif_tx_disable(dev);
            bindings::synchronize_net();
        }
        this.ops.stop(device);
        // SAFETY: Nobody else reads the cell any more.
        drop(unsafe { (*this.running.get()).take() });
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
            let queue = bindings::skb_get_queue_mapping(skb);
            (queue, TxSkb::from_raw(NonNull::new_unchecked(skb)))
        };
        // SAFETY: The queue is started, so `open` has filled in the cell and `stop` has not begun
        // to take it: it waits for this function.
        let running = unsafe { &*(*private_of::<T>(dev)).running.get() };
        let tx = running.as_ref().and_then(|r| r.tx.get(usize::from(queue)));
        let Some(tx) = tx else {
            skb.drop_with(DropReason::NotReady);
            return bindings::netdev_tx_NETDEV_TX_OK;
        };
        let cx = XmitContext {
            // SAFETY: The queue exists, as it has a transmit side.
            txq: unsafe { bindings::netdev_get_tx_queue(dev, queue.into()) },
            _locked: PhantomData,
        };
        // SAFETY: The transmit side of a queue is used under the queue's lock only.
        T::start_xmit(unsafe { &mut *tx.get() }, &cx, skb);
        bindings::netdev_tx_NETDEV_TX_OK
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
        // SAFETY: The device and its private data live until the interrupt is freed.
        let (ops, device) = unsafe { (ops_of::<T>(dev), Device::from_raw(dev)) };
        ops.event(device);
        bindings::irqreturn::IRQ_HANDLED
    }
}

impl<T: Operations> Drop for Registration<'_, T> {
    fn drop(&mut self) {
        self.devlink.withdraw();
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

/// # Safety
///
/// `dev` was made by [`Registration::new`] for this `T`, and is alive.
unsafe fn private_of<'a, T: Operations>(dev: *mut bindings::net_device) -> *mut Private<'a, T> {
    // SAFETY: The private area holds the pointer, by the invariant of `Registration`.
    unsafe { *bindings::netdev_priv(dev).cast::<*mut Private<'a, T>>() }
}

/// # Safety
///
/// As for [`private_of`], for all of `'a`.
pub(super) unsafe fn ops_of<'a, T: Operations + 'a>(dev: *mut bindings::net_device) -> &'a T {
    // SAFETY: By the safety requirement; `ops` is never borrowed mutably.
    unsafe { &(*private_of::<T>(dev)).ops }
}
