// SPDX-License-Identifier: GPL-2.0

//! How programs get to a device, what they may ask of it, and how others send through it.

use super::{
    super::{
        bindings,
        device::{
            self,
            private,
            queues,
            Device, //
        },
        extack::{
            Extack,
            Refused, //
        },
        tx_cell::Locked, //
    },
    Frame,
    Holder,
    Owned, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    error::from_result,
    prelude::*, //
};

/// Queues that can be made for packets that a program sees first.
pub(crate) trait Plan: Sized {
    /// The same with or without a program.
    ///
    /// # Errors
    ///
    /// What other setting stands against it.
    fn with_xdp(&self, on: bool) -> Result<Self, Refused>;
}

/// The transmit side of a queue, for frames.
pub(crate) trait Transmit {
    /// Puts a frame of anyone's memory on the ring.
    ///
    /// # Errors
    ///
    /// Gives the frame back when there is no room or its memory cannot be mapped.
    fn xmit_frame(&mut self, frame: Frame) -> Result<(), Frame>;

    /// Tells the device of all frames on the ring.
    fn flush_frames(&mut self);
}

/// A device that runs programs.
pub(crate) trait Operations {
    /// Largest MTU that can be set.
    const MAX_MTU: u32;
    /// Largest MTU at which every packet fits one buffer.
    const SINGLE_MTU: u32;

    /// Where the program is kept that polls run.
    fn xdp_program(&self) -> &Holder;
}

/// What devices of this layer can do, of `enum netdev_xdp_act`.
pub(in crate::net) const FEATURES: u32 = bindings::netdev_xdp_act_NETDEV_XDP_ACT_BASIC
    | bindings::netdev_xdp_act_NETDEV_XDP_ACT_REDIRECT
    | bindings::netdev_xdp_act_NETDEV_XDP_ACT_NDO_XMIT
    | bindings::netdev_xdp_act_NETDEV_XDP_ACT_RX_SG
    | bindings::netdev_xdp_act_NETDEV_XDP_ACT_NDO_XMIT_SG;

/// What programs can ask about a packet.
pub(in crate::net) static METADATA_OPS: bindings::xdp_metadata_ops = bindings::xdp_metadata_ops {
    xmo_rx_timestamp: Some(rx_timestamp),
    xmo_rx_hash: Some(rx_hash),
    xmo_rx_vlan_tag: Some(rx_vlan_tag),
};

/// # Safety
///
/// `md` is what `bpf_prog_run_xdp` was given, the packet of a [`super::Buff`].
unsafe fn hints<'a>(md: *const bindings::xdp_md) -> &'a bindings::rnet_xdp_hints {
    // CAST: The packet as programs see it is the first field of the packet as we see it.
    // SAFETY: By the safety requirement.
    unsafe { &(*md.cast::<bindings::rnet_xdp_buff>()).hints }
}

/// # Safety
///
/// Called by a program for the packet that it was given.
unsafe extern "C" fn rx_timestamp(md: *const bindings::xdp_md, time: *mut u64) -> i32 {
    // SAFETY: By the safety requirement, and the core's promise that `time` can be written.
    unsafe {
        *time = hints(md).time;
        if *time == 0 {
            return ENODATA.to_errno();
        }
    }
    0
}

/// # Safety
///
/// Called by a program for the packet that it was given.
unsafe extern "C" fn rx_hash(
    md: *const bindings::xdp_md,
    hash: *mut u32,
    rss_type: *mut bindings::xdp_rss_hash_type,
) -> i32 {
    // SAFETY: As above.
    unsafe {
        let hints = hints(md);
        if hints.rss_type == 0 {
            return ENODATA.to_errno();
        }
        *hash = hints.hash;
        *rss_type = hints.rss_type;
    }
    0
}

/// # Safety
///
/// Called by a program for the packet that it was given.
unsafe extern "C" fn rx_vlan_tag(
    md: *const bindings::xdp_md,
    proto: *mut bindings::__be16,
    tci: *mut u16,
) -> i32 {
    // SAFETY: As above.
    unsafe {
        let hints = hints(md);
        if hints.vlan == 0 {
            return ENODATA.to_errno();
        }
        *proto = (bindings::ETH_P_8021Q as u16).to_be();
        *tci = hints.vlan_tci;
    }
    0
}

/// The callbacks for a driver.
pub(in crate::net) struct Adapter<T>(PhantomData<T>);

