// SPDX-License-Identifier: GPL-2.0

//! The receive side of a queue, with an XDP program or without.

use super::{
    completions::{
        Polled,
        Probe, //
    },
    parts::Parts,
    stack::Stack,
    xdp::Xdp,
    Receiver, //
};
use crate::{
    net::{
        napi::{
            NapiRef,
            RxContext, //
        },
        tx_cell::TxCell, //
    },
    tx, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The receive side of a queue.
pub(crate) enum RxQueue<'bound> {
    /// Packets go to the stack.
    Stack(Receiver<'bound, Stack<'bound>>),
    /// An XDP program sees them first.
    Xdp(Receiver<'bound, Xdp<'bound>>),
}

impl<'bound> RxQueue<'bound> {
    /// Makes the rings and fills them with buffers; writes nothing to the device. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(s: &Parts<'_, 'bound>, xdp: bool) -> Result<Self> {
        Ok(if xdp {
            Self::Xdp(Receiver::new(s)?)
        } else {
            Self::Stack(Receiver::new(s)?)
        })
    }

    /// Writes the addresses of the rings. The device reads them when the queue is enabled, which
    /// can be done once with these rings.
    pub(crate) fn configure(&self) {
        match self {
            Self::Stack(rx) => rx.configure(),
            Self::Xdp(rx) => rx.configure(),
        }
    }

    /// Tells from outside of polls whether completions wait.
    pub(crate) fn probe(&self) -> &Arc<Probe> {
        match self {
            Self::Stack(rx) => rx.probe(),
            Self::Xdp(rx) => rx.probe(),
        }
    }

    /// Posts the first buffers. The queue must have just been enabled.
    pub(crate) fn post_first(&mut self) {
        match self {
            Self::Stack(rx) => rx.post_first(),
            Self::Xdp(rx) => rx.post_first(),
        }
    }

    /// Lets the pools recycle in the context of the queue's NAPI instance.
    pub(crate) fn attached(&mut self, napi: NapiRef<'_>) {
        match self {
            Self::Stack(rx) => rx.attached(napi),
            Self::Xdp(rx) => rx.attached(napi),
        }
    }

    /// Takes the pools out of that context: the receiver will be dropped while NAPI goes on.
    pub(crate) fn detach(&mut self, napi: NapiRef<'_>) {
        match self {
            Self::Stack(rx) => rx.detach(napi),
            Self::Xdp(rx) => rx.detach(napi),
        }
    }

    /// Names the transmit ring that an XDP program sends packets back on.
    pub(crate) fn set_tx(&mut self, tx: &Arc<TxCell<tx::Ring<'bound>>>) {
        if let Self::Xdp(rx) = self {
            rx.sink.set_tx(tx.clone());
        }
    }

    /// Receives packets up to the budget.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &RxContext<'_>) -> Polled {
        match self {
            Self::Stack(rx) => rx.poll(cx),
            Self::Xdp(rx) => rx.poll(cx),
        }
    }
}
