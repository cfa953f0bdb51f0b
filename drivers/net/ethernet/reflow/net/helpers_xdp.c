// SPDX-License-Identifier: GPL-2.0
/*
 * C side of net/xdp.rs and net/tx_cell.rs. Part of helpers.c, which includes it.
 */

/*
 * A packet has its pages to itself, and begins in each at the offset that their
 * pool was made with.
 */
void reflow_rust_helper_xdp_begin(struct rnet_xdp_buff *buff,
				  struct xdp_rxq_info *rxq, netmem_ref netmem,
				  u32 len, const struct rnet_xdp_hints *hints)
{
	struct page_pool *pool = netmem_get_pp(netmem);

	page_pool_dma_sync_netmem_for_cpu(pool, netmem, 0, len);
	/* The last page is the packet's alone, so that programs may add to it. */
	rxq->frag_size = PAGE_SIZE;
	xdp_init_buff(&buff->xdp, PAGE_SIZE, rxq);
	xdp_prepare_buff(&buff->xdp, netmem_address(netmem), pool->p.offset,
			 len, true);
	buff->xdp.txq = NULL;
	buff->hints = *hints;
}

bool reflow_rust_helper_xdp_has_room(const struct rnet_xdp_buff *buff)
{
	return !xdp_buff_has_frags(&buff->xdp) ||
	       xdp_get_shared_info_from_buff(&buff->xdp)->nr_frags <
	       MAX_SKB_FRAGS;
}

void reflow_rust_helper_xdp_add(struct rnet_xdp_buff *buff, netmem_ref netmem,
				u32 len)
{
	struct page_pool *pool = netmem_get_pp(netmem);

	page_pool_dma_sync_netmem_for_cpu(pool, netmem, 0, len);
	xdp_buff_add_frag(&buff->xdp, netmem, pool->p.offset, len, PAGE_SIZE);
}

/* Puts the headers in place of a packet whose data is elsewhere. */
void reflow_rust_helper_xdp_copy(struct rnet_xdp_buff *buff, const void *from,
				 u32 len)
{
	memcpy(buff->xdp.data, from, len);
}

/* Appends data from a page that holds other packets' data as well. */
void reflow_rust_helper_xdp_add_shared(struct rnet_xdp_buff *buff,
				       netmem_ref netmem, u32 offset, u32 len,
				       u32 truesize)
{
	buff->xdp.rxq->frag_size = 0;
	page_pool_dma_sync_netmem_for_cpu(netmem_get_pp(netmem), netmem, offset,
					  len);
	xdp_buff_add_frag(&buff->xdp, netmem, offset, len, truesize);
}

u32 reflow_rust_helper_xdp_run(const struct bpf_prog *prog,
			       struct xdp_buff *xdp)
{
	return bpf_prog_run_xdp(prog, xdp);
}

/* Tells of a packet that was dropped because @action could not be done. */
void reflow_rust_helper_xdp_aborted(struct net_device *dev,
				    const struct bpf_prog *prog, u32 action)
{
	if (action > XDP_REDIRECT)
		bpf_warn_invalid_xdp_action(dev, prog, action);
	trace_xdp_exception(dev, prog, action);
}

/*
 * Completes a packet and hands it to the stack; false without memory, or
 * without an Ethernet header in its linear part.
 */
bool reflow_rust_helper_xdp_submit(struct napi_struct *napi,
				   const struct rnet_xdp_buff *buff,
				   const struct rnet_rx_meta *meta)
{
	struct sk_buff *skb;

	if (unlikely(buff->xdp.data_end - buff->xdp.data < ETH_HLEN))
		return false;
	skb = xdp_build_skb_from_buff(&buff->xdp);
	if (unlikely(!skb))
		return false;
	rnet_rx_tags(skb, meta);
	if (meta->flags & RNET_RX_CSUM_OK)
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	napi_gro_receive(napi, skb);
	return true;
}

struct xdp_frame *reflow_rust_helper_xdp_to_frame(struct xdp_buff *xdp)
{
	return xdp_convert_buff_to_frame(xdp);
}

/* How many pieces of memory a frame has; its length goes to @len. */
u32 reflow_rust_helper_xdp_frame_shape(const struct xdp_frame *frame, u32 *len)
{
	*len = xdp_get_frame_len(frame);
	if (likely(!xdp_frame_has_frags(frame)))
		return 1;
	return 1 + xdp_get_shared_info_from_frame(frame)->nr_frags;
}

