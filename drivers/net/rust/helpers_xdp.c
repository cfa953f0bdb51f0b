// SPDX-License-Identifier: GPL-2.0
/*
 * C side of xdp.rs and tx_cell.rs. Included by helpers.c.
 */

static void rnet_xdp_rxq_free(struct xdp_rxq_info *rxq)
{
	xdp_rxq_info_unreg(rxq);
	kfree(rxq);
}

/* Register a receive queue of XDP whose packets lie in pages of @pool. */
__rnet_helper struct xdp_rxq_info *
rnet_safe_xdp_rxq_new(struct net_device *dev, u32 queue, struct page_pool *pool,
		      int *err)
{
	struct xdp_rxq_info *rxq = kzalloc(sizeof(*rxq), GFP_KERNEL);

	*err = -ENOMEM;
	if (!rxq)
		return NULL;
	*err = xdp_rxq_info_reg(rxq, dev, queue, 0);
	if (*err) {
		kfree(rxq);
		return NULL;
	}
	*err = xdp_rxq_info_reg_mem_model(rxq, MEM_TYPE_PAGE_POOL, pool);
	if (*err) {
		rnet_xdp_rxq_free(rxq);
		return NULL;
	}
	return rxq;
}

__rnet_helper void rnet_safe_xdp_rxq_free(struct xdp_rxq_info *taken)
{
	rnet_xdp_rxq_free(taken);
}

/* Begin a packet in a page of its own, at the offset of the page's pool. */
__rnet_helper struct rnet_xdp_buff
rnet_helper_xdp_begin(struct xdp_rxq_info *rxq, netmem_ref netmem, u32 len,
		      const struct rnet_xdp_hints *hints)
{
	struct page_pool *pool = netmem_get_pp(netmem);
	struct rnet_xdp_buff buff;

	page_pool_dma_sync_netmem_for_cpu(pool, netmem, 0, len);
	/*
	 * The last page holds this packet only, so XDP programs may extend it.
	 */
	rxq->frag_size = PAGE_SIZE;
	xdp_init_buff(&buff.xdp, PAGE_SIZE, rxq);
	xdp_prepare_buff(&buff.xdp, netmem_address(netmem), pool->p.offset,
			 len, true);
	buff.xdp.txq = NULL;
	buff.hints = *hints;
	return buff;
}

__rnet_helper bool rnet_safe_xdp_has_room(const struct rnet_xdp_buff *buff)
{
	return !xdp_buff_has_frags(&buff->xdp) ||
	       xdp_get_shared_info_from_buff(&buff->xdp)->nr_frags <
	       MAX_SKB_FRAGS;
}

/*
 * Append a page of its own to the packet. Return false if the packet has no
 * room, or the page is shared or of another queue's pool.
 */
__rnet_helper bool rnet_safe_xdp_add(const struct rnet_rx_context *cx,
				     struct rnet_xdp_buff *buff,
				     struct rnet_page *page, u16 len)
{
	struct page_pool *pool = netmem_get_pp(page->netmem);

	if (unlikely(!len || !page->sole || page->refs != 1 ||
		     len > PAGE_SIZE - pool->p.offset ||
		     !rnet_pp_is_local(pool, cx) || !rnet_safe_xdp_has_room(buff)))
		return false;
	page_pool_dma_sync_netmem_for_cpu(pool, page->netmem, 0, len);
	xdp_buff_add_frag(&buff->xdp, page->netmem, pool->p.offset, len, PAGE_SIZE);
	page->refs = 0;
	return true;
}

/* Copy the headers of a packet whose data are in fragments. */
__rnet_helper void rnet_helper_xdp_copy(struct rnet_xdp_buff *buff,
					const void *from, u32 len)
{
	memcpy(buff->xdp.data, from, len);
}

