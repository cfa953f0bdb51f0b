// SPDX-License-Identifier: GPL-2.0

//! The devlink instance of a network device: versions, firmware, parameters.
//!
//! Wraps `struct devlink`, its one port, and `struct devlink_ops`.
//!
//! An instance is created before the network device, which becomes its one port, and freed after
//! it. Users reach it from [`Devlink::publish`] to [`Devlink::withdraw`], and only then are the
//! driver's operations called: in process context, with the devlink instance lock held and the
//! device's own instance lock not held. They may sleep.
//!
//! ```
//! struct Nic {
//!     /// Version of the running firmware.
//!     version: u32,
//! }
//!
//! #[vtable]
//! impl Operations for Nic {
//!     fn info(&self, info: &mut Info<'_>) -> Result {
//!         info.running(c"fw", fmt!("{}", self.version))
//!     }
//! }
//! # driver!(Nic, Parts::new().devlink());
//! ```

pub(crate) mod health;

use super::{
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
        watch,
        Device,
        Unlocked, //
    },
    extack::Extack, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    device::{
        self as bus,
        Bound, //
    },
    error::{
        from_err_ptr,
        to_result,
        VTABLE_DEFAULT_ERROR, //
    },
    fmt,
    fmt::Write,
    prelude::*, //
};

/// The first id after those of the generic parameters.
const FIRST_ID: u32 = bindings::devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_MAX + 1;

/// Supported reload actions: activation of firmware.
const RELOAD_ACTIONS: usize =
    1 << bindings::devlink_reload_action_DEVLINK_RELOAD_ACTION_FW_ACTIVATE;

/// A text of at most `N - 1` bytes, terminated by NUL.
#[derive(Clone, Copy)]
pub(crate) struct Chars<const N: usize>([u8; N]);

/// A short text, of at most 31 bytes: the value of a parameter, a version.
pub(crate) type Text = Chars<32>;
/// A text of at most 159 bytes, for messages.
pub(crate) type Sentence = Chars<160>;

impl<const N: usize> Default for Chars<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Chars<N> {
    /// Formats a text, truncated to the size.
    pub(crate) fn new(text: fmt::Arguments<'_>) -> Self {
        let mut this = Self::default();
        // It cannot fail.
        let _ = this.write_fmt(text);
        this
    }

    /// The text; empty if it is not valid UTF-8.
    pub(crate) fn as_str(&self) -> &str {
        self.as_c_str().to_str().unwrap_or("")
    }

    pub(super) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}

impl<const N: usize> Write for Chars<N> {
    /// Appends, truncated to the size.
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

/// Type of a parameter's value.
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
    /// Its name; not that of a generic parameter.
    pub(crate) name: &'static CStr,
    /// Type of its value.
    pub(crate) kind: Kind,
}

/// The answer to `devlink dev info`.
pub(crate) struct Info<'a>(Object<'a, bindings::devlink_info_req>);

impl Info<'_> {
    /// Adds a version that cannot change.
    ///
    /// # Errors
    ///
    /// [`EMSGSIZE`] when the answer is full.
    pub(crate) fn fixed(&mut self, name: &CStr, version: fmt::Arguments<'_>) -> Result {
        self.put(name, version, false)
    }

    /// Adds a running version.
    ///
    /// # Errors
    ///
    /// [`EMSGSIZE`] when the answer is full.
    pub(crate) fn running(&mut self, name: &CStr, version: fmt::Arguments<'_>) -> Result {
        self.put(name, version, true)
    }

    fn put(&mut self, name: &CStr, version: fmt::Arguments<'_>, running: bool) -> Result {
        let text = Text::new(version);
        let (name, version) = (name.into(), text.as_c_str().into());
        to_result(bindings::devlink_version_put(
            &self.0, name, version, running,
        ))
    }
}

/// The part of a driver that serves devlink.
#[vtable]
pub(crate) trait Operations: device::Operations {
    /// The parameters; operations get the index. Without any, `param` and `set_param` are not
    /// called.
    const PARAMS: &'static [Param] = &[];

