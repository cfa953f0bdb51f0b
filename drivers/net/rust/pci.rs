// SPDX-License-Identifier: GPL-2.0

//! The life of a PCI device between probe and unbind: shutdown, system sleep, resets, bus errors.
//!
//! Wraps `struct pci_driver` with `dev_pm_ops` and `pci_error_handlers`.
//!
//! The kernel's `pci::Driver` has probe and unbind only. [`Adapter`] registers a driver with the
//! other callbacks filled in and leaves the rest to the kernel's own adapter, which creates the
//! driver's data in probe and drops them after unbind. All callbacks run in process context and may
//! sleep.
//!
//! # How the callbacks get the driver's data
//!
//! The data exist from the end of a successful probe until they are dropped after unbind. The
//! driver core probes and unbinds with the device lock held, and the C code that calls us finds the
//! callbacks through the driver that the device is bound to. So a callback that runs with the
//! device lock held runs wholly before or wholly after probe and unbind, and if it was found the
//! data exist. Nobody else uses them meanwhile. The lock is held around each of them:
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
//!
//! ```
//! struct Example;
//!
//! kernel::pci_device_table!(
//!     PCI_TABLE,
//!     (),
//!     [(pci::DeviceId::from_id(pci::Vendor::INTEL, 0x10c9), ())]
//! );
//!
//! impl Driver for Example {
//!     const ID_TABLE: pci::IdTable<()> = &PCI_TABLE;
//!     type Nic<'bound> = Nic;
//!
//!     fn probe<'bound>(dev: &'bound pci::Device<Core<'_>>) -> Result<Probed<'bound, Nic>> {
//!         let (queues, irqs) = alloc_vectors(dev, 8, 1)?;
//!         Ok(Probed {
//!             irqs,
//!             config: Config {
//!                 queues,
//!                 max_mtu: 1500,
//!                 mac: Nic::station_address(),
//!                 ..Config::default()
//!             },
//!             setup: Sizes::new(1, queues, 9, 8, 12),
//!             ops: Nic,
//!         })
//!     }
//! }
//! # driver!(Nic, Parts::new());
//! # use device::{Config, MacAddr};
//! # use kernel::{device::Core, pci};
//! # use plain::sizes::Sizes;
//! # struct Nic;
//! # impl Nic {
//! #     fn station_address() -> MacAddr { [2, 0, 0, 0, 0, 1] }
//! # }
//! ```

use super::{
    bindings,
    callback::{
        callbacks,
        Arg,
        Passed, //
    },
    device::{
        Config,
        Operations,
        Registration, //
    }, //
};
use core::{
    marker::PhantomData,
    pin::Pin, //
};
use kernel::{
    container_of,
    device::{
        Bound,
        Core,
        CoreInternal, //
    },
    driver,
    io::Io,
    pci,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// A driver of network devices on the PCI bus.
///
/// The driver implements probe; the layer handles the device from there to unbind.
pub(crate) trait Driver: Sized + 'static {
    /// The PCI functions that it supports.
    const ID_TABLE: pci::IdTable<()>;
    /// The driver's state for one function.
    type Nic<'bound>: Operations + 'bound;

    /// Sets up a function whose memory BARs are enabled. The device lock is held; may sleep.
    ///
    /// # Errors
    ///
    /// Any; the function is disabled then.
    fn probe<'bound>(
        dev: &'bound pci::Device<Core<'_>>,
    ) -> Result<Probed<'bound, Self::Nic<'bound>>>;
}

/// Everything needed to register a network device.
pub(crate) struct Probed<'bound, T: Operations> {
    /// Interrupt vectors: one for each queue pair, then one for events.
    pub(crate) irqs: Arc<pci::IrqVectorRegistration<'bound>>,
    /// Properties of the device.
    pub(crate) config: Config,
    /// The initial setup of the queues.
    pub(crate) setup: T::Setup,
    /// The driver's part.
    pub(crate) ops: T,
}

/// Data of a bound function: the PCI core holds them, and nobody can take them out of there.
pub(crate) struct Data<'bound, T: Driver> {
    netdev: Registration<'bound, T::Nic<'bound>>,
    master: BusMaster<'bound>,
}

