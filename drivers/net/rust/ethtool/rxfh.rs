// SPDX-License-Identifier: GPL-2.0

//! How flows are spread over receive queues: `ethtool -x` and `-X`, and what of a packet is hashed
//! for that, `rx-flow-hash` of `-n` and `-N`.
//!
//! Context 0 is what all packets go by, further contexts are for those that rules send there. All
//! operations run in process context with the instance lock held, and may sleep.

use super::super::{
    bindings,
    device::{
        ops_of,
        Device, //
    },
    extack::Extack, //
};
use core::marker::PhantomData;
use kernel::{
    error::from_result,
    prelude::*, //
};

/// Kinds of packets whose hash is told apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// TCP over IPv4.
    Tcp4,
    /// UDP over IPv4.
    Udp4,
    /// Any other IPv4, fragments among it.
    Ip4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP over IPv6.
    Udp6,
    /// Any other IPv6, fragments among it.
    Ip6,
}

impl Kind {
    /// How many there are.
    pub(crate) const COUNT: usize = 6;
    /// All kinds in the order of their numbers.
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Tcp4,
        Self::Udp4,
        Self::Ip4,
        Self::Tcp6,
        Self::Udp6,
        Self::Ip6,
    ];

    fn of(flow_type: u32) -> Result<Self> {
        Ok(match flow_type {
            bindings::TCP_V4_FLOW => Self::Tcp4,
            bindings::UDP_V4_FLOW => Self::Udp4,
            bindings::IPV4_FLOW => Self::Ip4,
            bindings::TCP_V6_FLOW => Self::Tcp6,
            bindings::UDP_V6_FLOW => Self::Udp6,
            bindings::IPV6_FLOW => Self::Ip6,
            _ => return Err(EOPNOTSUPP),
        })
    }
}

/// Fields of a packet's headers that are hashed.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Fields(u32);

impl Fields {
    /// None.
    pub(crate) const NONE: Self = Self(0);
    /// Source address.
    pub(crate) const SRC: Self = Self(bindings::RXH_IP_SRC);
    /// Destination address.
    pub(crate) const DST: Self = Self(bindings::RXH_IP_DST);
    /// Source port.
    pub(crate) const SRC_PORT: Self = Self(bindings::RXH_L4_B_0_1);
    /// Destination port.
    pub(crate) const DST_PORT: Self = Self(bindings::RXH_L4_B_2_3);
    /// Flow label of IPv6.
    pub(crate) const LABEL: Self = Self(bindings::RXH_IP6_FL);

    /// The fields of both.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The fields that the other has not.
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it has all fields of the other.
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What is to change of a context; `None` is left as it is, or to the driver if the context is new.
pub(crate) struct Change<'a> {
    /// Queue for each value of the hash's low bits.
    pub(crate) table: Option<&'a [u32]>,
    /// Secret key of the hash.
    pub(crate) key: Option<&'a [u8]>,
    /// Source and destination are xor-ed before they are hashed, and stand in the place of both.
    pub(crate) symmetric: Option<bool>,
}

/// Where the state of a context is put.
pub(crate) struct View<'a> {
    /// Queue for each value of the hash's low bits.
    pub(crate) table: Option<&'a mut [u32]>,
    /// Secret key of the hash.
    pub(crate) key: Option<&'a mut [u8]>,
}

/// The part of a driver that spreads flows, with the hash of Toeplitz.
pub(crate) trait Operations {
    /// Entries of the indirection table of each context.
    const TABLE_LEN: usize;
    /// Bytes of the secret key.
    const KEY_LEN: usize;
    /// Contexts besides context 0; they have numbers from 1 on.
    const CONTEXTS: u32;

