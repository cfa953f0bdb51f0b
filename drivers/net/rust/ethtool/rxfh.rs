// SPDX-License-Identifier: GPL-2.0

//! How flows are distributed over receive queues: `ethtool -x` and `-X`, and the hashed fields,
//! `rx-flow-hash` of `ethtool -n` and `-N`.
//!
//! Wraps the `rxfh` callbacks of `struct ethtool_ops`.
//!
//! Context 0 is the default, further contexts are for packets that rules send there. All operations
//! run in process context with the instance lock held, and may sleep.
//!
//! ```
//! struct Nic {
//!     rss: Pin<KBox<Mutex<Spread<128, 40>>>>,
//! }
//!
//! #[vtable]
//! impl Operations for Nic {
//!     const TABLE_LEN: usize = 128;
//!     const KEY_LEN: usize = 40;
//!
//!     fn show_context(&self, _dev: &Device, _context: u32, view: View<'_>) -> Result<bool> {
//!         self.rss.lock().show(view);
//!         Ok(false)
//!     }
//!
//!     fn change_context(
//!         &self,
//!         _dev: &Device,
//!         _context: u32,
//!         to: &Change<'_>,
//!         _ack: &mut Extack<'_>,
//!     ) -> Result {
//!         self.rss.lock().change(to);
//!         Ok(())
//!     }
//!
//!     fn hash_fields(&self, _context: u32, kind: Kind) -> Result<Fields> {
//!         let addresses = Fields::SRC.or(Fields::DST);
//!         Ok(match kind {
//!             Kind::Tcp4 | Kind::Tcp6 => addresses.or(Fields::SRC_PORT).or(Fields::DST_PORT),
//!             _ => addresses,
//!         })
//!     }
//! }
//! # driver!(Nic, Parts::new().rxfh());
//! # use extack::Extack;
//! # use kernel::sync::Mutex;
//! # use plain::spread::Spread;
//! ```

use crate::net::{
    bindings,
    callback::{
        callbacks,
        slice,
        Arg,
        Handle,
        Passed, //
    },
    device::{
        self,
        Device, //
    },
    extack::Extack, //
};
use core::{
    marker::PhantomData,
    ops::Deref, //
};
use kernel::{
    error::VTABLE_DEFAULT_ERROR,
    prelude::*, //
};

/// Kinds of packets with separate choices of hashed fields.
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

/// Changes to a context. `None` keeps the value or, for a new context, leaves it to the driver.
pub(crate) struct Change<'a> {
    /// Queue for each value of the hash's low bits.
    pub(crate) table: Option<&'a [u32]>,
    /// Secret key of the hash.
    pub(crate) key: Option<&'a [u8]>,
    /// Symmetric hash: source and destination are xor-ed before they are hashed, and the result
    /// takes the place of both.
    pub(crate) symmetric: Option<bool>,
}

/// Buffers for the state of a context; `None` if not requested.
pub(crate) struct View<'a> {
    /// Queue for each value of the hash's low bits.
    pub(crate) table: Option<&'a mut [u32]>,
    /// Secret key of the hash.
    pub(crate) key: Option<&'a mut [u8]>,
}

impl<'a> View<'a> {
    /// # Safety
    ///
    /// Table and key are null or of the sizes that `T` says for `'a`, and nobody else uses them.
    unsafe fn new<T: Operations>(table: *mut u32, key: *mut u8) -> Self {
        // SAFETY: By the safety requirement.
        let (table, key) = unsafe { (slice(table, T::TABLE_LEN), slice(key, T::KEY_LEN)) };
        Self { table, key }
    }
}

/// The part of a driver that distributes flows, with the Toeplitz hash.
#[vtable]
pub(crate) trait Operations {
    /// Entries of the indirection table of each context.
    const TABLE_LEN: usize;
    /// Bytes of the secret key.
    const KEY_LEN: usize;
    /// Contexts besides context 0, numbered from 1. With none, `add_context` and `remove_context`
    /// are not called.
    const CONTEXTS: u32 = 0;
    /// The hash can be symmetric.
    const SYMMETRIC: bool = false;

