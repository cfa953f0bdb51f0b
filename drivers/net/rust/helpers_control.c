// SPDX-License-Identifier: GPL-2.0
/*
 * C side of the control plane: service.rs, arfs.rs, tcp.rs, stats.rs, devlink.rs,
 * ethtool/, debugfs.rs, pci.rs. Included by helpers.c.
 */

/* Deferred work, see service.rs. It starts disabled. */

static void rnet_service_run(struct work_struct *work)
{
	struct rnet_service *service =
		container_of(to_delayed_work(work), struct rnet_service, work);

	service->serve(service->dev);
}

__rnet_helper void rnet_helper_service_init(struct rnet_service *service)
{
	INIT_DELAYED_WORK(&service->work, rnet_service_run);
	disable_delayed_work(&service->work);
	service->dev = NULL;
}

__rnet_helper void rnet_safe_service_kick(struct rnet_service *service)
{
	mod_delayed_work(system_dfl_wq, &service->work, 0);
}

__rnet_helper void rnet_safe_service_later(struct rnet_service *service, u32 ms)
{
	queue_delayed_work(system_dfl_wq, &service->work, msecs_to_jiffies(ms));
}

/* Return false if a device is attached already. */
__rnet_helper bool rnet_helper_service_attach(struct rnet_service *service,
					      struct net_device *dev,
					      void (*serve)(struct net_device *dev))
{
	if (cmpxchg(&service->dev, NULL, dev))
		return false;
	service->serve = serve;
	enable_delayed_work(&service->work);
	rnet_safe_service_kick(service);
	return true;
}

/* Wait for running work, and keep it from being queued again. */
__rnet_helper void rnet_safe_service_detach(struct rnet_service *service)
{
	disable_delayed_work_sync(&service->work);
	WRITE_ONCE(service->dev, NULL);
}

/* Flow steering. */

/*
 * Get the connection of a received packet. Return false unless it is a TCP
 * packet without fragmentation or tunnel.
 */
__rnet_helper bool rnet_safe_flow_of_skb(const struct sk_buff *skb,
					 struct rnet_flow *flow)
{
	struct flow_keys keys;
	u8 *key = flow->key;

	if (eth_type_vlan(skb->protocol) ||
	    !skb_flow_dissect_flow_keys(skb, &keys, 0) ||
	    keys.basic.ip_proto != IPPROTO_TCP ||
	    keys.control.flags & (FLOW_DIS_IS_FRAGMENT | FLOW_DIS_ENCAPSULATION))
		return false;
	if (keys.basic.n_proto == htons(ETH_P_IP)) {
		memcpy(key, &keys.addrs.v4addrs, 8);
		memcpy(key + 8, &keys.ports, 4);
	} else if (keys.basic.n_proto == htons(ETH_P_IPV6)) {
		memcpy(key, &keys.addrs.v6addrs, 32);
		memcpy(key + 32, &keys.ports, 4);
		flow->v6 = 1;
	} else {
		return false;
	}
	if (skb_vlan_tag_present(skb)) {
		flow->tagged = 1;
		flow->vlan_tci = skb_vlan_tag_get(skb);
	}
	return true;
}

static struct sock *rnet_flow_sock(struct net_device *dev,
				   const struct rnet_flow *flow)
{
	const u8 *key = flow->key;
	__be16 ports[2];

	memcpy(ports, key + (flow->v6 ? 32 : 8), sizeof(ports));
	if (flow->v6) {
#if IS_ENABLED(CONFIG_IPV6)
		struct in6_addr addrs[2];

		memcpy(addrs, key, sizeof(addrs));
		return __inet6_lookup_established(dev_net(dev), &addrs[0], ports[0],
						  &addrs[1], ntohs(ports[1]),
						  dev->ifindex, 0);
#else
		return NULL;
#endif
	} else {
		__be32 addrs[2];

		memcpy(addrs, key, sizeof(addrs));
		return inet_lookup_established(dev_net(dev), addrs[0], ports[0],
					       addrs[1], ports[1], dev->ifindex);
	}
}

