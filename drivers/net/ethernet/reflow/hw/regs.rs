// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Registers of BAR 0. All are 32 bits wide and little endian; other widths are refused.
//!
//! To the guest a read costs some ten thousand times an ordinary load, and a write is posted: the
//! driver reads no register while packets flow.

/// Vendor id of the PCI function (QEMU's range for experiments).
pub const PCI_VENDOR: u16 = 0x1af4;
/// Device id of the PCI function.
pub const PCI_DEVICE: u16 = 0x10f5;
/// Size of BAR 0, in bytes.
pub const BAR_SIZE: usize = 0x1_0000;
/// Value of [`MAGIC`]: "RFLW".
pub const MAGIC_VALUE: u32 = 0x5246_4c57;
/// Value of [`VERSION`]; the driver refuses another major number (upper half).
pub const VERSION_VALUE: u32 = 0x0001_0000;

/// Most queue pairs a device may have.
pub const MAX_QUEUES: usize = 32;
/// Entries of the exact multicast filter.
pub const MC_ENTRIES: usize = 64;
/// 32-bit words of the hash key.
pub const RSS_KEY_WORDS: usize = 10;
/// Entries of the indirection table.
pub const RSS_ENTRIES: usize = 128;
/// Queue number in an indirection entry is below this.
pub const RSS_QUEUE_MASK: u32 = 0xff;

/// The registers outside the queue blocks.
#[derive(Debug)]
pub enum Global {}

/// The block of registers of a queue.
#[derive(Debug)]
pub enum Queue {}