    /// Adds the versions of the device. May sleep.
    ///
    /// # Errors
    ///
    /// Errors of [`Info`].
    fn info(&self, info: &mut Info<'_>) -> Result;

    /// Loads firmware from a file and starts it. May sleep.
    ///
    /// # Errors
    ///
    /// Any, with a message in `_ack`; the old firmware stays at work.
    fn flash(&self, _file: &[u8], _ack: &mut Extack<'_>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The value of a parameter, of its kind. May sleep.
    ///
    /// # Errors
    ///
    /// Any; [`EOPNOTSUPP`] hides the parameter.
    fn param(&self, _index: usize) -> Result<Value> {
        Err(EOPNOTSUPP)
    }

    /// Sets a parameter to a value of its kind. May sleep.
    ///
    /// # Errors
    ///
    /// Any, with a message in `_ack`; the parameter keeps its value.
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

/// A devlink instance with one port.
///
/// # Invariants
///
/// `raw` is ours, made by `devlink_alloc` of the helpers. If `published`, it is registered with
/// `params`, and its network device is of the driver that it was made for.
pub(super) struct Devlink {
    raw: NonNull<bindings::devlink>,
    params: KVec<bindings::devlink_param>,
    published: bool,
}

impl Devlink {
    /// Makes an instance for a driver `T` that nobody sees yet. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], or errors of registering the port.
    pub(super) fn new<T: device::Operations + Operations>(
        parent: &bus::Device<Bound>,
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
        let raw = from_err_ptr(bindings::devlink_alloc(Adapter::<T>::OPS, parent))?;
        // INVARIANT: Made just now; not published.
        Ok(Self {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
            params,
            published: false,
        })
    }

    /// The port that the network device is, for as long as this object lives.
    pub(super) fn port(&self) -> *mut bindings::devlink_port {
        // SAFETY: Made by `devlink_alloc`, by the type invariant.
        unsafe { bindings::devlink_port(self.raw.as_ptr()) }
    }

    /// The devlink instance, for as long as this object lives.
    fn as_raw(&self) -> *mut bindings::devlink {
        self.raw.as_ptr()
    }

    /// Registers the instance with users. May sleep; takes the devlink instance lock.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    ///
    /// # Safety
    ///
    /// `dev` is a registered device of the driver that the object was made for, and stays so until
    /// [`Self::withdraw`].
    pub(super) unsafe fn publish(&mut self, dev: &Device) -> Result {
        let (params, count) = (self.params.as_ptr(), self.params.len());
        // SAFETY: By the type invariant; the parameters stay where they are until `withdraw`.
        to_result(unsafe {
            bindings::devlink_publish(self.as_raw(), dev.as_raw(), params, count)
        })?;
        // INVARIANT: Registered just now.
        self.published = true;
        Ok(())
    }

    /// Unregisters the instance; when this returns no operation runs. May sleep; takes the devlink
    /// instance lock.
    pub(super) fn withdraw(&mut self) {
        if !core::mem::take(&mut self.published) {
            return;
        }
        let (params, count) = (self.params.as_ptr(), self.params.len());
        // SAFETY: Registered with these parameters, by the type invariant.
        unsafe { bindings::devlink_withdraw(self.as_raw(), params, count) };
    }
}

impl Drop for Devlink {
    fn drop(&mut self) {
        self.withdraw();
        // SAFETY: Ours by the type invariant, and nobody is inside.
        unsafe { bindings::devlink_destroy(self.as_raw()) };
    }
}

/// The network device of a published instance, in a callback with devlink's instance lock held.
/// That comes before the locks of the network device, which are not held.
struct Published<'a, T: device::Operations>(Unlocked<'a, T>);

// SAFETY: A table made for `T` is that of instances of its devices. They are published as long as
// the core calls, and withdrawn before the network device goes.
unsafe impl<T: device::Operations> Arg for Published<'_, T> {
    type Raw = *mut bindings::devlink;

    fn from_passed(devlink: Passed<Self::Raw>) -> Self {
        // SAFETY: Published with a device made for this `T`, whose locks are not held.
        Self(unsafe { Unlocked::new(Handle::new(bindings::devlink_netdev(devlink.raw()))) })
    }
}

impl<'a, T: device::Operations + 'a> Published<'a, T> {
    /// The driver's part.
    fn ops(&self) -> &'a T {
        self.0.handle().ops()
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
            req: Object<'_, bindings::devlink_info_req>,
            _ack: Extack<'_>,
        ) -> Result {
            devlink.ops().info(&mut Info(req))
        }

        /// `devlink_ops.flash_update`.
        fn flash_update(
            devlink: Published<'_, T>,
            params: &mut bindings::devlink_flash_update_params,
            ack: Extack<'_>,
        ) -> Result {
            // SAFETY: The core has loaded a file, which it keeps for the call.
            let file = unsafe { core::slice::from_raw_parts((*params.fw).data, (*params.fw).size) };
            devlink.ops().flash(file, &mut ack)
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
            watch::quiesce(&mut devlink.0);
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
            watch::resume(&mut devlink.0)
        }

        /// `devlink_param.get`.
        fn param_get(
            devlink: Published<'_, T>,
            id: u32,
            ctx: &mut bindings::devlink_param_gset_ctx,
            _ack: Extack<'_>,
        ) -> Result {
            match devlink.ops().param((id - FIRST_ID) as usize)? {
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
            let ops = devlink.ops();
            ops.set_param(&mut devlink.0, index, value, &mut ack)
        }
    }
}