/* Append a part of a page that also holds data of other packets. */
__rnet_helper int rnet_safe_xdp_add_shared(const struct rnet_rx_context *cx,
					   struct rnet_xdp_buff *buff,
					   struct rnet_page *page, u16 offset,
					   u16 len, u32 truesize)
{
	struct page_pool *pool = netmem_get_pp(page->netmem);

	if (unlikely(!rnet_page_has(page, offset, len) || page->refs <= 1 ||
		     !rnet_pp_is_local(pool, cx)))
		return -EINVAL;
	if (unlikely(!rnet_safe_xdp_has_room(buff)))
		return -ENOSPC;
	buff->xdp.rxq->frag_size = 0;
	page_pool_dma_sync_netmem_for_cpu(pool, page->netmem, offset, len);
	xdp_buff_add_frag(&buff->xdp, page->netmem, offset, len, truesize);
	page->refs--;
	return 0;
}

/* Called in the poll that the packet belongs to. */
__rnet_helper u32 rnet_safe_xdp_run(const struct bpf_prog *prog,
				    struct rnet_xdp_buff *buff)
{
	return bpf_prog_run_xdp(prog, &buff->xdp);
}

/* Trace a packet that was dropped because @action failed. */
__rnet_helper void rnet_safe_xdp_aborted(const struct rnet_rx_context *cx,
					 const struct bpf_prog *prog,
					 u32 action)
{
	struct net_device *dev = cx->tx.napi->dev;

	if (action > XDP_REDIRECT)
		bpf_warn_invalid_xdp_action(dev, prog, action);
	trace_xdp_exception(dev, prog, action);
}

/*
 * Pass a packet to the stack. Return false without memory, or if the linear
 * part is shorter than an Ethernet header.
 */
__rnet_helper bool rnet_helper_xdp_submit(struct napi_struct *napi,
					  const struct rnet_xdp_buff *buff,
					  const struct rnet_rx_meta *meta)
{
	struct sk_buff *skb;

	if (unlikely(buff->xdp.data_end - buff->xdp.data < ETH_HLEN))
		return false;
	skb = xdp_build_skb_from_buff(&buff->xdp);
	if (unlikely(!skb))
		return false;
	rnet_rx_set_meta(skb, meta);
	if (meta->flags & RNET_RX_CSUM_OK)
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	napi_gro_receive(napi, skb);
	return true;
}

__rnet_helper struct xdp_frame *rnet_helper_xdp_to_frame(struct xdp_buff *xdp)
{
	return xdp_convert_buff_to_frame(xdp);
}

/* Return the number of parts of a frame, and its length in @len. */
__rnet_helper u32 rnet_safe_xdp_frame_shape(const struct xdp_frame *frame, u32 *len)
{
	*len = xdp_get_frame_len(frame);
	if (likely(!xdp_frame_has_frags(frame)))
		return 1;
	return 1 + xdp_get_shared_info_from_frame(frame)->nr_frags;
}

/* Return the fragments of a frame, and their number in @n. */
static const skb_frag_t *rnet_xdp_frags(const struct xdp_frame *frame, u32 *n)
{
	const struct skb_shared_info *shinfo;

	*n = 0;
	if (likely(!xdp_frame_has_frags(frame)))
		return NULL;
	shinfo = xdp_get_shared_info_from_frame(frame);
	*n = shinfo->nr_frags;
	return shinfo->frags;
}

/*
 * Map all parts of a frame. Return their number, or a negative errno if there
 * are too many or a mapping fails; none is mapped then.
 */
__rnet_helper int rnet_safe_xdp_frame_map(struct device *dev,
					  const struct xdp_frame *frame,
					  struct rnet_tx_parts *parts)
{
	const skb_frag_t *frags;
	u32 nr, i;

	frags = rnet_xdp_frags(frame, &nr);
	if (unlikely(1 + nr > ARRAY_SIZE(parts->part)))
		return -ENOSPC;
	if (!rnet_map_linear(dev, &parts->part[0], frame->data, frame->len))
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		if (!rnet_map_frag(dev, &parts->part[1 + i], &frags[i])) {
			rnet_unmap_parts(dev, parts->part, 1 + i);
			return -ENOMEM;
		}
	}
	return 1 + nr;
}

/*
 * Describe a part of a pool's page that is mapped for @dev in both directions.
 * Return false for any other memory.
 */
