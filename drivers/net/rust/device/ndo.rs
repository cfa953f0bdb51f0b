// SPDX-License-Identifier: GPL-2.0

//! The callbacks of `net_device_ops` that a driver has without any part.

use super::{
    handle::{
        BhDisabled,
        Handle,
        Held, //
    },
    Operations,
    RxMode,
    Setup as _,
    XmitContext, //
};
use crate::net::{
    bindings,
    callback::{
        callbacks,
        Object, //
    },
    skbuff::{
        DropReason,
        TxInfo,
        TxSkb, //
    }, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// The callbacks for a driver.
pub(super) struct Ndo<T>(PhantomData<T>);

impl<T: Operations> Ndo<T> {
    /// The table of a driver without parts.
    pub(super) const OPS: bindings::net_device_ops = {
        let mut ops = bindings::net_device_ops {
            ndo_open: Some(Self::open),
            ndo_stop: Some(Self::stop),
            ndo_start_xmit: Some(Self::start_xmit),
            ndo_tx_timeout: Some(Self::tx_timeout),
            ndo_get_stats64: Some(Self::get_stats64),
            ndo_change_mtu: Some(Self::change_mtu),
            ndo_validate_addr: Some(bindings::eth_validate_addr),
            ..pin_init::zeroed()
        };
        if T::HAS_CAN_SEGMENT {
            ops.ndo_features_check = Some(Self::features_check);
        }
        if T::HAS_SET_RX_MODE {
            ops.ndo_set_rx_mode_async = Some(Self::set_rx_mode);
        }
        if T::HAS_SET_MAC {
            ops.ndo_set_mac_address = Some(Self::set_mac_address);
        }
        if T::HAS_FIX_FEATURES {
            ops.ndo_fix_features = Some(Self::fix_features);
        }
        if T::HAS_SET_FEATURES {
            ops.ndo_set_features = Some(Self::set_features);
        }
        ops
    };

    callbacks! {
        /// `ndo_open`: rtnl held, too; the device is down.
        fn open(held: Held<'_, T>) -> Result {
            held.instance().up()
        }

        /// `ndo_stop`: rtnl held, too; the device is up.
        fn stop(held: Held<'_, T>) -> i32 {
            held.instance().down();
            0
        }

        /// `ndo_start_xmit`: softirqs off, transmit queue locked and started.
        fn start_xmit(
            skb: *mut bindings::sk_buff,
            to: BhDisabled<'_, T>,
        ) -> bindings::netdev_tx_t {
            // SAFETY: The core gives up a valid packet.
            let (queue, skb) = unsafe {
                let queue = u32::from(bindings::skb_get_queue_mapping(skb));
                (queue, TxSkb::from_raw(NonNull::new_unchecked(skb)))
            };
            let Some(tx) = to.senders().and_then(|cells| cells.get(queue as usize)) else {
                skb.drop_with(DropReason::DevReady);
                return bindings::netdev_tx_NETDEV_TX_OK;
            };
            let dev = to.device().as_raw();
            // SAFETY: The queue exists, as it has a transmit side, and is started and locked.
            let cx = unsafe { XmitContext::new((*dev)._tx.add(queue as usize)) };
            // SAFETY: The transmit side of a queue is used under the queue's lock only.
            T::start_xmit(unsafe { &mut *tx.get() }, &cx, skb);
            bindings::netdev_tx_NETDEV_TX_OK
        }

        /// `ndo_tx_timeout`: softirqs off, all transmit queues frozen.
        fn tx_timeout(handle: Handle<'_, T>, queue: u32) {
            handle.private().timed_out(queue);
        }

        /// `ndo_features_check`: softirqs off.
        fn features_check(
            skb: Object<'_, bindings::sk_buff>,
            _dev: *mut bindings::net_device,
            features: u64,
        ) -> u64 {
            let mut info = TxInfo::default();
            let features = bindings::features_check(skb.live(), &mut info, features);
            if info.gso != 0 && !T::can_segment(&info) {
                features & !bindings::NETIF_F_GSO_MASK
            } else {
                features
            }
        }

        /// `ndo_get_stats64`: in an RCU read section.
        fn get_stats64(handle: Handle<'_, T>, stats: &mut bindings::rtnl_link_stats64) {
            handle.ops().stats64(stats);
        }

        /// `ndo_set_rx_mode_async`: the lists are snapshots.
        fn set_rx_mode(
            held: Held<'_, T>,
            _uc: *mut bindings::netdev_hw_addr_list,
            mc: &mut bindings::netdev_hw_addr_list,
        ) -> Result {
            let mut list = bindings::rnet_addrs::default();
            let n = bindings::hw_addr_copy(mc, &mut list) as usize;
            let addrs = &list.addrs;
            let flags = held.device().flags();
            let mode = RxMode {
                promisc: flags & bindings::net_device_flags_IFF_PROMISC != 0,
                // With more than there is room for, all multicast is let in.
                allmulti: flags & bindings::net_device_flags_IFF_ALLMULTI != 0 || n > addrs.len(),
                multicast: addrs.get(..n).unwrap_or(addrs),
            };
            held.ops().set_rx_mode(held.device(), &mode)
        }

        /// `ndo_set_mac_address`: rtnl held, too.
        fn set_mac_address(held: Held<'_, T>, addr: *mut c_void) -> i32 {
            // SAFETY: The core passes a socket address.
            let ret = unsafe { bindings::eth_mac_addr(held.device().as_raw(), addr) };
            if ret == 0 {
                held.ops().set_mac(&held.device().mac());
            }
            ret
        }

        /// `ndo_change_mtu`: rtnl held, too. The core leaves storing the value to the driver.
        fn change_mtu(held: Held<'_, T>, mtu: i32) -> Result {
            let mtu = u32::try_from(mtu)?;
            match held.setup().with_mtu(mtu) {
                Some(setup) => held.instance().reconfigure(setup)?,
                None => held.ops().set_mtu(mtu),
            }
            held.device().store_mtu(mtu);
            Ok(())
        }

        /// `ndo_fix_features`: rtnl held, too.
        fn fix_features(held: Held<'_, T>, features: u64) -> u64 {
            held.ops().fix_features(features)
        }

        /// `ndo_set_features`: rtnl held, too.
        fn set_features(held: Held<'_, T>, features: u64) -> Result {
            held.ops().set_features(held.device(), features)
        }
    }
}
