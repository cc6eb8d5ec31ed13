// SPDX-License-Identifier: GPL-2.0
/* The module's two kinds of lock. Their order stands in module/src/region.rs. */
#include <linux/spinlock.h>

#include "memory.h"

static DEFINE_SPINLOCK(lru_lock);

void ashmem_region_lock(struct ashmem_region *region)
{
	mutex_lock(&((struct region_memory *)region)->lock);
}

bool ashmem_region_trylock(struct ashmem_region *region)
{
	return mutex_trylock(&((struct region_memory *)region)->lock);
}

void ashmem_region_unlock(struct ashmem_region *region)
{
	mutex_unlock(&((struct region_memory *)region)->lock);
}

void ashmem_lru_lock(void)
{
	spin_lock(&lru_lock);
}

void ashmem_lru_unlock(void)
{
	spin_unlock(&lru_lock);
}
