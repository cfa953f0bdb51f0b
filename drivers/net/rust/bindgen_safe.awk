# SPDX-License-Identifier: GPL-2.0
#
# Helpers that are called rnet_safe_* are declared as safe functions: all that
# they ask is that what they are given is what its Rust type says. So pointers
# become references to the types of the layer that stand for a C type, whose
# invariants say what may be relied on:
#
#	types of "opaque"	an Opaque, as the wrapper types have it
#	objects of "live"	own::Live
#	types of "layer"	the Rust type with the same layout; "shared" if never &mut
#	*_ops			a constant
#	char			bindings::Text, a C string
#	void			stays an address, which is only passed on
#	anything else		itself, of plain data
#
# A parameter that is called "taken" is given up by the caller (own::Given), and
# so is what a function returns: the caller owns it, if it is not NULL. A
# type that the layer has none for stays a pointer there.

BEGIN {
	opaque = "net_device netdev_queue seq_file rnet_service"
	opaque = opaque " devlink_fmsg devlink_info_req devlink_health_reporter"
	live = "sk_buff bpf_prog page_pool xdp_frame xdp_rxq_info"

	layer["device"] = "kernel::device::Device<kernel::device::Bound>"
	layer["pci_dev"] = "kernel::pci::Device<kernel::device::Core<'_>>"
	layer["rnet_args"] = "kernel::fmt::Arguments<'_>"
	layer["rnet_finding"] = "crate::net::device::watch::Finding"
	layer["rnet_tx_context"] = "crate::net::napi::TxContext<'_>"
	layer["rnet_rx_context"] = "crate::net::napi::RxContext<'_>"
	layer["rnet_napi"] = "crate::net::napi::Napi"
	layer["rnet_locked_napi"] = "crate::net::napi::LockedNapi"
	layer["rnet_pool"] = "crate::net::page_pool::PagePool"
	layer["rnet_buffer"] = "crate::net::rx_buffers::Buffer"
	layer["rnet_page"] = "crate::net::page_pool::PoolPage"
	layer["rnet_pieces"] = "crate::net::heads::Pieces"
	layer["rnet_coherent"] = "crate::net::dma::Part<'_>"
	layer["rnet_rx_skb"] = "crate::net::skbuff::RxSkb"
	layer["rnet_xdp_buff"] = "crate::net::xdp::XdpBuff<'_>"
	layer["xdp_frame_bulk"] = "crate::net::xdp::XdpFrameBulk<'_>"

	split(opaque, a, " ")
	for (i in a)
		shared[a[i]] = "kernel::types::Opaque<" a[i] ">"
	split(live, a, " ")
	for (i in a) {
		shared[a[i]] = "crate::net::own::Live<" a[i] ">"
		given[a[i]] = "crate::net::own::Given<" a[i] ">"
	}
	split("device pci_dev rnet_args rnet_finding rnet_napi rnet_locked_napi", a, " ")
	for (i in a) {
		shared[a[i]] = layer[a[i]]
		delete layer[a[i]]
	}
}

# Puts one type in place of a pointer to another, at the end of a parameter or of
# a result.
function swap(text, from, to)
{
	gsub("\\*" from ",", to ",", text)
	gsub("\\*" from "\\)", to ")", text)
	gsub("\\*" from ";", to ";", text)
	return text
}

function fix(block,	t, name, bare, head, tail)
{
	if (!match(block, /rnet_safe_[a-z0-9_]+/))
		return block
	name = substr(block, RSTART, RLENGTH)
	bare = substr(name, length("rnet_safe_") + 1)
	head = block
	tail = ""
	if (match(block, /\) -> [^;]*;/)) {
		head = substr(block, 1, RSTART)
		tail = substr(block, RSTART + 1)
	}
	for (t in given) {
		gsub("taken: \\*mut " t ",", "taken: " given[t] ",", head)
		gsub("taken: \\*mut " t "\\)", "taken: " given[t] ")", head)
		tail = swap(tail, "mut " t, "Option<" given[t] ">")
	}
	for (t in shared) {
		head = swap(head, "mut " t, "\\&" shared[t])
		head = swap(head, "const " t, "\\&" shared[t])
	}
	for (t in layer) {
		head = swap(head, "mut " t, "\\&mut " layer[t])
		head = swap(head, "const " t, "\\&" layer[t])
	}
	head = swap(head, "const ffi::c_char", "crate::net::bindings::Text<'_>")
	# Out of the way of what follows.
	gsub(/\*mut ffi::c_void/, "*address", head)
	gsub(/\*const [a-z0-9_]+_ops/, "\\&'static &", head)
	gsub(/'static \*const /, "'static ", head)
	gsub(/\*mut /, "\\&mut ", head)
	gsub(/\*const /, "\\&", head)
	gsub(/\*address/, "*mut ffi::c_void", head)
	block = head tail
	sub("pub fn " name, "#[link_name = \"" name "\"]\n    pub safe fn " bare, block)
	return block
}

/^unsafe extern "C" \{/ {
	block = $0
	inside = 1
	next
}

inside {
	block = block "\n" $0
	if ($0 == "}") {
		print fix(block)
		inside = 0
	}
	next
}

{
	print
}
