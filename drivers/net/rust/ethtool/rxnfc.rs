// SPDX-License-Identifier: GPL-2.0

//! Flow classification rules: `ethtool -n` and `-N`.
//!
//! Wraps `ethtool_ops.get_rxnfc` and `set_rxnfc`.
//!
//! All operations run in process context with the instance lock held, and may sleep.
//!
//! ```
//! /// A driver of a device with one rule.
//! struct Nic {
//!     rule: Pin<KBox<Mutex<Option<Spec>>>>,
//! }
//!
//! impl Operations for Nic {
//!     const RULES: u32 = 1;
//!
//!     fn rule_locations(&self, each: &mut dyn FnMut(u32)) {
//!         if self.rule.lock().is_some() {
//!             each(0);
//!         }
//!     }
//!
//!     fn rule(&self, _location: u32) -> Option<Spec> {
//!         *self.rule.lock()
//!     }
//!
//!     fn set_rule(&self, _dev: &Device, _place: Place, rule: &Rule, spec: &Spec) -> Result<u32> {
//!         self.write_rule(rule)?;
//!         *self.rule.lock() = Some(*spec);
//!         Ok(0)
//!     }
//!
//!     fn remove_rule(&self, _location: u32) -> Result {
//!         self.rule.lock().take().map(|_| ()).ok_or(ENOENT)
//!     }
//! }
//! # driver!(Nic, Parts::new().rxnfc());
//! # use kernel::sync::Mutex;
//! # impl Nic {
//! #     fn write_rule(&self, _rule: &Rule) -> Result { Ok(()) }
//! # }
//! ```

use crate::net::{
    bindings,
    callback::{
        callbacks,
        slice,
        Handle, //
    },
    device::{
        self,
        Device, //
    },
    tcp::Flow, //
};
use core::marker::PhantomData;
use kernel::prelude::*;

/// Most bytes of addresses and ports together.
pub(crate) const KEY_MAX: usize = 36;
/// The same with IPv4.
const KEY_MAX_V4: usize = 12;

/// Transport protocol that a rule is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proto {
    /// Any.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Action on packets that match.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// They are dropped.
    Drop,
    /// They go to a queue.
    Queue(u32),
    /// A hash context chooses the queue; a number is added to it.
    Context {
        /// The context.
        context: u32,
        /// Number that is added.
        offset: u32,
    },
}

/// A rule in the form for hardware.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    /// IPv6, else IPv4.
    pub(crate) v6: bool,
    /// Transport protocol.
    pub(crate) proto: Proto,
    /// Source address, destination address, source port, destination port, in network byte order:
    /// 12 bytes with IPv4, 36 with IPv6, then zeros. Bits that the mask excludes are zero.
    pub(crate) key: [u8; KEY_MAX],
    /// Bits of the key that must match.
    pub(crate) mask: [u8; KEY_MAX],
    /// Action on packets that match.
    pub(crate) action: Action,
}

impl Rule {
    /// Whether both match the same packets.
    pub(crate) fn same_match(&self, other: &Self) -> bool {
        (self.v6, self.proto, self.key, self.mask) == (other.v6, other.proto, other.key, other.mask)
    }

    /// The TCP connection that the rule matches, if it matches exactly one.
    pub(crate) fn connection(&self) -> Option<Flow> {
        let len = if self.v6 { KEY_MAX } else { KEY_MAX_V4 };
        let all = self.mask.get(..len)?.iter().all(|&byte| byte == u8::MAX);
        if self.proto != Proto::Tcp || !all {
            return None;
        }
        let mut flow = Flow {
            v6: self.v6.into(),
            ..Flow::default()
        };
        flow.key
            .get_mut(..len)?
            .copy_from_slice(self.key.get(..len)?);
        Some(flow)
    }
}

/// A rule in the form of ethtool, to be shown again.
#[derive(Clone, Copy)]
pub(crate) struct Spec {
    raw: bindings::ethtool_rx_flow_spec,
    context: u32,
}

