// SPDX-License-Identifier: GPL-2.0
/*
 * C side of the net abstractions: inline functions of the kernel that Rust
 * cannot call, and a few steps of the hot path put together.
 */
#include "bindings_helper.h"

void *reflow_rust_helper_netdev_priv(const struct net_device *dev)
{
	return netdev_priv(dev);
}

/*
 * Fills in a new device. Its transmit queues are stopped until it is opened,
 * for whoever sends past the queueing discipline.
 */
void reflow_rust_helper_netdev_setup(struct net_device *dev,
				     struct device *parent,
				     const struct rnet_config *config)
{
	SET_NETDEV_DEV(dev, parent);
	eth_hw_addr_set(dev, config->mac);
	dev->hw_features = config->hw_features;
	dev->features = config->features | NETIF_F_HIGHDMA;
	dev->vlan_features = config->vlan_features | NETIF_F_HIGHDMA;
	dev->min_mtu = ETH_MIN_MTU;
	dev->max_mtu = config->max_mtu;
	dev->priv_flags |= IFF_LIVE_ADDR_CHANGE;
	dev->request_ops_lock = true;
	dev->netmem_tx = NETMEM_TX_DMA;
	netif_set_affinity_auto(dev);
	netif_carrier_off(dev);
	netif_tx_stop_all_queues(dev);
}

u32 reflow_rust_helper_netdev_mtu(const struct net_device *dev)
{
	return READ_ONCE(dev->mtu);
}

void reflow_rust_helper_netdev_store_mtu(struct net_device *dev, u32 mtu)
{
	WRITE_ONCE(dev->mtu, mtu);
}

u32 reflow_rust_helper_num_online_cpus(void)
{
	return num_online_cpus();
}

void reflow_rust_helper_netdev_lock(struct net_device *dev)
{
	netdev_lock(dev);
}

void reflow_rust_helper_netdev_unlock(struct net_device *dev)
{
	netdev_unlock(dev);
}

u32 reflow_rust_helper_netdev_rx_queues(const struct net_device *dev)
{
	return READ_ONCE(dev->real_num_rx_queues);
}

bool reflow_rust_helper_netif_carrier_ok(const struct net_device *dev)
{
	return netif_carrier_ok(dev);
}

void reflow_rust_helper_netif_tx_disable(struct net_device *dev)
{
	netif_tx_disable(dev);
}

void reflow_rust_helper_netif_tx_wake_all_queues(struct net_device *dev)
{
	netif_tx_wake_all_queues(dev);
}

void reflow_rust_helper_netdev_tx_reset_subqueue(const struct net_device *dev,
						 u32 queue)
{
	netdev_tx_reset_subqueue(dev, queue);
}

/*
 * Copies the addresses of a list, six bytes each, as far as there is room.
 * Returns how many the list has.
 */
u32 reflow_rust_helper_hw_addr_copy(struct netdev_hw_addr_list *list, u8 *buf,
				    u32 room)
{
	struct netdev_hw_addr *ha;
	u32 n = 0;

	netdev_hw_addr_list_for_each(ha, list) {
		if (n < room)
			ether_addr_copy(buf + n * ETH_ALEN, ha->addr);
		n++;
	}
	return n;
}

void reflow_rust_helper_netif_napi_add_config_locked(struct net_device *dev,
						     struct napi_struct *napi,
						     int (*poll)(struct napi_struct *,
								 int),
						     int index)
{
	netif_napi_add_config_locked(dev, napi, poll, index);
}

void reflow_rust_helper_netif_napi_del_locked(struct napi_struct *napi)
{
	netif_napi_del_locked(napi);
}

bool reflow_rust_helper_napi_schedule_irqoff(struct napi_struct *napi)
{
	if (!napi_schedule_prep(napi))
		return false;
	__napi_schedule_irqoff(napi);
	return true;
}

bool reflow_rust_helper_napi_is_scheduled(struct napi_struct *napi)
{
	return napi_is_scheduled(napi);
}

/* Has an instance polled soon, from process context. */
void reflow_rust_helper_napi_kick(struct napi_struct *napi)
{
	local_bh_disable();
	napi_schedule(napi);
	local_bh_enable();
}

