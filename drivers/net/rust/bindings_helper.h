/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Input of the module's own bindgen: the networking headers that the
 * kernel's "bindings" crate leaves out or holds only as opaque types.
 * bindgen_parameters says which of their names are wanted.
 */

#include <linux/bpf.h>
#include <linux/bpf_trace.h>
#include <linux/cpu_rmap.h>
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/dim.h>
#include <linux/dma-mapping.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <linux/filter.h>
#include <linux/firmware.h>
#include <linux/if_vlan.h>
#include <linux/interrupt.h>
#include <linux/net_tstamp.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/ptp_clock_kernel.h>
#include <linux/seq_file.h>
#include <linux/skbuff.h>
#include <linux/sysfs.h>
#include <linux/u64_stats_sync.h>
#include <linux/workqueue.h>
#include <net/devlink.h>
#include <net/flow_dissector.h>
#include <net/gro.h>
#include <net/inet6_hashtables.h>
#include <net/inet_hashtables.h>
#include <net/netdev_lock.h>
#include <net/netdev_queues.h>
#include <net/page_pool/helpers.h>
#include <net/page_pool/types.h>
#include <net/rps.h>
#include <net/tcp.h>
#include <net/xdp.h>
#include <xen/xen.h>

#include "helpers.h"

/*
 * bindgen reads constants, not macros that cast or shift. It drops the prefix
 * again, so RNET_CONST_HELPER_NETIF_F_SG is NETIF_F_SG in Rust.
 */
const gfp_t RNET_CONST_HELPER_GFP_ATOMIC = GFP_ATOMIC;
const gfp_t RNET_CONST_HELPER_GFP_KERNEL = GFP_KERNEL;
const gfp_t RNET_CONST_HELPER___GFP_NOWARN = __GFP_NOWARN;

const netdev_features_t RNET_CONST_HELPER_NETIF_F_SG = NETIF_F_SG;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_IP_CSUM = NETIF_F_IP_CSUM;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_IPV6_CSUM = NETIF_F_IPV6_CSUM;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_HW_CSUM = NETIF_F_HW_CSUM;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_HIGHDMA = NETIF_F_HIGHDMA;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_RXCSUM = NETIF_F_RXCSUM;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_RXHASH = NETIF_F_RXHASH;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_NTUPLE = NETIF_F_NTUPLE;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_GRO = NETIF_F_GRO;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_GRO_HW = NETIF_F_GRO_HW;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_LRO = NETIF_F_LRO;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_TSO = NETIF_F_TSO;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_TSO6 = NETIF_F_TSO6;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_TSO_ECN = NETIF_F_TSO_ECN;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_GSO_UDP_L4 = NETIF_F_GSO_UDP_L4;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_GSO_MASK = NETIF_F_GSO_MASK;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_HW_VLAN_CTAG_TX = NETIF_F_HW_VLAN_CTAG_TX;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_HW_VLAN_CTAG_RX = NETIF_F_HW_VLAN_CTAG_RX;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_HW_VLAN_CTAG_FILTER =
	NETIF_F_HW_VLAN_CTAG_FILTER;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_LOOPBACK = NETIF_F_LOOPBACK;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_RXALL = NETIF_F_RXALL;
const netdev_features_t RNET_CONST_HELPER_NETIF_F_RXFCS = NETIF_F_RXFCS;

/* Room that build_skb() needs behind the data for struct skb_shared_info. */
#define SKB_SHARED_INFO_ROOM	SKB_DATA_ALIGN(sizeof(struct skb_shared_info))
const size_t RNET_CONST_HELPER_SKB_SHARED_INFO_ROOM = SKB_SHARED_INFO_ROOM;
const size_t RNET_CONST_HELPER_SMP_CACHE_BYTES = SMP_CACHE_BYTES;

/* Which coalescing parameters a driver takes: u32 in struct ethtool_ops. */
const u32 RNET_CONST_HELPER_ETHTOOL_COALESCE_RX_USECS = ETHTOOL_COALESCE_RX_USECS;
const u32 RNET_CONST_HELPER_ETHTOOL_COALESCE_RX_MAX_FRAMES = ETHTOOL_COALESCE_RX_MAX_FRAMES;
const u32 RNET_CONST_HELPER_ETHTOOL_COALESCE_TX_USECS = ETHTOOL_COALESCE_TX_USECS;
const u32 RNET_CONST_HELPER_ETHTOOL_COALESCE_TX_MAX_FRAMES = ETHTOOL_COALESCE_TX_MAX_FRAMES;
const u32 RNET_CONST_HELPER_ETHTOOL_COALESCE_USE_ADAPTIVE_RX = ETHTOOL_COALESCE_USE_ADAPTIVE_RX;
const u32 RNET_CONST_HELPER_ETHTOOL_COALESCE_USE_ADAPTIVE_TX = ETHTOOL_COALESCE_USE_ADAPTIVE_TX;

/* Which operations want rtnl besides the instance lock. */
const u32 RNET_CONST_HELPER_QCFG_RX_PAGE_SIZE = QCFG_RX_PAGE_SIZE;

const u32 RNET_CONST_HELPER_ETHTOOL_OP_NEEDS_RTNL_SRINGPARAM =
	ETHTOOL_OP_NEEDS_RTNL_SRINGPARAM;
const u32 RNET_CONST_HELPER_ETHTOOL_OP_NEEDS_RTNL_SCHANNELS = ETHTOOL_OP_NEEDS_RTNL_SCHANNELS;
const u32 RNET_CONST_HELPER_ETHTOOL_OP_NEEDS_RTNL_GLINK = ETHTOOL_OP_NEEDS_RTNL_GLINK;
