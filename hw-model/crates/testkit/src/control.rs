// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The control plane's double: the command ring, and blocks as a driver builds them.

use crate::driver::Piece;
use crate::{FakeHost, Rig, Tcp};
use reflow_hwdef::cmd::CMD_SIZE;
use reflow_hwdef::cmd::*;
use reflow_hwdef::index::Index;
use reflow_hwdef::regs::*;

/// Words of a key in a block.
pub type Key = [u64; KEY_WORDS];

/// The driver's side of the command ring.
pub struct Commands {
    pub base: u64,
    pub log2: u32,
    pub tail: Index,
    /// Memory for blocks.
    pub block: u64,
    pub block_len: usize,
    tag: u64,
}

impl Commands {
    /// Sets the ring up and starts it.
    pub fn new(rig: &mut Rig) -> Self {
        let block_len = 64 << 10;
        let mut commands = Self {
            base: rig.host.alloc(CMD_SIZE << 4),
            log2: 4,
            tail: Index::ZERO,
            block: rig.host.alloc(block_len),
            block_len,
            tag: 0,
        };
        commands.start(rig);
        commands
    }

    /// Starts the ring anew.
    pub fn start(&mut self, rig: &mut Rig) {
        self.tail = Index::ZERO;
        rig.write(CMD_LO, self.base as u32);
        rig.write(CMD_HI, (self.base >> 32) as u32);
        rig.write(reflow_hwdef::regs::CMD_SIZE, self.log2);
    }

    fn entry(&self, index: Index) -> u64 {
        self.base + (index.slot(self.log2) * CMD_SIZE) as u64
    }

    /// Writes an entry, without the doorbell; tells its address.
    pub fn put(&mut self, host: &FakeHost, words: [u64; CMD_WORDS]) -> u64 {
        let at = self.entry(self.tail);
        host.put_words(at, &words);
        self.tail = self.tail.add(1);
        at
    }

    /// Queues a command with its block's address; tells the address of its entry.
    pub fn queue(
        &mut self,
        host: &FakeHost,
        command: u8,
        index: u32,
        addr: u64,
        len: usize,
    ) -> u64 {
        self.tag = (self.tag + 1) & 0xffff;
        let head = Cmd0(0)
            .with_command(command.into())
            .with_tag(self.tag)
            .with_index(index.into());
        self.put(host, [head.0, addr, len as u64, 0, 0, 0, 0, 0])
    }

    /// Rings the doorbell.
    pub fn kick(&self, rig: &mut Rig) {
        rig.write(CMD_TAIL, self.tail.raw());
    }

    /// One command from start to end; status and value.
    pub fn run(&mut self, rig: &mut Rig, command: u8, index: u32, len: usize) -> (CmdStatus, u32) {
        let at = self.queue(&rig.host, command, index, self.block, len);
        self.kick(rig);
        rig.pump_once();
        let done = Cmd7(rig.host.get_u64(at + 56));
        assert_eq!(done.done(), 1, "a status for every command");
        assert_eq!(done.tag(), self.tag);
        let status = CmdStatus::from_raw(done.status() as u8).expect("a known status");
        (status, done.value() as u32)
    }

    /// A command whose argument is a block.
    pub fn send(
        &mut self,
        rig: &mut Rig,
        command: Command,
        index: u32,
        block: &[u64],
    ) -> Result<u32, CmdStatus> {
        rig.host.put_words(self.block, block);
        self.ask(rig, command, index, block.len() * 8)
    }

    /// A command that fills the block, or needs none.
    pub fn ask(
        &mut self,
        rig: &mut Rig,
        command: Command,
        index: u32,
        len: usize,
    ) -> Result<u32, CmdStatus> {
        match self.run(rig, command as u8, index, len) {
            (CmdStatus::Ok, value) => Ok(value),
            (status, value) => {
                assert_eq!(value, 0);
                Err(status)
            }
        }
    }

    /// Words of the block.
    pub fn words(&self, host: &FakeHost, count: usize) -> Vec<u64> {
        (0..count as u64)
            .map(|i| host.get_u64(self.block + i * 8))
            .collect()
    }

    /// Sets a control block; its flow number.
    pub fn set_tcb(&mut self, rig: &mut Rig, tcb: &Block) -> Result<u16, CmdStatus> {
        let value = self.send(rig, Command::TcbSet, 0, &tcb.words())?;
        Ok(value as u16)
    }

    /// Reads a control block back.
    pub fn tcb(&mut self, rig: &mut Rig, flow: u16) -> Result<ReadBack, CmdStatus> {
        self.ask(rig, Command::TcbGet, flow.into(), TCB_WORDS * 8)?;
        let words = self.words(&rig.host, TCB_WORDS);
        let t6 = T6(words[TCB_SEQ]);
        Ok(ReadBack {
            expected: t6.expected() as u32,
            flow: t6.flow() as u16,
            stale: t6.stale() == 1,
            applied: words[TCB_APPLIED],
            not_applied: words[TCB_NOT_APPLIED],
            placed: words[TCB_PLACED],
            words,
        })
    }
}

/// A control block as it is read back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadBack {
    pub expected: u32,
    pub flow: u16,
    pub stale: bool,
    pub applied: u64,
    pub not_applied: u64,
    pub placed: u64,
    pub words: Vec<u64>,
}

