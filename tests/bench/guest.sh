#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The guest's side of the benchmark: guest.sh RUN_DIR DRIVER MODULE MAC PEER_MAC
# SETTINGS, workloads in RUN_DIR/workloads, one a line: LABEL, the state of the
# interface, and what sink is to be told. Prints "ready", and for each workload
# "begin LABEL", what sink says, and "end LABEL STATUS".
set -u

# A driver may take the link down when a program is attached or leaves.
wait_for_carrier()
{
	local _

	for _ in $(seq 100); do
		[ "$(cat "/sys/class/net/$dev/carrier")" = 1 ] && return
		sleep 0.1
	done
}

# Counters of all that may be lost, to a file.
write_counters()
{
	local from=/sys/class/net/$dev/statistics

	{
		ethtool -S "$dev" | grep -v ': 0$'
		cat /proc/net/netstat /proc/net/snmp
		echo "softnet_dropped: $((0x$(cut -d' ' -f2 /proc/net/softnet_stat | paste -sd+ |
			sed 's/+/+0x/g')))"
		echo "rx_dropped: $(cat "$from/rx_dropped")"
		echo "rx_missed: $(cat "$from/rx_missed_errors")"
		echo "tx_dropped: $(cat "$from/tx_dropped")"
	} >"$run_dir/$1.counters"
}

# Each vector of the device on another CPU.
spread_interrupts()
{
	local cpu=0 path

	for path in "/sys/class/net/$dev/device/msi_irqs/"*; do
		echo $((cpu++ % $(nproc))) >"/proc/irq/${path##*/}/smp_affinity_list"
	done 2>/dev/null
}

# States of the interface while a workload lasts.
begin_plain() { :; }
end_plain() { :; }
begin_pages() { ethtool -G "$dev" tcp-data-split on; }
end_pages() { ethtool -G "$dev" tcp-data-split auto; }
begin_big() { ip link set "$dev" gro_max_size 185000 gro_ipv4_max_size 185000; }
end_big() { ip link set "$dev" gro_max_size 65536 gro_ipv4_max_size 65536; }

run_dir=$1 driver=$2 module=$3 mac=$4 peer_mac=$5 settings=$6
bench=$(dirname "$0")/../../build/bench

if [ -n "$module" ]; then insmod "$module"; else modprobe "$driver"; fi || exit 1
for _ in $(seq 50); do
	dev=$(grep -l "$mac" /sys/class/net/*/address) && break
	sleep 0.1
done
dev=${dev#/sys/class/net/} dev=${dev%/address}
sysctl -q -w "net.ipv6.conf.$dev.disable_ipv6=1" net.core.rmem_max=1048576 \
	net.ipv4.tcp_mem="150000 200000 250000" \
	net.core.somaxconn=4096 net.ipv4.tcp_max_syn_backlog=4096 net.ipv4.tcp_syncookies=0 \
	kernel.sched_rt_runtime_us=-1 kernel.kptr_restrict=0
ip link set "$dev" up
spread_interrupts
ip addr add 192.0.2.1/24 dev "$dev"
ip neigh replace 192.0.2.2 lladdr "$peer_mac" dev "$dev" nud permanent
[ -z "$settings" ] || eval "$settings"
wait_for_carrier
ulimit -n 4096
cat /proc/kallsyms >"$run_dir/kallsyms"
"$bench/sink" symbols
write_counters start
echo ready
while read -r label setup what; do
	"begin_$setup"
	wait_for_carrier
	echo "begin $label"
	# shellcheck disable=SC2086
	"$bench/sink" ${what/DEVICE/$dev}
	echo "end $label $?"
	"end_$setup"
	write_counters "$label"
done <"$run_dir/workloads"