    /// Fills in the state of a context; returns whether its hash is symmetric.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is no such context.
    fn show_context(&self, dev: &Device, context: u32, view: View<'_>) -> Result<bool>;

    /// Changes an existing context. The core has checked that the table names only queues in use.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is no such context, [`EINVAL`] if a rule conflicts with it, or errors of
    /// the device; the context stays as it was.
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
    /// Errors of the device.
    fn add_context(&self, _dev: &Device, _context: u32, _to: &Change<'_>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Removes a context that no rule names.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is no such context, or errors of the device.
    fn remove_context(&self, _context: u32) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Fields hashed of a kind of packets.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is no such context.
    fn hash_fields(&self, context: u32, kind: Kind) -> Result<Fields>;

    /// Sets the fields hashed of a kind of packets.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is no such context, [`EOPNOTSUPP`] if the device cannot.
    fn set_hash_fields(
        &self,
        _dev: &Device,
        _context: u32,
        _kind: Kind,
        _to: Fields,
        _ack: &mut Extack<'_>,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// Parameters of a context that the core wants shown or changed.
///
/// # Invariants
///
/// Table and key are missing or of the sizes that the driver told, in memory that nobody else uses
/// meanwhile.
struct Param<P, T>(P, PhantomData<T>);

// SAFETY: The core makes both as long as `get_rxfh_indir_size` and `get_rxfh_key_size` told, which
// are constants, and leaves out one that is not asked for.
unsafe impl<P: Arg, T: Operations> Arg for Param<P, T> {
    type Raw = P::Raw;

    fn from_passed(param: Passed<Self::Raw>) -> Self {
        Self(P::from_passed(param), PhantomData)
    }
}

impl<P: Deref, T> Deref for Param<P, T> {
    type Target = P::Target;

    fn deref(&self) -> &P::Target {
        &self.0
    }
}

impl<P, T> Param<P, T>
where
    P: Deref<Target = bindings::ethtool_rxfh_param>,
    T: Operations,
{
    /// Table and key.
    fn view(&mut self) -> View<'_> {
        // SAFETY: By the type invariant, and this is borrowed mutably meanwhile.
        unsafe { View::new::<T>(self.0.indir, self.0.key) }
    }
}

/// Where the core keeps what it shows of a context.
///
/// # Invariants
///
/// As for [`Param`], but that nothing is missing.
struct Kept<'a, T>(&'a mut bindings::ethtool_rxfh_context, PhantomData<T>);

// SAFETY: The core makes a context with room behind its fields for a table and a key of the sizes
// that the driver told.
unsafe impl<T: Operations> Arg for Kept<'_, T> {
    type Raw = *mut bindings::ethtool_rxfh_context;

    fn from_passed(ctx: Passed<Self::Raw>) -> Self {
        Self(Arg::from_passed(ctx), PhantomData)
    }
}

impl<T: Operations> Kept<'_, T> {
    /// Table and key.
    fn view(&mut self) -> View<'_> {
        // SAFETY: By the type invariant, and this is borrowed mutably meanwhile.
        unsafe {
            View::new::<T>(
                bindings::ethtool_rxfh_context_indir(self.0),
                bindings::ethtool_rxfh_context_key(self.0),
            )
        }
    }
}

/// The callbacks for a driver.
pub(in crate::net) struct Adapter<T>(PhantomData<T>);

impl<T: device::Operations + Operations> Adapter<T> {
    /// Adds the callbacks to a table.
    pub(in crate::net) const fn fill(mut ops: bindings::ethtool_ops) -> bindings::ethtool_ops {
        let contexts = T::CONTEXTS != 0;
        // Input transformations, then fields per context, key per context, rules that add to a
        // context's queue.
        ops._bitfield_1 = bindings::__BindgenBitfieldUnit::new([
            if T::SYMMETRIC {
                bindings::RXH_XFRM_SYM_XOR as u8
            } else {
                0
            },
            if contexts {
                1 << 1 | 1 << 2 | 1 << 3
            } else {
                0
            },
        ]);
        ops.get_rx_ring_count = Some(Self::get_rx_ring_count);
        ops.get_rxfh_key_size = Some(Self::get_rxfh_key_size);
        ops.get_rxfh_indir_size = Some(Self::get_rxfh_indir_size);
        ops.get_rxfh = Some(Self::get_rxfh);
        ops.set_rxfh = Some(Self::set_rxfh);
        ops.get_rxfh_fields = Some(Self::get_rxfh_fields);
        if T::HAS_SET_HASH_FIELDS {
            ops.set_rxfh_fields = Some(Self::set_rxfh_fields);
        }
        if contexts {
            ops.rxfh_max_num_contexts = T::CONTEXTS + 1;
            ops.create_rxfh_context = Some(Self::create_rxfh_context);
            ops.modify_rxfh_context = Some(Self::modify_rxfh_context);
            ops.remove_rxfh_context = Some(Self::remove_rxfh_context);
        }
        ops
    }

