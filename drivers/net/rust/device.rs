// SPDX-License-Identifier: GPL-2.0

//! Network devices.
//!
//! A driver implements [`Operations`]. What exists only while the interface is up, the queues, is
//! made by [`Operations::open_queue`] and owned here, so that the data path cannot see it before it
//! is complete or after it is gone:
//!
//! * up: `restore` -> `open_queue` of each -> `start_queue`, NAPI and interrupt of each -> `start`
//!   -> transmit queues started;
//! * down: interrupts freed and NAPI stopped -> transmit queues stopped, and waited for -> `stop`
//!   -> `stop_queue` of each -> queues dropped.
//!
//! How queues are made, how many there are and how large, is a value of [`Operations::Setup`]. The
//! user's wishes become a new value, and [`queues::reconfigure`] goes from the old to the new: all
//! memory is allocated before the first running queue is stopped.
//!
//! While the interface is up the core looks after the device ([`watch`]): faults that the driver
//! finds are mended by restarting a queue pair or by resetting the device, from which
//! [`Operations::restore`] brings it back to all that is configured.
//!
//! All operations but `start_xmit`, `can_segment` and `stats64` run in process context with the
//! device's instance lock held, and may sleep; `event` without the lock.

pub(super) mod private;
pub(super) mod queues;
mod registration;
mod senders;
pub(crate) mod watch;

use super::{
    arfs,
    bindings,
    debugfs,
    devlink,
    ethtool,
    log::netdev_info,
    napi::{
        NapiRef,
        Poll, //
    },
    page_pool::PAGE_SIZE,
    service,
    skbuff::{
        TxInfo,
        TxSkb, //
    },
    stats,
    sysfs,
    tx_cell::SharesTx,
    xdp, //
};
use core::marker::PhantomData;
use kernel::{
    fmt,
    prelude::*,
    types::Opaque, //
};
pub(super) use private::{
    ops_of,
    reporters_of, //
};
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

/// How the queues of a device are made: what the user's settings decide.
pub(crate) trait Setup: ethtool::Plan + xdp::Plan + Clone + Send {
    /// Queue pairs.
    fn queues(&self) -> u32;
}

/// A driver of network devices.
pub(crate) trait Operations:
    arfs::Operations
    + debugfs::Operations
    + devlink::Operations
    + devlink::health::Operations
    + ethtool::Operations
    + ethtool::rxfh::Operations
    + ethtool::rxnfc::Operations
    + ethtool::selftest::Operations
    + ethtool::split::Operations
    + ethtool::standard::Operations
    + service::Operations
    + stats::Queues
    + sysfs::Operations
    + xdp::Operations
    + Send
    + Sync
    + Sized
{
    /// How queues are made.
    type Setup: Setup;
    /// Transmit side of a queue.
    type Tx: xdp::Transmit + Send;
    /// What NAPI cleans up for a queue.
    type Poll: Poll + SharesTx<Self::Tx>;
    /// The receive memory of a queue: rings, buffers and their pools.
    type Rx: Send;

    /// Allocates queue pair `queue`, to run on the interrupt vector of its number. The device does
    /// not hear of it: the same pair may be running with other memory.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], or what the driver says; nothing has changed.
    fn open_queue(
        &self,
        dev: &Device,
        setup: &Self::Setup,
        queue: usize,
    ) -> Result<QueuePair<Self>>;

    /// Brings the device to all that is configured, by the driver and by the user, and leaves it
    /// without queues. With `reset` it is reset first; without, only if it is not as it was left.
    /// No queue runs.
    ///
    /// # Errors
    ///
    /// Any; nothing can be started then. Takes a second at most.
    fn restore(&self, dev: &Device, setup: &Self::Setup, reset: bool) -> Result;

    /// Has the device access no memory and raise no interrupt until [`Self::restore`]. No queue
    /// runs.
    fn quiesce(&self);

    /// Whether the device answers.
    fn is_present(&self) -> bool;

    /// Whether the wire is connected. The driver asks for the event vector to fire at the next
    /// change, before it looks.
    fn link(&self) -> bool;

    /// Looks for what is wrong with the device as a whole, once a second while queues run.
    fn watch(&self, dev: &Device) -> Option<watch::Finding>;

    /// Looks for what is wrong with a queue pair that runs.
    fn watch_queue(
        &self,
        dev: &Device,
        queue: usize,
        shared: &<Self::Poll as Poll>::Shared,
        watched: watch::Watched,
    ) -> Option<watch::Finding>;

    /// Tells the device of a queue pair and switches it on. Nothing moves before `start`.
    ///
    /// # Errors
    ///
    /// Any; the queue is off then.
    fn start_queue(&self, queue: usize, tx: &mut Self::Tx, poll: &mut Self::Poll) -> Result;

    /// Switches a queue pair off: when this returns, the device does not access its memory any
    /// more. Does nothing for one that is off.
    fn stop_queue(&self, queue: usize, poll: &mut Self::Poll);

    /// Puts the device to work on the queues that were started.
    fn start(&self, dev: &Device, setup: &Self::Setup);

    /// Stops the device; the queues are switched off after this.
    fn stop(&self, dev: &Device);

    /// The interface is up from now on, whether or not queues run, or it is down, as at first:
    /// nobody misses then what the device does not take.
    fn running(&self, up: bool);

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

    /// The event vector fired: acknowledges what happened. The core asks for the state of the link
    /// and looks at the device right after. In the interrupt's thread, without the instance lock.
    fn event(&self);

    /// Takes out of the features that the user wishes what cannot be now.
    fn fix_features(&self, features: u64) -> u64;

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

/// Bytes of an interface's name, with the zero at its end.
const IFNAMSIZ: usize = bindings::IFNAMSIZ as usize;

/// A copy of an interface's name.
pub(crate) struct Name([u8; IFNAMSIZ]);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = CStr::from_bytes_until_nul(&self.0).unwrap_or(c"?");
        fmt::Display::fmt(name, f)
    }
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
    ///
    /// A rename in between may leave a mixture of both names. Any context.
    pub(crate) fn name(&self) -> Name {
        let mut copy = Name([0; IFNAMSIZ]);
        // SAFETY: The device is valid, and so the array in it.
        let name = unsafe { &raw const (*self.as_raw()).name };
        for (i, byte) in copy.0.iter_mut().enumerate() {
            // SAFETY: Both arrays are as long. A rename may write the byte at the same time, so it
            // is read as `READ_ONCE` does.
            *byte = unsafe { name.cast::<u8>().add(i).read_volatile() };
        }
        copy
    }

    /// Largest payload of a frame.
    pub(crate) fn mtu(&self) -> u32 {
        // SAFETY: The device is valid.
        unsafe { bindings::netdev_mtu(self.as_raw()) }
    }

    /// Transmit queues that the device was made with.
    pub(super) fn tx_queues(&self) -> u32 {
        // SAFETY: The device is valid.
        unsafe { bindings::netdev_tx_queues(self.as_raw()) }
    }

    /// Receive queues in use.
    pub(crate) fn rx_queues(&self) -> u32 {
        // SAFETY: The device is valid.
        unsafe { bindings::netdev_rx_queues(self.as_raw()) }
    }

    /// Bytes of the pages that payload of a receive queue goes to: a power of two, at least
    /// [`PAGE_SIZE`], which is the answer for a queue that there cannot be. The instance lock is
    /// held.
    pub(super) fn rx_page_size(&self, queue: u16) -> u32 {
        let mut config = bindings::netdev_queue_config::default();
        // SAFETY: The number of queues that there can be never changes.
        if u32::from(queue) >= unsafe { (*self.as_raw()).num_rx_queues } {
            return PAGE_SIZE as u32;
        }
        // SAFETY: The device is valid and has this queue, the lock is held, and the structure is
        // filled in.
        unsafe { bindings::netdev_queue_config(self.as_raw(), queue.into(), &mut config) };
        config.rx_page_size.max(PAGE_SIZE as u32)
    }

    /// Whether the user set the indirection table of context 0.
    pub(crate) fn rxfh_configured(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::netif_is_rxfh_configured(self.as_raw()) }
    }

    /// Says whether the wire is connected, and logs a change.
    pub(super) fn set_carrier(&self, on: bool) {
        if on == self.carrier() {
            return;
        }
        netdev_info!(self, "link {}\n", if on { "up" } else { "down" });
        // SAFETY: The device is valid; these may be called from any context.
        unsafe {
            if on {
                bindings::netif_carrier_on(self.as_raw());
            } else {
                bindings::netif_carrier_off(self.as_raw());
            }
        }
    }

    /// Whether the wire was last said to be connected.
    fn carrier(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::netif_carrier_ok(self.as_raw()) }
    }
}

