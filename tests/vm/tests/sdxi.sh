#!/bin/sh
# SPDX-License-Identifier: MIT
# Usage: sdxi.sh DRIVER COMMAND...: run it while DRIVER has the SDXI function,
# whose address is in SDXI_SLOT then; afterwards its own driver gets it back.
set -eu
bus=/sys/bus/pci
slot=$(grep -lx 0x120100 $bus/devices/*/class | head -n 1)
slot=${slot%/class}
slot=${slot##*/}
device=$bus/devices/$slot

give()
{
	[ ! -e "$device/driver" ] || echo "$slot" >"$device/driver/unbind"
	echo "$1" >"$device/driver_override"
	echo "$slot" >$bus/drivers_probe
}

driver=$1
shift
[ "$driver" != vfio-pci ] || modprobe vfio_iommu_type1
modprobe "$driver"
give "$driver"
code=0
SDXI_SLOT=$slot "$@" || code=$?
give ''
exit $code
