// SPDX-License-Identifier: GPL-2.0 OR MIT

//! From the wire to the packet memory: the units that look at a frame when it arrives.
//!
//! [`Device::rx_frame`](crate::Device::rx_frame) takes a frame through them in this order: the MAC
//! filter ([`mac`]), the header parser ([`parser`]) and the check of its result ([`headers`]), the
//! flow key ([`key`]), the choice of a queue by rules and hash ([`spread`], [`rules`]) and random
//! early discard ([`red`]). The flow database ([`crate::flow`]) comes next.

pub(crate) mod headers;
pub(crate) mod key;
pub(crate) mod mac;
pub mod parser;
pub(crate) mod red;
pub(crate) mod rules;
pub(crate) mod spread;
