# SPDX-License-Identifier: GPL-2.0
"""The parts of the kernel that instructions are spent in, by names of functions."""

import re
import subprocess

# The first that matches has the function: class, pattern of names. Names of functions in
# modules have the module behind them.
_RULES = (
    ("pools", r"page_pool|napi_pp_|rnet_safe_pp|reflow_main2rx7buffers|rnet_rx_fill|"
              r"alloc_pages|alloc_frozen|rmqueue|free_frozen|free_pcp|free_unref|clear_page|"
              r"get_page_from_freelist|xas_|xa_|netmem|dma_map|dma_unmap|dma_direct"),
    ("driver", r"\[(reflow|igb|igb_rs|e1000e|vmxnet3|virtio_net)\]|virtqueue|vring|vp_notify|"
               r"(io|rust_helper_)(read|write)|swiotlb|^dma_"),
    ("copy", r"copy_to_iter|copy_from_iter|rep_movs|copy_user|skb_datagram|check_object_size|"
             r"check_heap_object|memcpy|memmove|memset|csum_partial|check_stack_object|"
             r"virt_addr_valid"),
    ("gro", r"gro|skb_gro"),
    ("buffers", r"skb|kmem_cache|kfree|kmalloc|slab|krealloc"),
    ("tcp", r"tcp|inet_csk|cubic"),
    ("udp", r"udp"),
    ("ip", r"^ip_|^__ip_|inet|fib_|raw_local|ipv4|nf_|rt_|neigh|dst_"),
    ("socket", r"sock|sk_|__sk|_sk_|recv|send|poll_callback|^ep_|epoll|aa_|apparmor|security|"
               r"wake_up|iov"),
    ("core", r"netif|napi|net_rx|net_tx|dev_|eth_|__dev|qdisc|sch_|validate_xmit|bpf|softirq|"
             r"fq_codel|pfifo"),
    ("interrupts", r"irq|interrupt|apic|msi"),
    ("scheduler", r"sched|enqueue_|dequeue_|pick_|switch|rq_|update_|ttwu|try_to_wake|task|rt_|"
                  r"idle|tick|timer|ktime|clock|hrtimer"),
    ("system calls", r"entry_|syscall|x64_sys|fdget|fget|fput"),
)
_CLASSES = [(name, re.compile(pattern)) for name, pattern in _RULES]
OTHER = "other"
NAMES = [name for name, _ in _RULES] + [OTHER]


def class_of(function):
    """Return the class of a function."""
    return next((name for name, pattern in _CLASSES if pattern.search(function)), OTHER)


def by_class(window):
    """Return {class: instructions per packet}, the largest first."""
    total = {}
    for count, function in window.symbols:
        name = class_of(function)
        total[name] = total.get(name, 0) + count / window.packets
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def readable(functions):
    """Return names as in the source where the tools can tell them."""
    try:
        done = subprocess.run(["c++filt", "--format=auto"], input="\n".join(functions), text=True,
                              capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return list(functions)
    return done.stdout.splitlines()
