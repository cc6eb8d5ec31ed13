// SPDX-License-Identifier: GPL-2.0
/* The module's locks, whose order stands in module/src/region.rs, and where its callers sleep. */
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/spinlock.h>
#include <linux/wait_bit.h>

#include "memory.h"

static DEFINE_SPINLOCK(order_lock);
static DEFINE_MUTEX(purge_all);

void ashmem_region_lock(struct ashmem_region *region)
{
	mutex_lock(&((struct region_memory *)region)->lock);
}

void ashmem_region_unlock(struct ashmem_region *region)
{
	mutex_unlock(&((struct region_memory *)region)->lock);
}

void ashmem_order_lock(void)
{
	spin_lock(&order_lock);
}

void ashmem_order_unlock(void)
{
	spin_unlock(&order_lock);
}

bool ashmem_purge_all_lock(void)
{
	return !mutex_lock_killable(&purge_all);
}

void ashmem_purge_all_unlock(void)
{
	mutex_unlock(&purge_all);
}

bool ashmem_wait_while(const u32 *word, u32 seen)
{
	return !wait_var_event_killable((void *)word, smp_load_acquire(word) != seen);
}

void ashmem_wake(const u32 *word)
{
	/* What was stored comes before the look at the waiting tasks. */
	smp_mb();
	wake_up_var((void *)word);
}

bool ashmem_pause(void)
{
	cond_resched();
	return fatal_signal_pending(current);
}
