// SPDX-License-Identifier: GPL-2.0
/*
 * C side of the net abstractions: wrappers of inline functions that Rust cannot
 * call, and some steps of the hot path combined in one call.
 */
#include "bindings_helper.h"

/*
 * Each module that uses the layer links its own copy of these functions. If two
 * such modules are built in, the linker keeps one copy.
 */
#define __rnet_helper	__weak

/*
 * Rust calls rnet_safe_*() as safe functions: their only requirement is that
 * each argument is valid and in the state that its Rust type stands for, see
 * bindgen_safe.awk. They check queue numbers. The caller may sleep where the
 * function sleeps, and holds no lock that it takes.
 */

__rnet_helper void *rnet_helper_netdev_priv(const struct net_device *dev)
{
	return netdev_priv(dev);
}

/*
 * Allocate a device, not registered yet, whose private area holds @private. Its
 * transmit queues are stopped until it is opened, as XDP sends without a
 * queueing discipline. Return an ERR_PTR() on failure.
 */
__rnet_helper struct net_device *
rnet_safe_netdev_alloc(struct device *parent, const struct rnet_config *config,
		       u32 used, bool cpu_rmap, void *private)
{
	struct net_device *dev;
	int err;

	dev = alloc_etherdev_mqs(sizeof(private), config->queues, config->queues);
	if (!dev)
		return ERR_PTR(-ENOMEM);
	*(void **)netdev_priv(dev) = private;
	SET_NETDEV_DEV(dev, parent);
	eth_hw_addr_set(dev, config->mac);
	dev->hw_features = config->hw_features;
	dev->features = config->features | NETIF_F_HIGHDMA;
	dev->vlan_features = config->vlan_features | NETIF_F_HIGHDMA;
	/* A fallback: the layer's watch looks every second. */
	dev->watchdog_timeo = 10 * HZ;
	dev->min_mtu = ETH_MIN_MTU;
	dev->max_mtu = config->max_mtu;
	dev->priv_flags |= IFF_LIVE_ADDR_CHANGE;
	dev->request_ops_lock = true;
	dev->netmem_tx = NETMEM_TX_DMA;
	netif_set_affinity_auto(dev);
	netif_carrier_off(dev);
	netif_tx_stop_all_queues(dev);

	err = netif_set_real_num_queues(dev, used, used);
	if (!err && cpu_rmap)
		err = netif_enable_cpu_rmap(dev, config->queues);
	if (err) {
		free_netdev(dev);
		return ERR_PTR(err);
	}
	return dev;
}

/* If the device is renamed meanwhile, the copy may mix both names. */
__rnet_helper void rnet_safe_netdev_name(const struct net_device *dev,
					 struct rnet_name *to)
{
	unsigned int i;

	for (i = 0; i < sizeof(to->text); i++)
		to->text[i] = READ_ONCE(dev->name[i]);
}

__rnet_helper u32 rnet_safe_netdev_flags(const struct net_device *dev)
{
	return READ_ONCE(dev->flags);
}

/* The station address as a number, first byte highest. */
__rnet_helper u64 rnet_safe_netdev_mac(const struct net_device *dev)
{
	return ether_addr_to_u64(dev->dev_addr);
}

__rnet_helper void rnet_safe_netdev_rss_key_fill(struct rnet_rss_key *key)
{
	netdev_rss_key_fill(key->bytes, sizeof(key->bytes));
}

__rnet_helper u32 rnet_safe_netdev_mtu(const struct net_device *dev)
{
	return READ_ONCE(dev->mtu);
}

__rnet_helper void rnet_safe_netdev_store_mtu(struct net_device *dev, u32 mtu)
{
	WRITE_ONCE(dev->mtu, mtu);
}

__rnet_helper void rnet_safe_netdev_store_max_mtu(struct net_device *dev, u32 mtu)
{
	WRITE_ONCE(dev->max_mtu, mtu);
}

__rnet_helper u32 rnet_safe_num_online_cpus(void)
{
	return num_online_cpus();
}

