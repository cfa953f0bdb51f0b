// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Parser programs that come with the driver, made by `reflow-asm`; do not edit.

/// A program that comes with the driver.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Its instructions, four words each.
    pub words: &'static [u32],
}

/// Programs that come with the driver; the first is the default.
pub const PROGRAMS: &[Program] = &[
    Program {
        name: "default",
        words: DEFAULT,
    },
    Program {
        name: "tunnels",
        words: TUNNELS,
    },
    Program {
        name: "noport",
        words: NOPORT,
    },
    Program {
        name: "session",
        words: SESSION,
    },
    Program {
        name: "empty",
        words: EMPTY,
    },
];

#[rustfmt::skip]
const DEFAULT: &[u32] = &[
    // 0 start: at 12 if == 0x8100 -> tag adv 14 else -> ethertype adv 12
    0xffff8100, 0x02010c00, 0x00000c0e, 0x00000000,
    // 1 tag: at 0 do vlan adv 2
    0xffff0000, 0xfe020004, 0x0a000002, 0x00000000,
    // 2 ethertype: at 0 if == 0x0800 -> ipv4 adv 2 else -> ethertype6
    0xffff0800, 0x03040000, 0x00000002, 0x00000000,
    // 3 ethertype6: at 0 if == 0x86dd -> ipv6 adv 2 else -> refuse
    0xffff86dd, 0xfe0d0000, 0x00000002, 0x00000000,
    // 4 ipv4: at 0 & 0xf000 if == 0x4000 do l3 -> next else -> refuse
    0xf0004000, 0xfe050000, 0x03000000, 0x00000000,
    // 5 at 0 & 0x0f00 if > 0x04ff do kind ipv4 -> next else -> refuse
    0x0f0004ff, 0xfe060003, 0x02000000, 0x00000001,
    // 6 at 2 do end word
    0xffff0000, 0xfe070204, 0x05000000, 0x00000000,
    // 7 do key 8 at 12
    0xffff0000, 0xfe080005, 0x01000000, 0x0000080c,
    // 8 at 6 & 0x3fff if != 0x0000 -> fragment else -> next
    0x3fff0000, 0x091e0601, 0x00000000, 0x00000000,
    // 9 at 0 & 0x0f00 if == 0x0500 -> next else -> refuse
    0x0f000500, 0xfe0a0000, 0x00000000, 0x00000000,
    // 10 at 8 & 0x00ff if == 0x0006 do kind tcp -> tcp adv 20 else -> next
    0x00ff0006, 0x0b220800, 0x02000014, 0x00000004,
    // 11 at 8 & 0x00ff if == 0x0011 do kind udp -> udp adv 20 else -> ipv4_other
    0x00ff0011, 0x0c1f0800, 0x02000014, 0x00000008,
    // 12 ipv4_other: -> refuse
    0xffff0000, 0xfefe0005, 0x00000000, 0x00000000,
    // 13 ipv6: at 0 & 0xf000 if == 0x6000 do l3 -> next else -> refuse
    0xf0006000, 0xfe0e0000, 0x03000000, 0x00000000,
    // 14 do kind ipv6
    0xffff0000, 0xfe0f0005, 0x02000000, 0x00000002,
    // 15 at 4 do end word + 40
    0xffff0000, 0xfe100404, 0x05000000, 0x00000028,
    // 16 do key 16 at 8
    0xffff0000, 0xfe110005, 0x01000000, 0x00001008,
    // 17 do key 16 at 24
    0xffff0000, 0xfe120005, 0x01000000, 0x00001018,
    // 18 at 6 & 0xff00 if == 0x0600 do kind tcp -> tcp adv 40 else -> next
    0xff000600, 0x13220600, 0x02000028, 0x00000004,
    // 19 at 6 & 0xff00 if == 0x1100 do kind udp -> udp adv 40 else -> next
    0xff001100, 0x141f0600, 0x02000028, 0x00000008,
    // 20 at 6 & 0xff00 if == 0x0000 -> ext adv 40 else -> next
    0xff000000, 0x15180600, 0x00000028, 0x00000000,
    // 21 at 6 & 0xff00 if == 0x3c00 -> ext adv 40 else -> next
    0xff003c00, 0x16180600, 0x00000028, 0x00000000,
    // 22 at 6 & 0xff00 if == 0x2c00 -> fragment else -> ipv6_other
    0xff002c00, 0x171e0600, 0x00000000, 0x00000000,
    // 23 ipv6_other: -> refuse
    0xffff0000, 0xfefe0005, 0x00000000, 0x00000000,
    // 24 ext: at 0 do set_r (word & 0x00ff) << 3
    0xffff0000, 0xfe190004, 0x09000000, 0x008300ff,
    // 25 at 0 & 0xff00 if == 0x0600 do kind tcp -> tcp adv 8 + r else -> next
    0xff000600, 0x1a220000, 0x02010008, 0x00000004,
    // 26 at 0 & 0xff00 if == 0x1100 do kind udp -> udp adv 8 + r else -> next
    0xff001100, 0x1b1f0000, 0x02010008, 0x00000008,
    // 27 at 0 & 0xff00 if == 0x3c00 -> ext adv 8 + r else -> next
    0xff003c00, 0x1c180000, 0x00010008, 0x00000000,
    // 28 at 0 & 0xff00 if == 0x2c00 -> fragment else -> ext_other
    0xff002c00, 0x1d1e0000, 0x00000000, 0x00000000,
    // 29 ext_other: -> refuse
    0xffff0000, 0xfefe0005, 0x00000000, 0x00000000,
    // 30 fragment: do kind fragment -> refuse
    0xffff0000, 0xfefe0005, 0x02000000, 0x00000010,
    // 31 udp: do l4
    0xffff0000, 0xfe200005, 0x04000000, 0x00000000,
    // 32 do key 4 at 0 adv 8
    0xffff0000, 0xfe210005, 0x01000008, 0x00000400,
    // 33 do hdr_end -> refuse
    0xffff0000, 0xfefe0005, 0x08000000, 0x00000000,
    // 34 tcp: do l4
    0xffff0000, 0xfe230005, 0x04000000, 0x00000000,
    // 35 do key 4 at 0
    0xffff0000, 0xfe240005, 0x01000000, 0x00000400,
    // 36 tcp_seq: do seq at 4
    0xffff0000, 0xfe250005, 0x06000000, 0x00000004,
    // 37 do tcp_flags at 13
    0xffff0000, 0xfe260005, 0x07000000, 0x0000000d,
    // 38 tcp_end: at 12 & 0xf000 if > 0x4fff do hdr_end (word & 0xf000) >> 10 -> done else -> refuse
    0xf0004fff, 0xfeff0c03, 0x08000000, 0x000af000,
];