/*
 * Look up the socket of a connection and store its rcv_nxt in @next. Return
 * false if no socket of it may receive data.
 */
__rnet_helper bool rnet_safe_tcp_rcv_nxt(struct net_device *dev,
					 const struct rnet_flow *flow,
					 u32 *next)
{
	struct sock *sk;
	bool found;

	local_bh_disable();
	sk = rnet_flow_sock(dev, flow);
	local_bh_enable();
	if (!sk)
		return false;
	found = sk_fullsock(sk) &&
		(1 << READ_ONCE(sk->sk_state)) &
		(TCPF_ESTABLISHED | TCPF_FIN_WAIT1 | TCPF_FIN_WAIT2);
	if (found)
		*next = READ_ONCE(tcp_sk(sk)->rcv_nxt);
	sock_gen_put(sk);
	return found;
}

__rnet_helper bool rnet_safe_arfs_may_expire(struct net_device *dev,
					     u16 queue, u32 flow_id,
					     u16 filter)
{
#ifdef CONFIG_RFS_ACCEL
	if (queue < READ_ONCE(dev->real_num_rx_queues))
		return rps_may_expire_flow(dev, queue, flow_id, filter);
#endif
	return true;
}

/* Statistics of queues. */

/* Add the counters of queues that are not in use. */
__rnet_helper void
rnet_safe_netdev_stat_unused_queues(struct net_device *dev,
				    struct netdev_queue_stats_rx *rx,
				    struct netdev_queue_stats_tx *tx)
{
	if (!dev->stat_ops)
		return;
	netdev_stat_queue_sum(dev, dev->real_num_rx_queues, dev->num_rx_queues, rx,
			      dev->real_num_tx_queues, dev->num_tx_queues, tx);
}

/* devlink: an instance with one port, see devlink.rs. */

__rnet_helper struct devlink *
rnet_safe_devlink_alloc(const struct devlink_ops *ops, struct device *parent)
{
	/* With a single port the interface's name needs no port number. */
	struct devlink_port_attrs attrs = {
		.flavour		= DEVLINK_PORT_FLAVOUR_PHYSICAL,
		.no_phys_port_name	= 1,
	};
	struct rnet_devlink *private;
	struct devlink *devlink;
	int err;

	devlink = devlink_alloc(ops, sizeof(*private), parent);
	if (!devlink)
		return ERR_PTR(-ENOMEM);
	private = devlink_priv(devlink);
	devlink_port_attrs_set(&private->port, &attrs);
	err = devlink_port_register(devlink, &private->port, 0);
	if (err) {
		devlink_free(devlink);
		return ERR_PTR(err);
	}
	return devlink;
}

__rnet_helper struct devlink_port *rnet_helper_devlink_port(struct devlink *devlink)
{
	struct rnet_devlink *private = devlink_priv(devlink);

	return &private->port;
}

__rnet_helper struct net_device *rnet_helper_devlink_netdev(struct devlink *devlink)
{
	struct rnet_devlink *private = devlink_priv(devlink);

	return private->dev;
}

/* Register the instance with users. */
__rnet_helper int rnet_helper_devlink_publish(struct devlink *devlink,
					      struct net_device *dev,
					      const struct devlink_param *params,
					      size_t count)
{
	struct rnet_devlink *private = devlink_priv(devlink);
	int err;

	private->dev = dev;
	devl_lock(devlink);
	err = devl_params_register(devlink, params, count);
	if (!err)
		devl_register(devlink);
	devl_unlock(devlink);
	return err;
}

/* Unregister the instance and wait for running operations. */
__rnet_helper void rnet_helper_devlink_withdraw(struct devlink *devlink,
						const struct devlink_param *params,
						size_t count)
{
	devl_lock(devlink);
	devl_unregister(devlink);
	devl_params_unregister(devlink, params, count);
	devl_unlock(devlink);
}

