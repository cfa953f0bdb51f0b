// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A host whose memory is the fuzzer's input: what the device reads twice may differ, and any
//! access may fail.

use crate::input::Input;
use reflow_device::{Host, MemError};
use reflow_hwdef::cmd::{
    Cmd0, CMD_SIZE, R0, RSS_TABLE_WORD, RSS_WORDS, RULE_KEY, RULE_MASK, RULE_WORDS, T0, T6, T8,
    TCB_KEY, TCB_LIST, TCB_LIST_LEN, TCB_SEQ, TCB_WORDS, X0,
};
use reflow_hwdef::desc::{T1, T2, TX_DESC_SIZE};

/// Bus address of the transmit rings; descriptors read there make sense in most cases.
pub const TX_RING: u64 = 0x10_0000;
/// Bus address of the command ring; commands read there make sense in most cases.
pub const CMD_RING: u64 = 0x20_0000;
/// Bus address of rings of buffers and completions.
pub const RINGS: u64 = 0x30_0000;
/// Bus address of the commands' blocks and page lists; they make sense in most cases.
pub const BLOCKS: u64 = 0x38_0000;
/// Bus address of the packets to send: headers, then any bytes.
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
        put_words(out, &[addr, t1.0, t2.0, 0]);
    }

    fn command(&self, out: &mut [u8]) {
        let cmd = Cmd0(0)
            .with_command(u64::from(self.input.u8()) % 13)
            .with_tag(self.input.u8().into())
            .with_index(self.input.u8().into());
        let len = match self.input.below(4) {
            0 => u64::from(self.input.u16()),
            _ => 8 * self.input.pick(&[TCB_WORDS, RULE_WORDS, RSS_WORDS]) as u64,
        };
        put_words(out, &[cmd.0, BLOCKS, len]);
    }

    /// A control block, a steering rule, a hash context or a list of pages, as its length tells.
    fn block(&self, out: &mut [u8]) {
        let mut words = vec![0; out.len() / 8];
        if words.len() == TCB_WORDS {
            self.control_block(&mut words);
        } else if words.len() == RULE_WORDS {
            let bits = u32::from(self.input.u16()) | (u32::from(self.input.u8() % 3) << 16);
            let offset = u64::from(self.input.u8() % 5);
            words[0] = R0(bits.into()).with_offset(offset & 3).0;
            words[RULE_KEY..].fill_with(|| self.input.pick(&[0, 0xa, u64::MAX]));
            words[RULE_MASK..].fill_with(|| self.input.pick(&[0, 0, 0xff, u64::MAX]));
        } else if words.len() == RSS_WORDS {
            words[0] = X0(u64::from(self.input.u32() & !1)).0;
            words[1..RSS_TABLE_WORD].fill_with(|| self.input.u64());
            words[RSS_TABLE_WORD..].fill_with(|| u64::from(self.input.u8() & 3));
        } else {
            words.fill_with(|| RINGS + u64::from(self.input.u8()) * 4096);
        }
        put_words(out, &words);
    }

    /// A control block of one of the connections that frames come from.
    fn control_block(&self, words: &mut [u64]) {
        let conn = self.input.below(6) as u8;
        let bits = self.input.u8();
        let mut key = [10, 0, 0, conn, 10, 1, 0, 1, 0, 0, 0, 80];
        key[8..10].copy_from_slice(&(10_000 + u16::from(conn)).to_be_bytes());
        words[0] = T0(0)
            .with_key_len(if bits & 0x80 == 0 { 12 } else { 36 })
            .with_v6(u64::from(bits & 0xc0 == 0x80))
            .with_steer(u64::from(bits & 1))
            .with_place(u64::from(bits & 6 != 0))
            .with_pdu(u64::from(bits & 0x18 == 0x18))
            .with_vlan(u64::from(bits & 0x20 != 0))
            .with_queue(self.input.u8().into())
            .with_pdu_hdr(u64::from(self.input.u8() % 70))
            .with_pdu_off(u64::from(self.input.u8() % 8))
            .with_pdu_bytes(u64::from(self.input.u8() % 6))
            .0;
        for (word, b) in words[TCB_KEY..].iter_mut().zip(key.chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..b.len()].copy_from_slice(b);
            *word = u64::from_le_bytes(bytes);
        }
        let seq = u64::from(self.input.u16());
        words[TCB_SEQ] = T6(0)
            .with_expected(self.input.pick(&[0, 1448, 2896, seq]))
            .0;
        words[TCB_LIST] = BLOCKS;
        words[TCB_LIST_LEN] = T8(0)
            .with_pages(u64::from(self.input.u16() % 1030))
            .with_base(self.input.pick(&[0, 0, 1448, seq]))
            .0;
    }
}

fn put_words(out: &mut [u8], words: &[u64]) {
    for (b, word) in out.chunks_exact_mut(8).zip(words) {
        b.copy_from_slice(&word.to_le_bytes());
    }
}

impl Host for StreamHost<'_> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), MemError> {
        self.access(addr, buf.len())?;
        let raw = self.input.one_in(8);
        match addr {
            TX_RING..CMD_RING if !raw => buf
                .chunks_exact_mut(TX_DESC_SIZE)
                .for_each(|desc| self.tx_desc(desc)),
            CMD_RING..RINGS if !raw => buf
                .chunks_exact_mut(CMD_SIZE)
                .for_each(|cmd| self.command(cmd)),
            BLOCKS..DATA if !raw => self.block(buf),
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
