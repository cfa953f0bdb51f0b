// SPDX-License-Identifier: GPL-2.0

//! Registering a device.

use super::{
    handle::{
        Handle,
        Unlocked, //
    },
    parts::Parts,
    private::Private,
    watch,
    Operations,
    Setup, //
};
use crate::net::{
    bindings,
    callback::{
        callbacks,
        Arg,
        Passed, //
    },
    debugfs::Folder,
    devlink::Devlink,
    pci::Probed,
    service,
    sysfs, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    error::{
        from_err_ptr,
        to_result, //
    },
    irq::IrqRequest,
    pci,
    prelude::*, //
};

/// A device that is not registered yet, or not any more.
///
/// # Invariants
///
/// The device is valid, and this object the only way to it.
struct Unregistered(NonNull<bindings::net_device>);

impl Unregistered {
    /// Makes a device with `used` queue pairs in use, whose private area is a pointer to `private`.
    /// May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], or [`EINVAL`] for impossible numbers of queues.
    fn new<T: Operations>(
        parent: &device::Device<Bound>,
        config: &super::Config,
        used: u32,
        private: &Private<'_, T>,
    ) -> Result<Self> {
        // CAST: The type that `Handle` takes it for again.
        let private = core::ptr::from_ref(private).cast_mut().cast();
        let dev = bindings::netdev_alloc(parent, config, used, T::PARTS.arfs, private);
        // INVARIANT: Made just now.
        Ok(Self(NonNull::new(from_err_ptr(dev)?).ok_or(ENOMEM)?))
    }

    /// All of it, to be filled in.
    fn as_mut(&mut self) -> &mut bindings::net_device {
        // SAFETY: Valid, and nobody else has it, by the type invariant.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for Unregistered {
    fn drop(&mut self) {
        // SAFETY: Nobody else has it, by the type invariant.
        unsafe { bindings::free_netdev(self.0.as_ptr()) };
    }
}

/// An event interrupt that is requested.
///
/// # Invariants
///
/// The interrupt is requested with the device as argument.
struct EventIrq {
    irq: u32,
    dev: NonNull<bindings::net_device>,
}

impl EventIrq {
    /// Requests an interrupt that calls [`Operations::event`]. May sleep.
    ///
    /// # Errors
    ///
    /// Errors of requesting the interrupt.
    ///
    /// # Safety
    ///
    /// The device stays alive, and whoever drops the object holds no lock of it.
    unsafe fn request<T: Operations>(irq: u32, dev: Handle<'_, T>) -> Result<Self> {
        let raw = NonNull::from(dev.device()).cast::<bindings::net_device>();
        // SAFETY: The device lives until the interrupt is freed; its name is part of it.
        to_result(unsafe {
            bindings::request_threaded_irq(
                irq,
                None,
                Some(Event::<T>::thread),
                bindings::IRQF_ONESHOT as usize,
                (&raw const (*raw.as_ptr()).name).cast(),
                raw.as_ptr().cast(),
            )
        })?;
        // INVARIANT: Requested just now.
        Ok(Self { irq, dev: raw })
    }
}

impl Drop for EventIrq {
    fn drop(&mut self) {
        // SAFETY: Requested with this argument, by the type invariant.
        unsafe { bindings::free_irq(self.irq, self.dev.as_ptr().cast()) };
    }
}

/// The device of an event interrupt, in the interrupt's thread.
struct Fired<'a, T: Operations>(Unlocked<'a, T>);

// SAFETY: The interrupt is requested with the device as argument, and freed before that goes, which
// nobody does with a lock of the device held.
unsafe impl<T: Operations> Arg for Fired<'_, T> {
    type Raw = *mut c_void;

    fn from_passed(dev: Passed<Self::Raw>) -> Self {
        // SAFETY: A device made for this `T`, no lock of which is held in the interrupt's thread.
        Self(unsafe { Unlocked::new(Handle::new(dev.raw().cast())) })
    }
}

/// The callback for a driver.
struct Event<T>(PhantomData<T>);

impl<T: Operations> Event<T> {
    callbacks! {
        /// The thread of the event interrupt.
        fn thread(_irq: i32, fired: Fired<'_, T>) -> bindings::irqreturn_t {
            fired.0.handle().ops().event();
            watch::event(&mut fired.0);
            bindings::irqreturn::IRQ_HANDLED
        }
    }
}

/// A registered network device.
///
/// # Invariants
///
/// `dev` is registered, and its private area points to `private`.
pub(crate) struct Registration<'bound, T: Operations + 'bound> {
    dev: Handle<'bound, T>,
    watch: Option<service::Attached>,
    service: Option<service::Attached>,
    debugfs: Option<Folder>,
    event: Option<EventIrq>,
    /// With the health reporters in it, before the devlink instance goes.
    private: KBox<Private<'bound, T>>,
    devlink: Option<Devlink>,
    _sysfs: Option<sysfs::Group>,
}

// SAFETY: The device may be unregistered from any thread that may sleep.
unsafe impl<T: Operations> Send for Registration<'_, T> {}
// SAFETY: Only `&Device` and `&T` can be reached through a shared reference, and both are `Sync`.
unsafe impl<T: Operations> Sync for Registration<'_, T> {}

