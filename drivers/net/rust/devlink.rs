// SPDX-License-Identifier: GPL-2.0

//! The devlink instance of a network device: what it runs, its firmware, its parameters.
//!
//! Wraps `struct devlink`, its one port, and `struct devlink_ops`.
//!
//! An instance is made before the network device, which becomes its one port, and goes after it.
//! Users reach it from [`Devlink::publish`] to [`Devlink::withdraw`], and only then are the
//! driver's operations called: in process context, with the devlink instance lock held and the
//! device's own instance lock not held. They may sleep.
//!
//! ```ignore
//! #[vtable]
//! impl devlink::Operations for Nic {
//!     fn info(&self, info: &mut Info<'_>) -> Result {
//!         info.running(c"fw", fmt!("{}", self.version()))
//!     }
//! }
//! ```

pub(crate) mod health;

use super::{
    bindings,
    callback::{
        callbacks,
        Arg,
        Handle,
        Passed, //
    },
    device::{
        self,
        watch,
        Unlocked, //
    },
    extack::Extack, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::{
        to_result,
        VTABLE_DEFAULT_ERROR, //
    },
    fmt,
    fmt::Write,
    prelude::*, //
};

/// The first number that is not one of the parameters that all drivers share.
const FIRST_ID: u32 = bindings::devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_MAX + 1;

/// What a reload does: it puts firmware to work.
const RELOAD_ACTIONS: usize =
    1 << bindings::devlink_reload_action_DEVLINK_RELOAD_ACTION_FW_ACTIVATE;

/// A text of at most `N - 1` bytes, with a zero at its end.
#[derive(Clone, Copy)]
pub(crate) struct Chars<const N: usize>([u8; N]);

/// A short text, of at most 31 bytes: the value of a parameter, a version.
pub(crate) type Text = Chars<32>;
/// A text of at most 159 bytes, for people.
pub(crate) type Sentence = Chars<160>;

impl<const N: usize> Default for Chars<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Chars<N> {
    /// Formats a text; what does not fit is cut.
    pub(crate) fn new(text: fmt::Arguments<'_>) -> Self {
        let mut this = Self::default();
        // It cannot fail.
        let _ = this.write_fmt(text);
        this
    }

    /// The text; nothing if it is not valid UTF-8.
    pub(crate) fn as_str(&self) -> &str {
        self.as_c_str().to_str().unwrap_or("")
    }

    pub(super) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}

impl<const N: usize> Write for Chars<N> {
    /// Appends; what does not fit is cut.
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let used = self.as_c_str().to_bytes().len();
        let room = self.0.get_mut(used..N - 1).unwrap_or(&mut []);
        for (to, from) in room.iter_mut().zip(s.bytes()) {
            *to = from;
        }
        Ok(())
    }
}

/// The value of a parameter.
#[derive(Clone, Copy)]
pub(crate) enum Value {
    /// On or off.
    Bool(bool),
    /// A number.
    Number(u32),
    /// A text.
    Text(Text),
}

/// What kind of value a parameter has.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// [`Value::Bool`].
    Bool,
    /// [`Value::Number`].
    Number,
    /// [`Value::Text`].
    Text,
}

impl Kind {
    fn to_raw(self) -> bindings::devlink_param_type {
        match self {
            Self::Bool => bindings::devlink_param_type_DEVLINK_PARAM_TYPE_BOOL,
            Self::Number => bindings::devlink_param_type_DEVLINK_PARAM_TYPE_U32,
            Self::Text => bindings::devlink_param_type_DEVLINK_PARAM_TYPE_STRING,
        }
    }
}

/// A parameter that can be read and changed at run time.
pub(crate) struct Param {
    /// Its name; none that the core knows.
    pub(crate) name: &'static CStr,
    /// What it takes.
    pub(crate) kind: Kind,
}

/// Takes what `devlink dev info` shows.
pub(crate) struct Info<'a> {
    req: *mut bindings::devlink_info_req,
    _request: PhantomData<&'a mut ()>,
}

