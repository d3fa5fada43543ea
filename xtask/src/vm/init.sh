#!/bin/busybox sh
# First program of the guest: has the device under test bound to stock vfio-pci and runs the tests as a normal user.
/bin/busybox --install -s /bin
# Debian's modprobe comes before busybox's.
export PATH=/sbin:/bin:/usr/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t tmpfs none /tmp
mkdir -p /run && mount -t tmpfs none /run
chmod 1777 /tmp

option() { sed -n "s/.*glovebox.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
stop() {
  echo "GLOVEBOX-VM error: $1"
  dmesg | tail -20
  poweroff -f
}

# On a whole system udev would load it.
[ -d /lib/modules ] && /sbin/modprobe virtio-iommu
wanted=$(option device)
for folder in /sys/bus/pci/devices/*; do
  [ "$(cat $folder/vendor):$(cat $folder/device)" = "$wanted" ] && function=$(basename $folder)
done
[ -n "$function" ] || stop "no PCI function $wanted"

if [ "$(option bind)" = udev ]; then
  # Debian's udev and the rule as the driver's README has it installed.
  /usr/lib/systemd/systemd-udevd --daemon || stop "udev does not start"
  udevadm trigger --action=add --subsystem-match=pci && udevadm settle || stop "udev does not settle"
  udevadm control --exit
else
  # The commands that the driver itself names, one after another, until it says that the function is usable.
  # By its whole path, since this shell prefers the modprobe of its own.
  for step in 1 2 3 4 5; do
    command=$(su tester -s /bin/sh -c "/tools/usable $function")
    [ "$command" = usable ] && break
    echo "GLOVEBOX-VM named $command"
    USER=tester sh -c "$(echo "$command" | sed 's/sudo //g; s|modprobe|/sbin/modprobe|g')" > /dev/null || stop "the command failed"
  done
fi
command=$(su tester -s /bin/sh -c "/tools/usable $function")
[ "$command" = usable ] || stop "a normal user cannot use the function; it is told: $command"
ulimit -l 262144
nodes=$(ls -l /dev/vfio /dev/vfio/devices /dev/iommu 2> /dev/null | awk '/^c/ { print $1, $3, $4, $NF }' | tr '\n' ';')
echo "GLOVEBOX-VM function $function driver $(basename $(readlink /sys/bus/pci/devices/$function/driver)) kernel $(uname -r) nodes $nodes"
export GLOVEBOX_CARD=vfio:$function RUST_BACKTRACE=1
for test in /tests/*; do
  name=$(basename $test)
  echo "GLOVEBOX-VM start $name $(cut -d' ' -f1 /proc/uptime)"
  if [ -s /tests.arguments/$name ]; then arguments=$(sed "s|FUNCTION|$function|" /tests.arguments/$name); else arguments=; fi
  su tester -s /bin/sh -c "cd /tmp && $test $arguments" && result=ok || result=FAILED
  echo "GLOVEBOX-VM $result $name $(cut -d' ' -f1 /proc/uptime)"
done
dmesg | grep -iE 'DMAR:.*fault|vfio|iommu.*fault' | tail -5
echo "GLOVEBOX-VM end"
poweroff -f
