// SPDX-License-Identifier: GPL-2.0
/*
 * C side of page_pool.rs, of receive in skbuff.rs and of rx_buffers.rs. Included
 * by helpers.c.
 */

/*
 * Like page_pool_create(). As of 7.3 the pool records its pages in an xarray
 * under a lock taken with softirqs off, without telling the xarray: short of
 * memory, the xarray would sleep with softirqs still off. XA_FLAGS_LOCK_BH
 * tells it.
 */
__rnet_helper struct page_pool *
rnet_safe_pp_create(struct device *dev, struct net_device *netdev,
		    const struct rnet_pool_params *params, int *err)
{
	struct page_pool_params pp = {
		.order = ilog2(params->size) - PAGE_SHIFT,
		.pool_size = params->count,
		.nid = NUMA_NO_NODE,
		.dev = dev,
		.netdev = netdev,
		.queue_idx = params->queue,
		.offset = params->offset,
		.max_len = params->size - params->offset,
		.dma_dir = params->both_ways ? DMA_BIDIRECTIONAL : DMA_FROM_DEVICE,
	};
	struct page_pool *pool;

	*err = -EINVAL;
	if (params->size < PAGE_SIZE || params->offset >= PAGE_SIZE ||
	    params->queue >= netdev->num_rx_queues)
		return NULL;
	if (params->mapped)
		pp.flags |= PP_FLAG_DMA_MAP | PP_FLAG_DMA_SYNC_DEV;
	if (params->unreadable)
		pp.flags |= PP_FLAG_ALLOW_UNREADABLE_NETMEM;
	pool = page_pool_create(&pp);
	if (IS_ERR(pool)) {
		*err = PTR_ERR(pool);
		return NULL;
	}
	pool->dma_mapped.xa_flags |= XA_FLAGS_LOCK_BH;
	*err = 0;
	return pool;
}

/*
 * Bytes of the pieces of memory that user space has given to a receive queue, 0
 * if it has given none. They are pages unless it says otherwise.
 */
__rnet_helper u32 rnet_safe_rxq_lent_page_size(struct net_device *dev, u32 queue)
{
	struct netdev_queue_config config;

	if (queue >= dev->num_rx_queues || !netif_rxq_has_unreadable_mp(dev, queue))
		return 0;
	netdev_queue_config(dev, queue, &config);
	return max_t(u32, config.rx_page_size, PAGE_SIZE);
}

/* The pool is freed after the last page in a packet has come back. */
__rnet_helper void rnet_safe_pp_destroy(struct page_pool *taken)
{
	page_pool_destroy(taken);
}

/* Allocate a page with pool->refs references. Return 0 without memory. */
static netmem_ref rnet_pp_alloc(const struct rnet_pool *pool, gfp_t gfp,
				dma_addr_t *addr)
{
	netmem_ref netmem = page_pool_alloc_netmems(pool->pool, gfp | __GFP_NOWARN);

	if (!netmem)
		return 0;
	page_pool_fragment_netmem(netmem, pool->refs);
	*addr = page_pool_get_dma_addr_netmem(netmem);
	return netmem;
}

static __always_inline bool rnet_pp_is_local(const struct page_pool *pool,
					     const struct rnet_rx_context *cx)
{
	return READ_ONCE(pool->p.napi) == cx->tx.napi;
}

/*
 * The pool's cache has no lock: only allocate if the pool is attached to the
 * polled instance.
 */
__rnet_helper netmem_ref rnet_safe_pp_alloc(const struct rnet_rx_context *cx,
					    const struct rnet_pool *pool,
					    dma_addr_t *addr)
{
	if (unlikely(!rnet_pp_is_local(pool->pool, cx)))
		return 0;
	return rnet_pp_alloc(pool, GFP_ATOMIC, addr);
}

/*
 * In process context, by the pool's only user; it must not be attached. Nobody is
 * killed to get contiguous pages.
 */
__rnet_helper netmem_ref rnet_safe_pp_alloc_sleeping(struct rnet_pool *pool,
						     dma_addr_t *addr)
{
	if (READ_ONCE(pool->pool->p.napi))
		return 0;
	return rnet_pp_alloc(pool, pool->size > PAGE_SIZE ? GFP_KERNEL | __GFP_NORETRY :
			     GFP_KERNEL, addr);
}

/*
 * Pages that did not come back to a pool because somebody still had them: they
 * are mapped by a reader, or in a pipe. Always 0 without CONFIG_PAGE_POOL_STATS.
 */
