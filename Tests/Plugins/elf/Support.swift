import ELFKernel
