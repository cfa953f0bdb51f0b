// SPDX-License-Identifier: GPL-2.0

//! Files in a folder of their own under the device's folder in `/sys/class/net`, one value each.
//!
//! The core makes them when it registers the device, before anybody hears of it, and takes them
//! away when it is unregistered, after waiting for whoever is reading. Operations run in process
//! context without any lock, and may sleep.

use super::{
    bindings,
    device, //
};
use core::marker::PhantomData;
use kernel::{
    container_of,
    error::from_result,
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
    /// Whether it can be written, too.
    pub(crate) writable: bool,
}

/// The part of a driver that answers.
pub(crate) trait Operations {
    /// Name of the folder.
    const FOLDER: &'static CStr;
    /// The files; operations name them by their place here.
    const ATTRIBUTES: &'static [Attribute];

    /// Writes the value of a file, without a line's end.
    ///
    /// # Errors
    ///
    /// Any.
    fn show(&self, index: usize, out: &mut Page<'_>) -> Result;

    /// Sets the value of a writable file.
    ///
    /// # Errors
    ///
    /// Any; the value stays as it was.
    fn store(&self, index: usize, text: &str) -> Result;
}

/// Takes the text of a file, which may be as long as a page.
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

/// The files of a device of a driver `T`. Must outlive the device's registration.
pub(super) struct Group<T> {
    group: KBox<bindings::attribute_group>,
    /// What `group` points to, and what that points to: neither moves any more.
    _attrs: KVec<*mut bindings::attribute>,
    _entries: KVec<Entry>,
    _driver: PhantomData<fn() -> T>,
}

impl<T: device::Operations> Group<T> {
    /// Makes the files' descriptions. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    pub(super) fn new() -> Result<Self> {
        let mut entries = KVec::with_capacity(T::ATTRIBUTES.len(), GFP_KERNEL)?;
        for (index, file) in T::ATTRIBUTES.iter().enumerate() {
            let mut attr: bindings::device_attribute = pin_init::zeroed();
            attr.attr.name = file.name.as_char_ptr();
            attr_init(&mut attr.attr);
            attr.attr.mode = if file.writable { 0o644 } else { 0o444 };
            attr.__bindgen_anon_1.show = Some(Self::show);
            if file.writable {
                attr.__bindgen_anon_2.store = Some(Self::store);
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
            _driver: PhantomData,
        })
    }

    /// What the device is to be registered with.
    pub(super) fn as_raw(&self) -> *const bindings::attribute_group {
        &raw const *self.group
    }

    /// # Safety
    ///
    /// `dev` is that of a network device of a driver `T`, and `attr` one of its files, both for
    /// `'a`.
    unsafe fn file<'a>(
        dev: *mut bindings::device,
        attr: *mut bindings::device_attribute,
    ) -> (&'a T, usize)
    where
        T: 'a,
    {
        // SAFETY: By the safety requirement, both are fields of these.
        unsafe {
            let netdev = container_of!(dev, bindings::net_device, dev);
            (device::ops_of(netdev), (*attr.cast::<Entry>()).index)
        }
    }

    /// # Safety
    ///
    /// `device_attribute.show` of an [`Entry`].
    unsafe extern "C" fn show(
        dev: *mut bindings::device,
        attr: *mut bindings::device_attribute,
        buf: *mut c_char,
    ) -> isize {
        // SAFETY: The core passes a device of ours, a file of ours, and a page to fill.
        let ((ops, index), text) = unsafe {
            let text = core::slice::from_raw_parts_mut(buf.cast(), PAGE_SIZE);
            (Self::file(dev, attr), text)
        };
        from_result(|| {
            let mut page = Page { text, used: 0 };
            ops.show(index, &mut page)?;
            page.write_str("\n")?;
            Ok(isize::try_from(page.used)?)
        })
    }

    /// # Safety
    ///
    /// `device_attribute.store` of an [`Entry`].
    unsafe extern "C" fn store(
        dev: *mut bindings::device,
        attr: *mut bindings::device_attribute,
        buf: *const c_char,
        count: usize,
    ) -> isize {
        // SAFETY: The core passes a device of ours, a file of ours, and what was written.
        let ((ops, index), text) = unsafe {
            let text = core::slice::from_raw_parts(buf.cast(), count);
            (Self::file(dev, attr), text)
        };
        from_result(|| {
            let text = core::str::from_utf8(text).map_err(|_| EINVAL)?;
            ops.store(index, text.trim_end())?;
            Ok(isize::try_from(count)?)
        })
    }
}
