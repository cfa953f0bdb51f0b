// SPDX-License-Identifier: GPL-2.0

//! Network devices: wraps `struct net_device` and `struct net_device_ops`.
//!
//! A driver implements [`Operations`]. Queues exist only while the interface is up.
//! [`Operations::open_queue`] allocates them and the layer owns them, so the data path cannot see a
//! queue before it is complete or after it is freed:
//!
//! * up: `restore` -> `open_queue` for each -> `start_queue`, NAPI and interrupt for each ->
//!   `start` -> transmit queues started;
//! * down: interrupts freed and NAPI stopped -> transmit queues stopped, and senders waited for ->
//!   `stop` -> `stop_queue` for each -> queues dropped.
//!
//! A value of [`Operations::Setup`] says how many queues there are and how they are made. A change
//! of settings gives a new value, and the layer replaces the queues: all memory is allocated before
//! the first running queue is stopped.
//!
//! While the interface is up the layer checks the device ([`watch`]): it recovers from faults by
//! restarting a queue pair or by resetting the device, after which [`Operations::restore`] applies
//! the whole configuration.
//!
//! All operations but `start_xmit`, `can_segment` and `stats64` run in process context and may
//! sleep, with the device's instance lock held except for `event` and `reset`.
//!
//! Optional features of a driver are parts, each with its own trait. A driver names those that it
//! has; the others add nothing to its tables of callbacks.
//!
//! ```
//! struct Nic {
//!     counts: Counts,
//! }
//!
//! #[vtable]
//! impl Operations for Nic {
//!     const PARTS: Parts<Self> = Parts::new().rings().channels().stats();
//!
//!     type Setup = Sizes;
//!     type Tx = Ring;
//!     type Poll = Pair;
//!
//!     fn open_queue(&self, dev: &Device, setup: &Sizes, i: usize) -> Result<QueuePair<Self>> {
//!         Ok(QueuePair {
//!             tx: Ring::new(i, setup.log2_tx())?,
//!             poll: Pair::new(dev, i, setup.log2_rx())?,
//!             shared: (),
//!         })
//!     }
//!
//!     fn restore(&self, _dev: &Device, _setup: &Sizes, reset: bool) -> Result {
//!         if reset {
//!             self.reset()?;
//!         }
//!         self.configure()
//!     }
//!
//!     fn reset(&self) -> Result {
//!         self.stop_device()
//!     }
//!
//!     fn start_queue(&self, i: usize, tx: &mut Ring, poll: &mut Pair) -> Result {
//!         poll.switch_on(i, tx)
//!     }
//!
//!     fn stop_queue(&self, i: usize, poll: &mut Pair) {
//!         poll.switch_off(i);
//!     }
//!
//!     fn start_xmit(tx: &mut Ring, cx: &XmitContext<'_>, skb: TxSkb) {
//!         tx.send(cx, skb);
//!     }
//!
//!     fn stats64(&self, stats: &mut Stats64) {
//!         stats.rx_packets = self.counts.rx_packets.read();
//!         stats.tx_packets = self.counts.tx_packets.read();
//!     }
//! }
//! # use crate::Pair;
//! # use ethtool::StatVisitor;
//! # use plain::sizes::Sizes;
//! # use skbuff::{DropReason, TxSkb};
//! # stats::counters! { Counts: rx_packets, tx_packets, }
//! # struct Ring;
//! # impl Ring {
//! #     fn new(_i: usize, _log2: u32) -> Result<Self> { Ok(Self) }
//! #     fn send(&mut self, _cx: &XmitContext<'_>, skb: TxSkb) {
//! #         skb.drop_with(DropReason::DevReady);
//! #     }
//! # }
//! # impl Pair {
//! #     fn new(_dev: &Device, _i: usize, _log2: u32) -> Result<Self> { Ok(Self { pool: None }) }
//! #     fn switch_on(&mut self, _i: usize, _tx: &mut Ring) -> Result { Ok(()) }
//! #     fn switch_off(&mut self, _i: usize) {}
//! # }
//! # impl Nic {
//! #     fn configure(&self) -> Result { Ok(()) }
//! #     fn stop_device(&self) -> Result { Ok(()) }
//! # }
//! # impl ethtool::Stats for Nic {
//! #     fn visit_stats(&self, v: &mut dyn StatVisitor) {
//! #         self.counts.visit(|name, value| v.stat(fmt!("{name}"), value));
//! #     }
//! # }
//! ```

