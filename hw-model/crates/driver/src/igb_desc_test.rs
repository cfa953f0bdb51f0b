// SPDX-License-Identifier: GPL-2.0

//! Tests of the descriptors of igb_rs.

use crate::igb_desc::{
    multicast_bit,
    Context,
    Hashed,
    Headers,
    Offload,
    Received,
    Segments,
    LAST, //
};

const TCP4: Headers = Headers {
    l3: 14,
    l4: 34,
    tcp: true,
};

fn sum(headers: Headers) -> Offload {
    Offload {
        sum: Some(headers),
        ..Offload::default()
    }
}

#[test]
fn nothing_to_do_takes_no_context() {
    assert_eq!(Offload::default().context(), Ok(None));
    // PAYLEN 60, no options: extension, data, frame checksum.
    assert_eq!(
        Offload::default().data(60).part(60, true),
        (60 << 46) | 0x2b30_003c
    );
}

#[test]
fn a_checksum_context_has_lengths_and_kinds() {
    let Ok(Some(Context([w0, w1]))) = sum(TCP4).context() else {
        panic!("no context");
    };
    assert_eq!(w0, (14 << 9) | 20);
    assert_eq!(w1, 0x2020_0000 | (1 << 11));
    let v6 = Headers {
        l4: 54,
        tcp: false,
        ..TCP4
    };
    let Ok(Some(Context([w0, w1]))) = sum(v6).context() else {
        panic!("no context");
    };
    assert_eq!((w0, w1), ((14 << 9) | 40, 0x2020_0000));
    assert_eq!((sum(v6).data(100).0 >> 40) & 3, 2);
}

#[test]
fn segments_need_tcp_and_a_header_that_fits() {
    let cut = |headers, segments| Offload {
        sum: headers,
        segments: Some(segments),
        vlan: Some(7),
    };
    let good = Segments {
        mss: 1448,
        headers: 66,
        v6: false,
    };
    let Ok(Some(Context([w0, w1]))) = cut(Some(TCP4), good).context() else {
        panic!("no context");
    };
    assert_eq!(w0 >> 16, 7);
    assert_eq!(w1 >> 40, 32 | (1448 << 8));
    let data = cut(Some(TCP4), good).data(10_066).part(66, false);
    assert_eq!(data >> 46, 10_000);
    assert_eq!(data & 0xffff, 66);
    assert_eq!(data & LAST, 0);
    assert_eq!((data >> 40) & 3, 3);
    let udp = Headers { tcp: false, ..TCP4 };
    for bad in [
        cut(None, good),
        cut(Some(udp), good),
        cut(Some(TCP4), Segments { mss: 0, ..good }),
        cut(
            Some(TCP4),
            Segments {
                headers: 33,
                ..good
            },
        ),
        cut(
            Some(TCP4),
            Segments {
                headers: 95,
                ..good
            },
        ),
    ] {
        assert_eq!(bad.context(), Err(()));
    }
}

#[test]
fn headers_out_of_reach_are_refused() {
    for bad in [
        Headers {
            l3: 128,
            l4: 148,
            ..TCP4
        },
        Headers { l4: 13, ..TCP4 },
        Headers {
            l4: 14 + 512,
            ..TCP4
        },
    ] {
        assert_eq!(sum(bad).context(), Err(()));
    }
}

#[test]
fn what_was_received_is_told_apart() {
    let plain = Received((1514 << 32) | 3);
    assert!(plain.is_done() && plain.is_last() && !plain.is_damaged());
    assert_eq!((plain.len(), plain.vlan()), (1514, None));
    assert!(!plain.sums_right() && !plain.sums_wrong());
    assert!(Received(1 << 5).sums_right());
    let wrong = Received((1 << 5) | (1 << 29));
    assert!(wrong.sums_wrong() && !wrong.sums_right());
    assert!(Received((1 << 6) | (1 << 30)).sums_wrong());
    assert_eq!(Received((0x1234 << 48) | (1 << 3)).vlan(), Some(0x1234));
    assert!(Received(1 << 31).is_damaged());
    assert!(!Received(1 << 32).is_done());
}

#[test]
fn a_hash_has_a_kind() {
    assert_eq!(Hashed((0xabcd << 32) | 1).hash(), Some((0xabcd, true)));
    assert_eq!(Hashed((0xabcd << 32) | 2).hash(), Some((0xabcd, false)));
    assert_eq!(Hashed(0xabcd << 32).hash(), None);
    assert_eq!(Hashed((0xabcd << 32) | 10).hash(), None);
}

#[test]
fn multicast_goes_by_the_upper_twelve_bits() {
    assert_eq!(multicast_bit(&[1, 0, 0x5e, 0, 0, 1]), 16);
    assert_eq!(
        multicast_bit(&[0x33, 0x33, 0, 0, 0xf0, 0xff]),
        127 * 32 + 31
    );
}
