// SPDX-License-Identifier: GPL-2.0

//! The watch over a device that is up: once a second the driver says what is wrong, and what is
//! done about it is decided here.
//!
//! The driver looks ([`super::Operations::watch`], [`super::Operations::watch_queue`]) and tells
//! a [`Finding`]. A poll is made up for at once. All else goes through the device's devlink health
//! reporters, so that users see it, can have it left alone, and are told when it is mended.
//!
//! A service runs the watch while the interface is up. It is not deferrable: on a host that has
//! nothing to do but wait for an interrupt that was lost, nothing else would wake it.

use super::{
    private::private_of,
    queues::Instance,
    Device,
    Operations, //
};
use crate::net::{
    bindings,
    devlink::{
        health,
        Sentence, //
    },
    log::netdev_warn_ratelimited, //
};
use kernel::{
    prelude::*,
    time::Delta, //
};

/// Milliseconds between two looks.
pub(super) const PERIOD_MS: u32 = 1000;
/// Milliseconds to the next look if what was seen needs a second one.
const SOON_MS: u32 = 500;
/// Time after which a look counts as one more in a row. Events have the watch look at any time.
const APART: Delta = Delta::from_millis(400);

/// What helps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Remedy {
    /// A second look, soon: it may be nothing.
    LookAgain,
    /// A poll that no interrupt asked for, now.
    Poll,
    /// The queue pair is made anew; others go on.
    RestartQueue(usize),
    /// All queue pairs are made anew, one after the other.
    RestartQueues,
    /// The device is reset and brought back to what is configured.
    RestartDevice,
    /// Nothing: the device does not answer any more.
    Detach,
}

/// Something that is wrong with the device.
pub(crate) struct Finding {
    /// Place among the driver's [`health::Operations::REPORTERS`].
    pub(crate) reporter: usize,
    /// What helps.
    pub(crate) remedy: Remedy,
    /// One sentence for the log: what, where, and what is being done.
    pub(crate) text: Sentence,
}

fn warn(dev: &Device, finding: &Finding) {
    netdev_warn_ratelimited!(dev, "{}\n", finding.text.as_str());
}

/// What the core knows of a queue pair that the driver looks at.
#[derive(Clone, Copy)]
pub(crate) struct Watched {
    /// Packets of the stack do not leave it.
    pub(crate) timed_out: bool,
    /// It is the device's turn to have the queue polled. Else the host is at it or has put it off,
    /// and whatever waits does not wait for the device.
    pub(crate) waits: bool,
    /// Enough time has passed since the last look at which this was set: what has not moved since
    /// then stands still.
    pub(crate) counts: bool,
}

