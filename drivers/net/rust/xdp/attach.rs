// SPDX-License-Identifier: GPL-2.0

//! Attaching XDP programs, their metadata, and sending frames of others.
//!
//! Wraps `ndo_bpf`, `ndo_xdp_xmit` and `struct xdp_metadata_ops`. Attaching runs in process
//! context with rtnl and the instance lock held, sending and asking with softirqs off.

use super::{
    Holder,
    ProgramRef, //
    XdpFrame,
};
use crate::net::{
    bindings,
    callback::{
        callbacks,
        Arg,
        BhDisabled,
        Held,
        Passed, //
    },
    device,
    extack::{
        Extack,
        Refused, //
    },
    own::Given,
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// A [`Setup`](device::Setup) that can be made for XDP.
pub(crate) trait Plan: Sized {
    /// The setup with or without an XDP program.
    ///
    /// # Errors
    ///
    /// A refusal that names the conflicting setting.
    fn with_xdp(&self, on: bool) -> Result<Self, Refused>;
}

/// The transmit side of a queue, for frames.
pub(crate) trait Transmit {
    /// Puts a frame in memory of any origin on the ring. Softirqs off, transmit queue locked.
    ///
    /// # Errors
    ///
    /// The frame, if there is no room or its memory cannot be mapped.
    fn xmit_frame(&mut self, frame: XdpFrame) -> Result<(), XdpFrame>;

    /// Writes the doorbell for all frames on the ring. Softirqs off, transmit queue locked.
    fn flush_frames(&mut self);
}

/// A driver that runs XDP programs.
pub(crate) trait Operations {
    /// Largest MTU that can be set.
    const MAX_MTU: u32;
    /// Largest MTU at which every packet fits one buffer.
    const SINGLE_MTU: u32;

    /// The holder of the XDP program that polls run.
    fn xdp_program(&self) -> &Holder;
}

/// Abilities of all devices of this layer, of `enum netdev_xdp_act`.
pub(in crate::net) const FEATURES: u32 = bindings::netdev_xdp_act_NETDEV_XDP_ACT_BASIC
    | bindings::netdev_xdp_act_NETDEV_XDP_ACT_REDIRECT
    | bindings::netdev_xdp_act_NETDEV_XDP_ACT_NDO_XMIT
    | bindings::netdev_xdp_act_NETDEV_XDP_ACT_RX_SG
    | bindings::netdev_xdp_act_NETDEV_XDP_ACT_NDO_XMIT_SG;

/// Metadata that XDP programs can ask for.
pub(in crate::net) static METADATA_OPS: bindings::xdp_metadata_ops = bindings::xdp_metadata_ops {
    xmo_rx_timestamp: Some(rx_timestamp),
    xmo_rx_hash: Some(rx_hash),
    xmo_rx_vlan_tag: Some(rx_vlan_tag),
};

/// Metadata of the packet at hand.
struct Asked<'a>(&'a bindings::rnet_xdp_hints);

// SAFETY: XDP programs call with the packet that they were given, which is that of an `XdpBuff`:
// the packet as XDP programs see it is the first field of the packet as we see it.
unsafe impl Arg for Asked<'_> {
    type Raw = *const bindings::xdp_md;

    fn from_passed(packet: Passed<Self::Raw>) -> Self {
        // SAFETY: The packet of a `Buff`, which is there as long as the XDP program runs.
        Self(unsafe { &(*packet.raw().cast::<bindings::rnet_xdp_buff>()).hints })
    }
}

callbacks! {
    /// `xmo_rx_timestamp`.
    fn rx_timestamp(asked: Asked<'_>, time: &mut u64) -> Result {
        *time = asked.0.time;
        if *time == 0 {
            return Err(ENODATA);
        }
        Ok(())
    }

    /// `xmo_rx_hash`.
    fn rx_hash(
        asked: Asked<'_>,
        hash: &mut u32,
        rss_type: &mut bindings::xdp_rss_hash_type,
    ) -> Result {
        if asked.0.rss_type == 0 {
            return Err(ENODATA);
        }
        *hash = asked.0.hash;
        *rss_type = asked.0.rss_type;
        Ok(())
    }

    /// `xmo_rx_vlan_tag`.
    fn rx_vlan_tag(
        asked: Asked<'_>,
        proto: &mut bindings::__be16,
        tci: &mut u16,
    ) -> Result {
        if asked.0.vlan == 0 {
            return Err(ENODATA);
        }
        *proto = (bindings::ETH_P_8021Q as u16).to_be();
        *tci = asked.0.vlan_tci;
        Ok(())
    }
}

