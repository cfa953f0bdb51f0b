// SPDX-License-Identifier: GPL-2.0

//! The life of a PCI device between probe and unbind: shutdown, system sleep, resets, bus errors.
//!
//! The kernel's `pci::Driver` knows probe and unbind only. [`Adapter`] registers a driver with the
//! callbacks for the rest filled in and leaves all else to the kernel's own adapter, which makes
//! the driver's data in probe and drops them after unbind.
//!
//! # How the callbacks come by the driver's data
//!
//! The data are in place from the end of a successful probe until they are dropped behind unbind.
//! The driver core probes and unbinds with the device lock held, and the C code that calls us finds
//! our callbacks through the driver that the device is bound to. So a callback that runs with the
//! device lock held runs wholly before or wholly after probe and unbind, and if it was found at all
//! the data are there. Nobody else uses them meanwhile. The lock is held around each of them:
//!
//! * shutdown: by `device_shutdown()`;
//! * suspend, resume, freeze, thaw, poweroff, restore: by `device_suspend()` and `device_resume()`;
//!   the phases "late" and "noirq" run without it, and are not used;
//! * `reset_prepare`, `reset_done`: `pci_dev_save_and_disable()` asserts it, and all callers of
//!   `pci_dev_restore()` have come by there with it;
//! * `error_detected`, `slot_reset`, `resume`: by the `report_*()` of `pcie/err.c` and by their
//!   siblings for EEH, s390 and CXL. The PCI front end of Xen does not take it, so they are left
//!   out in a paravirtual guest of Xen, the only place where it runs. `cor_error_detected` comes
//!   without it, and is not used.

use super::bindings;
use core::pin::Pin;
use kernel::{
    container_of,
    device::{
        Bound,
        Core,
        CoreInternal, //
    },
    driver,
    error::from_result,
    io::Io,
    pci,
    prelude::*,
    types::Opaque, //
};

/// How a device that reported an error on the bus can be reached.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    /// As ever.
    Normal,
    /// Not at all: reads give all ones, writes are lost. A reset may help.
    Frozen,
    /// Not at all, for good.
    Dead,
}

/// What a driver says to an error on the bus.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The device can go on, [`LifeCycle::error_over`] does the rest.
    CanRecover,
    /// The device needs a reset, after which [`LifeCycle::slot_reset`] is called.
    NeedReset,
    /// The device is given up.
    Disconnect,
}

impl Verdict {
    fn to_raw(self) -> bindings::pci_ers_result_t {
        match self {
            Self::CanRecover => bindings::pci_ers_result_PCI_ERS_RESULT_CAN_RECOVER,
            Self::NeedReset => bindings::pci_ers_result_PCI_ERS_RESULT_NEED_RESET,
            Self::Disconnect => bindings::pci_ers_result_PCI_ERS_RESULT_DISCONNECT,
        }
    }
}

/// A PCI driver that follows its device through sleep, resets and errors.
///
/// All operations run in process context and may sleep. The device lock is held, rtnl is not. They
/// do not overlap each other, probe, or unbind.
pub(crate) trait LifeCycle: pci::Driver {
    /// The system goes down or hands over to another kernel: when this returns the device does not
    /// access memory any more. It stays bound, and is not used again.
    fn shutdown<'bound>(dev: &'bound pci::Device<Core<'_>>, this: Pin<&Self::Data<'bound>>);

    /// The system goes to sleep (suspend, poweroff of a hibernation), or its memory is about to be
    /// copied or replaced (freeze). When this returns the device does not access memory. User space
    /// is frozen. The PCI core saves configuration space afterwards.
    ///
    /// # Errors
    ///
    /// Any; the system stays awake then.
    fn suspend<'bound>(
        dev: &'bound pci::Device<Core<'_>>,
        this: Pin<&Self::Data<'bound>>,
    ) -> Result;

    /// The system is awake again (resume), its memory was copied (thaw) or is that of the image
    /// (restore). The PCI core has restored configuration space, with MSI-X, as it was at the end
    /// of [`LifeCycle::suspend`]. The device may have kept its state, lost it, or, after a restore,
    /// have that of another kernel. May also come without a `suspend` before, if the driver was
    /// bound in between.
    ///
    /// # Errors
    ///
    /// Any; the core logs it.
    fn resume<'bound>(dev: &'bound pci::Device<Core<'_>>, this: Pin<&Self::Data<'bound>>)
        -> Result;

    /// Somebody is going to reset the function. When this returns the device is idle; the PCI core
    /// saves configuration space next. [`LifeCycle::reset_done`] follows in any case.
    fn reset_prepare<'bound>(dev: &'bound pci::Device<Core<'_>>, this: Pin<&Self::Data<'bound>>);

    /// The reset is over, successful or not; configuration space is as saved.
    fn reset_done<'bound>(dev: &'bound pci::Device<Core<'_>>, this: Pin<&Self::Data<'bound>>);

    /// The device, or one that it shares a bus with, reported an uncorrectable error. Unless
    /// `channel` is [`Channel::Normal`] the device does not answer.
    fn error_detected<'bound>(
        dev: &'bound pci::Device<Core<'_>>,
        this: Pin<&Self::Data<'bound>>,
        channel: Channel,
    ) -> Verdict;

    /// The device was reset after an error; configuration space is as last saved, see
    /// [`save_state`].
    ///
    /// # Errors
    ///
    /// Any; the device is given up then.
    fn slot_reset<'bound>(
        dev: &'bound pci::Device<Core<'_>>,
        this: Pin<&Self::Data<'bound>>,
    ) -> Result;

    /// All drivers concerned have recovered from the error: work goes on.
    fn error_over<'bound>(dev: &'bound pci::Device<Core<'_>>, this: Pin<&Self::Data<'bound>>);
}