registers! {
    /// The registers outside the queue blocks.
    GLOBAL_REGS,
    /// The same, with the types of their values.
    reg of Global:
    /// Always 0x52464c57, "RFLW". All ones mean that the function is gone.
    MAGIC[1; 4] @ 0x0000 Ro = MAGIC_VALUE;
    /// Version of this interface: major number in the upper half, minor in the lower.
    VERSION[1; 4] @ 0x0004 Ro = VERSION_VALUE;
    /// Sizes of the device, see Caps.
    CAPS[1; 4] @ 0x0008 Ro(Caps) = 0;
    /// One bit for each optional part that is present, see Features.
    FEATURES[1; 4] @ 0x000c Ro(Features) = 0;
    /// Master switches, see Ctrl.
    CTRL[1; 4] @ 0x0010 Rw(Ctrl) = 0;
    /// Writing 1 resets the whole device; reads 0 when done.
    RESET[1; 4] @ 0x0014 Rw = 0;
    /// Link and health, see Status.
    STATUS[1; 4] @ 0x0018 Ro(Status) = 0;
    /// Events since last acknowledged, see Event. Write ones to acknowledge.
    EVENT[1; 4] @ 0x001c W1c(Event) = 0;
    /// Events that raise the event vector. The vector fires once, then waits for a write here.
    EVENT_ARM[1; 4] @ 0x0020 Rw(Event) = 0;
    /// MSI-X vector of the control plane.
    EVENT_VECTOR[1; 4] @ 0x0024 Rw = 0;
    /// Station address from the factory, bytes 0 to 3, byte 0 in the low bits.
    PERM_MAC_LO[1; 4] @ 0x0030 Ro = 0;
    /// Station address from the factory, bytes 4 and 5.
    PERM_MAC_HI[1; 4] @ 0x0034 Ro = 0;
    /// Station address that the filter accepts, bytes 0 to 3.
    MAC_LO[1; 4] @ 0x0038 Rw = 0;
    /// Station address that the filter accepts, bytes 4 and 5. Writing it makes both halves valid.
    MAC_HI[1; 4] @ 0x003c Rw = 0;
    /// Frames that the MAC filter passes, see RxMode.
    RX_MODE[1; 4] @ 0x0040 Rw(RxMode) = 0;
    /// Longest frame accepted and sent, in bytes without FCS, VLAN tag not counted.
    MAX_FRAME[1; 4] @ 0x0044 Rw = 1514;
    /// How many entries of the multicast filter are in use.
    MC_COUNT[1; 4] @ 0x0048 Rw = 0;
    /// Configuration of merging, see FlowCfg.
    FLOW_CFG[1; 4] @ 0x0050 Rw(FlowCfg) = 0;
    /// Flow database entries in use: a power of two. Only to be written while reception is off.
    FLOW_SIZE[1; 4] @ 0x0054 Rw = 0;
    /// An entry that saw no packet for so many microseconds is torn down; 0 means never.
    FLOW_AGE_US[1; 4] @ 0x0058 Rw = 2_000_000;
    /// Longest aggregate, as the length of its IP packet in bytes.
    AGG_MAX[1; 4] @ 0x005c Rw = 65535;
    /// TCP data of fewer bytes than this is never merged (operation code "small").
    DATA_THRESH[1; 4] @ 0x0060 Rw = 1;
    /// Whole packets up to this many bytes go to the small class of packet buffers.
    SMALL_MAX[1; 4] @ 0x0064 Rw = 256;
    /// Packets up to this many bytes are neither split nor merged (operation code "small"), unless
    /// a host control block places them.
    SPLIT_THRESH[1; 4] @ 0x0068 Rw = 0;
    /// Size of the packet memory, in bytes.
    PM_SIZE[1; 4] @ 0x0070 Ro = 0;
    /// Bytes in the packet memory now.
    PM_LEVEL[1; 4] @ 0x0074 Ro = 0;
    /// Highest level since the last write; a write sets it to the current level.
    PM_HIGH[1; 4] @ 0x0078 Rw = 0;
    /// Bus address of the statistics block, low half. Eight-byte aligned.
    STATS_LO[1; 4] @ 0x0080 Rw = 0;
    /// Bus address of the statistics block, high half.
    STATS_HI[1; 4] @ 0x0084 Rw = 0;
    /// Writing 1 makes the device keep the block up to date, writing 0 stops it.
    STATS_CTRL[1; 4] @ 0x0088 Rw = 0;
    /// Writing the number of instructions checks the program RAM and puts it to work between
    /// packets.
    PARSER_COMMIT[1; 4] @ 0x0090 Wo = 0;
    /// Outcome of the last commit, see ParserStatus.
    PARSER_STATUS[1; 4] @ 0x0094 Ro(ParserStatus) = 0;
    /// CRC-32 (IEEE) of the parser program at work, over its words in little endian.
    PARSER_CRC[1; 4] @ 0x0098 Ro = 0;
    /// Which headers are hashed, see RssCtrl.
    RSS_CTRL[1; 4] @ 0x00a0 Rw(RssCtrl) = 0;
    /// Random early discard: the levels of a band, see RedLevels. Where bands overlap, the one with
    /// the lowest number counts. TCP packets with SYN, FIN or RST or without data are exempt.
    RED_LEVELS[4; 4] @ 0x00c0 Rw(RedLevels) = 0;
    /// Random early discard: the probability of a band in 1/65536; 65536 and more are certain.
    RED_PROB[4; 4] @ 0x00d0 Rw = 0;
    /// Bus address of the command ring, low half. 64-byte aligned.
    CMD_LO[1; 4] @ 0x00e0 Rw = 0;
    /// Bus address of the command ring, high half.
    CMD_HI[1; 4] @ 0x00e4 Rw = 0;
    /// Entries of the command ring, as a power of two. Writing it starts the ring at index 0; 0
    /// stops it. Reads 0 if the ring was refused, or stopped on an error.
    CMD_SIZE[1; 4] @ 0x00e8 Rw = 0;
    /// Doorbell: index behind the last command that is ready (modulo 2^15).
    CMD_TAIL[1; 4] @ 0x00ec Wo = 0;
    /// The clock of timestamps in nanoseconds, low half. Reading it latches the high half. RESET
    /// leaves the clock alone: it goes on, at its rate.
    CLOCK_LO[1; 4] @ 0x0100 Ro = 0;
    /// The clock, high half as of the last read of CLOCK_LO.
    CLOCK_HI[1; 4] @ 0x0104 Ro = 0;
    /// Time that the clock is to be set to, low half.
    CLOCK_SET_LO[1; 4] @ 0x0108 Wo = 0;
    /// Time that the clock is to be set to, high half. Writing it sets the clock.
    CLOCK_SET_HI[1; 4] @ 0x010c Wo = 0;
    /// Nanoseconds that the clock is to be moved forward, or back if negative, low half.
    CLOCK_STEP_LO[1; 4] @ 0x0110 Wo = 0;
    /// Nanoseconds that the clock is to be moved, high half. Writing it moves the clock.
    CLOCK_STEP_HI[1; 4] @ 0x0114 Wo = 0;
    /// How much faster than its oscillator the clock runs, or slower if negative: a signed number
    /// of 2^-16 parts per million.
    CLOCK_RATE[1; 4] @ 0x0118 Rw = 0;
    /// Multicast filter: bytes 0 to 3 of an address, then bytes 4 and 5 in the next word.
    MC_TABLE[128; 4] @ 0x0400 Rw = 0;
    /// Hash key, 40 bytes; the first byte of the key is in the low bits of the first word.
    RSS_KEY[10; 4] @ 0x1000 Rw = 0;
    /// Indirection table: the queue for each value of the hash's low seven bits.
    RSS_TABLE[128; 4] @ 0x1100 Rw = 0;
    /// Program RAM of the header parser, four words an instruction, a shadow until committed.
    PARSER_RAM[512; 4] @ 0x2000 Rw = 0;
}