static void rnet_retry(struct timer_list *timer)
{
	struct rnet_retry *retry = timer_container_of(retry, timer, timer);

	napi_schedule(retry->napi);
}

void reflow_rust_helper_retry_init(struct rnet_retry *retry,
				   struct napi_struct *napi)
{
	retry->napi = napi;
	timer_setup(&retry->timer, rnet_retry, 0);
}

/* Long enough for memory to be reclaimed, short for who waits for a packet. */
void reflow_rust_helper_retry_arm(struct rnet_retry *retry)
{
	mod_timer(&retry->timer, jiffies + msecs_to_jiffies(5));
}

void reflow_rust_helper_retry_stop(struct rnet_retry *retry)
{
	timer_delete_sync(&retry->timer);
}

u32 reflow_rust_helper_netdev_tx_queues(const struct net_device *dev)
{
	return dev->num_tx_queues;
}

/* Stops one transmit queue; when this returns nobody is sending on it. */
void reflow_rust_helper_netif_tx_disable_queue(struct net_device *dev,
					       u32 queue)
{
	struct netdev_queue *txq = netdev_get_tx_queue(dev, queue);

	__netif_tx_lock_bh(txq);
	netif_tx_stop_queue(txq);
	__netif_tx_unlock_bh(txq);
}

void reflow_rust_helper_netif_tx_wake_queue_at(struct net_device *dev,
					       u32 queue)
{
	netif_tx_wake_queue(netdev_get_tx_queue(dev, queue));
}

struct netdev_queue *
reflow_rust_helper_netdev_get_tx_queue(const struct net_device *dev, u32 index)
{
	return netdev_get_tx_queue(dev, index);
}

/* Tells BQL of a packet put on the ring. */
void reflow_rust_helper_txq_sent(struct netdev_queue *txq, u32 bytes)
{
	__netdev_tx_sent_queue(txq, bytes, netdev_xmit_more());
}

/* Whether no packet follows that the doorbell could wait for. */
bool reflow_rust_helper_txq_doorbell_due(const struct netdev_queue *txq)
{
	return !netdev_xmit_more() || netif_tx_queue_stopped(txq);
}

void reflow_rust_helper_netdev_tx_completed_queue(struct netdev_queue *txq,
						  u32 packets, u32 bytes)
{
	netdev_tx_completed_queue(txq, packets, bytes);
}

void reflow_rust_helper_netif_tx_stop_queue(struct netdev_queue *txq)
{
	netif_tx_stop_queue(txq);
}

void reflow_rust_helper_netif_tx_start_queue(struct netdev_queue *txq)
{
	netif_tx_start_queue(txq);
}

bool reflow_rust_helper_netif_tx_queue_stopped(const struct netdev_queue *txq)
{
	return netif_tx_queue_stopped(txq);
}

u16 reflow_rust_helper_skb_get_queue_mapping(const struct sk_buff *skb)
{
	return skb_get_queue_mapping(skb);
}

static void rnet_tx_gso(const struct sk_buff *skb, struct rnet_tx_info *info)
{
	unsigned int type = skb_shinfo(skb)->gso_type;

	if (type & SKB_GSO_UDP_L4) {
		info->gso = RNET_TX_GSO_UDP;
		info->hdr_len = skb_transport_offset(skb) + sizeof(struct udphdr);
	} else {
		info->gso = type & SKB_GSO_TCP_FIXEDID ?
			    RNET_TX_GSO_TCP_FIXED_ID : RNET_TX_GSO_TCP;
		info->hdr_len = skb_tcp_all_headers(skb);
	}
	info->l3_off = skb_network_offset(skb);
	info->l4_off = skb_transport_offset(skb);
}

void reflow_rust_helper_skb_tx_info(const struct sk_buff *skb,
				    struct rnet_tx_info *info)
{
	const struct skb_shared_info *shinfo = skb_shinfo(skb);

