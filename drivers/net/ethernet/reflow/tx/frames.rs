// SPDX-License-Identifier: GPL-2.0

//! Frames that go out past the stack: those that an XDP program sends back, and those that other
//! devices redirect to this one. They share the ring with the stack, under the same lock.

use super::{
    OnWire,
    Ring,
    STOP_BELOW, //
};
use crate::{
    hw::desc::{
        T1,
        T2, //
    },
    net::{
        tx_slots::Outgoing,
        xdp::{
            OwnFrame,
            Transmit, //
            XdpFrame,
        }, //
    }, //
};
use kernel::prelude::*;

impl Ring<'_> {
    /// Puts a frame on the ring that this device received.
    ///
    /// # Errors
    ///
    /// Gives the frame back when there is no room.
    pub(crate) fn send_back(&mut self, frame: OwnFrame) -> Result<(), OwnFrame> {
        let shape = frame.shape();
        self.put_frame(frame, shape)
    }

    fn put_frame<P: Outgoing>(&mut self, frame: P, (parts, len): (u32, u32)) -> Result<(), P> {
        // Leave the room after which the stack's queue is stopped: frames need not stop it.
        if self.slots.free() < parts.saturating_add(STOP_BELOW) {
            return Err(frame);
        }
        let mapped = self.slots.map(frame)?;
        self.desc.send(mapped, (T1(0), T2(0)), OnWire::whole(len))
    }
}

impl Transmit for Ring<'_> {
    fn xmit_frame(&mut self, frame: XdpFrame) -> Result<(), XdpFrame> {
        let shape = frame.shape();
        let put = self.put_frame(frame, shape);
        let count = &self.counters.tx_queued;
        match put {
            Ok(()) => count.xdp_xmit.add(1),
            Err(_) => count.xdp_xmit_full.add(1),
        }
        put
    }

    fn flush_frames(&mut self) {
        self.ring_doorbell();
    }
}
