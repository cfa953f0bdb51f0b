# SPDX-License-Identifier: GPL-2.0
#
# Helpers that are called rnet_safe_* take what they are given by reference: they
# are declared as safe functions. What the core owns comes as an Opaque, which
# the wrapper types of the layer are, everything else as a plain reference.

function fix(block,	n, i, types, name, bare)
{
	if (!match(block, /rnet_safe_[a-z0-9_]+/))
		return block
	name = substr(block, RSTART, RLENGTH)
	bare = substr(name, length("rnet_safe_") + 1)
	n = split("net_device netdev_queue sk_buff bpf_prog", types, " ")
	for (i = 1; i <= n; i++) {
		gsub("\\*(const|mut) " types[i] ",", "\\&kernel::types::Opaque<" types[i] ">,", block)
		gsub("\\*(const|mut) " types[i] "\\)", "\\&kernel::types::Opaque<" types[i] ">)", block)
	}
	gsub(/\*mut /, "\\&mut ", block)
	gsub(/\*const /, "\\&", block)
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
