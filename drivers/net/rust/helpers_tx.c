// SPDX-License-Identifier: GPL-2.0
/*
 * C side of transmit: packets, DMA mappings, transmit queues. Included by
 * helpers.c.
 */

/* Tells BQL of a packet put on the ring. Returns whether the doorbell is due. */
__rnet_helper bool rnet_helper_txq_sent(struct netdev_queue *txq, u32 bytes)
{
	return __netdev_tx_sent_queue(txq, bytes, netdev_xmit_more());
}

/* Whether no further packet follows, or none can: the queue is stopped. */
__rnet_helper bool rnet_safe_txq_doorbell_due(const struct netdev_queue *txq)
{
	return !netdev_xmit_more() || netif_tx_queue_stopped(txq);
}

static struct netdev_queue *rnet_polled_txq(const struct rnet_tx_context *cx)
{
	return netdev_get_tx_queue(cx->napi->dev, cx->queue);
}

/* Report sent packets to byte queue limits. */
__rnet_helper void rnet_safe_polled_txq_completed(const struct rnet_tx_context *cx,
						  u32 packets, u32 bytes)
{
	netdev_tx_completed_queue(rnet_polled_txq(cx), packets, bytes);
}

__rnet_helper bool rnet_safe_polled_txq_stopped(const struct rnet_tx_context *cx)
{
	return netif_tx_queue_stopped(rnet_polled_txq(cx));
}

__rnet_helper void rnet_safe_polled_txq_wake(const struct rnet_tx_context *cx)
{
	netif_tx_wake_queue(rnet_polled_txq(cx));
}

__rnet_helper void rnet_safe_netif_tx_stop_queue(struct netdev_queue *txq)
{
	netif_tx_stop_queue(txq);
}

__rnet_helper void rnet_safe_netif_tx_start_queue(struct netdev_queue *txq)
{
	netif_tx_start_queue(txq);
}

__rnet_helper u16 rnet_helper_skb_get_queue_mapping(const struct sk_buff *skb)
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
	info->v6 = skb_is_gso_v6(skb);
	info->l3_off = skb_network_offset(skb);
	info->l4_off = skb_transport_offset(skb);
}

static __always_inline void rnet_tx_info(const struct sk_buff *skb,
					 struct rnet_tx_info *info)
{
	const struct skb_shared_info *shinfo = skb_shinfo(skb);

	info->len = skb->len;
	info->head_len = skb_headlen(skb);
	info->nr_frags = shinfo->nr_frags;
	info->gso_size = shinfo->gso_size;
	info->gso_segs = shinfo->gso_segs;
	info->gso = 0;
	if (info->gso_size)
		rnet_tx_gso(skb, info);
	info->csum = skb->ip_summed == CHECKSUM_PARTIAL;
	if (info->csum) {
		info->csum_start = skb_checksum_start_offset(skb);
		info->csum_off = info->csum_start + skb->csum_offset;
	}
	info->time = !!(shinfo->tx_flags & SKBTX_HW_TSTAMP);
	info->vlan = skb_vlan_tag_present(skb);
	if (info->vlan)
		info->vlan_tci = skb_vlan_tag_get(skb);
}

__rnet_helper void rnet_safe_skb_tx_info(const struct sk_buff *skb,
					 struct rnet_tx_info *info)
{
	rnet_tx_info(skb, info);
}

__rnet_helper int rnet_safe_skb_network_offset(const struct sk_buff *skb)
{
	return skb_network_offset(skb);
}

/* Fill in the checksum of a CHECKSUM_PARTIAL packet. */
__rnet_helper int rnet_safe_skb_fill_checksum(struct sk_buff *skb)
{
	if (skb->ip_summed != CHECKSUM_PARTIAL)
		return 0;
	return skb_checksum_help(skb);
}

/*
 * Prepare the headers for a device that adds the length of each segment to the
 * checksum of the TCP pseudo header and to the IPv4 header: neither may include
 * a length.
 */
__rnet_helper int rnet_safe_skb_prepare_tso(struct sk_buff *skb)
{
	struct iphdr *ip;
	int err;

	if (unlikely(!skb_is_gso_tcp(skb) || !skb_transport_header_was_set(skb) ||
		     skb_transport_offset(skb) + sizeof(struct tcphdr) > skb_headlen(skb)))
		return -EINVAL;
	err = skb_cow_head(skb, 0);
	if (err)
		return err;
	if (skb_is_gso_v6(skb)) {
		tcp_v6_gso_csum_prep(skb);
		return 0;
	}
	ip = ip_hdr(skb);
	ip->tot_len = 0;
	ip->check = 0;
	tcp_hdr(skb)->check = ~csum_tcpudp_magic(ip->saddr, ip->daddr, 0,
						 IPPROTO_TCP, 0);
	return 0;
}

