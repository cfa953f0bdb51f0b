/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Structures shared by the net abstractions and their C helpers. With them the
 * hot path calls C once per packet, not once per field.
 */
#ifndef _NET_RUST_HELPERS_H
#define _NET_RUST_HELPERS_H

#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <linux/timer.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include <net/devlink.h>
#include <net/netmem.h>
#include <net/xdp.h>

struct seq_file;
/* Arguments formatted by Rust, fmt::Arguments. */
struct rnet_args;
/* A finding of the watch, watch::Finding. */
struct rnet_finding;

/**
 * struct rnet_config - properties of a new device
 * @hw_features: features that users can toggle
 * @features: features that are enabled initially
 * @vlan_features: features of VLAN interfaces on top
 * @queues: queue pairs
 * @max_mtu: largest payload that can be set
 * @mac: station address
 */
struct rnet_config {
	u64 hw_features;
	u64 features;
	u64 vlan_features;
	u32 queues;
	u32 max_mtu;
	u8 mac[6];
};

/**
 * struct rnet_name - the name of an interface
 * @text: the name, terminated by NUL
 */
struct rnet_name {
	u8 text[IFNAMSIZ];
};

/**
 * struct rnet_rss_key - the system's RSS key
 * @bytes: the key
 */
struct rnet_rss_key {
	u8 bytes[NETDEV_RSS_KEY_LEN];
};

#define RNET_ADDRS_MAX	64

/**
 * struct rnet_addrs - addresses of the receive filter
 * @addrs: the first RNET_ADDRS_MAX of them
 */
struct rnet_addrs {
	u8 addrs[RNET_ADDRS_MAX][ETH_ALEN];
};

/**
 * struct rnet_service - deferred work of a device
 * @work: the work, disabled while @dev is NULL
 * @dev: the device, or NULL
 * @serve: called with @dev in process context
 */
struct rnet_service {
	struct delayed_work work;
	struct net_device *dev;
	void (*serve)(struct net_device *dev);
};

/**
 * struct rnet_devlink - the private area of a devlink instance
 * @dev: the network device that is the port, while the instance is registered
 * @port: the port
 */
struct rnet_devlink {
	struct net_device *dev;
	struct devlink_port port;
};

/**
 * enum rnet_tx_gso - segmentation of a packet to send
 * @RNET_TX_GSO_TCP: TCP segments
 * @RNET_TX_GSO_TCP_FIXED_ID: TCP segments that keep the IPv4 id
 * @RNET_TX_GSO_UDP: UDP datagrams
 */
enum rnet_tx_gso {
	RNET_TX_GSO_TCP			= 1,
	RNET_TX_GSO_TCP_FIXED_ID	= 2,
	RNET_TX_GSO_UDP			= 3,
};

/**
 * struct rnet_tx_info - lengths and offloads of a packet to send
 * @len: bytes of the packet
 * @head_len: bytes in the linear part
 * @nr_frags: page fragments behind it
 * @gso_size: payload bytes of a segment, 0 without segmentation
 * @gso_segs: number of segments
 * @vlan_tci: VLAN tag to insert, if @vlan
 * @csum_start: where the checksum starts, from the start of the packet
 * @csum_off: where the checksum goes, from the start of the packet
 * @csum: checksum wanted
 * @vlan: VLAN tag wanted
 * @gso: kind of segmentation, of &enum rnet_tx_gso, 0 for none
 * @hdr_len: headers that each segment repeats
 * @l3_off: offset of the IP header, for segmentation
 * @l4_off: offset of the TCP or UDP header, for segmentation
 * @v6: IPv6, else IPv4, for segmentation of TCP
 * @time: time of the device's clock wanted
 */
struct rnet_tx_info {
	u32 len;
	u32 head_len;
	u16 nr_frags;
	u16 gso_size;
	u16 gso_segs;
	u16 vlan_tci;
	u16 csum_start;
	u16 csum_off;
	u16 hdr_len;
	u16 l3_off;
	u16 l4_off;
	u8 csum;
	u8 vlan;
	u8 gso;
	u8 v6;
	u8 time;
};

