// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A network stack's double: puts aggregates together from deliveries as a driver does, and cuts
//! them into frames again as forwarding does. Written from the rules for the host, not from the
//! device.

use crate::driver::Delivery;
use etherparse::checksum::Sum16BitWords;
use reflow_hwdef::opcode::Opcode;
use std::collections::BTreeMap;

/// A packet for the stack: one packet, or several merged.
#[derive(Clone, Debug)]
pub struct Super {
    /// Ethernet to end of TCP options of the first packet, PSH and FIN of the last.
    pub header: Vec<u8>,
    pub data: Vec<u8>,
    pub segs: usize,
    pub seg_size: usize,
    /// IPv4 ids that stay: of the innermost header, and of the one around it.
    pub fixed_id: bool,
    pub outer_fixed_id: bool,
    pub l3_off: usize,
    pub l4_off: usize,
    /// Offset of the outer IP header of a tunnel.
    pub outer_off: Option<usize>,
    pub flow: Option<u16>,
    pub vlan: Option<u16>,
}

/// The stack of one queue.
#[derive(Default)]
pub struct Stack {
    open: BTreeMap<u16, Super>,
    pub up: Vec<Super>,
}

impl Stack {
    /// Takes what a poll brought; checks that each operation code makes sense.
    pub fn take(&mut self, deliveries: Vec<Delivery>) {
        for d in deliveries {
            self.one(d);
        }
    }

    /// Whether the driver holds an aggregate open.
    pub fn is_open(&self, flow: u16) -> bool {
        self.open.contains_key(&flow)
    }

    fn one(&mut self, d: Delivery) {
        match d.opcode {
            Opcode::Append | Opcode::AppendClose => self.append(&d),
            Opcode::Start | Opcode::CloseStart => {
                let flow = d.flow.expect("an aggregate has a flow");
                let closes = d.opcode == Opcode::CloseStart;
                assert_eq!(
                    self.is_open(flow),
                    closes,
                    "close and start closes, start does not"
                );
                self.close(flow);
                self.open.insert(flow, single(&d));
            }
            _ => {
                if let Some(flow) = d.flow {
                    self.close(flow);
                }
                self.up.push(single(&d));
            }
        }
        if let Some(flow) = d.flow {
            if !d.more || d.opcode == Opcode::AppendClose || d.last.c0.rel_flow() == 1 {
                self.close(flow);
            }
        }
    }

    fn append(&mut self, d: &Delivery) {
        let flow = d.flow.expect("an aggregate has a flow");
        let open = self
            .open
            .get_mut(&flow)
            .expect("an append has an open aggregate");
        assert_eq!(d.first.c5.seg_size() as usize, open.seg_size);
        assert_eq!(d.first.c5.data_len() as usize, d.data.len());
        assert_eq!(
            open.data.len(),
            open.segs * open.seg_size,
            "only the last may be shorter"
        );
        open.segs += d.last.c0.segs() as usize;
        open.fixed_id = d.first.c0.fixed_id() == 1;
        open.outer_fixed_id = d.first.c5.outer_fixed_id() == 1;
        open.data.extend_from_slice(&d.data);
        let flags = open.l4_off + 13;
        open.header[flags] |= d.first.c0.tcp_flags() as u8 & 0x09;
    }

    fn close(&mut self, flow: u16) {
        if let Some(done) = self.open.remove(&flow) {
            self.up.push(done);
        }
    }
}