/// Offset of the first queue block.
pub const QUEUE_BASE: usize = 0x8000;
/// Distance between queue blocks, in bytes.
pub const QUEUE_STRIDE: usize = 0x100;

registers! {
    /// The registers of one queue block, as offsets in the block.
    QUEUE_REGS,
    /// The same, with the types of their values.
    queue_reg of Queue:
    /// Switches of the queue pair, see QueueCtrl. Switching on latches bases and sizes and zeroes
    /// all indices; switching off returns when the device has done its last access to memory.
    Q_CTRL[1; 4] @ 0x00 Rw(QueueCtrl) = 0;
    /// Whether the sides run and why they stopped, see QueueStatus.
    Q_STATUS[1; 4] @ 0x04 Ro(QueueStatus) = 0;
    /// Doorbell at the end of a poll, see QueueDoorbell.
    Q_DB[1; 4] @ 0x08 Wo(QueueDoorbell) = 0;
    /// Interrupt moderation of receive, see QueueItr.
    Q_ITR[1; 4] @ 0x0c Rw(QueueItr) = 0;
    /// Bus address of the completion ring, low half. 64-byte aligned.
    CQ_LO[1; 4] @ 0x10 Rw = 0;
    /// Bus address of the completion ring, high half.
    CQ_HI[1; 4] @ 0x14 Rw = 0;
    /// Entries of the completion ring, as a power of two.
    CQ_SIZE[1; 4] @ 0x18 Rw = 0;
    /// MSI-X vector of the queue pair.
    Q_VECTOR[1; 4] @ 0x1c Rw = 0;
    /// Bus address of the transmit ring, low half. 32-byte aligned.
    TX_LO[1; 4] @ 0x20 Rw = 0;
    /// Bus address of the transmit ring, high half.
    TX_HI[1; 4] @ 0x24 Rw = 0;
    /// Entries of the transmit ring, as a power of two.
    TX_SIZE[1; 4] @ 0x28 Rw = 0;
    /// Doorbell: index behind the last transmit descriptor that is ready (modulo 2^15).
    TX_TAIL[1; 4] @ 0x2c Wo = 0;
    /// Bus address of the transmit write-back word, low half. Four-byte aligned.
    TX_WB_LO[1; 4] @ 0x30 Rw = 0;
    /// Bus address of the transmit write-back word, high half.
    TX_WB_HI[1; 4] @ 0x34 Rw = 0;
    /// Limit of completions not yet reported by the doorbell. At the limit packets of the queue
    /// wait in the packet memory while an eighth of it is free: the host is busy, and waiting
    /// packets may be merged with later ones. 0: no limit. Latched like a size.
    CQ_WINDOW[1; 4] @ 0x38 Rw = 0;
    /// Interrupt moderation of transmit, see QueueTxItr.
    Q_TX_ITR[1; 4] @ 0x3c Rw(QueueTxItr) = 0;
    /// Bus address of a buffer ring, low half; one for each BufKind, 32 bytes apart. 16-byte
    /// aligned.
    BUF_LO[4; 0x20] @ 0x40 Rw = 0;
    /// Bus address of a buffer ring, high half.
    BUF_HI[4; 0x20] @ 0x44 Rw = 0;
    /// Shape of a buffer ring, see BufCfg.
    BUF_CFG[4; 0x20] @ 0x48 Rw(BufCfg) = 0;
    /// Doorbell: index behind the last buffer that is ready (modulo 2^15).
    BUF_TAIL[4; 0x20] @ 0x4c Wo = 0;
}

