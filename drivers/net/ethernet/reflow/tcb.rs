// SPDX-License-Identifier: GPL-2.0

//! Host control blocks: connections whose packets the device sends where their application is.
//!
//! A block names a connection, the queue of its packets and the sequence number that comes next.
//! Blocks are asked for by the core, to have a connection follow its application's CPU, and by the
//! user's rules; here they are set, set again when packets came out of order, and taken away when
//! the connection ends, nobody reads it or the interface goes down. In softirq context only notes
//! are taken, of who wants one and of what completions say; all else is done by [`Tcbs::serve`].

mod slots;
mod strikes;

use crate::{
    cmd::{
        Commands,
        Tcb, //
    },
    counters,
    hw::{
        cmd::{
            T0,
            T6,
            T8,
            TCB_MAX, //
        },
        desc::C0, //
    },
    net::{
        arfs::Wanted,
        service::Service,
        stats::Counter,
        tcp::Flow,
        Device, //
    }, //
};
use kernel::{
    new_mutex,
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex,
        SpinLockIrq, //
    },
    time::Delta, //
};
pub(crate) use slots::Owner;
use slots::{
    Slot,
    Slots, //
};

/// TCP flags of a connection's beginning and end: FIN, SYN, RST.
const ENDS: u8 = 0x07;
/// Milliseconds between two checks of connections with a block.
const PERIOD: u32 = 500;
/// Fewest milliseconds that a steered connection is kept: the core needs a moment to record it.
const GRACE: Delta = Delta::from_millis(1000);
/// Wait before something is tried again that the device could not do.
const RETRY: Delta = Delta::from_millis(10);
/// Wait before a connection is looked for again, or room for its block.
const LOOK: Delta = Delta::from_millis(1000);
/// Wait before a connection whose block was handed back gets another one.
const REST: Delta = Delta::from_millis(5000);
/// Bytes of a flow's key: IPv4, IPv6.
const KEY_LEN: [u64; 2] = [12, 36];

/// State for process context only.
struct Control {
    /// Queues that are up; 0 while the interface is down.
    queues: u32,
}

/// The control blocks of a device.
pub(crate) struct Tcbs {
    slots: Pin<KBox<SpinLockIrq<Slots>>>,
    /// Held over commands: blocks change one at a time.
    control: Pin<KBox<Mutex<Control>>>,
    /// By flow number: a completion said that the block did not apply, or something ended.
    news: KVVec<Atomic<bool>>,
    service: Arc<Service>,
    /// Added to under the lock of the slots, one at a time.
    counts: counters::Tcb,
}

