// The vocabulary of x86, which the core has (Sources/Core/X86): most files here speak it.

import Core

typealias CR0 = Core.CR0
typealias CR4 = Core.CR4
typealias EFER = Core.EFER
typealias RFLAGS = Core.RFLAGS
typealias DR6 = Core.DR6
typealias DR7 = Core.DR7
typealias Vector = Core.Vector
