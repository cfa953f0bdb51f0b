// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Instruction set of the header parser.
//!
//! The parser has a *header memory* (the first [`HEADER_MEMORY`] bytes of the frame), a cursor into
//! it, a register R, and outputs. Each instruction loads the big-endian 16-bit word at `cursor +
//! load`, masks it, and compares it with a value. On success it performs its output operation,
//! moves the cursor forward by `ok_adv` (plus R if asked to) and goes to `ok_next`; on failure it
//! moves by `fail_adv` and goes to `fail_next`. It starts at instruction 0 with the cursor at byte
//! 0, R = 0.
//!
//! A position is *inside* if it lies in the header memory, in the frame and, once `End` was output,
//! before the end of the IP packet: padding is never read. The parser gives up, and the packet gets
//! no assist, when a word or the bytes of an output are not inside, when the flow key is full, when
//! `End` comes before `L3` or `Session` before `HdrEnd`, and after [`MAX_STEPS`] steps. Earlier
//! outputs remain valid: the key of a refused packet can be hashed.

/// Bytes of a frame that the parser sees.
pub const HEADER_MEMORY: usize = 256;
/// Instructions that the program RAM holds.
pub const MAX_INSTRS: usize = 128;
/// Steps after which the parser gives up.
pub const MAX_STEPS: usize = 64;
/// `ok_next` or `fail_next`: stop; the packet conforms to a selected protocol.
pub const NEXT_DONE: u8 = 0xff;
/// `ok_next` or `fail_next`: stop; no assist.
pub const NEXT_REFUSE: u8 = 0xfe;
/// 32-bit words of an encoded instruction.
pub const INSTR_WORDS: usize = 4;

/// How the masked word is compared with the value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Cmp {
    /// Equal.
    Eq = 0,
    /// Not equal.
    Ne = 1,
    /// Word less than value.
    Lt = 2,
    /// Word greater than value.
    Gt = 3,
    /// Always succeeds; the word is still loaded and must be inside.
    Always = 4,
    /// Always succeeds and loads nothing; the word is 0.
    Nop = 5,
}

impl Cmp {
    /// The comparison of a number.
    pub const fn from_raw(raw: u8) -> Option<Self> {
        Some(match raw {
            0 => Self::Eq,
            1 => Self::Ne,
            2 => Self::Lt,
            3 => Self::Gt,
            4 => Self::Always,
            5 => Self::Nop,
            _ => return None,
        })
    }
}

/// The output of a successful instruction. `arg` and `shift` are its fields, W is the
/// loaded word before masking, "at x" means at cursor + x.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Out {
    /// Nothing.
    None = 0,
    /// Append to the flow key `arg >> 8` bytes (1 to 16) at `arg & 0xff`.
    Key = 1,
    /// Set the bits of `arg` in the packet's kind, see [`Kind`].
    Kind = 2,
    /// The IP header starts at the cursor. A second one (a tunnel's) replaces the first.
    L3 = 3,
    /// The TCP or UDP header starts at the cursor.
    L4 = 4,
    /// The IP packet ends W + `arg` bytes behind the IP header's start, which must be in the frame
    /// and not behind the end of an outer packet.
    End = 5,
    /// The TCP sequence number is the four bytes at `arg`.
    Seq = 6,
    /// The TCP flags are the byte at `arg`.
    TcpFlags = 7,
    /// The headers end at cursor + ((W & `arg`) >> `shift`).
    HdrEnd = 8,
    /// R = (W & `arg`) >> `shift`, or << (`shift` & 15) if bit 7 of `shift` is set.
    SetR = 9,
    /// A VLAN tag with control information W; its EtherType word stands at cursor - 2.
    Vlan = 10,
    /// A session header of `shift` bytes starts at the end of the headers; its length field is the
    /// `arg >> 8` bytes (1 to 4) at `arg & 0xff` of it and counts what follows the session header.
    Session = 11,
    /// The flow key and the kind so far belong to an outer header: clear both.
    KeyClear = 12,
}

impl Out {
    /// The operation of a number.
    pub const fn from_raw(raw: u8) -> Option<Self> {
        Some(match raw {
            0 => Self::None,
            1 => Self::Key,
            2 => Self::Kind,
            3 => Self::L3,
            4 => Self::L4,
            5 => Self::End,
            6 => Self::Seq,
            7 => Self::TcpFlags,
            8 => Self::HdrEnd,
            9 => Self::SetR,
            10 => Self::Vlan,
            11 => Self::Session,
            12 => Self::KeyClear,
            _ => return None,
        })
    }
}

bitfields! {
    /// Protocols that the parser found; `Out::Kind` sets these bits.
    pub struct Kind(u32);
    /// IPv4.
    0:0 ipv4, with_ipv4;
    /// IPv6.
    1:1 ipv6, with_ipv6;
    /// TCP.
    2:2 tcp, with_tcp;
    /// UDP.
    3:3 udp, with_udp;
    /// A fragment.
    4:4 fragment, with_fragment;
    /// The innermost packet came through a tunnel.
    5:5 tunnel, with_tunnel;
}