static const skb_frag_t *rnet_xdp_frag(const struct xdp_frame *frame, u32 i)
{
	const struct skb_shared_info *shinfo;

	if (!xdp_frame_has_frags(frame))
		return NULL;
	shinfo = xdp_get_shared_info_from_frame(frame);
	return i - 1 < shinfo->nr_frags ? &shinfo->frags[i - 1] : NULL;
}

/* Maps piece @i of a frame, whose length goes to @len. */
dma_addr_t reflow_rust_helper_xdp_frame_map(struct device *dev,
					    const struct xdp_frame *frame,
					    u32 i, u32 *len)
{
	const skb_frag_t *frag;

	if (i == 0) {
		*len = frame->len;
		return dma_map_single(dev, frame->data, *len, DMA_TO_DEVICE);
	}
	frag = rnet_xdp_frag(frame, i);
	if (unlikely(!frag))
		return DMA_MAPPING_ERROR;
	*len = skb_frag_size(frag);
	return skb_frag_dma_map(dev, frag, 0, *len, DMA_TO_DEVICE);
}

/*
 * Makes piece @i of a frame ready for the device that it was received by: the
 * pool has its pages mapped both ways. Refuses memory of any other origin.
 */
dma_addr_t reflow_rust_helper_xdp_frame_lend(struct device *dev,
					     const struct xdp_frame *frame,
					     u32 i, u32 *len)
{
	const struct page_pool *pool;
	const skb_frag_t *frag;
	netmem_ref netmem;
	dma_addr_t addr;
	u32 offset;

	if (unlikely(frame->mem_type != MEM_TYPE_PAGE_POOL))
		return DMA_MAPPING_ERROR;
	if (i == 0) {
		netmem = page_to_netmem(virt_to_page(frame->data));
		offset = offset_in_page(frame->data);
		*len = frame->len;
	} else {
		frag = rnet_xdp_frag(frame, i);
		if (unlikely(!frag))
			return DMA_MAPPING_ERROR;
		netmem = skb_frag_netmem(frag);
		offset = skb_frag_off(frag);
		*len = skb_frag_size(frag);
	}
	pool = netmem_get_pp(netmem);
	if (unlikely(!pool || pool->p.dev != dev || pool->p.order ||
		     pool->p.dma_dir != DMA_BIDIRECTIONAL || !pool->dma_map))
		return DMA_MAPPING_ERROR;
	addr = page_pool_get_dma_addr_netmem(netmem) + offset;
	dma_sync_single_for_device(dev, addr, *len, DMA_BIDIRECTIONAL);
	return addr;
}

void reflow_rust_helper_xdp_frame_done(struct xdp_frame *frame,
				       struct xdp_frame_bulk *bulk)
{
	rcu_read_lock();
	xdp_return_frame_bulk(frame, bulk);
	rcu_read_unlock();
}

void reflow_rust_helper_xdp_bulk_flush(struct xdp_frame_bulk *bulk)
{
	rcu_read_lock();
	xdp_flush_frame_bulk(bulk);
	rcu_read_unlock();
}

bool reflow_rust_helper_xdp_prog_has_frags(const struct bpf_prog *prog)
{
	return prog->aux->xdp_has_frags;
}

/*
 * Locks a transmit queue for frames; which one depends on the CPU if @any.
 * Returns NULL while the driver has the queue stopped: it has no room, or is
 * going away.
 */
struct netdev_queue *reflow_rust_helper_xdp_lock_txq(struct net_device *dev,
						     u32 *queue, bool any)
{
	int cpu = smp_processor_id();
	struct netdev_queue *txq;

	if (any)
		*queue = cpu % READ_ONCE(dev->real_num_tx_queues);
	txq = netdev_get_tx_queue(dev, *queue);
	__netif_tx_lock(txq, cpu);
	if (unlikely(netif_xmit_frozen_or_drv_stopped(txq))) {
		__netif_tx_unlock(txq);
		return NULL;
	}
	/* The watchdog is to look at the stack's packets and these alike. */
	txq_trans_cond_update(txq);
	return txq;
}

void reflow_rust_helper_xdp_unlock_txq(struct netdev_queue *txq)
{
	__netif_tx_unlock(txq);
}