__rnet_helper void rnet_helper_devlink_destroy(struct devlink *devlink)
{
	devlink_port_unregister(rnet_helper_devlink_port(devlink));
	devlink_free(devlink);
}

__rnet_helper int rnet_safe_devlink_version_put(struct devlink_info_req *req,
						const char *name,
						const char *version, bool running)
{
	if (running)
		return devlink_info_version_running_put(req, name, version);
	return devlink_info_version_fixed_put(req, name, version);
}

/*
 * Report a finding. After a failed recovery the core starts no other one until
 * the reporter is set to healthy (@anew).
 */
__rnet_helper int rnet_safe_health_report(struct devlink_health_reporter *reporter,
					  const char *text,
					  const struct rnet_finding *finding,
					  bool anew)
{
	if (anew)
		devlink_health_reporter_state_update(reporter,
						     DEVLINK_HEALTH_REPORTER_STATE_HEALTHY);
	return devlink_health_report(reporter, text, (void *)finding);
}

/* Messages of reporters. Names and texts are copied. */

__rnet_helper void rnet_safe_fmsg_number(struct devlink_fmsg *fmsg,
					 const char *name, u64 value)
{
	devlink_fmsg_u64_pair_put(fmsg, name, value);
}

__rnet_helper void rnet_safe_fmsg_flag(struct devlink_fmsg *fmsg,
				       const char *name, bool value)
{
	devlink_fmsg_bool_pair_put(fmsg, name, value);
}

__rnet_helper void rnet_safe_fmsg_text(struct devlink_fmsg *fmsg,
				       const char *name, const char *value)
{
	devlink_fmsg_string_pair_put(fmsg, name, value);
}

__rnet_helper void rnet_safe_fmsg_list_start(struct devlink_fmsg *fmsg,
					     const char *name)
{
	devlink_fmsg_arr_pair_nest_start(fmsg, name);
}

__rnet_helper void rnet_safe_fmsg_list_end(struct devlink_fmsg *fmsg)
{
	devlink_fmsg_arr_pair_nest_end(fmsg);
}

__rnet_helper void rnet_safe_fmsg_object_start(struct devlink_fmsg *fmsg)
{
	devlink_fmsg_obj_nest_start(fmsg);
}

__rnet_helper void rnet_safe_fmsg_object_end(struct devlink_fmsg *fmsg)
{
	devlink_fmsg_obj_nest_end(fmsg);
}

/* Rules: the command selects the member of the union. */

__rnet_helper u32 rnet_safe_rxnfc_rule_cnt(const struct ethtool_rxnfc *info)
{
	return info->rule_cnt;
}

__rnet_helper u32 rnet_safe_rxnfc_rss_context(const struct ethtool_rxnfc *info)
{
	return info->rss_context;
}

/* Hash contexts: table and key follow the structure. */

__rnet_helper u32 *rnet_helper_ethtool_rxfh_context_indir(struct ethtool_rxfh_context *ctx)
{
	return ethtool_rxfh_context_indir(ctx);
}

__rnet_helper u8 *rnet_helper_ethtool_rxfh_context_key(struct ethtool_rxfh_context *ctx)
{
	return ethtool_rxfh_context_key(ctx);
}

/* debugfs: a folder for each device in the driver's folder, see debugfs.rs. */

static DEFINE_MUTEX(rnet_debugfs_lock);
static struct dentry *rnet_debugfs_root;
static unsigned int rnet_debugfs_users;

__rnet_helper struct dentry *rnet_safe_debugfs_folder_add(struct net_device *dev)
{
	guard(mutex)(&rnet_debugfs_lock);
	if (!rnet_debugfs_users++)
		rnet_debugfs_root = debugfs_create_dir(KBUILD_MODNAME, NULL);
	return debugfs_create_dir(dev_name(dev->dev.parent), rnet_debugfs_root);
}