impl<'bound, T: Operations + 'bound> Registration<'bound, T> {
    /// Makes and registers a device with these interrupt vectors. May sleep; takes rtnl.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], or errors of registering or of requesting the event interrupt.
    ///
    /// # Safety
    ///
    /// The object must not be leaked: it must be dropped before `'bound` ends.
    pub(in crate::net) unsafe fn new(
        parent: &'bound pci::Device<Bound>,
        probed: Probed<'bound, T>,
    ) -> Result<Self> {
        let Probed {
            irqs,
            config,
            setup,
            ops,
        } = probed;
        let parent: &device::Device<Bound> = parent.as_ref();
        let devlink = T::PARTS.devlink.map(|make| make(parent)).transpose()?;
        let sysfs = T::PARTS.sysfs.map(|make| make()).transpose()?;
        let event_irq = ops.event_vector().map(|vector| {
            let request: IrqRequest<'_> = irqs.index(vector)?.into();
            Ok::<_, Error>(request.irq())
        });
        let event_irq = event_irq.transpose()?;
        let used = setup.queues();
        let private = KBox::new(Private::new(ops, irqs, setup)?, GFP_KERNEL)?;
        let mut dev = Unregistered::new(parent, &config, used, &private)?;
        let fields = dev.as_mut();
        Parts::<T>::enter(fields);
        if let Some(sysfs) = &sysfs {
            fields.sysfs_groups[0] = sysfs.as_raw();
        }
        if let Some(devlink) = &devlink {
            fields.devlink_port = devlink.port();
        }
        // SAFETY: Complete; tables are constants, the rest becomes part of the object below.
        to_result(unsafe { bindings::register_netdev(dev.0.as_ptr()) })?;
        let dev = ManuallyDrop::new(dev).0;
        // SAFETY: The private area points to a `Private<T>`. `drop` unregisters the device before
        // `'bound` ends, by the safety requirement.
        let dev = unsafe { Handle::new(dev.as_ptr()) };
        // INVARIANT: Registered just now.
        let mut this = Self {
            dev,
            watch: None,
            service: None,
            debugfs: None,
            event: None,
            private,
            devlink,
            _sysfs: sysfs,
        };
        // SAFETY: The device is alive until `drop` has taken all of these back, in the reverse
        // order and without a lock.
        unsafe {
            if let Some(irq) = event_irq {
                this.event = Some(EventIrq::request(irq, dev)?);
            }
            watch::event(&mut this.unlocked());
            if let Some(make) = T::PARTS.debugfs {
                this.debugfs = Some(make(dev)?);
            }
            if let Some(devlink) = &mut this.devlink {
                devlink.publish(dev.device())?;
            }
            if let Some(start) = T::PARTS.service {
                this.service = Some(start(dev)?);
            }
            if let (Some(make), Some(devlink)) = (T::PARTS.reporters, &this.devlink) {
                this.private.reporters.populate(make(devlink, dev)?);
            }
            let watch = this
                .private
                .watch
                .attach(dev.device(), watch::Tick::<T>::serve)?;
            this.watch = Some(watch);
        }
        Ok(this)
    }

    /// The device. The caller holds none of its locks: no callback of the device has the
    /// registration.
    fn unlocked(&self) -> Unlocked<'_, T> {
        // SAFETY: None of its locks is held, as said above.
        unsafe { Unlocked::new(self.dev) }
    }

    /// Quiesces the device, as for a suspend or a reset by other code: when this returns it
    /// accesses no memory and raises no interrupt, and the core does not use it. Does nothing if it
    /// is quiesced already. May sleep; takes the instance lock.
    pub(crate) fn quiesce(&self) {
        watch::quiesce(&mut self.unlocked());
    }

    /// Resets the device, after [`Self::quiesce`]. May sleep.
    ///
    /// # Errors
    ///
    /// Errors of the driver.
    pub(crate) fn reset(&self) -> Result {
        self.unlocked().handle().ops().reset()
    }

    /// Resumes after [`Self::quiesce`]: the device is reset, its configuration restored, and queues
    /// are started if the interface is up. May sleep; takes the instance lock and rtnl.
    ///
    /// # Errors
    ///
    /// Errors of the driver. An interface that is up stays without queues then, and the watch
    /// retries.
    pub(crate) fn restore(&self) -> Result {
        watch::resume(&mut self.unlocked())
    }

    /// Detaches a device that does not respond any more: its interface loses the carrier, and
    /// requests fail with [`ENODEV`]. May sleep; takes the instance lock.
    pub(crate) fn gone(&self) {
        watch::depart(&mut self.unlocked());
    }
}

impl<T: Operations> Drop for Registration<'_, T> {
    fn drop(&mut self) {
        self.watch = None;
        self.service = None;
        if let Some(devlink) = &mut self.devlink {
            devlink.withdraw();
        }
        self.debugfs = None;
        self.event = None;
        let dev = NonNull::from(self.dev.device()).cast();
        // SAFETY: Registered, by the type invariant. This brings the interface down, which drops
        // the queues.
        unsafe { bindings::unregister_netdev(dev.as_ptr()) };
        // INVARIANT: Nobody knows of it any more, and `self.dev` is not used after this.
        drop(Unregistered(dev));
    }
}
