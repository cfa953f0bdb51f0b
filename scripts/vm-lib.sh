# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Start of everything that runs a virtual machine: in the toolbox, and
# in a separate process namespace, so that no virtual machine and no device
# model outlives its starter. Sourced, never run.

project=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# in_machine_namespace MODULE ARG...: run a Python module of tests/vm; no return.
in_machine_namespace()
{
	exec "$project/scripts/toolbox" run \
		unshare --mount --pid --fork --kill-child --mount-proc --propagation private \
		env PYTHONPATH="$project/tests/vm" PYTHONPYCACHEPREFIX="$project/build/pycache" \
		python3 -m "$@"
}