impl<T: Driver> Data<'_, T> {
    /// Quiesces the device, so that it accesses no memory. May sleep.
    fn rest(&self) {
        self.netdev.quiesce();
        // If it does not respond, clearing bus mastering is all that remains.
        let _ = self.netdev.reset();
        self.master.deny();
    }

    /// Brings the device back up, whatever state it is in. May sleep.
    ///
    /// # Errors
    ///
    /// Errors of the driver. The watch tries again, each second, if the interface is up; else
    /// bringing it up does.
    fn work(&self, dev: &pci::Device<Core<'_>>) -> Result {
        self.netdev.quiesce();
        let back = self.netdev.restore();
        back.inspect_err(|e| dev_err!(dev, "not back at work yet ({})\n", e.to_errno()))
    }

    /// The device does not respond, temporarily or permanently.
    fn lost(&self) {
        self.netdev.gone();
        self.netdev.quiesce();
    }
}

/// A driver as the PCI core sees it.
pub(crate) struct Probe<T>(PhantomData<T>);

impl<T: Driver> pci::Driver for Probe<T> {
    type IdInfo = ();
    type Data<'bound> = Data<'bound, T>;

    const ID_TABLE: pci::IdTable<()> = T::ID_TABLE;

    fn probe<'bound>(
        dev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound ()>,
    ) -> impl PinInit<Data<'bound, T>, Error> + 'bound {
        dev.enable_device_mem()?;
        let made = T::probe(dev).and_then(|parts| {
            let bound: &'bound pci::Device<Bound> = dev;
            // SAFETY: The registration goes into the driver's data, which the PCI core drops when
            // the device is unbound, that is before `'bound` ends; nobody can take it out of there.
            unsafe { Registration::new(bound, parts) }
        });
        let netdev = made.inspect_err(|_| disable(dev))?;
        Ok(Data {
            netdev,
            master: BusMaster::new(dev),
        })
    }

    fn unbind<'bound>(dev: &'bound pci::Device<Core<'_>>, this: Pin<&Data<'bound, T>>) {
        this.rest();
        disable(dev);
    }
}

/// Offset of the command register in configuration space.
const COMMAND: usize = bindings::PCI_COMMAND as usize;
/// Its bit that lets a function access memory and send interrupts.
const MASTER: u16 = bindings::PCI_COMMAND_MASTER as u16;

/// Bus mastering of a bound function, which permits DMA and MSI-X.
///
/// `pci_set_master()` also writes flags of `struct pci_dev` that share a word with others, which
/// takes the device lock. A driver that resets its device after a fault does not have it. So this
/// keeps to the register, each access to which the PCI core makes one at a time. The core's own
/// flag stays clear, and with it the core never allows what the driver has not.
///
/// The register is read, changed and written. Nobody else writes it while a driver is bound, but
/// for the PCI core around a sleep or a reset, before and after which the layer has the device at
/// rest.
///
/// A function that does not stop when it is told to knows addresses of memory that is free again
/// later. So there is no way to permit access without a reset.
#[derive(Clone, Copy)]
pub(crate) struct BusMaster<'bound>(&'bound pci::Device<Bound>);

impl<'bound> BusMaster<'bound> {
    /// That of a function.
    pub(crate) fn new(dev: &'bound pci::Device<Bound>) -> Self {
        Self(dev)
    }

    /// The function.
    pub(crate) fn dev(&self) -> &'bound pci::Device<Bound> {
        self.0
    }

    /// Permits the function to access memory, when `reset` has made it forget all addresses. One
    /// call at a time, as under the instance lock. May sleep if `reset` may.
    ///
    /// # Errors
    ///
    /// Those of `reset`. Access is as it was before then.
    pub(crate) fn allow_after(&self, reset: impl FnOnce() -> Result) -> Result {
        reset()?;
        self.set(self.command() | MASTER);
        Ok(())
    }

    /// Stops a function that may go on accessing memory, which can be freed when this returns:
    /// `reset` resets it or, if that fails, it is denied access. One call at a time, as under the
    /// instance lock. May sleep if `reset` may.
    pub(crate) fn silence(&self, reset: impl FnOnce() -> Result) {
        if !self.is_allowed() {
            return;
        }
        let done = reset();
        if done.is_err() {
            self.deny();
        }
        if done == Err(ETIMEDOUT) {
            dev_warn!(
                self.0,
                "the device cannot be reset; bus mastering is off until it can\n"
            );
        }
    }

    /// Keeps the function from accessing memory: when this returns the last access is over. One
    /// call at a time.
    fn deny(&self) {
        self.set(self.command() & !MASTER);
        // The completion of this read does not pass earlier writes of the function.
        self.command();
    }

    /// Whether the function may access memory. Returns true if it does not respond. Any context.
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
///
/// [`Core`] stands for a bus callback: the device lock is held, and nobody changes the same fields
/// of `struct pci_dev`. The core counts, and complains if this is called too often.
pub(crate) fn disable(dev: &pci::Device<Core<'_>>) {
    bindings::pci_disable(dev);
}