/// Offset of the command register in configuration space.
const COMMAND: usize = bindings::PCI_COMMAND as usize;
/// Its bit that lets a function access memory and send interrupts.
const MASTER: u16 = bindings::PCI_COMMAND_MASTER as u16;

/// Bus mastering of a bound function: its leave to access memory and to send interrupts.
///
/// `pci_set_master()` also writes flags of `struct pci_dev` that share a word with others, which
/// takes the device lock. A driver that resets its device after a fault does not have it. So this
/// keeps to the register, each access to which the PCI core makes one at a time. The core's own
/// flag stays clear, and with it the core never allows what the driver has not.
///
/// The register is read, changed and written. Nobody else writes it while a driver is bound, but
/// for the PCI core around a sleep or a reset; [`LifeCycle`] tells the driver before and after.
pub(crate) struct BusMaster<'bound>(&'bound pci::Device<Bound>);

impl<'bound> BusMaster<'bound> {
    /// That of a function.
    pub(crate) fn new(dev: &'bound pci::Device<Bound>) -> Self {
        Self(dev)
    }

    /// The function whose it is.
    pub(crate) fn dev(&self) -> &'bound pci::Device<Bound> {
        self.0
    }

    /// Lets the function access memory. One call at a time.
    pub(crate) fn allow(&self) {
        self.set(self.command() | MASTER);
    }

    /// Keeps the function from accessing memory: when this returns the last access is over. One
    /// call at a time.
    pub(crate) fn deny(&self) {
        self.set(self.command() & !MASTER);
        // The answer does not overtake what the function wrote before.
        self.command();
    }

    /// Whether the function may access memory. Says yes if it does not answer.
    pub(crate) fn is_allowed(&self) -> bool {
        self.command() & MASTER != 0
    }

    fn command(&self) -> u16 {
        self.0
            .config_space()
            .try_read16(COMMAND)
            .unwrap_or(u16::MAX)
    }

    fn set(&self, to: u16) {
        // The register is inside of configuration space.
        let _ = self.0.config_space().try_write16(to, COMMAND);
    }
}

/// Gives up what `enable_device_mem()` asked for. Ends bus mastering, too; registers can still be
/// reached. Without it the next `enable_device_mem()` finds the device in use and does nothing.
pub(crate) fn disable(dev: &pci::Device<Core<'_>>) {
    // SAFETY: The device is valid. `Core` stands for a bus callback, so the device lock is held and
    // nobody changes the same fields of `struct pci_dev`. The core counts, and complains if this
    // is called too often.
    unsafe { bindings::pci_disable_device(as_raw(dev)) };
}

/// Has the PCI core remember configuration space as it is, to be restored after a slot reset.
pub(crate) fn save_state(dev: &pci::Device<Core<'_>>) {
    // The result is always 0 but when capabilities cannot be found that probe has used already.
    // SAFETY: The device is valid. `Core` stands for a bus callback, so the device lock is held and
    // nobody saves or restores at the same time.
    unsafe { bindings::pci_save_state(as_raw(dev)) };
}

