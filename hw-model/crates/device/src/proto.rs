// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Numbers of Ethernet, IP, TCP and UDP, and access to their fields.

/// Bytes of an Ethernet header without tags.
pub(crate) const ETH_LEN: usize = 14;
/// Bytes of a VLAN tag.
pub(crate) const VLAN_LEN: usize = 4;
/// EtherType of the VLAN tag that is removed and inserted.
pub(crate) const ETH_VLAN: u16 = 0x8100;
/// EtherType of a service VLAN tag.
pub(crate) const ETH_SERVICE_VLAN: u16 = 0x88a8;
/// EtherType of IPv4.
pub(crate) const ETH_IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub(crate) const ETH_IPV6: u16 = 0x86dd;
/// EtherType of MAC control frames.
pub(crate) const ETH_MAC_CONTROL: u16 = 0x8808;

/// IPv6 hop-by-hop options.
pub(crate) const PROTO_HOP_BY_HOP: u8 = 0;
/// IPv4 in IP.
pub(crate) const PROTO_IPV4: u8 = 4;
/// TCP.
pub(crate) const PROTO_TCP: u8 = 6;
/// UDP.
pub(crate) const PROTO_UDP: u8 = 17;
/// IPv6 in IP.
pub(crate) const PROTO_IPV6: u8 = 41;
/// IPv6 fragment header.
pub(crate) const PROTO_FRAGMENT: u8 = 44;
/// IPv6 destination options.
pub(crate) const PROTO_DEST_OPTIONS: u8 = 60;

/// TCP FIN.
pub(crate) const FIN: u8 = 0x01;
/// TCP SYN.
pub(crate) const SYN: u8 = 0x02;
/// TCP RST.
pub(crate) const RST: u8 = 0x04;
/// TCP PSH.
pub(crate) const PSH: u8 = 0x08;
/// TCP URG.
pub(crate) const URG: u8 = 0x20;
/// TCP CWR.
pub(crate) const CWR: u8 = 0x80;

/// An IP header in a frame.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Level {
    /// Where it starts.
    pub(crate) off: usize,
    /// IPv6, else IPv4.
    pub(crate) v6: bool,
}

/// The big-endian 16-bit word at an offset.
pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

/// The big-endian 32-bit word at an offset.
pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let w = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes([w[0], w[1], w[2], w[3]]))
}
