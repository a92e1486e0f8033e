import LinuxImage
