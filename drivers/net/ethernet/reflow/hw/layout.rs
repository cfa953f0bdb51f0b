// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Macros that define registers and bit fields once, with their documentation as data.
//!
//! Besides constants and accessors they define a table ([`RegInfo`], [`FieldInfo`]), from which the
//! model dispatches accesses, `ethtool -d` takes names and the hardware manual is generated.

use core::marker::PhantomData;

/// Who may do what with a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read only; writes are ignored.
    Ro,
    /// Read and write.
    Rw,
    /// Write only; reads give zero.
    Wo,
    /// Read; writing a one clears that bit.
    W1c,
}

/// One register, or an array of equal registers.
#[derive(Clone, Copy, Debug)]
pub struct RegInfo {
    /// Name as in the manual.
    pub name: &'static str,
    /// Byte offset in its block.
    pub offset: usize,
    /// How many there are, [`RegInfo::stride`] bytes apart.
    pub count: usize,
    /// Distance between array elements, in bytes.
    pub stride: usize,
    /// Who may do what.
    pub access: Access,
    /// Value after reset.
    pub reset: u32,
    /// Description, one string a line.
    pub doc: &'static [&'static str],
}

/// One field of a register or descriptor word.
#[derive(Clone, Copy, Debug)]
pub struct FieldInfo {
    /// Name as in the manual.
    pub name: &'static str,
    /// Highest bit.
    pub hi: u32,
    /// Lowest bit.
    pub lo: u32,
    /// Description, one string a line.
    pub doc: &'static [&'static str],
}

/// A register of block `B` whose value is a `T`, or an array of such.
#[derive(Debug)]
pub struct Reg<B, T> {
    offset: usize,
    count: usize,
    stride: usize,
    _type: PhantomData<(B, T)>,
}

impl<B, T> Clone for Reg<B, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B, T> Copy for Reg<B, T> {}

impl<B, T> Reg<B, T> {
    /// An array of `count` registers that are `stride` bytes apart. For [`registers!`].
    pub const fn new(offset: usize, count: usize, stride: usize) -> Self {
        Self {
            offset,
            count,
            stride,
            _type: PhantomData,
        }
    }

    /// Byte offset in the block.
    #[inline(always)]
    pub const fn offset(self) -> usize {
        self.offset
    }

    /// Element `i` of an array, if it has so many.
    #[inline(always)]
    pub const fn at(self, i: usize) -> Option<Self> {
        if i < self.count {
            Some(Self::new(self.offset + i * self.stride, 1, self.stride))
        } else {
            None
        }
    }
}

/// Defines register offsets (in bytes), their table, and in module `MOD` the registers of block
/// `BLOCK` with the type of their value.
///
/// `NAME[count; stride] @ offset Access(Type) = reset;`, where a single register has `[1; 4]`, and
/// one without a type is a plain number.
macro_rules! registers {
    (
        $(#[$tmeta:meta])* $table:ident, $(#[$mmeta:meta])* $module:ident of $block:ident:
        $(
            $(#[doc = $doc:literal])*
            $name:ident [$count:literal; $stride:literal] @ $off:literal
                $access:ident $(($value:ident))? = $reset:expr;
        )*
    ) => {
        $( $(#[doc = $doc])* pub const $name: usize = $off; )*
        $(#[$mmeta])*
        pub mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(
                $(#[doc = $doc])*
                pub const $name: $crate::hw::layout::Reg<$block, register_value!($($value)?)> =
                    $crate::hw::layout::Reg::new($off, $count, $stride);
            )*
        }
        $(#[$tmeta])*
        pub const $table: &[$crate::hw::layout::RegInfo] = &[
            $( $crate::hw::layout::RegInfo {
                name: stringify!($name),
                offset: $off,
                count: $count,
                stride: $stride,
                access: $crate::hw::layout::Access::$access,
                reset: $reset,
                doc: &[$($doc),*],
            }, )*
        ];
    };
}

/// The type of a register's value.
macro_rules! register_value {
    () => {
        u32
    };
    ($value:ident) => {
        $value
    };
}

/// Defines a word (`u32` or `u64`) of bit fields: a getter and a `with_` setter each, and a table.
///
/// Setters truncate their argument to the width of the field. A field is `hi:lo get, with_get;`.
macro_rules! bitfields {
    (
        $(#[$meta:meta])* pub struct $name:ident($ty:ty);
        $(
            $(#[doc = $doc:literal])*
            $hi:literal : $lo:literal $get:ident, $with:ident;
        )*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
        pub struct $name(pub $ty);

        impl From<$ty> for $name {
            #[inline(always)]
            fn from(word: $ty) -> Self {
                Self(word)
            }
        }

        impl From<$name> for $ty {
            #[inline(always)]
            fn from(word: $name) -> Self {
                word.0
            }
        }

        impl $name {
            /// The fields, for manuals and dumps.
            pub const FIELDS: &'static [$crate::hw::layout::FieldInfo] = &[
                $( $crate::hw::layout::FieldInfo {
                    name: stringify!($get),
                    hi: $hi,
                    lo: $lo,
                    doc: &[$($doc),*],
                }, )*
            ];

            $(
                $(#[doc = $doc])*
                #[inline(always)]
                pub const fn $get(self) -> $ty {
                    (self.0 >> $lo) & (<$ty>::MAX >> (<$ty>::BITS - 1 - ($hi - $lo)))
                }

                /// The same word with this field replaced.
                #[inline(always)]
                #[must_use]
                pub const fn $with(self, value: $ty) -> Self {
                    const MASK: $ty = <$ty>::MAX >> (<$ty>::BITS - 1 - ($hi - $lo));
                    Self((self.0 & !(MASK << $lo)) | ((value & MASK) << $lo))
                }
            )*
        }
    };
}