__rnet_helper u64 rnet_safe_pp_kept(const struct page_pool *pool)
{
#ifdef CONFIG_PAGE_POOL_STATS
	struct page_pool_stats stats = {};

	page_pool_get_stats(pool, &stats);
	return stats.recycle_stats.released_refcnt;
#else
	return 0;
#endif
}

/* Address of a page for the CPU, %NULL if the CPU cannot access it. */
__rnet_helper void *rnet_safe_pp_memory(const struct rnet_page *page)
{
	return netmem_address(page->netmem);
}

/* Whether a page's pool is attached to the polled instance. */
__rnet_helper bool rnet_safe_pp_is_local(const struct rnet_rx_context *cx,
					 const struct rnet_page *page)
{
	return rnet_pp_is_local(netmem_get_pp(page->netmem), cx);
}

static __always_inline void rnet_pp_put(struct rnet_page *page,
					const struct rnet_rx_context *cx)
{
	struct page_pool *pool = netmem_get_pp(page->netmem);
	s32 refs = page->refs;

	if (!refs)
		return;
	page->refs = 0;
	if (page_pool_unref_netmem(page->netmem, refs) == 0)
		page_pool_put_unrefed_netmem(pool, page->netmem, -1,
					     cx && rnet_pp_is_local(pool, cx));
}

/*
 * Return all references, directly to the cache if the pool is attached to @cx.
 */
__rnet_helper void rnet_safe_pp_recycle(const struct rnet_rx_context *cx,
					struct rnet_page *page)
{
	rnet_pp_put(page, cx);
}

/* Return all references. Any context. */
__rnet_helper void rnet_safe_pp_put(struct rnet_page *page)
{
	rnet_pp_put(page, NULL);
}

/* End direct recycling in the context of @napi, which is disabled. */
__rnet_helper void rnet_helper_pp_detach(struct page_pool *pool,
					 const struct napi_struct *napi)
{
	if (READ_ONCE(pool->p.napi) == napi)
		page_pool_disable_direct_recycling(pool);
}

static __always_inline void rnet_rx_fill_frag(struct sk_buff *skb, unsigned int n,
					      netmem_ref netmem, u32 offset, u32 len)
{
	skb_fill_netmem_desc(skb, n, netmem, offset, len);
	skb->len += len;
	skb->data_len += len;
}

/* Whether a page has @len bytes at @offset, at least one. */
static __always_inline bool rnet_page_has(const struct rnet_page *page,
					  u32 offset, u32 len)
{
	return len && offset + len <= page->size;
}

/*
 * Append received bytes to the packet. If they follow its last fragment in the
 * same page, the fragment grows. Return the number of references taken (0 or
 * 1), -ENOSPC if the packet has no room, or -EINVAL if the page has no such
 * bytes or no reference to spare. The bytes are not read, as the CPU may be
 * unable to. The caller adds to truesize.
 */
__rnet_helper int rnet_safe_rx_add_frag(struct rnet_rx_skb *rx,
					struct rnet_page *page, u16 offset,
					u16 len)
{
	struct skb_shared_info *shinfo = skb_shinfo(rx->skb);
	netmem_ref netmem = page->netmem;
	unsigned int n = shinfo->nr_frags;

	if (unlikely(!rnet_page_has(page, offset, len) || page->refs <= 1))
		return -EINVAL;
	page_pool_dma_sync_netmem_for_cpu(netmem_get_pp(netmem), netmem, offset,
					  len);
	if (n) {
		skb_frag_t *last = &shinfo->frags[n - 1];

		if (skb_frag_netmem(last) == netmem &&
		    skb_frag_off(last) + skb_frag_size(last) == offset) {
			skb_frag_size_add(last, len);
			rx->skb->len += len;
			rx->skb->data_len += len;
			return 0;
		}
	}
	if (unlikely(n >= MAX_SKB_FRAGS))
		return -ENOSPC;
	rnet_rx_fill_frag(rx->skb, n, netmem, offset, len);
	page->refs--;
	rx->nr_frags++;
	return 1;
}

/*
 * Append a whole page to the packet. No reference to it may have been given
 * away, so one store drops all but the packet's. Return false if one was given
 * away or the packet has no room.
 */
__rnet_helper bool rnet_safe_rx_add_whole(struct rnet_rx_skb *rx,
					  struct rnet_page *page)
{
	netmem_ref netmem = page->netmem;
	u32 n = rx->nr_frags;