/// Saves configuration space, to be restored after a slot reset. In a bus callback.
pub(crate) fn save_state(dev: &pci::Device<Core<'_>>) {
    bindings::pci_save(dev);
}

/// Registers a driver with all its callbacks.
pub(crate) struct Adapter<T: Driver>(T);

// SAFETY: As for the kernel's adapter, to which registration is passed on:
// - `pci_driver` is a C type declared as `repr(C)`;
// - the kernel's adapter stores data of type `Data` and no other;
// - the offset is that of the embedded `struct device_driver`.
unsafe impl<T: Driver> driver::DriverLayout for Adapter<T> {
    type DriverType = bindings::pci_driver;
    type DriverData<'bound> = Data<'bound, T>;
    const DEVICE_DRIVER_OFFSET: usize = core::mem::offset_of!(bindings::pci_driver, driver);
}

// SAFETY: `register` and `unregister` are those of the kernel's adapter; what is filled in before
// does not change when `unregister` may be called.
unsafe impl<T: Driver> driver::RegistrationOps for Adapter<T> {
    unsafe fn register(
        drv: &Opaque<bindings::pci_driver>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        let locked = bindings::pci_errors_come_locked();
        let handlers = if locked {
            &Self::ERRORS_AND_RESETS
        } else {
            &Self::RESETS
        };
        // SAFETY: The structure is valid and not registered yet, so nobody reads it. The tables
        // are constants that live for ever, and the callbacks are those of a driver whose data are
        // `Data`.
        unsafe {
            (*drv.get()).shutdown = Some(Self::shutdown);
            (*drv.get()).err_handler = handlers;
            (*drv.get()).driver.pm = &Self::SLEEP;
        }
        // SAFETY: The caller keeps `drv` pinned and valid until `unregister`.
        unsafe { <pci::Adapter<Probe<T>> as driver::RegistrationOps>::register(drv, name, module) }
    }

    unsafe fn unregister(drv: &Opaque<bindings::pci_driver>) {
        // SAFETY: The caller has registered it, which was passed on to the same adapter.
        unsafe { <pci::Adapter<Probe<T>> as driver::RegistrationOps>::unregister(drv) }
    }
}

impl<T: Driver> Adapter<T> {
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
}

/// A function that is bound to a driver `T`, and locked: the parameter of callbacks that are made
/// with the device lock held.
struct Function<T>(*mut bindings::pci_dev, PhantomData<fn() -> T>);

// SAFETY: A table made for `T` is that of functions bound to it. Callbacks with this parameter are
// made with the device lock held, as the documentation above says of each.
unsafe impl<T: Driver> Arg for Function<T> {
    type Raw = *mut bindings::pci_dev;

    fn from_passed(dev: Passed<Self::Raw>) -> Self {
        Self(dev.raw(), PhantomData)
    }
}