pub(in crate::net) mod handle;
mod ndo;
mod parts;
mod private;
pub(super) mod queues;
mod registration;
pub(super) mod senders;
pub(crate) mod watch;

use super::{
    bindings,
    log::netdev_info,
    napi::Poll,
    page_pool::PAGE_SIZE,
    skbuff::{
        TxInfo,
        TxSkb, //
    }, //
};
use kernel::{
    error::VTABLE_DEFAULT_ERROR,
    fmt,
    prelude::*,
    types::Opaque, //
};

pub(crate) use handle::Unlocked;
pub(crate) use parts::Parts;
pub(crate) use registration::Registration;

/// A MAC address.
pub(crate) type MacAddr = [u8; 6];

/// Bytes of an Ethernet header.
pub(crate) const ETH_HLEN: u32 = bindings::ETH_HLEN;
/// Bytes of a VLAN tag.
pub(crate) const VLAN_HLEN: u32 = bindings::VLAN_HLEN;

/// Feature bits of a device that drivers using this layer may offer.
pub(crate) mod features {
    use super::bindings;

    /// Scatter-gather.
    pub(crate) const SG: u64 = bindings::NETIF_F_SG;
    /// Checksum of any protocol inserted on transmit.
    pub(crate) const HW_CSUM: u64 = bindings::NETIF_F_HW_CSUM;
    /// Checksum of TCP and UDP right behind IPv4 or IPv6 inserted on transmit.
    pub(crate) const IP_CSUM: u64 = bindings::NETIF_F_IP_CSUM | bindings::NETIF_F_IPV6_CSUM;
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

/// Packets that the receive filter has to accept.
pub(crate) struct RxMode<'a> {
    /// Everything.
    pub(crate) promisc: bool,
    /// All multicast.
    pub(crate) allmulti: bool,
    /// These multicast addresses.
    pub(crate) multicast: &'a [MacAddr],
}

impl RxMode<'_> {
    /// The multicast addresses as a table of bits; `bit` is the index of an address's bit.
    /// Addresses with an index beyond the table are left out.
    pub(crate) fn multicast_table<const WORDS: usize>(
        &self,
        bit: impl Fn(&MacAddr) -> usize,
    ) -> [u32; WORDS] {
        let mut table = [0; WORDS];
        for bit in self.multicast.iter().map(bit) {
            if let Some(word) = table.get_mut(bit / 32) {
                *word |= 1 << (bit % 32);
            }
        }
        table
    }
}

/// A queue pair, ready to run.
pub(crate) struct QueuePair<T: Operations> {
    /// State used by `start_xmit`, under the transmit queue's lock.
    pub(crate) tx: T::Tx,
    /// State used by NAPI.
    pub(crate) poll: T::Poll,
    /// State that [`Poll::arm`] uses.
    pub(crate) shared: <T::Poll as Poll>::Shared,
}

/// Parameters of the queues of a device, as configured.
pub(crate) trait Setup: Clone + Send {
    /// Queue pairs.
    fn queues(&self) -> u32;

    /// The setup for frames whose largest payload is `mtu`; `None` if queues do not depend on it,
    /// and [`Operations::set_mtu`] does for the device.
    fn with_mtu(&self, _mtu: u32) -> Option<Self> {
        None
    }
}