    /// Shows a context; returns whether its hash is symmetric.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is no such context.
    fn show_context(&self, dev: &Device, context: u32, view: View<'_>) -> Result<bool>;

    /// Changes a context that exists. Its table names only queues that are in use.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is no such context, [`EINVAL`] if a rule says otherwise, or what the
    /// device says; nothing is changed then.
    fn change_context(
        &self,
        dev: &Device,
        context: u32,
        to: &Change<'_>,
        ack: &mut Extack<'_>,
    ) -> Result;

    /// Makes a context.
    ///
    /// # Errors
    ///
    /// What the device says.
    fn add_context(&self, dev: &Device, context: u32, to: &Change<'_>) -> Result;

    /// Removes a context that no rule names.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is no such context, or what the device says.
    fn remove_context(&self, context: u32) -> Result;

    /// What is hashed of a kind of packets.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is no such context.
    fn hash_fields(&self, context: u32, kind: Kind) -> Result<Fields>;

    /// Sets what is hashed of a kind of packets.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is no such context, [`EOPNOTSUPP`] if the device cannot.
    fn set_hash_fields(
        &self,
        dev: &Device,
        context: u32,
        kind: Kind,
        to: Fields,
        ack: &mut Extack<'_>,
    ) -> Result;
}

/// Values of the bit fields at the beginning of `struct ethtool_ops`: input transformations, then
/// fields per context, key per context, rules that add to a context's queue.
pub(super) const FLAGS: [u8; 2] = [bindings::RXH_XFRM_SYM_XOR as u8, 1 << 1 | 1 << 2 | 1 << 3];

/// The callbacks for a driver.
pub(super) struct Adapter<T>(PhantomData<T>);

impl<T: super::super::device::Operations> Adapter<T> {
    /// # Safety
    ///
    /// As for [`ops_of`]; the device is alive, too.
    unsafe fn parts<'a>(dev: *mut bindings::net_device) -> (&'a T, &'a Device)
    where
        T: 'a,
    {
        // SAFETY: By the safety requirement.
        unsafe { (ops_of(dev), Device::from_raw(dev)) }
    }

    /// What the core wants to change.
    ///
    /// # Errors
    ///
    /// [`EOPNOTSUPP`] for another function or transformation than those there are.
    ///
    /// # Safety
    ///
    /// `param` is valid for `'a`; its table and key are null or of the sizes that the driver told.
    unsafe fn change<'a>(
        param: &bindings::ethtool_rxfh_param,
        ack: &mut Extack<'_>,
    ) -> Result<Change<'a>> {
        let hfunc = u32::from(param.hfunc);
        if hfunc != bindings::ETH_RSS_HASH_NO_CHANGE && hfunc != HASH_TOP {
            ack.say(c"the hash function is that of Toeplitz and no other");
            return Err(EOPNOTSUPP);
        }
        let symmetric = match u32::from(param.input_xfrm) {
            bindings::RXH_XFRM_NO_CHANGE => None,
            0 => Some(false),
            bindings::RXH_XFRM_SYM_XOR => Some(true),
            _ => {
                ack.say(c"of the input transformations there is symmetric-xor only");
                return Err(EOPNOTSUPP);
            }
        };
        // SAFETY: By the safety requirement.
        let (table, key) = unsafe {
            (
                slice(param.indir, T::TABLE_LEN),
                slice(param.key, T::KEY_LEN),
            )
        };
        Ok(Change {
            table,
            key,
            symmetric,
        })
    }

    /// # Safety
    ///
    /// `ethtool_ops.get_rx_ring_count`.
    pub(super) unsafe extern "C" fn get_rx_ring_count(dev: *mut bindings::net_device) -> u32 {
        // SAFETY: The core passes a valid device.
        unsafe { Device::from_raw(dev) }.rx_queues()
    }

    /// # Safety
    ///
    /// `ethtool_ops.get_rxfh_key_size`.
    pub(super) unsafe extern "C" fn get_rxfh_key_size(_dev: *mut bindings::net_device) -> u32 {
        T::KEY_LEN as u32
    }

    /// # Safety
    ///
    /// `ethtool_ops.get_rxfh_indir_size`.
    pub(super) unsafe extern "C" fn get_rxfh_indir_size(_dev: *mut bindings::net_device) -> u32 {
        T::TABLE_LEN as u32
    }