	info->len = skb->len;
	info->head_len = skb_headlen(skb);
	info->nr_frags = shinfo->nr_frags;
	info->gso_size = shinfo->gso_size;
	info->gso_segs = shinfo->gso_segs;
	if (info->gso_size)
		rnet_tx_gso(skb, info);
	info->csum = skb->ip_summed == CHECKSUM_PARTIAL;
	if (info->csum) {
		info->csum_start = skb_checksum_start_offset(skb);
		info->csum_off = info->csum_start + skb->csum_offset;
	}
	info->vlan = skb_vlan_tag_present(skb);
	if (info->vlan)
		info->vlan_tci = skb_vlan_tag_get(skb);
}

void reflow_rust_helper_dev_consume_skb_any(struct sk_buff *skb)
{
	dev_consume_skb_any(skb);
}

void reflow_rust_helper_skb_tx_timestamp(struct sk_buff *skb)
{
	skb_tx_timestamp(skb);
}

int reflow_rust_helper_skb_linearize(struct sk_buff *skb)
{
	return skb_linearize(skb);
}

netdev_features_t reflow_rust_helper_vlan_features_check(struct sk_buff *skb,
							 netdev_features_t features)
{
	return vlan_features_check(skb, features);
}

dma_addr_t reflow_rust_helper_skb_map_head(struct device *dev,
					   const struct sk_buff *skb)
{
	return dma_map_single(dev, skb->data, skb_headlen(skb), DMA_TO_DEVICE);
}

/*
 * Maps fragment @i, whose length goes to @len. @foreign says that the memory is
 * not the kernel's: whoever gave it to the stack has mapped it and unmaps it.
 */
dma_addr_t reflow_rust_helper_skb_map_frag(struct device *dev,
					   const struct sk_buff *skb, u32 i,
					   u32 *len, bool *foreign)
{
	const struct skb_shared_info *shinfo = skb_shinfo(skb);
	const skb_frag_t *frag = &shinfo->frags[i];

	if (unlikely(i >= shinfo->nr_frags))
		return DMA_MAPPING_ERROR;
	*len = skb_frag_size(frag);
	*foreign = skb_frag_is_net_iov(frag);
	return skb_frag_dma_map(dev, frag, 0, *len, DMA_TO_DEVICE);
}

void reflow_rust_helper_dma_unmap_tx(struct device *dev, dma_addr_t addr,
				     u32 len)
{
	dma_unmap_page(dev, addr, len, DMA_TO_DEVICE);
}

int reflow_rust_helper_dma_mapping_error(struct device *dev, dma_addr_t addr)
{
	return dma_mapping_error(dev, addr);
}

/*
 * Allocates memory of a page's size whose reference count is @bias, so that
 * parts of it can be handed out without touching the count. The pool's cache
 * has no lock: the caller is in the context of @napi, or in process context and
 * the pool's only user if @napi is NULL, and the pool must be attached to that.
 */
netmem_ref reflow_rust_helper_pp_alloc(struct page_pool *pool, s32 bias,
				       struct napi_struct *napi,
				       dma_addr_t *addr)
{
	gfp_t gfp = napi ? GFP_ATOMIC : GFP_KERNEL;
	netmem_ref netmem;

	if (unlikely(READ_ONCE(pool->p.napi) != napi))
		return 0;
	netmem = page_pool_alloc_netmems(pool, gfp | __GFP_NOWARN);
	if (!netmem)
		return 0;
	page_pool_fragment_netmem(netmem, bias);
	*addr = page_pool_get_dma_addr_netmem(netmem);
	return netmem;
}

/* Where the CPU sees a page of a pool, %NULL if it cannot. */
void *reflow_rust_helper_pp_memory(netmem_ref netmem)
{
	return netmem_address(netmem);
}

static __always_inline bool rnet_pp_is_local(const struct page_pool *pool,
					     const struct napi_struct *napi)
{
	return napi && READ_ONCE(pool->p.napi) == napi;
}

/* Whether a page's pool is attached to @napi, whose context this is. */
bool reflow_rust_helper_pp_is_local(netmem_ref netmem,
				    const struct napi_struct *napi)
{
	return rnet_pp_is_local(netmem_get_pp(netmem), napi);
}

/* Gives @refs references back, in the context of @napi unless that is NULL. */
void reflow_rust_helper_pp_release(netmem_ref netmem, s32 refs,
				   const struct napi_struct *napi)
{
	struct page_pool *pool = netmem_get_pp(netmem);

	if (page_pool_unref_netmem(netmem, refs) == 0)
		page_pool_put_unrefed_netmem(pool, netmem, -1,
					     rnet_pp_is_local(pool, napi));
}

