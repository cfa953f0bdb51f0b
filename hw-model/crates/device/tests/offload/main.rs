// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Checksum, VLAN and segmentation offload.

mod frames;
mod segmentation;
