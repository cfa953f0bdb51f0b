// SPDX-License-Identifier: GPL-2.0

//! Health reporters: show faults of a device to users, and recover from them.
//!
//! Wraps `struct devlink_health_reporter` and its `ops`.
//!
//! Callbacks run in process context with the devlink instance lock held and without the device's
//! instance lock; they may sleep.
//!
//! ```
//! struct Nic {
//!     stops: Counter,
//! }
//!
//! impl Operations for Nic {
//!     const REPORTERS: &'static [Reporter] = &[Reporter {
//!         name: c"device",
//!         grace_ms: 500,
//!         burst_ms: 500,
//!         remedy: Remedy::RestartDevice,
//!     }];
//!     const DEVICE_REPORTER: usize = 0;
//!
//!     fn diagnose(&self, _reporter: usize, out: &mut Message<'_>) -> Result {
//!         out.number(c"stops", self.stops.read());
//!         Ok(())
//!     }
//!
//!     fn dump(&self, reporter: usize, _queue: Option<usize>, out: &mut Message<'_>) -> Result {
//!         self.diagnose(reporter, out)
//!     }
//! }
//! # driver!(Nic, Parts::new().health());
//! # use device::watch::Remedy;
//! # use devlink::Info;
//! # use stats::Counter;
//! # #[vtable]
//! # impl devlink::Operations for Nic {
//! #     fn info(&self, _info: &mut Info<'_>) -> Result { Ok(()) }
//! # }
//! ```

use super::{
    Devlink,
    Sentence, //
};
use crate::net::{
    bindings,
    callback::{
        callbacks,
        Arg,
        Handle,
        Object,
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
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    error::from_err_ptr,
    fmt,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::Opaque, //
};

/// A reporter: one kind of fault.
pub(crate) struct Reporter {
    /// Its name.
    pub(crate) name: &'static CStr,
    /// Grace period: milliseconds after a recovery without another automatic one.
    pub(crate) grace_ms: u64,
    /// Burst period: milliseconds after a first recovery in which further ones follow at once,
    /// before the grace period.
    pub(crate) burst_ms: u64,
    /// Remedy applied when the user asks for recovery.
    pub(crate) remedy: Remedy,
}

impl Reporter {
    fn name(&self) -> &'static str {
        self.name.to_str().unwrap_or("")
    }
}

/// The part of a driver that reports its health.
pub(crate) trait Operations: device::Operations {
    /// The reporters; operations get the index.
    const REPORTERS: &'static [Reporter];
    /// Index of the reporter for the device as a whole.
    const DEVICE_REPORTER: usize;

    /// Shows the current state. May sleep.
    ///
    /// # Errors
    ///
    /// Any.
    fn diagnose(&self, reporter: usize, out: &mut Message<'_>) -> Result;

    /// Shows state for debugging a fault, of `queue` or of all queues. May sleep.
    ///
    /// # Errors
    ///
    /// Any.
    fn dump(&self, reporter: usize, queue: Option<usize>, out: &mut Message<'_>) -> Result;
}

/// The answer of a reporter: pairs of names and values, lists and objects.
///
/// An error of the core is kept in the message and reported when it is sent.
pub(crate) struct Message<'a>(Object<'a, bindings::devlink_fmsg>);

impl Message<'_> {
    /// A number.
    pub(crate) fn number(&mut self, name: &CStr, value: u64) {
        bindings::fmsg_number(&self.0, name.into(), value);
    }

    /// A number whose name is no C string.
    pub(crate) fn named(&mut self, name: &str, value: u64) {
        let name = Sentence::new(fmt!("{name}"));
        self.number(name.as_c_str(), value);
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self, name: &CStr, value: bool) {
        bindings::fmsg_flag(&self.0, name.into(), value);
    }

    /// A text, truncated to the size of a [`Sentence`].
    pub(crate) fn text(&mut self, name: &CStr, value: fmt::Arguments<'_>) {
        let text = Sentence::new(value);
        bindings::fmsg_text(&self.0, name.into(), text.as_c_str().into());
    }

    /// A list of objects.
    pub(crate) fn list(&mut self, name: &CStr, fill: impl FnOnce(&mut Self) -> Result) -> Result {
        bindings::fmsg_list_start(&self.0, name.into());
        let done = fill(self);
        bindings::fmsg_list_end(&self.0);
        done
    }

    /// An object in a list.
    pub(crate) fn object(&mut self, fill: impl FnOnce(&mut Self) -> Result) -> Result {
        bindings::fmsg_object_start(&self.0);
        let done = fill(self);
        bindings::fmsg_object_end(&self.0);
        done
    }
}

/// Private data of a reporter.
struct Entry {
    ops: bindings::devlink_health_reporter_ops,
    dev: *mut bindings::net_device,
    index: usize,
    /// The last report did not end with a recovery.
    failed: Atomic<bool>,
}

/// A reporter of the core.
///
/// # Invariants
///
/// It was created, and is destroyed by this object only.
struct Created(NonNull<bindings::devlink_health_reporter>);

impl Deref for Created {
    type Target = Opaque<bindings::devlink_health_reporter>;

    fn deref(&self) -> &Self::Target {
        // CAST: `Opaque` is a transparent wrapper.
        // SAFETY: Valid by the type invariant.
        unsafe { self.0.cast().as_ref() }
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        // SAFETY: Valid by the type invariant. Whoever drops it does not hold the devlink instance
        // lock: only registering a device makes one, and unregistering drops it.
        unsafe { bindings::devlink_health_reporter_destroy(self.0.as_ptr()) };
    }
}