#[rustfmt::skip]
const TUNNELS: &[u32] = &[
    // 0 start: at 12 if == 0x8100 -> tag adv 14 else -> ethertype adv 12
    0xffff8100, 0x02010c00, 0x00000c0e, 0x00000000,
    // 1 tag: at 0 do vlan adv 2
    0xffff0000, 0xfe020004, 0x0a000002, 0x00000000,
    // 2 ethertype: at 0 if == 0x0800 -> ipv4 adv 2 else -> ethertype6
    0xffff0800, 0x03040000, 0x00000002, 0x00000000,
    // 3 ethertype6: at 0 if == 0x86dd -> ipv6 adv 2 else -> refuse
    0xffff86dd, 0xfe0e0000, 0x00000002, 0x00000000,
    // 4 ipv4: at 0 & 0xf000 if == 0x4000 do l3 -> next else -> refuse
    0xf0004000, 0xfe050000, 0x03000000, 0x00000000,
    // 5 at 0 & 0x0f00 if > 0x04ff do kind ipv4 -> next else -> refuse
    0x0f0004ff, 0xfe060003, 0x02000000, 0x00000001,
    // 6 at 2 do end word
    0xffff0000, 0xfe070204, 0x05000000, 0x00000000,
    // 7 do key 8 at 12
    0xffff0000, 0xfe080005, 0x01000000, 0x0000080c,
    // 8 at 6 & 0x3fff if != 0x0000 -> fragment else -> next
    0x3fff0000, 0x093b0601, 0x00000000, 0x00000000,
    // 9 at 0 & 0x0f00 if == 0x0500 -> next else -> refuse
    0x0f000500, 0xfe0a0000, 0x00000000, 0x00000000,
    // 10 at 8 & 0x00ff if == 0x0006 do kind tcp -> tcp adv 20 else -> next
    0x00ff0006, 0x0b3f0800, 0x02000014, 0x00000004,
    // 11 at 8 & 0x00ff if == 0x0011 do kind udp -> udp adv 20 else -> ipv4_other
    0x00ff0011, 0x0c3c0800, 0x02000014, 0x00000008,
    // 12 ipv4_other: at 8 & 0x00ff if == 0x0004 -> inner4 adv 20 else -> next
    0x00ff0004, 0x0d210800, 0x00000014, 0x00000000,
    // 13 at 8 & 0x00ff if == 0x0029 -> inner6 adv 20 else -> refuse
    0x00ff0029, 0xfe2b0800, 0x00000014, 0x00000000,
    // 14 ipv6: at 0 & 0xf000 if == 0x6000 do l3 -> next else -> refuse
    0xf0006000, 0xfe0f0000, 0x03000000, 0x00000000,
    // 15 do kind ipv6
    0xffff0000, 0xfe100005, 0x02000000, 0x00000002,
    // 16 at 4 do end word + 40
    0xffff0000, 0xfe110404, 0x05000000, 0x00000028,
    // 17 do key 16 at 8
    0xffff0000, 0xfe120005, 0x01000000, 0x00001008,
    // 18 do key 16 at 24
    0xffff0000, 0xfe130005, 0x01000000, 0x00001018,
    // 19 at 6 & 0xff00 if == 0x0600 do kind tcp -> tcp adv 40 else -> next
    0xff000600, 0x143f0600, 0x02000028, 0x00000004,
    // 20 at 6 & 0xff00 if == 0x1100 do kind udp -> udp adv 40 else -> next
    0xff001100, 0x153c0600, 0x02000028, 0x00000008,
    // 21 at 6 & 0xff00 if == 0x0000 -> ext adv 40 else -> next
    0xff000000, 0x161a0600, 0x00000028, 0x00000000,
    // 22 at 6 & 0xff00 if == 0x3c00 -> ext adv 40 else -> next
    0xff003c00, 0x171a0600, 0x00000028, 0x00000000,
    // 23 at 6 & 0xff00 if == 0x2c00 -> fragment else -> ipv6_other
    0xff002c00, 0x183b0600, 0x00000000, 0x00000000,
    // 24 ipv6_other: at 6 & 0xff00 if == 0x0400 -> inner4 adv 40 else -> next
    0xff000400, 0x19210600, 0x00000028, 0x00000000,
    // 25 at 6 & 0xff00 if == 0x2900 -> inner6 adv 40 else -> refuse
    0xff002900, 0xfe2b0600, 0x00000028, 0x00000000,
    // 26 ext: at 0 do set_r (word & 0x00ff) << 3
    0xffff0000, 0xfe1b0004, 0x09000000, 0x008300ff,
    // 27 at 0 & 0xff00 if == 0x0600 do kind tcp -> tcp adv 8 + r else -> next
    0xff000600, 0x1c3f0000, 0x02010008, 0x00000004,
    // 28 at 0 & 0xff00 if == 0x1100 do kind udp -> udp adv 8 + r else -> next
    0xff001100, 0x1d3c0000, 0x02010008, 0x00000008,
    // 29 at 0 & 0xff00 if == 0x3c00 -> ext adv 8 + r else -> next
    0xff003c00, 0x1e1a0000, 0x00010008, 0x00000000,
    // 30 at 0 & 0xff00 if == 0x2c00 -> fragment else -> ext_other
    0xff002c00, 0x1f3b0000, 0x00000000, 0x00000000,
    // 31 ext_other: at 0 & 0xff00 if == 0x0400 -> inner4 adv 8 + r else -> next
    0xff000400, 0x20210000, 0x00010008, 0x00000000,
    // 32 at 0 & 0xff00 if == 0x2900 -> inner6 adv 8 + r else -> refuse
    0xff002900, 0xfe2b0000, 0x00010008, 0x00000000,
    // 33 inner4: at 0 & 0xf000 if == 0x4000 -> next else -> refuse
    0xf0004000, 0xfe220000, 0x00000000, 0x00000000,
    // 34 at 0 & 0x0f00 if > 0x04ff do l3 -> next else -> refuse
    0x0f0004ff, 0xfe230003, 0x03000000, 0x00000000,
    // 35 at 2 do end word
    0xffff0000, 0xfe240204, 0x05000000, 0x00000000,
    // 36 at 18 do key_clear
    0xffff0000, 0xfe251204, 0x0c000000, 0x00000000,
    // 37 do kind ipv4 | tunnel
    0xffff0000, 0xfe260005, 0x02000000, 0x00000021,
    // 38 do key 8 at 12
    0xffff0000, 0xfe270005, 0x01000000, 0x0000080c,
    // 39 at 6 & 0x3fff if != 0x0000 -> fragment else -> next
    0x3fff0000, 0x283b0601, 0x00000000, 0x00000000,
    // 40 at 0 & 0x0f00 if == 0x0500 -> next else -> refuse
    0x0f000500, 0xfe290000, 0x00000000, 0x00000000,
    // 41 at 8 & 0x00ff if == 0x0006 do kind tcp -> tcp adv 20 else -> next
    0x00ff0006, 0x2a3f0800, 0x02000014, 0x00000004,
    // 42 at 8 & 0x00ff if == 0x0011 do kind udp -> udp adv 20 else -> refuse
    0x00ff0011, 0xfe3c0800, 0x02000014, 0x00000008,
    // 43 inner6: at 0 & 0xf000 if == 0x6000 do l3 -> next else -> refuse
    0xf0006000, 0xfe2c0000, 0x03000000, 0x00000000,
    // 44 at 4 do end word + 40
    0xffff0000, 0xfe2d0404, 0x05000000, 0x00000028,
    // 45 at 38 do key_clear
    0xffff0000, 0xfe2e2604, 0x0c000000, 0x00000000,
    // 46 do kind ipv6 | tunnel
    0xffff0000, 0xfe2f0005, 0x02000000, 0x00000022,
    // 47 do key 16 at 8
    0xffff0000, 0xfe300005, 0x01000000, 0x00001008,
    // 48 do key 16 at 24
    0xffff0000, 0xfe310005, 0x01000000, 0x00001018,
    // 49 at 6 & 0xff00 if == 0x0600 do kind tcp -> tcp adv 40 else -> next
    0xff000600, 0x323f0600, 0x02000028, 0x00000004,
    // 50 at 6 & 0xff00 if == 0x1100 do kind udp -> udp adv 40 else -> next
    0xff001100, 0x333c0600, 0x02000028, 0x00000008,
    // 51 at 6 & 0xff00 if == 0x0000 -> inner_ext adv 40 else -> next
    0xff000000, 0x34360600, 0x00000028, 0x00000000,
    // 52 at 6 & 0xff00 if == 0x3c00 -> inner_ext adv 40 else -> next
    0xff003c00, 0x35360600, 0x00000028, 0x00000000,
    // 53 at 6 & 0xff00 if == 0x2c00 -> fragment else -> refuse
    0xff002c00, 0xfe3b0600, 0x00000000, 0x00000000,
    // 54 inner_ext: at 0 do set_r (word & 0x00ff) << 3
    0xffff0000, 0xfe370004, 0x09000000, 0x008300ff,
    // 55 at 0 & 0xff00 if == 0x0600 do kind tcp -> tcp adv 8 + r else -> next
    0xff000600, 0x383f0000, 0x02010008, 0x00000004,
    // 56 at 0 & 0xff00 if == 0x1100 do kind udp -> udp adv 8 + r else -> next
    0xff001100, 0x393c0000, 0x02010008, 0x00000008,
    // 57 at 0 & 0xff00 if == 0x3c00 -> inner_ext adv 8 + r else -> next
    0xff003c00, 0x3a360000, 0x00010008, 0x00000000,
    // 58 at 0 & 0xff00 if == 0x2c00 -> fragment else -> refuse
    0xff002c00, 0xfe3b0000, 0x00000000, 0x00000000,
    // 59 fragment: do kind fragment -> refuse
    0xffff0000, 0xfefe0005, 0x02000000, 0x00000010,
    // 60 udp: do l4
    0xffff0000, 0xfe3d0005, 0x04000000, 0x00000000,
    // 61 do key 4 at 0 adv 8
    0xffff0000, 0xfe3e0005, 0x01000008, 0x00000400,
    // 62 do hdr_end -> refuse
    0xffff0000, 0xfefe0005, 0x08000000, 0x00000000,
    // 63 tcp: do l4
    0xffff0000, 0xfe400005, 0x04000000, 0x00000000,
    // 64 do key 4 at 0
    0xffff0000, 0xfe410005, 0x01000000, 0x00000400,
    // 65 tcp_seq: do seq at 4
    0xffff0000, 0xfe420005, 0x06000000, 0x00000004,
    // 66 do tcp_flags at 13
    0xffff0000, 0xfe430005, 0x07000000, 0x0000000d,
    // 67 tcp_end: at 12 & 0xf000 if > 0x4fff do hdr_end (word & 0xf000) >> 10 -> done else -> refuse
    0xf0004fff, 0xfeff0c03, 0x08000000, 0x000af000,
];