/// A driver of network devices: required and optional operations.
///
/// Further optional features are in traits of their own, see [`Parts`].
#[vtable]
pub(crate) trait Operations: Send + Sync + Sized {
    /// Features of the driver besides sending and receiving.
    const PARTS: Parts<Self> = Parts::new();

    /// How queues are made.
    type Setup: Setup;
    /// Transmit side of a queue.
    type Tx: Send;
    /// Poll side of a queue, used by NAPI.
    type Poll: Poll;

    /// Interrupt vector of a queue pair, an index in [`Probed::irqs`](super::pci::Probed::irqs). By
    /// default the number of the pair.
    fn queue_vector(&self, queue: usize) -> usize {
        queue
    }

    /// Interrupt vector of events, if the device has one that no queue pair uses. By default none.
    fn event_vector(&self) -> Option<usize> {
        None
    }

    /// Allocates queue pair `queue`. Must not access the device, as the same pair may be running
    /// with other memory. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], or another error of the driver; the running queues stay in use.
    fn open_queue(
        &self,
        dev: &Device,
        setup: &Self::Setup,
        queue: usize,
    ) -> Result<QueuePair<Self>>;

    /// Applies the whole configuration, of the driver and of the user, to the device, and leaves it
    /// without queues. If `reset`, it is reset first; otherwise only if it has lost its state. The
    /// device may access memory after this. No queue runs. May sleep, a second at most.
    ///
    /// # Errors
    ///
    /// Any; the interface stays without queues.
    fn restore(&self, dev: &Device, setup: &Self::Setup, reset: bool) -> Result;

    /// Keeps the device from accessing memory and raising interrupts until [`Self::restore`]. No
    /// queue runs. May sleep. By default nothing is left to be done.
    fn quiesce(&self) {}

    /// Resets the device, after [`Self::quiesce`]: it accesses no memory then, and has lost its
    /// configuration. Without the instance lock; may sleep.
    ///
    /// # Errors
    ///
    /// Any; the device does not answer.
    fn reset(&self) -> Result;

    /// Whether the device answers. By default true.
    fn is_present(&self) -> bool {
        true
    }

    /// Whether the link is up. A driver with an event vector arms it for the next change before it
    /// reads the state. Without such a vector this is called once a second while the interface is
    /// up. By default true.
    fn link(&self) -> bool {
        true
    }

    /// Programs a queue pair and switches it on. Nothing is sent or received before `start`. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// Any; the queue must be off.
    fn start_queue(&self, queue: usize, tx: &mut Self::Tx, poll: &mut Self::Poll) -> Result;

    /// Switches a queue pair off: when this returns, the device does not access its memory. Does
    /// nothing for one that is off. May sleep.
    fn stop_queue(&self, queue: usize, poll: &mut Self::Poll);

    /// Lets the device send and receive on the queues that were started.
    fn start(&self, _dev: &Device, _setup: &Self::Setup) {}

    /// Stops the device; the queues are switched off after this.
    fn stop(&self, _dev: &Device) {}

    /// The interface goes up or down, whether or not queues run; at first it is down. Packets that
    /// the device drops while it is down are not counted as missed.
    fn running(&self, _up: bool) {}