    /// # Safety
    ///
    /// `ethtool_ops.get_rxfh`.
    pub(super) unsafe extern "C" fn get_rxfh(
        dev: *mut bindings::net_device,
        param: *mut bindings::ethtool_rxfh_param,
    ) -> i32 {
        // SAFETY: The core passes a device of ours and a structure to fill in.
        let ((ops, device), param) = unsafe { (Self::parts(dev), &mut *param) };
        // SAFETY: The core's buffers are missing or of the sizes that the driver told.
        let view = unsafe {
            View {
                table: slice_mut(param.indir, T::TABLE_LEN),
                key: slice_mut(param.key, T::KEY_LEN),
            }
        };
        from_result(|| {
            let symmetric = ops.show_context(device, 0, view)?;
            param.hfunc = HASH_TOP as u8;
            param.input_xfrm = xfrm(symmetric);
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `ethtool_ops.set_rxfh`.
    pub(super) unsafe extern "C" fn set_rxfh(
        dev: *mut bindings::net_device,
        param: *mut bindings::ethtool_rxfh_param,
        ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        // SAFETY: By the safety requirement.
        unsafe {
            Self::apply(dev, param, ack, |ops, device, _, change, ack| {
                ops.change_context(device, 0, change, ack)
            })
        }
    }

    /// Has `f` carry out what the user wants changed of a context.
    ///
    /// # Safety
    ///
    /// A callback of `ethtool_ops`: a device of ours, a filled-in structure whose table and key are
    /// missing or of the sizes that the driver told.
    unsafe fn apply(
        dev: *mut bindings::net_device,
        param: *const bindings::ethtool_rxfh_param,
        ack: *mut bindings::netlink_ext_ack,
        f: impl FnOnce(&T, &Device, u32, &Change<'_>, &mut Extack<'_>) -> Result,
    ) -> i32 {
        // SAFETY: By the safety requirement.
        let ((ops, device), param, mut ack) =
            unsafe { (Self::parts(dev), &*param, Extack::from_raw(ack)) };
        from_result(|| {
            // SAFETY: By the safety requirement.
            let change = unsafe { Self::change(param, &mut ack)? };
            f(ops, device, param.rss_context, &change, &mut ack).map(|()| 0)
        })
    }

    /// Copies the whole state of a context to where the core keeps it.
    ///
    /// # Safety
    ///
    /// `ctx` is a context of the core's, of the sizes that the driver told, not in use elsewhere.
    unsafe fn store(
        ops: &T,
        device: &Device,
        context: u32,
        ctx: *mut bindings::ethtool_rxfh_context,
    ) -> Result {
        // SAFETY: By the safety requirement.
        let (view, ctx) = unsafe {
            let view = View {
                table: slice_mut(bindings::ethtool_rxfh_context_indir(ctx), T::TABLE_LEN),
                key: slice_mut(bindings::ethtool_rxfh_context_key(ctx), T::KEY_LEN),
            };
            (view, &raw mut *ctx)
        };
        let symmetric = ops.show_context(device, context, view)?;
        // SAFETY: By the safety requirement; these words are beside table and key.
        unsafe {
            (*ctx).hfunc = HASH_TOP as u8;
            (*ctx).input_xfrm = xfrm(symmetric);
        }
        Ok(())
    }

    /// # Safety
    ///
    /// `ethtool_ops.create_rxfh_context`.
    pub(super) unsafe extern "C" fn create_rxfh_context(
        dev: *mut bindings::net_device,
        ctx: *mut bindings::ethtool_rxfh_context,
        param: *const bindings::ethtool_rxfh_param,
        ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        // SAFETY: By the safety requirement; the core made the context for this call, with room as
        // the driver told.
        unsafe {
            Self::apply(dev, param, ack, |ops, device, context, change, _| {
                ops.add_context(device, context, change)?;
                Self::store(ops, device, context, ctx)
            })
        }
    }

    /// # Safety
    ///
    /// `ethtool_ops.modify_rxfh_context`. The core keeps what changed by itself.
    pub(super) unsafe extern "C" fn modify_rxfh_context(
        dev: *mut bindings::net_device,
        _ctx: *mut bindings::ethtool_rxfh_context,
        param: *const bindings::ethtool_rxfh_param,
        ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        // SAFETY: By the safety requirement.
        unsafe { Self::apply(dev, param, ack, T::change_context) }
    }

    /// # Safety
    ///
    /// `ethtool_ops.remove_rxfh_context`.
    pub(super) unsafe extern "C" fn remove_rxfh_context(
        dev: *mut bindings::net_device,
        _ctx: *mut bindings::ethtool_rxfh_context,
        context: u32,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        // SAFETY: The core passes a device of ours.
        let (ops, _) = unsafe { Self::parts(dev) };
        from_result(|| ops.remove_context(context).map(|()| 0))
    }

    /// # Safety
    ///
    /// `ethtool_ops.get_rxfh_fields`.
    pub(super) unsafe extern "C" fn get_rxfh_fields(
        dev: *mut bindings::net_device,
        fields: *mut bindings::ethtool_rxfh_fields,
    ) -> i32 {
        // SAFETY: The core passes a device of ours and a structure to fill in.
        let ((ops, _), fields) = unsafe { (Self::parts(dev), &mut *fields) };
        from_result(|| {
            let kind = Kind::of(fields.flow_type)?;
            fields.data = ops.hash_fields(fields.rss_context, kind)?.0;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `ethtool_ops.set_rxfh_fields`.
    pub(super) unsafe extern "C" fn set_rxfh_fields(
        dev: *mut bindings::net_device,
        fields: *const bindings::ethtool_rxfh_fields,
        ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        // SAFETY: The core passes a device of ours and a filled-in structure.
        let ((ops, device), fields, mut ack) =
            unsafe { (Self::parts(dev), &*fields, Extack::from_raw(ack)) };
        from_result(|| {
            let kind = Kind::of(fields.flow_type)?;
            let to = Fields(fields.data);
            ops.set_hash_fields(device, fields.rss_context, kind, to, &mut ack)
                .map(|()| 0)
        })
    }
}

/// Number of the hash function.
const HASH_TOP: u32 = 1 << bindings::ETH_RSS_HASH_TOP_BIT;

/// The transformation of the input as the core numbers it.
fn xfrm(symmetric: bool) -> u8 {
    if symmetric {
        bindings::RXH_XFRM_SYM_XOR as u8
    } else {
        0
    }
}

/// # Safety
///
/// `ptr` is null or valid for `len` elements during `'a`.
unsafe fn slice<'a, E>(ptr: *const E, len: usize) -> Option<&'a [E]> {
    if ptr.is_null() {
        return None;
    }
    // SAFETY: By the safety requirement.
    Some(unsafe { core::slice::from_raw_parts(ptr, len) })
}

/// # Safety
///
/// `ptr` is null or valid for `len` elements during `'a`, which nobody else uses.
unsafe fn slice_mut<'a, E>(ptr: *mut E, len: usize) -> Option<&'a mut [E]> {
    if ptr.is_null() {
        return None;
    }
    // SAFETY: By the safety requirement.
    Some(unsafe { core::slice::from_raw_parts_mut(ptr, len) })
}
