// SPDX-License-Identifier: GPL-2.0

//! Tables and switches in debugfs, in a folder of the device's own: `<driver>/<bus address>`.
//!
//! Wraps `debugfs_create_file()` and `debugfs_create_bool()`.
//!
//! Operations run in process context without any lock, and may sleep. A table may be asked for
//! several times until it fits; what does not succeed leaves no more than a file out, as debugfs
//! has it.
//!
//! ```ignore
//! impl debugfs::Operations for Nic {
//!     const TABLES: &'static [&'static CStr] = &[c"filters"];
//!     fn table(&self, index: usize, out: &mut Table<'_>) -> Result {
//!         Ok(write!(out, "{} in use\n", self.filters.count())?)
//!     }
//!     ..
//! }
//! ```

use super::{
    bindings,
    callback::{
        callbacks,
        Handle, //
    },
    device, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
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
    /// `dev` is a registered device of a driver `T`, and stays so as long as the object lives.
    pub(super) unsafe fn new<T: device::Operations + Operations>(
        dev: NonNull<bindings::net_device>,
    ) -> Result<Self> {
        let mut tables = KVec::with_capacity(T::TABLES.len(), GFP_KERNEL)?;
        for index in 0..T::TABLES.len() {
            let table = bindings::rnet_table {
                show: Some(Adapter::<T>::show),
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
        let ops = unsafe { Handle::<T>::new(dev.as_ptr()) }.ops();
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
        })
    }
}

/// The callback for a driver.
struct Adapter<T>(PhantomData<T>);

impl<T: device::Operations + Operations> Adapter<T> {
    callbacks! {
        /// `rnet_table.show`.
        fn show(seq: *mut bindings::seq_file, handle: Handle<'_, T>, index: u32) -> Result {
            let mut table = Table {
                seq,
                _open: PhantomData,
            };
            handle.ops().table(index as usize, &mut table)
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. This waits for whoever is reading.
        unsafe { bindings::debugfs_folder_remove(self.folder) };
    }
}
