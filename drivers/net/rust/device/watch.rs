// SPDX-License-Identifier: GPL-2.0

//! The watch over a device that is up: once a second the driver reports faults, and the layer
//! recovers from them.
//!
//! A driver that implements [`Operations`] checks the device and returns a [`Finding`]. The layer
//! schedules a missed poll at once. Other recoveries go through the device's devlink health
//! reporters, if it has any: users see the fault, can turn recovery off, and are told when the
//! device has recovered.
//!
//! Runs in process context with the instance lock held, on a [service](crate::net::service), while
//! the interface is up. The service is not deferrable: on an idle host that waits for a lost
//! interrupt, nothing else would wake the CPU.
//!
//! ```
//! struct Nic;
//!
//! impl Operations for Nic {
//!     fn watch(&self, _dev: &Device) -> Option<Finding> {
//!         // Reads of a device that has gone give all ones.
//!         (self.status() == u32::MAX).then(|| Finding {
//!             reporter: 0,
//!             remedy: Remedy::Detach,
//!             text: Sentence::new(fmt!("the device does not answer; detaching it")),
//!         })
//!     }
//! }
//! # driver!(Nic, Parts::new().watch());
//! # use devlink::Sentence;
//! # impl Nic {
//! #     fn status(&self) -> u32 { 0 }
//! # }
//! ```

use super::{
    handle::Unlocked,
    queues::Instance,
    Device, //
};
use crate::net::{
    callback::callbacks,
    devlink::Sentence,
    log::netdev_warn_ratelimited,
    napi::Poll, //
};
use core::marker::PhantomData;
use kernel::{
    prelude::*,
    time::Delta, //
};

/// Milliseconds between two checks.
pub(super) const PERIOD_MS: u32 = 1000;
/// Milliseconds to the next check if a finding must be confirmed.
const SOON_MS: u32 = 500;
/// Time after which a check counts as consecutive. Events cause further checks at any time.
const APART: Delta = Delta::from_millis(400);

/// Remedy for a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Remedy {
    /// Check again soon, to confirm the fault.
    LookAgain,
    /// Schedule a poll now, as no interrupt came.
    Poll,
    /// Re-create the queue pair while others stay at work.
    RestartQueue(usize),
    /// Re-create all queue pairs, one after the other.
    RestartQueues,
    /// Reset the device and restore its configuration.
    RestartDevice,
    /// None: detach the device, which does not answer.
    Detach,
}

/// A fault of the device.
pub(crate) struct Finding {
    /// Index in the driver's [`REPORTERS`](crate::net::devlink::health::Operations::REPORTERS).
    pub(crate) reporter: usize,
    /// Remedy to apply.
    pub(crate) remedy: Remedy,
    /// One sentence for the log: the fault, its place, and the recovery.
    pub(crate) text: Sentence,
}

fn warn(dev: &Device, finding: &Finding) {
    netdev_warn_ratelimited!(dev, "{}\n", finding.text.as_str());
}

/// State of a queue pair in the core, for a driver that checks the pair.
#[derive(Clone, Copy)]
pub(crate) struct Watched {
    /// The core found its transmit queue stuck.
    pub(crate) timed_out: bool,
    /// The queue is idle until the device raises its interrupt. Otherwise the host polls or has
    /// delayed the poll, and pending work is not the device's fault.
    pub(crate) waits: bool,
    /// Enough time has passed since the last check with this set: an index that has not moved since
    /// then is stuck.
    pub(crate) counts: bool,
}

/// A driver that looks for faults.
pub(crate) trait Operations: super::Operations {
    /// Checks the device as a whole, once a second while queues run. The instance lock is held; may
    /// sleep.
    fn watch(&self, dev: &Device) -> Option<Finding>;

    /// Checks a queue pair that runs. The instance lock is held. By default a transmit queue that
    /// the core found stuck has the device reset.
    fn watch_queue(
        &self,
        _dev: &Device,
        queue: usize,
        _shared: &Shared<Self>,
        watched: Watched,
    ) -> Option<Finding> {
        stuck(queue, watched)
    }
}

/// State that the polls of a queue share with the watch.
type Shared<T> = <<T as super::Operations>::Poll as Poll>::Shared;

/// Functions of a driver that looks for faults, called by the watch.
pub(super) struct Hooks<T: super::Operations> {
    watch: fn(&T, &Device) -> Option<Finding>,
    watch_queue: fn(&T, &Device, usize, &Shared<T>, Watched) -> Option<Finding>,
}

impl<T: Operations> Hooks<T> {
    pub(super) const NEW: Self = Self {
        watch: T::watch,
        watch_queue: T::watch_queue,
    };
}

/// A transmit queue that the core found stuck has the device reset.
fn stuck(queue: usize, watched: Watched) -> Option<Finding> {
    watched.timed_out.then(|| Finding {
        reporter: 0,
        remedy: Remedy::RestartDevice,
        text: Sentence::new(fmt!(
            "transmit queue {queue} is stuck; resetting the device"
        )),
    })
}

