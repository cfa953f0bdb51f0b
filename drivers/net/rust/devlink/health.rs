// SPDX-License-Identifier: GPL-2.0

//! Health reporters: what is wrong with a device, shown to users and mended.
//!
//! Callbacks run in process context with the devlink instance lock held and without the device's
//! own; they may sleep.

use super::super::{
    bindings,
    device::{
        self,
        watch::{
            self,
            Finding,
            Remedy, //
        },
        Device, //
    },
    log::netdev_err_ratelimited, //
};
use super::Sentence;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::from_result,
    fmt,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// A reporter: one kind of things that can go wrong.
pub(crate) struct Reporter {
    /// Its name.
    pub(crate) name: &'static CStr,
    /// Milliseconds after a recovery in which there is no other one by itself.
    pub(crate) grace_ms: u64,
    /// Milliseconds from a first recovery on in which there may be more, before the grace period.
    pub(crate) burst_ms: u64,
    /// What is done when the user asks for recovery.
    pub(crate) remedy: Remedy,
}

impl Reporter {
    fn name(&self) -> &'static str {
        self.name.to_str().unwrap_or("")
    }
}

/// The part of a driver that tells of its health.
pub(crate) trait Operations {
    /// The reporters; operations name them by their place here.
    const REPORTERS: &'static [Reporter];
    /// Place of the one that the device as a whole is reported by.
    const DEVICE_REPORTER: usize;

    /// Shows how things are now.
    ///
    /// # Errors
    ///
    /// Any.
    fn diagnose(&self, reporter: usize, out: &mut Message<'_>) -> Result;

    /// Shows what helps to find out why something went wrong, of `queue` or of all queues.
    ///
    /// # Errors
    ///
    /// Any.
    fn dump(&self, reporter: usize, queue: Option<usize>, out: &mut Message<'_>) -> Result;
}

/// Takes pairs of names and values, lists and objects.
///
/// An error of the core sticks to the message and is reported when it is sent.
pub(crate) struct Message<'a> {
    raw: *mut bindings::devlink_fmsg,
    _call: PhantomData<&'a mut ()>,
}

impl Message<'_> {
    /// A number.
    pub(crate) fn number(&mut self, name: &CStr, value: u64) {
        // SAFETY: The message is valid for the call, and copies the name.
        unsafe { bindings::devlink_fmsg_u64_pair_put(self.raw, name.as_char_ptr(), value) };
    }

    /// A number whose name is no C string.
    pub(crate) fn named(&mut self, name: &str, value: u64) {
        let name = Sentence::new(fmt!("{name}"));
        self.number(name.as_c_str(), value);
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self, name: &CStr, value: bool) {
        // SAFETY: The message is valid for the call, and copies the name.
        unsafe { bindings::devlink_fmsg_bool_pair_put(self.raw, name.as_char_ptr(), value) };
    }

    /// A text, cut if it is longer than a sentence.
    pub(crate) fn text(&mut self, name: &CStr, value: fmt::Arguments<'_>) {
        let text = Sentence::new(value);
        // SAFETY: The message is valid for the call, and copies both strings.
        unsafe {
            bindings::devlink_fmsg_string_pair_put(
                self.raw,
                name.as_char_ptr(),
                text.as_c_str().as_char_ptr(),
            )
        };
    }

    /// A list of objects.
    pub(crate) fn list(&mut self, name: &CStr, fill: impl FnOnce(&mut Self) -> Result) -> Result {
        // SAFETY: The message is valid for the call, and copies the name.
        unsafe { bindings::devlink_fmsg_arr_pair_nest_start(self.raw, name.as_char_ptr()) };
        let done = fill(self);
        // SAFETY: The list was begun above.
        unsafe { bindings::devlink_fmsg_arr_pair_nest_end(self.raw) };
        done
    }

    /// An object in a list.
    pub(crate) fn object(&mut self, fill: impl FnOnce(&mut Self) -> Result) -> Result {
        // SAFETY: The message is valid for the call.
        unsafe { bindings::devlink_fmsg_obj_nest_start(self.raw) };
        let done = fill(self);
        // SAFETY: The object was begun above.
        unsafe { bindings::devlink_fmsg_obj_nest_end(self.raw) };
        done
    }
}

