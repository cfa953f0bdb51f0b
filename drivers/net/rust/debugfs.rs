// SPDX-License-Identifier: GPL-2.0

//! Tables and switches in debugfs, in a folder of the device's own: `reflow/<bus address>`.
//!
//! Operations run in process context without any lock, and may sleep. A table may be asked for
//! several times until it fits; what does not succeed leaves no more than a file out, as debugfs
//! has it.

use super::{
    bindings,
    device, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::from_result,
    fmt::{
        self,
        Write, //
    },
    prelude::*,
    sync::atomic::Atomic, //
};

/// The part of a driver that fills the tables.
pub(crate) trait Operations {
    /// Names of the tables; operations name them by their place here.
    const TABLES: &'static [&'static CStr];

    /// Writes a table.
    ///
    /// # Errors
    ///
    /// Any.
    fn table(&self, index: usize, out: &mut Table<'_>) -> Result;

    /// Names of the switches, which are read as `Y` and `N`, and written as whatever `kstrtobool()`
    /// takes.
    const SWITCHES: &'static [&'static CStr];

    /// The switch at this place, always the same one.
    fn switch(&self, index: usize) -> Option<&Atomic<bool>>;
}

/// Takes the text of a table.
pub(crate) struct Table<'a> {
    seq: *mut bindings::seq_file,
    _open: PhantomData<&'a mut ()>,
}

impl Write for Table<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // SAFETY: The file is being read, the text is as long as said. Too long a table is asked
        // for anew.
        unsafe { bindings::seq_write(self.seq, s.as_ptr().cast(), s.len()) };
        Ok(())
    }
}

/// The folder of a device of a driver `T`.
///
/// # Invariants
///
/// `folder` was made by `debugfs_folder_add`; its files point to elements of `tables`.
pub(super) struct Folder<T> {
    folder: *mut bindings::dentry,
    _tables: KVec<bindings::rnet_table>,
    _driver: PhantomData<fn() -> T>,
}

impl<T: device::Operations> Folder<T> {
    /// Makes the folder and its files. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    ///
    /// # Safety
    ///
    /// `dev` is a registered device of a driver `T`, and stays so as long as the object lives.
    pub(super) unsafe fn new(dev: NonNull<bindings::net_device>) -> Result<Self> {
        let mut tables = KVec::with_capacity(T::TABLES.len(), GFP_KERNEL)?;
        for index in 0..T::TABLES.len() {
            let table = bindings::rnet_table {
                show: Some(Self::show),
                dev: dev.as_ptr(),
                index: index.try_into()?,
            };
            tables.push(table, GFP_KERNEL)?;
        }
        // SAFETY: The device is valid. The tables do not move any more, and live as long as the
        // files.
        let folder = unsafe {
            let folder = bindings::debugfs_folder_add(dev.as_ptr());
            for (name, table) in T::TABLES.iter().zip(tables.iter_mut()) {
                bindings::debugfs_table_add(folder, name.as_char_ptr(), table);
            }
            folder
        };
        // SAFETY: A device of a driver `T`, whose part lives as long as the folder.
        let ops: &T = unsafe { device::ops_of(dev.as_ptr()) };
        for (i, name) in T::SWITCHES.iter().enumerate() {
            if let Some(switch) = ops.switch(i) {
                // SAFETY: The switch is part of the driver's, so it lives as long as the file. It
                // is a `bool` that both sides read and write whole.
                unsafe {
                    let value = switch.as_ptr();
                    bindings::debugfs_switch_add(folder, name.as_char_ptr(), value);
                }
            }
        }
        // INVARIANT: Made just now.
        Ok(Self {
            folder,
            _tables: tables,
            _driver: PhantomData,
        })
    }

    /// # Safety
    ///
    /// `rnet_table.show`: the file is being read, so the device is registered.
    unsafe extern "C" fn show(
        seq: *mut bindings::seq_file,
        dev: *mut bindings::net_device,
        index: u32,
    ) -> i32 {
        // SAFETY: The device is one of ours, alive for the call.
        let ops: &T = unsafe { device::ops_of(dev) };
        let mut table = Table {
            seq,
            _open: PhantomData,
        };
        from_result(|| ops.table(index as usize, &mut table).map(|()| 0))
    }
}

impl<T> Drop for Folder<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. This waits for whoever is reading.
        unsafe { bindings::debugfs_folder_remove(self.folder) };
    }
}