/// A device whose instance lock the caller does not hold, so that it may be taken.
pub(crate) struct Unlocked<'a>(&'a Device);

impl<'a> Unlocked<'a> {
    /// # Safety
    ///
    /// The caller holds neither the instance lock of `dev` nor any that is taken under it, and
    /// hands the object to nobody who does.
    pub(super) unsafe fn new(dev: &'a Device) -> Self {
        Self(dev)
    }

    /// Does what must not be done while the interface is up, with the instance lock held. May
    /// sleep. As the object is borrowed meanwhile, `change` cannot take the lock once more.
    ///
    /// # Errors
    ///
    /// [`EBUSY`] if it is up, or what `change` says.
    pub(crate) fn while_down(&mut self, change: impl FnOnce() -> Result) -> Result {
        let dev = self.0.as_raw();
        // SAFETY: The device is valid, and its lock is not held; it is given back below.
        unsafe { bindings::netdev_lock(dev) };
        // SAFETY: A plain word of a valid device, which the lock keeps as it is.
        let up = unsafe { (*dev).flags } & bindings::net_device_flags_IFF_UP != 0;
        let done = if up { Err(EBUSY) } else { change() };
        // SAFETY: Locked above.
        unsafe { bindings::netdev_unlock(dev) };
        done
    }
}

/// Proof that a transmit queue is started, and locked by this CPU.
pub(crate) struct XmitContext<'a> {
    txq: *mut bindings::netdev_queue,
    _locked: PhantomData<&'a ()>,
}

impl XmitContext<'_> {
    /// # Safety
    ///
    /// The queue is valid, started, and locked by this CPU for the life of the object.
    pub(super) unsafe fn new(txq: *mut bindings::netdev_queue) -> Self {
        Self {
            txq,
            _locked: PhantomData,
        }
    }

    pub(super) fn as_raw(&self) -> *mut bindings::netdev_queue {
        self.txq
    }

    /// Tells byte queue limits of a packet put on the ring.
    #[inline]
    pub(crate) fn sent(&self, bytes: u32) {
        // SAFETY: The queue is valid and locked.
        unsafe { bindings::txq_sent(self.txq, bytes) };
    }

    /// Whether what is on the ring must be rung for now: no other packet follows, or none can, as
    /// the queue is stopped. To be asked last, after any `stop`, on every way out of a
    /// transmission.
    #[inline]
    pub(crate) fn doorbell_due(&self) -> bool {
        // SAFETY: The queue is valid and locked; softirqs are off.
        unsafe { bindings::txq_doorbell_due(self.txq) }
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

/// What the core is to know of a new device.
pub(crate) type Config = bindings::rnet_config;