impl Info<'_> {
    /// Shows a version that cannot change.
    ///
    /// # Errors
    ///
    /// [`EMSGSIZE`] when the answer is full.
    pub(crate) fn fixed(&mut self, name: &CStr, version: fmt::Arguments<'_>) -> Result {
        let text = Text::new(version);
        // SAFETY: The request is valid, the strings are for the call.
        to_result(unsafe {
            bindings::devlink_info_version_fixed_put(
                self.req,
                name.as_char_ptr(),
                text.as_c_str().as_char_ptr(),
            )
        })
    }

    /// Shows a version at work.
    ///
    /// # Errors
    ///
    /// [`EMSGSIZE`] when the answer is full.
    pub(crate) fn running(&mut self, name: &CStr, version: fmt::Arguments<'_>) -> Result {
        let text = Text::new(version);
        // SAFETY: The request is valid, the strings are for the call.
        to_result(unsafe {
            bindings::devlink_info_version_running_put(
                self.req,
                name.as_char_ptr(),
                text.as_c_str().as_char_ptr(),
            )
        })
    }
}

/// The part of a driver that devlink asks.
#[vtable]
pub(crate) trait Operations: device::Operations {
    /// The parameters; operations name them by their place here. Without any, `param` and
    /// `set_param` are not called.
    const PARAMS: &'static [Param] = &[];

