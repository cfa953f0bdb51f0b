// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Frames, built by a library that knows nothing of the device.

use etherparse::{
    EtherType, Ethernet2Header, IpNumber, Ipv4Header, Ipv6Header, SingleVlanHeader, TcpHeader,
    UdpHeader, VlanId, VlanPcp,
};

/// Station address of the device.
pub const DEV_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// Station address of the peer.
pub const PEER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;
pub const URG: u8 = 0x20;
pub const ECE: u8 = 0x40;
pub const CWR: u8 = 0x80;

/// The options of Linux: two paddings and a timestamp.
pub const TIMESTAMP: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];

/// A TCP packet; change what a test is about and build it.
#[derive(Clone, Debug)]
pub struct Tcp {
    pub v6: bool,
    /// Selects addresses and ports.
    pub conn: u16,
    pub src_mac: [u8; 6],
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    pub options: Vec<u8>,
    pub ttl: u8,
    pub tos: u8,
    pub id: u16,
    pub df: bool,
    pub label: u32,
    pub vlan: Option<u16>,
    /// An outer IP header of the same version.
    pub tunnel: bool,
    /// Id of the outer IPv4 header.
    pub outer_id: u16,
    pub payload: Vec<u8>,
}

impl Tcp {
    /// A packet of connection `conn` with `len` bytes of payload; the sequence number tells the
    /// bytes.
    pub fn data(conn: u16, seq: u32, len: usize) -> Self {
        Self {
            v6: false,
            conn,
            src_mac: PEER_MAC,
            seq,
            ack: 1000,
            flags: ACK,
            window: 512,
            options: TIMESTAMP.to_vec(),
            ttl: 64,
            tos: 0,
            id: 0,
            df: true,
            label: 0x12345,
            vlan: None,
            tunnel: false,
            outer_id: 0,
            payload: stream(conn, seq, len),
        }
    }

    pub fn flags(mut self, flags: u8) -> Self {
        self.flags = flags;
        self
    }

    pub fn v6(mut self) -> Self {
        self.v6 = true;
        self
    }

    fn tcp(&self) -> TcpHeader {
        let mut tcp = TcpHeader::new(10_000 + self.conn, 80, self.seq, self.window);
        tcp.acknowledgment_number = self.ack;
        tcp.fin = self.flags & FIN != 0;
        tcp.syn = self.flags & SYN != 0;
        tcp.rst = self.flags & RST != 0;
        tcp.psh = self.flags & PSH != 0;
        tcp.ack = self.flags & ACK != 0;
        tcp.urg = self.flags & URG != 0;
        tcp.ece = self.flags & ECE != 0;
        tcp.cwr = self.flags & CWR != 0;
        tcp.set_options_raw(&self.options).unwrap();
        tcp
    }

    /// The frame.
    pub fn build(&self) -> Vec<u8> {
        let mut tcp = self.tcp();
        let mut ip = Vec::new();
        let inner = if self.tunnel { 100 } else { 0 };
        if self.v6 {
            let head = ipv6(
                self,
                inner,
                tcp.header_len() + self.payload.len(),
                IpNumber::TCP,
            );
            tcp.checksum = tcp.calc_checksum_ipv6(&head, &self.payload).unwrap();
            if self.tunnel {
                let len = 40 + usize::from(head.payload_length);
                ipv6(self, 0, len, IpNumber::IPV6).write(&mut ip).unwrap();
            }
            head.write(&mut ip).unwrap();
        } else {
            let len = tcp.header_len() + self.payload.len();
            let head = ipv4(self, inner, self.id, len, IpNumber::TCP);
            tcp.checksum = tcp.calc_checksum_ipv4(&head, &self.payload).unwrap();
            if self.tunnel {
                let len = usize::from(head.total_len);
                ipv4(self, 0, self.outer_id, len, IpNumber::IPV4)
                    .write(&mut ip)
                    .unwrap();
            }
            head.write(&mut ip).unwrap();
        }
        tcp.write(&mut ip).unwrap();
        ip.extend_from_slice(&self.payload);
        let ether_type = if self.v6 {
            EtherType::IPV6
        } else {
            EtherType::IPV4
        };
        let mut frame = ethernet(self.src_mac, self.vlan, ether_type);
        frame.extend_from_slice(&ip);
        frame
    }

    /// The frame, padded as on a wire with a shortest frame.
    pub fn build_padded(&self) -> Vec<u8> {
        let mut frame = self.build();
        if frame.len() < 60 {
            frame.resize(60, 0);
        }
        frame
    }
}

