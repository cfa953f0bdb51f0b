// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A host whose memory is the fuzzer's input: what the device reads twice may differ, and any access
//! may fail.

use crate::input::Input;
use reflow_device::{Host, MemError};
use reflow_hwdef::cmd::{Cmd0, CMD_SIZE};
use reflow_hwdef::desc::{T1, T2, TX_DESC_SIZE};

/// Bus address of the transmit rings; descriptors read there make sense in most cases.
pub const TX_RING: u64 = 0x10_0000;
/// Bus address of the command ring; commands read there make sense in most cases.
pub const CMD_RING: u64 = 0x20_0000;
/// Bus address of rings of buffers and completions.
pub const RINGS: u64 = 0x30_0000;
/// Bus address of what is to be sent: headers of packets, then anything.
pub const DATA: u64 = 0x40_0000;
/// No memory from here on.
pub const END: u64 = 0x80_0000;

/// The host.
pub struct StreamHost<'a> {
    /// Where its memory comes from.
    pub input: &'a Input<'a>,
    /// Packets as the network stack would send them, for [`DATA`].
    pub templates: Vec<Vec<u8>>,
    /// Whether an access fails now and then.
    pub faulty: bool,
    /// Vectors that the device has.
    pub vectors: u16,
}

impl StreamHost<'_> {
    fn access(&self, addr: u64, len: usize) -> Result<(), MemError> {
        let end = addr.checked_add(len as u64);
        let fails = self.faulty && self.input.u8() == 0xa5;
        if fails || end.is_none_or(|end| end > END) {
            return Err(MemError { addr, len });
        }
        Ok(())
    }

    fn store(&self, addr: u64, len: usize) -> Result<(), MemError> {
        if addr % len as u64 != 0 {
            return Err(MemError { addr, len });
        }
        self.access(addr, len)
    }

    fn tx_desc(&self, out: &mut [u8]) {
        let shape = self.input.u8();
        let template = self.input.below(self.templates.len().max(1));
        let len = match shape & 3 {
            0 => u64::from(self.input.u16()),
            1 => u64::from(self.input.u8()) + 1,
            _ => self.templates.get(template).map_or(60, Vec::len) as u64,
        };
        let bits = self.input.u8();
        let t1 = T1(0)
            .with_len(len)
            .with_sop(u64::from(bits & 1 == 0))
            .with_eop(u64::from(bits & 2 == 0))
            .with_csum(u64::from(bits & 4 != 0))
            .with_tso(u64::from(bits & 0x18 == 0x08))
            .with_uso(u64::from(bits & 0x18 == 0x10))
            .with_vlan(u64::from(bits & 0x20 != 0))
            .with_fixed_id(u64::from(bits & 0x40 != 0))
            .with_mss(u64::from(self.input.u16()) % 2048)
            .with_vlan_tci(u64::from(bits));
        let l3 = 14;
        let l4 = self.input.pick(&[34, 54, 54, 0, 255]);
        let header = self.input.pick(&[66, 86, 42, 62, 0]);
        let t2 = T2(0)
            .with_csum_start(l4)
            .with_csum_off(l4 + self.input.pick(&[16, 6, 200]))
            .with_hdr_len(header)
            .with_l3_off(l3)
            .with_l4_off(l4);
        let addr = DATA + (template as u64) * 0x1_0000;
        for (b, word) in out.chunks_exact_mut(8).zip([addr, t1.0, t2.0, 0]) {
            b.copy_from_slice(&word.to_le_bytes());
        }
    }

    fn command(&self, out: &mut [u8]) {
        let cmd = Cmd0(0)
            .with_command(u64::from(self.input.u8()) % 13)
            .with_tag(self.input.u8().into())
            .with_index(self.input.u8().into());
        let words = [cmd.0, RINGS, u64::from(self.input.u16())];
        for (b, word) in out.chunks_exact_mut(8).zip(words) {
            b.copy_from_slice(&word.to_le_bytes());
        }
    }
}

impl Host for StreamHost<'_> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), MemError> {
        self.access(addr, buf.len())?;
        let sane = self.input.one_in(8);
        match addr {
            TX_RING..CMD_RING if !sane => buf
                .chunks_exact_mut(TX_DESC_SIZE)
                .for_each(|desc| self.tx_desc(desc)),
            CMD_RING..RINGS if !sane => buf
                .chunks_exact_mut(CMD_SIZE)
                .for_each(|cmd| self.command(cmd)),
            DATA.. => {
                let template = self.templates.get(((addr - DATA) >> 16) as usize);
                let from = (addr & 0xffff) as usize;
                let bytes = template.and_then(|t| t.get(from..)).unwrap_or(&[]);
                let n = bytes.len().min(buf.len());
                buf[..n].copy_from_slice(&bytes[..n]);
                buf[n..].fill(0x5a);
                if self.input.one_in(3) && !buf.is_empty() {
                    let at = usize::from(self.input.u8()) % buf.len();
                    buf[at] = self.input.u8();
                }
            }
            _ => self.input.fill(buf),
        }
        Ok(())
    }

    fn write(&self, addr: u64, data: &[u8]) -> Result<(), MemError> {
        self.access(addr, data.len())
    }

    fn store_release_u64(&self, addr: u64, _value: u64) -> Result<(), MemError> {
        self.store(addr, 8)
    }

    fn store_release_u32(&self, addr: u64, _value: u32) -> Result<(), MemError> {
        self.store(addr, 4)
    }

    fn interrupt(&mut self, vector: u16) {
        assert!(vector < self.vectors);
    }

    fn wire_ready(&self) -> bool {
        !self.input.one_in(16)
    }

    fn send(&mut self, frame: &[u8]) {
        assert!(!frame.is_empty());
    }
}
