// SPDX-License-Identifier: GPL-2.0

//! The devlink instance of a network device: what it runs, its firmware, its parameters.
//!
//! An instance is made before the network device, which becomes its one port, and goes after it.
//! Users reach it from [`Devlink::publish`] to [`Devlink::withdraw`], and only then are the
//! driver's operations called: in process context, with the devlink instance lock held and the
//! device's own instance lock not held. They may sleep.

pub(crate) mod health;

use super::{
    bindings,
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
    error::{
        from_result,
        to_result, //
    },
    fmt,
    fmt::Write,
    prelude::*, //
};

/// The first number that is not one of the parameters that all drivers share.
const FIRST_ID: u32 = bindings::devlink_param_generic_id_DEVLINK_PARAM_GENERIC_ID_MAX + 1;

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
pub(crate) trait Operations {
    /// The parameters; operations name them by their place here.
    const PARAMS: &'static [Param];

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
    fn flash(&self, file: &[u8], ack: &mut Extack<'_>) -> Result;

    /// The value of a parameter, of its kind.
    ///
    /// # Errors
    ///
    /// Any; [`EOPNOTSUPP`] hides the parameter.
    fn param(&self, index: usize) -> Result<Value>;

    /// Sets a parameter to a value of its kind.
    ///
    /// # Errors
    ///
    /// Any, with the reason said; the parameter keeps its value.
    fn set_param(
        &self,
        dev: &mut Unlocked<'_>,
        index: usize,
        value: Value,
        ack: &mut Extack<'_>,
    ) -> Result;
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
/// registered with `params`, and its network device has a `T`.
pub(super) struct Devlink<T> {
    devlink: NonNull<bindings::devlink>,
    params: KVec<bindings::devlink_param>,
    published: bool,
    _driver: PhantomData<fn() -> T>,
}

impl<T: device::Operations> Devlink<T> {
    const OPS: bindings::devlink_ops = bindings::devlink_ops {
        info_get: Some(Self::info_get),
        flash_update: Some(Self::flash_update),
        // Not "driver_reinit": for that the port, and so the interface, would have to go.
        reload_actions: 1 << bindings::devlink_reload_action_DEVLINK_RELOAD_ACTION_FW_ACTIVATE,
        reload_down: Some(Self::reload_down),
        reload_up: Some(Self::reload_up),
        ..pin_init::zeroed()
    };

    /// Makes an instance that nobody sees yet. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`], or what registering the port says.
    ///
    /// # Safety
    ///
    /// `parent` is bound to the driver, and outlives the object.
    pub(super) unsafe fn new(parent: *mut bindings::device) -> Result<Self> {
        let mut params = KVec::with_capacity(T::PARAMS.len(), GFP_KERNEL)?;
        for (id, param) in (FIRST_ID..).zip(T::PARAMS) {
            let entry = bindings::devlink_param {
                id,
                name: param.name.as_char_ptr(),
                type_: param.kind.to_raw(),
                supported_cmodes: 1 << bindings::devlink_param_cmode_DEVLINK_PARAM_CMODE_RUNTIME,
                get: Some(Self::param_get),
                set: Some(Self::param_set),
                ..pin_init::zeroed()
            };
            params.push(entry, GFP_KERNEL)?;
        }
        // SAFETY: The table is a constant that lives for ever; the device is bound.
        let devlink =
            unsafe { bindings::devlink_alloc(&Self::OPS, core::mem::size_of::<Private>(), parent) };
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
            _driver: PhantomData,
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
    /// `dev` is a registered device of a driver `T`, and stays so until [`Self::withdraw`].
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

    /// # Safety
    ///
    /// `devlink` is a published instance of this `T`, and so for `'a`.
    unsafe fn device<'a>(devlink: *mut bindings::devlink) -> (&'a T, &'a Device)
    where
        T: 'a,
    {
        // SAFETY: By the safety requirement; `dev` was set by `publish`.
        unsafe {
            let dev = (*bindings::devlink_priv(devlink).cast::<Private>()).dev;
            (device::ops_of(dev), Device::from_raw(dev))
        }
    }

    /// # Safety
    ///
    /// `devlink_ops.info_get`: instance lock held, so published.
    unsafe extern "C" fn info_get(
        devlink: *mut bindings::devlink,
        req: *mut bindings::devlink_info_req,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        // SAFETY: The core passes an instance of ours.
        let (ops, _) = unsafe { Self::device(devlink) };
        let mut info = Info {
            req,
            _request: PhantomData,
        };
        from_result(|| ops.info(&mut info).map(|()| 0))
    }

    /// # Safety
    ///
    /// `devlink_ops.flash_update`: instance lock held, so published.
    unsafe extern "C" fn flash_update(
        devlink: *mut bindings::devlink,
        params: *mut bindings::devlink_flash_update_params,
        ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        // SAFETY: The core passes an instance of ours, a file that it loaded and keeps for the
        // call, and a place for words or none.
        let (ops, file, mut ack) = unsafe {
            let fw = &*(*params).fw;
            (
                Self::device(devlink).0,
                core::slice::from_raw_parts(fw.data, fw.size),
                Extack::from_raw(ack),
            )
        };
        from_result(|| ops.flash(file, &mut ack).map(|()| 0))
    }

    /// # Safety
    ///
    /// `devlink_ops.reload_down`: instance lock held, so published.
    unsafe extern "C" fn reload_down(
        devlink: *mut bindings::devlink,
        netns_change: bool,
        _action: bindings::devlink_reload_action,
        _limit: bindings::devlink_reload_limit,
        ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        if netns_change {
            // SAFETY: The core passes a place for words or none.
            unsafe { Extack::from_raw(ack) }.say(c"the interface stays in its network namespace");
            return EOPNOTSUPP.to_errno();
        }
        // SAFETY: The core passes an instance of ours; the device's own lock is not held.
        unsafe { watch::quiesce::<T>((*bindings::devlink_priv(devlink).cast::<Private>()).dev) };
        0
    }

    /// # Safety
    ///
    /// `devlink_ops.reload_up`: instance lock held, so published; after `reload_down`.
    unsafe extern "C" fn reload_up(
        devlink: *mut bindings::devlink,
        _action: bindings::devlink_reload_action,
        _limit: bindings::devlink_reload_limit,
        performed: *mut u32,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        // SAFETY: The core passes an instance of ours and a place for what was done; neither the
        // device's own lock is held nor rtnl, which is taken after that of devlink.
        from_result(|| unsafe {
            *performed = Self::OPS.reload_actions as u32;
            watch::resume::<T>((*bindings::devlink_priv(devlink).cast::<Private>()).dev).map(|()| 0)
        })
    }

    /// # Safety
    ///
    /// `devlink_param.get`: instance lock held, so published.
    unsafe extern "C" fn param_get(
        devlink: *mut bindings::devlink,
        id: u32,
        ctx: *mut bindings::devlink_param_gset_ctx,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        // SAFETY: The core passes an instance of ours and a place for the value.
        let (ops, out) = unsafe { (Self::device(devlink).0, &mut (*ctx).val) };
        from_result(|| {
            match ops.param((id - FIRST_ID) as usize)? {
                Value::Bool(on) => out.vbool = on,
                Value::Number(n) => out.vu32 = n,
                Value::Text(text) => out.vstr = text.0,
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `devlink_param.set`: instance lock held, so published.
    unsafe extern "C" fn param_set(
        devlink: *mut bindings::devlink,
        id: u32,
        ctx: *mut bindings::devlink_param_gset_ctx,
        ack: *mut bindings::netlink_ext_ack,
    ) -> i32 {
        let index = (id - FIRST_ID) as usize;
        let Some(param) = T::PARAMS.get(index) else {
            return EINVAL.to_errno();
        };
        // SAFETY: The core passes an instance of ours, a place for words or none, and a value
        // whose kind is that of the parameter.
        let ((ops, device), value, mut ack) = unsafe {
            let val = &(*ctx).val;
            let value = match param.kind {
                Kind::Bool => Value::Bool(val.vbool),
                Kind::Number => Value::Number(val.vu32),
                Kind::Text => Value::Text(Chars(val.vstr)),
            };
            (Self::device(devlink), value, Extack::from_raw(ack))
        };
        // SAFETY: Of locks that matter here devlink holds its own, which comes before that of the
        // network device.
        let mut device = unsafe { Unlocked::new(device) };
        from_result(|| {
            ops.set_param(&mut device, index, value, &mut ack)
                .map(|()| 0)
        })
    }
}

impl<T> Drop for Devlink<T> {
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