	if (unlikely(page->refs != RNET_PAGE_REFS || n >= MAX_SKB_FRAGS))
		return false;
	page_pool_dma_sync_netmem_for_cpu(netmem_get_pp(netmem), netmem, 0,
					  page->size);
	page_pool_fragment_netmem(netmem, 1);
	rnet_rx_fill_frag(rx->skb, n, netmem, 0, page->size);
	rx->skb->truesize += page->size;
	page->refs = 0;
	rx->nr_frags++;
	return true;
}

/*
 * Copy received bytes to the end of the linear part. Return -EINVAL if they are
 * not in the page or do not fit, -EFAULT if the CPU cannot read them.
 */
__rnet_helper int rnet_safe_rx_copy_page(struct rnet_rx_skb *rx,
					 const struct rnet_page *page,
					 u16 offset, u16 len)
{
	const u8 *data = netmem_address(page->netmem);

	if (!rnet_page_has(page, offset, len) || len > skb_tailroom(rx->skb))
		return -EINVAL;
	if (unlikely(!data))
		return -EFAULT;
	page_pool_dma_sync_netmem_for_cpu(netmem_get_pp(page->netmem),
					  page->netmem, offset, len);
	skb_put_data(rx->skb, data + offset, len);
	return 0;
}

/* Copy bytes that a device may write at the same time. */
__rnet_helper void rnet_helper_coherent_copy(void *to, const void *from, size_t len)
{
	memcpy(to, from, len);
}

/* Copy bytes to the end of the linear part. Return false if they do not fit. */
__rnet_helper bool rnet_helper_rx_put(struct rnet_rx_skb *rx, const void *data,
				      u32 len)
{
	if (len > skb_tailroom(rx->skb))
		return false;
	skb_put_data(rx->skb, data, len);
	return true;
}

/* Allocate a packet with room for @room bytes in its linear part. */
__rnet_helper struct sk_buff *rnet_safe_rx_alloc(const struct rnet_rx_context *cx,
						 u32 room)
{
	struct sk_buff *skb = napi_alloc_skb(cx->tx.napi, room);

	/* GRO merges only skbs of the same pp_recycle. */
	if (likely(skb))
		skb_mark_for_recycle(skb);
	return skb;
}

/* Return the linear part, and its length in @len. */
__rnet_helper u8 *rnet_safe_rx_head(struct rnet_rx_skb *rx, u32 *len)
{
	*len = skb_headlen(rx->skb);
	return rx->skb->data;
}

/*
 * Set the headers as GRO does after a tunnel. The transport header is the inner
 * one already.
 */
static void rnet_rx_tunnel(struct sk_buff *skb, const struct rnet_rx_meta *meta)
{
	skb->encapsulation = 1;
	skb_set_inner_protocol(skb, meta->gso_type & SKB_GSO_TCPV4 ?
				    htons(ETH_P_IP) : htons(ETH_P_IPV6));
	skb_set_inner_network_header(skb, meta->l3_off - ETH_HLEN);
	skb->inner_transport_header = skb->transport_header;
}

/*
 * Whether GRO holds a packet whose first IPv4 id is the same: GRO would treat
 * the ids of following segments as fixed.
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
 * Whether merging in GRO could lose the IPv4 ids of an aggregate. GRO compares
 * the first ids only, and does not know that an aggregate of a device may have
 * fixed ids.
 */
static bool rnet_rx_ids_are_lost(const struct napi_struct *napi,
				 const struct sk_buff *skb,
				 const struct rnet_rx_meta *meta)
{
	u32 type = meta->gso_type;

	if (unlikely(type & (SKB_GSO_IPXIP4 | SKB_GSO_IPXIP6)))
		return type & (SKB_GSO_IPXIP4 | SKB_GSO_TCPV4);
	if (!(type & SKB_GSO_TCPV4))
		return false;
	return type & SKB_GSO_TCP_FIXEDID || rnet_rx_id_is_held(napi, skb, meta->l3_off);
}

