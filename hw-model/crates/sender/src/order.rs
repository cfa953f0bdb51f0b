// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Orders: what the guest asks to be sent.

use crate::flow::{BURST, GIANT, LONG_BURST, MSS};

/// Connections that can be open at once.
const MAX_FLOWS: u16 = 1024;

/// How the time stamps of a connection's segments follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stamps {
    /// All segments of a burst have the same.
    Batch,
    /// Each segment has another than the one before.
    Step,
}

/// Which connection sends next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turns {
    /// The next one that has room for a whole burst, `limit` bytes under way on each.
    Bursts {
        /// Bytes under way on a connection at most.
        limit: u32,
    },
    /// One segment of each in a fixed order, `window` bytes under way on all together. Nobody
    /// sends before the one whose turn it is.
    Strict {
        /// Bytes under way on all connections.
        window: u32,
    },
}

/// A stream of segments on several connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stream {
    pub(crate) flows: u16,
    pub(crate) turns: Turns,
    pub(crate) stamps: Stamps,
    /// Each segment has PSH, and is acknowledged when it is read.
    pub(crate) push: bool,
    /// Bytes of data in a segment, and segments of [`MSS`] in a burst.
    pub(crate) segment: u32,
    pub(crate) burst: u32,
}

impl Stream {
    fn bursts(flows: u16, segment: u32, burst: u32) -> Self {
        Self {
            flows,
            turns: Turns::Bursts {
                limit: 2 * burst * MSS,
            },
            stamps: Stamps::Batch,
            push: false,
            segment,
            burst,
        }
    }

    fn strict(flows: u16, window: u32, stamps: Stamps) -> Self {
        Self {
            flows,
            turns: Turns::Strict {
                window: window.saturating_mul(MSS),
            },
            stamps,
            // A lone segment would be acknowledged when the guest's timer runs out.
            push: window < 2 * u32::from(flows),
            segment: MSS,
            burst: BURST,
        }
    }
}

/// An order of the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// `bulk FLOWS`, `long FLOWS`, `giant FLOWS` and `mix FLOWS WINDOW step|batch`: stream.
    Send(Stream),
    /// `take FLOWS`: open connections and acknowledge what comes.
    Take {
        /// Connections.
        flows: u16,
    },
    /// `exchange SIZE`: so many bytes there, and the next when as many came back.
    Exchange {
        /// Bytes.
        size: u32,
    },
    /// `udp BATCH`: so many datagrams and a marker at a time.
    Datagrams {
        /// Datagrams before a marker.
        batch: u32,
    },
    /// `go SEGMENTS`: the connections are accepted, and may send so many more all together.
    Go {
        /// Segments.
        segments: u32,
    },
    /// `more`: a marker came.
    More,
    /// `stop`: no more of it.
    Stop,
}

impl Order {
    /// Understands an order; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let flows = |word: &str| word.parse().ok().filter(|n| (1..=MAX_FLOWS).contains(n));
        Some(match words[..] {
            ["bulk", n] => Self::Send(Stream::bursts(flows(n)?, MSS, BURST)),
            ["long", n] => Self::Send(Stream::bursts(flows(n)?, MSS, LONG_BURST)),
            ["giant", n] => Self::Send(Stream::bursts(flows(n)?, GIANT, BURST)),
            ["mix", n, window, stamps] => {
                let stamps = match stamps {
                    "step" => Stamps::Step,
                    "batch" => Stamps::Batch,
                    _ => return None,
                };
                let window = window.parse().ok().filter(|&frames: &u32| frames != 0)?;
                Self::Send(Stream::strict(flows(n)?, window, stamps))
            }
            ["take", n] => Self::Take { flows: flows(n)? },
            ["exchange", size] => Self::Exchange {
                size: size.parse().ok().filter(|size| (1..=MSS).contains(size))?,
            },
            ["udp", batch] => Self::Datagrams {
                batch: batch.parse().ok()?,
            },
            ["go", segments] => Self::Go {
                segments: segments.parse().ok()?,
            },
            ["more"] => Self::More,
            ["stop"] => Self::Stop,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_understood_whole_or_not_at_all() {
        let Some(Order::Send(stream)) = Order::parse("mix 64 132 step") else {
            panic!("not understood");
        };
        assert_eq!(stream.turns, Turns::Strict { window: 132 * MSS });
        assert_eq!((stream.stamps, stream.push), (Stamps::Step, false));
        assert_eq!(
            Order::parse("exchange 1024"),
            Some(Order::Exchange { size: 1024 })
        );
        for wrong in [
            "",
            "bulk",
            "bulk 0",
            "bulk 1025",
            "mix 4 132",
            "mix 4 0 step",
            "mix 4 132 up",
            "exchange 0",
            "exchange 1449",
            "go",
            "go on",
        ] {
            assert_eq!(Order::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn lone_segments_ask_for_their_acknowledgement() {
        let push = |text| match Order::parse(text) {
            Some(Order::Send(stream)) => stream.push,
            _ => panic!("{text}"),
        };
        assert!(push("mix 1000 132 batch"));
        assert!(!push("mix 1000 4000 batch"));
        assert!(!push("bulk 8"));
    }
}