/// What lies behind a reporter.
struct Entry {
    /// Set once, when users may be at the reporter already.
    raw: Atomic<*mut bindings::devlink_health_reporter>,
    ops: bindings::devlink_health_reporter_ops,
    dev: *mut bindings::net_device,
    index: usize,
    /// What was reported last was not mended.
    failed: Atomic<bool>,
}

/// The reporters of a device.
///
/// # Invariants
///
/// Each entry's `raw` is a reporter of the entry, or null. The entries stay where they are.
pub(in crate::net) struct Reporters {
    entries: KVec<Entry>,
}

// SAFETY: Reporters may be used and destroyed on any CPU.
unsafe impl Send for Reporters {}
// SAFETY: Shared access only reads the pointers.
unsafe impl Sync for Reporters {}

impl Reporters {
    /// Makes the reporters of a device. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    ///
    /// # Safety
    ///
    /// `dev` was made for this `T`, is alive as long as the object, and its port is registered; the
    /// devlink instance lock is not held.
    pub(in crate::net) unsafe fn new<T: device::Operations>(
        devlink: NonNull<bindings::devlink>,
        dev: *mut bindings::net_device,
    ) -> Result<Self> {
        let mut entries = KVec::with_capacity(T::REPORTERS.len(), GFP_KERNEL)?;
        for (index, reporter) in T::REPORTERS.iter().enumerate() {
            let ops = bindings::devlink_health_reporter_ops {
                name: reporter.name.as_char_ptr().cast_mut(),
                recover: Some(Callbacks::<T>::recover),
                dump: Some(Callbacks::<T>::dump),
                diagnose: Some(Callbacks::<T>::diagnose),
                default_graceful_period: reporter.grace_ms,
                default_burst_period: reporter.burst_ms,
                ..pin_init::zeroed()
            };
            entries.push(
                Entry {
                    raw: Atomic::new(core::ptr::null_mut()),
                    ops,
                    dev,
                    index,
                    failed: Atomic::new(false),
                },
                GFP_KERNEL,
            )?;
        }
        // INVARIANT: No reporters yet; the entries do not move any more.
        let this = Self { entries };
        for entry in &this.entries {
            let place = core::ptr::from_ref(entry).cast_mut().cast();
            // SAFETY: The instance is alive by the safety requirement; table and entry outlive the
            // reporter, which is destroyed when this object is dropped.
            let raw = unsafe {
                bindings::devlink_health_reporter_create(devlink.as_ptr(), &entry.ops, place)
            };
            // INVARIANT: A reporter of the entry.
            entry.raw.store(kernel::error::from_err_ptr(raw)?, Relaxed);
        }
        Ok(this)
    }
}

impl Drop for Reporters {
    fn drop(&mut self) {
        for entry in &self.entries {
            let raw = entry.raw.load(Relaxed);
            if !raw.is_null() {
                // SAFETY: A reporter by the type invariant; the devlink instance lock is not held.
                unsafe { bindings::devlink_health_reporter_destroy(raw) };
            }
        }
    }
}

/// Reports a finding, which has it mended unless the user wants it left alone. Returns false if one
/// of this reporter was mended just now: this one has to wait, and to be found again.
///
/// # Safety
///
/// `dev` was made for this `T` and is registered; neither its instance lock nor that of devlink is
/// held. Process context.
pub(in crate::net) unsafe fn report<T: device::Operations>(
    dev: *mut bindings::net_device,
    finding: &Finding,
) -> bool {
    // SAFETY: By the safety requirement.
    let reporters = unsafe { device::reporters_of::<T>(dev) };
    let entry = reporters.and_then(|r| r.entries.get(finding.reporter));
    let Some(entry) = entry else {
        return true;
    };
    let raw = entry.raw.load(Relaxed);
    if entry.failed.load(Relaxed) {
        // The core recovers nothing from the state of an error that was not mended, for ever: one
        // whose recovery failed, or that came in the grace period. The device may well come back.
        //
        // SAFETY: A reporter by the type invariant; the devlink instance lock is not held.
        unsafe {
            bindings::devlink_health_reporter_state_update(
                raw,
                bindings::devlink_health_reporter_state_DEVLINK_HEALTH_REPORTER_STATE_HEALTHY,
            )
        };
    }
    let context = core::ptr::from_ref(finding).cast_mut().cast();
    // SAFETY: A reporter by the type invariant; the text is terminated, and the context is for the
    // call. An error was reported by the reporter itself.
    let ret = unsafe {
        bindings::devlink_health_report(raw, finding.text.as_c_str().as_char_ptr(), context)
    };
    entry.failed.store(ret != 0, Relaxed);
    ret != ECANCELED.to_errno()
}

