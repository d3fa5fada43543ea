#!/bin/busybox sh
# First program of the guest: binds the device under test to stock vfio-pci and runs the tests as a normal user.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t tmpfs none /tmp
chmod 1777 /tmp
for module in irqbypass virtio-iommu vfio vfio_iommu_type1 vfio-pci-core vfio-pci; do
  options=
  # virtio-iommu has no interrupt remapping.
  if [ $module = vfio_iommu_type1 ] && grep -q virtio /proc/cmdline; then options=allow_unsafe_interrupts=1; fi
  insmod /modules/$module.ko $options || echo "GLOVEBOX-VM error: insmod $module"
done
wanted=$(sed -n 's/.*glovebox.device=\([^ ]*\).*/\1/p' /proc/cmdline)
for folder in /sys/bus/pci/devices/*; do
  [ "$(cat $folder/vendor):$(cat $folder/device)" = "$wanted" ] && function=$(basename $folder)
done
if [ -z "$function" ]; then
  echo "GLOVEBOX-VM error: no PCI function $wanted"
  poweroff -f
fi
echo vfio-pci > /sys/bus/pci/devices/$function/driver_override
echo $function > /sys/bus/pci/drivers_probe
group=$(basename $(readlink /sys/bus/pci/devices/$function/iommu_group))
# What a udev rule does on a real machine: see driver/README.md.
chown tester /dev/vfio/$group
chmod 666 /dev/vfio/vfio
ulimit -l 262144
echo "GLOVEBOX-VM function $function group $group driver $(basename $(readlink /sys/bus/pci/devices/$function/driver)) kernel $(uname -r)"
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