impl Spec {
    /// The rule in the form for hardware.
    ///
    /// # Errors
    ///
    /// [`EOPNOTSUPP`] for what is neither an address nor a port of IPv4 or IPv6, TCP, UDP or any;
    /// [`EINVAL`] for a nonsensical action.
    fn rule(&self) -> Result<Rule> {
        // SAFETY: The unions are plain bytes, all of them initialised by the core.
        let (value, mask) = unsafe { (self.raw.h_u.hdata, self.raw.m_u.hdata) };
        let (v6, proto) = match self.raw.flow_type & !bindings::FLOW_RSS {
            bindings::TCP_V4_FLOW => (false, Proto::Tcp),
            bindings::UDP_V4_FLOW => (false, Proto::Udp),
            bindings::IPV4_USER_FLOW => (false, user_proto(value[PROTO4], mask[PROTO4])?),
            bindings::TCP_V6_FLOW => (true, Proto::Tcp),
            bindings::UDP_V6_FLOW => (true, Proto::Udp),
            bindings::IPV6_USER_FLOW => (true, user_proto(value[PROTO6], mask[PROTO6])?),
            _ => return Err(EOPNOTSUPP),
        };
        // The specifications of all these begin with addresses and ports, or the four bytes where
        // ports would be, and go on with the type of service.
        let addrs = if v6 { 32 } else { 8 };
        let len = addrs + 4;
        if mask[len] != 0 || proto == Proto::Any && mask[addrs..len] != [0; 4] {
            return Err(EOPNOTSUPP);
        }
        let mut rule = Rule {
            v6,
            proto,
            key: [0; KEY_MAX],
            mask: [0; KEY_MAX],
            action: self.action()?,
        };
        for i in 0..len {
            rule.mask[i] = mask[i];
            rule.key[i] = value[i] & mask[i];
        }
        Ok(rule)
    }

    fn action(&self) -> Result<Action> {
        let cookie = self.raw.ring_cookie;
        let spread = self.raw.flow_type & bindings::FLOW_RSS != 0;
        match (cookie, spread) {
            (DROP, false) => Ok(Action::Drop),
            (WAKE, _) => Err(EOPNOTSUPP),
            (DROP, true) => Err(EINVAL),
            // The upper half may name a virtual function, of which there are none.
            (_, true) => Ok(Action::Context {
                context: self.context,
                offset: cookie.try_into().map_err(|_| EINVAL)?,
            }),
            (_, false) => cookie.try_into().map(Action::Queue).map_err(|_| EINVAL),
        }
    }
}

/// Where in the specification of a rule for any protocol the protocol's number is, with IPv4.
const PROTO4: usize = core::mem::offset_of!(bindings::ethtool_usrip4_spec, proto);
/// The same with IPv6.
const PROTO6: usize = core::mem::offset_of!(bindings::ethtool_usrip6_spec, l4_proto);
/// Action to drop.
const DROP: u64 = bindings::RX_CLS_FLOW_DISC as i64 as u64;
/// Action to wake the machine.
const WAKE: u64 = bindings::RX_CLS_FLOW_WAKE as i64 as u64;

/// The protocol of a rule that need not name one.
fn user_proto(value: u8, mask: u8) -> Result<Proto> {
    match (mask, u32::from(value)) {
        (0, _) => Ok(Proto::Any),
        (u8::MAX, bindings::IPPROTO_TCP) => Ok(Proto::Tcp),
        (u8::MAX, bindings::IPPROTO_UDP) => Ok(Proto::Udp),
        _ => Err(EOPNOTSUPP),
    }
}

/// Requested location of a rule; of several rules that match the lowest location wins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// At this location, replacing the rule there.
    At(u32),
    /// At any location.
    Any,
    /// Before all other rules.
    First,
    /// Behind all other rules.
    Last,
}

/// The part of a driver that takes rules.
pub(crate) trait Operations {
    /// Locations that rules have: 0 up to below this.
    const RULES: u32;

    /// Calls `each` with the location of each rule, in ascending order.
    fn rule_locations(&self, each: &mut dyn FnMut(u32));

    /// The rule at a location.
    fn rule(&self, location: u32) -> Option<Spec>;