/// A packet by itself.
fn single(d: &Delivery) -> Super {
    let c0 = d.first.c0;
    let data_len = d.first.c5.data_len() as usize;
    let (header, data) = match &d.header {
        Some(header) => (header.clone(), d.data.clone()),
        None => (d.whole.clone(), Vec::new()),
    };
    assert!(d.header.is_none() || data.len() == data_len);
    // Several packets of an aggregate at once.
    let segs = d.last.c0.segs() as usize;
    let (mut header, mut seg_size) = (header, data_len);
    if segs > 1 {
        seg_size = d.first.c5.seg_size() as usize;
        assert_eq!(data_len.div_ceil(seg_size), segs);
        header[d.first.c4.l4_off() as usize + 13] |= c0.tcp_flags() as u8 & 0x09;
    }
    Super {
        header,
        data,
        segs,
        seg_size,
        fixed_id: segs > 1 && c0.fixed_id() == 1,
        outer_fixed_id: segs > 1 && d.first.c5.outer_fixed_id() == 1,
        l3_off: d.first.c4.l3_off() as usize,
        l4_off: d.first.c4.l4_off() as usize,
        outer_off: (c0.tunnel() == 1).then(|| d.first.c5.outer_off() as usize),
        flow: d.flow,
        vlan: (c0.vlan() == 1).then(|| d.first.c1.vlan_tci() as u16),
    }
}

impl Super {
    /// The frames that forwarding makes of it.
    pub fn cut(&self) -> Vec<Vec<u8>> {
        if self.segs == 1 {
            return vec![[self.header.clone(), self.data.clone()].concat()];
        }
        let chunks: Vec<&[u8]> = self.data.chunks(self.seg_size).collect();
        assert_eq!(chunks.len(), self.segs, "as many cuts as packets came");
        let last = chunks.len() - 1;
        chunks
            .iter()
            .enumerate()
            .map(|(i, chunk)| self.segment(i, chunk, i == last))
            .collect()
    }

    fn segment(&self, i: usize, chunk: &[u8], last: bool) -> Vec<u8> {
        let mut frame = self.header.clone();
        frame.extend_from_slice(chunk);
        let tcp = self.l4_off;
        let seq = u32::from_be_bytes(frame[tcp + 4..tcp + 8].try_into().unwrap());
        let seq = seq.wrapping_add((i * self.seg_size) as u32);
        frame[tcp + 4..tcp + 8].copy_from_slice(&seq.to_be_bytes());
        if !last {
            frame[tcp + 13] &= !0x09;
        }
        if let Some(outer) = self.outer_off {
            self.fix_ip(&mut frame, outer, i as u16, self.outer_fixed_id);
        }
        self.fix_ip(&mut frame, self.l3_off, i as u16, self.fixed_id);
        let sum = l4_sum(&frame, self.l3_off, tcp);
        frame[tcp + 16..tcp + 18].copy_from_slice(&sum.to_be_bytes());
        frame
    }

    fn fix_ip(&self, frame: &mut [u8], off: usize, i: u16, fixed_id: bool) {
        let len = frame.len() - off;
        if frame[off] >> 4 == 6 {
            frame[off + 4..off + 6].copy_from_slice(&(len as u16 - 40).to_be_bytes());
            return;
        }
        frame[off + 2..off + 4].copy_from_slice(&(len as u16).to_be_bytes());
        if !fixed_id {
            let id = u16::from_be_bytes([self.header[off + 4], self.header[off + 5]]);
            frame[off + 4..off + 6].copy_from_slice(&id.wrapping_add(i).to_be_bytes());
        }
        frame[off + 10..off + 12].fill(0);
        let sum = Sum16BitWords::new()
            .add_slice(&frame[off..off + 20])
            .ones_complement()
            .to_be();
        frame[off + 10..off + 12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// The TCP checksum that belongs into a frame.
pub fn l4_sum(frame: &[u8], l3: usize, l4: usize) -> u16 {
    let mut segment = frame[l4..].to_vec();
    segment[16..18].fill(0);
    let addrs = if frame[l3] >> 4 == 6 {
        &frame[l3 + 8..l3 + 40]
    } else {
        &frame[l3 + 12..l3 + 20]
    };
    Sum16BitWords::new()
        .add_slice(addrs)
        .add_2bytes([0, 6])
        .add_2bytes((segment.len() as u16).to_be_bytes())
        .add_slice(&segment)
        .ones_complement()
        .to_be()
}