#[rustfmt::skip]
const NOPORT: &[u32] = &[
    // 0 start: at 12 if == 0x8100 -> tag adv 14 else -> ethertype adv 12
    0xffff8100, 0x02010c00, 0x00000c0e, 0x00000000,
    // 1 tag: at 0 do vlan adv 2
    0xffff0000, 0xfe020004, 0x0a000002, 0x00000000,
    // 2 ethertype: at 0 if == 0x0800 -> ipv4 adv 2 else -> ethertype6
    0xffff0800, 0x03040000, 0x00000002, 0x00000000,
    // 3 ethertype6: at 0 if == 0x86dd -> ipv6 adv 2 else -> refuse
    0xffff86dd, 0xfe0d0000, 0x00000002, 0x00000000,
    // 4 ipv4: at 0 & 0xf000 if == 0x4000 do l3 -> next else -> refuse
    0xf0004000, 0xfe050000, 0x03000000, 0x00000000,
    // 5 at 0 & 0x0f00 if > 0x04ff do kind ipv4 -> next else -> refuse
    0x0f0004ff, 0xfe060003, 0x02000000, 0x00000001,
    // 6 at 2 do end word
    0xffff0000, 0xfe070204, 0x05000000, 0x00000000,
    // 7 do key 8 at 12
    0xffff0000, 0xfe080005, 0x01000000, 0x0000080c,
    // 8 at 6 & 0x3fff if != 0x0000 -> fragment else -> next
    0x3fff0000, 0x091e0601, 0x00000000, 0x00000000,
    // 9 at 0 & 0x0f00 if == 0x0500 -> next else -> refuse
    0x0f000500, 0xfe0a0000, 0x00000000, 0x00000000,
    // 10 at 8 & 0x00ff if == 0x0006 do kind tcp -> tcp adv 20 else -> next
    0x00ff0006, 0x0b220800, 0x02000014, 0x00000004,
    // 11 at 8 & 0x00ff if == 0x0011 do kind udp -> udp adv 20 else -> ipv4_other
    0x00ff0011, 0x0c1f0800, 0x02000014, 0x00000008,
    // 12 ipv4_other: -> refuse
    0xffff0000, 0xfefe0005, 0x00000000, 0x00000000,
    // 13 ipv6: at 0 & 0xf000 if == 0x6000 do l3 -> next else -> refuse
    0xf0006000, 0xfe0e0000, 0x03000000, 0x00000000,
    // 14 do kind ipv6
    0xffff0000, 0xfe0f0005, 0x02000000, 0x00000002,
    // 15 at 4 do end word + 40
    0xffff0000, 0xfe100404, 0x05000000, 0x00000028,
    // 16 do key 16 at 8
    0xffff0000, 0xfe110005, 0x01000000, 0x00001008,
    // 17 do key 16 at 24
    0xffff0000, 0xfe120005, 0x01000000, 0x00001018,
    // 18 at 6 & 0xff00 if == 0x0600 do kind tcp -> tcp adv 40 else -> next
    0xff000600, 0x13220600, 0x02000028, 0x00000004,
    // 19 at 6 & 0xff00 if == 0x1100 do kind udp -> udp adv 40 else -> next
    0xff001100, 0x141f0600, 0x02000028, 0x00000008,
    // 20 at 6 & 0xff00 if == 0x0000 -> ext adv 40 else -> next
    0xff000000, 0x15180600, 0x00000028, 0x00000000,
    // 21 at 6 & 0xff00 if == 0x3c00 -> ext adv 40 else -> next
    0xff003c00, 0x16180600, 0x00000028, 0x00000000,
    // 22 at 6 & 0xff00 if == 0x2c00 -> fragment else -> ipv6_other
    0xff002c00, 0x171e0600, 0x00000000, 0x00000000,
    // 23 ipv6_other: -> refuse
    0xffff0000, 0xfefe0005, 0x00000000, 0x00000000,
    // 24 ext: at 0 do set_r (word & 0x00ff) << 3
    0xffff0000, 0xfe190004, 0x09000000, 0x008300ff,
    // 25 at 0 & 0xff00 if == 0x0600 do kind tcp -> tcp adv 8 + r else -> next
    0xff000600, 0x1a220000, 0x02010008, 0x00000004,
    // 26 at 0 & 0xff00 if == 0x1100 do kind udp -> udp adv 8 + r else -> next
    0xff001100, 0x1b1f0000, 0x02010008, 0x00000008,
    // 27 at 0 & 0xff00 if == 0x3c00 -> ext adv 8 + r else -> next
    0xff003c00, 0x1c180000, 0x00010008, 0x00000000,
    // 28 at 0 & 0xff00 if == 0x2c00 -> fragment else -> ext_other
    0xff002c00, 0x1d1e0000, 0x00000000, 0x00000000,
    // 29 ext_other: -> refuse
    0xffff0000, 0xfefe0005, 0x00000000, 0x00000000,
    // 30 fragment: do kind fragment -> refuse
    0xffff0000, 0xfefe0005, 0x02000000, 0x00000010,
    // 31 udp: do l4
    0xffff0000, 0xfe200005, 0x04000000, 0x00000000,
    // 32 do key 4 at 0 adv 8
    0xffff0000, 0xfe210005, 0x01000008, 0x00000400,
    // 33 do hdr_end -> refuse
    0xffff0000, 0xfefe0005, 0x08000000, 0x00000000,
    // 34 tcp: do l4
    0xffff0000, 0xfe230005, 0x04000000, 0x00000000,
    // 35 do key 4 at 0
    0xffff0000, 0xfe240005, 0x01000000, 0x00000400,
    // 36 at 0 if == 0x0050 -> refuse else -> next
    0xffff0050, 0x25fe0000, 0x00000000, 0x00000000,
    // 37 at 2 if == 0x0050 -> refuse else -> tcp_seq
    0xffff0050, 0x26fe0200, 0x00000000, 0x00000000,
    // 38 tcp_seq: do seq at 4
    0xffff0000, 0xfe270005, 0x06000000, 0x00000004,
    // 39 do tcp_flags at 13
    0xffff0000, 0xfe280005, 0x07000000, 0x0000000d,
    // 40 tcp_end: at 12 & 0xf000 if > 0x4fff do hdr_end (word & 0xf000) >> 10 -> done else -> refuse
    0xf0004fff, 0xfeff0c03, 0x08000000, 0x000af000,
];