    /// Shows what the device is and runs.
    ///
    /// # Errors
    ///
    /// What [`Info`] says.
    fn info(&self, info: &mut Info<'_>) -> Result;

    /// Puts firmware to work that is in a file.
    ///
    /// # Errors
    ///
    /// Any, with the reason said; what worked before works on.
    fn flash(&self, _file: &[u8], _ack: &mut Extack<'_>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The value of a parameter, of its kind.
    ///
    /// # Errors
    ///
    /// Any; [`EOPNOTSUPP`] hides the parameter.
    fn param(&self, _index: usize) -> Result<Value> {
        Err(EOPNOTSUPP)
    }

    /// Sets a parameter to a value of its kind.
    ///
    /// # Errors
    ///
    /// Any, with the reason said; the parameter keeps its value.
    fn set_param(
        &self,
        _dev: &mut Unlocked<'_, Self>,
        _index: usize,
        _value: Value,
        _ack: &mut Extack<'_>,
    ) -> Result {
        Err(EOPNOTSUPP)
    }
}

/// What lies behind a devlink instance; zeroes at first.
struct Private {
    /// Set while published.
    dev: *mut bindings::net_device,
    port: bindings::devlink_port,
}

/// A devlink instance with one port.
///
/// # Invariants
///
/// `devlink` is ours, with a [`Private`] behind it whose port is registered. If `published`, it is
/// registered with `params`, and its network device is of the driver that it was made for.
pub(super) struct Devlink {
    devlink: NonNull<bindings::devlink>,
    params: KVec<bindings::devlink_param>,
    published: bool,
}

impl Devlink {
    /// Makes an instance for a driver `T` that nobody sees yet. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], or what registering the port says.
    ///
    /// # Safety
    ///
    /// `parent` is bound to the driver, and outlives the object.
    pub(super) unsafe fn new<T: device::Operations + Operations>(
        parent: *mut bindings::device,
    ) -> Result<Self> {
        let mut params = KVec::with_capacity(T::PARAMS.len(), GFP_KERNEL)?;
        for (id, param) in (FIRST_ID..).zip(T::PARAMS) {
            let entry = bindings::devlink_param {
                id,
                name: param.name.as_char_ptr(),
                type_: param.kind.to_raw(),
                supported_cmodes: 1 << bindings::devlink_param_cmode_DEVLINK_PARAM_CMODE_RUNTIME,
                get: Some(Adapter::<T>::param_get),
                set: Some(Adapter::<T>::param_set),
                ..pin_init::zeroed()
            };
            params.push(entry, GFP_KERNEL)?;
        }
        // SAFETY: The table is a constant that lives for ever; the device is bound.
        let devlink = unsafe {
            bindings::devlink_alloc(Adapter::<T>::OPS, core::mem::size_of::<Private>(), parent)
        };
        let devlink = NonNull::new(devlink).ok_or(ENOMEM)?;
        let mut attrs: bindings::devlink_port_attrs = pin_init::zeroed();
        attrs.flavour = bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_PHYSICAL;
        // The one port of a device needs no number in the interface's name.
        attrs.set_no_phys_port_name(1);
        // SAFETY: The instance is ours; its private area is a zeroed `Private`, in which the port
        // lives until it is unregistered.
        let registered = unsafe {
            let port = Self::port_of(devlink);
            bindings::devlink_port_attrs_set(port, &attrs);
            to_result(bindings::devlink_port_register_with_ops(
                devlink.as_ptr(),
                port,
                0,
                core::ptr::null(),
            ))
        };
        if let Err(e) = registered {
            // SAFETY: Nobody else has the instance.
            unsafe { bindings::devlink_free(devlink.as_ptr()) };
            return Err(e);
        }
        // INVARIANT: The port was registered; not published.
        Ok(Self {
            devlink,
            params,
            published: false,
        })
    }

    /// # Safety
    ///
    /// `devlink` has a [`Private`] behind it.
    unsafe fn port_of(devlink: NonNull<bindings::devlink>) -> *mut bindings::devlink_port {
        // SAFETY: By the safety requirement.
        unsafe {
            let private = bindings::devlink_priv(devlink.as_ptr()).cast::<Private>();
            &raw mut (*private).port
        }
    }

    /// The port that the network device is, for as long as this object lives.
    pub(super) fn port(&self) -> *mut bindings::devlink_port {
        // SAFETY: By the type invariant.
        unsafe { Self::port_of(self.devlink) }
    }

    /// Lets users in. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    ///
    /// # Safety
    ///
    /// `dev` is a registered device of the driver that the object was made for, and stays so until
    /// [`Self::withdraw`].
    pub(super) unsafe fn publish(&mut self, dev: NonNull<bindings::net_device>) -> Result {
        let devlink = self.devlink.as_ptr();
        // SAFETY: By the type invariant; nobody calls in before `devl_register`. The parameters
        // stay where they are until `withdraw`.
        unsafe {
            let private = bindings::devlink_priv(devlink).cast::<Private>();
            (*private).dev = dev.as_ptr();
            bindings::devl_lock(devlink);
            let done =
                bindings::devl_params_register(devlink, self.params.as_ptr(), self.params.len());
            if done == 0 {
                bindings::devl_register(devlink);
            }
            bindings::devl_unlock(devlink);
            to_result(done)?;
        }
        // INVARIANT: Registered just now.
        self.published = true;
        Ok(())
    }

    /// The devlink instance, for as long as this object lives.
    pub(super) fn as_raw(&self) -> NonNull<bindings::devlink> {
        self.devlink
    }

    /// Keeps users out; when this returns no operation runs. May sleep.
    pub(super) fn withdraw(&mut self) {
        if !core::mem::take(&mut self.published) {
            return;
        }
        let devlink = self.devlink.as_ptr();
        // SAFETY: Published, by the type invariant.
        unsafe {
            bindings::devl_lock(devlink);
            bindings::devl_unregister(devlink);
            bindings::devl_params_unregister(devlink, self.params.as_ptr(), self.params.len());
            bindings::devl_unlock(devlink);
        }
    }
}

impl Drop for Devlink {
    fn drop(&mut self) {
        let devlink = self.devlink.as_ptr();
        // SAFETY: By the type invariant; whoever published has withdrawn before the network device
        // went, so nobody is inside. The port lives in the instance.
        unsafe {
            let private = bindings::devlink_priv(devlink).cast::<Private>();
            bindings::devlink_port_unregister(&raw mut (*private).port);
            bindings::devlink_free(devlink);
        }
    }
}

/// A published instance, in a callback; devlink's instance lock is held, the device's own is not.
struct Published<'a, T: device::Operations>(Handle<'a, T>);

// SAFETY: A table made for `T` is that of instances of its devices. They are published as long as
// the core calls, and withdrawn before the network device goes.
unsafe impl<T: device::Operations> Arg for Published<'_, T> {
    type Raw = *mut bindings::devlink;

    fn from_passed(passed: Passed<Self::Raw>) -> Self {
        let raw = passed.raw();
        // SAFETY: By the invariant of `Passed`; `dev` was set by `publish`.
        Self(unsafe { Handle::new((*bindings::devlink_priv(raw).cast::<Private>()).dev) })
    }
}

