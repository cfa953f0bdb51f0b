// SPDX-License-Identifier: GPL-2.0

//! Health reporters: what is wrong with a device, shown to users and mended.
//!
//! Wraps `struct devlink_health_reporter` and its `ops`.
//!
//! Callbacks run in process context with the devlink instance lock held and without the device's
//! own; they may sleep.
//!
//! ```ignore
//! const REPORTERS: &'static [Reporter] = &[Reporter {
//!     name: c"tx",
//!     grace_ms: 500,
//!     burst_ms: 500,
//!     remedy: Remedy::RestartQueues,
//! }];
//! ```

use super::Sentence;
use crate::net::{
    bindings,
    callback::{
        callbacks,
        Arg,
        Handle,
        Passed, //
    },
    device::{
        self,
        watch::{
            self,
            Finding,
            Remedy, //
        },
        Unlocked, //
    },
    extack::Extack,
    log::netdev_err_ratelimited, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
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
pub(crate) trait Operations: device::Operations {
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
///
/// # Invariants
///
/// The message is valid for `'a`.
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
    pub(in crate::net) unsafe fn new<T: device::Operations + Operations>(
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

impl Reporters {
    /// Reports a finding, which has it mended unless the user wants it left alone. Returns false if
    /// one of this reporter was mended just now: this one has to wait, and to be found again. May
    /// sleep; takes the devlink instance lock.
    pub(in crate::net) fn report(&self, finding: &Finding) -> bool {
        let Some(entry) = self.entries.get(finding.reporter) else {
            return true;
        };
        let raw = entry.raw.load(Relaxed);
        if entry.failed.load(Relaxed) {
            // The core recovers nothing from the state of an error that was not mended, for ever:
            // one whose recovery failed, or that came in the grace period. The device may well come
            // back.
            //
            // SAFETY: A reporter by the type invariant.
            unsafe {
                bindings::devlink_health_reporter_state_update(
                    raw,
                    bindings::devlink_health_reporter_state_DEVLINK_HEALTH_REPORTER_STATE_HEALTHY,
                )
            };
        }
        let context = core::ptr::from_ref(finding).cast_mut().cast();
        // SAFETY: A reporter by the type invariant; the text is terminated, and the context is for
        // the call. An error was reported by the reporter itself.
        let ret = unsafe {
            bindings::devlink_health_report(raw, finding.text.as_c_str().as_char_ptr(), context)
        };
        entry.failed.store(ret != 0, Relaxed);
        ret != ECANCELED.to_errno()
    }
}

/// A reporter, in a callback: devlink's instance lock is held, the device's own is not.
struct Of<'a, T: device::Operations> {
    entry: &'a Entry,
    dev: Handle<'a, T>,
}

// SAFETY: A table made for `T` is that of reporters of its devices, whose private pointer is their
// entry. They go before the entry and the network device.
unsafe impl<T: device::Operations> Arg for Of<'_, T> {
    type Raw = *mut bindings::devlink_health_reporter;

    fn from_passed(passed: Passed<Self::Raw>) -> Self {
        let raw = passed.raw();
        // SAFETY: By the invariant of `Passed`.
        unsafe {
            let entry = &*bindings::devlink_health_reporter_priv(raw).cast::<Entry>();
            Self {
                entry,
                dev: Handle::new(entry.dev),
            }
        }
    }
}

/// What [`report`] passed on to a callback, if it was the cause.
struct Context<'a>(Option<&'a Finding>);

// SAFETY: The core passes null or what `report` gave, which is there as long as it runs.
unsafe impl Arg for Context<'_> {
    type Raw = *mut c_void;

    fn from_passed(passed: Passed<Self::Raw>) -> Self {
        let raw = passed.raw();
        // SAFETY: By the invariant of `Passed`.
        Self(unsafe { raw.cast::<Finding>().as_ref() })
    }
}

// SAFETY: The core passes a message that is valid for the call.
unsafe impl Arg for Message<'_> {
    type Raw = *mut bindings::devlink_fmsg;

    fn from_passed(passed: Passed<Self::Raw>) -> Self {
        let raw = passed.raw();
        // INVARIANT: By that of `Passed`.
        Self {
            raw,
            _call: PhantomData,
        }
    }
}

struct Callbacks<T>(PhantomData<T>);

impl<T: device::Operations + Operations> Callbacks<T> {
    callbacks! {
        /// `devlink_health_reporter_ops.recover`.
        fn recover(of: Of<'_, T>, context: Context<'_>, _ack: Extack<'_>) -> Result {
            let reporter = T::REPORTERS.get(of.entry.index).ok_or(EINVAL)?;
            let remedy = context.0.map_or(reporter.remedy, |finding| finding.remedy);
            // SAFETY: Of locks that matter here devlink holds its own, which comes before that of
            // the network device.
            let mut dev = unsafe { Unlocked::new(of.dev) };
            watch::remedy(&mut dev, remedy).inspect_err(|&e| {
                // Busy is who has it for something else: it is made anew after that anyway.
                if e == EBUSY {
                    return;
                }
                netdev_err_ratelimited!(
                    of.dev.device(),
                    "{} could not be mended ({}); trying again\n",
                    reporter.name(),
                    e.to_errno()
                );
            })
        }

        /// `devlink_health_reporter_ops.dump`.
        fn dump(
            of: Of<'_, T>,
            out: Message<'_>,
            context: Context<'_>,
            _ack: Extack<'_>,
        ) -> Result {
            let queue = match context.0.map(|finding| finding.remedy) {
                Some(Remedy::RestartQueue(queue)) => Some(queue),
                _ => None,
            };
            if let Some(finding) = context.0 {
                out.text(c"finding", fmt!("{}", finding.text.as_str()));
            }
            of.dev.ops().dump(of.entry.index, queue, &mut out)
        }

        /// `devlink_health_reporter_ops.diagnose`.
        fn diagnose(of: Of<'_, T>, out: Message<'_>, _ack: Extack<'_>) -> Result {
            of.dev.ops().diagnose(of.entry.index, &mut out)
        }
    }
}
