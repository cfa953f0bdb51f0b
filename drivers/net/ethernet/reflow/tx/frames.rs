// SPDX-License-Identifier: GPL-2.0

//! Frames that go out past the stack: those that an XDP program sends back, and those that other
//! devices redirect to this one. They share the ring with the stack, under the same lock.

use super::{
    OnWire,
    Ring,
    Sent,
    STOP_BELOW, //
};
use crate::net::{
    dma::{
        DmaDevice,
        Mapping, //
    },
    skbuff::TxInfo,
    xdp::{
        Frame,
        Transmit, //
    }, //
};
use kernel::prelude::*;

impl Ring<'_> {
    /// Puts a frame on the ring that this device received.
    ///
    /// # Errors
    ///
    /// Gives the frame back when there is no room.
    pub(crate) fn send_back(&mut self, frame: Frame) -> Result<(), Frame> {
        self.put_frame(frame, DmaDevice::lend_part)
    }

    fn put_frame(
        &mut self,
        frame: Frame,
        map: fn(&DmaDevice, &Frame, u32) -> Result<Mapping>,
    ) -> Result<(), Frame> {
        let (parts, len) = frame.shape();
        // The stack is told to stop before the ring is full. That it need not be told here, its
        // last places are left alone.
        if self.slots.free() < parts + STOP_BELOW {
            return Err(frame);
        }
        let Ok(count) = u16::try_from(parts) else {
            return Err(frame);
        };
        let dma = &*self.dma;
        let mapped = self
            .mappings
            .fill(dma, count, |i| map(dma, &frame, i.into()));
        if mapped.is_err() {
            return Err(frame);
        }
        let wire = OnWire {
            frames: 1,
            bytes: len,
        };
        self.put(Sent::Frame(frame), &TxInfo::default(), wire);
        Ok(())
    }
}

impl Transmit for Ring<'_> {
    fn xmit_frame(&mut self, frame: Frame) -> Result<(), Frame> {
        let put = self.put_frame(frame, DmaDevice::map_part);
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