#[rustfmt::skip]
const SESSION: &[u32] = &[
    // 0 start: at 12 if == 0x8100 -> tag adv 14 else -> ethertype adv 12
    0xffff8100, 0x02010c00, 0x00000c0e, 0x00000000,
    // 1 tag: at 0 do vlan adv 2
    0xffff0000, 0xfe020004, 0x0a000002, 0x00000000,
    // 2 ethertype: at 0 if == 0x0800 -> ipv4 adv 2 else -> ethertype6
    0xffff0800, 0x03040000, 0x00000002, 0x00000000,
    // 3 ethertype6: at 0 if == 0x86dd -> ipv6 adv 2 else -> refuse
    0xffff86dd, 0xfe0d0000, 0x00000002, 0x00000000,
    // 4 ipv4: at 0 & 0xf000 if == 0x4000 do l3 -> next else -> refuse
    0xf0004000, 0xfe050000, 0x03000000, 0x00000000,
    // 5 at 0 & 0x0f00 if > 0x04ff do kind ipv4 -> next else -> refuse
    0x0f0004ff, 0xfe060003, 0x02000000, 0x00000001,
    // 6 at 2 do end word
    0xffff0000, 0xfe070204, 0x05000000, 0x00000000,
    // 7 do key 8 at 12
    0xffff0000, 0xfe080005, 0x01000000, 0x0000080c,
    // 8 at 6 & 0x3fff if != 0x0000 -> fragment else -> next
    0x3fff0000, 0x091e0601, 0x00000000, 0x00000000,
    // 9 at 0 & 0x0f00 if == 0x0500 -> next else -> refuse
    0x0f000500, 0xfe0a0000, 0x00000000, 0x00000000,
    // 10 at 8 & 0x00ff if == 0x0006 do kind tcp -> tcp adv 20 else -> next
    0x00ff0006, 0x0b220800, 0x02000014, 0x00000004,
    // 11 at 8 & 0x00ff if == 0x0011 do kind udp -> udp adv 20 else -> ipv4_other
    0x00ff0011, 0x0c1f0800, 0x02000014, 0x00000008,
    // 12 ipv4_other: -> refuse
    0xffff0000, 0xfefe0005, 0x00000000, 0x00000000,
    // 13 ipv6: at 0 & 0xf000 if == 0x6000 do l3 -> next else -> refuse
    0xf0006000, 0xfe0e0000, 0x03000000, 0x00000000,
    // 14 do kind ipv6
    0xffff0000, 0xfe0f0005, 0x02000000, 0x00000002,
    // 15 at 4 do end word + 40
    0xffff0000, 0xfe100404, 0x05000000, 0x00000028,
    // 16 do key 16 at 8
    0xffff0000, 0xfe110005, 0x01000000, 0x00001008,
    // 17 do key 16 at 24
    0xffff0000, 0xfe120005, 0x01000000, 0x00001018,
    // 18 at 6 & 0xff00 if == 0x0600 do kind tcp -> tcp adv 40 else -> next
    0xff000600, 0x13220600, 0x02000028, 0x00000004,
    // 19 at 6 & 0xff00 if == 0x1100 do kind udp -> udp adv 40 else -> next
    0xff001100, 0x141f0600, 0x02000028, 0x00000008,
    // 20 at 6 & 0xff00 if == 0x0000 -> ext adv 40 else -> next
    0xff000000, 0x15180600, 0x00000028, 0x00000000,
    // 21 at 6 & 0xff00 if == 0x3c00 -> ext adv 40 else -> next
    0xff003c00, 0x16180600, 0x00000028, 0x00000000,
    // 22 at 6 & 0xff00 if == 0x2c00 -> fragment else -> ipv6_other
    0xff002c00, 0x171e0600, 0x00000000, 0x00000000,
    // 23 ipv6_other: -> refuse
    0xffff0000, 0xfefe0005, 0x00000000, 0x00000000,
    // 24 ext: at 0 do set_r (word & 0x00ff) << 3
    0xffff0000, 0xfe190004, 0x09000000, 0x008300ff,
    // 25 at 0 & 0xff00 if == 0x0600 do kind tcp -> tcp adv 8 + r else -> next
    0xff000600, 0x1a220000, 0x02010008, 0x00000004,
    // 26 at 0 & 0xff00 if == 0x1100 do kind udp -> udp adv 8 + r else -> next
    0xff001100, 0x1b1f0000, 0x02010008, 0x00000008,
    // 27 at 0 & 0xff00 if == 0x3c00 -> ext adv 8 + r else -> next
    0xff003c00, 0x1c180000, 0x00010008, 0x00000000,
    // 28 at 0 & 0xff00 if == 0x2c00 -> fragment else -> ext_other
    0xff002c00, 0x1d1e0000, 0x00000000, 0x00000000,
    // 29 ext_other: -> refuse
    0xffff0000, 0xfefe0005, 0x00000000, 0x00000000,
    // 30 fragment: do kind fragment -> refuse
    0xffff0000, 0xfefe0005, 0x02000000, 0x00000010,
    // 31 udp: do l4
    0xffff0000, 0xfe200005, 0x04000000, 0x00000000,
    // 32 do key 4 at 0 adv 8
    0xffff0000, 0xfe210005, 0x01000008, 0x00000400,
    // 33 do hdr_end -> refuse
    0xffff0000, 0xfefe0005, 0x08000000, 0x00000000,
    // 34 tcp: do l4
    0xffff0000, 0xfe230005, 0x04000000, 0x00000000,
    // 35 do key 4 at 0
    0xffff0000, 0xfe240005, 0x01000000, 0x00000400,
    // 36 tcp_seq: do seq at 4
    0xffff0000, 0xfe250005, 0x06000000, 0x00000004,
    // 37 do tcp_flags at 13
    0xffff0000, 0xfe260005, 0x07000000, 0x0000000d,
    // 38 at 12 & 0xf000 if > 0x4fff do hdr_end (word & 0xf000) >> 10 -> next else -> refuse
    0xf0004fff, 0xfe270c03, 0x08000000, 0x000af000,
    // 39 at 0 if == 0x01bd -> framed else -> next
    0xffff01bd, 0x282b0000, 0x00000000, 0x00000000,
    // 40 at 2 if == 0x01bd -> framed else -> next
    0xffff01bd, 0x292b0200, 0x00000000, 0x00000000,
    // 41 at 0 if == 0x008b -> framed else -> next
    0xffff008b, 0x2a2b0000, 0x00000000, 0x00000000,
    // 42 at 2 if == 0x008b -> framed else -> done
    0xffff008b, 0xff2b0200, 0x00000000, 0x00000000,
    // 43 framed: do session 4 length 3 at 1 -> done
    0xffff0000, 0xfeff0005, 0x0b000000, 0x00040301,
];

const EMPTY: &[u32] = &[];