__rnet_helper void rnet_safe_dev_consume_skb_any(struct sk_buff *taken)
{
	dev_consume_skb_any(taken);
}

__rnet_helper void rnet_safe_dev_kfree_skb_any_reason(struct sk_buff *taken, u32 reason)
{
	dev_kfree_skb_any_reason(taken, reason);
}

__rnet_helper void rnet_safe_skb_tx_timestamp(struct sk_buff *skb)
{
	skb_tx_timestamp(skb);
}

/* Tells the stack that the device will say when it has sent a packet. */
__rnet_helper void rnet_safe_skb_hw_time_comes(struct sk_buff *skb)
{
	skb_shinfo(skb)->tx_flags |= SKBTX_IN_PROGRESS;
}

/* Passes on when the device has sent a packet; softirqs off. */
__rnet_helper void rnet_safe_skb_hw_time(struct sk_buff *skb, u64 ns)
{
	struct skb_shared_hwtstamps stamps = {
		.hwtstamp = ns_to_ktime(ns),
	};

	skb_tstamp_tx(skb, &stamps);
}

__rnet_helper int rnet_safe_skb_linearize(struct sk_buff *skb)
{
	return skb_linearize(skb);
}

/*
 * Takes out what no device can do, and tells what a driver must know to judge the
 * rest, if the packet is to be cut; else no more than that it is not.
 */
__rnet_helper netdev_features_t rnet_safe_features_check(struct sk_buff *skb,
							 struct rnet_tx_info *info,
							 netdev_features_t features)
{
	info->gso = 0;
	if (skb_is_gso(skb))
		rnet_tx_info(skb, info);
	return vlan_features_check(skb, features);
}

__rnet_helper void rnet_helper_tx_unmap(struct device *dev,
					const struct rnet_tx_part *part)
{
	if (!part->foreign)
		dma_unmap_page(dev, part->addr, part->len, DMA_TO_DEVICE);
}

static void rnet_unmap_parts(struct device *dev,
			     const struct rnet_tx_part *parts, u32 n)
{
	while (n)
		rnet_helper_tx_unmap(dev, &parts[--n]);
}

static __always_inline bool rnet_map_linear(struct device *dev,
					    struct rnet_tx_part *part,
					    void *data, u32 len)
{
	part->addr = dma_map_single(dev, data, len, DMA_TO_DEVICE);
	part->len = len;
	part->foreign = false;
	return likely(!dma_mapping_error(dev, part->addr));
}

static bool rnet_map_frag(struct device *dev, struct rnet_tx_part *part,
			  const skb_frag_t *frag)
{
	part->len = skb_frag_size(frag);
	part->addr = skb_frag_dma_map(dev, frag, 0, part->len, DMA_TO_DEVICE);
	part->foreign = skb_frag_is_net_iov(frag);
	return likely(!dma_mapping_error(dev, part->addr));
}

static __always_inline int rnet_skb_map(struct device *dev,
					const struct sk_buff *skb,
					struct rnet_tx_parts *parts)
{
	const struct skb_shared_info *shinfo = skb_shinfo(skb);
	u32 head = skb_headlen(skb), n = 0, i;

	if (unlikely(!!head + shinfo->nr_frags > ARRAY_SIZE(parts->part)))
		return -ENOSPC;
	if (head) {
		if (!rnet_map_linear(dev, &parts->part[0], skb->data, head))
			return -ENOMEM;
		n = 1;
	}
	for (i = 0; i < shinfo->nr_frags; i++, n++) {
		if (!rnet_map_frag(dev, &parts->part[n], &shinfo->frags[i])) {
			rnet_unmap_parts(dev, parts->part, n);
			return -ENOMEM;
		}
	}
	return n;
}

/*
 * Maps all parts of a packet. Returns how many it has, or a negative errno when
 * there are too many or a mapping fails; none is mapped then.
 */
__rnet_helper int rnet_safe_skb_map(struct device *dev,
				    const struct sk_buff *skb,
				    struct rnet_tx_parts *parts)
{
	return rnet_skb_map(dev, skb, parts);
}

/*
 * All that is asked of a packet on its way to the device, in one pass: what it
 * wants, where its parts are, and the time. Returns as skb_map().
 */
__rnet_helper int rnet_safe_skb_send(struct device *dev, struct sk_buff *skb,
				     struct rnet_tx_info *info,
				     struct rnet_tx_parts *parts)
{
	int n;

	rnet_tx_info(skb, info);
	n = rnet_skb_map(dev, skb, parts);
	/* One that asks for the device's time is stamped when that is settled. */
	if (likely(n >= 0 && !info->time))
		skb_tx_timestamp(skb);
	return n;
}