/// Distance between the registers of two buffer rings of a queue, in bytes.
pub const BUF_STRIDE: usize = 0x20;

/// The buffer rings of a queue; the number is the ring's place in the queue block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum BufKind {
    /// Header buffers: many cells in a buffer, one cell for a header.
    Header = 0,
    /// Re-assembly buffers: each holds data of one flow.
    Reasm = 1,
    /// Packet buffers of full size: whole packets, a long one in several buffers.
    Packet = 2,
    /// Packet buffers of the small class: many cells in a buffer, one cell for a packet.
    Small = 3,
}

impl BufKind {
    /// How many kinds there are.
    pub const COUNT: usize = 4;
    /// All kinds in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [Self::Header, Self::Reasm, Self::Packet, Self::Small];
}

bitfields! {
    /// Value of [`CAPS`].
    pub struct Caps(u32);
    /// Queue pairs.
    7:0 queues, with_queues;
    /// MSI-X vectors.
    15:8 vectors, with_vectors;
    /// Most entries of the flow database, as a power of two.
    19:16 log2_flows, with_log2_flows;
}

bitfields! {
    /// Value of [`FEATURES`].
    pub struct Features(u32);
    /// Receive checksums of IPv4, TCP and UDP are verified.
    0:0 rx_csum, with_rx_csum;
    /// Transmit checksum insertion.
    1:1 tx_csum, with_tx_csum;
    /// Hash and indirection table.
    2:2 rss, with_rss;
    /// Flow database, operation codes and re-assembly.
    3:3 reassembly, with_reassembly;
    /// Batching hint.
    4:4 batching, with_batching;
    /// VLAN tags are removed on receive.
    5:5 vlan_strip, with_vlan_strip;
    /// VLAN tags are inserted on transmit.
    6:6 vlan_insert, with_vlan_insert;
    /// Segmentation of TCP over IPv4 and IPv6.
    7:7 tso, with_tso;
    /// Segmentation of UDP.
    8:8 uso, with_uso;
    /// Random early discard.
    9:9 red, with_red;
    /// Host control blocks.
    10:10 tcb, with_tcb;
    /// Session framing.
    11:11 session, with_session;
    /// Command ring.
    12:12 cmd, with_cmd;
    /// Receive timestamps.
    13:13 timestamp, with_timestamp;
    /// Packets of an aggregate can leave together.
    14:14 gather, with_gather;
    /// The clock of timestamps can be read, set and steered through registers; transmit timestamps.
    15:15 clock, with_clock;
}

bitfields! {
    /// Value of [`CTRL`].
    pub struct Ctrl(u32);
    /// Frames are taken from the wire.
    0:0 rx, with_rx;
    /// Frames are put on the wire.
    1:1 tx, with_tx;
}

bitfields! {
    /// Value of [`STATUS`].
    pub struct Status(u32);
    /// The wire is connected.
    0:0 link, with_link;
    /// The device works; 0 after a fault that needs a reset.
    1:1 ready, with_ready;
}

bitfields! {
    /// Value of [`EVENT`] and [`EVENT_ARM`].
    pub struct Event(u32);
    /// The link went up or down.
    0:0 link, with_link;
    /// A queue stopped on an error; see the queues' Q_STATUS.
    1:1 queue_fault, with_queue_fault;
    /// A command is done, or the command ring stopped.
    2:2 command, with_command;
}

bitfields! {
    /// Value of an element of [`RED_LEVELS`]: the band is active from `low` up to below `high`.
    pub struct RedLevels(u32);
    /// Lowest level of the band, in units of 64 bytes.
    15:0 low, with_low;
    /// Level from which it ends, in units of 64 bytes.
    31:16 high, with_high;
}

/// Shortest PDU whose data starts on a fresh page, in bytes.
pub const PDU_MIN: u64 = 4096;
/// Longest PDU whose data starts on a fresh page; a greater length is taken for an error.
pub const PDU_MAX: u64 = 1 << 20;

/// Bands of random early discard.
pub const RED_BANDS: usize = 4;

