// SwiftPM wants one source file in a C target; compiling the header here also proves that it stands alone.
#include "backplane/plugin.h"
