// SPDX-License-Identifier: GPL-2.0

//! Interrupt moderation: the user's settings for each queue, and the registers that follow them.

use crate::{
    hw::regs::{
        queue_reg,
        QueueItr,
        QueueTxItr, //
    },
    mmio::Mmio,
    net::{
        ethtool::Coalesce,
        extack::Refused, //
    }, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// Longest delay of an interrupt, in microseconds.
const MAX_USECS: u32 = 0xffff;
/// Most packets for which an interrupt is delayed.
const MAX_FRAMES: u32 = 0xff;

// `check` names them to the user.
const _: () = assert!(MAX_USECS == 65535 && MAX_FRAMES == 255);

/// The settings at probe. Nobody waits for what was sent but its memory, and an interrupt for
/// packets frees that, too: a short time would only add interrupts.
const DEFAULT: Coalesce = Coalesce {
    rx_usecs: 8,
    rx_frames: 32,
    tx_usecs: 250,
    tx_frames: 64,
    adaptive: false,
};

/// Refuses settings that the device cannot keep, and those with which no interrupt would come.
///
/// # Errors
///
/// A refusal.
fn check(to: &Coalesce) -> Result<(), Refused> {
    let refused = |why| Err(Refused::new(ERANGE, why));
    if to.rx_usecs > MAX_USECS {
        return refused(c"rx-usecs must be at most 65535");
    }
    if to.tx_usecs > MAX_USECS {
        return refused(c"tx-usecs must be at most 65535");
    }
    if to.rx_frames > MAX_FRAMES {
        return refused(c"rx-frames must be at most 255");
    }
    if to.tx_frames > MAX_FRAMES {
        return refused(c"tx-frames must be at most 255");
    }
    let refused = |why| Err(Refused::new(EINVAL, why));
    if to.rx_usecs == 0 && to.rx_frames == 0 {
        return refused(c"rx-usecs and rx-frames cannot both be 0; rx-frames 1 is no delay");
    }
    if to.tx_usecs == 0 && to.tx_frames == 0 {
        return refused(c"tx-usecs and tx-frames cannot both be 0; tx-frames 1 is no delay");
    }
    Ok(())
}

/// The settings of all queues.
pub(crate) struct Moderation<'bound> {
    mmio: Arc<Mmio<'bound>>,
    /// Held while the registers of a queue are written.
    queues: KVec<Pin<KBox<Mutex<Coalesce>>>>,
}

impl<'bound> Moderation<'bound> {
    /// The default for `queues` queues; writes nothing to the device. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(mmio: &Arc<Mmio<'bound>>, queues: usize) -> Result<Self> {
        let mut all = KVec::with_capacity(queues, GFP_KERNEL)?;
        for _ in 0..queues {
            let one = new_mutex!(DEFAULT, "reflow::moderation");
            all.push(KBox::pin_init(one, GFP_KERNEL)?, GFP_KERNEL)?;
        }
        Ok(Self {
            mmio: mmio.clone(),
            queues: all,
        })
    }

    /// The settings of queue `queue`, if there is one. May sleep.
    pub(crate) fn get(&self, queue: usize) -> Option<Coalesce> {
        self.queues.get(queue).map(|one| *one.lock())
    }

    /// Changes the settings of queue `queue`, now and for when it is made anew. May sleep.
    ///
    /// # Errors
    ///
    /// A refusal when a value is out of range or there is no such queue; nothing is changed then.
    pub(crate) fn set(&self, queue: usize, to: Coalesce) -> Result<(), Refused> {
        check(&to)?;
        let one = self.queues.get(queue);
        let one = one.ok_or(Refused::new(EINVAL, c"there is no such queue"))?;
        let mut now = one.lock();
        *now = to;
        self.tell(queue, &now);
        Ok(())
    }

    /// As [`Self::set`], for all queues.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn set_all(&self, to: Coalesce) -> Result<(), Refused> {
        (0..self.queues.len()).try_for_each(|queue| self.set(queue, to))
    }

    /// Writes the settings of queue `queue` to the device. May sleep.
    pub(crate) fn write(&self, queue: usize) {
        if let Some(one) = self.queues.get(queue) {
            self.tell(queue, &one.lock());
        }
    }

    /// As [`Self::write`], for all queues.
    pub(crate) fn write_all(&self) {
        (0..self.queues.len()).for_each(|queue| self.write(queue));
    }

    fn tell(&self, queue: usize, to: &Coalesce) {
        let rx = QueueItr(0)
            .with_usecs(to.rx_usecs)
            .with_packets(to.rx_frames)
            .with_adaptive(to.adaptive.into());
        let tx = QueueTxItr(0)
            .with_usecs(to.tx_usecs)
            .with_descs(to.tx_frames);
        let regs = self.mmio.queue(queue);
        regs.write(queue_reg::Q_ITR, rx);
        regs.write(queue_reg::Q_TX_ITR, tx);
    }
}
