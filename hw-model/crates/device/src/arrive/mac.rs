// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The MAC filter.

use crate::proto::{be16, ETH_LEN, ETH_MAC_CONTROL, ETH_VLAN, VLAN_LEN};
use reflow_hwdef::regs::{RxMode, MC_ENTRIES};
use reflow_hwdef::stats::{Global, Length, FCS_LEN, LENGTHS};

/// Longest frame, whatever MAX_FRAME says: a completion has 16 bits for the length.
pub(crate) const FRAME_LIMIT: usize = 65_531;
/// Bytes that a frame is padded to.
pub(crate) const PADDED: usize = 60;
/// Length of the shortest frame with a VLAN tag.
pub(crate) const SHORT_FRAME: usize = 64;

/// The address of an accepted frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cast {
    /// One station.
    Unicast,
    /// A group.
    Multicast,
    /// All.
    Broadcast,
}

impl Cast {
    /// That of a frame with at least an Ethernet header.
    pub(crate) fn of(frame: &[u8]) -> Self {
        match frame[..6] {
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => Self::Broadcast,
            [first, ..] if first & 1 != 0 => Self::Multicast,
            _ => Self::Unicast,
        }
    }
}

/// The MAC filter.
#[derive(Debug)]
pub(crate) struct Mac {
    /// Station address.
    pub(crate) addr: [u8; 6],
    /// The frames that pass.
    pub(crate) mode: RxMode,
    /// Longest frame as the driver set it.
    pub(crate) max_frame: usize,
    /// Entries of the multicast table in use.
    pub(crate) mc_count: usize,
    /// Multicast table.
    pub(crate) mc_table: [[u8; 6]; MC_ENTRIES],
}

impl Mac {
    /// The filter after a reset: it passes frames for the station address only.
    pub(crate) fn new(addr: [u8; 6]) -> Self {
        Self {
            addr,
            mode: RxMode(0),
            max_frame: 1514,
            mc_count: 0,
            mc_table: [[0; 6]; MC_ENTRIES],
        }
    }

    /// Whether a frame's length is too long; a VLAN tag does not count.
    pub(crate) fn is_giant(&self, frame: &[u8]) -> bool {
        let tag = if vlan_tci(frame).is_some() {
            VLAN_LEN
        } else {
            0
        };
        frame.len() > self.max_frame.min(FRAME_LIMIT) + tag
    }

    /// Passes a frame, or names the counter of its loss.
    pub(crate) fn filter(&self, frame: &[u8]) -> Result<Cast, Global> {
        if frame.len() < ETH_LEN {
            return Err(Global::RxRunts);
        }
        if self.is_giant(frame) {
            return Err(Global::RxGiants);
        }
        // Pause frames end in the MAC.
        if is_mac_control(frame) {
            return Err(Global::RxFiltered);
        }
        let dst = &frame[..6];
        let cast = Cast::of(frame);
        let wanted = match cast {
            Cast::Unicast => dst == self.addr,
            Cast::Multicast => {
                let listed = self.mc_table[..self.mc_count].iter().any(|a| a == dst);
                self.mode.allmulti() != 0 || listed
            }
            Cast::Broadcast => self.mode.broadcast() != 0,
        };
        if wanted || self.mode.promisc() != 0 {
            Ok(cast)
        } else {
            Err(Global::RxFiltered)
        }
    }
}

/// Whether a frame is a MAC control frame.
pub(crate) fn is_mac_control(frame: &[u8]) -> bool {
    be16(frame, 12) == Some(ETH_MAC_CONTROL)
}

/// The class that a frame's length belongs to.
pub(crate) fn length_of(frame: &[u8]) -> &'static Length {
    let len = frame.len() + FCS_LEN;
    let fits = |class: &&Length| len <= usize::from(class.longest);
    let [.., longest] = &LENGTHS;
    LENGTHS.iter().find(fits).unwrap_or(longest)
}

/// The control information of the outermost VLAN tag.
pub(crate) fn vlan_tci(frame: &[u8]) -> Option<u16> {
    if be16(frame, 12) == Some(ETH_VLAN) && frame.len() >= ETH_LEN + VLAN_LEN {
        be16(frame, 14)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(dst: [u8; 6], len: usize) -> Vec<u8> {
        let mut f = vec![0; len];
        f[..6].copy_from_slice(&dst);
        f
    }

    #[test]
    fn own_multicast_broadcast_and_promiscuous() {
        let own = [2, 0, 0, 0, 0, 1];
        let group = [1, 0, 0x5e, 0, 0, 1];
        let mut mac = Mac::new(own);
        assert_eq!(mac.filter(&frame(own, 60)), Ok(Cast::Unicast));
        assert_eq!(
            mac.filter(&frame([2, 0, 0, 0, 0, 2], 60)),
            Err(Global::RxFiltered)
        );
        assert_eq!(mac.filter(&frame(group, 60)), Err(Global::RxFiltered));
        mac.mc_table[0] = group;
        assert_eq!(mac.filter(&frame(group, 60)), Err(Global::RxFiltered));
        mac.mc_count = 1;
        assert_eq!(mac.filter(&frame(group, 60)), Ok(Cast::Multicast));
        let all = frame([0xff; 6], 60);
        assert_eq!(mac.filter(&all), Err(Global::RxFiltered));
        mac.mode = mac.mode.with_broadcast(1);
        assert_eq!(mac.filter(&all), Ok(Cast::Broadcast));
        mac.mode = RxMode(0).with_allmulti(1);
        assert_eq!(
            mac.filter(&frame([1, 2, 3, 4, 5, 6], 60)),
            Ok(Cast::Multicast)
        );
        mac.mode = RxMode(0).with_promisc(1);
        assert_eq!(
            mac.filter(&frame([2, 9, 9, 9, 9, 9], 60)),
            Ok(Cast::Unicast)
        );
    }

    #[test]
    fn lengths_at_their_limits() {
        let own = [2, 0, 0, 0, 0, 1];
        let mac = Mac::new(own);
        assert_eq!(mac.filter(&frame(own, 13)), Err(Global::RxRunts));
        assert_eq!(mac.filter(&frame(own, 14)), Ok(Cast::Unicast));
        assert_eq!(mac.filter(&frame(own, 1514)), Ok(Cast::Unicast));
        let mut long = frame(own, 1515);
        assert_eq!(mac.filter(&long), Err(Global::RxGiants));
        long[12..14].copy_from_slice(&ETH_VLAN.to_be_bytes());
        assert_eq!(mac.filter(&long), Ok(Cast::Unicast));
        for (len, longest) in [
            (14, 64),
            (60, 64),
            (61, 127),
            (1514, 1518),
            (1515, 65535),
            (65531, 65535),
            (65532, 65535),
        ] {
            assert_eq!(length_of(&frame(own, len)).longest, longest);
        }
        let mut pause = frame(own, 60);
        pause[12..14].copy_from_slice(&ETH_MAC_CONTROL.to_be_bytes());
        assert_eq!(mac.filter(&pause), Err(Global::RxFiltered));
    }
}