fn as_raw(dev: &pci::Device<Core<'_>>) -> *mut bindings::pci_dev {
    // CAST: `pci::Device` is a transparent wrapper of `struct pci_dev` in an `Opaque`.
    core::ptr::from_ref(dev).cast_mut().cast()
}

/// Registers a driver with all its callbacks.
pub(crate) struct Adapter<T: LifeCycle>(T);

// SAFETY: As for the kernel's adapter, to which registration is passed on:
// - `pci_driver` is a C type declared as `repr(C)`;
// - the kernel's adapter stores data of type `T::Data` and no other;
// - the offset is that of the embedded `struct device_driver`.
unsafe impl<T: LifeCycle> driver::DriverLayout for Adapter<T> {
    type DriverType = bindings::pci_driver;
    type DriverData<'bound> = T::Data<'bound>;
    const DEVICE_DRIVER_OFFSET: usize = core::mem::offset_of!(bindings::pci_driver, driver);
}

// SAFETY: `register` and `unregister` are those of the kernel's adapter; what is filled in before
// does not change when `unregister` may be called.
unsafe impl<T: LifeCycle + 'static> driver::RegistrationOps for Adapter<T> {
    unsafe fn register(
        drv: &Opaque<bindings::pci_driver>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        // SAFETY: Reads a constant of the CPU.
        let locked = unsafe { bindings::pci_errors_come_locked() };
        let handlers = if locked {
            &Self::ERRORS_AND_RESETS
        } else {
            &Self::RESETS
        };
        // SAFETY: The structure is valid and not registered yet, so nobody reads it. The tables
        // are constants that live for ever, and the callbacks are those of a driver whose data are
        // `T::Data`.
        unsafe {
            (*drv.get()).shutdown = Some(Self::shutdown);
            (*drv.get()).err_handler = handlers;
            (*drv.get()).driver.pm = &Self::SLEEP;
        }
        // SAFETY: The caller keeps `drv` pinned and valid until `unregister`.
        unsafe { <pci::Adapter<T> as driver::RegistrationOps>::register(drv, name, module) }
    }

    unsafe fn unregister(drv: &Opaque<bindings::pci_driver>) {
        // SAFETY: The caller has registered it, which was passed on to the same adapter.
        unsafe { <pci::Adapter<T> as driver::RegistrationOps>::unregister(drv) }
    }
}

impl<T: LifeCycle> Adapter<T> {
    const SLEEP: bindings::dev_pm_ops = bindings::dev_pm_ops {
        suspend: Some(Self::suspend),
        resume: Some(Self::resume),
        freeze: Some(Self::suspend),
        thaw: Some(Self::resume),
        poweroff: Some(Self::suspend),
        restore: Some(Self::resume),
        ..pin_init::zeroed()
    };

    const RESETS: bindings::pci_error_handlers = bindings::pci_error_handlers {
        reset_prepare: Some(Self::reset_prepare),
        reset_done: Some(Self::reset_done),
        ..pin_init::zeroed()
    };

    const ERRORS_AND_RESETS: bindings::pci_error_handlers = bindings::pci_error_handlers {
        error_detected: Some(Self::error_detected),
        slot_reset: Some(Self::slot_reset),
        resume: Some(Self::error_over),
        ..Self::RESETS
    };