static void rnet_rx_gso(struct napi_struct *napi, struct sk_buff *skb,
			const struct rnet_rx_meta *meta)
{
	struct skb_shared_info *shinfo = skb_shinfo(skb);

	/* eth_type_trans() has pulled the Ethernet header. */
	skb_set_transport_header(skb, meta->l4_off - ETH_HLEN);
	if (meta->gso_segs > 1) {
		shinfo->gso_size = meta->gso_size;
		shinfo->gso_segs = meta->gso_segs;
		shinfo->gso_type = meta->gso_type;
		if (unlikely(meta->gso_type & (SKB_GSO_IPXIP4 | SKB_GSO_IPXIP6)))
			rnet_rx_tunnel(skb, meta);
		if (tcp_hdr(skb)->cwr)
			shinfo->gso_type |= SKB_GSO_TCP_ACCECN;
		/*
		 * GRO flushes the flow before a DODGY packet, and does not
		 * merge it.
		 */
		if (rnet_rx_ids_are_lost(napi, skb, meta))
			shinfo->gso_type |= SKB_GSO_DODGY;
	}
	skb->ip_summed = CHECKSUM_PARTIAL;
	skb->csum_start = skb_transport_header(skb) - skb->head;
	skb->csum_offset = offsetof(struct tcphdr, check);
}

/* Set hash and VLAN tag of a received packet. */
static __always_inline void rnet_rx_set_tags(struct sk_buff *skb, u32 flags, u32 hash,
					     u16 vlan_tci)
{
	if (flags & RNET_RX_HASH)
		skb_set_hash(skb, hash,
			     flags & RNET_RX_HASH_L4 ? PKT_HASH_TYPE_L4 :
						       PKT_HASH_TYPE_L3);
	if (unlikely(flags & RNET_RX_VLAN))
		__vlan_hwaccel_put_tag(skb, htons(ETH_P_8021Q), vlan_tci);
}

/* Set these, and the time of the device's clock. */
static void rnet_rx_set_meta(struct sk_buff *skb, const struct rnet_rx_meta *meta)
{
	rnet_rx_set_tags(skb, meta->flags, meta->hash, meta->vlan_tci);
	if (unlikely(meta->flags & RNET_RX_TIME))
		skb_hwtstamps(skb)->hwtstamp = ns_to_ktime(meta->time);
}

/*
 * Whether gso_type is supported, and the headers at the offsets in @meta lie in
 * the linear part.
 */
static bool rnet_rx_gso_fits(const struct sk_buff *skb,
			     const struct rnet_rx_meta *meta)
{
	u32 l4_end = meta->l4_off + sizeof(struct tcphdr);
	u32 known = SKB_GSO_TCPV4 | SKB_GSO_TCPV6 | SKB_GSO_TCP_FIXEDID |
		    SKB_GSO_TCP_FIXEDID_INNER | SKB_GSO_IPXIP4 | SKB_GSO_IPXIP6;

	return !(meta->gso_type & ~known) &&
	       !(meta->gso_type & SKB_GSO_TCPV4) != !(meta->gso_type & SKB_GSO_TCPV6) &&
	       meta->l4_off > ETH_HLEN && l4_end <= skb_headlen(skb) &&
	       meta->l3_off >= ETH_HLEN && meta->l3_off < meta->l4_off &&
	       (meta->gso_segs <= 1 || meta->gso_size);
}

/* Hands a packet over, which is not of several segments unless @gso. */
static __always_inline void rnet_rx_submit(const struct rnet_rx_context *cx,
					   struct sk_buff *skb,
					   const struct rnet_rx_meta *meta,
					   bool gso)
{
	struct napi_struct *napi = cx->tx.napi;

	/* Sets the packet's device as well. */
	skb->protocol = eth_type_trans(skb, napi->dev);
	skb_record_rx_queue(skb, cx->tx.queue);
	rnet_rx_set_meta(skb, meta);
	if (gso)
		rnet_rx_gso(napi, skb, meta);
	else if (meta->flags & RNET_RX_CSUM_OK)
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	napi_gro_receive(napi, skb);
}

/*
 * Pass a received packet to the stack. Drop it and return false if its linear
 * part lacks the headers that @meta requires.
 */
__rnet_helper bool rnet_safe_rx_submit(const struct rnet_rx_context *cx,
				       struct sk_buff *taken,
				       const struct rnet_rx_meta *meta)
{
	if (unlikely(skb_headlen(taken) < ETH_HLEN))
		goto drop;
	if (meta->gso_type && unlikely(!rnet_rx_gso_fits(taken, meta)))
		goto drop;
	rnet_rx_submit(cx, taken, meta, meta->gso_type);
	return true;
drop:
	dev_kfree_skb_any_reason(taken, SKB_DROP_REASON_DEV_HDR);
	return false;
}

/* Whether a buffer has room for @len bytes and still has its reference. */
static __always_inline bool rnet_buffer_fits(const struct rnet_buffer *buf, u32 len)
{
	return buf->page.refs > 0 &&
	       RNET_HEADROOM + len + SKB_SHARED_INFO_ROOM <= buf->size;
}

