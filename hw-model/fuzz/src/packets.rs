// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Frames from the fuzzer's bytes: most of them make sense, so that they get anywhere.

use crate::common::frames::{
    arp, udp, Tcp, ACK, CWR, DEV_MAC, ECE, FIN, PSH, RST, SYN, TIMESTAMP, URG,
};
use crate::input::Input;

/// Connections.
const CONNS: usize = 6;

/// Where the connections are in their streams.
#[derive(Default)]
pub struct Packets {
    next: [u32; CONNS],
    id: [u16; CONNS],
}

impl Packets {
    /// Another frame.
    pub fn frame(&mut self, input: &Input<'_>) -> Vec<u8> {
        match input.below(8) {
            0..=4 => self.tcp(input).build_padded(),
            5 => mutated(self.tcp(input).build_padded(), input),
            6 => match input.below(3) {
                0 => arp(),
                1 => udp(input.u8().into(), input.one_in(2), input.bytes(40)),
                _ => mutated(udp(1, input.one_in(2), &[7; 30]), input),
            },
            _ => {
                let mut frame = DEV_MAC.to_vec();
                if input.one_in(4) {
                    frame.clear();
                }
                let len = usize::from(input.u8());
                frame.extend_from_slice(input.bytes(len));
                frame
            }
        }
    }

    /// A TCP packet, in most cases the next one of its connection.
    fn tcp(&mut self, input: &Input<'_>) -> Tcp {
        let conn = input.below(CONNS);
        let len = match input.below(4) {
            0 | 1 => 1448,
            2 => usize::from(input.u8()),
            _ => usize::from(input.u16()) % 9000,
        };
        let mut packet = Tcp::data(conn as u16, self.next[conn], len);
        packet.v6 = conn % 3 == 2;
        packet.id = self.id[conn];
        if input.one_in(3) {
            odd(&mut packet, input);
        }
        self.id[conn] = packet.id.wrapping_add(1);
        let syn_fin = u32::from(packet.flags & (SYN | FIN) != 0);
        self.next[conn] = packet.seq.wrapping_add(len as u32 + syn_fin);
        packet
    }
}

/// Changes something about a packet.
fn odd(packet: &mut Tcp, input: &Input<'_>) {
    match input.below(13) {
        0 => packet.flags = input.pick(&[SYN, SYN | ACK, FIN | ACK, RST, RST | ACK]),
        1 => packet.flags = ACK | input.pick(&[PSH, URG, ECE, CWR, PSH | FIN, PSH | ECE]),
        2 => packet.flags = input.u8(),
        3 => {
            packet.seq = packet
                .seq
                .wrapping_add(u32::from(input.u8()))
                .wrapping_sub(64)
        }
        4 => packet.seq = input.u32(),
        5 => packet.ack = input.u32(),
        6 => packet.options = options(input),
        7 => packet.ttl = input.u8(),
        8 => packet.tos = input.u8(),
        9 => (packet.id, packet.df) = (input.u8().into(), input.one_in(2)),
        10 => packet.vlan = Some(input.u16()),
        11 => packet.tunnel = true,
        _ => {
            packet.payload = Vec::new();
            packet.window = input.u16();
        }
    }
}

fn options(input: &Input<'_>) -> Vec<u8> {
    if input.one_in(3) {
        let mut later = TIMESTAMP.to_vec();
        later[7] = input.u8();
        return later;
    }
    let mut raw = input.bytes(input.below(11) * 4).to_vec();
    raw.truncate(raw.len() / 4 * 4);
    raw
}

/// Changes some bytes, or the length.
fn mutated(mut frame: Vec<u8>, input: &Input<'_>) -> Vec<u8> {
    for _ in 0..input.below(4) {
        let at = usize::from(input.u8()) % frame.len().min(128);
        frame[at] = input.u8();
    }
    match input.below(4) {
        0 => frame.truncate(usize::from(input.u8())),
        1 => frame.resize(frame.len() + input.below(64), 0),
        _ => {}
    }
    frame
}