/* Ends direct recycling in the context of @napi, which is held off. */
void reflow_rust_helper_pp_detach(struct page_pool *pool,
				  const struct napi_struct *napi)
{
	if (READ_ONCE(pool->p.napi) == napi)
		page_pool_disable_direct_recycling(pool);
}

static void rnet_rx_fill_frag(struct sk_buff *skb, unsigned int n,
			      netmem_ref netmem, u32 offset, u32 len)
{
	skb_fill_netmem_desc(skb, n, netmem, offset, len);
	skb->len += len;
	skb->data_len += len;
}

/*
 * Puts received bytes behind what the packet holds, growing its last fragment
 * where the bytes follow that in the same page. Returns how many references
 * that took (0 or 1), or a negative errno when the packet has no room. The bytes
 * themselves are not looked at: the CPU may not be able to. What the packet is
 * to be charged for them is the caller's to say.
 */
int reflow_rust_helper_rx_add_frag(struct sk_buff *skb, netmem_ref netmem,
				   u32 offset, u32 len)
{
	struct skb_shared_info *shinfo = skb_shinfo(skb);
	unsigned int n = shinfo->nr_frags;

	page_pool_dma_sync_netmem_for_cpu(netmem_get_pp(netmem), netmem, offset,
					  len);
	if (n) {
		skb_frag_t *last = &shinfo->frags[n - 1];

		if (skb_frag_netmem(last) == netmem &&
		    skb_frag_off(last) + skb_frag_size(last) == offset) {
			skb_frag_size_add(last, len);
			skb->len += len;
			skb->data_len += len;
			return 0;
		}
	}
	if (unlikely(n >= MAX_SKB_FRAGS))
		return -ENOSPC;
	rnet_rx_fill_frag(skb, n, netmem, offset, len);
	return 1;
}

/*
 * Puts all of a page behind what the packet holds, which has room for it. No
 * reference to the page was given away: all but the packet's go with a store.
 */
void reflow_rust_helper_rx_add_whole(struct sk_buff *skb, netmem_ref netmem,
				     u32 size)
{
	page_pool_dma_sync_netmem_for_cpu(netmem_get_pp(netmem), netmem, 0,
					  size);
	page_pool_fragment_netmem(netmem, 1);
	rnet_rx_fill_frag(skb, skb_shinfo(skb)->nr_frags, netmem, 0, size);
	skb->truesize += size;
}

/*
 * Copies received bytes to the end of the packet's linear part. Returns false
 * if the CPU cannot read them.
 */
bool reflow_rust_helper_rx_copy_page(struct sk_buff *skb, netmem_ref netmem,
				     u32 offset, u32 len)
{
	const u8 *data = netmem_address(netmem);

	if (unlikely(!data))
		return false;
	page_pool_dma_sync_netmem_for_cpu(netmem_get_pp(netmem), netmem, offset,
					  len);
	skb_put_data(skb, data + offset, len);
	return true;
}

/* Copies bytes that a device may write at the same time. */
void reflow_rust_helper_coherent_copy(void *to, const void *from, size_t len)
{
	memcpy(to, from, len);
}

void reflow_rust_helper_skb_put_data(struct sk_buff *skb, const void *data,
				     u32 len)
{
	skb_put_data(skb, data, len);
}

/*
 * A packet that begins with a copy of @len bytes, at most RNET_HEAD_MAX. It lies
 * in @head, RNET_HEAD_SIZE bytes of a page of a pool: cheaper than kmalloc(), and
 * such a page need not be cleared again. The skb comes from the NAPI cache.
 */
static __always_inline struct sk_buff *
rnet_rx_copy(struct napi_struct *napi, void *head, const void *data, u32 len)
{
	struct sk_buff *skb = napi_build_skb(head, RNET_HEAD_SIZE);

	BUILD_BUG_ON(NET_SKB_PAD + NET_IP_ALIGN > RNET_HEADROOM);
	if (unlikely(!skb))
		return NULL;
	skb_mark_for_recycle(skb);
	skb_reserve(skb, RNET_HEADROOM);
	skb->dev = napi->dev;
	__skb_put_data(skb, data, len);
	return skb;
}