bitfields! {
    /// Value of [`RX_MODE`].
    pub struct RxMode(u32);
    /// Accept every frame.
    0:0 promisc, with_promisc;
    /// Accept every multicast frame.
    1:1 allmulti, with_allmulti;
    /// Accept broadcast frames.
    2:2 broadcast, with_broadcast;
    /// Remove the outermost VLAN tag and report it in the completion.
    3:3 vlan_strip, with_vlan_strip;
}

bitfields! {
    /// Value of [`FLOW_CFG`].
    pub struct FlowCfg(u32);
    /// Learn flows, merge and re-assemble. Off: every packet is whole (no assist).
    0:0 reassembly, with_reassembly;
    /// Give the batching hint. Off: the hint is always 0.
    1:1 batching, with_batching;
    /// Suppress the headers of appended packets. Off: each has its header in a cell. A change ends
    /// all open aggregates, so that later appended packets always have a header to belong to.
    2:2 suppress, with_suppress;
    /// Start each aggregate on a fresh page, and unmerged data of a page or more.
    3:3 fresh_page, with_fresh_page;
    /// Split headers from data in all packets with TCP data and right checksums: where there is no
    /// flow, where the connection begins or ends, and where the packet would fit the small class,
    /// too. Headers that are longer than a cell, and packets that the parser program does not
    /// select, leave the packet whole.
    4:4 split_all, with_split_all;
    /// Session framing, if the parser program supports it: the device follows the PDUs of a
    /// connection from its set-up. The data of a PDU of 4096 bytes to 1 MiB starts at offset 0 of a
    /// fresh re-assembly buffer and continues without gaps over all its packets and aggregates,
    /// regardless of fresh_page. PDU headers, and data of shorter or longer PDUs, follow the data
    /// before them. In-order data is not "small" for PSH or FIN. After a packet out of order the
    /// rest of its PDU is not aligned; the next PDU whose header is received is.
    5:5 session, with_session;
    /// Gather: waiting packets that are appended to the aggregate of the packet being transferred
    /// are transferred with it, ahead of packets of other flows, under one completion that names
    /// all buffers with their data. Packets that complete an aggregate stay in order: one that ends
    /// it by its kind ("append and close") overtakes neither another such packet nor one outside
    /// any aggregate. Only where headers are suppressed, for packets with the same summary of a
    /// control block or none, and not with session framing.
    6:6 gather, with_gather;
}

bitfields! {
    /// Value of [`PARSER_STATUS`].
    pub struct ParserStatus(u32);
    /// 0 is accepted, else a code of hw::verify.
    7:0 error, with_error;
    /// Instruction that the error is about.
    15:8 at, with_at;
    /// Instructions of the parser program at work.
    31:16 len, with_len;
}

bitfields! {
    /// Value of [`RSS_CTRL`].
    pub struct RssCtrl(u32);
    /// Distribute by hash; off: all packets go to queue 0.
    0:0 enable, with_enable;
    /// Symmetric: source and destination are xor-ed first and take the place of both, so that both
    /// directions of a connection have one hash.
    1:1 symmetric, with_symmetric;
    /// HashFields of TCP over IPv4.
    6:2 tcp4, with_tcp4;
    /// HashFields of UDP over IPv4.
    11:7 udp4, with_udp4;
    /// HashFields of any other IPv4, fragments among it; it has no ports.
    16:12 ip4, with_ip4;
    /// HashFields of TCP over IPv6.
    21:17 tcp6, with_tcp6;
    /// HashFields of UDP over IPv6.
    26:22 udp6, with_udp6;
    /// HashFields of any other IPv6, fragments among it; it has no ports.
    31:27 ip6, with_ip6;
}

bitfields! {
    /// Part of [`RSS_CTRL`]. Fields hashed of a kind of packets: the input of the hash is those
    /// chosen, in this order, without gaps. With the flow label the ports take four bytes, zeros
    /// for one that is not chosen, and the label is xor-ed to them as one number. Packets whose key
    /// the parser program made of anything but addresses and ports of IPv4 or IPv6 are hashed by
    /// all of it.
    pub struct HashFields(u32);
    /// Source address.
    0:0 src, with_src;
    /// Destination address.
    1:1 dst, with_dst;
    /// Source port.
    2:2 src_port, with_src_port;
    /// Destination port.
    3:3 dst_port, with_dst_port;
    /// Flow label, 20 bits; of IPv6 only.
    4:4 label, with_label;
}

