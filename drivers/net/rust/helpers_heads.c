// SPDX-License-Identifier: GPL-2.0
/*
 * C side of net/heads.rs. Part of helpers.c, which includes it behind
 * helpers_rx.c.
 */

/*
 * Copies bytes. Both sides have room for a multiple of %RNET_COPY_STEP: copying as
 * many is quicker than counting them, and no longer than a cache line.
 */
static __always_inline void rnet_copy(void *to, const void *from, u32 len)
{
	if (len <= RNET_COPY_STEP)
		memcpy(to, from, RNET_COPY_STEP);
	else if (len <= RNET_COPY_STEP * 3 / 2)
		memcpy(to, from, RNET_COPY_STEP * 3 / 2);
	else
		memcpy(to, from, len);
}

/*
 * A packet that begins with a copy of bytes. It lies in a piece of a page of a
 * pool: cheaper than kmalloc(), and such a page need not be cleared again. The skb
 * comes from the NAPI cache. %NULL if there is no piece, no byte or more than fit,
 * or without memory.
 */
static __always_inline struct sk_buff *
rnet_rx_copy(struct rnet_pieces *pieces, const struct rnet_coherent *from)
{
	const void *data = from->data;
	u32 len = from->len;
	struct sk_buff *skb;

	BUILD_BUG_ON(NET_SKB_PAD + NET_IP_ALIGN > RNET_HEADROOM);
	if (unlikely(!pieces->left || len - 1 >= pieces->room))
		return NULL;
	skb = napi_build_skb(pieces->next, pieces->size);
	if (unlikely(!skb))
		return NULL;
	pieces->next += pieces->size;
	pieces->left--;
	skb_mark_for_recycle(skb);
	skb_reserve(skb, RNET_HEADROOM);
	/* As __skb_put(), of a packet that has nothing. */
	skb->tail += len;
	skb->len = len;
	rnet_copy(skb->data, data, len);
	return skb;
}

__rnet_helper struct sk_buff *rnet_safe_rx_copy(struct rnet_pieces *pieces,
						const struct rnet_coherent *from)
{
	return rnet_rx_copy(pieces, from);
}

/*
 * As rnet_rx_copy(), of a packet that goes on with bytes of a page. One reference
 * to that is taken. %NULL, too, if it has no such bytes, or no reference to spare.
 */
static __always_inline struct sk_buff *
rnet_rx_copy_with(struct rnet_pieces *pieces, const struct rnet_coherent *from,
		  struct rnet_page *page, struct rnet_rx_frag frag)
{
	struct sk_buff *skb;

	if (unlikely(!rnet_page_has(page, frag.offset, frag.len) || page->refs <= 1))
		return NULL;
	skb = rnet_rx_copy(pieces, from);
	if (unlikely(!skb))
		return NULL;
	page_pool_dma_sync_netmem_for_cpu(netmem_get_pp(page->netmem), page->netmem,
					  frag.offset, frag.len);
	rnet_rx_fill_frag(skb, 0, page->netmem, frag.offset, frag.len);
	skb->truesize += frag.charge;
	page->refs--;
	return skb;
}

__rnet_helper struct sk_buff *rnet_safe_rx_copy_with(struct rnet_pieces *pieces,
						     const struct rnet_coherent *from,
						     struct rnet_page *page,
						     struct rnet_rx_frag frag)
{
	return rnet_rx_copy_with(pieces, from, page, frag);
}

/* Hands a packet to the stack that is no several segments. */
static __always_inline void rnet_rx_receive(const struct rnet_rx_context *cx,
					    struct sk_buff *skb,
					    struct rnet_rx_tags tags)
{
	struct napi_struct *napi = cx->tx.napi;

	skb->protocol = eth_type_trans(skb, napi->dev);
	skb_record_rx_queue(skb, cx->tx.queue);
	rnet_rx_set_tags(skb, tags.flags, tags.hash, tags.vlan_tci);
	if (tags.flags & RNET_RX_CSUM_OK)
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	napi_gro_receive(napi, skb);
}

/* Receives a packet that is a copy of bytes, an Ethernet header at least. */
__rnet_helper bool rnet_safe_rx_receive(const struct rnet_rx_context *cx,
					struct rnet_pieces *pieces,
					const struct rnet_coherent *from,
					struct rnet_rx_tags tags)
{
	struct sk_buff *skb;

	if (unlikely(from->len < ETH_HLEN))
		return false;
	skb = rnet_rx_copy(pieces, from);
	if (unlikely(!skb))
		return false;
	rnet_rx_receive(cx, skb, tags);
	return true;
}

/*
 * Receives a packet that begins with a copy of bytes, an Ethernet header at least,
 * and goes on with bytes of a page.
 */
__rnet_helper bool rnet_safe_rx_receive_with(const struct rnet_rx_context *cx,
					     struct rnet_pieces *pieces,
					     const struct rnet_coherent *from,
					     struct rnet_page *page,
					     struct rnet_rx_frag frag,
					     struct rnet_rx_tags tags)
{
	struct sk_buff *skb;

	if (unlikely(from->len < ETH_HLEN))
		return false;
	skb = rnet_rx_copy_with(pieces, from, page, frag);
	if (unlikely(!skb))
		return false;
	rnet_rx_receive(cx, skb, tags);
	return true;
}