/**
 * struct rnet_tx_part - a part of a packet to send, as the device finds it
 * @addr: bus address
 * @len: bytes
 * @foreign: the owner of the memory has mapped it, and unmaps it
 */
struct rnet_tx_part {
	dma_addr_t addr;
	u32 len;
	u32 foreign;
};

/**
 * struct rnet_tx_parts - room for all parts of a packet
 * @part: its linear part, if there is one, and fragments
 */
struct rnet_tx_parts {
	struct rnet_tx_part part[1 + MAX_SKB_FRAGS];
};

/**
 * enum rnet_rx_flags - properties of a received packet
 * @RNET_RX_HASH: the hash is valid and covers addresses
 * @RNET_RX_HASH_L4: the hash covers ports, too
 * @RNET_RX_VLAN: a VLAN tag was removed
 * @RNET_RX_CSUM_OK: the checksums were verified
 * @RNET_RX_TIME: the time is valid
 */
enum rnet_rx_flags {
	RNET_RX_HASH		= 1,
	RNET_RX_HASH_L4		= 2,
	RNET_RX_VLAN		= 4,
	RNET_RX_CSUM_OK		= 8,
	RNET_RX_TIME		= 16,
};

/**
 * struct rnet_napi - a NAPI instance that is added to its device
 * @napi: the instance
 * @retry: schedules a poll after a delay
 */
struct rnet_napi {
	struct napi_struct napi;
	struct timer_list retry;
};

/**
 * struct rnet_locked_napi - a NAPI instance whose device's instance lock is held
 * @napi: the instance
 */
struct rnet_locked_napi {
	struct rnet_napi napi;
};

/**
 * struct rnet_tx_context - a NAPI instance that is being polled on this CPU
 * @napi: the instance
 * @budget: packets that may be received, 0 if netpoll only wants sent packets
 *	    freed
 * @queue: number of its transmit and receive queue
 */
struct rnet_tx_context {
	struct napi_struct *napi;
	s32 budget;
	u32 queue;
};

/**
 * struct rnet_rx_context - a poll with a budget above 0, in softirq context
 * @tx: the instance and the budget
 */
struct rnet_rx_context {
	struct rnet_tx_context tx;
};

/**
 * struct rnet_pool_params - parameters of a page pool
 * @count: approximate number of pages in use
 * @size: bytes of a page, a power of two that is not less than PAGE_SIZE
 * @queue: receive queue that it is for
 * @offset: bytes in front of what the device writes
 * @mapped: pages are mapped for the device to write
 * @both_ways: and to read
 * @unreadable: pages may be user space's, and unreadable for the CPU
 */
struct rnet_pool_params {
	u32 count;
	u32 size;
	u16 queue;
	u16 offset;
	bool mapped;
	bool both_ways;
	bool unreadable;
};

/* References of a fresh page that packets share: more than they can take. */
enum rnet_page_refs {
	RNET_PAGE_REFS	= 1 << 16,
};

/**
 * struct rnet_pool - a page pool
 * @pool: the pool
 * @refs: references of a fresh page: 1, or %RNET_PAGE_REFS
 * @size: bytes of a page
 */
struct rnet_pool {
	struct page_pool *pool;
	s32 refs;
	u32 size;
};

/**
 * struct rnet_page - a page of a pool, or a net_iov
 * @netmem: the page
 * @addr: bus address of where the device begins in it
 * @size: its bytes
 * @refs: references to it that belong to this structure
 * @charged: bytes that packets were charged for
 * @sole: it is not to be shared among packets
 */
struct rnet_page {
	netmem_ref netmem;
	dma_addr_t addr;
	u32 size;
	s32 refs;
	u32 charged;
	bool sole;
};

/**
 * struct rnet_rx_skb - a received packet under construction
 * @skb: the packet
 * @nr_frags: its fragments
 */
struct rnet_rx_skb {
	struct sk_buff *skb;
	u32 nr_frags;
};

/* Short copies from coherent memory to a packet are of a multiple of so many bytes. */
enum rnet_copy_step {
	RNET_COPY_STEP	= 64,
};

/**
 * struct rnet_coherent - bytes that a device may write to
 * @data: the first; up to a multiple of %RNET_COPY_STEP bytes can be read there
 * @len: how many
 */