bitfields! {
    /// First half of an encoded instruction.
    pub struct I0(u64);
    /// Value to compare with.
    15:0 value, with_value;
    /// Mask of the loaded word.
    31:16 mask, with_mask;
    /// A Cmp.
    35:32 cmp, with_cmp;
    /// Where the word is loaded, from the cursor.
    47:40 load, with_load;
    /// Instruction to go to on success.
    55:48 ok_next, with_ok_next;
    /// Instruction to go to on failure.
    63:56 fail_next, with_fail_next;
}

bitfields! {
    /// Second half of an encoded instruction. Bits not named are zero.
    pub struct I1(u64);
    /// Bytes that the cursor moves on success.
    7:0 ok_adv, with_ok_adv;
    /// Bytes that the cursor moves on failure.
    15:8 fail_adv, with_fail_adv;
    /// Move by R, too, on success.
    16:16 ok_adv_r, with_ok_adv_r;
    /// An Out.
    31:24 out, with_out;
    /// Argument of the output operation.
    47:32 arg, with_arg;
    /// Shift of the output operation.
    55:48 shift, with_shift;
}

/// Bits of [`I0`] that no field names.
pub const I0_RESERVED: u64 = 0x0000_00f0_0000_0000;
/// Bits of [`I1`] that no field names.
pub const I1_RESERVED: u64 = 0xff00_0000_00fe_0000;

/// One instruction, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instr {
    /// Where the word is loaded, from the cursor, in bytes.
    pub load: u8,
    /// Mask of the word.
    pub mask: u16,
    /// Comparison.
    pub cmp: Cmp,
    /// Value to compare with.
    pub value: u16,
    /// Bytes that the cursor moves on success.
    pub ok_adv: u8,
    /// Whether it moves by R, too.
    pub ok_adv_r: bool,
    /// Where to go on success.
    pub ok_next: u8,
    /// Bytes that the cursor moves on failure.
    pub fail_adv: u8,
    /// Where to go on failure.
    pub fail_next: u8,
    /// The output on success.
    pub out: Out,
    /// Argument of the output.
    pub arg: u16,
    /// Shift of the output.
    pub shift: u8,
}

impl Instr {
    /// The instruction as it stands in the program RAM: four words, lowest first.
    pub const fn encode(self) -> [u32; INSTR_WORDS] {
        let w0 = I0(0)
            .with_value(self.value as u64)
            .with_mask(self.mask as u64)
            .with_cmp(self.cmp as u64)
            .with_load(self.load as u64)
            .with_ok_next(self.ok_next as u64)
            .with_fail_next(self.fail_next as u64)
            .0;
        let w1 = I1(0)
            .with_ok_adv(self.ok_adv as u64)
            .with_fail_adv(self.fail_adv as u64)
            .with_ok_adv_r(self.ok_adv_r as u64)
            .with_out(self.out as u64)
            .with_arg(self.arg as u64)
            .with_shift(self.shift as u64)
            .0;
        [w0 as u32, (w0 >> 32) as u32, w1 as u32, (w1 >> 32) as u32]
    }

    /// Decodes four words; `None` if an operation is unknown or a reserved bit is set.
    pub const fn decode(words: [u32; INSTR_WORDS]) -> Option<Self> {
        let w0 = I0(words[0] as u64 | ((words[1] as u64) << 32));
        let w1 = I1(words[2] as u64 | ((words[3] as u64) << 32));
        if w0.0 & I0_RESERVED != 0 || w1.0 & I1_RESERVED != 0 {
            return None;
        }
        let (Some(cmp), Some(out)) = (Cmp::from_raw(w0.cmp() as u8), Out::from_raw(w1.out() as u8))
        else {
            return None;
        };
        Some(Self {
            load: w0.load() as u8,
            mask: w0.mask() as u16,
            cmp,
            value: w0.value() as u16,
            ok_adv: w1.ok_adv() as u8,
            ok_adv_r: w1.ok_adv_r() != 0,
            ok_next: w0.ok_next() as u8,
            fail_adv: w1.fail_adv() as u8,
            fail_next: w0.fail_next() as u8,
            out,
            arg: w1.arg() as u16,
            shift: w1.shift() as u8,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruction_round_trips() {
        let i = Instr {
            load: 12,
            mask: 0xfff0,
            cmp: Cmp::Gt,
            value: 0x1234,
            ok_adv: 20,
            ok_adv_r: true,
            ok_next: 7,
            fail_adv: 3,
            fail_next: NEXT_REFUSE,
            out: Out::HdrEnd,
            arg: 0xf000,
            shift: 10,
        };
        assert_eq!(Instr::decode(i.encode()), Some(i));
    }

    #[test]
    fn reserved_bits_are_refused() {
        for bit in 0..128 {
            let mut w = [0_u32; 4];
            w[bit / 32] = 1 << (bit % 32);
            let reserved = if bit < 64 {
                (I0_RESERVED >> bit) & 1
            } else {
                (I1_RESERVED >> (bit - 64)) & 1
            };
            if reserved == 1 {
                assert!(Instr::decode(w).is_none());
            }
        }
    }
}
