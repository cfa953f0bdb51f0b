// SPDX-License-Identifier: GPL-2.0

//! TCP connections of this machine.
//!
//! Wraps `inet_lookup_established()` and `__inet6_lookup_established()`, for devices that keep
//! state of connections and start from the socket's. Process context; takes no lock that a driver
//! could hold.
//!
//! ```
//! /// Where a device begins to follow a connection, which has a socket here.
//! fn begin(dev: &Device, flow: &Flow) -> Result<u32> {
//!     dev.tcp_rcv_nxt(flow).ok_or(ENOENT)
//! }
//! ```

use super::{
    bindings,
    Device, //
};

/// A TCP connection, as in its received packets.
///
/// `key` is source address, destination address, source port and destination port, all in network
/// byte order, one behind the other: 12 bytes with IPv4, 36 with IPv6, then zeros. The other end is
/// the source. `tagged` says that packets have the VLAN tag `vlan_tci`.
pub(crate) type Flow = bindings::rnet_flow;

impl Flow {
    /// Whether two are of one connection.
    #[inline]
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.key == other.key
            && self.v6 == other.v6
            && self.tagged == other.tagged
            && self.vlan_tci == other.vlan_tci
    }
}

impl Device {
    /// The next sequence number of a connection's socket (`rcv_nxt`); `None` if this machine has no
    /// such connection on this device that may still receive data. Process context.
    pub(crate) fn tcp_rcv_nxt(&self, flow: &Flow) -> Option<u32> {
        let mut next = 0;
        bindings::tcp_rcv_nxt(self.as_opaque(), flow, &mut next).then_some(next)
    }
}
