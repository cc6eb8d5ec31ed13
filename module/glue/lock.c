// SPDX-License-Identifier: GPL-2.0
/* The module's locks. Their order stands in module/src/region.rs. */
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "memory.h"

static DEFINE_SPINLOCK(lru_lock);
/* One for all regions: who waits is rare, and looks again at his own region's count. */
static DECLARE_WAIT_QUEUE_HEAD(punches_ended);

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

void ashmem_punches_wait(const u32 *punches)
{
	wait_event(punches_ended, !smp_load_acquire(punches));
}

void ashmem_punches_ended(void)
{
	wake_up_all(&punches_ended);
}

void ashmem_lru_lock(void)
{
	spin_lock(&lru_lock);
}

void ashmem_lru_unlock(void)
{
	spin_unlock(&lru_lock);
}