    /// Calls `f` with the device and the driver's data.
    ///
    /// # Safety
    ///
    /// A callback of a device that is bound to this driver runs, with the device lock held.
    unsafe fn with<R>(
        dev: *mut bindings::pci_dev,
        f: impl for<'b> FnOnce(&'b pci::Device<Core<'_>>, Pin<&'b T::Data<'b>>) -> R,
    ) -> R {
        // CAST: `pci::Device` is a transparent wrapper of `struct pci_dev`.
        // SAFETY: The device is valid for the callback, which is what `CoreInternal` stands for.
        let dev = unsafe { &*dev.cast::<pci::Device<CoreInternal<'_>>>() };
        // SAFETY: The lock keeps probe and unbind out, and the device is bound: probe has stored
        // the data, and they are not dropped before the lock is released. Their type is `T::Data`.
        let data = unsafe { dev.as_ref().drvdata_borrow::<T::Data<'_>>() };
        f(dev, data)
    }

    /// # Safety
    ///
    /// `pci_driver.shutdown`: from `device_shutdown()`, which holds the device lock.
    unsafe extern "C" fn shutdown(dev: *mut bindings::pci_dev) {
        // SAFETY: The device is bound to us, as the callback was found, and locked.
        unsafe { Self::with(dev, |dev, data| T::shutdown(dev, data)) }
    }

    /// # Safety
    ///
    /// `dev_pm_ops.suspend`, `freeze`, `poweroff`: through the PCI bus from `device_suspend()`,
    /// which holds the device lock.
    unsafe extern "C" fn suspend(dev: *mut bindings::device) -> i32 {
        // SAFETY: A device that is bound to a PCI driver is part of a `struct pci_dev`.
        let dev = unsafe { container_of!(dev, bindings::pci_dev, dev) };
        // SAFETY: The device is bound to us, as the callback was found, and locked.
        unsafe {
            Self::with(dev, |dev, data| {
                from_result(|| T::suspend(dev, data).map(|()| 0))
            })
        }
    }

    /// # Safety
    ///
    /// `dev_pm_ops.resume`, `thaw`, `restore`: through the PCI bus from `device_resume()`, which
    /// holds the device lock.
    unsafe extern "C" fn resume(dev: *mut bindings::device) -> i32 {
        // SAFETY: A device that is bound to a PCI driver is part of a `struct pci_dev`.
        let dev = unsafe { container_of!(dev, bindings::pci_dev, dev) };
        // SAFETY: The device is bound to us, as the callback was found, and locked.
        unsafe {
            Self::with(dev, |dev, data| {
                from_result(|| T::resume(dev, data).map(|()| 0))
            })
        }
    }

    /// # Safety
    ///
    /// `pci_error_handlers.reset_prepare`: from `pci_dev_save_and_disable()`, which asserts the
    /// device lock.
    unsafe extern "C" fn reset_prepare(dev: *mut bindings::pci_dev) {
        // SAFETY: The device is bound to us, as the callback was found, and locked.
        unsafe { Self::with(dev, |dev, data| T::reset_prepare(dev, data)) }
    }

    /// # Safety
    ///
    /// `pci_error_handlers.reset_done`: from `pci_dev_restore()`, with the device lock still held
    /// that `reset_prepare` had.
    unsafe extern "C" fn reset_done(dev: *mut bindings::pci_dev) {
        // SAFETY: The device is bound to us, as the callback was found, and locked.
        unsafe { Self::with(dev, |dev, data| T::reset_done(dev, data)) }
    }

    /// # Safety
    ///
    /// `pci_error_handlers.error_detected`: from `report_error_detected()` and the like, which hold
    /// the device lock wherever this is registered.
    unsafe extern "C" fn error_detected(
        dev: *mut bindings::pci_dev,
        state: bindings::pci_channel_state_t,
    ) -> bindings::pci_ers_result_t {
        let channel = match state {
            bindings::pci_channel_io_normal => Channel::Normal,
            bindings::pci_channel_io_frozen => Channel::Frozen,
            _ => Channel::Dead,
        };
        // SAFETY: The device is bound to us, as the callback was found, and locked.
        unsafe { Self::with(dev, |dev, data| T::error_detected(dev, data, channel)) }.to_raw()
    }

    /// # Safety
    ///
    /// `pci_error_handlers.slot_reset`: from `report_slot_reset()` and the like, which hold the
    /// device lock wherever this is registered.
    unsafe extern "C" fn slot_reset(dev: *mut bindings::pci_dev) -> bindings::pci_ers_result_t {
        // SAFETY: The device is valid, and locked against others who save and restore. The PCI core
        // saved its state when it was found, if nobody did later.
        unsafe { bindings::pci_restore_state(dev) };
        // SAFETY: The device is bound to us, as the callback was found, and locked.
        match unsafe { Self::with(dev, |dev, data| T::slot_reset(dev, data)) } {
            Ok(()) => bindings::pci_ers_result_PCI_ERS_RESULT_RECOVERED,
            Err(_) => bindings::pci_ers_result_PCI_ERS_RESULT_DISCONNECT,
        }
    }

    /// # Safety
    ///
    /// `pci_error_handlers.resume`: from `report_resume()` and the like, which hold the device lock
    /// wherever this is registered.
    unsafe extern "C" fn error_over(dev: *mut bindings::pci_dev) {
        // SAFETY: The device is bound to us, as the callback was found, and locked.
        unsafe { Self::with(dev, |dev, data| T::error_over(dev, data)) }
    }
}