struct rnet_coherent {
	const void *data;
	u32 len;
};

/**
 * struct rnet_pieces - memory for the linear parts of received packets
 * @next: the next piece of a page of a pool, which comes with a reference to it
 * @size: bytes of each
 * @room: those that a packet can have, a multiple of %RNET_COPY_STEP
 * @left: pieces from @next on
 */
struct rnet_pieces {
	void *next;
	u32 size;
	u32 room;
	u32 left;
};

/**
 * struct rnet_rx_frag - received bytes in a page
 * @offset: where they begin
 * @len: how many
 * @charge: what the packet is charged for them
 */
struct rnet_rx_frag {
	u16 offset;
	u16 len;
	u32 charge;
};

/**
 * struct rnet_rx_tags - what a driver knows of a received packet that is no
 *			 several segments
 * @hash: flow hash
 * @vlan_tci: removed VLAN tag
 * @flags: of &enum rnet_rx_flags
 */
struct rnet_rx_tags {
	u32 hash;
	u16 vlan_tci;
	u16 flags;
};

/* Headroom of a received packet, for headers that the stack adds. */
enum rnet_headroom {
	RNET_HEADROOM	= 64,
};

/**
 * struct rnet_buffer - a receive buffer that an skb can be built around
 * @page: the page that it lies in, with no other buffer
 * @off: where it begins in the page: at 0, or at @size if that is half of it
 * @size: its bytes: %RNET_HEADROOM, the packet, and what the skb adds
 */
struct rnet_buffer {
	struct rnet_page page;
	u32 off;
	u32 size;
};

/**
 * struct rnet_rx_meta - metadata of a received packet
 * @hash: flow hash
 * @gso_type: SKB_GSO_* flags of an aggregate; 0 if nothing was merged
 * @flags: of &enum rnet_rx_flags
 * @vlan_tci: removed VLAN tag
 * @gso_size: payload bytes of each segment but the last
 * @gso_segs: number of segments
 * @l3_off: offset of the IP header before TCP from the start of the frame
 * @l4_off: offset of the TCP header from the start of the frame
 * @time: when it came, in nanoseconds of the device's clock
 */
struct rnet_rx_meta {
	u32 hash;
	u32 gso_type;
	u16 flags;
	u16 vlan_tci;
	u16 gso_size;
	u16 gso_segs;
	u16 l3_off;
	u16 l4_off;
	u64 time;
};

/**
 * struct rnet_table - a table in debugfs
 * @show: writes the table
 * @dev: the device
 * @index: number of the table
 */
struct rnet_table {
	int (*show)(struct seq_file *seq, struct net_device *dev, u32 index);
	struct net_device *dev;
	u32 index;
};

/**
 * struct rnet_xdp_hints - metadata of a packet for XDP programs
 * @time: when it was received, in ns of the device's clock; 0 if unknown
 * @hash: flow hash
 * @rss_type: what the hash covers, of &enum xdp_rss_hash_type; 0 without hash
 * @vlan_tci: removed VLAN tag, if @vlan
 * @vlan: a VLAN tag was removed
 */
struct rnet_xdp_hints {
	u64 time;
	u32 hash;
	u32 rss_type;
	u16 vlan_tci;
	u16 vlan;
};

/**
 * struct rnet_xdp_buff - a received packet as XDP programs get it
 * @xdp: the packet; XDP programs and metadata functions get a pointer to this
 * @hints: its metadata
 */
struct rnet_xdp_buff {
	struct xdp_buff xdp;
	struct rnet_xdp_hints hints;
};

/**
 * struct rnet_flow - a TCP connection as its received packets have it
 * @key: source address, destination address, source port, destination port,
 *       in network byte order; 12 bytes with IPv4, 36 with IPv6, then zeros
 * @vlan_tci: VLAN tag, if @tagged
 * @v6: IPv6, else IPv4
 * @tagged: packets have a VLAN tag
 */
struct rnet_flow {
	u8 key[40];
	u16 vlan_tci;
	u8 v6;
	u8 tagged;
};

#endif /* _NET_RUST_HELPERS_H */