/// The callbacks for a driver.
pub(in crate::net) struct Adapter<T>(PhantomData<T>);

impl<T> Adapter<T>
where
    T: device::Operations<Setup: Plan, Tx: Transmit> + Operations,
{
    /// Makes the queues fit for `prog`.
    fn set<'a>(held: &mut Held<'a, T>, prog: Option<&ProgramRef>, extack: &mut Extack<'_>) -> Result
    where
        T: 'a,
    {
        let Some(prog) = prog else {
            return Ok(());
        };
        if !bindings::xdp_prog_has_frags(prog) && held.device().mtu() > T::SINGLE_MTU {
            extack.say_fmt(fmt!(
                "the MTU must be {} at most for a program without fragments (xdp.frags)",
                T::SINGLE_MTU
            ));
            return Err(EINVAL);
        }
        if held.ops().xdp_program().is_set() {
            return Ok(());
        }
        let setup = held.setup().with_xdp(true).map_err(|e| e.tell(extack))?;
        held.instance().reconfigure(setup)
    }

    /// Puts the XDP program in its place, or takes it from there.
    fn settle<'a>(held: &mut Held<'a, T>, prog: Option<ProgramRef>)
    where
        T: 'a,
    {
        let on = prog.is_some();
        let max_mtu = match &prog {
            Some(prog) if !bindings::xdp_prog_has_frags(prog) => T::SINGLE_MTU,
            _ => T::MAX_MTU,
        };
        held.ops().xdp_program().replace(prog);
        held.device().set_max_mtu(max_mtu);
        if !on {
            Self::back(held);
        }
        held.update_features();
    }

    /// Makes queues that know of no XDP programs. Without memory for that, those that are there go
    /// on, and pass everything to the stack: taking an XDP program away cannot fail.
    fn back<'a>(held: &mut Held<'a, T>)
    where
        T: 'a,
    {
        if let Ok(setup) = held.setup().with_xdp(false) {
            let _ = held.instance().reconfigure(setup);
        }
    }

    callbacks! {
        /// `ndo_bpf`: rtnl held, too.
        pub(in crate::net) fn bpf(held: Held<'_, T>, bpf: &mut bindings::netdev_bpf) -> Result {
            if bpf.command != bindings::bpf_netdev_command_XDP_SETUP_PROG {
                return Err(EOPNOTSUPP);
            }
            // SAFETY: The command says which member of the union is valid. The core gives up a
            // reference to the XDP program if this succeeds, and keeps it otherwise.
            let (prog, mut extack) = unsafe {
                let request = bpf.__bindgen_anon_1.__bindgen_anon_1;
                let prog = NonNull::new(request.prog).map(|prog| Given::from_raw(prog));
                (prog, Extack::from_raw(request.extack))
            };
            let prog = prog.map(|prog| ManuallyDrop::new(ProgramRef::from(prog)));
            Self::set(&mut held, prog.as_deref(), &mut extack)?;
            Self::settle(&mut held, prog.map(ManuallyDrop::into_inner));
            Ok(())
        }

        /// `ndo_xdp_xmit`: softirqs off, in an RCU read section. Frames from the index returned on
        /// stay the caller's, all of them on an error.
        pub(in crate::net) fn xmit(
            to: BhDisabled<'_, T>,
            n: i32,
            frames: *mut *mut bindings::xdp_frame,
            flags: u32,
        ) -> Result<i32> {
            if flags & !bindings::XDP_XMIT_FLAGS_MASK != 0 {
                return Err(EINVAL);
            }
            let mut locked = to.lock().ok_or(ENOSPC)?;
            let cells = to.senders().ok_or(ENETDOWN)?;
            let cell = cells.get(locked.number() as usize).ok_or(ENETDOWN)?;
            let (tx, _) = locked.reach(cell).ok_or(ENETDOWN)?;
            // SAFETY: The array has so many frames, none of them null. The core gives them up one
            // by one: those from the number that is returned on stay its own.
            let frames = unsafe {
                core::slice::from_raw_parts_mut(frames.cast::<Option<XdpFrame>>(), n.try_into()?)
            };
            let mut sent = 0;
            for slot in frames {
                let Some(frame) = slot.take() else {
                    break;
                };
                if let Err(frame) = tx.xmit_frame(frame) {
                    *slot = Some(frame);
                    break;
                }
                sent += 1;
            }
            // Rung for without XDP_XMIT_FLUSH, too: the call that brings the flag does not come if
            // an XDP program of the device map drops all that is left.
            tx.flush_frames();
            Ok(sent)
        }
    }
}