    /// Has `f` carry out what the user wants changed of a context.
    ///
    /// # Errors
    ///
    /// [`EOPNOTSUPP`] for another function or transformation than those there are, or what `f`
    /// says.
    fn apply<P>(
        handle: &Handle<'_, T>,
        param: &mut Param<P, T>,
        ack: &mut Extack<'_>,
        f: impl FnOnce(&T, &Device, u32, &Change<'_>, &mut Extack<'_>) -> Result,
    ) -> Result
    where
        P: Deref<Target = bindings::ethtool_rxfh_param>,
    {
        let hfunc = u32::from(param.hfunc);
        if hfunc != bindings::ETH_RSS_HASH_NO_CHANGE && hfunc != HASH_TOP {
            ack.say(c"the hash function is that of Toeplitz and no other");
            return Err(EOPNOTSUPP);
        }
        let symmetric = match u32::from(param.input_xfrm) {
            bindings::RXH_XFRM_NO_CHANGE => None,
            0 => Some(false),
            bindings::RXH_XFRM_SYM_XOR if T::SYMMETRIC => Some(true),
            _ => {
                ack.say(c"of the input transformations there is symmetric-xor only");
                return Err(EOPNOTSUPP);
            }
        };
        let context = param.rss_context;
        let View { table, key } = param.view();
        let change = Change {
            table: table.map(|table| &*table),
            key: key.map(|key| &*key),
            symmetric,
        };
        f(handle.ops(), handle.device(), context, &change, ack)
    }

    callbacks! {
        /// `ethtool_ops.get_rx_ring_count`.
        fn get_rx_ring_count(handle: Handle<'_, T>) -> u32 {
            handle.device().rx_queues()
        }

        /// `ethtool_ops.get_rxfh_key_size`.
        fn get_rxfh_key_size(_handle: Handle<'_, T>) -> u32 {
            T::KEY_LEN as u32
        }

        /// `ethtool_ops.get_rxfh_indir_size`.
        fn get_rxfh_indir_size(_handle: Handle<'_, T>) -> u32 {
            T::TABLE_LEN as u32
        }

        /// `ethtool_ops.get_rxfh`.
        fn get_rxfh(
            handle: Handle<'_, T>,
            param: Param<&mut bindings::ethtool_rxfh_param, T>,
        ) -> Result {
            let symmetric = handle.ops().show_context(handle.device(), 0, param.view())?;
            param.0.hfunc = HASH_TOP as u8;
            param.0.input_xfrm = xfrm(symmetric);
            Ok(())
        }

        /// `ethtool_ops.set_rxfh`.
        fn set_rxfh(
            handle: Handle<'_, T>,
            param: Param<&mut bindings::ethtool_rxfh_param, T>,
            ack: Extack<'_>,
        ) -> Result {
            Self::apply(&handle, &mut param, &mut ack, |ops, device, _, change, ack| {
                ops.change_context(device, 0, change, ack)
            })
        }

        /// `ethtool_ops.create_rxfh_context`.
        fn create_rxfh_context(
            handle: Handle<'_, T>,
            ctx: Kept<'_, T>,
            param: Param<&bindings::ethtool_rxfh_param, T>,
            ack: Extack<'_>,
        ) -> Result {
            Self::apply(&handle, &mut param, &mut ack, |ops, device, context, change, _| {
                ops.add_context(device, context, change)
            })?;
            let (ops, device) = (handle.ops(), handle.device());
            let symmetric = ops.show_context(device, param.rss_context, ctx.view())?;
            ctx.0.hfunc = HASH_TOP as u8;
            ctx.0.input_xfrm = xfrm(symmetric);
            Ok(())
        }

        /// `ethtool_ops.modify_rxfh_context`. The core keeps what changed by itself.
        fn modify_rxfh_context(
            handle: Handle<'_, T>,
            _ctx: *mut bindings::ethtool_rxfh_context,
            param: Param<&bindings::ethtool_rxfh_param, T>,
            ack: Extack<'_>,
        ) -> Result {
            Self::apply(&handle, &mut param, &mut ack, T::change_context)
        }

        /// `ethtool_ops.remove_rxfh_context`.
        fn remove_rxfh_context(
            handle: Handle<'_, T>,
            _ctx: *mut bindings::ethtool_rxfh_context,
            context: u32,
            _ack: Extack<'_>,
        ) -> Result {
            handle.ops().remove_context(context)
        }

        /// `ethtool_ops.get_rxfh_fields`.
        fn get_rxfh_fields(
            handle: Handle<'_, T>,
            fields: &mut bindings::ethtool_rxfh_fields,
        ) -> Result {
            let kind = Kind::of(fields.flow_type)?;
            fields.data = handle.ops().hash_fields(fields.rss_context, kind)?.0;
            Ok(())
        }

        /// `ethtool_ops.set_rxfh_fields`.
        fn set_rxfh_fields(
            handle: Handle<'_, T>,
            fields: &bindings::ethtool_rxfh_fields,
            ack: Extack<'_>,
        ) -> Result {
            let kind = Kind::of(fields.flow_type)?;
            let (ops, device) = (handle.ops(), handle.device());
            let to = Fields(fields.data);
            ops.set_hash_fields(device, fields.rss_context, kind, to, &mut ack)
        }
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