/// HashFields of both addresses.
pub const HASH_ADDRS: u32 = 0x3;
/// HashFields of both addresses and both ports.
pub const HASH_PORTS: u32 = 0xf;

bitfields! {
    /// Value of [`Q_CTRL`].
    pub struct QueueCtrl(u32);
    /// Receive side on.
    0:0 rx, with_rx;
    /// Transmit side on.
    1:1 tx, with_tx;
}

bitfields! {
    /// Value of [`Q_STATUS`].
    pub struct QueueStatus(u32);
    /// Receive side runs.
    0:0 rx, with_rx;
    /// Transmit side runs.
    1:1 tx, with_tx;
    /// A packet waits for a buffer of this queue.
    2:2 no_buffer, with_no_buffer;
    /// A packet waits for room in the completion ring.
    3:3 no_completion, with_no_completion;
    /// A packet of this queue waits in the packet memory, for whatever reason.
    4:4 waiting, with_waiting;
    /// Why a side stopped, a QueueError; 0 is none.
    15:8 error, with_error;
}

/// Why a queue stopped.
#[allow(clippy::enum_variant_names)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum QueueError {
    /// A ring's size, alignment or buffer size is out of range.
    BadConfig = 1,
    /// A descriptor or completion ring is not in accessible memory.
    BadAddress = 2,
    /// A tail index was ahead of the ring by more than its size.
    BadTail = 3,
    /// A transmit descriptor breaks the rules of its layout.
    BadTxDesc = 4,
    /// A posted buffer is not in accessible memory.
    BadBuffer = 5,
}

bitfields! {
    /// Value of [`Q_DB`]. One write ends a poll: it frees completions, reports how far transmit
    /// completions were seen, and arms the interrupt. If there are new events by then, the
    /// interrupt fires at once, so no wake-up is lost.
    pub struct QueueDoorbell(u32);
    /// Index behind the last completion that the driver consumed (modulo 2^15).
    14:0 cq_cons, with_cq_cons;
    /// Transmit write-back value that the driver last saw (modulo 2^15).
    29:15 tx_seen, with_tx_seen;
    /// Arm one interrupt. 0: no interrupt.
    31:31 arm, with_arm;
}

bitfields! {
    /// Value of [`Q_ITR`]. The interrupt of an armed queue fires when one of these limits is
    /// reached. Until then packets of the queue wait in the packet memory, to be merged with later
    /// ones, unless more than a quarter of it is full. While no interrupt is armed, and in adaptive
    /// mode, packets are transferred at once.
    pub struct QueueItr(u32);
    /// Longest delay after the first event, in microseconds.
    15:0 usecs, with_usecs;
    /// Packets and completions after which it fires at once; 0: no limit.
    23:16 packets, with_packets;
    /// Adaptive: it also fires at once when no packet of this queue waits in the packet memory. A
    /// single packet is not delayed, and a burst still takes one interrupt.
    24:24 adaptive, with_adaptive;
}

bitfields! {
    /// Value of [`Q_TX_ITR`]. The interrupt of an armed queue fires, too, when one of these says so
    /// of descriptors that were sent. One that fires for packets tells of these at the same time.
    pub struct QueueTxItr(u32);
    /// Microseconds after the first descriptor was sent that it waits at most.
    15:0 usecs, with_usecs;
    /// Descriptors after which it fires at once; 0 is no such limit.
    23:16 descs, with_descs;
}

bitfields! {
    /// Value of [`BUF_CFG`].
    pub struct BufCfg(u32);
    /// Entries of the ring, as a power of two; 0 means no such ring.
    3:0 log2_entries, with_log2_entries;
    /// Bytes of a buffer, as a power of two; of a re-assembly buffer, unless its descriptor says
    /// that it is smaller.
    12:8 log2_size, with_log2_size;
    /// Bytes of a cell, as a power of two. Read for header and small buffers only.
    20:16 log2_cell, with_log2_cell;
}

/// Smallest and largest ring, as powers of two.
pub const LOG2_RING_MIN: u32 = 3;
/// Largest ring, as a power of two.
pub const LOG2_RING_MAX: u32 = 13;
/// Largest buffer, as a power of two.
pub const LOG2_BUF_MAX: u32 = 14;
/// Smallest re-assembly buffer in a ring of larger ones, as a power of two.
pub const LOG2_BUF_SMALL: u32 = 12;
