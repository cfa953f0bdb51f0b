// SPDX-License-Identifier: GPL-2.0

//! Files with one value each, in a subfolder of the device's folder in `/sys/class/net`.
//!
//! Wraps `struct attribute_group` and `struct device_attribute`.
//!
//! The core creates them when it registers the device, before users see it, and removes them when
//! it is unregistered, after waiting for readers. Operations run in process context without any
//! lock, and may sleep.
//!
//! ```
//! struct Nic {
//!     level: Atomic<u32>,
//! }
//!
//! impl Operations for Nic {
//!     const FOLDER: &'static CStr = c"nic";
//!     const ATTRIBUTES: &'static [Attribute] = &[Attribute {
//!         name: c"level",
//!         writable: true,
//!     }];
//!
//!     fn show(&self, _index: usize, out: &mut Page<'_>) -> Result {
//!         Ok(write!(out, "{}", self.level.load(Relaxed))?)
//!     }
//!
//!     fn store(&self, _index: usize, text: &str) -> Result {
//!         self.level.store(text.parse().map_err(|_| EINVAL)?, Relaxed);
//!         Ok(())
//!     }
//! }
//! # driver!(Nic, Parts::new().sysfs());
//! # use kernel::{fmt::Write, sync::atomic::{Atomic, Relaxed}};
//! ```

use super::{
    bindings,
    callback::{
        callbacks,
        Arg,
        Handle,
        Passed, //
    },
    device, //
};
use core::marker::PhantomData;
use kernel::{
    container_of,
    ffi::c_char,
    fmt::{
        self,
        Write, //
    },
    page::PAGE_SIZE,
    prelude::*, //
};

/// A file.
pub(crate) struct Attribute {
    /// Its name.
    pub(crate) name: &'static CStr,
    /// Whether it can be written.
    pub(crate) writable: bool,
}

/// The part of a driver that serves the files.
pub(crate) trait Operations {
    /// Name of the folder.
    const FOLDER: &'static CStr;
    /// The files; operations get the index.
    const ATTRIBUTES: &'static [Attribute];

    /// Writes the value of a file to `out`, without a newline. May sleep.
    ///
    /// # Errors
    ///
    /// Any; reading the file fails with it.
    fn show(&self, index: usize, out: &mut Page<'_>) -> Result;

    /// Sets the value of a writable file. May sleep.
    ///
    /// # Errors
    ///
    /// Any; the value stays as it was.
    fn store(&self, index: usize, text: &str) -> Result;
}

/// Receives the text of a file, a page less the newline at most. Writing more fails.
pub(crate) struct Page<'a> {
    text: &'a mut [u8],
    used: usize,
}

impl Write for Page<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let to = self
            .text
            .get_mut(self.used..)
            .and_then(|t| t.get_mut(..s.len()));
        to.ok_or(fmt::Error)?.copy_from_slice(s.as_bytes());
        self.used += s.len();
        Ok(())
    }
}

/// Gives a file that is described on the heap its lock class, which lockdep wants to be static:
/// `sysfs_attr_init()`. All such files share one.
fn attr_init(attr: &mut bindings::attribute) {
    #[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
    {
        attr.key = kernel::static_lock_class!().as_ptr();
    }
    #[cfg(not(CONFIG_DEBUG_LOCK_ALLOC))]
    let _ = attr;
}

/// A file as the core sees it, and which one it is.
#[repr(C)]
struct Entry {
    attr: bindings::device_attribute,
    index: usize,
}

/// The files of a device. Must outlive the device's registration.
pub(super) struct Group {
    group: KBox<bindings::attribute_group>,
    /// Pointed to by `group`, and the entries by these: neither moves any more.
    _attrs: KVec<*mut bindings::attribute>,
    _entries: KVec<Entry>,
}

impl Group {
    /// Makes the descriptions of the files of a driver `T`. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(super) fn new<T: device::Operations + Operations>() -> Result<Self> {
        let mut entries = KVec::with_capacity(T::ATTRIBUTES.len(), GFP_KERNEL)?;
        for (index, file) in T::ATTRIBUTES.iter().enumerate() {
            let mut attr: bindings::device_attribute = pin_init::zeroed();
            attr.attr.name = file.name.as_char_ptr();
            attr_init(&mut attr.attr);
            attr.attr.mode = if file.writable { 0o644 } else { 0o444 };
            attr.__bindgen_anon_1.show = Some(Adapter::<T>::show);
            if file.writable {
                attr.__bindgen_anon_2.store = Some(Adapter::<T>::store);
            }
            entries.push(Entry { attr, index }, GFP_KERNEL)?;
        }
        let mut attrs = KVec::with_capacity(entries.len() + 1, GFP_KERNEL)?;
        for entry in entries.iter_mut() {
            attrs.push(&raw mut entry.attr.attr, GFP_KERNEL)?;
        }
        attrs.push(core::ptr::null_mut(), GFP_KERNEL)?;
        let mut group: bindings::attribute_group = pin_init::zeroed();
        group.name = T::FOLDER.as_char_ptr();
        group.__bindgen_anon_2.attrs = attrs.as_mut_ptr();
        Ok(Self {
            group: KBox::new(group, GFP_KERNEL)?,
            _attrs: attrs,
            _entries: entries,
        })
    }

    /// The group to register the device with.
    pub(super) fn as_raw(&self) -> *const bindings::attribute_group {
        &raw const *self.group
    }
}

/// The network device that a file belongs to.
struct Owner<'a, T: device::Operations>(Handle<'a, T>);

// SAFETY: The core passes the device that the files were registered with, which is part of a
// network device made for this type.
unsafe impl<T: device::Operations> Arg for Owner<'_, T> {
    type Raw = *mut bindings::device;

    fn from_passed(dev: Passed<Self::Raw>) -> Self {
        // SAFETY: Part of a network device made for this type, before which the files go.
        Self(unsafe { Handle::new(container_of!(dev.raw(), bindings::net_device, dev)) })
    }
}

/// A file of [`Group`].
struct Index(usize);

// SAFETY: The core passes what the files were registered with, the beginning of an `Entry`.
unsafe impl Arg for Index {
    type Raw = *mut bindings::device_attribute;

    fn from_passed(attr: Passed<Self::Raw>) -> Self {
        // SAFETY: The first field of an `Entry`.
        Self(unsafe { (*attr.raw().cast::<Entry>()).index })
    }
}

/// The callbacks for a driver.
struct Adapter<T>(PhantomData<T>);

impl<T: device::Operations + Operations> Adapter<T> {
    callbacks! {
        /// `device_attribute.show` of an [`Entry`].
        fn show(owner: Owner<'_, T>, index: Index, buf: *mut c_char) -> Result<isize> {
            // SAFETY: The core passes a page to fill.
            let text = unsafe { core::slice::from_raw_parts_mut(buf.cast(), PAGE_SIZE) };
            let mut page = Page { text, used: 0 };
            owner.0.ops().show(index.0, &mut page)?;
            page.write_str("\n")?;
            Ok(isize::try_from(page.used)?)
        }

        /// `device_attribute.store` of an [`Entry`].
        fn store(
            owner: Owner<'_, T>,
            index: Index,
            buf: *const c_char,
            count: usize,
        ) -> Result<isize> {
            // SAFETY: The core passes the text that was written, and its length.
            let text = unsafe { core::slice::from_raw_parts(buf.cast(), count) };
            let text = core::str::from_utf8(text).map_err(|_| EINVAL)?;
            owner.0.ops().store(index.0, text.trim_end())?;
            Ok(isize::try_from(count)?)
        }
    }
}
