// SPDX-License-Identifier: GPL-2.0

//! Registering a device.

use super::{
    handle::{
        Handle,
        Unlocked, //
    },
    parts::Parts,
    private::{
        private_of,
        Private, //
    },
    queues,
    watch,
    Device,
    Operations,
    Setup, //
};
use crate::net::{
    arfs,
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
    ptr::NonNull, //
};
use kernel::{
    device::{
        self,
        Bound, //
    },
    error::to_result,
    irq::IrqRequest,
    pci,
    prelude::*, //
};

/// A registered network device.
///
/// # Invariants
///
/// `dev` is registered. Its private area holds a pointer to a live `Private<T>`. If `event_irq` is
/// set, that interrupt is requested with the device as argument.
pub(crate) struct Registration<'bound, T: Operations + 'bound> {
    dev: NonNull<bindings::net_device>,
    event_irq: Option<u32>,
    devlink: Option<Devlink>,
    debugfs: Option<Folder>,
    service: Option<service::Attached>,
    watch: Option<service::Attached>,
    _sysfs: Option<sysfs::Group>,
    _bound: PhantomData<(&'bound (), T)>,
}

// SAFETY: The device may be unregistered from any thread that may sleep.
unsafe impl<T: Operations> Send for Registration<'_, T> {}
// SAFETY: Only `&Device` and `&T` can be reached through a shared reference, and both are `Sync`.
unsafe impl<T: Operations> Sync for Registration<'_, T> {}

impl<'bound, T: Operations + 'bound> Registration<'bound, T> {
    /// Makes and registers a device that has these interrupt vectors. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], or what registration or requesting the event interrupt says.
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
        // CAST: `device::Device` is a transparent wrapper of `struct device`.
        let parent = core::ptr::from_ref(parent).cast_mut().cast();
        let devlink = match T::PARTS.devlink {
            // SAFETY: The device is bound and outlives this object, of which the instance is part.
            Some(make) => Some(unsafe { make(parent)? }),
            None => None,
        };
        let sysfs = T::PARTS.sysfs.map(|make| make()).transpose()?;
        let event_irq = ops.event_vector().map(|vector| {
            let request: IrqRequest<'_> = irqs.index(vector)?.into();
            Ok::<_, Error>(request.irq())
        });
        let event_irq = event_irq.transpose()?;
        let used = setup.queues();
        let private = KBox::new(Private::new(ops, irqs, setup)?, GFP_KERNEL)?;
        // SAFETY: Plain numbers.
        let dev = unsafe {
            bindings::alloc_etherdev_mqs(
                core::mem::size_of::<*mut Private<'_, T>>() as i32,
                config.queues,
                config.queues,
            )
        };
        let dev = NonNull::new(dev).ok_or(ENOMEM)?;
        // SAFETY: The device is fresh; the parent, the port and the files outlive it. The private
        // area has room for the pointer.
        unsafe {
            bindings::netdev_setup(dev.as_ptr(), parent, &config);
            bindings::netdev_priv(dev.as_ptr())
                .cast::<*mut Private<'_, T>>()
                .write(KBox::into_raw(private));
            Parts::<T>::enter(Device::from_raw(dev.as_ptr()));
            if let Some(sysfs) = &sysfs {
                (*dev.as_ptr()).sysfs_groups[0] = sysfs.as_raw();
            }
            if let Some(devlink) = &devlink {
                (*dev.as_ptr()).devlink_port = devlink.port();
            }
        }
        // SAFETY: Not registered yet.
        let prepared = unsafe {
            queues::set_queues(dev.as_ptr(), used).and_then(|()| match T::PARTS.arfs {
                true => arfs::prepare(dev.as_ptr(), config.queues),
                false => Ok(()),
            })
        };
        if let Err(e) = prepared {
            // SAFETY: As above, so nobody else has it.
            unsafe { Self::free(dev) };
            return Err(e);
        }
        // SAFETY: The device is complete.
        if let Err(e) = to_result(unsafe { bindings::register_netdev(dev.as_ptr()) }) {
            // SAFETY: Not registered, so nobody else has it.
            unsafe { Self::free(dev) };
            return Err(e);
        }
        // INVARIANT: Registered, private data in place, no event interrupt yet.
        let mut this = Self {
            dev,
            event_irq: None,
            devlink,
            debugfs: None,
            service: None,
            watch: None,
            _sysfs: sysfs,
            _bound: PhantomData,
        };
        if let Some(irq) = event_irq {
            // SAFETY: The device lives until the interrupt is freed; its name is part of it.
            to_result(unsafe {
                bindings::request_threaded_irq(
                    irq,
                    None,
                    Some(Self::event),
                    bindings::IRQF_ONESHOT as usize,
                    (*dev.as_ptr()).name.as_ptr().cast(),
                    dev.as_ptr().cast(),
                )
            })?;
            // INVARIANT: Requested just now.
            this.event_irq = Some(irq);
        }
        watch::event(&mut this.unlocked());
        // SAFETY: Registered, and withdrawn from all of these before that ends: nobody calls in
        // after `drop` has taken them back, in the reverse order.
        unsafe {
            let private = Handle::<T>::new(dev.as_ptr()).private();
            if let Some(make) = T::PARTS.debugfs {
                this.debugfs = Some(make(dev)?);
            }
            if let Some(devlink) = &mut this.devlink {
                devlink.publish(dev)?;
            }
            this.service = T::PARTS.service.map(|start| start(dev.as_ptr()));
            if let (Some(make), Some(devlink)) = (T::PARTS.reporters, &this.devlink) {
                private.set_reporters(Some(make(devlink.as_raw(), dev.as_ptr())?));
            }
            this.watch = Some(private.watch().attach(dev.as_ptr(), watch::tick::<T>));
        }
        Ok(this)
    }

    /// The device. Whoever calls holds none of its locks: no callback of the device has the
    /// registration.
    fn unlocked(&self) -> Unlocked<'_, T> {
        // SAFETY: Registered by the type invariant, so alive, and made for this `T`.
        let handle = unsafe { Handle::new(self.dev.as_ptr()) };
        // SAFETY: As said above.
        unsafe { Unlocked::new(handle) }
    }

    /// Lets go of the device, as for a suspend or a reset by somebody else: when this returns it
    /// accesses no memory and raises no interrupt, and the core asks nothing of it. Does nothing
    /// the second time. May sleep; takes the instance lock.
    pub(crate) fn quiesce(&self) {
        watch::quiesce(&mut self.unlocked());
    }

    /// Resets the device, after [`Self::quiesce`]. May sleep.
    ///
    /// # Errors
    ///
    /// What the driver says.
    pub(crate) fn reset(&self) -> Result {
        self.unlocked().handle().ops().reset()
    }

    /// Takes the device back after [`Self::quiesce`]: it is reset and brought back to all that is
    /// configured, and goes on if the interface is up. May sleep; takes the instance lock, and
    /// rtnl.
    ///
    /// # Errors
    ///
    /// What the driver says. An interface that is up stays without queues then, and the watch
    /// tries again.
    pub(crate) fn restore(&self) -> Result {
        watch::resume(&mut self.unlocked())
    }

    /// The device does not answer any more: its interface loses the carrier, and whoever asks is
    /// told that there is no device. May sleep; takes the instance lock.
    pub(crate) fn gone(&self) {
        watch::depart(&mut self.unlocked());
    }

    /// # Safety
    ///
    /// `dev` has private data and is not registered (any more).
    unsafe fn free(dev: NonNull<bindings::net_device>) {
        // SAFETY: The pointer was put there by `new`, and is not used after this.
        drop(unsafe { KBox::from_raw(private_of::<T>(dev.as_ptr())) });
        // SAFETY: Nobody uses the device any more.
        unsafe { bindings::free_netdev(dev.as_ptr()) };
    }
}