    /// Sends a packet. Softirqs off, transmit queue locked.
    fn start_xmit(tx: &mut Self::Tx, cx: &XmitContext<'_>, skb: TxSkb);

    /// Whether the device can segment this packet; otherwise the stack does. By default it can
    /// segment everything that its features allow. Softirqs off.
    fn can_segment(_packet: &TxInfo) -> bool {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Fills in totals. In an RCU read section; must not sleep.
    fn stats64(&self, stats: &mut Stats64);

    /// Sets the receive filter. May sleep.
    ///
    /// # Errors
    ///
    /// Any; the core tries again later.
    fn set_rx_mode(&self, _dev: &Device, _mode: &RxMode<'_>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sets the station address. May sleep. By default it cannot be set.
    fn set_mac(&self, _addr: &MacAddr) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sets the MTU, if [`Setup::with_mtu`] does not. May sleep. By default the device does not
    /// depend on it.
    fn set_mtu(&self, _mtu: u32) {}

    /// Acknowledges events, after the event vector fired. The layer then reads the state of the
    /// link and checks the device. In the interrupt's thread, without the instance lock; may sleep.
    fn event(&self) {}

    /// Clears requested features that cannot be on now. Must not access the device.
    fn fix_features(&self, _features: u64) -> u64 {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Applies a change of features. May sleep.
    ///
    /// # Errors
    ///
    /// Any; the features stay as they were.
    fn set_features(&self, _dev: &Device, _features: u64) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// Number of online CPUs.
pub(crate) fn online_cpus() -> u32 {
    bindings::num_online_cpus()
}

/// Fills a hash key from the system's random one, up to its length.
pub(crate) fn rss_key_fill(key: &mut [u8]) {
    let mut all = bindings::rnet_rss_key::default();
    bindings::netdev_rss_key_fill(&mut all);
    for (to, from) in key.iter_mut().zip(all.bytes) {
        *to = from;
    }
}

/// A copy of an interface's name.
pub(crate) struct Name(bindings::rnet_name);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = CStr::from_bytes_until_nul(&self.0.text).unwrap_or(c"?");
        fmt::Display::fmt(name, f)
    }
}

/// A network device.
#[repr(transparent)]
pub(crate) struct Device(Opaque<bindings::net_device>);

// SAFETY: The methods only do what the core allows from any context, or read plain words.
unsafe impl Send for Device {}
// SAFETY: The core locks what it shares between CPUs; plain words are read and written whole.
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

    /// The device as helpers take it.
    #[inline]
    pub(super) fn as_opaque(&self) -> &Opaque<bindings::net_device> {
        &self.0
    }

    /// The interface's current name. Any context.
    ///
    /// If the interface is renamed meanwhile, the copy may mix both names.
    pub(crate) fn name(&self) -> Name {
        let mut copy = bindings::rnet_name::default();
        bindings::netdev_name(&self.0, &mut copy);
        Name(copy)
    }

    /// The MTU. Any context.
    pub(crate) fn mtu(&self) -> u32 {
        bindings::netdev_mtu(&self.0)
    }

    /// Sets the largest MTU that can be set. rtnl is held.
    pub(super) fn set_max_mtu(&self, max: u32) {
        bindings::netdev_store_max_mtu(&self.0, max);
    }

    /// Number of transmit queues that the device was registered with.
    pub(super) fn tx_queues(&self) -> u32 {
        bindings::netdev_tx_queues(&self.0)
    }

    /// Number of receive queues in use. Any context.
    pub(crate) fn rx_queues(&self) -> u32 {
        bindings::netdev_rx_queues(&self.0)
    }

    /// Bytes of the pieces of memory that user space has given to a receive queue, `None` if it has
    /// given none. The instance lock is held.
    pub(super) fn lent_page_size(&self, queue: u16) -> Option<u32> {
        match bindings::rxq_lent_page_size(&self.0, queue.into()) {
            0 => None,
            size => Some(size),
        }
    }

    /// Whether the user set the indirection table of context 0.
    pub(crate) fn rxfh_configured(&self) -> bool {
        bindings::netif_is_rxfh_configured(&self.0)
    }

    /// Flags of the interface, of `enum net_device_flags`. The instance lock is held.
    pub(super) fn flags(&self) -> u32 {
        bindings::netdev_flags(&self.0)
    }

    /// Whether the interface is up, as the user sees it. The instance lock is held.
    pub(super) fn is_running(&self) -> bool {
        self.flags() & bindings::net_device_flags_IFF_UP != 0
    }

    /// The station address. rtnl is held.
    pub(super) fn mac(&self) -> MacAddr {
        let [_, _, mac @ ..] = bindings::netdev_mac(&self.0).to_be_bytes();
        mac
    }

    /// Sets the largest payload of a frame. rtnl is held.
    pub(super) fn store_mtu(&self, mtu: u32) {
        bindings::netdev_store_mtu(&self.0, mtu);
    }

    /// Sets the carrier, and logs a change.
    pub(super) fn set_carrier(&self, on: bool) {
        if on == self.carrier() {
            return;
        }
        netdev_info!(self, "link {}\n", if on { "up" } else { "down" });
        bindings::netif_carrier_set(&self.0, on);
    }

    /// Stops all transmit queues, and waits for senders in progress.
    pub(super) fn tx_disable(&self) {
        bindings::netif_tx_disable(&self.0);
    }

    /// As [`Self::tx_disable`], for one queue.
    pub(super) fn tx_disable_queue(&self, queue: u32) {
        bindings::netif_tx_disable_queue(&self.0, queue);
    }

    /// Resets the byte queue limits of a stopped queue.
    pub(super) fn tx_reset_queue(&self, queue: u32) {
        bindings::netdev_tx_reset_subqueue(&self.0, queue);
    }

    /// Wakes all transmit queues. Starting them is not enough: packets may wait in a queueing
    /// discipline that saw the stop.
    pub(super) fn tx_wake_all_queues(&self) {
        bindings::netif_tx_wake_all_queues(&self.0);
    }

    /// As [`Self::tx_wake_all_queues`], for one queue.
    pub(super) fn tx_wake_queue(&self, queue: u32) {
        bindings::netif_tx_wake_queue_at(&self.0, queue);
    }

    /// Detaches the device, as `netif_device_detach()`.
    pub(super) fn detach(&self) {
        bindings::netif_device_detach(&self.0);
    }

    /// Attaches the device, as `netif_device_attach()`.
    pub(super) fn attach(&self) {
        bindings::netif_device_attach(&self.0);
    }

    /// Whether the carrier was last set to be on.
    fn carrier(&self) -> bool {
        bindings::netif_carrier_ok(&self.0)
    }
}

/// Proof that a transmit queue is started, and locked by this CPU.
pub(crate) struct XmitContext<'a> {
    txq: &'a Opaque<bindings::netdev_queue>,
}

impl XmitContext<'_> {
    /// # Safety
    ///
    /// The queue is valid, started, and locked by this CPU for the life of the object.
    pub(super) unsafe fn new(txq: *mut bindings::netdev_queue) -> Self {
        Self {
            // CAST: `Opaque` is a transparent wrapper.
            // SAFETY: Valid for the life of the object.
            txq: unsafe { &*txq.cast() },
        }
    }

    pub(super) fn as_raw(&self) -> *mut bindings::netdev_queue {
        self.txq.get()
    }

    /// Tells byte queue limits of a packet put on the ring. Says whether the doorbell is due, as
    /// [`Self::doorbell_due`] would if it were asked now.
    #[inline]
    pub(crate) fn sent(&self, bytes: u32) -> bool {
        // SAFETY: The queue is valid and locked.
        unsafe { bindings::txq_sent(self.as_raw(), bytes) }
    }

    /// Whether the doorbell must be written now: no other packet follows, or the queue is stopped.
    /// To be called last, after any `stop`, on every path of a transmission.
    #[inline]
    pub(crate) fn doorbell_due(&self) -> bool {
        bindings::txq_doorbell_due(self.txq)
    }

    /// Stops the queue: the stack does not send until it is woken.
    pub(crate) fn stop(&self) {
        bindings::netif_tx_stop_queue(self.txq);
    }

    /// Reverts a `stop` of the same call.
    pub(crate) fn start(&self) {
        bindings::netif_tx_start_queue(self.txq);
    }
}

/// Properties of a new device.
pub(crate) type Config = bindings::rnet_config;