impl<T: device::Operations> Adapter<T> {
    /// # Safety
    ///
    /// `ndo_bpf`: process context, rtnl and instance lock held.
    pub(in crate::net) unsafe extern "C" fn bpf(
        dev: *mut bindings::net_device,
        bpf: *mut bindings::netdev_bpf,
    ) -> i32 {
        // SAFETY: The core passes a valid request.
        let bpf = unsafe { &mut *bpf };
        if bpf.command != bindings::bpf_netdev_command_XDP_SETUP_PROG {
            return EOPNOTSUPP.to_errno();
        }
        // SAFETY: The command says which member of the union is valid. The core gives up a
        // reference to the program if this succeeds, and keeps it otherwise.
        let (prog, mut extack) = unsafe {
            let request = bpf.__bindgen_anon_1.__bindgen_anon_1;
            (NonNull::new(request.prog), Extack::from_raw(request.extack))
        };
        let prog = prog.map(|p| ManuallyDrop::new(Owned(p)));
        // SAFETY: By the safety requirement.
        let done = unsafe { Self::set(dev, prog.as_deref(), &mut extack) };
        from_result(|| {
            done?;
            let program = prog.map(ManuallyDrop::into_inner);
            // SAFETY: By the safety requirement.
            unsafe { Self::settle(dev, program) };
            Ok(0)
        })
    }

    /// Makes the queues fit for `prog`.
    ///
    /// # Safety
    ///
    /// As for `bpf`.
    unsafe fn set(
        dev: *mut bindings::net_device,
        prog: Option<&Owned>,
        extack: &mut Extack<'_>,
    ) -> Result {
        // SAFETY: A device of ours, alive for the call.
        let (ops, device) = unsafe { (private::ops_of::<T>(dev), Device::from_raw(dev)) };
        let holder = ops.xdp_program();
        let Some(prog) = prog else {
            return Ok(());
        };
        if !prog.has_frags() && device.mtu() > T::SINGLE_MTU {
            extack.say_fmt(fmt!(
                "the MTU must be {} at most for a program without fragments (xdp.frags)",
                T::SINGLE_MTU
            ));
            return Err(EINVAL);
        }
        if holder.is_set() {
            return Ok(());
        }
        // SAFETY: The locks are held.
        unsafe {
            let setup = private::setup_of::<T>(dev).with_xdp(true);
            queues::reconfigure::<T>(dev, setup.map_err(|e| e.tell(extack))?)
        }
    }

    /// Puts the program in its place, or takes it from there.
    ///
    /// # Safety
    ///
    /// As for `bpf`; `set` was successful.
    unsafe fn settle(dev: *mut bindings::net_device, prog: Option<Owned>) {
        // SAFETY: A device of ours, alive for the call.
        let ops = unsafe { private::ops_of::<T>(dev) };
        let on = prog.is_some();
        let max_mtu = match &prog {
            Some(prog) if !prog.has_frags() => T::SINGLE_MTU,
            _ => T::MAX_MTU,
        };
        ops.xdp_program().replace(prog);
        // SAFETY: The locks are held; the core reads the limit under rtnl.
        unsafe {
            (*dev).max_mtu = max_mtu;
            if !on {
                Self::back(dev);
            }
            bindings::netdev_update_features(dev);
        }
    }

    /// Makes queues that know of no programs. Without memory for that, those that are there go on,
    /// and pass everything to the stack: taking a program away cannot fail.
    ///
    /// # Safety
    ///
    /// As for `bpf`.
    unsafe fn back(dev: *mut bindings::net_device) {
        // SAFETY: The locks are held.
        unsafe {
            if let Ok(setup) = private::setup_of::<T>(dev).with_xdp(false) {
                let _ = queues::reconfigure::<T>(dev, setup);
            }
        }
    }

    /// # Safety
    ///
    /// `ndo_xdp_xmit`: softirqs off, in an RCU read section; `frames` has `n` frames. Those from
    /// the index returned on stay the caller's, all of them on an error.
    pub(in crate::net) unsafe extern "C" fn xmit(
        dev: *mut bindings::net_device,
        n: i32,
        frames: *mut *mut bindings::xdp_frame,
        flags: u32,
    ) -> i32 {
        if flags & !bindings::XDP_XMIT_FLAGS_MASK != 0 {
            return EINVAL.to_errno();
        }
        // SAFETY: The core passes a device of ours, alive for the call.
        let Some(locked) = (unsafe { Locked::any(dev) }) else {
            return ENOSPC.to_errno();
        };
        // SAFETY: The queue is started and locked until `locked` goes.
        let Some(tx) = (unsafe { private::tx_of::<T>(dev, locked.number()) }) else {
            return ENETDOWN.to_errno();
        };
        // SAFETY: As above.
        let tx = unsafe { &mut *tx.get() };
        let mut sent = 0;
        while sent < n {
            // SAFETY: The array has so many frames, which the core gives up one by one.
            let frame = unsafe { frames.add(sent as usize).read() };
            let Some(frame) = NonNull::new(frame) else {
                break;
            };
            // SAFETY: As above.
            if let Err(frame) = tx.xmit_frame(unsafe { Frame::from_raw(frame) }) {
                let _ = frame.into_raw();
                break;
            }
            sent += 1;
        }
        // Rung for without XDP_XMIT_FLUSH, too: the call that brings the flag does not come if a
        // program of the device map drops all that is left.
        tx.flush_frames();
        sent
    }
}
