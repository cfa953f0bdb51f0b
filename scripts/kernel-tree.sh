# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The kernel tree that modules are built against. Debian's header packages hold
# no Rust metadata, so it is made again from the source of the very same
# kernel, with the configuration and the symbols that Debian ships.
# Sourced by scripts/toolbox, never run.

# The newest linux-source-7.x for which image, modules and headers of the same
# version exist; prints "RELEASE SOURCE-PACKAGE VERSION", or nothing.
kernel_select()
{
	in_root "$ROOT" apt-cache dumpavail | awk '
		$1 == "Package:" { name = $2 }
		$1 != "Version:" || name !~ /^linux-/ { next }
		{ seen[name " " $2] = 1 }
		name ~ /^linux-source-7\.[0-9]+$/ { source[name] = $2 }
		name ~ /^linux-binary-7\.[0-9.]+[+][a-z0-9]+-amd64$/ { image[name] = $2 }
		END {
			for (s in source)
				for (i in image) {
					if (image[i] != source[s])
						continue
					release = substr(i, length("linux-binary-") + 1)
					if (seen["linux-modules-" release " " image[i]] &&
					    seen["linux-headers-" release " " image[i]])
						print release, s, image[i]
				}
		}' | sort -V | tail -n 1
}

# The source and Debian's configuration of it, unpacked into $KERNEL/tree.
kernel_fetch()
{
	rm -rf --one-file-system "$KERNEL" &&
	mkdir -p "$KERNEL/tree" &&
	cd "$KERNEL" &&
	in_root "$ROOT" apt-get download "$KERNEL_SOURCE=$KERNEL_VERSION" \
		"linux-headers-$RELEASE=$KERNEL_VERSION" &&
	in_root "$ROOT" bash -c '
		set -eo pipefail
		dpkg-deb --fsys-tarfile linux-source-*.deb |
			tar -xO --wildcards "./usr/src/linux-source-*.tar.xz" |
			tar -xJ --strip-components=1 -C tree
		dpkg-deb --fsys-tarfile linux-headers-*.deb |
			tar -x --strip-components=4 -C tree --wildcards \
				"./usr/src/linux-headers-*/.config" \
				"./usr/src/linux-headers-*/Module.symvers"
		cp tree/.config tree/config.debian
		rm -f -- *.deb'
}

# Debian's kernel must have been built with Rust, and by this very compiler.
kernel_check()
{
	local config=$KERNEL/tree/.config ours theirs

	grep -q '^CONFIG_RUST=y' "$config" ||
		die "Debian built the kernel $RELEASE without Rust, so it loads no Rust module;" \
		    "try another mirror with --mirror."
	theirs=$(sed -n 's/^CONFIG_RUSTC_VERSION=//p' "$config")
	ours=$(echo "$RUSTC" | awk -F. '{ print $1 * 100000 + $2 * 100 + $3 }')
	[ "$theirs" = "$ours" ] ||
		die "Debian built the kernel $RELEASE with rustc $theirs, trixie has $ours;" \
		    "there is no matching kernel until the two agree again."
}

kernel_prepare()
{
	local cc

	cc=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ ]*\) .*/\1/p' "$KERNEL/tree/.config")
	in_root "$ROOT" make -C "$KERNEL/tree" -j"$(nproc)" "CC=$cc" HOSTCC=gcc \
		"KERNELRELEASE=$RELEASE" olddefconfig modules_prepare &&
	# olddefconfig must not change the configuration of Debian, or symbols differ.
	cmp "$KERNEL/tree/.config" "$KERNEL/tree/config.debian" &&
	[ -s "$KERNEL/tree/rust/libkernel.rmeta" ]
}
