// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The re-assembler: which page each flow's data goes to next, and what the host has open.

use crate::flow::framing::Framing;
use crate::rings::buffers::Place;
use reflow_hwdef::opcode::Opcode;

/// The aggregate of a flow as the host sees it, after what was transferred so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Open {
    /// None.
    #[default]
    No,
    /// One that may be appended to.
    Yes,
    /// One that may not: a packet of it was lost on the way.
    Broken,
}

#[derive(Clone, Copy, Default, Debug)]
struct Flow {
    place: Option<Place>,
    open: Open,
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

    /// Where a flow's data goes next.
    pub(crate) fn place(&self, flow: u16) -> Option<Place> {
        self.flows.get(usize::from(flow)).and_then(|f| f.place)
    }

    /// Flows that have a partly filled page.
    pub(crate) fn holders(&self) -> impl Iterator<Item = u16> + '_ {
        let held = self.flows.iter().enumerate();
        held.filter_map(|(flow, f)| f.place.map(|_| flow as u16))
    }

    /// Sets where a flow's data goes next.
    pub(crate) fn set_place(&mut self, flow: u16, place: Option<Place>) {
        if let Some(f) = self.flows.get_mut(usize::from(flow)) {
            f.place = place;
        }
    }

    /// Where a flow is in its messages.
    pub(crate) fn framing(&self, flow: u16) -> Framing {
        let found = self.flows.get(usize::from(flow));
        found.map_or(Framing::default(), |f| f.framing)
    }

    /// Sets where a flow is in its messages.
    pub(crate) fn set_framing(&mut self, flow: u16, framing: Framing) {
        if let Some(f) = self.flows.get_mut(usize::from(flow)) {
            f.framing = framing;
        }
    }

    /// Takes a flow's page away; what the host has open goes on elsewhere.
    pub(crate) fn take_place(&mut self, flow: u16) -> Option<Place> {
        self.flows.get_mut(usize::from(flow))?.place.take()
    }

    /// Forgets a flow, and leaves the caller its page.
    pub(crate) fn forget(&mut self, flow: u16) -> Option<Place> {
        let f = self.flows.get_mut(usize::from(flow))?;
        std::mem::take(f).place
    }

    /// The operation code with which a packet is transferred.
    ///
    /// Codes are given on arrival; the host must not be told to append to what it does not have.
    pub(crate) fn settle(&self, flow: u16, opcode: Opcode) -> Opcode {
        let open = self
            .flows
            .get(usize::from(flow))
            .map_or(Open::No, |f| f.open);
        match (opcode, open) {
            (Opcode::Append | Opcode::AppendClose, Open::Yes) => opcode,
            (
                Opcode::Start | Opcode::CloseStart | Opcode::Append | Opcode::AppendClose,
                Open::No,
            ) => Opcode::Start,
            (
                Opcode::Start | Opcode::CloseStart | Opcode::Append | Opcode::AppendClose,
                Open::Yes | Open::Broken,
            ) => Opcode::CloseStart,
            _ => opcode,
        }
    }

    /// A packet was transferred; `more` is its hint.
    pub(crate) fn transferred(&mut self, flow: u16, opcode: Opcode, more: bool) {
        if let Some(f) = self.flows.get_mut(usize::from(flow)) {
            let goes_on = matches!(opcode, Opcode::Start | Opcode::CloseStart | Opcode::Append);
            f.open = if goes_on && more { Open::Yes } else { Open::No };
        }
    }

    /// Whatever the host has open ends with the next packet of its flow.
    pub(crate) fn break_all(&mut self) {
        for f in &mut self.flows {
            if f.open == Open::Yes {
                f.open = Open::Broken;
            }
        }
    }

    /// A packet that was to be transferred was lost.
    pub(crate) fn lost(&mut self, flow: u16) {
        if let Some(f) = self.flows.get_mut(usize::from(flow)) {
            if f.open == Open::Yes {
                f.open = Open::Broken;
            }
        }
    }
}
