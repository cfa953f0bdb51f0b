// SPDX-License-Identifier: GPL-2.0

//! A queue pair, as NAPI polls it.
//!
//! Wraps nothing of C. Polls run in softirq context, one at a time; re-arming may overlap the next
//! poll.
//!
//! ```
//! /// A queue pair of a device that writes its transmit head to memory.
//! struct Queue<R, T> {
//!     head: Words,
//!     _descriptors: PhantomData<fn() -> (R, T)>,
//! }
//!
//! impl<R: rx::Descriptors, T: tx::Descriptors> Hardware for Queue<R, T> {
//!     type Rx = R;
//!     type Tx = T;
//!     /// A word that the device reads when it is to raise the next interrupt.
//!     type Vector = Words;
//!
//!     fn tx_head(&self) -> u32 {
//!         self.head.read(0) as u32
//!     }
//!
//!     fn arm(vector: &Words) {
//!         vector.write(0, 1);
//!     }
//! }
//! # use core::marker::PhantomData;
//! # use dma::Words;
//! # use plain::{rx, tx};
//! ```

use super::{
    rx,
    tx, //
};
use crate::net::napi::{
    NapiRef,
    Outcome,
    Poll,
    RxContext,
    TxContext, //
};

/// Hardware of a queue pair except for the format of its descriptors.
pub(crate) trait Hardware: Send {
    /// Receive descriptors.
    type Rx: rx::Descriptors;
    /// Transmit descriptors.
    type Tx: tx::Descriptors;
    /// Arms the interrupt. Used while the next poll may already run on another CPU.
    type Vector: Send + Sync;

    /// Index of the transmit descriptor that the device reads next. Called in polls, for netpoll
    /// with interrupts off.
    fn tx_head(&self) -> u32;

    /// Arms the interrupt, which fires at once if an event happened since the last one. Softirq
    /// context.
    fn arm(vector: &Self::Vector);
}

/// A queue pair.
pub(crate) struct Pair<'bound, H: Hardware> {
    /// Hardware of the pair.
    pub(crate) hw: H,
    /// The receive ring.
    pub(crate) rx: rx::Ring<H::Rx>,
    /// Completion of the transmit ring.
    pub(crate) tx: tx::Cleaner<'bound, H::Tx>,
}

impl<H: Hardware> Poll for Pair<'_, H> {
    type Shared = H::Vector;

    fn attached(&mut self, napi: NapiRef<'_>) {
        self.rx.attach(napi);
    }

    fn detached(&mut self, napi: NapiRef<'_>) {
        self.rx.detach(napi);
    }

    fn clean(&mut self, cx: &TxContext<'_>) {
        self.tx.clean(cx, self.hw.tx_head());
    }

    fn poll(&mut self, _vector: &H::Vector, cx: &RxContext<'_>) -> Outcome {
        let sane = self.tx.clean(cx, self.hw.tx_head());
        let rx = self.rx.poll(cx);
        Outcome {
            work: rx.packets,
            again: false,
            retry: rx.starving,
            rest: !sane,
            token: 0,
        }
    }

    fn arm(vector: &H::Vector, _token: u32) {
        H::arm(vector);
    }
}
