// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Output of `explain` for one packet.

pub(crate) const STORY: &str = "\
Program default, 39 instructions. The frame has 75 bytes, 75 of them in the header memory:

     0  52 54 00 12 34 56 52 54  00 65 43 21 81 00 20 05
    16  08 00 45 00 00 39 00 01  00 00 40 06 00 00 0a 00
    32  00 01 0a 00 00 02 13 89  00 50 11 22 33 44 00 00
    48  00 00 80 18 03 e8 00 00  00 00 01 01 08 0a 00 00
    64  00 01 00 00 00 02 68 65  6c 6c 6f

  1  start       at 12 if == 0x8100 -> tag adv 14 else -> ethertype adv 12
                   word at 12 is 0x8100; == 0x8100? yes; cursor 0 -> 14
  2  tag         at 0 do vlan adv 2
                   word at 14 is 0x2005; VLAN tag 0x2005; cursor 14 -> 16
  3  ethertype   at 0 if == 0x0800 -> ipv4 adv 2 else -> ethertype6
                   word at 16 is 0x0800; == 0x0800? yes; cursor 16 -> 18; go to ipv4
  4  ipv4        at 0 & 0xf000 if == 0x4000 do l3 -> next else -> refuse
                   word at 18 is 0x4500, masked 0x4000; == 0x4000? yes; IP header at 18
  5  i5          at 0 & 0x0f00 if > 0x04ff do kind ipv4 -> next else -> refuse
                   word at 18 is 0x4500, masked 0x0500; > 0x04ff? yes; kind = ipv4
  6  i6          at 2 do end word
                   word at 20 is 0x0039; IP packet ends before 75
  7  i7          do key 8 at 12
                   key = 0a0000010a000002
  8  i8          at 6 & 0x3fff if != 0x0000 -> fragment else -> next
                   word at 24 is 0x0000, masked 0x0000; != 0x0000? no
  9  i9          at 0 & 0x0f00 if == 0x0500 -> next else -> refuse
                   word at 18 is 0x4500, masked 0x0500; == 0x0500? yes
 10  i10         at 8 & 0x00ff if == 0x0006 do kind tcp -> tcp adv 20 else -> next
                   word at 26 is 0x4006, masked 0x0006; == 0x0006? yes; kind = ipv4 | tcp; cursor 18 -> 38; go to tcp
 11  tcp         do l4
                   transport header at 38
 12  i35         do key 4 at 0
                   key = 0a0000010a00000213890050
 13  tcp_seq     do seq at 4
                   sequence number = 0x11223344
 14  i37         do tcp_flags at 13
                   TCP flags = PSH ACK
 15  tcp_end     at 12 & 0xf000 if > 0x4fff do hdr_end (word & 0xf000) >> 10 -> done else -> refuse
                   word at 50 is 0x8018, masked 0x8000; > 0x4fff? yes; headers end before 70; done

  verdict           conforms: the device assists (15 steps)
  flow key          10.0.0.1 port 5001 to 10.0.0.2 port 80
  kind              ipv4 | tcp
  VLAN tag          at 12: id 5, priority 1
  IP header         at 18
  transport header  at 38
  sequence number   287454020
  TCP flags         PSH ACK
  IP packet         ends before 75, 0 bytes of padding
  data              5 bytes at 70
";