impl Tcbs {
    /// Makes the table for a device with so many flows; `present` says that it takes control
    /// blocks. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(crate) fn new(flows: usize, present: bool) -> Result<Self> {
        // The device lets blocks pin half of its database.
        let count = if present { TCB_MAX.min(flows / 2) } else { 0 };
        let mut news = KVVec::with_capacity(flows, GFP_KERNEL)?;
        for _ in 0..flows {
            news.push(Atomic::new(false), GFP_KERNEL)?;
        }
        let slots = new_spinlock_irq!(Slots::new(count)?, "reflow::tcb::slots");
        let control = new_mutex!(Control { queues: 0 }, "reflow::tcb::control");
        Ok(Self {
            slots: KBox::pin_init(slots, GFP_KERNEL)?,
            control: KBox::pin_init(control, GFP_KERNEL)?,
            news,
            service: Service::new()?,
            counts: counters::Tcb::default(),
        })
    }

    /// Runs [`Tcbs::serve`].
    pub(crate) fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// The counters.
    pub(crate) fn counts(&self) -> &counters::Tcb {
        &self.counts
    }

    /// A completion says that its flow has a block. In softirq context.
    #[inline]
    pub(crate) fn summary(&self, flow: u16, c0: C0, applied: bool) {
        if applied && c0.tcp_flags() as u8 & ENDS == 0 {
            return;
        }
        if let Some(news) = self.news.get(usize::from(flow)) {
            if !news.load(Relaxed) {
                news.store(true, Relaxed);
                self.service.kick();
            }
        }
    }

    /// Takes note that a connection is to go to a queue. In softirq context; returns its number.
    ///
    /// # Errors
    ///
    /// [`EEXIST`] if a rule has the say, [`ENOSPC`] if there are too many, [`EBUSY`] if the block
    /// that the connection had is being taken away.
    pub(crate) fn steer(&self, flow: &Flow, to: Wanted) -> Result<u16> {
        let mut slots = self.slots.lock();
        let number = if let Some((i, slot)) = slots.find(flow) {
            match slot.owner {
                Owner::Rule(_) => return Err(EEXIST),
                Owner::Nobody => return Err(EBUSY),
                Owner::Application(_) => {}
            }
            if slot.queue != to.queue {
                slot.queue = to.queue;
                slot.put_off(Delta::ZERO);
            }
            slot.owner = Owner::Application(to);
            i
        } else if let Some((i, slot)) = slots.vacant() {
            slot.take(Owner::Application(to), flow, to.queue);
            i
        } else {
            self.counts.no_room.add(1);
            return Err(ENOSPC);
        };
        self.counts.steered.add(1);
        drop(slots);
        self.service.kick();
        Ok(number.try_into()?)
    }

    /// The user wants a connection to go to a queue, by the rule at `location`. May sleep.
    ///
    /// The connection may not exist yet; the rule is to steer without a block until it does.
    pub(crate) fn rule_set(&self, location: u32, flow: &Flow, queue: u16) {
        let control = self.control.lock();
        let mut slots = self.slots.lock();
        let owner = Owner::Rule(location);
        if let Some((_, slot)) = slots.find(flow) {
            slot.owner = owner;
            slot.queue = queue;
            slot.put_off(Delta::ZERO);
        } else if let Some((_, slot)) = slots.vacant() {
            slot.take(owner, flow, queue);
        } else {
            self.counts.no_room.add(1);
        }
        drop((slots, control));
        self.service.kick();
    }

    /// The rule at `location` is no more. May sleep.
    pub(crate) fn rule_del(&self, location: u32, cmd: &Commands<'_>) {
        let _control = self.control.lock();
        for i in 0..self.count() {
            let Some(slot) = self
                .slot(i)
                .filter(|slot| slot.owner == Owner::Rule(location))
            else {
                continue;
            };
            self.change(i, |slot| slot.owner = Owner::Nobody);
            self.take_away(i, &slot, cmd);
        }
    }

    /// The user does not want connections to follow their application any more. May sleep.
    pub(crate) fn stop_following(&self, cmd: &Commands<'_>) {
        let _control = self.control.lock();
        for i in 0..self.count() {
            if let Some(slot) = self.slot(i).filter(Slot::is_followed) {
                self.change(i, |slot| slot.owner = Owner::Nobody);
                self.note(&self.counts.expired);
                self.take_away(i, &slot, cmd);
            }
        }
    }

    /// The interface is up with so many queues: connections get their blocks. May sleep.
    pub(crate) fn up(&self, queues: u32) {
        let mut control = self.control.lock();
        control.queues = queues;
        for slot in self.slots.lock().iter_mut() {
            if slot.is_followed() && u32::from(slot.queue) >= queues {
                *slot = Slot::free();
            }
        }
        drop(control);
        self.service.kick();
    }

    /// The interface goes down: the device gets its flow numbers back. May sleep.
    ///
    /// Connections live on; their blocks are set again when the interface comes up.
    pub(crate) fn down(&self, cmd: &Commands<'_>) {
        let mut control = self.control.lock();
        control.queues = 0;
        let mut alive = true;
        for i in 0..self.count() {
            let Some(flow) = self.slot(i).and_then(|slot| slot.block) else {
                continue;
            };
            // A device that has gone or was reset has no blocks.
            alive = alive && matches!(cmd.tcb_del(flow), Ok(()) | Err(ENOENT));
            self.change(i, |slot| {
                slot.block = None;
                match slot.owner {
                    Owner::Nobody => *slot = Slot::free(),
                    _ => slot.put_off(Delta::ZERO),
                }
            });
        }
    }

    /// The device was reset and has no blocks any more. May sleep.
    pub(crate) fn forgotten(&self) {
        let _control = self.control.lock();
        for slot in self.slots.lock().iter_mut() {
            if slot.block.is_some() {
                slot.gone();
            }
        }
    }

    /// Sets, renews and removes blocks as needed. May sleep.
    pub(crate) fn serve(&self, dev: &Device, cmd: &Commands<'_>) {
        let control = self.control.lock();
        if control.queues == 0 {
            return;
        }
        let mut next = None;
        for i in 0..self.count() {
            let Some(slot) = self.slot(i).filter(|slot| !slot.is_free()) else {
                continue;
            };
            self.look_after(i, &slot, dev, cmd);
            if let Some(slot) = self
                .slot(i)
                .filter(|s| s.is_due() && u32::from(s.queue) < control.queues)
            {
                self.set(i, &slot, dev, cmd);
            }
            next = self
                .slot(i)
                .and_then(|slot| match (slot.is_free(), slot.due) {
                    (true, _) => next,
                    (false, true) => Some(next.unwrap_or(PERIOD).min(soon(&slot))),
                    (false, false) => next.or(Some(PERIOD)),
                });
        }
        if let Some(ms) = next {
            self.service.later(ms);
        }
    }

    /// Who wants the block of a flow number.
    pub(crate) fn owner(&self, flow: u16) -> Owner {
        let mut slots = self.slots.lock();
        let slot = slots.iter_mut().find(|slot| slot.block == Some(flow));
        slot.map_or(Owner::Nobody, |slot| slot.owner)
    }

    fn count(&self) -> usize {
        self.slots.lock().len()
    }

    /// A slot as it is now. Fields that only [`Tcbs::steer`] changes may be
    /// different soon.
    fn slot(&self, i: usize) -> Option<Slot> {
        self.slots.lock().get(i).copied()
    }

    /// Counts something.
    fn note(&self, what: &Counter) {
        let _one_at_a_time = self.slots.lock();
        what.add(1);
    }

    fn change(&self, i: usize, f: impl FnOnce(&mut Slot)) {
        if let Some(slot) = self.slots.lock().get(i) {
            f(slot);
        }
    }

    /// Whether there is news of a block since this was last asked.
    fn has_news(&self, flow: u16) -> bool {
        let news = self.news.get(usize::from(flow));
        news.is_some_and(|news| news.xchg(false, Relaxed))
    }

    /// Takes the block of a slot away, and lets go of its connection if that was one of the core's.
    fn take_away(&self, i: usize, slot: &Slot, cmd: &Commands<'_>) {
        if let Some(flow) = slot.block {
            // It may be gone already; one that cannot be deleted goes with a reset.
            let _ = cmd.tcb_del(flow);
        }
        self.change(i, Slot::gone);
    }

    /// The same for a connection that is still there, which may have its block again after a while.
    fn suspend(&self, i: usize, slot: &Slot, wait: Delta, cmd: &Commands<'_>) {
        if let Some(flow) = slot.block {
            let _ = cmd.tcb_del(flow);
        }
        self.change(i, |slot| slot.suspend(wait));
    }

    /// Sees whether a connection is still to have a block; false if not.
    ///
    /// The core may change its mind at any time. Once its slot is nobody's, the core is told that
    /// it has to ask again.
    fn is_wanted(&self, i: usize, slot: &Slot, dev: &Device) -> bool {
        let counter = if dev.tcp_rcv_nxt(&slot.flow).is_none() {
            &self.counts.ended
        } else if let Owner::Application(wanted) = slot.owner {
            if slot.since.elapsed() < GRACE || !dev.may_expire(wanted, i as u16) {
                return true;
            }
            &self.counts.expired
        } else {
            return true;
        };
        let mut slots = self.slots.lock();
        let Some(now) = slots.get(i).filter(|now| now.owner == slot.owner) else {
            return true;
        };
        if slot.is_followed() {
            now.owner = Owner::Nobody;
        }
        if slot.block.is_some() {
            counter.add(1);
        }
        false
    }

    /// Removes a block that is no longer wanted; handles one that became stale.
    fn look_after(&self, i: usize, slot: &Slot, dev: &Device, cmd: &Commands<'_>) {
        if !self.is_wanted(i, slot, dev) {
            self.take_away(i, slot, cmd);
        } else if let Some(flow) = slot.block.filter(|flow| self.has_news(*flow)) {
            self.missed(i, slot, flow, cmd);
        }
    }

    /// A block did not apply.
    fn missed(&self, i: usize, slot: &Slot, flow: u16, cmd: &Commands<'_>) {
        let applied = match cmd.tcb_get(flow) {
            // Packets without data that are not in order leave it as it is.
            Ok(block) if block.seq.stale() == 0 => return,
            Ok(block) => block.applied,
            Err(_) => 0,
        };
        let mut again = false;
        self.change(i, |slot| again = slot.missed(applied));
        if !again {
            self.note(&self.counts.handed_back);
            self.suspend(i, slot, REST, cmd);
        }
    }

    /// Gives a connection its block.
    fn set(&self, i: usize, slot: &Slot, dev: &Device, cmd: &Commands<'_>) {
        let Some(expected) = dev.tcp_rcv_nxt(&slot.flow) else {
            self.change(i, |slot| slot.put_off(LOOK));
            return;
        };
        match cmd.tcb_set(&block(slot, expected)) {
            Ok(flow) if usize::from(flow) < self.news.len() => {
                self.has_news(flow);
                self.note(&self.counts.set);
                if slot.block.is_some() {
                    self.note(&self.counts.set_again);
                }
                self.change(i, |now| {
                    now.block = Some(flow);
                    if now.queue == slot.queue {
                        now.due = false;
                    }
                });
            }
            Err(EBUSY) => self.change(i, |slot| slot.put_off(RETRY)),
            other => {
                self.note(match other {
                    Err(ENOSPC) => &self.counts.no_room,
                    _ => &self.counts.refused,
                });
                self.suspend(i, slot, LOOK, cmd);
            }
        }
    }
}

/// Milliseconds until a slot is due.
fn soon(slot: &Slot) -> u32 {
    let left = slot.wait.as_millis_ceil() - slot.since.elapsed().as_millis();
    u32::try_from(left.max(1)).unwrap_or(PERIOD)
}

/// The block of a connection, which begins where the device is, or else with `expected`.
fn block(slot: &Slot, expected: u32) -> Tcb {
    let flow = &slot.flow;
    let [v4, v6] = KEY_LEN;
    Tcb {
        head: T0(0)
            .with_key_len(if flow.v6 != 0 { v6 } else { v4 })
            .with_v6((flow.v6 != 0).into())
            .with_vlan((flow.tagged != 0).into())
            .with_vlan_tci(flow.vlan_tci.into())
            .with_steer(1)
            .with_queue(slot.queue.into())
            .with_join(1),
        key: flow.key,
        seq: T6(0).with_expected(expected.into()),
        list: 0,
        list_len: T8(0),
        applied: 0,
        not_applied: 0,
        placed: 0,
    }
}
