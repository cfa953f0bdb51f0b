// SPDX-License-Identifier: GPL-2.0

//! Tables and switches in debugfs, in a folder of each device: `<driver>/<bus address>`.
//!
//! Wraps `debugfs_create_file()`. The kernel crate's `debugfs` is not used: its files have no
//! owner, so the module could be unloaded while one is open, and a table cannot return an error.
//!
//! Operations run in process context without any lock, and may sleep. A table that exceeds the
//! buffer is written again with a larger one. As debugfs has it, a file that cannot be created is
//! left out without an error.
//!
//! ```
//! struct Nic {
//!     rules: Atomic<u32>,
//!     trace: Atomic<bool>,
//! }
//!
//! impl Operations for Nic {
//!     const TABLES: &'static [&'static CStr] = &[c"rules"];
//!     const SWITCHES: &'static [&'static CStr] = &[c"trace"];
//!
//!     fn table(&self, _index: usize, out: &mut Table<'_>) -> Result {
//!         Ok(write!(out, "{} rules\n", self.rules.load(Relaxed))?)
//!     }
//!
//!     fn switch(&self, index: usize) -> Option<&Atomic<bool>> {
//!         (index == 0).then_some(&self.trace)
//!     }
//! }
//! # driver!(Nic, Parts::new().debugfs());
//! # use kernel::{fmt::Write, sync::atomic::{Atomic, Relaxed}};
//! ```

use super::{
    bindings,
    callback::{
        callbacks,
        Handle,
        Object, //
    },
    device, //
};
use core::marker::PhantomData;
use kernel::{
    fmt::{
        self,
        Write, //
    },
    prelude::*,
    sync::atomic::Atomic, //
};

/// The part of a driver that fills the tables.
pub(crate) trait Operations {
    /// Names of the tables; operations get the index.
    const TABLES: &'static [&'static CStr];

    /// Writes a table. May sleep; may be called several times for one read.
    ///
    /// # Errors
    ///
    /// Any; reading the file fails with it.
    fn table(&self, index: usize, out: &mut Table<'_>) -> Result;

    /// Names of the switches, which read as `Y` or `N` and take what `kstrtobool()` accepts.
    const SWITCHES: &'static [&'static CStr];

    /// The switch of this index, always the same one. `None` leaves the file out.
    fn switch(&self, index: usize) -> Option<&Atomic<bool>>;
}

/// Takes the text of a table. Writing to it never fails: if the text is too long, the table is
/// written again.
pub(crate) struct Table<'a>(Object<'a, bindings::seq_file>);

impl Write for Table<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.write_fmt(fmt!("{s}"))
    }

    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> fmt::Result {
        bindings::seq_print(&self.0, &text);
        Ok(())
    }
}

/// The folder of a device.
///
/// # Invariants
///
/// `folder` was made by `debugfs_folder_add`; its files point to elements of `tables`.
pub(super) struct Folder {
    folder: *mut bindings::dentry,
    _tables: KVec<bindings::rnet_table>,
}

impl Folder {
    /// Makes the folder and its files. May sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    ///
    /// # Safety
    ///
    /// The object is dropped before the device goes.
    pub(super) unsafe fn new<T: device::Operations + Operations>(
        dev: Handle<'_, T>,
    ) -> Result<Self> {
        let mut tables = KVec::with_capacity(T::TABLES.len(), GFP_KERNEL)?;
        for index in 0..T::TABLES.len() {
            let table = bindings::rnet_table {
                show: Some(Adapter::<T>::show),
                dev: dev.device().as_raw(),
                index: index.try_into()?,
            };
            tables.push(table, GFP_KERNEL)?;
        }
        let folder = bindings::debugfs_folder_add(dev.device().as_opaque());
        for (name, table) in T::TABLES.iter().zip(tables.iter_mut()) {
            // SAFETY: Made just now. The table does not move any more, and lives as long as the
            // file.
            unsafe { bindings::debugfs_table_add(folder, name.as_char_ptr(), table) };
        }
        for (i, name) in T::SWITCHES.iter().enumerate() {
            if let Some(switch) = dev.ops().switch(i) {
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
        })
    }
}

/// The callback for a driver.
struct Adapter<T>(PhantomData<T>);

impl<T: device::Operations + Operations> Adapter<T> {
    callbacks! {
        /// `rnet_table.show`.
        fn show(
            seq: Object<'_, bindings::seq_file>,
            handle: Handle<'_, T>,
            index: u32,
        ) -> Result {
            handle.ops().table(index as usize, &mut Table(seq))
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. This waits for whoever is reading.
        unsafe { bindings::debugfs_folder_remove(self.folder) };
    }
}
