// SPDX-License-Identifier: GPL-2.0

//! The C side, as `bindgen` sees it.
//!
//! Types that the kernel's own bindings hold in full come from there, so that a
//! `sk_buff` here is the `sk_buff` of the `kernel` crate; the others, and the
//! functions of the networking core, are generated for each driver. Helpers of
//! `helpers.c` carry the name of the inline function they stand for. Those that ask for no more
//! than what the types of their parameters say are safe functions, see `bindgen_safe.awk`.
//!
//! Nothing outside [`crate::net`] may use this module.

use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    ffi::c_char,
    prelude::*, //
};

#[allow(
    clippy::all,
    clippy::as_underscore,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_imports
)]
#[cfg_attr(not(CONFIG_RUSTC_HAS_UNNECESSARY_TRANSMUTES), allow(unknown_lints))]
#[allow(unnecessary_transmutes)]
mod raw {
    pub use super::helpers::*;
    pub use kernel::bindings::*;
    use kernel::ffi;
    use pin_init::MaybeZeroable;

    // The kernel's parameters for bindgen leave these out, to be `usize`.
    type __kernel_size_t = usize;
    type __kernel_ssize_t = isize;
    type __kernel_ptrdiff_t = isize;

    include!(concat!(
        env!("RNET_GENERATED"),
        "/net_bindings_generated.rs"
    ));
}

#[allow(
    clippy::all,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    private_interfaces,
    unreachable_pub
)]
mod helpers {
    use super::raw::*;
    use kernel::ffi;

    include!(concat!(env!("RNET_GENERATED"), "/net_helpers_generated.rs"));
}

pub(crate) use raw::*;

/// A string for a helper: a pointer to bytes with a zero behind them, valid for `'a`.
#[repr(transparent)]
pub(crate) struct Text<'a>(NonNull<c_char>, PhantomData<&'a CStr>);

impl<'a> From<&'a CStr> for Text<'a> {
    fn from(text: &'a CStr) -> Self {
        Self(NonNull::from(text).cast(), PhantomData)
    }
}