__rnet_helper void rnet_helper_debugfs_folder_remove(struct dentry *folder)
{
	guard(mutex)(&rnet_debugfs_lock);
	debugfs_remove(folder);
	if (!--rnet_debugfs_users)
		debugfs_remove(rnet_debugfs_root);
}

__rnet_helper void rnet_safe_seq_print(struct seq_file *seq,
				       const struct rnet_args *text)
{
	seq_printf(seq, "%pA", text);
}

static int rnet_table_show(struct seq_file *seq, void *unused)
{
	const struct rnet_table *table = seq->private;

	return table->show(seq, table->dev, table->index);
}
DEFINE_SHOW_ATTRIBUTE(rnet_table);

static ssize_t rnet_switch_read(struct file *file, char __user *to, size_t len,
				loff_t *pos)
{
	const bool *value = file->private_data;

	return simple_read_from_buffer(to, len, pos,
				       READ_ONCE(*value) ? "Y\n" : "N\n", 2);
}

/* Unlike a file of debugfs_create_bool(), refuse text that is no boolean. */
static ssize_t rnet_switch_write(struct file *file, const char __user *from,
				 size_t len, loff_t *pos)
{
	bool *value = file->private_data;
	bool on;
	int err;

	err = kstrtobool_from_user(from, len, &on);
	if (err)
		return err;
	WRITE_ONCE(*value, on);
	return len;
}

static const struct file_operations rnet_switch_fops = {
	.owner	= THIS_MODULE,
	.open	= simple_open,
	.read	= rnet_switch_read,
	.write	= rnet_switch_write,
	.llseek	= default_llseek,
};

__rnet_helper void rnet_helper_debugfs_switch_add(struct dentry *folder,
						  const char *name, bool *value)
{
	debugfs_create_file(name, 0600, folder, value, &rnet_switch_fops);
}

__rnet_helper void rnet_helper_debugfs_table_add(struct dentry *folder,
						 const char *name,
						 struct rnet_table *table)
{
	debugfs_create_file(name, 0400, folder, table, &rnet_table_fops);
}

/*
 * Whether the device lock is held by all callers of pci_error_handlers, see
 * pci.rs. The PCI front end of Xen PV guests does not hold it.
 */
__rnet_helper bool rnet_safe_pci_errors_come_locked(void)
{
	return !xen_pv_domain();
}

/* PCI functions, from bus callbacks with the device lock held. */

__rnet_helper void rnet_safe_pci_disable(struct pci_dev *pdev)
{
	pci_disable_device(pdev);
}

/* Cannot fail: probe has used the capabilities that are saved. */
__rnet_helper void rnet_safe_pci_save(struct pci_dev *pdev)
{
	pci_save_state(pdev);
}

__rnet_helper void rnet_safe_pci_restore(struct pci_dev *pdev)
{
	pci_restore_state(pdev);
}

/* Clocks. */

/* NULL in a kernel without clocks; @index is the number of the clock. */
__rnet_helper struct ptp_clock *
rnet_helper_ptp_register(struct ptp_clock_info *info, struct device *parent,
			 u32 *index)
{
	struct ptp_clock *clock;

	info->owner = THIS_MODULE;
	clock = ptp_clock_register(info, parent);
	if (!IS_ERR_OR_NULL(clock))
		*index = ptp_clock_index(clock);
	return clock;
}

__rnet_helper void rnet_helper_ptp_unregister(struct ptp_clock *clock)
{
	ptp_clock_unregister(clock);
}

__rnet_helper void rnet_safe_ptp_before(struct ptp_system_timestamp *system)
{
	ptp_read_system_prets(system);
}

__rnet_helper void rnet_safe_ptp_behind(struct ptp_system_timestamp *system)
{
	ptp_read_system_postts(system);
}
