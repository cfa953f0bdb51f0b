// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The re-assembler: the page for the next data of each flow, and its aggregate at the host.

use crate::flow::framing::Framing;
use crate::flow::opcode::HostOpen;
use crate::rings::buffers::Place;
use reflow_hwdef::opcode::Opcode;

#[derive(Clone, Copy, Default, Debug)]
struct Flow {
    place: Option<Place>,
    open: HostOpen,
    framing: Framing,
}

/// The re-assembler.
#[derive(Debug)]
pub(crate) struct Reassembler {
    flows: Vec<Flow>,
}

impl Reassembler {
    /// A re-assembler for so many flows.
    pub(crate) fn new(flows: usize) -> Self {
        Self {
            flows: vec![Flow::default(); flows],
        }
    }

    /// The place of a flow's next data.
    pub(crate) fn place(&self, flow: u16) -> Option<Place> {
        self.flows.get(usize::from(flow)).and_then(|f| f.place)
    }

    /// Flows that have a partly filled page.
    pub(crate) fn holders(&self) -> impl Iterator<Item = u16> + '_ {
        let held = self.flows.iter().enumerate();
        held.filter_map(|(flow, f)| f.place.map(|_| flow as u16))
    }

    /// Sets the place of a flow's next data.
    pub(crate) fn set_place(&mut self, flow: u16, place: Option<Place>) {
        if let Some(f) = self.flows.get_mut(usize::from(flow)) {
            f.place = place;
        }
    }

    /// A flow's position in its messages.
    pub(crate) fn framing(&self, flow: u16) -> Framing {
        let found = self.flows.get(usize::from(flow));
        found.map_or(Framing::default(), |f| f.framing)
    }

    /// Sets a flow's position in its messages.
    pub(crate) fn set_framing(&mut self, flow: u16, framing: Framing) {
        if let Some(f) = self.flows.get_mut(usize::from(flow)) {
            f.framing = framing;
        }
    }

    /// Takes a flow's page; its aggregate continues on another one.
    pub(crate) fn take_place(&mut self, flow: u16) -> Option<Place> {
        self.flows.get_mut(usize::from(flow))?.place.take()
    }

    /// Forgets a flow; returns its page.
    pub(crate) fn forget(&mut self, flow: u16) -> Option<Place> {
        let f = self.flows.get_mut(usize::from(flow))?;
        std::mem::take(f).place
    }

    /// The aggregate of a flow that the host has open.
    pub(crate) fn open(&self, flow: u16) -> HostOpen {
        let found = self.flows.get(usize::from(flow));
        found.map_or(HostOpen::No, |f| f.open)
    }

    /// A packet was transferred; `more` is its hint.
    pub(crate) fn transferred(&mut self, flow: u16, opcode: Opcode, more: bool) {
        if let Some(f) = self.flows.get_mut(usize::from(flow)) {
            let goes_on = matches!(opcode, Opcode::Start | Opcode::CloseStart | Opcode::Append);
            f.open = if goes_on && more {
                HostOpen::Yes
            } else {
                HostOpen::No
            };
        }
    }

    /// No aggregate that the host has open may be appended to.
    pub(crate) fn break_all(&mut self) {
        for f in &mut self.flows {
            if f.open == HostOpen::Yes {
                f.open = HostOpen::Broken;
            }
        }
    }

    /// A packet that was to be transferred was lost.
    pub(crate) fn lost(&mut self, flow: u16) {
        if let Some(f) = self.flows.get_mut(usize::from(flow)) {
            if f.open == HostOpen::Yes {
                f.open = HostOpen::Broken;
            }
        }
    }
}