struct sk_buff *reflow_rust_helper_rx_copy(struct napi_struct *napi, void *head,
					   const void *data, u32 len)
{
	return rnet_rx_copy(napi, head, data, len);
}

/* A packet with room for @room in its linear part. */
struct sk_buff *reflow_rust_helper_rx_alloc(struct napi_struct *napi, u32 room)
{
	struct sk_buff *skb = napi_alloc_skb(napi, room);

	/* GRO merges packets of one kind only. */
	if (likely(skb))
		skb_mark_for_recycle(skb);
	return skb;
}

u32 reflow_rust_helper_skb_tailroom(const struct sk_buff *skb)
{
	return skb_tailroom(skb);
}

/* The linear part; its length goes to @len. */
u8 *reflow_rust_helper_skb_head(struct sk_buff *skb, u32 *len)
{
	*len = skb_headlen(skb);
	return skb->data;
}

/*
 * As GRO leaves a packet that came through a tunnel. The transport header is
 * that of the inner packet already.
 */
static unsigned int rnet_rx_tunnel(struct sk_buff *skb,
				   const struct rnet_rx_meta *meta)
{
	u32 flags = meta->flags;
	unsigned int type;

	skb->encapsulation = 1;
	skb_set_inner_protocol(skb, flags & RNET_RX_GSO_TCPV4 ?
				    htons(ETH_P_IP) : htons(ETH_P_IPV6));
	skb_set_inner_network_header(skb, meta->l3_off - ETH_HLEN);
	skb->inner_transport_header = skb->transport_header;
	type = flags & RNET_RX_IN_IP4 ? SKB_GSO_IPXIP4 : SKB_GSO_IPXIP6;
	if (flags & RNET_RX_OUTER_FIXED_ID)
		type |= SKB_GSO_TCP_FIXEDID;
	if (flags & RNET_RX_FIXED_ID)
		type |= SKB_GSO_TCP_FIXEDID_INNER;
	return type;
}

/*
 * Whether GRO holds a packet that begins with the same IPv4 id: it would take
 * the ids of what follows to be fixed.
 */
static bool rnet_rx_id_is_held(const struct napi_struct *napi,
			       const struct sk_buff *skb, unsigned int l3_off)
{
	const struct iphdr *ip = (void *)skb->data + l3_off - ETH_HLEN;
	u32 bucket = skb_get_hash_raw(skb) & (GRO_HASH_BUCKETS - 1);
	const struct sk_buff *held;

	list_for_each_entry(held, &napi->gro.hash[bucket].list, list) {
		const struct iphdr *first = (void *)held->data +
					    NAPI_GRO_CB(held)->network_offset;

		if (first->version == 4 && first->id == ip->id)
			return true;
	}
	return false;
}

/*
 * Whether GRO might join several segments with others as if their IPv4 ids
 * were what they are not. It goes by the first id alone, and does not know that
 * those of a packet that comes with several segments are fixed.
 */
static bool rnet_rx_ids_are_lost(const struct napi_struct *napi,
				 const struct sk_buff *skb,
				 const struct rnet_rx_meta *meta)
{
	u32 flags = meta->flags;

	if (unlikely(flags & (RNET_RX_IN_IP4 | RNET_RX_IN_IP6)))
		return flags & (RNET_RX_IN_IP4 | RNET_RX_GSO_TCPV4);
	if (!(flags & RNET_RX_GSO_TCPV4))
		return false;
	return flags & RNET_RX_FIXED_ID || rnet_rx_id_is_held(napi, skb, meta->l3_off);
}

