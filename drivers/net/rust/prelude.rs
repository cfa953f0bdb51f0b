// SPDX-License-Identifier: GPL-2.0

//! Names that most drivers use, to be imported together: `use crate::net::prelude::*`. It includes
//! the kernel's prelude. Wraps nothing of C.
//!
//! ```
//! /// Drops a packet that the device cannot send.
//! fn refuse(skb: TxSkb, counter: &stats::Counter) {
//!     counter.add(1);
//!     skb.drop_with(DropReason::NotOffloadable);
//! }
//! ```

pub(crate) use super::{
    device::{
        self as netdev,
        features,
        watch,
        Device,
        MacAddr,
        Parts,
        QueuePair,
        RxMode,
        Stats64,
        XmitContext, //
    },
    devlink::Sentence,
    dma::{
        DmaDevice,
        Words, //
    },
    ethtool,
    extack::{
        Extack,
        Refused, //
    },
    napi::{
        NapiRef,
        Outcome,
        Poll,
        RxContext,
        TxContext, //
    },
    pci::{
        BusMaster,
        Probed, //
    },
    plain,
    skbuff::{
        DropReason,
        RxMeta,
        TxInfo,
        TxSkb, //
    }, //
};
pub(crate) use kernel::{
    device::{
        Bound,
        Core, //
    },
    io::{
        register::Array,
        Io, //
    },
    prelude::*,
    sync::{
        barrier,
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