impl<'a, T: device::Operations + 'a> Published<'a, T> {
    /// The network device, whose lock may be taken.
    fn unlocked(&mut self) -> Unlocked<'_, T> {
        // SAFETY: Of locks that matter here devlink holds its own, which comes before that of the
        // network device.
        unsafe { Unlocked::new(self.0) }
    }
}

/// The callbacks for a driver.
struct Adapter<T>(PhantomData<T>);

impl<T: device::Operations + Operations> Adapter<T> {
    const OPS: &'static bindings::devlink_ops = &bindings::devlink_ops {
        info_get: Some(Self::info_get),
        flash_update: if T::HAS_FLASH {
            Some(Self::flash_update)
        } else {
            None
        },
        // Not "driver_reinit": for that the port, and so the interface, would have to go.
        reload_actions: RELOAD_ACTIONS,
        reload_down: Some(Self::reload_down),
        reload_up: Some(Self::reload_up),
        ..pin_init::zeroed()
    };

    callbacks! {
        /// `devlink_ops.info_get`.
        fn info_get(
            devlink: Published<'_, T>,
            req: *mut bindings::devlink_info_req,
            _ack: Extack<'_>,
        ) -> Result {
            let mut info = Info {
                req,
                _request: PhantomData,
            };
            devlink.0.ops().info(&mut info)
        }

        /// `devlink_ops.flash_update`.
        fn flash_update(
            devlink: Published<'_, T>,
            params: &mut bindings::devlink_flash_update_params,
            ack: Extack<'_>,
        ) -> Result {
            // SAFETY: The core has loaded a file, which it keeps for the call.
            let file = unsafe { core::slice::from_raw_parts((*params.fw).data, (*params.fw).size) };
            devlink.0.ops().flash(file, &mut ack)
        }

        /// `devlink_ops.reload_down`.
        fn reload_down(
            devlink: Published<'_, T>,
            netns_change: bool,
            _action: bindings::devlink_reload_action,
            _limit: bindings::devlink_reload_limit,
            ack: Extack<'_>,
        ) -> Result {
            if netns_change {
                ack.say(c"the interface stays in its network namespace");
                return Err(EOPNOTSUPP);
            }
            watch::quiesce(&mut devlink.unlocked());
            Ok(())
        }

        /// `devlink_ops.reload_up`: after `reload_down`.
        fn reload_up(
            devlink: Published<'_, T>,
            _action: bindings::devlink_reload_action,
            _limit: bindings::devlink_reload_limit,
            performed: &mut u32,
            _ack: Extack<'_>,
        ) -> Result {
            *performed = RELOAD_ACTIONS as u32;
            watch::resume(&mut devlink.unlocked())
        }

        /// `devlink_param.get`.
        fn param_get(
            devlink: Published<'_, T>,
            id: u32,
            ctx: &mut bindings::devlink_param_gset_ctx,
            _ack: Extack<'_>,
        ) -> Result {
            match devlink.0.ops().param((id - FIRST_ID) as usize)? {
                Value::Bool(on) => ctx.val.vbool = on,
                Value::Number(n) => ctx.val.vu32 = n,
                Value::Text(text) => ctx.val.vstr = text.0,
            }
            Ok(())
        }

        /// `devlink_param.set`.
        fn param_set(
            devlink: Published<'_, T>,
            id: u32,
            ctx: &mut bindings::devlink_param_gset_ctx,
            ack: Extack<'_>,
        ) -> Result {
            let index = (id - FIRST_ID) as usize;
            let kind = T::PARAMS.get(index).ok_or(EINVAL)?.kind;
            // SAFETY: The core passes a value whose kind is that of the parameter.
            let value = unsafe {
                match kind {
                    Kind::Bool => Value::Bool(ctx.val.vbool),
                    Kind::Number => Value::Number(ctx.val.vu32),
                    Kind::Text => Value::Text(Chars(ctx.val.vstr)),
                }
            };
            let ops = devlink.0.ops();
            ops.set_param(&mut devlink.unlocked(), index, value, &mut ack)
        }
    }
}