__rnet_helper void rnet_safe_netdev_lock(struct net_device *dev)
{
	netdev_lock(dev);
}

__rnet_helper void rnet_helper_netdev_unlock(struct net_device *dev)
{
	netdev_unlock(dev);
}

/*
 * Process a pending change of the carrier now: ethtool_op_get_link()
 * synchronises with linkwatch.
 */
__rnet_helper void rnet_safe_netdev_announce_carrier(struct net_device *dev)
{
	rtnl_lock();
	netdev_lock(dev);
	ethtool_op_get_link(dev);
	netdev_unlock(dev);
	rtnl_unlock();
}

__rnet_helper u32 rnet_safe_netdev_rx_queues(const struct net_device *dev)
{
	return READ_ONCE(dev->real_num_rx_queues);
}

__rnet_helper bool rnet_safe_netif_carrier_ok(const struct net_device *dev)
{
	return netif_carrier_ok(dev);
}

/*
 * The core's transmit watchdog reports a queue that is stopped for long while
 * the carrier is on. Freeing and allocating large rings can take longer than
 * that, and users would see the carrier go off. So a queue without rings gets a
 * time of its last transmission that is in the future.
 */
static void rnet_unwatch(struct netdev_queue *txq)
{
	WRITE_ONCE(txq->trans_start, jiffies + 3600 * HZ);
}

static void rnet_wake(struct netdev_queue *txq)
{
	txq_trans_cond_update(txq);
	netif_tx_wake_queue(txq);
}

/* Stop all transmit queues and wait for ndo_start_xmit() to end. */
__rnet_helper void rnet_safe_netif_tx_disable(struct net_device *dev)
{
	unsigned int i;

	netif_tx_disable(dev);
	for (i = 0; i < dev->num_tx_queues; i++)
		rnet_unwatch(netdev_get_tx_queue(dev, i));
}

__rnet_helper void rnet_safe_netif_tx_wake_all_queues(struct net_device *dev)
{
	unsigned int i;

	for (i = 0; i < dev->num_tx_queues; i++)
		rnet_wake(netdev_get_tx_queue(dev, i));
}

/* Reset the byte queue limits of a stopped queue. */
__rnet_helper void rnet_safe_netdev_tx_reset_subqueue(const struct net_device *dev,
						      u32 queue)
{
	if (queue < dev->num_tx_queues)
		netdev_tx_reset_subqueue(dev, queue);
}

/*
 * Copy the first RNET_ADDRS_MAX addresses of a list. Return the length of the
 * list.
 */
__rnet_helper u32 rnet_safe_hw_addr_copy(const struct netdev_hw_addr_list *list,
					 struct rnet_addrs *to)
{
	struct netdev_hw_addr *ha;
	u32 n = 0;

	netdev_hw_addr_list_for_each(ha, list) {
		if (n < RNET_ADDRS_MAX)
			ether_addr_copy(to->addrs[n], ha->addr);
		n++;
	}
	return n;
}

static void rnet_retry(struct timer_list *timer)
{
	struct rnet_napi *n = timer_container_of(n, timer, retry);

	napi_schedule(&n->napi);
}

__rnet_helper void
rnet_helper_napi_add(struct net_device *dev, struct rnet_napi *n,
		     int (*poll)(struct napi_struct *, int), int index)
{
	netif_napi_add_config_locked(dev, &n->napi, poll, index);
	timer_setup(&n->retry, rnet_retry, 0);
}

/* The instance may be freed after an RCU grace period. */
__rnet_helper void rnet_safe_napi_del(struct rnet_locked_napi *n)
{
	__netif_napi_del_locked(&n->napi.napi);
}

__rnet_helper void rnet_safe_napi_enable(struct rnet_locked_napi *n)
{
	napi_enable_locked(&n->napi.napi);
}

/* Wait for the end of a poll and cancel the retry timer. */
__rnet_helper void rnet_safe_napi_disable(struct rnet_locked_napi *n)
{
	napi_disable_locked(&n->napi.napi);
	timer_delete_sync(&n->napi.retry);
}

/*
 * Set the instance's interrupt, whose affinity the core follows; -1 for none.
 */