/// The frame, plain IPv4, to another port than the usual one.
pub fn with_port(t: &Tcp, to: u16) -> Vec<u8> {
    let mut frame = t.build();
    let port = 34 + 2;
    let old = u16::from_be_bytes([frame[port], frame[port + 1]]);
    frame[port..port + 2].copy_from_slice(&to.to_be_bytes());
    // The checksum changes by what the word changes.
    let at = 34 + 16;
    let sum = u32::from(!u16::from_be_bytes([frame[at], frame[at + 1]]));
    let mut sum = sum + u32::from(!old) + u32::from(to);
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    frame
}

/// The bytes at a place in a connection's stream.
pub fn stream(conn: u16, seq: u32, len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|i| {
            let at = seq.wrapping_add(i);
            (at.wrapping_mul(0x9e37_79b1) >> 24) as u8 ^ (conn as u8).wrapping_mul(29)
        })
        .collect()
}

fn ipv4(t: &Tcp, level: u8, id: u16, len: usize, proto: IpNumber) -> Ipv4Header {
    let conn = t.conn.to_be_bytes();
    let mut ip = Ipv4Header::new(
        len as u16,
        t.ttl,
        proto,
        [10, level, conn[0], conn[1]],
        [10, level + 1, 0, 1],
    )
    .unwrap();
    ip.dscp = (t.tos >> 2).try_into().unwrap();
    ip.ecn = (t.tos & 3).try_into().unwrap();
    ip.identification = id;
    ip.dont_fragment = t.df;
    ip.header_checksum = ip.calc_header_checksum();
    ip
}

fn ipv6(t: &Tcp, level: u8, len: usize, next_header: IpNumber) -> Ipv6Header {
    let conn = t.conn.to_be_bytes();
    let mut source = [0xfd, level, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut destination = source;
    source[14..].copy_from_slice(&conn);
    destination[1] = level + 1;
    destination[15] = 1;
    Ipv6Header {
        traffic_class: t.tos,
        flow_label: t.label.try_into().unwrap(),
        payload_length: len as u16,
        next_header,
        hop_limit: t.ttl,
        source,
        destination,
    }
}

/// An Ethernet header, with a tag or without.
pub fn ethernet(source: [u8; 6], vlan: Option<u16>, ether_type: EtherType) -> Vec<u8> {
    let mut frame = Vec::new();
    Ethernet2Header {
        source,
        destination: DEV_MAC,
        ether_type: vlan.map_or(ether_type, |_| EtherType::VLAN_TAGGED_FRAME),
    }
    .write(&mut frame)
    .unwrap();
    if let Some(tci) = vlan {
        SingleVlanHeader {
            pcp: VlanPcp::try_new((tci >> 13) as u8).unwrap(),
            drop_eligible_indicator: tci & 0x1000 != 0,
            vlan_id: VlanId::try_new(tci & 0xfff).unwrap(),
            ether_type,
        }
        .write(&mut frame)
        .unwrap();
    }
    frame
}

/// A UDP packet of a connection.
pub fn udp(conn: u16, v6: bool, payload: &[u8]) -> Vec<u8> {
    let t = Tcp::data(conn, 0, 0);
    let ports = (conn.wrapping_add(20_000), 53);
    let ether_type = if v6 { EtherType::IPV6 } else { EtherType::IPV4 };
    let mut frame = ethernet(PEER_MAC, None, ether_type);
    let len = 8 + payload.len();
    if v6 {
        let ip = ipv6(&t, 0, len, IpNumber::UDP);
        ip.write(&mut frame).unwrap();
        UdpHeader::with_ipv6_checksum(ports.0, ports.1, &ip, payload)
            .unwrap()
            .write(&mut frame)
            .unwrap();
    } else {
        let ip = ipv4(&t, 0, 7, len, IpNumber::UDP);
        ip.write(&mut frame).unwrap();
        UdpHeader::with_ipv4_checksum(ports.0, ports.1, &ip, payload)
            .unwrap()
            .write(&mut frame)
            .unwrap();
    }
    frame.extend_from_slice(payload);
    frame
}

/// An ARP request, which no parser program knows.
pub fn arp() -> Vec<u8> {
    let mut frame = ethernet(PEER_MAC, None, EtherType::ARP);
    frame.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
    frame.resize(60, 0);
    frame
}