    /// Sets a rule; returns its location.
    ///
    /// # Errors
    ///
    /// [`EINVAL`] if there is no such location or queue, [`ENOENT`] if there is no such context,
    /// [`ENOSPC`] if there is no room at such a place, [`EEXIST`] if there is a rule with this
    /// match and `place` is any, [`EOPNOTSUPP`] if rules are off.
    fn set_rule(&self, dev: &Device, place: Place, rule: &Rule, spec: &Spec) -> Result<u32>;

    /// Removes the rule at a location.
    ///
    /// # Errors
    ///
    /// [`ENOENT`] if there is none.
    fn remove_rule(&self, location: u32) -> Result;
}

/// The callbacks for a driver.
pub(in crate::net) struct Adapter<T>(PhantomData<T>);

impl<T: device::Operations + Operations> Adapter<T> {
    fn insert(handle: &Handle<'_, T>, info: &mut bindings::ethtool_rxnfc) -> Result {
        let spec = Spec {
            raw: info.fs,
            context: if info.fs.flow_type & bindings::FLOW_RSS != 0 {
                bindings::rxnfc_rss_context(info)
            } else {
                0
            },
        };
        let place = match info.fs.location {
            bindings::RX_CLS_LOC_ANY => Place::Any,
            bindings::RX_CLS_LOC_FIRST => Place::First,
            bindings::RX_CLS_LOC_LAST => Place::Last,
            location if location < T::RULES => Place::At(location),
            _ => return Err(EINVAL),
        };
        let (ops, dev) = (handle.ops(), handle.device());
        info.fs.location = ops.set_rule(dev, place, &spec.rule()?, &spec)?;
        Ok(())
    }

    callbacks! {
        /// `ethtool_ops.get_rxnfc`.
        pub(in crate::net) fn get_rxnfc(
            handle: Handle<'_, T>,
            info: &mut bindings::ethtool_rxnfc,
            locs: *mut u32,
        ) -> Result {
            let ops = handle.ops();
            match info.cmd {
                bindings::ETHTOOL_GRXCLSRLCNT => {
                    let mut count = 0;
                    ops.rule_locations(&mut |_| count += 1);
                    info.__bindgen_anon_1.rule_cnt = count;
                    info.data = (T::RULES | bindings::RX_CLS_LOC_SPECIAL).into();
                }
                bindings::ETHTOOL_GRXCLSRULE => {
                    let location = info.fs.location;
                    let spec = ops.rule(location).ok_or(ENOENT)?;
                    info.data = T::RULES.into();
                    info.fs = spec.raw;
                    info.fs.location = location;
                    if info.fs.flow_type & bindings::FLOW_RSS != 0 {
                        info.__bindgen_anon_1.rss_context = spec.context;
                    }
                    // Where this is set the core looks the context up, and knows none for
                    // context 0.
                    if spec.context != 0 {
                        info.flow_type = bindings::FLOW_RSS;
                    }
                }
                bindings::ETHTOOL_GRXCLSRLALL => {
                    let room = bindings::rxnfc_rule_cnt(info) as usize;
                    // SAFETY: The core made room for as many locations.
                    let locations = unsafe { slice(locs, room) };
                    let mut to = locations.unwrap_or(&mut []).iter_mut();
                    let mut count = 0;
                    ops.rule_locations(&mut |location| {
                        count += 1;
                        if let Some(to) = to.next() {
                            *to = location;
                        }
                    });
                    if count as usize > room {
                        return Err(EMSGSIZE);
                    }
                    info.data = T::RULES.into();
                    info.__bindgen_anon_1.rule_cnt = count;
                }
                _ => return Err(EOPNOTSUPP),
            }
            Ok(())
        }

        /// `ethtool_ops.set_rxnfc`.
        pub(in crate::net) fn set_rxnfc(
            handle: Handle<'_, T>,
            info: &mut bindings::ethtool_rxnfc,
        ) -> Result {
            match info.cmd {
                bindings::ETHTOOL_SRXCLSRLINS => Self::insert(&handle, info),
                bindings::ETHTOOL_SRXCLSRLDEL => handle.ops().remove_rule(info.fs.location),
                _ => Err(EOPNOTSUPP),
            }
        }
    }
}