/// Looks at a device, mends what needs no more than a poll, and collects the rest. Returns
/// in how many milliseconds to look again, if at all.
fn look<T: Operations>(held: &mut Instance<'_, T>, findings: &mut KVec<Finding>) -> Option<u32> {
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
                reporter: T::DEVICE_REPORTER,
                remedy: Remedy::RestartDevice,
                text: Sentence::new(fmt!("the device answers again; resetting it")),
            });
        }
        return Some(PERIOD_MS);
    }
    if !held.has_queues() {
        add(Finding {
            reporter: T::DEVICE_REPORTER,
            remedy: Remedy::RestartDevice,
            text: Sentence::new(fmt!("up without queues; resetting the device")),
        });
        return Some(PERIOD_MS);
    }
    if let Some(finding) = ops.watch(dev) {
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
        let Some(finding) = ops.watch_queue(dev, queue, vector.shared(), watched) else {
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

/// Runs `f` with the instance lock held. May sleep.
///
/// # Safety
///
/// `dev` was made for this `T` and is alive; its instance lock is not held by the caller.
unsafe fn locked<T: Operations, R>(
    dev: *mut bindings::net_device,
    f: impl FnOnce(&mut Instance<'_, T>) -> R,
) -> R {
    // SAFETY: By the safety requirement; the lock is given back below.
    unsafe { bindings::netdev_lock(dev) };
    // SAFETY: As above, with the lock held for the life of the object.
    let done = f(&mut unsafe { Instance::new(dev) });
    // SAFETY: Locked above.
    unsafe { bindings::netdev_unlock(dev) };
    done
}

/// Runs the watch once.
///
/// # Safety
///
/// `dev` was made for this `T` and is registered; its instance lock is not held. Process context.
pub(super) unsafe fn tick<T: Operations>(dev: *mut bindings::net_device) {
    let mut findings = KVec::new();
    // SAFETY: By the safety requirement.
    let mut again = unsafe { locked::<T, _>(dev, |held| look(held, &mut findings)) };
    for finding in &findings {
        // SAFETY: By the safety requirement, and the lock is not held.
        unsafe {
            warn(Device::from_raw(dev), finding);
            if !health::report::<T>(dev, finding) {
                again = again.map(|ms| ms.min(SOON_MS));
            }
        }
    }
    if findings.iter().any(|f| f.remedy == Remedy::Detach) {
        // SAFETY: By the safety requirement.
        unsafe { announce_carrier(dev) };
    }
    if let Some(ms) = again {
        // SAFETY: By the safety requirement.
        unsafe { &*private_of::<T>(dev) }.watch().later(ms);
    }
}

/// Does what helps. May sleep.
///
/// # Errors
///
/// What making queues anew or resetting the device says. The watch tries again.
///
/// # Safety
///
/// As for [`tick`].
pub(in crate::net) unsafe fn remedy<T: Operations>(
    dev: *mut bindings::net_device,
    remedy: Remedy,
) -> Result {
    // SAFETY: By the safety requirement.
    let (done, departed) = unsafe {
        locked::<T, _>(dev, |held| {
            let was_gone = held.is_gone();
            let done = apply(held, remedy);
            (done, held.is_gone() && !was_gone)
        })
    };
    if departed {
        // SAFETY: By the safety requirement, and the lock is not held.
        unsafe { announce_carrier(dev) };
    }
    done
}

/// Lets go of the device, see [`Instance::quiesce`]. May sleep.
///
/// # Safety
///
/// As for [`locked`].
pub(in crate::net) unsafe fn quiesce<T: Operations>(dev: *mut bindings::net_device) {
    // SAFETY: By the safety requirement.
    unsafe { locked::<T, _>(dev, |held| held.quiesce()) }
}

/// Takes the device back, see [`Instance::resume`]. May sleep; takes rtnl if it fails.
///
/// # Errors
///
/// As there.
///
/// # Safety
///
/// As for [`locked`], with rtnl not held either.
pub(in crate::net) unsafe fn resume<T: Operations>(dev: *mut bindings::net_device) -> Result {
    // SAFETY: By the safety requirement.
    let done = unsafe { locked::<T, _>(dev, |held| held.resume()) };
    if done.is_err() {
        // SAFETY: By the safety requirement, and the lock is not held.
        unsafe { announce_carrier(dev) };
    }
    done
}

/// The device does not answer any more, see [`Instance::depart`]. May sleep.
///
/// # Safety
///
/// As for [`locked`].
pub(super) unsafe fn depart<T: Operations>(dev: *mut bindings::net_device) {
    // SAFETY: By the safety requirement.
    unsafe {
        locked::<T, _>(dev, |held| held.depart());
        announce_carrier(dev);
    }
}

/// Has the core act on the carrier of a device that was detached: tell bridges, routes and users.
/// By itself it does so some time after a change, and leaves out a device that is not present. May
/// sleep; takes rtnl and the instance lock.
///
/// # Safety
///
/// `dev` is registered; the caller holds neither of the locks.
unsafe fn announce_carrier(dev: *mut bindings::net_device) {
    // SAFETY: By the safety requirement; the locks are taken in the order of the core and given
    // back. Asking for the link brings the core's view of it up to date.
    unsafe {
        bindings::rtnl_lock();
        bindings::netdev_lock(dev);
        bindings::ethtool_op_get_link(dev);
        bindings::netdev_unlock(dev);
        bindings::rtnl_unlock();
    }
}

/// Something happened to the device or its wire. May sleep.
///
/// # Safety
///
/// As for [`locked`].
pub(super) unsafe fn event<T: Operations>(dev: *mut bindings::net_device) {
    // SAFETY: By the safety requirement.
    unsafe {
        locked::<T, _>(dev, |held| {
            held.sync_carrier();
            held.look_soon();
        })
    }
}

fn apply<T: Operations>(held: &mut Instance<'_, T>, remedy: Remedy) -> Result {
    if held.is_held() {
        // It may be asleep: not even to be looked at.
        return Err(EBUSY);
    }
    match remedy {
        Remedy::Poll => {
            held.each_queue(|_, vector, _| vector.kick());
            Ok(())
        }
        Remedy::RestartQueue(queue) => restart_pair(held, queue),
        Remedy::RestartQueues => restart_pairs(held),
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

/// Makes a pair anew, or all if the device does not go along. One that runs no more, as the
/// interface was taken down meanwhile, has nothing to be mended.
fn restart_pair<T: Operations>(held: &mut Instance<'_, T>, queue: usize) -> Result {
    match held.restart_pair(queue) {
        Err(ENETDOWN) => Ok(()),
        Err(e) if e != ENOMEM => held.restart(),
        other => other,
    }
}

/// Makes all pairs anew, one after the other, or at once if the device does not go along: it is
/// reset once at most.
fn restart_pairs<T: Operations>(held: &mut Instance<'_, T>) -> Result {
    for queue in 0..held.count() {
        match held.restart_pair(queue) {
            Err(ENETDOWN) => return Ok(()),
            Err(e) if e != ENOMEM => return held.restart(),
            other => other?,
        }
    }
    Ok(())
}