/// The reporters of a device, each with its entry.
pub(in crate::net) struct Reporters {
    /// Before the entries, which they point to.
    created: KVec<Created>,
    entries: KVec<Entry>,
}

// SAFETY: Reporters may be used and destroyed on any CPU.
unsafe impl Send for Reporters {}
// SAFETY: The core locks a reporter, and what changes in an entry is atomic.
unsafe impl Sync for Reporters {}

impl Reporters {
    /// Makes the reporters of a device. May sleep; takes the devlink instance lock.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    ///
    /// # Safety
    ///
    /// The object is dropped before the devlink instance goes. Users are kept out of that before
    /// the device goes.
    pub(in crate::net) unsafe fn new<T: device::Operations + Operations>(
        devlink: &Devlink,
        dev: Handle<'_, T>,
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
                    ops,
                    dev: dev.device().as_raw(),
                    index,
                    failed: Atomic::new(false),
                },
                GFP_KERNEL,
            )?;
        }
        let mut created = KVec::with_capacity(entries.len(), GFP_KERNEL)?;
        for entry in &entries {
            let place = core::ptr::from_ref(entry).cast_mut().cast();
            // SAFETY: The instance is alive. Table and entry do not move any more, and outlive the
            // reporter.
            let raw = unsafe {
                bindings::devlink_health_reporter_create(devlink.as_raw(), &entry.ops, place)
            };
            // INVARIANT: Created just now.
            let reporter = Created(NonNull::new(from_err_ptr(raw)?).ok_or(ENOMEM)?);
            created.push(reporter, GFP_KERNEL)?;
        }
        Ok(Self { created, entries })
    }

    /// Reports a finding, which starts its recovery unless the user has turned that off. Returns
    /// false if the grace period of a recovery just before delays it: the finding must be reported
    /// again. May sleep; takes the devlink instance lock.
    pub(in crate::net) fn report(&self, finding: &Finding) -> bool {
        let place = finding.reporter;
        let (Some(reporter), Some(entry)) = (self.created.get(place), self.entries.get(place))
        else {
            return true;
        };
        // The device may well come back after a recovery that failed, or that the grace period
        // did not let begin.
        let anew = entry.failed.load(Relaxed);
        let text = finding.text.as_c_str().into();
        let ret = bindings::health_report(reporter, text, finding, anew);
        entry.failed.store(ret != 0, Relaxed);
        ret != ECANCELED.to_errno()
    }
}

/// A reporter, in a callback with devlink's instance lock held. That comes before the locks of the
/// network device, which are not held.
struct Of<'a, T: device::Operations> {
    entry: &'a Entry,
    dev: Unlocked<'a, T>,
}

// SAFETY: A table made for `T` is that of reporters of its devices, whose private pointer is their
// entry. They go before the entry and the network device.
unsafe impl<T: device::Operations> Arg for Of<'_, T> {
    type Raw = *mut bindings::devlink_health_reporter;

    fn from_passed(reporter: Passed<Self::Raw>) -> Self {
        // SAFETY: The private pointer is that of an entry, whose device was made for this `T`. No
        // lock of that is held.
        unsafe {
            let entry = &*bindings::devlink_health_reporter_priv(reporter.raw()).cast::<Entry>();
            Self {
                entry,
                dev: Unlocked::new(Handle::new(entry.dev)),
            }
        }
    }
}

impl<'a, T: device::Operations + 'a> Of<'a, T> {
    /// The driver's part.
    fn ops(&self) -> &'a T {
        self.dev.handle().ops()
    }
}

/// Finding that [`Reporters::report`] passed on to a callback, if it was the cause.
struct Context<'a>(Option<&'a Finding>);

// SAFETY: The core passes null or what `report` gave, which is there as long as it runs.
unsafe impl Arg for Context<'_> {
    type Raw = *mut c_void;

    fn from_passed(context: Passed<Self::Raw>) -> Self {
        // SAFETY: Null or a finding.
        Self(unsafe { context.raw().cast::<Finding>().as_ref() })
    }
}

// SAFETY: The core passes a message that is valid for the call.
unsafe impl Arg for Message<'_> {
    type Raw = *mut bindings::devlink_fmsg;

    fn from_passed(message: Passed<Self::Raw>) -> Self {
        Self(Object::from_passed(message))
    }
}

/// The callbacks for a driver.
struct Callbacks<T>(PhantomData<T>);

impl<T: device::Operations + Operations> Callbacks<T> {
    callbacks! {
        /// `devlink_health_reporter_ops.recover`.
        fn recover(of: Of<'_, T>, context: Context<'_>, _ack: Extack<'_>) -> Result {
            let reporter = T::REPORTERS.get(of.entry.index).ok_or(EINVAL)?;
            let remedy = context.0.map_or(reporter.remedy, |finding| finding.remedy);
            watch::remedy(&mut of.dev, remedy).inspect_err(|&e| {
                // The device is quiesced for another purpose, after which it is reset anyway.
                if e == EBUSY {
                    return;
                }
                netdev_err_ratelimited!(
                    of.dev.handle().device(),
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
            of.ops().dump(of.entry.index, queue, &mut out)
        }

        /// `devlink_health_reporter_ops.diagnose`.
        fn diagnose(of: Of<'_, T>, out: Message<'_>, _ack: Extack<'_>) -> Result {
            of.ops().diagnose(of.entry.index, &mut out)
        }
    }
}
