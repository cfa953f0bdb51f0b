# SPDX-License-Identifier: GPL-2.0
#
# One C type is to be one Rust type: drop from our bindings (second file) every
# type that the kernel's bindings crate (first file) holds in full, and the
# impls that go with it. The module imports those from there.
#
# Kept are types that are only declared over there ("_unused: [u8; 0]"), those
# named in the variable "own" (separated by spaces), and anonymous top-level
# enums, whose numbers differ from run to run.

# The name that a definition or an impl at the start of a line is about.
function subject(line,	s)
{
	s = line
	if (s ~ /^(pub )?(struct|union|type) /) {
		sub(/^(pub )?(struct|union|type) /, "", s)
	} else if (s ~ /^(unsafe )?impl/) {
		sub(/^(unsafe )?impl(<[^>]*>)? */, "", s)
		if (s ~ / for /)
			sub(/^.* for /, "", s)
	} else {
		return ""
	}
	match(s, /^[A-Za-z0-9_]+/)
	return substr(s, 1, RLENGTH)
}

# How far the line opens brackets, literals left aside.
function depth_of(line,	opened)
{
	gsub(/b?"([^"\\]|\\.)*"/, "", line)
	opened = gsub(/[({[]/, "", line)
	return opened - gsub(/[)}\]]/, "", line)
}

BEGIN {
	n = split(own, names, " ")
	for (i = 1; i <= n; i++)
		ours[names[i]] = 1
}

# First file: what the kernel has.
NR == FNR {
	if ($0 ~ /^pub (struct|union|type) /) {
		last = subject($0)
		if (last !~ /^_bindgen_ty_/ && !(last in ours))
			theirs[last] = 1
	} else if ($0 ~ /_unused: \[u8; 0\]/) {
		hollow[last] = 1
	}
	next
}

# Second file: collect an item with its attributes, then keep or drop it.
{
	if (item == "" && ($0 == "" || $0 ~ /^\/\*/))
		next
	item = item $0 "\n"
	depth += depth_of($0)
	# A long head goes over several lines: "impl Default", "for x {".
	if (head !~ /[{;]/ && $0 !~ /^#/)
		head = head (head == "" ? "" : " ") $0
	if ($0 ~ /_unused: \[u8; 0\]/)
		declared = 1
	if (depth == 0 && $0 !~ /^#/ && $0 ~ /[;}]$/) {
		name = subject(head)
		drop = name in theirs && (!(name in hollow) || declared)
		if (!drop)
			printf "%s", item
		item = ""
		head = ""
		declared = 0
	}
}

END {
	if (item != "" || depth != 0) {
		print "bindgen_filter: the bindings end inside an item" > "/dev/stderr"
		exit 1
	}
}