struct Callbacks<T>(PhantomData<T>);

impl<T: device::Operations> Callbacks<T> {
    /// # Safety
    ///
    /// `reporter` is one of ours for a device of a driver `T`, and so for `'a`.
    unsafe fn entry<'a>(reporter: *mut bindings::devlink_health_reporter) -> &'a Entry {
        // SAFETY: The private pointer of a reporter is its entry.
        unsafe { &*bindings::devlink_health_reporter_priv(reporter).cast::<Entry>() }
    }

    /// # Safety
    ///
    /// `context` is null or a [`Finding`] that [`report`] passes.
    unsafe fn finding<'a>(context: *mut c_void) -> Option<&'a Finding> {
        // SAFETY: By the safety requirement.
        unsafe { context.cast::<Finding>().as_ref() }
    }

    /// # Safety
    ///
    /// `devlink_health_reporter_ops.recover`: the devlink instance lock is held, no other.
    unsafe extern "C" fn recover(
        reporter: *mut bindings::devlink_health_reporter,
        context: *mut c_void,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        from_result(|| {
            // SAFETY: The core passes a reporter of ours and what `report` gave, or null.
            let (entry, finding) = unsafe { (Self::entry(reporter), Self::finding(context)) };
            let by_hand = T::REPORTERS.get(entry.index).ok_or(EINVAL)?.remedy;
            let remedy = finding.map_or(by_hand, |finding| finding.remedy);
            // SAFETY: The device is registered as long as it has reporters, and made for this `T`.
            let done = unsafe { watch::remedy::<T>(entry.dev, remedy) };
            // Busy is who has it for something else: it is made anew after that anyway.
            if let Some(e) = done.as_ref().err().filter(|&&e| e != EBUSY) {
                // SAFETY: The device is alive, as above.
                let dev = unsafe { Device::from_raw(entry.dev) };
                netdev_err_ratelimited!(
                    dev,
                    "{} could not be mended ({}); trying again\n",
                    T::REPORTERS
                        .get(entry.index)
                        .map_or("device", Reporter::name),
                    e.to_errno()
                );
            }
            done.map(|()| 0)
        })
    }

    /// # Safety
    ///
    /// `devlink_health_reporter_ops.dump`.
    unsafe extern "C" fn dump(
        reporter: *mut bindings::devlink_health_reporter,
        fmsg: *mut bindings::devlink_fmsg,
        context: *mut c_void,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        from_result(|| {
            // SAFETY: The core passes a reporter of ours and what `report` gave, or null.
            let (entry, finding) = unsafe { (Self::entry(reporter), Self::finding(context)) };
            let queue = match finding.map(|finding| finding.remedy) {
                Some(Remedy::RestartQueue(queue)) => Some(queue),
                _ => None,
            };
            let mut out = Message {
                raw: fmsg,
                _call: PhantomData,
            };
            if let Some(finding) = finding {
                out.text(c"finding", fmt!("{}", finding.text.as_str()));
            }
            // SAFETY: The device is alive as long as it has reporters, and made for this `T`.
            let ops = unsafe { device::ops_of::<T>(entry.dev) };
            ops.dump(entry.index, queue, &mut out).map(|()| 0)
        })
    }

    /// # Safety
    ///
    /// `devlink_health_reporter_ops.diagnose`.
    unsafe extern "C" fn diagnose(
        reporter: *mut bindings::devlink_health_reporter,
        fmsg: *mut bindings::devlink_fmsg,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        from_result(|| {
            // SAFETY: The core passes a reporter of ours.
            let entry = unsafe { Self::entry(reporter) };
            let mut out = Message {
                raw: fmsg,
                _call: PhantomData,
            };
            // SAFETY: The device is alive as long as it has reporters, and made for this `T`.
            let ops = unsafe { device::ops_of::<T>(entry.dev) };
            ops.diagnose(entry.index, &mut out).map(|()| 0)
        })
    }
}