static void rnet_rx_gso(struct napi_struct *napi, struct sk_buff *skb,
			const struct rnet_rx_meta *meta)
{
	struct skb_shared_info *shinfo = skb_shinfo(skb);
	u32 flags = meta->flags;

	/* eth_type_trans() has moved the start of the data. */
	skb_set_transport_header(skb, meta->l4_off - ETH_HLEN);
	if (meta->gso_segs > 1) {
		shinfo->gso_size = meta->gso_size;
		shinfo->gso_segs = meta->gso_segs;
		shinfo->gso_type = flags & RNET_RX_GSO_TCPV4 ?
				   SKB_GSO_TCPV4 : SKB_GSO_TCPV6;
		if (unlikely(flags & (RNET_RX_IN_IP4 | RNET_RX_IN_IP6)))
			shinfo->gso_type |= rnet_rx_tunnel(skb, meta);
		else if (flags & RNET_RX_FIXED_ID)
			shinfo->gso_type |= SKB_GSO_TCP_FIXEDID;
		if (tcp_hdr(skb)->cwr)
			shinfo->gso_type |= SKB_GSO_TCP_ACCECN;
		/*
		 * GRO passes on what comes from an untrusted source, behind
		 * what it holds of the flow, and joins nothing to it.
		 */
		if (rnet_rx_ids_are_lost(napi, skb, meta))
			shinfo->gso_type |= SKB_GSO_DODGY;
	}
	skb->ip_summed = CHECKSUM_PARTIAL;
	skb->csum_start = skb_transport_header(skb) - skb->head;
	skb->csum_offset = offsetof(struct tcphdr, check);
}

/* Notes what a received packet came with besides its bytes. */
static void rnet_rx_tags(struct sk_buff *skb, const struct rnet_rx_meta *meta)
{
	u32 flags = meta->flags;

	if (flags & RNET_RX_HASH)
		skb_set_hash(skb, meta->hash,
			     flags & RNET_RX_HASH_L4 ? PKT_HASH_TYPE_L4 :
						       PKT_HASH_TYPE_L3);
	if (flags & RNET_RX_VLAN)
		__vlan_hwaccel_put_tag(skb, htons(ETH_P_8021Q), meta->vlan_tci);
}

/*
 * Whether headers of several segments are where @meta says: what is set from
 * it must lie in the linear part.
 */
static bool rnet_rx_gso_fits(const struct sk_buff *skb,
			     const struct rnet_rx_meta *meta)
{
	u32 l4_end = meta->l4_off + sizeof(struct tcphdr);

	return meta->l4_off > ETH_HLEN && l4_end <= skb_headlen(skb) &&
	       meta->l3_off >= ETH_HLEN && meta->l3_off < meta->l4_off &&
	       (meta->gso_segs <= 1 || meta->gso_size);
}

static __always_inline void rnet_rx_submit(struct napi_struct *napi,
					   struct sk_buff *skb,
					   const struct rnet_rx_meta *meta,
					   u16 queue)
{
	u32 flags = meta->flags;

	skb->protocol = eth_type_trans(skb, napi->dev);
	skb_record_rx_queue(skb, queue);
	rnet_rx_tags(skb, meta);
	if (flags & (RNET_RX_GSO_TCPV4 | RNET_RX_GSO_TCPV6))
		rnet_rx_gso(napi, skb, meta);
	else if (flags & RNET_RX_CSUM_OK)
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	napi_gro_receive(napi, skb);
}

/*
 * Completes a received packet and hands it to the stack. Returns false, and
 * leaves the packet alone, if its linear part does not hold the headers that
 * there have to be.
 */
bool reflow_rust_helper_rx_submit(struct napi_struct *napi, struct sk_buff *skb,
				  const struct rnet_rx_meta *meta, u16 queue)
{
	if (unlikely(skb_headlen(skb) < ETH_HLEN))
		return false;
	if (meta->flags & (RNET_RX_GSO_TCPV4 | RNET_RX_GSO_TCPV6) &&
	    unlikely(!rnet_rx_gso_fits(skb, meta)))
		return false;
	rnet_rx_submit(napi, skb, meta, queue);
	return true;
}

/*
 * Receives a packet that is a copy of @len bytes, an Ethernet header at least,
 * and no more. Returns false without memory.
 */
bool reflow_rust_helper_rx_receive(struct napi_struct *napi, void *head,
				   const void *data, u32 len,
				   const struct rnet_rx_meta *meta, u16 queue)
{
	struct sk_buff *skb = rnet_rx_copy(napi, head, data, len);

	if (unlikely(!skb))
		return false;
	rnet_rx_submit(napi, skb, meta, queue);
	return true;
}

#include "helpers_control.c"
#include "helpers_xdp.c"