static bool rnet_lend(struct device *dev, struct rnet_tx_part *part,
		      netmem_ref netmem, u32 off, u32 len)
{
	const struct page_pool *pool = netmem_get_pp(netmem);

	if (unlikely(netmem_is_net_iov(netmem) || !pool || pool->p.dev != dev ||
		     pool->p.order || !pool->dma_map ||
		     pool->p.dma_dir != DMA_BIDIRECTIONAL))
		return false;
	part->addr = page_pool_get_dma_addr_netmem(netmem) + off;
	part->len = len;
	part->foreign = true;
	dma_sync_single_for_device(dev, part->addr, len, DMA_BIDIRECTIONAL);
	return true;
}

/*
 * Like rnet_safe_xdp_frame_map(), for a frame in pages that their pools have
 * mapped in both directions. Fails for any other memory.
 */
__rnet_helper int rnet_safe_xdp_frame_lend(struct device *dev,
					   const struct xdp_frame *frame,
					   struct rnet_tx_parts *parts)
{
	const skb_frag_t *frags;
	u32 nr, i;

	frags = rnet_xdp_frags(frame, &nr);
	if (unlikely(frame->mem_type != MEM_TYPE_PAGE_POOL))
		return -EINVAL;
	if (unlikely(1 + nr > ARRAY_SIZE(parts->part)))
		return -ENOSPC;
	if (!rnet_lend(dev, &parts->part[0],
		       page_to_netmem(virt_to_page(frame->data)),
		       offset_in_page(frame->data), frame->len))
		return -EINVAL;
	for (i = 0; i < nr; i++) {
		const skb_frag_t *frag = &frags[i];

		if (!rnet_lend(dev, &parts->part[1 + i], skb_frag_netmem(frag),
			       skb_frag_off(frag), skb_frag_size(frag)))
			return -EINVAL;
	}
	return 1 + nr;
}

/* Called in the poll that the bulk belongs to. */
__rnet_helper void rnet_safe_xdp_return_frame_bulk(struct xdp_frame *taken,
						   struct xdp_frame_bulk *bulk)
{
	rcu_read_lock();
	xdp_return_frame_bulk(taken, bulk);
	rcu_read_unlock();
}

__rnet_helper void rnet_safe_xdp_return_frame(struct xdp_frame *taken)
{
	xdp_return_frame(taken);
}

__rnet_helper void rnet_safe_xdp_flush_frame_bulk(struct xdp_frame_bulk *bulk)
{
	rcu_read_lock();
	xdp_flush_frame_bulk(bulk);
	rcu_read_unlock();
}

__rnet_helper bool rnet_safe_xdp_prog_has_frags(const struct bpf_prog *prog)
{
	return prog->aux->xdp_has_frags;
}

/* RCU delays the free until no poll runs the XDP program. */
__rnet_helper void rnet_safe_xdp_prog_put(struct bpf_prog *taken)
{
	bpf_prog_put(taken);
}

/*
 * Lock a transmit queue to send frames: *@queue, or that of this CPU if @any.
 * Return NULL if there is no such queue, or the driver has stopped it, for lack
 * of room or because it goes down.
 */
__rnet_helper struct netdev_queue *rnet_safe_xdp_lock_txq(struct net_device *dev,
							  u32 *queue,
							  bool any)
{
	int cpu = smp_processor_id();
	struct netdev_queue *txq;

	if (any)
		*queue = cpu % READ_ONCE(dev->real_num_tx_queues);
	if (unlikely(*queue >= dev->num_tx_queues))
		return NULL;
	txq = netdev_get_tx_queue(dev, *queue);
	__netif_tx_lock(txq, cpu);
	if (unlikely(netif_xmit_frozen_or_drv_stopped(txq))) {
		__netif_tx_unlock(txq);
		return NULL;
	}
	/*
	 * For the watchdog a frame counts as a transmission, like a packet of
	 * the stack.
	 */
	txq_trans_cond_update(txq);
	return txq;
}

__rnet_helper void rnet_helper_xdp_unlock_txq(struct netdev_queue *txq)
{
	__netif_tx_unlock(txq);
}