/// The key of a packet's flow, as blocks have it.
pub fn key_of(tcp: &Tcp) -> Key {
    key_of_frame(&tcp.build(), tcp.v6, tcp.vlan.is_some())
}

/// The key of a frame of TCP or UDP without IP options.
pub fn key_of_frame(frame: &[u8], v6: bool, tagged: bool) -> Key {
    let ip = if tagged { 18 } else { 14 };
    let (addrs, ports) = if v6 {
        (&frame[ip + 8..ip + 40], ip + 40)
    } else {
        (&frame[ip + 12..ip + 20], ip + 20)
    };
    words_of(&[addrs, &frame[ports..ports + 4]].concat())
}

/// Bytes as words of a key.
pub fn words_of(bytes: &[u8]) -> Key {
    let mut padded = bytes.to_vec();
    padded.resize(KEY_WORDS * 8, 0);
    std::array::from_fn(|i| u64::from_le_bytes(padded[i * 8..i * 8 + 8].try_into().unwrap()))
}

/// A control block in the making.
#[derive(Clone, Debug)]
pub struct Block {
    pub t0: T0,
    pub key: Key,
    pub expected: u32,
    pub list: u64,
    pub t8: T8,
}

impl Block {
    /// A block for a packet's flow that expects it.
    pub fn expecting(tcp: &Tcp) -> Self {
        Self {
            t0: T0(0)
                .with_key_len(if tcp.v6 { 36 } else { 12 })
                .with_v6(tcp.v6.into())
                .with_vlan(tcp.vlan.is_some().into())
                .with_vlan_tci(tcp.vlan.unwrap_or(0).into()),
            key: key_of(tcp),
            expected: tcp.seq,
            list: 0,
            t8: T8(0),
        }
    }

    /// The same, with the flow's queue.
    pub fn steer(mut self, queue: u64) -> Self {
        self.t0 = self.t0.with_steer(1).with_queue(queue);
        self
    }

    /// The same, with a list of fresh pages that begins with the expected byte.
    pub fn place(mut self, list: &List) -> Self {
        self.t0 = self.t0.with_place(1);
        self.list = list.addr;
        self.t8 = T8(0)
            .with_pages(list.pages.len() as u64)
            .with_base(self.expected.into());
        self
    }

    /// The same, with PDUs whose header is four bytes, the last three of them a length.
    pub fn framed(mut self) -> Self {
        self.t0 = self
            .t0
            .with_pdu(1)
            .with_pdu_hdr(4)
            .with_pdu_off(1)
            .with_pdu_bytes(3);
        self
    }

    pub fn words(&self) -> [u64; TCB_WORDS] {
        let mut words = [0; TCB_WORDS];
        words[0] = self.t0.0;
        words[TCB_KEY..TCB_SEQ].copy_from_slice(&self.key);
        words[TCB_SEQ] = T6(0).with_expected(self.expected.into()).0;
        words[TCB_LIST] = self.list;
        words[TCB_LIST_LEN] = self.t8.0;
        words
    }
}

/// A list of pages.
#[derive(Clone, Debug)]
pub struct List {
    pub addr: u64,
    pub pages: Vec<u64>,
}

impl List {
    /// So many pages, out of order so that none follows from another, filled with 0xee.
    pub fn new(host: &FakeHost, count: usize) -> Self {
        let mut pages: Vec<u64> = (0..count).map(|_| host.alloc(4096)).collect();
        pages.reverse();
        for &page in &pages {
            host.put(page, &[0xee; 4096]);
        }
        let addr = host.alloc(count * 8);
        host.put_words(addr, &pages);
        Self { addr, pages }
    }

    /// The bytes of a piece of data.
    pub fn piece(&self, host: &FakeHost, piece: &Piece) -> Vec<u8> {
        assert!(piece.off + piece.len <= 4096);
        host.get(
            self.pages[usize::from(piece.rb)] + piece.off as u64,
            piece.len,
        )
    }

    /// All bytes.
    pub fn bytes(&self, host: &FakeHost) -> Vec<u8> {
        self.pages
            .iter()
            .flat_map(|&page| host.get(page, 4096))
            .collect()
    }
}

/// A steering rule.
pub fn rule(head: R0, key: Key, mask: Key) -> [u64; RULE_WORDS] {
    let mut words = [0; RULE_WORDS];
    words[0] = head.0;
    words[RULE_KEY..RULE_MASK].copy_from_slice(&key);
    words[RULE_MASK..].copy_from_slice(&mask);
    words
}

/// Word 0 of a hash context.
pub fn hashed(ctrl: RssCtrl) -> X0 {
    X0(0).with_hashed(ctrl.0.into())
}

/// A hash context whose table has one queue only.
pub fn context(x0: X0, secret: [u8; 40], queue: u8) -> [u64; RSS_WORDS] {
    let mut words = [0; RSS_WORDS];
    words[0] = x0.0;
    words[RSS_SECRET..RSS_TABLE_WORD].copy_from_slice(&words_of(&secret));
    words[RSS_TABLE_WORD..].fill(u64::from_le_bytes([queue; 8]));
    words
}