impl<T: Driver> Function<T> {
    /// Calls `f` with the device and its data.
    fn with<R>(
        &self,
        f: impl for<'b> FnOnce(&'b pci::Device<Core<'_>>, &'b Data<'b, T>) -> R,
    ) -> R {
        // CAST: `pci::Device` is a transparent wrapper of `struct pci_dev`.
        // SAFETY: The device is valid for the callback, which is what `CoreInternal` stands for.
        let dev = unsafe { &*self.0.cast::<pci::Device<CoreInternal<'_>>>() };
        // SAFETY: The lock keeps probe and unbind out, and the device is bound: probe has stored
        // the data, and they are not dropped before the lock is released. Their type is `Data`.
        let data = unsafe { dev.as_ref().drvdata_borrow::<Data<'_, T>>() };
        f(dev, data.get_ref())
    }
}

/// As [`Function`], in callbacks that get the device in it.
struct Inside<T>(Function<T>);

// SAFETY: A device that is bound to a PCI driver is part of a `struct pci_dev`; else as above.
unsafe impl<T: Driver> Arg for Inside<T> {
    type Raw = *mut bindings::device;

    fn from_passed(dev: Passed<Self::Raw>) -> Self {
        // SAFETY: Part of a `struct pci_dev`, as a device that is bound to a PCI driver is.
        let dev = unsafe { container_of!(dev.raw(), bindings::pci_dev, dev) };
        Self(Function(dev, PhantomData))
    }
}

impl<T: Driver> Adapter<T> {
    callbacks! {
        /// `pci_driver.shutdown`: from `device_shutdown()`.
        fn shutdown(function: Function<T>) {
            function.with(|_, data| data.rest());
        }

        /// `dev_pm_ops.suspend`, `freeze`, `poweroff`: through the PCI bus from `device_suspend()`.
        fn suspend(inside: Inside<T>) -> i32 {
            inside.0.with(|_, data| data.rest());
            0
        }

        /// `dev_pm_ops.resume`, `thaw`, `restore`: through the PCI bus from `device_resume()`.
        fn resume(inside: Inside<T>) -> Result {
            inside.0.with(|dev, data| data.work(dev))
        }

        /// `pci_error_handlers.reset_prepare`: from `pci_dev_save_and_disable()`, which asserts the
        /// device lock.
        fn reset_prepare(function: Function<T>) {
            function.with(|_, data| data.rest());
        }

        /// `pci_error_handlers.reset_done`: from `pci_dev_restore()`, with the device lock still
        /// held that `reset_prepare` had.
        fn reset_done(function: Function<T>) {
            // The error is in the log already, and this callback cannot return one.
            let _ = function.with(|dev, data| data.work(dev));
        }

        /// `pci_error_handlers.error_detected`: from `report_error_detected()` and the like, which
        /// hold the device lock wherever this is registered.
        fn error_detected(
            function: Function<T>,
            state: bindings::pci_channel_state_t,
        ) -> bindings::pci_ers_result_t {
            function.with(|_, data| match state {
                // A reset recovers from any loss; and if another function on this bus
                // wants a reset, this one is ready for it.
                bindings::pci_channel_io_normal => {
                    data.rest();
                    bindings::pci_ers_result_PCI_ERS_RESULT_CAN_RECOVER
                }
                // Writes are lost meanwhile, and reads show that the device has gone.
                bindings::pci_channel_io_frozen => {
                    data.lost();
                    bindings::pci_ers_result_PCI_ERS_RESULT_NEED_RESET
                }
                _ => {
                    data.lost();
                    bindings::pci_ers_result_PCI_ERS_RESULT_DISCONNECT
                }
            })
        }

        /// `pci_error_handlers.slot_reset`: from `report_slot_reset()` and the like, which hold the
        /// device lock wherever this is registered.
        fn slot_reset(function: Function<T>) -> bindings::pci_ers_result_t {
            let back = function.with(|dev, data| {
                // The PCI core saved its state when it was found, if nobody did later.
                bindings::pci_restore(dev);
                // The PCI core gives a device up whose reset failed. The watch does not.
                data.netdev.reset().or_else(|_| data.work(dev))
            });
            match back {
                Ok(()) => bindings::pci_ers_result_PCI_ERS_RESULT_RECOVERED,
                Err(_) => bindings::pci_ers_result_PCI_ERS_RESULT_DISCONNECT,
            }
        }

        /// `pci_error_handlers.resume`: from `report_resume()` and the like, which hold the device
        /// lock wherever this is registered.
        fn error_over(function: Function<T>) {
            // The error is in the log already, and this callback cannot return one.
            let _ = function.with(|dev, data| data.work(dev));
        }
    }
}

/// Allocates MSI-X vectors for `most` queue pairs and one for events, or for `least` if there are
/// not enough. Returns the number of queue pairs. May sleep.
///
/// # Errors
///
/// Errors of the kernel's allocation.
pub(crate) fn alloc_vectors(
    dev: &pci::Device<Bound>,
    most: u32,
    least: u32,
) -> Result<(u32, Arc<pci::IrqVectorRegistration<'_>>)> {
    let msix = pci::IrqTypes::default().with(pci::IrqType::MsiX);
    let vectors = |queues| dev.alloc_irq_vectors(queues + 1, queues + 1, msix);
    let (queues, irqs) = match vectors(most) {
        Ok(irqs) => (most, irqs),
        Err(_) => (least, vectors(least)?),
    };
    Ok((queues, Arc::new(irqs, GFP_KERNEL)?))
}