/// Checks a device, schedules missed polls, and collects the other findings. Returns the
/// milliseconds to the next check, if there is one.
fn look<T: super::Operations>(
    held: &mut Instance<'_, T>,
    findings: &mut KVec<Finding>,
) -> Option<u32> {
    if !held.is_up() || held.is_held() {
        return None;
    }
    let (ops, dev) = (held.ops(), held.device());
    // A finding that there is no memory for is made again next time.
    let mut add = |finding| {
        let _ = findings.push(finding, GFP_KERNEL);
    };
    if held.is_gone() {
        if ops.is_present() {
            add(Finding {
                reporter: T::PARTS.device_reporter,
                remedy: Remedy::RestartDevice,
                text: Sentence::new(fmt!("the device answers again; resetting it")),
            });
        }
        return Some(PERIOD_MS);
    }
    if !held.has_queues() {
        add(Finding {
            reporter: T::PARTS.device_reporter,
            remedy: Remedy::RestartDevice,
            text: Sentence::new(fmt!("up without queues; resetting the device")),
        });
        return Some(PERIOD_MS);
    }
    if ops.event_vector().is_none() {
        held.sync_carrier();
    }
    let finding = match &T::PARTS.watch {
        Some(hooks) => (hooks.watch)(ops, dev),
        None => None,
    };
    if let Some(finding) = finding {
        let departed = finding.remedy == Remedy::Detach;
        add(finding);
        if departed {
            held.depart();
        }
        return Some(PERIOD_MS);
    }
    let mut next = PERIOD_MS;
    let counts = held.is_apart(APART);
    held.each_queue(|queue, vector, timed_out| {
        let watched = Watched {
            timed_out,
            waits: vector.waits_for_device(),
            counts,
        };
        let finding = match &T::PARTS.watch {
            Some(hooks) => (hooks.watch_queue)(ops, dev, queue, vector.shared(), watched),
            None => stuck(queue, watched),
        };
        let Some(finding) = finding else {
            return;
        };
        match finding.remedy {
            Remedy::LookAgain => next = SOON_MS,
            Remedy::Poll => {
                vector.kick();
                warn(dev, &finding);
            }
            _ => add(finding),
        }
    });
    Some(next)
}

/// The callback of the service that runs the watch.
pub(super) struct Tick<T>(PhantomData<T>);

impl<T: super::Operations> Tick<T> {
    callbacks! {
        /// `rnet_service.serve`: process context, without any lock.
        pub(super) fn serve(dev: Unlocked<'_, T>) {
            tick(&mut dev);
        }
    }
}

/// Runs the watch once.
fn tick<T: super::Operations>(dev: &mut Unlocked<'_, T>) {
    let mut findings = KVec::new();
    let mut again = dev.locked(|held| look(held, &mut findings));
    for finding in &findings {
        warn(dev.handle().device(), finding);
        let done = match dev.handle().private().reporters.as_ref() {
            Some(reporters) => reporters.report(finding),
            None => remedy(dev, finding.remedy).is_ok(),
        };
        if !done {
            again = again.map(|ms| ms.min(SOON_MS));
        }
    }
    if findings.iter().any(|f| f.remedy == Remedy::Detach) {
        dev.announce_carrier();
    }
    if let Some(ms) = again {
        dev.handle().private().watch.later(ms);
    }
}

/// Applies a remedy. May sleep.
///
/// # Errors
///
/// Errors of replacing queues or of resetting the device. The watch retries.
pub(in crate::net) fn remedy<T: super::Operations>(
    dev: &mut Unlocked<'_, T>,
    remedy: Remedy,
) -> Result {
    let (done, departed) = dev.locked(|held| {
        let was_gone = held.is_gone();
        let done = apply(held, remedy);
        (done, held.is_gone() && !was_gone)
    });
    if departed {
        dev.announce_carrier();
    }
    done
}

/// Quiesces the device, see [`Instance::quiesce`]. May sleep.
pub(in crate::net) fn quiesce<T: super::Operations>(dev: &mut Unlocked<'_, T>) {
    dev.locked(|held| held.quiesce());
}

/// Resumes the device, see [`Instance::resume`]. May sleep; takes rtnl if it fails.
///
/// # Errors
///
/// As there.
pub(in crate::net) fn resume<T: super::Operations>(dev: &mut Unlocked<'_, T>) -> Result {
    let done = dev.locked(|held| held.resume());
    if done.is_err() {
        dev.announce_carrier();
    }
    done
}

/// Detaches a device that does not respond any more, see [`Instance::depart`]. May sleep.
pub(super) fn depart<T: super::Operations>(dev: &mut Unlocked<'_, T>) {
    dev.locked(|held| held.depart());
    dev.announce_carrier();
}

/// Handles an event of the device or its link. May sleep.
pub(super) fn event<T: super::Operations>(dev: &mut Unlocked<'_, T>) {
    dev.locked(|held| {
        held.sync_carrier();
        held.look_soon();
    });
}

fn apply<T: super::Operations>(held: &mut Instance<'_, T>, remedy: Remedy) -> Result {
    if held.is_held() {
        // The device may be suspended: do not access it.
        return Err(EBUSY);
    }
    match remedy {
        Remedy::Poll => {
            held.each_queue(|_, vector, _| vector.kick());
            Ok(())
        }
        Remedy::RestartQueue(queue) => restart_pairs(held, [queue]),
        Remedy::RestartQueues => {
            let all = 0..held.count();
            restart_pairs(held, all)
        }
        Remedy::RestartDevice => {
            if !held.ops().is_present() {
                held.depart();
                return Err(ENODEV);
            }
            held.restart()
        }
        Remedy::LookAgain => Ok(()),
        // It stays an error until the device is back.
        Remedy::Detach => Err(ENODEV),
    }
}

/// Replaces pairs, one after the other, or resets the device, once at most, if it refuses one. A
/// pair that no longer runs, as the interface was taken down meanwhile, needs no recovery.
fn restart_pairs<T: super::Operations>(
    held: &mut Instance<'_, T>,
    queues: impl IntoIterator<Item = usize>,
) -> Result {
    for queue in queues {
        match held.restart_pair(queue) {
            Err(ENETDOWN) => return Ok(()),
            Err(e) if e != ENOMEM => return held.restart(),
            other => other?,
        }
    }
    Ok(())
}