/// The device of an event interrupt, in the interrupt's thread.
struct Fired<'a, T: Operations>(Unlocked<'a, T>);

// SAFETY: The interrupt is requested with the device as argument, and freed before that goes, which
// nobody does with a lock of the device held.
unsafe impl<T: Operations> Arg for Fired<'_, T> {
    type Raw = *mut c_void;

    fn from_passed(passed: Passed<Self::Raw>) -> Self {
        let raw = passed.raw();
        // SAFETY: By the invariant of `Passed`.
        Self(unsafe { Unlocked::new(Handle::new(raw.cast())) })
    }
}

impl<T: Operations> Registration<'_, T> {
    callbacks! {
        /// The thread of the event interrupt.
        fn event(_irq: i32, fired: Fired<'_, T>) -> bindings::irqreturn_t {
            fired.0.handle().ops().event();
            watch::event(&mut fired.0);
            bindings::irqreturn::IRQ_HANDLED
        }
    }
}

impl<T: Operations> Drop for Registration<'_, T> {
    fn drop(&mut self) {
        self.watch = None;
        // SAFETY: The watch has ended.
        unsafe { (*private_of::<T>(self.dev.as_ptr())).set_reporters(None) };
        self.service = None;
        if let Some(devlink) = &mut self.devlink {
            devlink.withdraw();
        }
        self.debugfs = None;
        if let Some(irq) = self.event_irq {
            // SAFETY: Requested with this argument, by the type invariant.
            unsafe { bindings::free_irq(irq, self.dev.as_ptr().cast()) };
        }
        // SAFETY: Registered, by the type invariant. This brings the interface down, which drops
        // the queues.
        unsafe { bindings::unregister_netdev(self.dev.as_ptr()) };
        // SAFETY: Not registered any more.
        unsafe { Self::free(self.dev) };
    }
}
