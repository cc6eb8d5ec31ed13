/* SPDX-License-Identifier: GPL-2.0 */
/* How a region lies in memory: the Rust half first, so that its address is the region's. */
#ifndef ASHMEM_MEMORY_H
#define ASHMEM_MEMORY_H

#include <linux/mutex.h>

#include "glue.h"

struct region_memory {
	u64 rust[ASHMEM_REGION_BYTES / sizeof(u64)];
	struct mutex lock;
};

#endif
