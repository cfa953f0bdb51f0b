// SPDX-License-Identifier: GPL-2.0

//! The device's own counters.

use crate::net::plain::totals::totals;

totals! {
    CrcErrors = 0x4000, "rx_crc_errors";
    Missed = 0x4010, "rx_missed";
    LengthErrors = 0x4040, "rx_length_errors";
    RxTo64 = 0x405c, "rx_64";
    RxTo127 = 0x4060, "rx_65_to_127";
    RxTo255 = 0x4064, "rx_128_to_255";
    RxTo511 = 0x4068, "rx_256_to_511";
    RxTo1023 = 0x406c, "rx_512_to_1023";
    RxLonger = 0x4070, "rx_1024_and_more";
    RxFrames = 0x4074, "rx_frames";
    RxBroadcast = 0x4078, "rx_broadcast";
    RxMulticast = 0x407c, "rx_multicast";
    TxFrames = 0x4080, "tx_frames";
    RxBytes = 0x4088 wide, "rx_bytes_good";
    TxBytes = 0x4090 wide, "tx_bytes_good";
    RxShort = 0x40a4, "rx_undersize";
    RxLong = 0x40ac, "rx_oversize";
    TxTo64 = 0x40d8, "tx_64";
    TxTo127 = 0x40dc, "tx_65_to_127";
    TxTo255 = 0x40e0, "tx_128_to_255";
    TxTo511 = 0x40e4, "tx_256_to_511";
    TxTo1023 = 0x40e8, "tx_512_to_1023";
    TxLonger = 0x40ec, "tx_1024_and_more";
    TxMulticast = 0x40f0, "tx_multicast";
    TxBroadcast = 0x40f4, "tx_broadcast";
    TxSegmented = 0x40f8, "tx_tso_contexts";
}

/// Longest frame of each class by length, but for the last one, which has no end.
pub(crate) const LONGEST: [u16; 6] = [64, 127, 255, 511, 1023, u16::MAX];
