# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# Shared by the scripts: messages, progress, the places of the cache, and the
# way into the toolbox root. Sourced, never run.

PROJECT=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Bump when a step changes what it leaves in the root or in the kernel tree.
# Editing a comment must not rebuild the cache, so the scripts themselves
# are no part of the key.
ROOT_RECIPE=1
TREE_RECIPE=1

# packages SUITE: those of scripts/toolbox.packages that come from it.
packages()
{
	sed -n "s/^$1 //p" "$PROJECT/scripts/toolbox.packages"
}

cache_home()
{
	case ${XDG_CACHE_HOME-} in
	/*) echo "$XDG_CACHE_HOME" ;;
	*) echo "${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}/.cache" ;;
	esac
}

recipe_hash()
{
	{ echo "$ROOT_RECIPE"; packages '[a-z]*'; } | sha256sum | cut -c1-12
}

CACHE=$(cache_home)/reflow
LOGS=$CACHE/logs
# Inside the toolbox it is the one we are in, whatever the package list says now.
TOOLBOX=${REFLOW_TOOLBOX:-$CACHE/toolbox/$(recipe_hash)}
ROOT=$TOOLBOX/root

say()
{
	printf '%s\n' "$*" >&2
}

die()
{
	say "${0##*/}: $*"
	exit 1
}

need_root()
{
	[ "$(id -u)" = 0 ] ||
		die "the toolbox is a root file system, entering it needs root; use sudo."
}

need_namespace()
{
	unshare --mount true 2>/dev/null ||
		die "this machine lets not even root make a mount namespace" \
		    "(a container without CAP_SYS_ADMIN?); run it privileged or on a real machine."
}

# need_space GB WHAT: fail early if the disk is too full.
need_space()
{
	local have

	mkdir -p "$CACHE" || die "$CACHE cannot be made; point XDG_CACHE_HOME elsewhere."
	have=$(df -k --output=avail "$CACHE" | tail -n 1)
	have=$((have / 1000000))
	[ "$have" -ge "$1" ] ||
		die "$2 needs $1 GB in $CACHE but only $have GB are free;" \
		    "make room or point XDG_CACHE_HOME at a larger disk."
}

# take_lock NAME: held until this process and all that it started are gone, so
# that the next run cannot meet what an interrupted one still has running.
take_lock()
{
	mkdir -p "$CACHE" || die "$CACHE cannot be made; point XDG_CACHE_HOME elsewhere."
	exec {LOCK_FD}>"$CACHE/$1.lock"
	if ! flock --nonblock "$LOCK_FD"; then
		say "Another run is at work in $CACHE; waiting for it."
		flock "$LOCK_FD"
	fi
}

# show_progress TEXT: redraw the line each second until killed.
show_progress()
{
	local start=$SECONDS

	while kill -0 $$ 2>/dev/null; do
		printf '\r  [%4d s] %s ...' $((SECONDS - start)) "$1" >&2
		sleep 1
	done
}

TICKER=
stop_progress()
{
	[ -n "$TICKER" ] || return 0
	kill "$TICKER" 2>/dev/null
	wait "$TICKER" 2>/dev/null
	TICKER=
	[ ! -t 2 ] || printf '\r\033[K' >&2
}

# step NAME TEXT CMD...: run CMD with its output in the log NAME, and show TEXT
# with the time that has gone by. Returns the status of CMD.
step()
{
	local name=$1 text=$2 start=$SECONDS status=0 result="done"

	shift 2
	mkdir -p "$LOGS"
	if [ -t 2 ]; then
		show_progress "$text" &
		TICKER=$!
	else
		say "  $text ..."
	fi
	"$@" >"$LOGS/$name.log" 2>&1 </dev/null || status=$?
	stop_progress
	[ "$status" = 0 ] || result="FAILED"
	printf '  [%4d s] %s: %s\n' $((SECONDS - start)) "$text" "$result" >&2
	return "$status"
}

# Runs in a private mount namespace: nothing mounted here outlives the command.
# pivot_root rather than chroot, because virtiofsd refuses to work in a chroot.
# Arguments: root, project, cache, CA bundle or "", resolv.conf or "", folder,
# then the command.
# shellcheck disable=SC2016
ENTER='
set -e
root=$1 project=$2 cache=$3 bundle=$4 resolv=$5 cwd=$6
shift 6
mount --bind "$root" "$root"
for d in proc sys dev; do mount --rbind "/$d" "$root/$d"; done
mount --bind /tmp "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
for d in "$project" "$cache"; do
	[ "$d" -ef "$root$d" ] && continue
	mkdir -p "$root$d"
	mount --bind "$d" "$root$d"
done
[ -z "$bundle" ] || cp "$bundle" "$root/run/ca-bundle.crt"
[ -z "$resolv" ] || mount --bind "$resolv" "$root/etc/resolv.conf"
cd "$root"
pivot_root . .
umount -l .
cd "$cwd" 2>/dev/null || cd "$project"
exec "$@"
'

# Where cargo builds: one folder a checkout. Cargo names what it builds by paths relative to the
# workspace, so two checkouts in one folder would take each other's for their own.
cargo_target()
{
	echo "$CACHE/target/$(printf %s "$PROJECT" | sha256sum | cut -c 1-12)"
}

# enter_command ROOT CMD...: sets ENTER_COMMAND to what runs CMD in the root, with
# the project and the cache at their own paths and a clean environment.
enter_command()
{
	local root=$1 ca=/etc/ssl/certs/ca-certificates.crt resolv vars=() v
	local bundle=${SSL_CERT_FILE:-$ca}

	shift
	if [ -f "$bundle" ]; then ca=/run/ca-bundle.crt; else bundle=; fi
	resolv=$(realpath -q /etc/resolv.conf)
	[ -f "$resolv" ] || resolv=
	for v in TERM COLORTERM http_proxy https_proxy ftp_proxy no_proxy \
		 HTTP_PROXY HTTPS_PROXY NO_PROXY "${!REFLOW_@}"; do
		[ -z "${!v+x}" ] || vars+=("$v=${!v}")
	done
	vars+=(
		HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		SSL_CERT_FILE="$ca" CARGO_HTTP_CAINFO="$ca"
		XDG_CACHE_HOME="${CACHE%/reflow}"
		CARGO_HOME="$CACHE/cargo" CARGO_TARGET_DIR="$(cargo_target)"
		REFLOW_TOOLBOX="$TOOLBOX"
	)
	ENTER_COMMAND=(
		unshare --mount --propagation private bash -c "$ENTER" toolbox
		"$root" "$PROJECT" "$CACHE" "$bundle" "$resolv" "$(pwd -P)"
		env -i "${vars[@]}" "$@"
	)
}

in_root()
{
	enter_command "$@"
	"${ENTER_COMMAND[@]}"
}
