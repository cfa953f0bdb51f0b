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

#include "helpers_rx.c"
#include "helpers_control.c"
#include "helpers_xdp.c"