__rnet_helper void rnet_safe_napi_set_irq(struct rnet_locked_napi *n, int irq)
{
	netif_napi_set_irq_locked(&n->napi.napi, irq);
}

/* Link a queue pair to the instance, or unlink it. */
__rnet_helper void rnet_safe_napi_link(struct rnet_locked_napi *n, u32 queue, bool on)
{
	struct napi_struct *napi = &n->napi.napi;
	struct net_device *dev = napi->dev;

	if (queue < dev->num_rx_queues)
		netif_queue_set_napi(dev, queue, NETDEV_QUEUE_TYPE_RX, on ? napi : NULL);
	if (queue < dev->num_tx_queues)
		netif_queue_set_napi(dev, queue, NETDEV_QUEUE_TYPE_TX, on ? napi : NULL);
}

__rnet_helper bool rnet_helper_napi_schedule_irqoff(struct napi_struct *napi)
{
	if (!napi_schedule_prep(napi))
		return false;
	__napi_schedule_irqoff(napi);
	return true;
}

__rnet_helper bool rnet_safe_napi_is_scheduled(struct rnet_napi *n)
{
	return napi_is_scheduled(&n->napi);
}

/* Schedule a poll if the instance is enabled. Process context. */
__rnet_helper void rnet_safe_napi_kick(struct rnet_napi *n)
{
	local_bh_disable();
	napi_schedule(&n->napi);
	local_bh_enable();
}

/*
 * Schedule a poll in 5 ms: time enough to reclaim memory, and a short delay for
 * waiting packets.
 */
__rnet_helper void rnet_safe_napi_retry(struct rnet_napi *n)
{
	mod_timer(&n->retry, jiffies + msecs_to_jiffies(5));
}

/* Flush the XDP redirects of this poll. */
__rnet_helper void rnet_safe_xdp_flush(const struct rnet_rx_context *cx)
{
	xdp_do_flush();
}

/* Wait for an RCU grace period. May sleep. */
__rnet_helper void rnet_safe_synchronize_net(void)
{
	synchronize_net();
}

__rnet_helper u32 rnet_safe_netdev_tx_queues(const struct net_device *dev)
{
	return dev->num_tx_queues;
}

/* Stop one transmit queue and wait for ndo_start_xmit() to end on it. */
__rnet_helper void rnet_safe_netif_tx_disable_queue(struct net_device *dev, u32 queue)
{
	struct netdev_queue *txq;

	if (queue >= dev->num_tx_queues)
		return;
	txq = netdev_get_tx_queue(dev, queue);
	__netif_tx_lock_bh(txq);
	netif_tx_stop_queue(txq);
	rnet_unwatch(txq);
	__netif_tx_unlock_bh(txq);
}

__rnet_helper void rnet_safe_netif_tx_wake_queue_at(struct net_device *dev, u32 queue)
{
	if (queue < dev->num_tx_queues)
		rnet_wake(netdev_get_tx_queue(dev, queue));
}

__rnet_helper void rnet_safe_netif_device_detach(struct net_device *dev)
{
	netif_device_detach(dev);
}

__rnet_helper void rnet_safe_netif_device_attach(struct net_device *dev)
{
	netif_device_attach(dev);
}

__rnet_helper void rnet_safe_netif_carrier_set(struct net_device *dev, bool on)
{
	if (on)
		netif_carrier_on(dev);
	else
		netif_carrier_off(dev);
}

__rnet_helper bool rnet_safe_netif_is_rxfh_configured(const struct net_device *dev)
{
	return netif_is_rxfh_configured(dev);
}

__rnet_helper void rnet_safe_netdev_print(const struct net_device *dev,
					  const char *level,
					  const struct rnet_args *text)
{
	netdev_printk(level, dev, "%pA", text);
}

__rnet_helper bool rnet_safe_may_print(void)
{
	return net_ratelimit();
}

#include "helpers_rx.c"
#include "helpers_heads.c"
#include "helpers_tx.c"
#include "helpers_control.c"
#include "helpers_xdp.c"