/*
 * A packet of @len bytes around which the skb is built, which takes the bytes of
 * the buffer over, and a reference to the page.
 */
static __always_inline struct sk_buff *
rnet_rx_build(struct rnet_buffer *buf, u32 len)
{
	netmem_ref netmem = buf->page.netmem;
	u8 *memory = netmem_address(netmem) + buf->off;
	struct sk_buff *skb;

	BUILD_BUG_ON(NET_SKB_PAD + NET_IP_ALIGN > RNET_HEADROOM);
	net_prefetch(memory + RNET_HEADROOM);
	page_pool_dma_sync_netmem_for_cpu(netmem_get_pp(netmem), netmem,
					  buf->off + RNET_HEADROOM, len);
	skb = napi_build_skb(memory, buf->size);
	if (unlikely(!skb))
		return NULL;
	buf->page.refs--;
	skb_mark_for_recycle(skb);
	skb_reserve(skb, RNET_HEADROOM);
	__skb_put(skb, len);
	return skb;
}

/*
 * Build a packet that begins with the @len bytes in a buffer; the error goes to
 * @err.
 */
__rnet_helper struct sk_buff *rnet_safe_rx_build(const struct rnet_rx_context *cx,
						 struct rnet_buffer *buf, u16 len,
						 int *err)
{
	struct sk_buff *skb;

	*err = -EINVAL;
	if (unlikely(!rnet_buffer_fits(buf, len)))
		return NULL;
	skb = rnet_rx_build(buf, len);
	*err = skb ? 0 : -ENOMEM;
	if (likely(skb))
		skb->dev = cx->tx.napi->dev;
	return skb;
}

/*
 * Makes the other half of its page the buffer, when a packet took this one, if
 * nobody has a part of that half any more. Else gives the page back. Nobody can
 * take a reference of a page that nobody else has one of.
 */
static __always_inline bool rnet_buffer_turn(const struct rnet_rx_context *cx,
					     struct rnet_buffer *buf)
{
	netmem_ref netmem = buf->page.netmem;
	struct page_pool *pool = netmem_get_pp(netmem);
	s32 refs = buf->page.refs;

	/* The packet has the one reference that is not ours. */
	if (unlikely(!refs ||
		     atomic_long_read(netmem_get_pp_ref_count_ref(netmem)) != refs + 1 ||
		     page_ref_count(netmem_to_page(netmem)) != 1 ||
		     page_is_pfmemalloc(netmem_to_page(netmem)))) {
		rnet_pp_put(&buf->page, cx);
		return false;
	}
	buf->off ^= buf->size;
	dma_sync_single_range_for_device(pool->p.dev,
					 page_pool_get_dma_addr_netmem(netmem),
					 buf->off, buf->size, pool->p.dma_dir);
	return true;
}

/*
 * Receives a packet that lies in one buffer, an Ethernet header at least. Returns
 * 1 if there is a buffer again, in the other half of the page; 0 if the page is
 * given away; or a negative errno, with the buffer as it was.
 */
__rnet_helper int rnet_safe_rx_build_receive(const struct rnet_rx_context *cx,
					     struct rnet_buffer *buf, u16 len,
					     const struct rnet_rx_meta *meta)
{
	struct sk_buff *skb;
	bool again;

	if (unlikely(len < ETH_HLEN || meta->gso_type || !rnet_buffer_fits(buf, len)))
		return -EINVAL;
	skb = rnet_rx_build(buf, len);
	if (unlikely(!skb))
		return -ENOMEM;
	again = rnet_buffer_turn(cx, buf);
	rnet_rx_submit(cx, skb, meta, false);
	return again;
}

/* Append the @len bytes in a buffer to the packet. */
__rnet_helper int rnet_safe_rx_add_buffer(struct rnet_rx_skb *rx,
					  struct rnet_buffer *buf, u16 len)
{
	netmem_ref netmem = buf->page.netmem;
	u32 off = buf->off + RNET_HEADROOM;

	if (unlikely(!len || !rnet_buffer_fits(buf, len)))
		return -EINVAL;
	if (unlikely(rx->nr_frags >= MAX_SKB_FRAGS))
		return -ENOSPC;
	page_pool_dma_sync_netmem_for_cpu(netmem_get_pp(netmem), netmem, off, len);
	rnet_rx_fill_frag(rx->skb, rx->nr_frags, netmem, off, len);
	rx->skb->truesize += buf->size;
	rx->nr_frags++;
	buf->page.refs--;
	return 0;
}
