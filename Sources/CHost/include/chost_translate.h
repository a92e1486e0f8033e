/* What generated code of the software CPU needs of C: memory to lie in, and the way in and out. */
#ifndef CHOST_TRANSLATE_H
#define CHOST_TRANSLATE_H
#include <stdint.h>

/* Runs handlers from `operation` on, each giving the next, until one gives 1. The only caller of handlers: it saves the registers that
 * generated code uses, and keeps `state` in R15. */
void ch_run(void *_Nonnull state, const void *_Nonnull operation);

/* Memory of `length` bytes that is mapped twice, to be written and to be executed. -errno where the host refuses. */
int32_t ch_code_map(uint64_t length, void *_Nullable *_Nonnull writable, void *_Nullable *_Nonnull executable);
void ch_code_unmap(uint64_t length, void *_Nonnull writable, void *_Nonnull executable);
/* Whether code can be generated for this host at all. */
int ch_code_supported(void);
/* The host has RORX. */
int ch_code_has_bmi2(void);
/* After code was written by the one mapping, before it runs by the other (SDM volume 3, 8.1.3: a serializing instruction). */
void ch_serialize(void);
#endif
